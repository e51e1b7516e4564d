//! Hits as a test describes them: a person, a page, a few header fields.

use footfall::config::Secret;
use footfall::consent::GrantKeys;

use super::{Answer, Body, CONSENT_VERSION, Client, Server};

pub const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36";

pub const SITES: &str = r#"
[[profiles]]
host = "pages.example"
path = "/u/{profile}"
zone = "UTC"
"#;

/// 2026-03-10T12:00:00Z.
pub const NOON: i64 = 1_773_144_000_000;
pub const DAY: &str = "from=2026-03-10&to=2026-03-10&limit=1000";

/// The key that signs the grants of every test's server: `consent.key_file`.
pub const CONSENT_KEYS: &str = "test YSBrZXkgZm9yIHRlc3RzLCBhIHNlY3JldCBmb3Igbm8\n";

/// The consent cookie's value of a grant, as a collector of the platform named `site` gives it.
pub fn signed(site: &str, version: u32, tiers: &str, id: &str) -> String {
    let keys = GrantKeys::parse_file(&Secret::new(CONSENT_KEYS.to_owned()), site).expect("a key");
    keys.sign_grant_with_hex_id(version, &tiers.split('+').collect::<Vec<_>>(), id)
        .expect("an id")
}

/// The consent cookie of a person; the same number is the same person.
pub fn grant_of(person: u128) -> String {
    format!(
        "ff_consent={}",
        signed(
            "footfall",
            CONSENT_VERSION,
            "analytics",
            &format!("{person:032x}")
        )
    )
}

pub fn grant() -> String {
    grant_of(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff)
}

pub fn view(path: &str) -> String {
    format!(r#"{{"kind":"view","url":"https://pages.example{path}"}}"#)
}

/// Sends a body as a consenting visitor of `pages.example`; `more` replaces or adds header fields.
pub fn hit(client: &mut Client, body: &str, more: &[(&str, &str)]) -> Answer {
    ask(client, "POST", "/ff/hit", body, more)
}

/// The same at any address.
pub fn ask(
    client: &mut Client,
    method: &str,
    target: &str,
    body: &str,
    more: &[(&str, &str)],
) -> Answer {
    send(client, method, target, Body::Sized(body.as_bytes()), more);
    client.receive().expect("a hit is answered")
}

/// The same without waiting for the answer.
pub fn send(client: &mut Client, method: &str, target: &str, body: Body, more: &[(&str, &str)]) {
    let cookie = grant();
    let now = NOON.to_string();
    let usual = [
        ("Host", "pages.example"),
        ("Origin", "https://pages.example"),
        ("User-Agent", AGENT),
        ("X-Forwarded-For", "198.51.100.7"),
        ("Cookie", &cookie),
        ("X-Footfall-Now", &now),
    ];
    let kept = usual.into_iter().filter(|(name, _)| {
        !more
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(name))
    });
    let headers: Vec<(&str, &str)> = kept
        .chain(more.iter().copied().filter(|(_, value)| *value != ABSENT))
        .collect();
    client
        .send(method, target, &headers, body)
        .expect("a hit is sent");
}

/// Takes a usual field away.
pub const ABSENT: &str = "\0absent";

/// Counts one view of each of mia's pages with these numbers.
pub fn view_pages(server: &Server, pages: std::ops::Range<usize>) {
    let mut client = server.client();
    for page in pages {
        let answer = hit(&mut client, &view(&format!("/u/mia/{page}")), &[]);
        assert_eq!(answer.status, 202, "{}", server.log());
    }
}
