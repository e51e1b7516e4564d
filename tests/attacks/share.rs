//! P4: a share link is asked twice, with a publication between, and what it says of small groups is
//! looked at.

use serde_json::{Value, json};

use crate::crowd::{Crowd, DIMENSIONS, Person};
use crate::people::Dice;
use crate::stage::{DAY, FIRST, HOUR, Sent, Stage, date, rows};
use crate::{Figure, found};

const SITE: &str = "sharer";
/// The first four are shared.
const DAYS: usize = 9;
const SHARED: usize = 4;
const VISITORS: usize = 24;
const SHARE_K: u64 = 20;

pub fn attack(_: bool) -> Vec<Figure> {
    let mut stage = Stage::start(&[]);
    let mut dice = Dice::new(4);
    let mut crowd = Crowd::new(&mut dice, 60);
    let mut answers: Vec<Vec<u8>> = Vec::new();
    let mut link = None;
    for day in 0..DAYS {
        let people: Vec<Person> = (0..VISITORS).map(|_| crowd.person(&mut dice)).collect();
        crowd.new_day();
        let bodies: Vec<String> = people
            .iter()
            .map(|person| person.beacon("view", "/u/sharer", None).to_string())
            .collect();
        let sent = people.iter().zip(&bodies).map(
            |(
                Person {
                    address,
                    agent,
                    language,
                    ..
                },
                body,
            )| Sent {
                body,
                address,
                agent: agent.header,
                language,
            },
        );
        stage.send(
            FIRST + DAY * day as i64 + 12 * HOUR,
            &sent.collect::<Vec<_>>(),
        );
        stage.end(day);
        if day + 1 == SHARED {
            link = Some(share(&mut stage));
        }
        if let Some(link) = &link {
            let answer = stage.ask("GET", link, &[], "");
            assert_eq!(answer.status, 200, "{}", answer.text());
            answers.push(answer.body);
        }
    }

    let changed = answers.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let shown: Value = serde_json::from_slice(&answers[0]).expect("a report is JSON");
    let lists = DIMENSIONS.iter().map(|dim| rows(&shown, dim));
    let small = lists
        .flatten()
        .filter(|(_, visitors)| *visitors < SHARE_K)
        .count();
    assert!(
        rows(&shown, "source").len() > 1,
        "a link that says nothing proves nothing: {shown}"
    );
    vec![
        found("share_answers_changed", changed as f64, 0.0),
        found("share_cells_under_20", small as f64, 0.0),
    ]
}

/// The path of the link's report.
fn share(stage: &mut Stage) -> String {
    let body = json!({"from": date(0), "to": date(SHARED - 1)}).to_string();
    let made = stage.ask(
        "POST",
        &format!("/api/v1/sites/{SITE}/shares"),
        &[("Content-Type", "application/json")],
        &body,
    );
    assert!([200, 201].contains(&made.status), "{}", made.text());
    let made: Value = serde_json::from_slice(&made.body).expect("JSON");
    let secret = made["url"]
        .as_str()
        .and_then(|url| url.strip_prefix("/share/"))
        .expect("a link");
    format!("/api/v1/shares/{secret}/report")
}
