//! Real mail programs, proxies and scanners get the right reader class. One line of `readers.txt`
//! each.

use footfall::enrich::{Countries, Enricher};
use footfall::event::{Address, Agent, Hints, MailAction, Reader};
use footfall::mail::{Judge, Load};

use crate::support::NOON;

const PERSON: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.3.1";

fn judge() -> Judge {
    Judge::new(&footfall::config::load(Default::default(), |_| unreachable!()).unwrap().mail).unwrap()
}

fn enricher() -> Enricher {
    Enricher::new([1; 32], Countries::none())
}

#[test]
fn real_mail_programs_proxies_and_scanners_are_who_they_are() {
    let (judge, enricher) = (judge(), enricher());
    let lines: Vec<&str> = include_str!("readers.txt").lines().filter(|line| !line.starts_with('#')).collect();
    assert!(lines.len() > 35);
    let mut wrong = Vec::new();
    for line in lines {
        let [action, address, agent, expected] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let (address, known_bot) =
            (Address::new(address.parse().unwrap()), enricher.client(&Agent::new(agent), &Hints::default()).bot);
        let action = MailAction::ALL.into_iter().find(|known| known.name() == action).unwrap();
        let agent = Agent::new(agent);
        let load =
            Load { at: NOON, action, address: &address, agent, head: false, prefetch: false, known_bot, sent: None };
        let found = judge.reader(&load).name();
        if found != expected {
            wrong.push(format!("{found} for {line}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn how_and_when_a_mail_is_loaded_outweighs_who_says_they_load_it() {
    let judge = judge();
    let address = Address::new([198, 51, 100, 7].into());
    let verdict = |agent, head, prefetch, sent: Option<i64>| {
        let (at, agent, sent) = (NOON, Agent::new(agent), sent.map(|ago| NOON - ago));
        judge.reader(&Load {
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
    let gmail = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)";
    for (agent, person) in [(PERSON, Reader::Direct), (gmail, Reader::Proxied)] {
        assert_eq!(verdict(agent, false, false, None), person);
        assert_eq!(verdict(agent, true, false, None), Reader::Machine);
        assert_eq!(verdict(agent, false, true, None), Reader::Machine);
        assert_eq!(verdict(agent, false, false, Some(9_999)), Reader::Machine);
        assert_eq!(verdict(agent, false, false, Some(10_000)), person);
    }
}
