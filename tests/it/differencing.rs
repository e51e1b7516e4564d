//! Attributes withstand differencing: a client that repeats, subtracts or times its queries learns
//! no group of fewer than k visitors.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{NOON, SITES, Server, grant_of, hit};

const K: u64 = 5;
const DAY_MILLIS: i64 = 86_400_000;
/// The time from a noon until its day is published.
const PUBLISHED_AFTER: i64 = DAY_MILLIS / 2 + 121_000;

/// A view by a visitor from a network of their own, this many milliseconds after the tests' first
/// noon.
fn view(server: &Server, at: i64, person: u32, page: &str, source: &str) {
    let body =
        json!({"kind": "view", "url": format!("https://pages.example{page}"), "referrer": source})
            .to_string();
    let (address, now) = (
        format!("198.{}.{}.7", 20 + person / 250, person % 250),
        (NOON + at).to_string(),
    );
    let cookie = grant_of(u128::from(person));
    let own = [
        ("X-Forwarded-For", &*address),
        ("X-Footfall-Now", &*now),
        ("Cookie", &*cookie),
    ];
    assert_eq!(hit(&mut server.client(), &body, &own).status, 202);
}

const GOOGLE: &str = "https://www.google.com/";
const INSTAGRAM: &str = "https://www.instagram.com/";

/// A day of the tests, by its number from the first.
fn publish(server: &Server, day: i64) {
    server.publish(NOON + day * DAY_MILLIS + PUBLISHED_AFTER);
}

fn body(server: &Server, query: &str) -> Vec<u8> {
    let answer = server
        .client()
        .get(&format!("/api/v1/sites/mia/report?limit=1000&{query}"))
        .unwrap();
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.body
}

fn report(server: &Server, query: &str) -> Value {
    serde_json::from_slice(&body(server, query)).unwrap()
}

fn visitors_of(rows: &Value) -> BTreeMap<String, u64> {
    let rows = rows.as_array().unwrap_or_else(|| panic!("{rows}")).iter();
    let name = |row: &Value| {
        row.get("value")
            .or(row.get("item"))
            .and_then(Value::as_str)
            .unwrap()
            .to_owned()
    };
    rows.map(|row| (name(row), row["visitors"].as_u64().unwrap()))
        .collect()
}

fn own(rows: &[(&str, u64)]) -> BTreeMap<String, u64> {
    rows.iter()
        .map(|(name, visitors)| ((*name).to_owned(), *visitors))
        .collect()
}

/// P1: a creator requested the range until today after each segment. A value that rose by one was
/// one visitor, with all their attributes.
#[test]
fn whoever_watches_the_open_day_sees_totals_move_and_nothing_else() {
    let server = Server::start(SITES);
    (0..30).for_each(|person| view(&server, i64::from(person), person, "/u/mia", GOOGLE));
    publish(&server, 0);

    let watched = [
        "range=28d",
        "range=today",
        "range=28d&filter=page:/u/mia",
        "range=28d&filter=source:Google",
    ];
    let lists = |report: &Value| {
        let mut lists = report.clone();
        for (_, breakdown) in lists["dimensions"].as_object_mut().unwrap() {
            breakdown["pending"].take();
        }
        let of_value = report["subjects"]["page"]["rows"].clone();
        let of_value = if report["filter"]["by"] == "source" {
            of_value
        } else {
            Value::Null
        };
        (lists["dimensions"].clone(), of_value)
    };
    let before = watched.map(|query| report(&server, query));
    assert_eq!(
        visitors_of(&before[0]["dimensions"]["source"]["rows"]),
        own(&[("Google", 30)])
    );
    assert_eq!(
        before[0]["attributes"],
        json!({"through": "2026-03-10", "hour": null})
    );

    for person in 0..12 {
        let at = DAY_MILLIS + i64::from(person) * 60_000;
        view(
            &server,
            at,
            100 + person,
            "/u/mia",
            ["https://rare.example/", INSTAGRAM, GOOGLE][person as usize % 3],
        );
        server.publish(NOON + at);
        for (query, before) in watched.iter().zip(&before) {
            let now = report(&server, query);
            assert_eq!(lists(&now), lists(before), "{query} after {person}");
            let came = now["totals"]["visitors"].as_u64().unwrap()
                - before["totals"]["visitors"].as_u64().unwrap();
            let expected = if query.contains("source:") {
                0
            } else {
                u64::from(person) + 1
            };
            assert_eq!(came, expected, "{query}: content is live");
        }
    }
}

/// P3: of twenty visitors of a site, nineteen opened the shop: the difference of the lists was the
/// one who did not.
#[test]
fn a_page_that_all_but_one_saw_waits_until_those_who_did_not_are_enough() {
    let server = Server::start(SITES);
    for person in 0..20 {
        view(&server, i64::from(person) * 1000, person, "/u/mia", GOOGLE);
        if person > 0 {
            view(
                &server,
                i64::from(person) * 1000,
                person,
                "/u/mia/shop",
                GOOGLE,
            );
        }
    }
    publish(&server, 0);
    let day = "from=2026-03-10&to=2026-03-10";
    let whole = report(&server, day);
    assert_eq!(
        visitors_of(&whole["dimensions"]["source"]["rows"]),
        own(&[("Google", 20)])
    );
    let shop = report(&server, &format!("{day}&filter=page:/u/mia/shop"));
    assert_eq!(shop["totals"]["visitors"], 19);
    assert_eq!(
        shop["dimensions"]["source"],
        json!({"published": 0, "pending": 19, "rows": []})
    );
    let google = report(&server, &format!("{day}&filter=source:Google"));
    assert_eq!(
        visitors_of(&google["subjects"]["page"]["rows"]),
        own(&[("/u/mia", 20)])
    );

    // Four more who do not open it: five of thirty-four.
    for person in 100..114 {
        let at = DAY_MILLIS + i64::from(person) * 1000;
        view(&server, at, person, "/u/mia", GOOGLE);
        if person >= 104 {
            view(&server, at, person, "/u/mia/shop", GOOGLE);
        }
    }
    publish(&server, 1);
    let both = "from=2026-03-10&to=2026-03-11&filter=page:/u/mia/shop";
    assert_eq!(
        visitors_of(&report(&server, both)["dimensions"]["source"]["rows"]),
        own(&[("Google", 29)])
    );
    let first = report(&server, &format!("{day}&filter=page:/u/mia/shop"));
    assert_eq!(
        first["dimensions"]["source"]["published"], 0,
        "and the first day stays as it was"
    );
}

/// P5: six visitors a day from Instagram; on the sixth of a month 168 of 168, on the seventh 42 of
/// 168.
#[test]
fn closed_days_answer_the_same_for_ever_and_percentages_are_of_what_is_told() {
    let server = Server::start(SITES);
    let asked = [
        "from=2026-03-10&to=2026-04-05",
        "from=2026-03-17&to=2026-03-30",
        "from=2026-03-20&to=2026-03-20",
        "from=2026-03-10&to=2026-04-05&filter=page:/u/mia",
        "from=2026-03-10&to=2026-04-05&filter=source:Instagram",
        "from=2026-03-24&to=2026-04-05&compare=previous",
    ];
    let mut first = BTreeMap::new();
    for day in 0..62 {
        for person in 0..6 {
            view(
                &server,
                day * DAY_MILLIS + i64::from(person),
                person,
                "/u/mia",
                INSTAGRAM,
            );
        }
        publish(&server, day);
        // The 5th of April is the 27th day.
        if [26, 27, 28, 35, 61].contains(&day) {
            for query in asked {
                let answer = server
                    .client()
                    .get(&format!("/api/v1/sites/mia/report?{query}"))
                    .unwrap();
                assert!(
                    answer.header("etag").is_some(),
                    "{query}: {}",
                    answer.text()
                );
                let before = first.entry(query).or_insert_with(|| answer.body.clone());
                assert_eq!(*before, answer.body, "{query} on day {day}");
            }
        }
    }
    let weeks = report(&server, asked[0]);
    let sources = &weeks["dimensions"]["source"];
    let instagram = visitors_of(&sources["rows"])["Instagram"];
    assert_eq!(weeks["totals"]["visitors"], 162);
    assert_eq!(sources["published"], instagram, "all that is told");
    assert_eq!(instagram + sources["pending"].as_u64().unwrap(), 162);
    assert!(instagram > 162 - 10, "{instagram}: less than a lot waits");
}

/// P2: ranges were subtracted. Now a range is the sum of its days, and a day of a list contains
/// nothing or lots.
#[test]
fn a_single_day_of_any_list_is_nothing_or_a_lot_and_ranges_are_sums_of_days() {
    const DAYS: i64 = 12;
    let server = Server::start(SITES);
    let mut state = 7_u64;
    let mut below = |n: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let sources = [
        GOOGLE,
        INSTAGRAM,
        "https://one.example/",
        "https://two.example/",
        "",
    ];
    for day in 0..DAYS {
        for person in 0..12 + u32::try_from(below(14)).unwrap() {
            let at = day * DAY_MILLIS + i64::from(person) * 1000;
            let source = sources[usize::try_from(below(5).min(below(5))).unwrap()];
            view(
                &server,
                at,
                person,
                ["/u/mia", "/u/mia/shop"][usize::try_from(below(2)).unwrap()],
                source,
            );
        }
        publish(&server, day);
    }
    let date = |day: i64| format!("2026-03-{}", 10 + day);
    let filters = ["", "&filter=page:/u/mia", "&filter=page:/u/mia/shop"];
    let (mut told, mut sums) = (
        0,
        BTreeMap::<(usize, i64, i64), BTreeMap<String, u64>>::new(),
    );
    for (n, filter) in filters.iter().enumerate() {
        for from in 0..DAYS {
            for to in from..DAYS {
                let report = report(
                    &server,
                    &format!("from={}&to={}{filter}", date(from), date(to)),
                );
                let shown = visitors_of(&report["dimensions"]["source"]["rows"]);
                sums.insert((n, from, to), shown);
            }
        }
    }
    for ((n, from, to), shown) in &sums {
        let mut days = BTreeMap::new();
        for day in *from..=*to {
            for (value, visitors) in &sums[&(*n, day, day)] {
                assert!(*visitors >= K, "{value} has {visitors} on day {day}");
                *days.entry(value.clone()).or_default() += visitors;
            }
        }
        told += u64::from(!shown.is_empty());
        assert_eq!(*shown, days, "{} from {from} to {to}", filters[*n]);
    }
    assert!(
        told > 100,
        "{told} of {} lists say something: too few to mean much",
        sums.len()
    );
}

/// P7: a class of devices revealed one person who loaded a page five times.
#[test]
fn a_class_of_devices_is_told_of_people_and_not_of_loads() {
    const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                         Version/18.5 Mobile/15E148 Safari/604.1";
    let server = Server::start(SITES);
    let load = |at: i64, person: u32, phone: bool, times: u32| {
        let url = "https://pages.example/u/mia";
        let body = json!([{"kind": "view", "url": url}, {"kind": "vital", "url": url, "metric": "LCP", "value": 900}]);
        let (address, now) = (format!("198.20.{person}.7"), (NOON + at).to_string());
        let cookie = grant_of(u128::from(person));
        let mut own = vec![
            ("X-Forwarded-For", &*address),
            ("X-Footfall-Now", &*now),
            ("Cookie", &*cookie),
        ];
        own.extend(phone.then_some(("User-Agent", PHONE)));
        for _ in 0..times {
            assert_eq!(
                hit(&mut server.client(), &body.to_string(), &own).status,
                202
            );
        }
    };
    let vitals = |query: &str| -> Value {
        let answer = server
            .client()
            .get(&format!("/api/v1/sites/mia/vitals?{query}"))
            .unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    };
    let classes = |vitals: &Value| -> BTreeMap<String, u64> {
        let of = vitals["devices"].as_object().unwrap().iter();
        of.map(|(class, speeds)| (class.clone(), speeds["LCP"]["hits"].as_u64().unwrap()))
            .collect()
    };

    // Twelve desktops, and one phone that loads the page five times, then thirty times.
    (0..12).for_each(|person| load(i64::from(person), person, false, 2));
    load(100, 99, true, 5);
    server.flush();
    assert_eq!(
        classes(&vitals("range=today")),
        own(&[]),
        "an open day tells no class, whoever watches it"
    );
    publish(&server, 0);
    let first = vitals("from=2026-03-10&to=2026-03-10");
    assert_eq!(
        (&first["metrics"]["LCP"]["hits"], classes(&first)),
        (&json!(29), own(&[])),
        "nor by subtraction"
    );
    load(DAY_MILLIS, 99, true, 30);
    publish(&server, 1);
    let both = "from=2026-03-10&to=2026-03-11";
    assert_eq!(
        classes(&vitals(both)),
        own(&[]),
        "thirty loads are one person"
    );

    // Twelve more phones: a lot of thirteen people, published on the day it is complete.
    (0..12).for_each(|person| load(2 * DAY_MILLIS + i64::from(person), person, true, 1));
    publish(&server, 2);
    let all = vitals("from=2026-03-10&to=2026-03-12");
    assert_eq!(classes(&all), own(&[("desktop", 24), ("phone", 47)]));
    assert_eq!(
        classes(&vitals("from=2026-03-12&to=2026-03-12")),
        classes(&all)
    );
    assert_eq!(
        classes(&vitals(both)),
        own(&[]),
        "and the days before say what they said"
    );
    // For a single page, where visitors are not counted by class, no class is shown.
    let page = vitals("from=2026-03-10&to=2026-03-12&filter=page:/u/mia");
    assert_eq!(
        (&page["metrics"]["LCP"]["hits"], &page["devices"]),
        (&json!(71), &json!({}))
    );
}
