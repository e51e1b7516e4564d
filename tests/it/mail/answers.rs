//! A pixel gives the same answer in every case, and a link leads only to a target that was signed.

use serde_json::json;

use super::{
    BATCH, ORIGIN, PERSON, ask_for_links, link, load, mint, nothing_counted, order, path, pixel,
    refused, report, signer, signer_with, start,
};
use crate::support::{Answer, Body, SITES, Server, until};

const ANN: (&str, &str) = ("198.51.100.7", PERSON);
const TARGET: &str = "https://elsewhere.example/page";

/// Status, header fields except the date, and body; the order of fields varies.
fn all_of(mut answer: Answer) -> (u16, Vec<(String, String)>, Vec<u8>) {
    answer
        .headers
        .retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
    answer.headers.sort();
    (answer.status, answer.headers, answer.body)
}

fn flip(text: &str, place: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

fn tampered(path: &str, token_at: usize, end: usize) -> Vec<String> {
    (token_at..path.len() - end)
        .map(|place| flip(path, place))
        .collect()
}

#[test]
fn the_pixel_is_the_same_in_every_case() {
    let server = start(&["limits.network_burst=3", "limits.network_hits_per_sec=1"]);
    let mut client = server.client();
    let good = pixel();
    let counted = all_of(load(&mut client, &good, ANN, 0, &[]));
    assert_eq!((counted.0, counted.2.len()), (200, 43));
    let fields: Vec<&str> = counted.1.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "cache-control",
        "content-length",
        "content-type",
        "cross-origin-resource-policy",
        "x-content-type-options",
    ];
    assert_eq!(fields, expected);
    assert!(
        counted
            .1
            .contains(&("cache-control".into(), "no-store, max-age=0".into()))
    );
    assert!(
        counted
            .1
            .contains(&("content-type".into(), "image/gif".into()))
    );

    let of = |order| path(&signer().sign_mail(&order, BATCH).unwrap().pixel.unwrap());
    let other_key = signer_with("k1 another-secret-of-32-bytes-or-so\n", false);
    let unsigned = format!(
        "/ff/o/1.o.k1.welcome.2026-03-10.yes.2026-06-08.0.{}.gif",
        "A".repeat(43)
    );
    let cases: Vec<(String, &[(&str, &str)])> = vec![
        (good.clone(), &[("DNT", "1")]),
        (good.clone(), &[("Sec-GPC", "1")]),
        (
            good.clone(),
            &[
                ("Cookie", "a=b; c=d"),
                ("If-None-Match", "*"),
                ("Range", "bytes=0-1"),
            ],
        ),
        (good.replace(".yes.", ".no."), &[]),
        (
            of(super::SignRequest {
                template: "newsletter".into(),
                ..order(&[])
            }),
            &[],
        ),
        (
            of(super::SignRequest {
                expires: Some(BATCH),
                batch: Some(BATCH),
                ..order(&[])
            }),
            &[("X-Footfall-Now", "1773300000000")],
        ),
        (
            path(
                &other_key
                    .sign_mail(&order(&[]), BATCH)
                    .unwrap()
                    .pixel
                    .unwrap(),
            ),
            &[],
        ),
        (unsigned, &[]),
        (good.replace(".gif", ""), &[]),
        (good.replace(".gif", ".png"), &[]),
        (format!("{good}?a=b"), &[]),
        ("/ff/o/".into(), &[]),
        ("/ff/o/x".into(), &[]),
        ("/ff/o/..%2f..%2fetc/passwd".into(), &[]),
        ("/ff/o/%ff%00%zz.gif".into(), &[]),
        ("/ff/o/m.AAAAAAAAAAAAAAAAAAAAAA.gif".into(), &[]),
        (format!("/ff/o/{}.gif", "a.".repeat(3000)), &[]),
    ];
    for (path, more) in cases {
        assert_eq!(
            all_of(load(&mut client, &path, ANN, 60_000, more)),
            counted,
            "{path} {more:?}"
        );
    }
    let headers = [
        ("Host", "pages.example"),
        ("User-Agent", PERSON),
        ("X-Forwarded-For", "198.51.100.9"),
    ];
    let posted = server
        .client()
        .ask("POST", &good, &headers, Body::Sized(b"anything"))
        .unwrap();
    assert_eq!(all_of(posted), counted);
    let posted = server
        .client()
        .ask(
            "POST",
            &link("start", TARGET),
            &headers,
            Body::Sized(b"anything"),
        )
        .unwrap();
    assert_eq!((posted.status, posted.header("location")), (404, None));
    let mut head = server.client();
    head.send("HEAD", &good, &headers, Body::None).unwrap();
    let (status, fields, _) = all_of(head.receive_head().unwrap());
    assert_eq!((status, fields), (counted.0, counted.1.clone()));
    assert!(
        refused(&server, "limited") > 0,
        "and over the rate it was the same, too"
    );
}

#[test]
fn the_pixel_is_the_same_for_every_request_that_is_http_and_within_bounds() {
    let server = start(&[]);
    let good = all_of(load(&mut server.client(), &pixel(), ANN, 0, &[]));
    let names: Vec<String> = (0..90).map(|n| format!("X-{n}")).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let long = format!("/ff/o/{}.gif", "a".repeat(60_000));
    assert_eq!(
        all_of(load(&mut server.client(), &pixel(), ANN, 0, &fields)),
        good
    );
    assert_eq!(all_of(load(&mut server.client(), &long, ANN, 0, &[])), good);
    // Invalid HTTP cannot come from a mail program, and gets an error.
    let long = format!("/ff/o/{}.gif", "a".repeat(200_000));
    for garbage in ["/ff/o/<>.gif", "/ff/o/a b.gif", "/ff/o/\u{e9}.gif", &long] {
        let answer = load(&mut server.client(), garbage, ANN, 0, &[]);
        assert!(
            [400, 431].contains(&answer.status),
            "{} to {} bytes",
            answer.status,
            garbage.len()
        );
        assert_eq!((answer.body.len(), answer.header("set-cookie")), (0, None));
    }
}

#[test]
fn the_pixel_is_the_same_with_mails_off_the_store_gone_and_the_journal_full() {
    let good = pixel();
    let counted = all_of(load(&mut start(&[]).client(), &good, ANN, 0, &[]));
    let off = Server::start(SITES);
    assert_eq!(all_of(load(&mut off.client(), &good, ANN, 0, &[])), counted);
    assert_eq!(
        load(&mut off.client(), &link("a", TARGET), ANN, 0, &[]).status,
        404
    );
    let without_store = start(&["store.url=\"http://127.0.0.1:9\""]);
    assert_eq!(
        all_of(load(&mut without_store.client(), &good, ANN, 0, &[])),
        counted
    );
    assert_eq!(without_store.metric("footfall_mail_actions_total"), 1);

    // The open segment's reserved space alone exceeds this limit, which is checked once a second.
    let full = start(&[
        "store.url=\"http://127.0.0.1:9\"",
        "journal.max_bytes=1048576",
    ]);
    until(
        || full.metric("footfall_journal_full") != 0,
        "the bound is met",
    );
    assert_eq!(
        all_of(load(&mut full.client(), &good, ANN, 0, &[])),
        counted
    );
    assert_eq!(
        (
            full.metric("footfall_mail_actions_total"),
            full.metric("footfall_mail_actions_lost_total")
        ),
        (0, 1)
    );
}

#[test]
fn a_token_with_any_byte_changed_counts_nothing_and_leads_nowhere() {
    let server = start(&[]);
    let mut client = server.client();
    let (pixel, link) = (pixel(), link("start", TARGET));
    let pixels = tampered(&pixel, "/ff/o/".len(), ".gif".len());
    for path in &pixels {
        assert_eq!(load(&mut client, path, ANN, 0, &[]).status, 200);
    }
    let links = tampered(&link, "/ff/c/".len(), 0);
    for path in &links {
        let answer = load(&mut client, path, ANN, 0, &[]);
        assert_eq!(
            (answer.status, answer.header("location")),
            (404, None),
            "{path}"
        );
    }
    nothing_counted(&server);
    assert_eq!(refused(&server, "unknown_site"), pixels.len() as u64);
    // The unchanged tokens are valid.
    assert_eq!(load(&mut client, &link, ANN, 0, &[]).status, 302);
}

#[test]
fn no_link_of_ours_leads_where_a_link_must_not_whoever_signed_it() {
    let server = start(&[]);
    let mut client = server.client();
    let signed = |target: &str| {
        let mail = footfall::mail::MailFields {
            template: "welcome",
            batch: footfall::calendar::Day::from_date(BATCH).unwrap(),
            consent: true,
            expires: footfall::calendar::Day::from_date(jiff::civil::date(2026, 6, 8)).unwrap(),
            sent: None,
        };
        format!("/ff/c/{}", signer().keys.link_token(&mail, "start", target))
    };
    assert_eq!(load(&mut client, &signed(TARGET), ANN, 0, &[]).status, 302);
    for target in [
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example/",
        "/u/mia",
        "https://pages.example/\r\nSet-Cookie: a=b",
        "https://pages.example/\nx",
        "https://ann@evil.example/",
        "https://pages.example\\@evil.example/",
        "http://pages.example/",
        "mailto:ann@mail.example",
        "https://elsewhere.example/unsubscribe?u=1",
        "https://elsewhere.example/%75n-subscribe",
        "",
    ] {
        let answer = load(&mut client, &signed(target), ANN, 0, &[]);
        assert_eq!(
            (answer.status, answer.header("location")),
            (404, None),
            "{target:?}"
        );
    }
    // Expired, and of another key.
    let expired = load(&mut client, &signed(TARGET), ANN, 91 * 86_400_000, &[]);
    assert_eq!((expired.status, expired.header("location")), (404, None));
    let other = signer_with("k1 another-secret-of-32-bytes-or-so\n", false);
    let other = path(
        &other
            .sign_mail(&order(&[("start", TARGET)]), BATCH)
            .unwrap()
            .links[0]
            .url,
    );
    let forged = load(&mut client, &other, ANN, 0, &[]);
    assert_eq!((forged.status, forged.header("location")), (404, None));
}

#[test]
fn a_link_leads_on_without_a_referrer_and_is_not_kept() {
    let server = start(&[]);
    for more in [&[][..], &[("DNT", "1")], &[("Sec-GPC", "1")]] {
        let answer = load(&mut server.client(), &link("start", TARGET), ANN, 0, more);
        assert_eq!(
            (answer.status, answer.header("location")),
            (302, Some(TARGET))
        );
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(
            (answer.header("cache-control"), answer.header("set-cookie")),
            (Some("no-store"), None)
        );
    }
    let report = report(&server);
    assert_eq!(
        report["templates"][0]["links"],
        json!([{"link": "start", "clicks": {"direct": null, "proxied": 0, "machine": 0}}])
    );
}

#[test]
fn everybody_gets_the_same_pixel_and_links_and_what_is_not_listed_gets_none() {
    let server = start(&[]);
    let mail = r#"{"template":"welcome","batch":"2026-03-10","consent":true,"links":[{"link":"start","url":"https://elsewhere.example/page"}]}"#;
    let (status, ann) = ask_for_links(&server, &format!(r#"{{"mails":[{mail}]}}"#));
    let (_, tom) = ask_for_links(&server, &format!(r#"{{"mails":[{mail},{mail}]}}"#));
    assert_eq!(status, 201);
    assert_eq!(
        (&ann["mails"][0], &tom["mails"][0]),
        (&tom["mails"][1], &tom["mails"][1])
    );
    // The same as a signer outside the collector makes.
    let minted = mint(&order(&[("start", TARGET)]));
    assert_eq!(ann["mails"][0], serde_json::to_value(&minted).unwrap());
    let html = minted.html.unwrap();
    assert!(
        html.starts_with(&format!("<img src=\"{ORIGIN}/ff/o/1.o.k1.welcome.")),
        "{html}"
    );
    assert!(
        html.ends_with("\" width=\"1\" height=\"1\" alt=\"\">"),
        "{html}"
    );

    for (body, code) in [
        (
            r#"{"mails":[{"template":"newsletter","consent":true}]}"#,
            (422, "template_not_listed"),
        ),
        (
            r#"{"mails":[{"template":"welcome","consent":true,"links":[{"link":"a","url":"http://a.example/"}]}]}"#,
            (400, "bad_value"),
        ),
        (
            r#"{"mails":[{"template":"welcome","consent":true,"links":[{"link":"a","url":"mailto:ann@mail.example"}]}]}"#,
            (400, "bad_value"),
        ),
        (r#"{"mails":[{"template":"welcome"}]}"#, (400, "bad_value")),
        (
            r#"{"mails":[{"template":"welcome","consent":true,"sent":"1960-01-01T00:00:00Z"}]}"#,
            (400, "bad_value"),
        ),
        (
            r#"{"mails":[{"template":"welcome","consent":true,"batch":"1999-03-10"}]}"#,
            (400, "bad_value"),
        ),
    ] {
        let (status, problem) = ask_for_links(&server, body);
        assert_eq!((status, problem["code"].as_str().unwrap()), code, "{body}");
    }
    let bad = r#"{"template":"welcome","consent":true,"links":[{"link":"A","url":"https://a.example/"}]}"#;
    let (_, problem) = ask_for_links(&server, &format!(r#"{{"mails":[{mail},{mail},{bad}]}}"#));
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .starts_with("mails[2].links[0]: the name of a link"),
        "{problem}"
    );
    let off = Server::start(SITES);
    let (status, problem) = ask_for_links(&off, r#"{"mails":[]}"#);
    assert_eq!((status, &problem["code"]), (409, &json!("mail_off")));
}
