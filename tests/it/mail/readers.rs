//! Real mail programs, proxies and scanners get the right reader class. One line of `readers.txt`
//! each.

use footfall::enrich::{CountryDatabase, Enricher};
use footfall::event::{ClientAddress, ClientHints, MailAction, ReaderKind, UserAgent};
use footfall::mail::{ReaderClassifier, ReaderSignals};

use crate::support::NOON;

const PERSON: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.3.1";

fn judge() -> ReaderClassifier {
    ReaderClassifier::new(
        &footfall::config::load_config(Default::default(), |_| unreachable!())
            .unwrap()
            .mail,
    )
    .unwrap()
}

fn enricher() -> Enricher {
    Enricher::new([1; 32], CountryDatabase::without_file())
}

#[test]
fn real_mail_programs_proxies_and_scanners_are_who_they_are() {
    let (judge, enricher) = (judge(), enricher());
    let lines: Vec<&str> = include_str!("readers.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert!(lines.len() > 35);
    let mut wrong = Vec::new();
    for line in lines {
        let [action, address, agent, expected] =
            line.split('|').map(str::trim).collect::<Vec<_>>()[..]
        else {
            panic!("{line}")
        };
        let (address, known_bot) = (
            ClientAddress::new(address.parse().unwrap()),
            enricher
                .classify_client(&UserAgent::new(agent), &ClientHints::default())
                .bot,
        );
        let action = MailAction::ALL
            .into_iter()
            .find(|known| known.name() == action)
            .unwrap();
        let agent = UserAgent::new(agent);
        let load = ReaderSignals {
            at: NOON,
            action,
            address: &address,
            agent,
            head: false,
            prefetch: false,
            known_bot,
            sent: None,
        };
        let found = judge.classify_reader(&load).name();
        if found != expected {
            wrong.push(format!("{found} for {line}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn how_and_when_a_mail_is_loaded_outweighs_who_says_they_load_it() {
    let judge = judge();
    let address = ClientAddress::new([198, 51, 100, 7].into());
    let verdict = |agent, head, prefetch, sent: Option<i64>| {
        let (at, agent, sent) = (NOON, UserAgent::new(agent), sent.map(|ago| NOON - ago));
        judge.classify_reader(&ReaderSignals {
            at,
            action: MailAction::Open,
            address: &address,
            agent,
            head,
            prefetch,
            known_bot: false,
            sent,
        })
    };
    let gmail =
        "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)";
    for (agent, person) in [(PERSON, ReaderKind::Direct), (gmail, ReaderKind::Proxied)] {
        assert_eq!(verdict(agent, false, false, None), person);
        assert_eq!(verdict(agent, true, false, None), ReaderKind::Machine);
        assert_eq!(verdict(agent, false, true, None), ReaderKind::Machine);
        assert_eq!(
            verdict(agent, false, false, Some(9_999)),
            ReaderKind::Machine
        );
        assert_eq!(verdict(agent, false, false, Some(10_000)), person);
    }
}
