//! The report API over HTTP: ranges, comparisons, filters, exports, the live number and its stream.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{ABSENT, Answer, Body, NOON, SITES, Server, grant_of, hit, until, view};

const DAY_MILLIS: i64 = 86_400_000;

fn get(server: &Server, path: &str) -> Answer {
    server.client().get(path).unwrap()
}

fn read(server: &Server, path: &str) -> Value {
    let answer = get(server, path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

fn report(server: &Server, query: &str) -> Value {
    read(server, &format!("/api/v1/sites/mia/report?{query}"))
}

/// A hit of a visitor of their own, this many days after the tests' first noon.
fn on(server: &Server, days: i64, person: u32, body: &str) {
    let now = (NOON + days * DAY_MILLIS).to_string();
    let address = format!("198.{}.{}.7", 51 + person / 250, person % 250);
    let cookie = grant_of(u128::from(person));
    let own = [
        ("X-Forwarded-For", &*address),
        ("X-Footfall-Now", &*now),
        ("Cookie", &*cookie),
    ];
    assert_eq!(hit(&mut server.client(), body, &own).status, 202);
}

/// Publishes all days up to this one.
fn publish(server: &Server, days: i64) {
    server.publish(NOON + days * DAY_MILLIS + DAY_MILLIS / 2 + 121_000);
}

/// The name and hits of each step with counts.
fn steps(report: &Value) -> Vec<(String, u64)> {
    let rows = report["series"].as_array().unwrap().iter();
    let step = |row: &Value| {
        (
            row["at"].as_str().unwrap().to_owned(),
            row["hits"].as_u64().unwrap(),
        )
    };
    rows.map(step).filter(|(_, hits)| *hits > 0).collect()
}

#[test]
fn ranges_comparisons_and_steps_follow_the_calendar() {
    let server = Server::start(SITES);
    // 10 March 2026 is a Tuesday. One view on the first day, two a week later, three on the first
    // of April.
    for (days, people) in [(0, 1), (7, 2), (22, 3)] {
        (0..people).for_each(|person| on(&server, days, person, &view("/u/mia")));
    }
    server.flush();
    let total = |query: &str| {
        let report = report(&server, query);
        (
            report["from"].as_str().unwrap().to_owned(),
            report["to"].as_str().unwrap().to_owned(),
            report["totals"]["hits"].as_u64().unwrap(),
        )
    };
    for (query, from, to, hits) in [
        ("range=today", "2026-04-01", "2026-04-01", 3),
        ("range=yesterday", "2026-03-31", "2026-03-31", 0),
        ("", "2026-03-26", "2026-04-01", 3),
        ("range=28d", "2026-03-05", "2026-04-01", 6),
        ("range=month", "2026-04-01", "2026-04-01", 3),
        ("range=year", "2026-01-01", "2026-04-01", 6),
        ("range=all", "2026-03-10", "2026-04-01", 6),
        (
            "from=2026-03-10&to=2026-03-17",
            "2026-03-10",
            "2026-03-17",
            3,
        ),
    ] {
        assert_eq!(
            total(query),
            (from.to_owned(), to.to_owned(), hits),
            "{query}"
        );
    }
    let own = |steps: &[(&str, u64)]| {
        steps
            .iter()
            .map(|(at, n)| ((*at).to_owned(), *n))
            .collect::<Vec<_>>()
    };
    let all = report(&server, "range=all");
    assert_eq!(
        (&all["interval"], steps(&all)),
        (
            &json!("day"),
            own(&[("2026-03-10", 1), ("2026-03-17", 2), ("2026-04-01", 3)])
        )
    );
    assert_eq!(
        steps(&report(&server, "range=all&interval=week")),
        own(&[("2026-03-09", 1), ("2026-03-16", 2), ("2026-03-30", 3)])
    );
    assert_eq!(
        steps(&report(&server, "range=year&interval=month")),
        own(&[("2026-03-01", 3), ("2026-04-01", 3)])
    );
    assert_eq!(
        steps(&report(&server, "range=today")),
        own(&[("2026-04-01T12:00:00+00:00", 3)])
    );

    let compared =
        report(&server, "from=2026-03-15&to=2026-03-21&compare=previous")["compared"].clone();
    assert_eq!(
        (
            &compared["from"],
            &compared["to"],
            &compared["totals"]["hits"]
        ),
        (&json!("2026-03-08"), &json!("2026-03-14"), &json!(1))
    );
    assert_eq!(steps(&compared), own(&[("2026-03-10", 1)]));
    assert_eq!(
        report(&server, "range=7d&compare_from=2026-03-11")["compared"]["totals"]["hits"],
        2
    );
    assert_eq!(
        report(&server, "range=7d&compare=year")["compared"]["from"],
        "2025-03-26"
    );
    assert_eq!(report(&server, "range=7d")["compared"], Value::Null);
}

#[test]
fn entries_exits_money_and_all_hits_of_a_list_are_in_the_report() {
    let server = Server::start(SITES);
    let tip = |value: &str| {
        format!(
            r#"{{"kind":"event","url":"https://pages.example/u/mia","name":"tip","value":{value},"currency":"JPY"}}"#
        )
    };
    for body in [
        view("/u/mia"),
        view("/u/mia/shop"),
        view("/u/mia/about"),
        tip("500"),
        tip("250"),
    ] {
        on(&server, 0, 1, &body);
    }
    on(&server, 0, 2, &view("/u/mia/shop"));
    on(&server, 1, 3, &view("/u/mia"));
    server.flush();
    let report = report(&server, "from=2026-03-10&to=2026-03-10&limit=1");
    assert_eq!(report["subjects"]["page"]["hits"], 4);
    let page = json!({"item": "/u/mia/shop", "hits": 2, "visitors": 2, "visits": 2, "bounces": 1, "seconds": 0, "exits": 1, "entries": 1});
    assert_eq!(report["subjects"]["page"]["rows"], json!([page]));
    assert_eq!(
        report["money"],
        json!([{"event": "tip", "currency": "JPY", "hits": 2, "over": 0, "minor": 750, "digits": 0}])
    );
}

#[test]
fn a_filter_by_a_value_and_a_filter_by_an_item_show_the_same_published_cells() {
    let server = Server::start(SITES);
    let from = |source: &str, page: &str| {
        format!(
            r#"{{"kind":"view","url":"https://pages.example{page}","referrer":"https://{source}/"}}"#
        )
    };
    // Eighteen on the shop's page: twelve from one source, six from another. The other page has
    // enough of both.
    (0..12).for_each(|n| on(&server, 0, n, &from("one.example", "/u/mia/shop")));
    (12..18).for_each(|n| on(&server, 0, n, &from("two.example", "/u/mia/shop")));
    (18..28).for_each(|n| on(&server, 0, n, &from("one.example", "/u/mia")));
    (28..40).for_each(|n| on(&server, 0, n, &from("two.example", "/u/mia")));
    server.flush();
    let day = |query: &str| report(&server, &format!("from=2026-03-10&to=2026-03-10&{query}"));
    let nothing = json!({"published": 0, "pending": 18, "rows": []});
    assert_eq!(
        day("filter=page:/u/mia/shop")["dimensions"]["source"],
        nothing,
        "the day is open"
    );

    publish(&server, 0);
    let shop = day("filter=page:/u/mia/shop");
    assert_eq!(shop["totals"]["visitors"], 18);
    let sources = &shop["dimensions"]["source"];
    assert_eq!(
        sources["rows"][0],
        json!({"value": "one.example", "visitors": 12, "visits": 12})
    );
    // Six are between k and 2k: a coin decides.
    let two = sources["rows"][1]["visitors"].as_u64().unwrap_or(0);
    assert!(two == 0 || two == 6, "{sources}");
    assert_eq!(
        (&sources["published"], &sources["pending"]),
        (&json!(12 + two), &json!(6 - two))
    );

    let one = day("filter=source:one.example");
    assert_eq!(one["totals"], json!({"visitors": 22, "visits": 22}));
    let row = |item: &str, n: u64| json!({"item": item, "visitors": n, "visits": n});
    assert_eq!(
        one["subjects"]["page"]["rows"],
        json!([row("/u/mia/shop", 12), row("/u/mia", 10)])
    );
    assert_eq!(
        day("filter=source:one.example&limit=1")["subjects"]["page"]["rows"],
        json!([row("/u/mia/shop", 12)])
    );
    let unknown = day("filter=source:nobody.example&compare=previous");
    assert_eq!(
        (
            &unknown["totals"],
            &unknown["compared"]["totals"],
            &unknown["subjects"]["page"]["rows"]
        ),
        (
            &json!({"visitors": 0, "visits": 0}),
            &json!({"visitors": 0, "visits": 0}),
            &json!([])
        )
    );
    assert_eq!(
        day("limit=1")["dimensions"]["source"]["published"],
        40,
        "of all values, also those beyond the limit"
    );
}

#[test]
fn an_answer_says_as_of_which_day_and_hour_its_attributes_are() {
    // Attributes of the open day are stored at once, and a busy hour is published from them.
    let server = Server::start_with(SITES, &["report.open_lot=50", "journal.attribute_secs=0"]);
    (0..12).for_each(|n| on(&server, 0, n, &view("/u/mia")));
    server.flush();
    let as_of = |query: &str| report(&server, query)["attributes"].clone();
    publish(&server, 0);
    assert_eq!(
        as_of("range=28d"),
        json!({"through": "2026-03-10", "hour": null})
    );
    assert_eq!(
        as_of("range=today"),
        json!({"through": "2026-03-10", "hour": null})
    );

    // A busy hour: sixty visitors, and a few of another source.
    let rare =
        r#"{"kind":"view","url":"https://pages.example/u/mia","referrer":"https://rare.example/"}"#;
    (0..60).for_each(|n| on(&server, 1, 100 + n, &view("/u/mia")));
    (0..12).for_each(|n| on(&server, 1, 300 + n, rare));
    server.publish(NOON + DAY_MILLIS + 3_600_000 + 121_000);
    let hour = json!({"through": "2026-03-10", "hour": "2026-03-11T13:00:00+00:00"});
    assert_eq!(as_of("range=28d"), hour);
    assert_eq!(
        as_of("from=2026-03-01&to=2026-03-10")["hour"],
        Value::Null,
        "today is not in the range"
    );
    let today = report(&server, "range=today");
    let direct = json!({"published": 60, "pending": 12, "rows": [{"value": "(direct)", "visitors": 60, "visits": 60}]});
    assert_eq!(
        (&today["attributes"], &today["dimensions"]["source"]),
        (&hour, &direct)
    );

    publish(&server, 1);
    assert_eq!(
        as_of("range=28d"),
        json!({"through": "2026-03-11", "hour": null})
    );
    assert_eq!(
        as_of("from=2026-03-01&to=2026-03-05"),
        json!({"through": "2026-03-05", "hour": null})
    );
    let day = report(&server, "from=2026-03-11&to=2026-03-11");
    assert_eq!(day["dimensions"]["source"]["published"], 72);
}

#[test]
fn an_answer_about_published_days_can_be_asked_for_again_by_its_tag() {
    let server = Server::start(SITES);
    on(&server, 0, 1, &view("/u/mia"));
    on(&server, 1, 1, &view("/u/mia"));
    server.flush();
    let path = "/api/v1/sites/mia/report?from=2026-03-10&to=2026-03-10";
    let over = get(&server, path);
    assert_eq!(
        (over.header("etag"), over.header("cache-control")),
        (None, Some("no-store")),
        "over, and not published"
    );

    server.publish(NOON + DAY_MILLIS);
    let first = get(&server, path);
    let tag = first.header("etag").expect("a tag").to_owned();
    let host = server.address().to_string();
    let again = server
        .client()
        .ask(
            "GET",
            path,
            &[("Host", &host), ("If-None-Match", &tag)],
            Body::None,
        )
        .unwrap();
    assert_eq!((again.status, again.body.len()), (304, 0));
    for query in [
        "range=today",
        "range=28d",
        "from=2026-03-10&to=2026-03-10&compare_from=2026-03-11",
    ] {
        let open = get(&server, &format!("/api/v1/sites/mia/report?{query}"));
        assert_eq!(
            (open.header("etag"), open.header("cache-control")),
            (None, Some("no-store")),
            "{query}"
        );
    }
}

#[test]
fn lists_are_exported_as_files() {
    let server = Server::start(SITES);
    on(&server, 0, 1, &view("/u/mia"));
    let click = r#"{"kind":"event","url":"https://pages.example/u/mia","name":"=cmd(\"x\"),1"}"#;
    on(&server, 0, 1, click);
    server.flush();
    let export = |query: &str| {
        get(
            &server,
            &format!("/api/v1/sites/mia/export?range=today&{query}"),
        )
    };
    let csv = export("table=event");
    assert_eq!(
        csv.header("content-disposition"),
        Some("attachment; filename=\"mia-event-2026-03-10-2026-03-10.csv\"")
    );
    assert_eq!(
        csv.text(),
        "item,bounces,entries,exits,hits,seconds,visitors,visits\n\"'=cmd(\"\"x\"\"),1\",0,0,0,1,0,1,1\n"
    );
    let pages: Value = serde_json::from_slice(&export("table=page&format=json").body).unwrap();
    assert_eq!(pages[0]["item"], "/u/mia");
    assert!(
        export("table=series")
            .text()
            .contains("2026-03-10T12:00:00+00:00,")
    );
    assert_eq!(
        export("table=country&format=json").text(),
        "[]",
        "nothing of an open day is published"
    );
    (10..22).for_each(|person| on(&server, 0, person, &view("/u/mia")));
    publish(&server, 0);
    let sources = get(
        &server,
        "/api/v1/sites/mia/export?range=yesterday&table=source",
    );
    assert_eq!(sources.text(), "value,visitors,visits\n(direct),13,13\n");
    for query in [
        "table=people",
        "format=csv",
        "table=page&format=xlsx",
        "table=page&table=link&x=1",
    ] {
        assert_eq!(export(query).status, 400, "{query}");
    }
    // A caller who may not read the site does not learn what is wrong with the query.
    let stranger = [("Host", "elsewhere.example")];
    let path = "/api/v1/sites/mia/export?table=people";
    assert_eq!(
        server
            .client()
            .ask("GET", path, &stranger, Body::None)
            .unwrap()
            .status,
        401
    );
}

#[test]
fn the_live_number_is_of_the_last_five_minutes_and_a_stream_tells_when_to_read_again() {
    let server = Server::start(SITES);
    server.flush();
    (0..3).for_each(|person| on(&server, 0, person, &view("/u/mia")));
    let live = |server: &Server| read(server, "/api/v1/sites/mia/live")["visitors"].clone();
    assert_eq!(live(&server), 3);
    assert_eq!(read(&server, "/api/v1/sites/tom/live")["visitors"], 0);

    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    write!(
        stream,
        "GET /api/v1/sites/mia/events HTTP/1.1\r\nHost: {}\r\n\r\n",
        server.address()
    )
    .unwrap();
    let mut said = String::new();
    let until = |stream: &mut TcpStream, said: &mut String, word: &str| {
        let mut piece = [0; 4096];
        while !said.contains(word) {
            let n = stream.read(&mut piece).expect("an event comes");
            assert!(n > 0, "the stream ended: {said}");
            said.push_str(std::str::from_utf8(&piece[..n]).unwrap());
        }
    };
    until(
        &mut stream,
        &mut said,
        "event: live\ndata: {\"visitors\":3}\n\n",
    );
    assert!(
        said.to_lowercase()
            .contains("content-type: text/event-stream"),
        "{said}"
    );
    on(&server, 0, 9, &view("/u/mia"));
    server.flush();
    until(&mut stream, &mut said, "event: counted\n");
    until(&mut stream, &mut said, "{\"visitors\":4}");

    let later = (NOON + 6 * 60_000).to_string();
    assert_eq!(
        hit(
            &mut server.client(),
            &view("/u/tom"),
            &[("X-Footfall-Now", &later)]
        )
        .status,
        202
    );
    assert_eq!(
        (
            live(&server),
            read(&server, "/api/v1/sites/tom/live")["visitors"].clone()
        ),
        (json!(0), json!(1))
    );

    // A published day is announced too, even without visitors.
    said.clear();
    server.flush();
    until(&mut stream, &mut said, "event: counted\n");
    said.clear();
    publish(&server, 0);
    until(&mut stream, &mut said, "event: counted\n");
}

#[test]
fn an_open_stream_does_not_hold_up_a_stop() {
    let mut server = Server::start(SITES);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    write!(
        stream,
        "GET /api/v1/sites/mia/events HTTP/1.1\r\nHost: {}\r\n\r\n",
        server.address()
    )
    .unwrap();
    let mut first = [0; 64];
    assert!(stream.read(&mut first).unwrap() > 0);
    let begun = std::time::Instant::now();
    assert_eq!(server.stop(), Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn operators_see_all_sites_by_name_what_was_dropped_and_how_the_collector_is() {
    let server = Server::start(SITES);
    server.flush();
    for (site, people) in [("mia", 3), ("tom", 5), ("ann", 1)] {
        (0..people).for_each(|person| on(&server, 0, person, &view(&format!("/u/{site}"))));
    }
    on(&server, 1, 1, &view("/u/mia"));
    (0..4).for_each(|_| _ = hit(&mut server.client(), &view("/u/mia"), &[("DNT", "1")]));
    (0..2).for_each(|_| _ = hit(&mut server.client(), &view("/u/mia"), &[("Cookie", ABSENT)]));
    let fault = r#"{"kind":"fault","url":"https://pages.example/u/tom/gone","fault":"not_found"}"#;
    on(&server, 1, 1, fault);
    for person in 0..6 {
        on(
            &server,
            1,
            person,
            r#"{"kind":"vital","url":"https://pages.example/u/ann","metric":"LCP","value":5000}"#,
        );
    }
    server.flush();
    // Names are stored when the registry polls next.
    let named = || {
        let rows = read(
            &server,
            "/api/v1/platform/sites?from=2026-03-10&to=2026-03-11",
        )["rows"]
            .clone();
        rows.as_array()
            .unwrap()
            .iter()
            .all(|row| row["site"].is_string())
            .then_some(rows)
    };
    let mut rows = None;
    until(
        || {
            rows = named();
            rows.is_some()
        },
        "the names are stored",
    );
    let rows = rows.unwrap();
    let short = |rows: &Value| -> Vec<(String, u64)> {
        rows.as_array()
            .unwrap()
            .iter()
            .map(|row| {
                (
                    row["site"].as_str().unwrap().to_owned(),
                    row["visitors"].as_u64().unwrap(),
                )
            })
            .collect()
    };
    let own = |rows: &[(&str, u64)]| {
        rows.iter()
            .map(|(site, n)| ((*site).to_owned(), *n))
            .collect::<Vec<_>>()
    };
    assert_eq!(short(&rows), own(&[("tom", 5), ("mia", 4), ("ann", 1)]));
    let found = read(
        &server,
        "/api/v1/platform/sites?from=2026-03-11&to=2026-03-11&search=MI",
    );
    assert_eq!(short(&found["rows"]), own(&[("mia", 1)]));
    assert_eq!(
        found["rows"][0]["before"],
        json!({"hits": 3, "visitors": 3, "visits": 3})
    );

    assert_eq!(
        read(
            &server,
            "/api/v1/platform/report?from=2026-03-10&to=2026-03-10"
        )["totals"]["visitors"],
        9
    );
    let drops = read(&server, "/api/v1/drops?from=2026-03-10&to=2026-03-11");
    assert_eq!(
        drops["rows"],
        json!([{"reason": "dnt", "hits": 4}, {"reason": "no_consent", "hits": 2}])
    );
    let pages = read(
        &server,
        "/api/v1/platform/pages?from=2026-03-10&to=2026-03-11",
    );
    assert_eq!(
        pages["broken"],
        json!([{"site": "tom", "kind": "not_found", "fault": "", "path": "/u/tom/gone", "hits": 1}])
    );
    let slow = &pages["slow"][0];
    assert_eq!(
        (&slow["site"], &slow["path"], &slow["hits"], &slow["poor"]),
        (&json!("ann"), &json!("/u/ann"), &json!(6), &json!(6))
    );
    let health = read(&server, "/api/v1/platform/health");
    assert_eq!(
        (
            &health["store"],
            &health["store_ready"],
            &health["journal"]["segments"]
        ),
        (&json!("embedded"), &json!(true), &json!(0))
    );
    assert_eq!(
        read(&server, "/api/v1/platform/consent"),
        json!({"versions": []})
    );
    assert_eq!(
        get(&server, "/api/v1/platform/report?filter=page:/").status,
        400
    );
}

/// A view of a page, with a source, by so many people.
fn views(server: &Server, days: i64, people: std::ops::Range<u32>, page: &str, source: &str) {
    let body = format!(
        r#"{{"kind":"view","url":"https://pages.example{page}","referrer":"https://{source}/"}}"#
    );
    people.for_each(|person| on(server, days, person, &body));
}

#[test]
fn rows_of_lists_hold_their_numbers_of_both_sides_over_days_that_are_over_and_published() {
    let server = Server::start_with(SITES, &["journal.attribute_secs=0"]);
    // Two days, and the two before them; day 4 is today.
    views(&server, 0, 0..12, "/u/mia", "old.example");
    views(&server, 1, 0..10, "/u/mia", "blog.example");
    views(&server, 1, 10..13, "/u/mia/shop", "blog.example");
    views(&server, 2, 0..20, "/u/mia", "blog.example");
    views(&server, 3, 0..15, "/u/mia", "blog.example");
    views(&server, 3, 20..34, "/u/mia/new", "new.example");
    publish(&server, 3);
    views(&server, 4, 0..11, "/u/mia", "blog.example");
    server.flush();

    let row = |report: &Value, list: &str, key: &str, name: &str| {
        let rows = report.pointer(list).unwrap()["rows"].as_array().unwrap();
        rows.iter()
            .find(|row| row[key] == *name)
            .unwrap_or_else(|| panic!("no {name} in {rows:?}"))["compared"]
            .clone()
    };
    let item = |report: &Value, name: &str| row(report, "/subjects/page", "item", name);
    let source = |report: &Value, name: &str| row(report, "/dimensions/source", "value", name);
    let both = |now: u64, before: u64| {
        let side = |n: u64| json!({"hits": n, "visitors": n, "visits": n});
        json!({"now": side(now), "before": side(before)})
    };
    let people = |now: u64, before: u64| {
        let side = |n: u64| json!({"visitors": n, "visits": n});
        json!({"now": side(now), "before": side(before)})
    };
    let days = |from: &str, to: &str, before_from: &str, before_to: &str| json!({"from": from, "to": to, "before_from": before_from, "before_to": before_to});

    // All of it is over and published.
    let over = report(&server, "from=2026-03-12&to=2026-03-13&compare=previous");
    let two_days = days("2026-03-12", "2026-03-13", "2026-03-10", "2026-03-11");
    assert_eq!(
        (&over["compared"]["items"], &over["compared"]["values"]),
        (&two_days, &two_days)
    );
    assert_eq!(
        (item(&over, "/u/mia"), item(&over, "/u/mia/new")),
        (both(35, 22), both(14, 0))
    );
    assert_eq!(source(&over, "new.example"), people(14, 0));
    let of = |from: &str, to: &str| {
        let alone = report(&server, &format!("from={from}&to={to}&limit=1000"));
        let rows = alone["dimensions"]["source"]["rows"]
            .as_array()
            .unwrap()
            .clone();
        rows.iter()
            .find(|row| row["value"] == "blog.example")
            .map_or(0, |row| row["visitors"].as_u64().unwrap())
    };
    let told = source(&over, "blog.example");
    let asked = (
        of("2026-03-12", "2026-03-13"),
        of("2026-03-10", "2026-03-11"),
    );
    assert_eq!(
        (&told["now"]["visitors"], &told["before"]["visitors"]),
        (&json!(asked.0), &json!(asked.1))
    );
    assert!(asked.0 >= 30 && asked.1 >= 5, "{asked:?}");

    // Today is in it: both sides are of the days before today, as many each.
    let open = report(&server, "from=2026-03-13&to=2026-03-14&compare=previous");
    let one_day = days("2026-03-13", "2026-03-13", "2026-03-11", "2026-03-11");
    assert_eq!(
        (&open["compared"]["items"], &open["compared"]["values"]),
        (&one_day, &one_day)
    );
    assert_eq!(item(&open, "/u/mia"), both(15, 10));
    let today = report(&server, "range=today&compare=previous");
    assert_eq!(
        (&today["compared"]["items"], &today["compared"]["values"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(item(&today, "/u/mia"), Value::Null);

    // Over, and not published yet: content is compared, values are not.
    let unpublished = (NOON + 5 * DAY_MILLIS - DAY_MILLIS / 2 + 1000).to_string();
    let asked = [("X-Footfall-Now", unpublished.as_str())];
    let path = "/api/v1/sites/mia/report?from=2026-03-14&to=2026-03-14&compare=previous";
    let host = server.address().to_string();
    let answer = server
        .client()
        .ask("GET", path, &[asked[0], ("Host", &host)], Body::None)
        .unwrap();
    let late: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        late["compared"]["items"],
        days("2026-03-14", "2026-03-14", "2026-03-13", "2026-03-13")
    );
    assert_eq!(
        (&late["compared"]["values"], item(&late, "/u/mia")),
        (&Value::Null, both(11, 15))
    );

    // Through a value: published cells, and nothing else.
    let through = report(
        &server,
        "from=2026-03-12&to=2026-03-13&compare=previous&filter=source:new.example",
    );
    assert_eq!(
        (
            &through["compared"]["items"],
            &through["compared"]["values"]
        ),
        (&two_days, &Value::Null)
    );
    assert_eq!(item(&through, "/u/mia/new"), people(14, 0));
    // Without a comparison nothing is there.
    assert_eq!(
        item(&report(&server, "from=2026-03-12&to=2026-03-13"), "/u/mia"),
        Value::Null
    );
}
