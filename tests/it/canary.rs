//! Nothing personal at rest: planted addresses, user agents, cookies, queries and referrer paths
//! appear in no byte that the collector writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use footfall::clock::Clock;
use footfall::config::{Secret, VisitorMode, load_config};
use footfall::consent::{
    ConsentId, ConsentPolicy, DropCounters, Gate, GrantEvidence, GrantKeys, GrantLookup, RawHit,
};
use footfall::enrich::{CountryDatabase, Enricher, PageUrl};
use footfall::event::{
    ClientAddress, ClientHints, HitKind, HitPayload, LegalBasis, RequestCaller, RequestCookies,
    RequestSignals, SiteId, UserAgent,
};
use footfall::journal::{JournalWriter, WriterParts};
use footfall::pseudonym::{DayKeys, Pseudonymizer};
use footfall::sites::SiteDirectory;

use crate::support::{Body, CONSENT_KEYS, CONSENT_VERSION, NOON, SITES, Server};

/// Every file below a directory, with its contents.
pub fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let tree = crate::private::tree(dir).into_iter();
    let files = tree.filter(|(_, found)| found.is_file());
    files
        .map(|(path, _)| (path.clone(), fs::read(path).unwrap_or_default()))
        .collect()
}

pub fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    let first = needle[0];
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        rest = &rest[at..];
        if rest.starts_with(needle) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// An address as text and as the bytes it could be stored as.
fn forms_of_v4(octets: [u8; 4]) -> Vec<Vec<u8>> {
    let text = octets.map(|octet| octet.to_string()).join(".");
    let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    let number = u32::from_be_bytes(octets).to_string();
    vec![text.into_bytes(), hex.into_bytes(), number.into_bytes()]
}

#[test]
fn nothing_planted_in_a_hit_is_found_in_any_byte_the_collector_leaves() {
    let mut server = Server::start_with(SITES, &["log.filter=\"trace\""]);
    let mut client = server.client();
    let id = "cafe0123456789abcdefcafe01234567";
    let choice = crate::support::signed("footfall", CONSENT_VERSION, "analytics", id);
    let mac = choice.rsplit('.').next().unwrap();
    let cookie = format!("session=CANARYCOOKIE; ff_consent={choice}; other=CANARYTWO");
    let now = NOON.to_string();
    let v6 = "2001:db8:ca:fe12:3456:789a:bcde:f012";
    let octets = [203, 0, 113, 77];
    for (n, address) in ["203.0.113.77", v6].iter().cycle().take(200).enumerate() {
        let body = format!(
            r#"[{{"kind":"view","url":"https://pages.example/u/mia/{page}?token=CANARYQUERY&utm_source=news&email=canary%40example.org#CANARYFRAGMENT",
                 "referrer":"https://blog.example/CANARYREFERRERPATH?q=CANARYREFERRERQUERY","id":"deadbeefcafebabe{n:016x}"}},
                {{"kind":"click","url":"https://pages.example/u/mia","name":"https://shop.example/x?sid=CANARYLINK"}},
                {{"kind":"event","url":"https://pages.example/u/mia","name":"canary.person@example.org"}}]"#,
            page = n % 7
        );
        let headers = [
            ("Host", "pages.example"),
            ("Origin", "https://pages.example"),
            (
                "User-Agent",
                "Mozilla/5.0 (X11; Linux x86_64; CANARYAGENT) Gecko/20100101 Firefox/131.0",
            ),
            ("X-Forwarded-For", *address),
            ("Referer", "https://pages.example/u/mia?CANARYREFERER"),
            ("Accept-Language", "de-CANARYLANGUAGE"),
            ("Cookie", &cookie),
            ("X-Footfall-Now", &now),
            ("X-Canary", "CANARYHEADER"),
        ];
        assert_eq!(
            client
                .ask("POST", "/ff/hit", &headers, Body::Sized(body.as_bytes()))
                .unwrap()
                .status,
            202
        );
        // Also rejected hits, in every way there is.
        let refused = [headers.as_slice(), &[("DNT", "1")]].concat();
        assert_eq!(
            client
                .ask("POST", "/ff/hit", &refused, Body::Sized(body.as_bytes()))
                .unwrap()
                .status,
            202
        );
        assert_eq!(
            client
                .ask(
                    "POST",
                    "/ff/hit",
                    &headers,
                    Body::Sized(b"{\"kind\":\"CANARYBODY\"}")
                )
                .unwrap()
                .status,
            400
        );
    }
    server.flush();
    assert_eq!(
        server.report("mia", crate::support::DAY)["totals"]["hits"],
        200
    );
    let metrics = server.client().get("/metrics").unwrap().body;
    let environment = fs::read(format!("/proc/{}/environ", server.pid())).unwrap();
    // Some hits stay in the open segment. The program ends as in a crash, with SIGABRT, which
    // writes a core dump if dumps are enabled.
    assert_eq!(
        client
            .ask(
                "POST",
                "/ff/hit",
                &[
                    ("Host", "pages.example"),
                    ("User-Agent", "Mozilla/5.0 (X11; CANARYAGENT) Firefox/131.0"),
                    ("X-Forwarded-For", "203.0.113.77"),
                    ("Cookie", &cookie)
                ],
                Body::Sized(br#"{"kind":"view","url":"https://pages.example/u/mia/last"}"#)
            )
            .unwrap()
            .status,
        202
    );
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(
        core.split_whitespace().nth(4),
        Some("0"),
        "no core dumps: {core}"
    );
    let pid = rustix::process::Pid::from_raw(server.pid() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::ABORT).unwrap();
    server
        .ended_within(std::time::Duration::from_secs(10))
        .expect("it ends");

    let mut all = files(server.dir());
    all.push((PathBuf::from("/metrics"), metrics));
    all.push((PathBuf::from("/proc/environ"), environment));
    let mut needles: Vec<Vec<u8>> = [
        "CANARY",
        "canary",
        "cafe0123456789",
        mac,
        "deadbeefcafebabe",
        "2001:db8:ca:fe12",
        "20010db800cafe12",
        "fe12:3456",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    needles.extend(forms_of_v4(octets));
    let mut v6_bytes = v6.parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec();
    needles.push(v6_bytes.clone());
    v6_bytes.reverse();
    needles.push(v6_bytes);
    assert!(
        all.iter().any(|(path, _)| path.ends_with("log")),
        "the log is among what is searched"
    );
    assert!(
        all.iter()
            .any(|(path, _)| path.extension().is_some_and(|e| e == "open")),
        "an open segment is among what is searched"
    );
    let planted = all.iter().any(|(_, bytes)| holds(bytes, b"/u/mia/last"));
    assert!(planted, "what may be kept is found: the search works");
    for (path, bytes) in &all {
        for needle in &needles {
            assert!(
                !holds(bytes, needle),
                "{} holds {:?}",
                path.display(),
                String::from_utf8_lossy(needle)
            );
        }
    }
    // Anyone with the key could forge grants: searched as text and as the bytes in use.
    let key = CONSENT_KEYS.trim().split_once(' ').unwrap().1;
    for (path, bytes) in &all {
        let found =
            holds(bytes, key.as_bytes()) || holds(bytes, b"a key for tests, a secret for no");
        assert_eq!(found, path.ends_with("consent.keys"), "{}", path.display());
    }
}

#[test]
fn the_visitor_value_is_in_no_byte_of_the_journal_even_to_one_who_knows_the_days_key() {
    const KEY: [u8; 32] = [7; 32];
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let journal_dir = dir.path().join("journal");
    let set = |key: &str, value: String| (key.to_owned(), value);
    let sources = footfall::config::ConfigSources {
        file: Some(("test".into(), SITES.into())),
        overrides: vec![
            set("journal.dir", format!("{journal_dir:?}")),
            set("consent.version", CONSENT_VERSION.to_string()),
        ],
        ..Default::default()
    };
    let config = load_config(sources, |_| unreachable!()).unwrap();
    let directory = SiteDirectory::new(&config);
    let hosts = directory.resolver();
    let refusals = Arc::new(DropCounters::default());
    let keys = Arc::new(DayKeys::new(directory.time_zones(), |key| {
        key.copy_from_slice(&KEY)
    }));
    let parts = WriterParts {
        clock: Clock::new_test(NOON),
        day_keys: Arc::clone(&keys),
        drop_counters: Arc::clone(&refusals),
    };
    let (sealed, _kept) = tokio::sync::mpsc::unbounded_channel();
    let (journal, writer) = JournalWriter::open(&config, parts, sealed, None).unwrap();
    let writer = std::thread::spawn(move || writer.run());
    let keys_of_grants =
        GrantKeys::parse_file(&Secret::new(CONSENT_KEYS.into()), &config.consent.site).unwrap();
    let proofs = GrantEvidence {
        keys: keys_of_grants,
        withdrawn: Arc::default(),
        grant_lookup: Box::new(NoLedger),
    };
    let terms = Arc::new(ConsentPolicy::new(&config, |_| CONSENT_VERSION, proofs));
    let gate = Gate::new(&config, terms, refusals);
    let enricher = Enricher::new([1; 32], CountryDatabase::without_file());
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0";
    let mut values = Vec::new();
    for last in 0..=255_u8 {
        let address = std::net::IpAddr::from([203, 0, 113, last]);
        let cookie = crate::support::grant_of(u128::from(last));
        let mut cookies = RequestCookies::default();
        cookies.push_line(cookie.as_bytes());
        let caller = RequestCaller {
            received_at: NOON,
            address: ClientAddress::new(address),
            agent: UserAgent::new(agent),
            hints: ClientHints::default(),
            language: None,
            cookies: &cookies,
            signals: RequestSignals::default(),
            known_bot: false,
        };
        let client = enricher.classify_client(&caller.agent, &caller.hints);
        let page = PageUrl::parse("https://pages.example/u/mia").unwrap();
        let site = hosts.resolve_page(page.host(), page.lookup_path()).unwrap();
        let payload = HitPayload::new(HitKind::View, "");
        let caller = gate.read_choice(caller);
        let hit = RawHit {
            caller: &caller,
            payload,
            site: Some(site),
            legal_basis: LegalBasis::VisitorChoice,
            over_rate: false,
        };
        let admitted = gate.admit(hit).unwrap();
        let address = &caller.request().address;
        let facts = enricher.derive_attributes(&page, "", client, address, None);
        let event = Pseudonymizer::default().pseudonymize(
            admitted,
            site,
            page.clean_path_below(site.path).into(),
            facts,
            &keys.get_or_create(site.zone, NOON),
            VisitorMode::KeyedHash,
        );
        drop(journal.queue.submit_hits(std::iter::once(event)).unwrap());
        values.push(visitor_value(
            &KEY,
            SiteId::from_key("mia"),
            [203, 0, 113, last],
            agent,
        ));
    }
    journal.queue.close();
    writer.join().unwrap().unwrap();
    let all = files(&journal_dir);
    assert!(
        all.iter().any(|(_, bytes)| holds(bytes, b"/u/mia")),
        "the journal holds the page"
    );
    for (path, bytes) in &all {
        for value in &values {
            let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
            let reversed: Vec<u8> = value[..8].iter().rev().copied().collect();
            for form in [
                &value[..],
                &value[..8],
                &value[8..],
                &reversed,
                hex.as_bytes(),
            ] {
                assert!(
                    !holds(bytes, form),
                    "{} holds a visitor's value",
                    path.display()
                );
            }
        }
    }
}

struct NoLedger;

impl GrantLookup for NoLedger {
    fn is_live(&self, _: &ConsentId, _: u32, _: &mut dyn Iterator<Item = &str>) -> bool {
        false
    }
}

/// The visitor value by its published definition (docs/understand/PRIVACY.md), implemented a second
/// time.
fn visitor_value(key: &[u8; 32], site: SiteId, address: [u8; 4], agent: &str) -> [u8; 16] {
    let mut message = b"visitor/v2".to_vec();
    message.extend(site.as_u128().to_le_bytes());
    message.push(4);
    message.extend(address);
    message.extend([0; 13]);
    message.extend(agent.as_bytes());
    let hash = blake3::keyed_hash(key, &message);
    hash.as_bytes()[..16].try_into().unwrap()
}
