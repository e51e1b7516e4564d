//! Hits as a test writes them down: a person, a page, a few header fields.

use super::{Answer, Body, CONSENT_VERSION, Client};

pub const AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36";

pub const SITES: &str = r#"
[[profiles]]
host = "pages.example"
path = "/u/{profile}"
zone = "UTC"
"#;

/// 2026-03-10T12:00:00Z.
pub const NOON: i64 = 1_773_144_000_000;
pub const DAY: &str = "from=2026-03-10&to=2026-03-10&limit=1000";

pub fn grant() -> String {
    format!("ff_consent={CONSENT_VERSION}.analytics.00112233445566778899aabbccddeeff")
}

pub fn view(path: &str) -> String {
    format!(r#"{{"kind":"view","url":"https://pages.example{path}"}}"#)
}

/// Sends a body as a consenting visitor of `pages.example`; `more` replaces or adds header fields.
pub fn hit(client: &mut Client, body: &str, more: &[(&str, &str)]) -> Answer {
    ask(client, "POST", "/ff/hit", body, more)
}

/// The same at any address.
pub fn ask(client: &mut Client, method: &str, target: &str, body: &str, more: &[(&str, &str)]) -> Answer {
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
    let kept = usual.into_iter().filter(|(name, _)| !more.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)));
    let headers: Vec<(&str, &str)> = kept.chain(more.iter().copied().filter(|(_, value)| *value != ABSENT)).collect();
    client.ask(method, target, &headers, Body::Sized(body.as_bytes())).expect("a hit is answered")
}

/// Takes a usual field away.
pub const ABSENT: &str = "\0absent";
