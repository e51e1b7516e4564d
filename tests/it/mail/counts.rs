//! The mail report counts opens and clicks by reader class, once for each person where that is
//! known, and suppresses small numbers.

use serde_json::json;

use super::{
    BATCH, GMAIL, PERSON, SignRequest, classes, link, load, mint, nothing_counted, order, path,
    persons, pixel, refused, report, start,
};
use crate::support::{Body, Client, NOON, Server, hit, view};

const TARGET: &str = "https://elsewhere.example/page";

#[test]
fn openings_are_counted_by_class_and_openers_once_a_day() {
    let server = start(&[]);
    let (mut client, pixel) = (server.client(), pixel());
    for person in persons(0..6) {
        load(&mut client, &pixel, (&person, PERSON), 0, &[]);
        // A resend by the same program, then the mail opened again.
        load(&mut client, &pixel, (&person, PERSON), 4_000, &[]);
    }
    for person in persons(0..6) {
        load(&mut client, &pixel, (&person, PERSON), 60_000, &[]);
    }
    // Many people behind one proxy cannot be distinguished.
    for _ in 0..20 {
        load(&mut client, &pixel, ("66.249.84.11", GMAIL), 60_000, &[]);
    }
    for address in ["104.28.28.7", "104.28.28.8", "104.28.28.9"] {
        load(&mut client, &pixel, (address, "Mozilla/5.0"), 60_000, &[]);
    }
    let head = [
        ("Host", "pages.example"),
        ("User-Agent", PERSON),
        ("X-Forwarded-For", "198.51.90.7"),
    ];
    let mut asking = server.client();
    asking.send("HEAD", &pixel, &head, Body::None).unwrap();
    asking.receive_head().unwrap();

    let report = report(&server);
    let opens = classes(12, 20, 4);
    assert_eq!((&report["zone"], &report["k"]), (&json!("UTC"), &json!(5)));
    let row = &report["templates"][0];
    assert_eq!(
        (&row["template"], &row["opens"], &row["openers"]),
        (&json!("welcome"), &opens, &json!(6))
    );
    assert_eq!(
        (&row["clicks"], &row["click_rate"]),
        (&classes(0, 0, 0), &json!(0.0))
    );
    let slice = json!({"opens": opens, "openers": 6, "clicks": classes(0, 0, 0)});
    let with = |key: &str| {
        let mut slice = slice.clone();
        slice[key] = json!("2026-03-10");
        json!([slice])
    };
    assert_eq!(
        (&row["days"], &row["batches"]),
        (&with("day"), &with("batch"))
    );
    assert_eq!(server.metric("footfall_mail_actions_total"), 36);
}

#[test]
fn what_fewer_than_five_people_did_is_not_told() {
    let server = start(&[]);
    let mut client = server.client();
    for person in persons(0..4) {
        load(&mut client, &pixel(), (&person, PERSON), 0, &[]);
    }
    let row = &report(&server)["templates"][0];
    let few = json!({"direct": null, "proxied": 0, "machine": 0});
    assert_eq!(
        (&row["opens"], &row["openers"], &row["click_rate"]),
        (&few, &json!(null), &json!(null))
    );
    assert_eq!(
        (&row["days"][0]["opens"], &row["batches"][0]["opens"]),
        (&few, &few)
    );
}

#[test]
fn one_who_opens_a_mail_five_times_is_one() {
    let server = start(&[]);
    let mut client = server.client();
    for time in 0..5 {
        load(
            &mut client,
            &pixel(),
            ("198.51.1.7", PERSON),
            time * 6_000,
            &[],
        );
    }
    // A mail of another day, which enough people opened.
    let yesterday = mint(&SignRequest {
        batch: Some(BATCH.yesterday().unwrap()),
        ..order(&[])
    });
    for person in persons(0..9) {
        load(
            &mut client,
            &path(yesterday.pixel.as_ref().unwrap()),
            (&person, PERSON),
            60_000,
            &[],
        );
    }
    let row = &report(&server)["templates"][0];
    assert_eq!(
        (&row["opens"], &row["openers"]),
        (&classes(14, 0, 0), &json!(10))
    );
    // The total less the other batch does not reveal it either.
    let few = json!({"direct": null, "proxied": 0, "machine": 0});
    for batch in row["batches"].as_array().unwrap() {
        assert_eq!(
            (&batch["opens"], &batch["openers"]),
            (&few, &json!(null)),
            "{batch}"
        );
    }
}

#[test]
fn what_software_asks_beside_a_person_counts_as_its_own_in_either_order() {
    let server = start(&[]);
    let mut client = server.client();
    let ask = |client: &mut Client, method: &str, path: &str, person: &str, later: i64| {
        let now = (NOON + later).to_string();
        let headers = [
            ("Host", "pages.example"),
            ("X-Forwarded-For", person),
            ("User-Agent", PERSON),
            ("X-Footfall-Now", now.as_str()),
        ];
        client.send(method, path, &headers, Body::None).unwrap();
        if method == "HEAD" {
            client.receive_head()
        } else {
            client.receive()
        }
        .unwrap();
    };
    let (pixel, link) = (pixel(), link("start", TARGET));
    for (people, methods) in [(0..10, ["HEAD", "GET"]), (10..20, ["GET", "HEAD"])] {
        for person in persons(people) {
            for (place, method) in methods.into_iter().enumerate() {
                ask(&mut client, method, &pixel, &person, 1_000 * place as i64);
                ask(&mut client, method, &link, &person, 1_000 * place as i64);
            }
        }
    }
    // A prefetch, then the person.
    for person in persons(20..26) {
        load(
            &mut client,
            &pixel,
            (&person, PERSON),
            1_000,
            &[("Sec-Purpose", "prefetch")],
        );
        load(&mut client, &pixel, (&person, PERSON), 2_000, &[]);
    }
    let row = &report(&server)["templates"][0];
    assert_eq!(
        (&row["opens"], &row["openers"], &row["clicks"]),
        (&classes(26, 0, 26), &json!(26), &classes(20, 0, 20))
    );
}

#[test]
fn whoever_followed_the_trap_is_software_for_a_minute_and_no_longer() {
    let server = start(&[]);
    let mut client = server.client();
    for person in persons(0..5) {
        load(
            &mut client,
            &link("trap", TARGET),
            (&person, PERSON),
            0,
            &[],
        );
    }
    // Further requests in the meantime do not extend it.
    for at in [30_000, 59_999, 60_000, 110_000, 165_000] {
        for person in persons(0..5) {
            load(&mut client, &pixel(), (&person, PERSON), at, &[]);
        }
    }
    assert_eq!(report(&server)["templates"][0]["opens"], classes(15, 0, 10));
}

#[test]
fn garbage_from_one_address_takes_nothing_from_what_all_mails_may() {
    let rates = [
        "network_burst=10",
        "network_hits_per_sec=1",
        "site_burst=200",
        "site_hits_per_sec=1",
    ];
    let rates = rates.map(|rate| format!("limits.{rate}"));
    let server = start(&rates.each_ref().map(String::as_str));
    let mut client = server.client();
    for path in ["/ff/o/garbage.gif", "/ff/c/garbage", &pixel()] {
        for _ in 0..300 {
            load(&mut client, path, ("203.0.113.7", PERSON), 0, &[]);
            load(
                &mut client,
                "/ff/o/garbage.gif",
                ("203.0.113.7", GMAIL),
                0,
                &[],
            );
        }
    }
    for person in persons(0..100) {
        load(&mut client, &pixel(), (&person, PERSON), 0, &[]);
    }
    // Rate limits use the machine's clock: on a slow machine a second has passed, and the address
    // itself may be counted once.
    let opens = &report(&server)["templates"][0]["opens"];
    assert!(
        [100, 101]
            .map(|openers| classes(openers, 0, 0))
            .contains(opens),
        "{opens}"
    );
}

#[test]
fn nothing_is_counted_against_a_signal_or_without_consent() {
    let server = start(&[]);
    let mut client = server.client();
    let ann = ("198.51.100.7", PERSON);
    let without = mint(&SignRequest {
        consent: false,
        ..order(&[("start", TARGET)])
    });
    assert_eq!(without.pixel, None);
    let unlisted = super::signer()
        .sign_mail(
            &SignRequest {
                template: "newsletter".into(),
                ..order(&[("start", TARGET)])
            },
            BATCH,
        )
        .unwrap();
    for (path, more) in [
        (pixel(), &[("DNT", "1")][..]),
        (pixel(), &[("Sec-GPC", "1")]),
        (link("start", TARGET), &[("DNT", "1")]),
        (link("start", TARGET), &[("Sec-GPC", "1")]),
        (path(&without.links[0].url), &[]),
        (path(&unlisted.links[0].url), &[]),
        (path(&unlisted.pixel.unwrap()), &[]),
    ] {
        assert!(
            [200, 302].contains(&load(&mut client, &path, ann, 0, more).status),
            "{path}"
        );
    }
    nothing_counted(&server);
    let counted =
        ["dnt", "gpc", "no_consent", "unknown_site"].map(|reason| refused(&server, reason));
    assert_eq!(
        (counted, server.metric("footfall_mail_actions_total")),
        ([2, 2, 1, 2], 0)
    );
}

#[test]
fn clicks_are_counted_by_link_and_their_rate_is_of_people() {
    let server = start(&[]);
    let mut client = server.client();
    let (start, shop) = (
        link("start", TARGET),
        link("shop", "https://elsewhere.example/shop"),
    );
    for person in persons(0..80) {
        load(&mut client, &pixel(), (&person, PERSON), 0, &[]);
    }
    for person in persons(0..40) {
        assert_eq!(
            load(&mut client, &start, (&person, PERSON), 10_000, &[]).status,
            302
        );
    }
    for person in persons(0..24) {
        load(&mut client, &shop, (&person, PERSON), 20_000, &[]);
    }
    let row = &report(&server)["templates"][0];
    assert_eq!(
        (&row["clicks"], &row["click_rate"]),
        (&classes(64, 0, 0), &json!(0.8))
    );
    let expected = json!([{"link": "shop", "clicks": classes(24, 0, 0)}, {"link": "start", "clicks": classes(40, 0, 0)}]);
    assert_eq!(row["links"], expected);
}

#[test]
fn a_link_followed_twice_at_once_is_one_click() {
    let server = start(&[]);
    let mut client = server.client();
    let links = ["start", "shop"].map(|name| link(name, TARGET));
    // A double click, both links, and the first once more after five seconds.
    for (path, later) in [
        (&links[0], 0),
        (&links[0], 300),
        (&links[1], 4_000),
        (&links[0], 4_900),
        (&links[0], 10_000),
    ] {
        for person in persons(0..20) {
            assert_eq!(
                load(&mut client, path, (&person, PERSON), later, &[]).status,
                302
            );
        }
    }
    let row = &report(&server)["templates"][0];
    let expected = json!([{"link": "shop", "clicks": classes(20, 0, 0)}, {"link": "start", "clicks": classes(40, 0, 0)}]);
    assert_eq!(
        (&row["clicks"], &row["links"]),
        (&classes(60, 0, 0), &expected)
    );
}

#[test]
fn whoever_follows_three_links_in_two_seconds_or_the_trap_is_software() {
    let server = start(&[]);
    let mut client = server.client();
    let links = ["a", "b", "c"].map(|name| link(name, TARGET));
    for people in 0..6 {
        let (of, began) = (|n: u8| format!("198.51.{n}.{people}"), 120_000 * people);
        let mut load = |path: &str, n: u8, later: i64| {
            load(&mut client, path, (&of(n), PERSON), began + later, &[]);
        };
        // Three within two seconds: all of them are software's, including the first.
        for (place, path) in links.iter().enumerate() {
            load(path, 1, 1_000 * place as i64);
        }
        // Its next request is software's too; another mail program at another address is another
        // client.
        load(&pixel(), 1, 10_000);
        // One link three times, which counts once; and three links at a reader's pace.
        (0..3).for_each(|time| load(&links[0], 3, 15_000 + 100 * time));
        for (place, path) in links.iter().enumerate() {
            load(path, 2, 20_000 + 1_100 * place as i64);
        }
        // The trap, and the request before it.
        load(&links[0], 4, 30_000);
        load(&link("trap", TARGET), 4, 31_000);
        // Within ten seconds of the mail batch.
        let sent = jiff::Timestamp::from_millisecond(NOON + began + 60_000).unwrap();
        let soon = mint(&SignRequest {
            sent: Some(sent),
            ..order(&[("a", TARGET)])
        });
        load(&path(&soon.links[0].url), 5, 65_000);
    }

    let row = &report(&server)["templates"][0];
    assert_eq!(
        (&row["clicks"], &row["opens"]),
        (&classes(24, 0, 36), &classes(0, 0, 6))
    );
}

#[test]
fn a_visit_that_a_mail_led_to_is_attributed_to_the_mail_and_to_nobody() {
    let server = start(&[]);
    let mut client = server.client();
    for person in persons(0..10) {
        let answer = load(
            &mut client,
            &link("start", "https://pages.example/u/mia?tab=shop#top"),
            (&person, PERSON),
            0,
            &[],
        );
        let target = answer.header("location").unwrap().to_owned();
        assert_eq!(
            target,
            "https://pages.example/u/mia?tab=shop&utm_source=mail&utm_campaign=welcome#top"
        );
        let body = format!(r#"{{"kind":"view","url":"{target}"}}"#);
        assert_eq!(
            hit(&mut client, &body, &[("X-Forwarded-For", &person)]).status,
            202
        );
    }
    for n in 0..5 {
        let direct = format!("203.0.{n}.7");
        assert_eq!(
            hit(
                &mut client,
                &view("/u/mia"),
                &[("X-Forwarded-For", &direct)]
            )
            .status,
            202
        );
    }
    let named = "https://pages.example/u/mia?utm_campaign=spring";
    assert_eq!(
        load(
            &mut client,
            &link("own", named),
            ("198.51.99.7", PERSON),
            0,
            &[]
        )
        .header("location"),
        Some(named)
    );
    server.publish(NOON + 86_400_000);
    let report = server.report("mia", crate::support::DAY);
    assert_eq!(
        report["dimensions"]["campaign"]["rows"][0],
        json!({"value": "welcome", "visitors": 10, "visits": 10})
    );
    assert_eq!(report["totals"]["hits"], 15);
}

#[test]
fn a_day_of_mails_begins_at_midnight_in_their_zone() {
    let server = start(&["mail.zone=\"Asia/Kolkata\""]);
    let mut client = server.client();
    for person in persons(0..5) {
        // 18:29 in UTC is 23:59 there.
        load(&mut client, &pixel(), (&person, PERSON), 23_340_000, &[]);
    }
    for person in persons(0..6) {
        load(&mut client, &pixel(), (&person, PERSON), 23_400_000, &[]);
    }
    let (host, now) = (
        server.address().to_string(),
        (NOON + 30_000_000).to_string(),
    );
    server
        .client()
        .ask(
            "POST",
            "/test/flush",
            &[("Host", &host), ("X-Footfall-Now", &now)],
            Body::None,
        )
        .unwrap();
    let answer = server
        .client()
        .get("/api/v1/mail?from=2026-03-10&to=2026-03-11")
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let row = &report["templates"][0];
    let day = |place: usize| {
        (
            row["days"][place]["day"].as_str().unwrap(),
            row["days"][place]["openers"].as_u64(),
        )
    };
    assert_eq!(
        (day(0), day(1)),
        (("2026-03-10", Some(5)), ("2026-03-11", Some(6)))
    );
    assert_eq!(
        (report["zone"].as_str(), row["openers"].as_u64()),
        (Some("Asia/Kolkata"), Some(11))
    );
}

#[test]
fn an_opening_that_was_answered_survives_a_crash_and_counts_once() {
    let mut server = start(&["journal.segment_secs=3600"]);
    let mut client = server.client();
    for person in persons(0..200) {
        assert_eq!(
            load(&mut client, &pixel(), (&person, PERSON), 0, &[]).status,
            200
        );
    }
    server.kill();
    server.restart();
    assert_eq!(report(&server)["templates"][0]["opens"], classes(200, 0, 0));
    server.kill();
    server.restart();
    assert_eq!(report(&server)["templates"][0]["opens"], classes(200, 0, 0));
}

#[test]
fn a_stop_counts_the_clicks_that_were_held_back() {
    let mut server = start(&[]);
    let mut client = server.client();
    for person in persons(0..20) {
        load(
            &mut client,
            &link("start", TARGET),
            (&person, PERSON),
            0,
            &[],
        );
    }
    assert_eq!(server.stop(), Some(0));
    server.restart();
    assert_eq!(report(&server)["templates"][0]["clicks"], classes(20, 0, 0));
}

#[test]
fn without_a_way_to_tell_people_apart_nobody_is() {
    let server = start(&["visitor.mode=none"]);
    let mut client = server.client();
    for person in persons(0..20) {
        load(&mut client, &pixel(), (&person, PERSON), 0, &[]);
    }
    let row = &report(&server)["templates"][0];
    assert_eq!(
        (&row["opens"], &row["openers"]),
        (&classes(20, 0, 0), &json!(null))
    );
}

#[test]
fn nothing_of_who_opened_a_mail_is_in_any_byte_the_collector_leaves() {
    let mut server: Server = start(&["log.filter=\"trace\"", "mail.mode=per_message"]);
    server.flush();
    let mut client = server.client();
    let agent = "Mozilla/5.0 (X11; CANARYAGENT; rv:128.0) Gecko/20100101 Thunderbird/128.3.1";
    let token = super::messages::make(&server);
    let more = [
        ("Cookie", "a=CANARYCOOKIE"),
        ("Referer", "https://mail.example/CANARYREFERER"),
        ("X-Canary", "CANARYHEADER"),
    ];
    for n in 0..50 {
        for path in [
            pixel(),
            link("start", TARGET),
            format!("/ff/o/m.{token}.gif"),
            "/ff/o/CANARYTOKEN.gif".into(),
            "/ff/c/CANARYTOKEN".into(),
        ] {
            load(
                &mut client,
                &format!("{path}?q=CANARYQUERY"),
                ("203.0.113.77", agent),
                n * 10_000,
                &more,
            );
            load(
                &mut client,
                &path,
                ("203.0.113.77", agent),
                n * 10_000,
                &more,
            );
        }
    }
    report(&server);
    let metrics = server.client().get("/metrics").unwrap().body;
    assert_eq!(server.stop(), Some(0));
    let mut all = crate::canary::files(server.dir());
    all.push(("metrics".into(), metrics));
    assert!(
        all.iter()
            .any(|(_, bytes)| crate::canary::holds(bytes, b"welcome")),
        "what may be kept is found"
    );
    let needles = ["CANARY", "203.0.113.77", &token];
    for (path, bytes) in &all {
        for needle in needles {
            assert!(
                !crate::canary::holds(bytes, needle.as_bytes()),
                "{} holds {needle}",
                path.display()
            );
        }
    }
}
