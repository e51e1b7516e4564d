//! Comparisons of unfinished days: a site where every day is like the one before shows no change at
//! any hour and range, because an unfinished day is compared with as much of a day as is over.

use serde_json::Value;

use crate::support::{Body, SITES, Server, grant_of, hit};

const HOUR: i64 = 3_600_000;
/// 2026-02-01T00:00:00Z, a Sunday.
const FIRST: i64 = 1_769_904_000_000;
/// Days that are over: today is the fifth of March.
const DAYS: i64 = 32;

/// When visitors come, in minutes of the day, and what they do: views, clicks, minutes until their
/// last activity.
type Habit = &'static [(i64, usize, usize, i64)];

const SITES_AND_HABITS: [(&str, Habit); 2] = [
    // All at eight.
    (
        "early",
        &[
            (480, 1, 0, 0),
            (480, 2, 1, 5),
            (481, 1, 0, 0),
            (482, 1, 1, 1),
        ],
    ),
    // Around the clock, also across a full hour and until midnight.
    (
        "spread",
        &[
            (10, 1, 0, 0),
            (539, 2, 1, 25),
            (845, 1, 1, 0),
            (1430, 2, 0, 9),
        ],
    ),
];

/// Sends the hits of a day from one minute (inclusive) to another (exclusive), in the order of
/// time.
fn live(server: &Server, day: i64, minutes: std::ops::Range<i64>) {
    let mut acts: Vec<(i64, usize, &str, &str)> = Vec::new();
    for (site, habit) in SITES_AND_HABITS {
        for (person, (start, views, clicks, until)) in habit.iter().enumerate() {
            let act = |kind| (*start, person, site, kind);
            acts.extend(vec![act("view"); *views]);
            acts.extend(vec![act("click"); *clicks]);
            acts.push((start + until, person, site, "leave"));
        }
    }
    acts.retain(|(at, ..)| minutes.contains(at));
    acts.sort_by_key(|(at, ..)| *at);

    let mut client = server.client();
    for (at, person, site, kind) in acts {
        let name = if kind == "click" {
            r#","name":"shop""#
        } else {
            ""
        };
        let body = format!(r#"{{"kind":"{kind}","url":"https://pages.example/u/{site}"{name}}}"#);
        let now = (FIRST + day * 24 * HOUR + at * 60_000).to_string();
        let (cookie, address) = (grant_of(person as u128), format!("198.51.{person}.7"));
        let own = [
            ("X-Forwarded-For", &*address),
            ("X-Footfall-Now", &*now),
            ("Cookie", &*cookie),
        ];
        assert_eq!(hit(&mut client, &body, &own).status, 202);
    }
}

/// Makes everything counted readable; sets the clock to this moment.
fn flush_at(server: &Server, now: i64) {
    let (host, now) = (server.address().to_string(), now.to_string());
    let headers = [("Host", host.as_str()), ("X-Footfall-Now", now.as_str())];
    let answer = server
        .client()
        .ask("POST", "/test/flush", &headers, Body::None)
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// The counters of both sides that the answer marks as comparable.
fn sides<'v>(report: &'v Value, question: &str) -> Vec<(&'v Value, &'v Value)> {
    let compared = &report["compared"];
    let Some(so_far) = compared.get("so_far") else {
        return vec![(&report["totals"], &compared["totals"])];
    };
    assert!(
        so_far["until"].is_string() || question.contains("filter"),
        "{question}: {so_far}"
    );
    let by_hour = so_far.get("now").map(|now| (now, &so_far["before"]));
    let by_day = so_far["days"]
        .as_object()
        .map(|days| (&days["now"], &days["before"]));
    by_hour.into_iter().chain(by_day).collect()
}

/// Counters that are counted immediately; the others are known when a visit is over.
const AT_ONCE: [&str; 3] = ["hits", "visitors", "visits"];

fn assert_steady(server: &Server, when: &str) {
    for (site, _) in SITES_AND_HABITS {
        let questions = [
            "range=today",
            "range=yesterday",
            "range=7d",
            "range=month",
            "range=7d&filter=link:shop",
        ];
        let of_page = format!("range=today&filter=page:/u/{site}");
        for question in questions.into_iter().chain([of_page.as_str()]) {
            let question = format!("{question}&compare=previous&with=clicks");
            let report = server.report(site, &question);
            for (i, (now, before)) in sides(&report, &question).into_iter().enumerate() {
                let by_hour = i == 0 && report["compared"]["so_far"].get("now").is_some();
                for (counter, n) in now.as_object().unwrap() {
                    if by_hour && !AT_ONCE.contains(&&**counter) {
                        continue;
                    }
                    assert_eq!(
                        *n, before[counter],
                        "{counter} of {site} at {when}, {question}: {report:#}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_steady_site_reads_no_change_at_every_hour_of_the_day() {
    let server = Server::start(SITES);
    server.flush();
    for day in 0..DAYS {
        live(&server, day, 0..24 * 60);
    }
    for hour in 0..24 {
        // Ten past: visits of before the full hour are still open.
        live(&server, DAYS, (hour - 1) * 60 + 10..hour * 60 + 10);
        flush_at(&server, FIRST + DAYS * 24 * HOUR + hour * HOUR + 600_000);
        assert_steady(&server, &format!("{hour}:10"));
    }
    let today = server.report("early", "range=today&compare=previous");
    let so_far = &today["compared"]["so_far"];
    assert_eq!(
        (&so_far["until"], &so_far["now"]["visitors"]),
        (&"2026-03-05T23:00:00+00:00".into(), &4.into())
    );
    assert_eq!(
        (&today["totals"]["visitors"], &so_far["days"]),
        (&4.into(), &Value::Null)
    );
}
