//! The sender of mails, who holds the signing token, cannot learn which recipient opened a mail.

use serde_json::{Value, json};

use super::{
    BATCH, GMAIL, PERSON, SignRequest, ask_for_links, link, load, mint, order, path, persons,
    pixel, report, signer, start,
};
use crate::support::Server;

const TARGET: &str = "https://elsewhere.example/page";

/// A mail of the template `welcome` with these keys; keys of `more` take precedence.
fn mail(more: Value) -> Value {
    let mut mail = json!({"template": "welcome", "batch": "2026-03-10", "consent": true});
    mail.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    mail
}

fn with_link(name: &str, url: &str) -> Value {
    mail(json!({"links": [{"link": name, "url": url}]}))
}

/// The answer to a request to sign these mails: the status and, if it was rejected, code and
/// detail.
fn signed(server: &Server, mails: &[Value]) -> (u16, String, String) {
    let (status, answer) = ask_for_links(server, &json!({ "mails": mails }).to_string());
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    (status, text("code"), text("detail"))
}

/// Each of these was once signed: a row of `mail`, or a URL, for a single recipient.
#[test]
fn a_mail_of_one_recipients_own_is_refused_by_the_key_that_makes_it_so() {
    let server = start(&[]);
    for (own, key, why) in [
        (
            with_link("u-1234567-ann", TARGET),
            "mails[0].links[0].link: ",
            "looks like a recipient",
        ),
        (
            with_link("0b9e1c9a-3d5f-4c7e-9a1b-2f3e4d5c6b7a", TARGET),
            "mails[0].links[0].link: ",
            "looks like a recipient",
        ),
        (
            with_link("start", "https://elsewhere.example/?rcpt=1234567"),
            "mails[0].links[0].url: ",
            "the query of this one",
        ),
        (
            with_link("start", "https://elsewhere.example/?x=ann%40mail.example"),
            "mails[0].links[0].url: ",
            "the query of this one",
        ),
        (
            with_link("start", "https://elsewhere.example/order/123456789"),
            "mails[0].links[0].url: ",
            "the path of this one",
        ),
        (
            with_link("start", "https://elsewhere.example/#user=7"),
            "mails[0].links[0].url: ",
            "the fragment of this one",
        ),
        (
            mail(json!({"sent": "2026-03-10T11:59:07Z"})),
            "mails[0].sent: ",
            "a whole minute",
        ),
        (
            mail(json!({"sent": "2026-03-10T11:59:00.007Z"})),
            "mails[0].sent: ",
            "a whole minute",
        ),
        (
            mail(json!({"batch": "2026-03-11"})),
            "mails[0].batch: ",
            "still to come",
        ),
        (
            mail(json!({"batch": "2026-03-02"})),
            "mails[0].batch: ",
            "at most 7 days ago",
        ),
    ] {
        let (status, code, detail) = signed(&server, std::slice::from_ref(&own));
        assert_eq!((status, &*code), (400, "bad_value"), "{own}: {detail}");
        assert!(
            detail.starts_with(key) && detail.contains(why),
            "{own}: {detail}"
        );
        assert!(
            !detail.contains("123456") && !detail.contains("ann"),
            "a refusal repeats nobody: {detail}"
        );
    }
}

#[test]
fn a_thousand_mails_with_a_link_each_are_refused_from_the_thirty_third_on_also_after_a_restart() {
    let mut server = start(&[]);
    let name = |n: usize| with_link(&format!("l{n}"), TARGET);
    let target = |n: usize| with_link("l0", &format!("https://elsewhere.example/{n}"));
    // One by one, then many in one request.
    for n in 0..20 {
        assert_eq!(signed(&server, &[name(n)]).0, 201);
    }
    assert_eq!(
        signed(&server, &(10..32).map(name).collect::<Vec<_>>()).0,
        201
    );
    let (status, code, detail) = signed(&server, &[name(3), name(32)]);
    assert_eq!((status, &*code), (422, "recipients_own"));
    assert!(
        detail.starts_with("mails[1].links[0].link: ")
            && detail.contains("at most 32 names of links"),
        "{detail}"
    );
    // Those links use one of the targets.
    assert_eq!(
        signed(&server, &(0..31).map(target).collect::<Vec<_>>()).0,
        201
    );
    let (status, _, detail) = signed(&server, &[target(31)]);
    assert!(
        status == 422 && detail.starts_with("mails[0].links[0].url: "),
        "{status} {detail}"
    );
    assert!(
        !detail.contains("elsewhere"),
        "a refusal repeats no target: {detail}"
    );

    server.kill();
    server.restart();
    for n in 32..1000 {
        assert_eq!(
            (
                signed(&server, &[name(n)]).0,
                signed(&server, &[target(n)]).0
            ),
            (422, 422),
            "{n}"
        );
    }
    // Values that other recipients share are signed again, however often.
    assert_eq!(signed(&server, &[name(31), target(30)]).0, 201);
    assert_eq!(
        signed(
            &server,
            &[mail(
                json!({"template": "billing_receipt", "links": [{"link": "l40", "url": TARGET}]})
            )]
        )
        .0,
        201
    );
}

#[test]
fn the_mails_of_a_batch_carry_eight_instants_and_four_last_days_between_them() {
    let server = start(&[]);
    let sent = |minute: usize| mail(json!({"sent": format!("2026-03-10T11:{minute:02}:00Z")}));
    let expires = |day: usize| mail(json!({"expires": format!("2026-04-{day:02}")}));
    assert_eq!(
        signed(&server, &(0..8).map(sent).collect::<Vec<_>>()).0,
        201
    );
    let (status, code, detail) = signed(&server, &[sent(8)]);
    assert_eq!((status, &*code), (422, "recipients_own"));
    assert!(
        detail.starts_with("mails[0].sent: ") && detail.contains("at most 8 instants"),
        "{detail}"
    );
    // The eight were signed with the usual last day.
    assert_eq!(
        signed(&server, &(1..4).map(expires).collect::<Vec<_>>()).0,
        201
    );
    let (status, _, detail) = signed(&server, &[expires(4)]);
    assert!(
        status == 422 && detail.starts_with("mails[0].expires: "),
        "{status} {detail}"
    );
    assert_eq!(signed(&server, &[sent(3), expires(2)]).0, 201);
}

/// A holder of the key does not need the collector. There were once as many rows of `mail` as
/// recipients.
#[test]
fn links_signed_elsewhere_with_a_name_each_are_counted_as_other() {
    let server = start(&[]);
    let mut client = server.client();
    for (n, person) in persons(0..200).enumerate() {
        let own = mint(&order(&[(&format!("l{n}"), TARGET)]));
        assert_eq!(
            load(
                &mut client,
                &path(&own.links[0].url),
                (&person, PERSON),
                0,
                &[]
            )
            .status,
            302
        );
    }
    let row = &report(&server)["templates"][0];
    let links: Vec<&str> = row["links"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| link["link"].as_str().unwrap())
        .collect();
    assert_eq!((links.len(), links[0]), (33, "(other)"));
    assert_eq!(row["clicks"]["direct"], 200);
}

/// This was once shown, because four loads through a proxy and an opener were counted as five
/// people.
#[test]
fn one_opener_and_four_proxied_loads_are_not_shown() {
    let server = start(&[]);
    let mut client = server.client();
    load(&mut client, &pixel(), ("198.51.1.7", PERSON), 0, &[]);
    (0..4).for_each(|_| {
        drop(load(
            &mut client,
            &pixel(),
            ("66.249.84.11", GMAIL),
            60_000,
            &[],
        ))
    });
    let answer = report(&server);
    assert_eq!((&answer["k"], &answer["k_loads"]), (&json!(5), &json!(20)));
    let row = &answer["templates"][0];
    let hidden = json!({"direct": null, "proxied": null, "machine": 0});
    assert_eq!((&row["opens"], &row["openers"]), (&hidden, &json!(null)));
    assert_eq!(
        (&row["days"][0]["opens"], &row["batches"][0]["opens"]),
        (&hidden, &hidden)
    );
}

/// One opener beside twenty proxied loads, in a batch beside another: neither class reveals the
/// other, and no batch the total.
#[test]
fn a_class_is_shown_by_its_own_people_and_no_sum_tells_the_rest() {
    let server = start(&[]);
    let mut client = server.client();
    let before = mint(&SignRequest {
        batch: Some(BATCH.yesterday().unwrap()),
        ..order(&[])
    });
    let before = path(before.pixel.as_ref().unwrap());
    for person in persons(0..9) {
        load(&mut client, &before, (&person, PERSON), 0, &[]);
    }
    load(&mut client, &pixel(), ("198.51.90.7", PERSON), 0, &[]);
    (0..20).for_each(|_| {
        drop(load(
            &mut client,
            &pixel(),
            ("66.249.84.11", GMAIL),
            60_000,
            &[],
        ))
    });
    let row = &report(&server)["templates"][0];
    assert_eq!(
        row["opens"],
        json!({"direct": 10, "proxied": 20, "machine": 0})
    );
    let batches: Vec<&Value> = row["batches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|batch| &batch["opens"])
        .collect();
    let (none, all) = (
        json!({"direct": null, "proxied": 0, "machine": 0}),
        json!({"direct": null, "proxied": 20, "machine": 0}),
    );
    assert_eq!(batches, [&none, &all]);
}

/// This was once shown, because five clicks were counted as five people.
#[test]
fn five_clicks_of_one_person_are_not_shown_nor_nineteen() {
    let server = start(&[]);
    let mut client = server.client();
    for time in 0..19 {
        load(
            &mut client,
            &link("start", TARGET),
            ("198.51.1.7", PERSON),
            10_000 * time,
            &[],
        );
    }
    let row = &report(&server)["templates"][0];
    let hidden = json!({"direct": null, "proxied": 0, "machine": 0});
    assert_eq!(
        (
            &row["clicks"],
            &row["links"][0]["clicks"],
            &row["click_rate"]
        ),
        (&hidden, &hidden, &json!(null))
    );
}

/// The signing side enforces the rules, not the receiving one: links signed before the rules still
/// lead to their targets.
#[test]
fn a_link_that_is_no_longer_signed_still_leads_where_it_was_signed_before() {
    let server = start(&[]);
    let mail = footfall::mail::MailFields {
        template: "welcome",
        batch: footfall::calendar::Day::from_date(BATCH).unwrap(),
        consent: true,
        expires: footfall::calendar::Day::from_date(jiff::civil::date(2026, 6, 8)).unwrap(),
        sent: None,
    };
    let target = "https://elsewhere.example/?rcpt=1234567";
    let old = format!(
        "/ff/c/{}",
        signer().keys.link_token(&mail, "u-1234567-ann", target)
    );
    let answer = load(&mut server.client(), &old, ("198.51.1.7", PERSON), 0, &[]);
    assert_eq!(
        (answer.status, answer.header("location")),
        (302, Some(target))
    );
}
