//! P10: consent that nobody gave. Cookies in the shape of a grant, copies of a real one with one
//! character changed, a withdrawn one.

use crate::people::Dice;
use crate::support::{ABSENT, Answer, CONSENT_VERSION, SITES, Server, ask, hit, view};
use crate::{Figure, found};

pub fn attack(full: bool) -> Vec<Figure> {
    let server = Server::start(SITES);
    server.flush();
    let mut client = server.client();
    let mut dice = Dice::new(10);
    let page = view("/u/mia");
    let counted = || server.metric("footfall_hits_total");
    let mut try_with = |cookie: &str| {
        let before = counted();
        assert_eq!(hit(&mut client, &page, &[("Cookie", cookie)]).status, 202);
        counted() - before
    };

    let made_up = (0..if full { 5_000 } else { 100 }).map(|_| {
        let id = format!("{:016x}{:016x}", dice.roll(), dice.roll());
        let more = format!("{:016x}{:016x}", dice.roll(), dice.roll());
        [
            format!("{CONSENT_VERSION}.analytics.{id}"),
            format!("{CONSENT_VERSION}.analytics.{id}.{more}"),
        ]
    });
    let invented: u64 = made_up
        .flatten()
        .map(|value| try_with(&format!("ff_consent={value}")))
        .sum();
    let ledger = std::fs::metadata(server.dir().join("data/ledger/acts.ledger"))
        .map_or(0, |file| file.len());
    assert_eq!(ledger, 0, "nobody was asked");

    let cookie = chosen(&answer(&server, "grant", ""));
    assert_eq!(try_with(&cookie), 1, "a grant counts");
    let start = cookie.find(".analytics.").expect("a grant") + ".analytics.".len();
    let altered: u64 = (start..cookie.len())
        .filter(|at| cookie.as_bytes()[*at].is_ascii_hexdigit())
        .map(|at| {
            let other = if &cookie[at..=at] == "0" { "1" } else { "0" };
            try_with(&[&cookie[..at], other, &cookie[at + 1..]].concat())
        })
        .sum();

    assert_eq!(answer(&server, "withdraw", &cookie).status, 200);
    let withdrawn = try_with(&cookie);
    vec![
        found("hits_of_made_up_grants", invented as f64, 0.0),
        found("hits_of_altered_grants", altered as f64, 0.0),
        found("hits_of_withdrawn_grants", withdrawn as f64, 0.0),
    ]
}

/// Answers the consent question as a page of the site does.
fn answer(server: &Server, act: &str, cookie: &str) -> Answer {
    let tiers = if act == "grant" {
        r#""tiers":{"analytics":true},"#
    } else {
        ""
    };
    let body = format!(
        r#"{{"version":{CONSENT_VERSION},"act":"{act}",{tiers}"lang":"en","layer":"first","path":"/u/mia"}}"#
    );
    let cookie = if cookie.is_empty() { ABSENT } else { cookie };
    let fields = [
        ("Cookie", cookie),
        ("Content-Type", "application/json"),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    ask(&mut server.client(), "POST", "/ff/consent", &body, &fields)
}

fn chosen(answer: &Answer) -> String {
    let set = answer
        .header("set-cookie")
        .unwrap_or_else(|| panic!("a cookie is set: {}", answer.text()));
    set.split(';').next().unwrap_or_default().to_owned()
}
