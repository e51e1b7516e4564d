//! Mail pixels and links over HTTP: what they answer, what is counted, and what is not.

mod answers;
mod attack;
mod counts;
mod keys;
mod messages;
mod readers;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use footfall::config::{Config, ConfigSources, Secret};
use footfall::mail::{LinkSigner, MailKeys, MailLink, SignRequest, SignedMail};
use serde_json::{Value, json};

use crate::support::{Answer, Body, Client, NOON, SITES, Server};

/// The key of docs/use/MAIL.md.
const KEY: &str = "k1 test-secret-of-32-bytes-or-more!\n";
const ORIGIN: &str = "https://pages.example";
pub const PERSON: &str =
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.3.1";
const GMAIL: &str =
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)";
const BATCH: jiff::civil::Date = jiff::civil::date(2026, 3, 10);

/// Written once: a collector of another test may be reading it.
fn key_file() -> &'static Path {
    static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("mail-{}.keys", std::process::id()));
        std::fs::write(&path, KEY).unwrap();
        path
    });
    &FILE
}

/// The settings of a collector that counts the mails `welcome` and `billing_receipt`.
pub fn mail_settings() -> [String; 4] {
    [
        "mail.enabled=true".to_owned(),
        "mail.templates=[\"welcome\",\"billing_receipt\"]".to_owned(),
        format!("mail.key_file={:?}", key_file()),
        format!("mail.origin={ORIGIN}"),
    ]
}

/// A collector with these settings; `more` are further ones.
pub fn start(more: &[&str]) -> Server {
    let own = mail_settings();
    let own = own.iter().map(String::as_str);
    Server::start_with(SITES, &own.chain(more.iter().copied()).collect::<Vec<_>>())
}

/// The signer of a platform that signs links itself, independently of its collector.
pub fn signer() -> LinkSigner {
    signer_with(KEY, false)
}

fn signer_with(key: &str, http: bool) -> LinkSigner {
    let set = [
        ("mail.templates", "[\"welcome\",\"newsletter\"]"),
        ("mail.origin", ORIGIN),
        ("mail.http_targets", if http { "true" } else { "false" }),
    ];
    let set = set
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let config: Config = footfall::config::load_config(
        ConfigSources {
            overrides: set,
            ..ConfigSources::default()
        },
        |_| unreachable!(),
    )
    .unwrap();
    LinkSigner::new(
        &config.mail,
        "/ff",
        MailKeys::parse(&Secret::new(key.to_owned())).unwrap(),
    )
}

pub fn order(links: &[(&str, &str)]) -> SignRequest {
    let links = links.iter().map(|(link, url)| MailLink {
        link: (*link).to_owned(),
        url: (*url).to_owned(),
    });
    SignRequest {
        template: "welcome".to_owned(),
        consent: true,
        batch: Some(BATCH),
        expires: None,
        sent: None,
        links: links.collect(),
    }
}

pub fn mint(order: &SignRequest) -> SignedMail {
    signer().sign_mail(order, BATCH).unwrap()
}

/// The path of a minted URL.
pub fn path(url: &str) -> String {
    url.strip_prefix(ORIGIN).unwrap().to_owned()
}

pub fn pixel() -> String {
    path(&mint(&order(&[])).pixel.unwrap())
}

pub fn link(name: &str, target: &str) -> String {
    path(&mint(&order(&[(name, target)])).links[0].url)
}

/// Loads a pixel or follows a link as `agent` from `address`, `later` milliseconds after noon;
/// `more` are further header fields.
pub fn load(
    client: &mut Client,
    path: &str,
    (address, agent): (&str, &str),
    later: i64,
    more: &[(&str, &str)],
) -> Answer {
    let now = (NOON + later).to_string();
    let own = [
        ("Host", "pages.example"),
        ("X-Forwarded-For", address),
        ("User-Agent", agent),
        ("X-Footfall-Now", &now),
    ];
    let headers: Vec<(&str, &str)> = own.into_iter().chain(more.iter().copied()).collect();
    client.ask("GET", path, &headers, Body::None).unwrap()
}

/// People, each with a program and an address of their own.
pub fn persons(many: std::ops::Range<u8>) -> impl Iterator<Item = String> {
    many.map(|n| format!("198.51.{n}.7"))
}

/// All counts so far, after the delay of clicks.
pub fn report(server: &Server) -> Value {
    let (host, now) = (server.address().to_string(), (NOON + 3_600_000).to_string());
    let headers = [("Host", host.as_str()), ("X-Footfall-Now", &now)];
    assert_eq!(
        server
            .client()
            .ask("POST", "/test/flush", &headers, Body::None)
            .unwrap()
            .status,
        200
    );
    let answer = server
        .client()
        .get("/api/v1/mail?from=2026-03-10&to=2026-03-10")
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

pub fn nothing_counted(server: &Server) {
    assert_eq!(report(server)["templates"], json!([]));
}

pub fn classes(direct: u64, proxied: u64, machine: u64) -> Value {
    json!({"direct": direct, "proxied": proxied, "machine": machine})
}

/// `POST /api/v1/mail/links` by the operator, at noon of the batch's day.
pub fn ask_for_links(server: &Server, body: &str) -> (u16, Value) {
    let (host, now) = (server.address().to_string(), NOON.to_string());
    let headers = [("Host", host.as_str()), ("X-Footfall-Now", &now)];
    let answer = server
        .client()
        .ask(
            "POST",
            "/api/v1/mail/links",
            &headers,
            Body::Sized(body.as_bytes()),
        )
        .unwrap();
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

pub fn refused(server: &Server, reason: &str) -> u64 {
    server.metric(&format!("footfall_drops_total{{reason=\"{reason}\"}}"))
}
