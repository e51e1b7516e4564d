//! P6: a link tagged for one person, and forged visits beside hers so that her group is large
//! enough to be told.
//!
//! Whoever commands k - 1 networks can still do it; that is a limit of counting and PRIVACY.md says
//! so. One network must not be enough.

use crate::crowd::{Crowd, Person};
use crate::people::Dice;
use crate::stage::{DAY, FIRST, HOUR, Sent, Stage, range, rows};
use crate::{Figure, found, told};

const K: usize = 5;
/// Creators attacked in each way: the coin decides, so one alone could be luck.
const TRIES: usize = 10;
const DAYS: usize = 4;
const OTHERS: usize = 12;

/// Where the forged visits come from; `n` counts from 0.
type From = fn(n: usize) -> String;

const WAYS: [(&str, From); 3] = [
    ("address", |_| "203.0.113.7".to_owned()),
    ("network", |n| format!("203.0.113.{}", 7 + n)),
    ("networks", |n| format!("203.{}.113.7", n + 1)),
];

pub fn attack(_: bool) -> Vec<Figure> {
    let mut stage = Stage::start(&[]);
    let mut dice = Dice::new(6);
    let mut crowd = Crowd::new(&mut dice, 40);
    for site in sites() {
        let page = format!("/u/{}", site.0);
        let tagged = format!("https://pages.example{page}?utm_campaign=alice&utm_source=for-alice");
        let visit = |body: &str, address: &str, agent: &str| {
            (body.to_owned(), address.to_owned(), agent.to_owned())
        };
        let body = format!(
            r#"[{{"kind":"view","url":"{tagged}"}},{{"kind":"click","url":"{tagged}","name":"her-choice"}}]"#
        );
        let mut visits = vec![visit(&body, "198.51.100.7", agent(0).as_str())];
        visits.extend((1..K).map(|n| visit(&body, &(site.1)(n - 1), &agent(n))));
        for _ in 0..OTHERS {
            let person: Person = crowd.person(&mut dice);
            let body = person.beacon("view", &page, None).to_string();
            visits.push(visit(&body, &person.address, person.agent.header));
        }
        crowd.new_day();
        let all: Vec<Sent<'_>> = visits
            .iter()
            .map(|(body, address, agent)| Sent {
                body,
                address,
                agent,
                language: "en",
            })
            .collect();
        stage.send(FIRST + 12 * HOUR, &all);
    }
    for day in 0..DAYS {
        // Somebody comes each day, so that there is something to publish.
        let body = r#"{"kind":"view","url":"https://pages.example/u/quiet"}"#;
        let now = FIRST + DAY * day as i64 + 13 * HOUR;
        stage.send(
            now,
            &[Sent {
                body,
                address: "192.0.2.1",
                agent: &agent(0),
                language: "en",
            }],
        );
        stage.end(day);
    }

    let mut figures = Vec::new();
    for (name, _) in WAYS {
        let mut betrayed = 0;
        for (site, ..) in sites().filter(|(site, _)| site.starts_with(&format!("{name}-"))) {
            let of_site = stage.report(&site, &range(0, DAYS - 1));
            let of_link = stage.report(&site, &(range(0, DAYS - 1) + "&filter=link:her-choice"));
            let lists = [
                (&of_site, "campaign"),
                (&of_site, "source"),
                (&of_link, "campaign"),
                (&of_link, "source"),
            ];
            let hers = |(report, dim)| {
                rows(report, dim)
                    .iter()
                    .any(|(value, _)| value.ends_with("alice"))
            };
            betrayed += usize::from(lists.into_iter().any(hers));
        }
        let line = format!("told_by_forged_visits_of_one_{name}");
        figures.push(match name {
            "networks" => told(
                "told_by_forged_visits_of_k_minus_1_networks_percent",
                100.0 * betrayed as f64 / TRIES as f64,
            ),
            _ => found(&line, betrayed as f64, 0.0),
        });
    }
    figures
}

fn sites() -> impl Iterator<Item = (String, From)> {
    WAYS.into_iter()
        .flat_map(|(name, from)| (0..TRIES).map(move |n| (format!("{name}-{}", letter(n)), from)))
}

fn letter(n: usize) -> char {
    char::from(b'a' + u8::try_from(n).expect("few tries"))
}

/// Browsers that differ in a digit.
fn agent(n: usize) -> String {
    format!(
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/13{n}.0.0.0 Safari/537.36"
    )
}
