//! Small cells against subtraction: within one range, nothing that the API answers about a site lets anybody work out a group of one to
//! four people, not even from all its answers together.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{AGENT, NOON, SITES, Server, hit};

const K: u64 = 5;
const SITES_TRIED: u64 = 24;
const RANGE: &str = "from=2026-03-10&to=2026-03-10&limit=1000";

/// A small generator of our own: the same sites every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// Sends a site's day: some people, each with a source, perhaps a campaign, some pages, links and events, some of them back later from elsewhere.
fn send(server: &Server, site: u64, dice: &mut Dice) {
    let mut client = server.client();
    let people = 3 + dice.below(24);
    let mut at = NOON;
    for person in 0..people {
        let address = format!("198.51.{site}.{}", person + 1);
        for visit in 0..1 + dice.below(2) {
            at += if visit == 0 { 1 } else { 40 * 60_000 };
            let referrer =
                ["https://one.example/", "https://two.example/", "https://three.example/", ""][dice.below(4) as usize];
            let campaign = ["", "?utm_campaign=tour", "?utm_campaign=kiln"][dice.below(3) as usize];
            let mut bodies = Vec::new();
            for _ in 0..1 + dice.below(3) {
                let url = format!(
                    "https://pages.example/u/s{site}{}{campaign}",
                    ["", "/shop", "/tour"][dice.below(3) as usize]
                );
                bodies.push(json!({"kind": "view", "url": url, "referrer": referrer}));
                let click = |name| json!({"kind": "click", "url": &url, "name": name});
                match dice.below(3) {
                    0 => bodies.push(click(["a", "b"][dice.below(2) as usize])),
                    1 => bodies.push(json!({"kind": "event", "url": url, "name": "play"})),
                    _ => {}
                }
            }
            let now = at.to_string();
            let own = [("X-Forwarded-For", &*address), ("X-Footfall-Now", &*now), ("User-Agent", AGENT)];
            assert_eq!(hit(&mut client, &Value::from(bodies).to_string(), &own).status, 202);
        }
    }
}

type Group = (String, String, String);

/// What somebody who asked everything knows: exact totals of every subject's item, and the values of each of its dimensions that were shown.
#[derive(Default)]
struct Known {
    totals: BTreeMap<(String, String), (u64, u64)>,
    shown: BTreeMap<Group, BTreeMap<String, (u64, u64)>>,
    /// Where `(other)` was shown, what it said.
    other: BTreeMap<Group, (u64, u64)>,
}

fn pair(row: &Value) -> (u64, u64) {
    (row["visitors"].as_u64().unwrap(), row["visits"].as_u64().unwrap())
}

impl Known {
    fn breakdowns(&mut self, subject: &str, item: &str, answer: &Value) {
        for (dim, breakdown) in answer["dimensions"].as_object().into_iter().flatten() {
            let group = (subject.to_owned(), item.to_owned(), dim.clone());
            for row in breakdown["rows"].as_array().into_iter().flatten() {
                match row["value"].as_str().unwrap() {
                    "(other)" => _ = self.other.insert(group.clone(), pair(row)),
                    value => self.tell(group.clone(), value, pair(row)),
                }
            }
        }
    }

    /// Two answers about one cell must agree.
    fn tell(&mut self, group: Group, value: &str, counts: (u64, u64)) {
        let before = self.shown.entry(group.clone()).or_default().insert(value.to_owned(), counts);
        assert!(before.is_none_or(|before| before == counts), "{group:?} {value}: {before:?} and {counts:?}");
    }
}

fn learn(server: &Server, site: u64) -> Known {
    let ask = |filter: &str| server.report(&format!("s{site}"), &format!("{RANGE}{filter}"));
    let mut known = Known::default();
    let whole = ask("");
    known.totals.insert(("site".into(), String::new()), pair(&whole["totals"]));
    known.breakdowns("site", "", &whole);
    for (subject, items) in whole["subjects"].as_object().unwrap() {
        for row in items["rows"].as_array().unwrap() {
            let item = row["item"].as_str().unwrap();
            known.totals.insert((subject.clone(), item.to_owned()), pair(row));
            known.breakdowns(subject, item, &ask(&format!("&filter={subject}:{item}")));
        }
    }
    // Every value there is, also those that no breakdown named.
    let values = [
        "source:one.example",
        "source:two.example",
        "source:three.example",
        "source:(direct)",
        "source:(other)",
        "campaign:tour",
        "campaign:kiln",
        "campaign:(other)",
        "country:(unknown)",
    ];
    for filter in values {
        let (dim, value) = filter.split_once(':').unwrap();
        let answer = ask(&format!("&filter={filter}"));
        if answer.get("fewer_than").is_some() {
            continue;
        }
        if value != "(other)" {
            known.tell(("site".into(), String::new(), dim.to_owned()), value, pair(&answer["totals"]));
        }
        for (subject, items) in answer["subjects"].as_object().unwrap() {
            for row in items["rows"].as_array().into_iter().flatten().filter(|_| value != "(other)") {
                let group = (subject.clone(), row["item"].as_str().unwrap().to_owned(), dim.to_owned());
                known.tell(group, value, pair(row));
            }
        }
    }
    known
}

#[test]
fn no_answers_about_one_range_together_tell_of_one_to_four_people() {
    let server = Server::start(SITES);
    server.flush();
    let mut dice = Dice(7);
    for site in 0..SITES_TRIED {
        send(&server, site, &mut dice);
    }
    server.flush();
    let (mut groups, mut hidden) = (0, 0);
    for site in 0..SITES_TRIED {
        let known = learn(&server, site);
        for (group, shown) in &known.shown {
            let (subject, item, dim) = group;
            // A visit without a campaign has no campaign: what is left of the total is nobody's group.
            if dim == "campaign" {
                assert!(shown.values().all(|(visitors, _)| *visitors >= K), "site {site} {group:?}: {shown:?}");
                continue;
            }
            let (visitors, visits) = known.totals[&(subject.clone(), item.clone())];
            let left = (
                visitors - shown.values().map(|(n, _)| n).sum::<u64>(),
                visits - shown.values().map(|(_, n)| n).sum::<u64>(),
            );
            groups += 1;
            hidden += u64::from(left != (0, 0));
            assert!(left == (0, 0) || left.0 >= K, "site {site} {group:?}: all but {left:?} are told apart: {shown:?}");
            if let Some(other) = known.other.get(group) {
                assert_eq!(*other, left, "site {site} {group:?}");
            }
            assert!(shown.values().all(|(visitors, _)| *visitors >= K), "site {site} {group:?}: {shown:?}");
        }
    }
    assert!(
        groups > 100 && hidden > 40,
        "{groups} breakdowns show something, {hidden} hide something: too few to mean much"
    );
}
