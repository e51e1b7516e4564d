//! The load: 4 096 complete requests, built once from a fixed seed, the same bytes for every
//! target.
//!
//! Two fields are overwritten in place before each send, at offsets noted while building: the hits'
//! random ids (always; a repeated id would be answered as a duplicate, which is cheaper than a
//! count), and in a chosen share of the sends the client address. Without the second the same 4 096
//! visitors would come back for ever: a collector that counts visitors would do nothing new after
//! the first tenth of a second, and its rows at rest would round to none.

use std::fmt::Write;

use footfall::config::Secret;
use footfall::consent::GrantKeys;

pub const REQUESTS: usize = 4_096;
/// Hits in one body of [`Wish::CountedTogether`].
pub const HITS_PER_BODY: usize = 20;
pub const HOST: &str = "bench.example";
/// Signs the grants of the load; the collector gets the same file.
pub const CONSENT_KEYS: &str = "bench YSBrZXkgZm9yIHRlc3RzLCBhIHNlY3JldCBmb3Igbm8\n";
const SEED: u64 = 0x00F0_07FA_11BE_4C11;
const SITES: u64 = 40;
const PAGES: u64 = 600;
const BUSY_PAGES: u64 = 20;
const REFERRERS: u64 = 60;
const LANGUAGES: [&str; 6] = [
    "en-US,en;q=0.9",
    "de-DE,de;q=0.9,en;q=0.6",
    "es-ES,es;q=0.9",
    "fr-FR,fr;q=0.8",
    "pt-BR,pt",
    "ja",
];
const REFERRING: [&str; 12] = [
    "https://www.instagram.com/",
    "https://l.instagram.com/?u=x",
    "https://www.google.com/",
    "https://t.co/Zk3",
    "https://www.youtube.com/watch",
    "https://m.facebook.com/story",
    "https://www.tiktok.com/foryou",
    "https://duckduckgo.com/",
    "https://www.reddit.com/r/makers",
    "https://news.example.org/today",
    "https://blog.example.net/links",
    "https://www.bing.com/search",
];

/// First octets with three digits in which every address is public.
const PUBLIC: [u8; 14] = [
    101, 104, 109, 117, 128, 136, 143, 151, 163, 178, 185, 194, 203, 213,
];

/// What the hits of a load ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// A grant in the cookie and no signal: to be counted.
    Counted,
    /// The same with [`HITS_PER_BODY`] hits in each body.
    CountedTogether,
    /// The same request with `DNT: 1`: to be dropped.
    Dropped,
}

pub struct Request {
    pub bytes: Vec<u8>,
    /// Hits in it; a load of a pixel counts as one.
    pub hits: u64,
    /// Those that are page views: the one kind that raises a site's own hits, which is what the
    /// report is checked against.
    pub views: u64,
    /// Where the ids of its hits begin.
    pub ids_at: Vec<usize>,
    address_at: usize,
    /// New addresses are of networks that this collector of a cluster owns.
    owner: Option<Owner>,
}

/// A collector by its place in a cluster of so many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    pub place: usize,
    pub collectors: usize,
}

impl Owner {
    /// Whether the /24 of the address is this collector's: docs/operate/CLUSTER.md.
    fn owns(self, address: &[u8]) -> bool {
        let network = [&address[..12], b"0"].concat();
        (crc32fast::hash(&network) >> 16 & 0x7fff) as usize % self.collectors == self.place
    }
}

/// A small generator of its own (splitmix64): the load must be the same on every machine and for
/// every version.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }
}

pub fn build(wish: Wish) -> Vec<Request> {
    let mut chance = Chance::new(SEED);
    let agents = agents();
    let keys =
        GrantKeys::parse_file(&Secret::new(CONSENT_KEYS.to_owned()), "footfall").expect("a key");
    (0..REQUESTS)
        .map(|_| request(wish, &agents, &keys, &mut chance))
        .collect()
}

/// The same people, each loading the pixel of one mail.
pub fn openings(pixel: &str) -> Vec<Request> {
    let mut chance = Chance::new(SEED);
    let agents = agents();
    (0..REQUESTS)
        .map(|_| opening(pixel, &agents, &mut chance))
        .collect()
}

fn opening(pixel: &str, agents: &[String], chance: &mut Chance) -> Request {
    let agent = &agents[chance.below(agents.len() as u64) as usize];
    let language = LANGUAGES[chance.below(LANGUAGES.len() as u64) as usize];
    let mut address = [0; 15];
    write_address(&mut address, chance);
    let mut head =
        format!("GET {pixel} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {agent}\r\nX-Forwarded-For: ");
    let address_at = head.len();
    head.push_str(&String::from_utf8_lossy(&address));
    head.push_str("\r\nX-Request-Id: ");
    let id_at = head.len();
    write!(
        head,
        "{:032}\r\nAccept: image/avif,image/webp,image/png,*/*\r\nAccept-Language: {language}\r\nAccept-Encoding: gzip, deflate, br\r\n\
         Sec-Fetch-Dest: image\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: cross-site\r\n\r\n",
        0
    )
    .expect("writing to a String does not fail");
    Request {
        bytes: head.into_bytes(),
        hits: 1,
        views: 0,
        ids_at: vec![id_at],
        address_at,
        owner: None,
    }
}

/// The names of the sites the load visits, as the profile rule `/u/{profile}` makes them.
pub fn sites() -> impl Iterator<Item = String> {
    (0..SITES).map(|site| format!("creator-{site:02}"))
}

impl Request {
    /// Makes the request one nobody has sent before, by somebody not seen before in `fresh` of a
    /// hundred cases.
    pub fn renew(&mut self, chance: &mut Chance, fresh: u64) {
        for &id_at in &self.ids_at {
            let (high, low) = (chance.next(), chance.next());
            let id = &mut self.bytes[id_at..id_at + 32];
            write_hex(&mut id[..16], high);
            write_hex(&mut id[16..], low);
        }
        if fresh > 0 && chance.percent(fresh) {
            self.change_address(chance);
        }
    }

    /// Comes from networks that a collector owns from now on.
    pub fn send_to_owner(&mut self, owner: Owner, chance: &mut Chance) {
        self.owner = Some(owner);
        self.change_address(chance);
    }

    fn change_address(&mut self, chance: &mut Chance) {
        let address = &mut self.bytes[self.address_at..self.address_at + 15];
        loop {
            write_address(address, chance);
            if self.owner.is_none_or(|owner| owner.owns(address)) {
                return;
            }
        }
    }
}

fn request(wish: Wish, agents: &[String], keys: &GrantKeys, chance: &mut Chance) -> Request {
    let agent = &agents[chance.below(agents.len() as u64) as usize];
    let language = LANGUAGES[chance.below(LANGUAGES.len() as u64) as usize];
    let page = page(chance);
    let Body {
        text,
        hits,
        views,
        ids_at,
    } = if wish == Wish::CountedTogether {
        joined_body(&page, chance)
    } else {
        single_body(&page, chance)
    };
    let mut address = [0; 15];
    write_address(&mut address, chance);
    let mut head = format!(
        "POST /ff/hit HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {agent}\r\nX-Forwarded-For: "
    );
    let address_at = head.len();
    head.push_str(&String::from_utf8_lossy(&address));
    let id = format!("{:016x}{:016x}", chance.next(), chance.next());
    let consent = keys
        .sign_grant_with_hex_id(1, &["analytics"], &id)
        .expect("an id");
    let signal = if wish == Wish::Dropped {
        "DNT: 1\r\n"
    } else {
        ""
    };
    write!(
        head,
        "\r\nAccept: */*\r\nAccept-Language: {language}\r\nAccept-Encoding: gzip, deflate, br\r\nContent-Type: application/json\r\n\
         Origin: https://{HOST}\r\nReferer: {page}\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\n{signal}\
         Cookie: ff_consent={consent}\r\nContent-Length: {}\r\n\r\n",
        text.len()
    )
    .expect("writing to a String does not fail");
    let body_at = head.len();
    head.push_str(&text);
    Request {
        bytes: head.into_bytes(),
        hits,
        views,
        ids_at: ids_at.into_iter().map(|at| body_at + at).collect(),
        address_at,
        owner: None,
    }
}

/// The body of a request, with the places of its hits' ids.
struct Body {
    text: String,
    hits: u64,
    views: u64,
    ids_at: Vec<usize>,
}

const ID_AT: usize = "{\"id\":\"".len();

fn single_body(page: &str, chance: &mut Chance) -> Body {
    let (text, view) = hit(page, chance);
    Body {
        text,
        hits: 1,
        views: u64::from(view),
        ids_at: vec![ID_AT],
    }
}

/// What a visitor did on one page, sent together.
fn joined_body(page: &str, chance: &mut Chance) -> Body {
    let mut body = Body {
        text: "[".to_owned(),
        hits: 0,
        views: 0,
        ids_at: Vec::new(),
    };
    for place in 0..HITS_PER_BODY {
        let (text, view) = hit(page, chance);
        if place > 0 {
            body.text.push(',');
        }
        body.ids_at.push(body.text.len() + ID_AT);
        body.text.push_str(&text);
        body.hits += 1;
        body.views += u64::from(view);
    }
    body.text.push(']');
    body
}

/// Half the visits go to twenty pages; a site has its profile page and fourteen below it.
fn page(chance: &mut Chance) -> String {
    let page = if chance.percent(50) {
        chance.below(BUSY_PAGES)
    } else {
        chance.below(PAGES)
    };
    let (site, post) = (page % SITES, page / SITES);
    match post {
        0 => format!("https://{HOST}/u/creator-{site:02}"),
        post => format!("https://{HOST}/u/creator-{site:02}/post-{post}"),
    }
}

/// Eight in ten hits are views, the rest clicks and events: about 240 bytes with a referrer.
fn hit(page: &str, chance: &mut Chance) -> (String, bool) {
    let referrer = match chance.percent(40) {
        true => String::new(),
        false => referrer(chance.below(REFERRERS)),
    };
    let campaign = match chance.percent(20) {
        true => format!(
            "?utm_source=newsletter&utm_medium=email&utm_campaign=spring-{}",
            chance.below(8)
        ),
        false => String::new(),
    };
    let what = match chance.below(20) {
        0..16 => "\"kind\":\"view\"".to_owned(),
        16..19 => {
            format!(
                "\"kind\":\"click\",\"name\":\"shop-{}\",\"engaged\":{}",
                chance.below(12),
                chance.below(60_000)
            )
        }
        _ => format!("\"kind\":\"event\",\"name\":\"signup-{}\"", chance.below(4)),
    };
    let view = what.ends_with("\"view\"");
    let body = format!(
        "{{\"id\":\"{:032}\",{what},\"url\":\"{page}{campaign}\",\"referrer\":\"{referrer}\"}}",
        0
    );
    (body, view)
}

fn referrer(which: u64) -> String {
    let base = REFERRING[(which % REFERRING.len() as u64) as usize];
    match which / REFERRING.len() as u64 {
        0 => base.to_owned(),
        variant => format!("{base}&page={variant}"),
    }
}

/// Ten families in thirty versions.
fn agents() -> Vec<String> {
    let mut agents = Vec::new();
    for version in 100..130 {
        let (os, safari) = (version % 5 + 13, version % 3 + 16);
        let webkit = "AppleWebKit/537.36 (KHTML, like Gecko)";
        let iphone = format!(
            "Mozilla/5.0 (iPhone; CPU iPhone OS {os}_{} like Mac OS X) AppleWebKit/605.1.15",
            version % 8
        );
        agents.extend([
            format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/{version}.0.0.0 Safari/537.36"),
            format!("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {webkit} Chrome/{version}.0.0.0 Safari/537.36"),
            format!("Mozilla/5.0 (X11; Linux x86_64) {webkit} Chrome/{version}.0.0.0 Safari/537.36"),
            format!("Mozilla/5.0 (Linux; Android {os}; Pixel 8) {webkit} Chrome/{version}.0.0.0 Mobile Safari/537.36"),
            format!("Mozilla/5.0 (Linux; Android 13; SM-S918B) {webkit} SamsungBrowser/{version}.0 Chrome/115.0.0.0 Mobile Safari/537.36"),
            format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/{version}.0.0.0 Safari/537.36 Edg/{version}.0.0.0"),
            format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"),
            format!("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{safari}.{} Safari/605.1.15", version % 10),
            format!("{iphone} (KHTML, like Gecko) Version/{safari}.{version} Mobile/15E148 Safari/604.1"),
            format!("{iphone} (KHTML, like Gecko) Mobile/15E148 Instagram {version}.0.0.21.112"),
        ]);
    }
    agents
}

fn write_hex(into: &mut [u8], value: u64) {
    for (place, byte) in into.iter_mut().enumerate() {
        *byte = b"0123456789abcdef"[((value >> (60 - 4 * place)) & 15) as usize];
    }
}

/// A public IPv4 address of exactly fifteen bytes, so that a new one fits over the old.
pub fn write_address(into: &mut [u8], chance: &mut Chance) {
    let bits = chance.next();
    let first = PUBLIC[(bits % PUBLIC.len() as u64) as usize];
    let octet = |shift: u32| 100 + ((bits >> shift) % 150) as u8;
    let octets = [first, octet(16), octet(32), octet(48)];
    into.fill(b'.');
    for (place, octet) in octets.into_iter().enumerate() {
        let at = place * 4;
        into[at] = b'0' + octet / 100;
        into[at + 1] = b'0' + octet / 10 % 10;
        into[at + 2] = b'0' + octet % 10;
    }
}
