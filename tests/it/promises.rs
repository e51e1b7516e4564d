//! The sentences of three published cookie policies, each against the preset that must keep it.
//! docs/understand/PROMISES.md lists them; the names of the tests begin with the sentences'
//! numbers. What a browser must show is in tests/e2e/promises.spec.js.

use std::fs;

use serde_json::{Value, json};

use crate::consent::{ask, cookie, ledger, set_cookies, state};
use crate::support::{ABSENT, Answer, Body, Client, DAY, NOON, SITES, Server, hit, view};

const DAY_MILLIS: i64 = 86_400_000;

/// A platform that runs a preset; `more` are further settings.
fn platform(preset: &str, more: &[&str]) -> Server {
    let preset = format!("preset=\"{preset}\"");
    let settings: Vec<&str> = [&*preset, "limits.network_choices_per_min=100000"]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    Server::start_with(SITES, &settings)
}

fn optional(preset: &str) -> &'static [&'static str] {
    match preset {
        "alllinks" => &["preferences", "analytics", "embeds"],
        "ally" => &["preferences", "analytics"],
        _ => &["analytics", "marketing"],
    }
}

const PRESETS: [&str; 3] = ["alllinks", "ally", "openedlink"];

fn grant(tiers: &[(&str, bool)]) -> String {
    let tiers: serde_json::Map<String, Value> = tiers
        .iter()
        .map(|(tier, yes)| ((*tier).to_owned(), json!(yes)))
        .collect();
    json!({"version":2,"act":"grant","tiers":tiers,"lang":"en","layer":"first","path":"/u/mia"})
        .to_string()
}

fn accept_all(preset: &str) -> String {
    grant(
        &optional(preset)
            .iter()
            .map(|tier| (*tier, true))
            .collect::<Vec<_>>(),
    )
}

fn no(act: &str) -> String {
    json!({"version":2,"act":act,"lang":"en","layer":"first","path":"/u/mia"}).to_string()
}

/// A profile's page sends hits below its own path, so that its visit cookie is included.
fn choose(server: &Server, body: &str, more: &[(&str, &str)]) -> Answer {
    let answer = ask(
        &mut server.client(),
        "POST",
        "/u/mia/ff/consent",
        body,
        more,
    );
    assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    answer
}

/// A view of a page at a moment, with a browser's cookies.
fn visit(client: &mut Client, path: &str, cookies: &str, at: i64, more: &[(&str, &str)]) -> Answer {
    let now = at.to_string();
    let own = [("Cookie", cookies), ("X-Footfall-Now", &now)];
    let headers: Vec<(&str, &str)> = more.iter().copied().chain(own).collect();
    let answer = hit(client, &view(path), &headers);
    assert_eq!(answer.status, 202);
    answer
}

fn totals(server: &Server, site: &str, range: &str) -> [u64; 2] {
    server.flush();
    let report = server.report(site, range);
    ["hits", "visitors"].map(|counter| report["totals"][counter].as_u64().unwrap())
}

/// The attributes of a `Set-Cookie`, the value's first.
fn attributes(set: &str) -> Vec<&str> {
    set.split("; ").collect()
}

#[test]
fn al_1_a_profile_and_its_custom_domain_are_one_site_and_other_hosts_are_none() {
    let server = platform("alllinks", &[]);
    server.flush();
    let host = server.address().to_string();
    let put = Body::Sized(br#"{"hosts":["mia.example"],"zone":"UTC"}"#);
    assert_eq!(
        server
            .client()
            .ask("PUT", "/api/v1/sites/mia", &[("Host", &host)], put)
            .unwrap()
            .status,
        204
    );
    let kept = cookie(&choose(&server, &accept_all("alllinks"), &[]));
    visit(&mut server.client(), "/u/mia", &kept, NOON, &[]);
    for (host, address) in [
        ("mia.example", "198.51.100.8"),
        ("other.example", "198.51.100.9"),
    ] {
        let body = format!(r#"{{"kind":"view","url":"https://{host}/"}}"#);
        let origin = format!("https://{host}");
        let own = [
            ("Host", host),
            ("Origin", &*origin),
            ("X-Forwarded-For", address),
            ("Cookie", &*kept),
        ];
        assert_eq!(hit(&mut server.client(), &body, &own).status, 202);
    }
    assert_eq!(totals(&server, "mia", DAY), [2, 2]);
    assert_eq!(
        server.metric("footfall_drops_total{reason=\"unknown_site\"}"),
        1
    );
}

#[test]
fn ol_1_hits_from_hosts_that_are_not_listed_are_not_counted() {
    let server = platform("openedlink", &[]);
    let kept = cookie(&choose(&server, &accept_all("openedlink"), &[]));
    let body = view("/u/mia").replace("pages.example", "elsewhere.example");
    hit(&mut server.client(), &body, &[("Cookie", &kept)]);
    assert_eq!(totals(&server, "mia", DAY), [0, 0]);
}

#[test]
fn al_3_ay_8_ol_10_each_platform_asks_about_its_tiers_in_their_order_and_the_first_is_locked() {
    for (preset, ui) in [
        ("alllinks", "granular"),
        ("ally", "accept_decline"),
        ("openedlink", "granular"),
    ] {
        let server = platform(preset, &[]);
        let asked = state(&server, &[]);
        let tiers: Vec<(&str, bool, bool)> = asked["tiers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| {
                (
                    t["name"].as_str().unwrap(),
                    t["locked"] == true,
                    t["granted"] == true,
                )
            })
            .collect();
        let expected: Vec<(&str, bool, bool)> = std::iter::once(("necessary", true, true))
            .chain(optional(preset).iter().map(|tier| (*tier, false, false)))
            .collect();
        assert_eq!(
            (tiers, asked["ui"].as_str()),
            (expected, Some(ui)),
            "{preset}"
        );
    }
}

#[test]
fn al_4_ol_18_necessary_cannot_be_turned_off() {
    for preset in PRESETS {
        let server = platform(preset, &[]);
        let mut tiers: Vec<(&str, bool)> =
            optional(preset).iter().map(|tier| (*tier, true)).collect();
        tiers.push(("necessary", false));
        let answer = ask(
            &mut server.client(),
            "POST",
            "/ff/consent",
            &grant(&tiers),
            &[],
        );
        assert_eq!((answer.status, ledger(&server).len()), (422, 0), "{preset}");
    }
}

#[test]
fn al_9_the_visit_cookie_lives_24_hours_counts_once_and_is_never_extended() {
    let server = platform("alllinks", &[]);
    let mut client = server.client();
    let kept = cookie(&choose(&server, &accept_all("alllinks"), &[]));
    let first = visit(&mut client, "/u/mia", &kept, NOON, &[]);
    let expected = [
        "al_visit=1",
        "Max-Age=86400",
        "Secure",
        "HttpOnly",
        "SameSite=Lax",
        "Path=/u/mia",
    ];
    assert_eq!(attributes(set_cookies(&first)[0]), expected);
    let with = format!("{kept}; al_visit=1");
    let again = visit(&mut client, "/u/mia", &with, NOON + 3_600_000, &[]);
    assert_eq!(
        set_cookies(&again),
        Vec::<&str>::new(),
        "its life is not extended"
    );
    assert_eq!(totals(&server, "mia", DAY), [2, 1]);
    // The browser dropped it after 24 hours.
    let next = visit(&mut client, "/u/mia", &kept, NOON + DAY_MILLIS + 1000, &[]);
    assert_eq!(set_cookies(&next).len(), 1);
    assert_eq!(
        totals(&server, "mia", "from=2026-03-10&to=2026-03-11"),
        [3, 2]
    );
}

#[test]
fn al_9_a_visitor_of_one_creator_is_a_visitor_of_the_next_one_too() {
    let server = platform("alllinks", &[]);
    let mut client = server.client();
    let kept = cookie(&choose(&server, &accept_all("alllinks"), &[]));
    visit(&mut client, "/u/mia", &kept, NOON, &[]);
    // The cookie's Path keeps it with the profile it was set on.
    let other = visit(&mut client, "/u/tom", &kept, NOON, &[]);
    assert!(set_cookies(&other)[0].ends_with("Path=/u/tom"));
    assert_eq!(
        (totals(&server, "mia", DAY), totals(&server, "tom", DAY)),
        ([1, 1], [1, 1])
    );
}

#[test]
fn al_10_ay_6_a_thousand_browsers_share_one_visit_cookie() {
    for (preset, name, life) in [
        ("alllinks", "al_visit", 86_400),
        ("ally", "_analytics_d", 7_776_000),
    ] {
        let server = platform(preset, &[]);
        let mut client = server.client();
        let kept = cookie(&choose(&server, &accept_all(preset), &[]));
        let expected =
            format!("{name}=1; Max-Age={life}; Secure; HttpOnly; SameSite=Lax; Path=/u/mia");
        for n in 0..1000 {
            let address = format!("203.0.{}.{}", n / 250, n % 250);
            let agent =
                format!("Mozilla/5.0 (X11; Linux x86_64; rv:{n}.0) Gecko/20100101 Firefox/{n}.0");
            let answer = visit(
                &mut client,
                "/u/mia",
                &kept,
                NOON,
                &[("X-Forwarded-For", &address), ("User-Agent", &agent)],
            );
            assert_eq!(set_cookies(&answer), [&*expected], "browser {n}");
        }
        assert_eq!(totals(&server, "mia", DAY), [1000, 1000], "{preset}");
    }
}

#[test]
fn al_11_ay_5_ol_2_the_answer_is_kept_for_a_year_also_a_refusal_and_never_without_an_answer() {
    for (preset, name) in [
        ("alllinks", "al_cookie_consent"),
        ("ally", "ally_cookie_consent"),
        ("openedlink", "ol_cookie_consent"),
    ] {
        let server = platform(preset, &[]);
        let untouched = ask(&mut server.client(), "GET", "/ff/consent", "", &[]);
        assert_eq!(set_cookies(&untouched), Vec::<&str>::new());
        let refused = choose(&server, &no("refuse"), &[]);
        let value = format!("{name}=2.none");
        let rest = [
            "Max-Age=31536000",
            "Path=/",
            "Secure",
            "HttpOnly",
            "SameSite=Lax",
        ];
        assert_eq!(
            attributes(set_cookies(&refused)[0]),
            [&[&*value], &rest[..]].concat(),
            "{preset}"
        );
        let granted = choose(&server, &accept_all(preset), &[]);
        let attributes = attributes(set_cookies(&granted)[0]);
        assert!(
            attributes[0].starts_with(&format!("{name}=2.{}.", optional(preset).join("+"))),
            "{attributes:?}"
        );
        assert_eq!(attributes[1..], rest);
        for kept in [value, cookie(&granted)] {
            for _ in 0..10 {
                assert_eq!(
                    state(&server, &[("Cookie", &kept)])["ask"],
                    false,
                    "{preset}: asked once"
                );
            }
        }
    }
}

#[test]
fn al_15_on_every_platform_a_signal_outweighs_a_grant_and_nobody_is_asked() {
    for preset in PRESETS {
        let server = platform(preset, &[]);
        let kept = cookie(&choose(&server, &accept_all(preset), &[]));
        for signal in [("DNT", "1"), ("Sec-GPC", "1")] {
            assert_eq!(
                state(&server, &[signal])["ask"],
                false,
                "{preset} {signal:?}"
            );
            let dropped = visit(&mut server.client(), "/u/mia", &kept, NOON, &[signal]);
            assert_eq!(set_cookies(&dropped), Vec::<&str>::new());
        }
        assert_eq!(totals(&server, "mia", DAY), [0, 0], "{preset}");
        assert_eq!(server.metric("footfall_visitors_in_memory"), 0);
    }
}

/// The path of a mail's pixel, if the platform gets one.
fn mail_pixel(server: &Server, template: &str) -> Result<String, String> {
    let body =
        format!(r#"{{"mails":[{{"template":"{template}","batch":"2026-03-10","consent":true}}]}}"#);
    let (_, answer) = crate::mail::ask_for_links(server, &body);
    let pixel = answer["mails"][0]["pixel"].as_str().map(str::to_owned);
    pixel.ok_or_else(|| answer["code"].as_str().unwrap().to_owned())
}

/// Loads a pixel from six addresses; returns their answers, which must be equal.
fn load_pixel(server: &Server, path: &str) -> Answer {
    let load = |person: String| {
        crate::mail::load(
            &mut server.client(),
            path,
            (&person, crate::mail::PERSON),
            0,
            &[],
        )
    };
    let mut answers: Vec<Answer> = crate::mail::persons(0..6).map(load).collect();
    let first = answers.remove(0);
    assert!(
        answers
            .iter()
            .all(|answer| (answer.status, &answer.body) == (first.status, &first.body))
    );
    first
}

#[test]
fn al_17_only_the_three_transactional_mails_are_signed_and_counted() {
    let server = platform("alllinks", &[]);
    let listed = ["billing_receipt", "password_reset", "welcome"];
    for template in listed {
        load_pixel(&server, &mail_pixel(&server, template).unwrap());
    }
    assert_eq!(
        mail_pixel(&server, "newsletter"),
        Err("template_not_listed".to_owned())
    );
    let report = crate::mail::report(&server);
    let rows: Vec<(&str, &Value)> = report["templates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["template"].as_str().unwrap(), &row["days"][0]["opens"]))
        .collect();
    let six = crate::mail::classes(6, 0, 0);
    assert_eq!(rows, listed.map(|template| (template, &six)));
}

#[test]
fn al_18_a_mails_pixel_is_answered_in_every_case_and_nothing_hangs_on_it() {
    let server = platform("alllinks", &[]);
    let good = load_pixel(&server, &mail_pixel(&server, "welcome").unwrap());
    let garbage = load_pixel(&server, "/ff/o/garbage");
    assert_eq!((good.status, &good.body), (200, &garbage.body));
    assert_eq!(good.body.len(), 43);
}

#[test]
fn al_19_a_way_out_of_a_mail_is_never_wrapped_and_never_counted() {
    let server = platform("alllinks", &[]);
    let host = server.address().to_string();
    for url in [
        "https://alllinks.cc/unsubscribe?t=1",
        "mailto:leave@alllinks.cc",
    ] {
        let body = json!({"mails": [{"template": "welcome", "consent": true, "links": [{"link": "out", "url": url}]}]});
        let body = body.to_string();
        let asked = Body::Sized(body.as_bytes());
        let answer = server
            .client()
            .ask("POST", "/api/v1/mail/links", &[("Host", &host)], asked)
            .unwrap();
        assert_eq!(answer.status, 400, "{url}: {}", answer.text());
    }
    crate::mail::nothing_counted(&server);
}

#[test]
fn ay_2_no_mail_is_signed_and_no_pixel_counted() {
    let elsewhere = platform("alllinks", &[]);
    let pixel = mail_pixel(&elsewhere, "welcome").unwrap();
    for preset in ["ally", "openedlink"] {
        let server = platform(preset, &[]);
        assert_eq!(
            mail_pixel(&server, "welcome"),
            Err("mail_off".to_owned()),
            "{preset}"
        );
        let answer = load_pixel(&server, &pixel);
        assert_eq!((answer.status, answer.body.len()), (200, 43), "{preset}");
        crate::mail::nothing_counted(&server);
        // Even if mails are enabled, the policy lists none.
        let server = platform(preset, &["mail.enabled=true"]);
        assert_eq!(
            mail_pixel(&server, "welcome"),
            Err("template_not_listed".to_owned()),
            "{preset}"
        );
    }
}

#[test]
fn al_20_without_a_grant_no_visitor_is_told_from_another() {
    for preset in PRESETS {
        let server = platform(preset, &[]);
        let refused = cookie(&choose(&server, &no("refuse"), &[]));
        for (n, kept) in [ABSENT, &refused, "unrelated=1"]
            .into_iter()
            .cycle()
            .take(30)
            .enumerate()
        {
            visit(
                &mut server.client(),
                "/u/mia",
                kept,
                NOON,
                &[("X-Forwarded-For", &format!("203.0.113.{n}"))],
            );
        }
        server.flush();
        assert_eq!(server.metric("footfall_visitors_in_memory"), 0, "{preset}");
        assert_eq!(
            server.metric("footfall_drops_total{reason=\"no_consent\"}"),
            30
        );
    }
}

#[test]
fn al_21_ay_12_ol_11_a_new_cookie_under_an_old_version_does_not_start() {
    for preset in PRESETS {
        let mut server = platform(preset, &[]);
        server.stop();
        server.set(&["register=[{tier=\"analytics\",name=\"_new\",provider=\"x\",purpose=\"y\",life_secs=1}]"]);
        server.spawn_again();
        let ended = server.ended_within(std::time::Duration::from_secs(30));
        assert_eq!(ended, Some(Some(2)), "{preset}");
        assert!(
            server.log().contains("+ analytics: _new of x, y, 1 s"),
            "{}",
            server.log()
        );
    }
}

#[test]
fn al_22_ay_13_ol_11_a_new_version_is_told_where_the_policy_says_and_asks_whom_it_says() {
    let bump = [
        "consent.version=3",
        "policy.effective_date=2026-06-01",
        "register=[{tier=\"analytics\",name=\"_new\",provider=\"x\",purpose=\"y\",life_secs=1}]",
    ];
    for (preset, channels) in [
        ("alllinks", &["dashboard_banner"][..]),
        ("ally", &["platform", "email"]),
        ("openedlink", &["security_banner"]),
    ] {
        let mut server = platform(preset, &[]);
        let kept = cookie(&choose(&server, &accept_all(preset), &[]));
        server.stop();
        server.set(&bump);
        server.restart();
        let told: Value =
            serde_json::from_slice(&server.client().get("/api/v1/notices").unwrap().body).unwrap();
        let found: Vec<&str> = told["notices"]
            .as_array()
            .unwrap()
            .iter()
            .map(|notice| notice["channel"].as_str().unwrap())
            .collect();
        assert_eq!(found, channels, "{preset}");
        // The analytics tier grew: every grant of it is outdated, on every platform.
        let now = state(&server, &[("Cookie", &kept)]);
        assert_eq!(
            (&now["ask"], &now["choice"]["outdated"]),
            (&json!(true), &json!(true)),
            "{preset}"
        );
        visit(&mut server.client(), "/u/mia", &kept, NOON, &[]);
        assert_eq!(totals(&server, "mia", DAY), [0, 0], "{preset}");
        let holds: Vec<bool> = now["tiers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tier| tier["granted"] == true)
            .collect();
        let others = preset != "openedlink";
        let expected: Vec<bool> = std::iter::once(true)
            .chain(
                optional(preset)
                    .iter()
                    .map(|tier| others && *tier != "analytics"),
            )
            .collect();
        assert_eq!(
            holds, expected,
            "{preset}: what did not grow is asked again on OpenedLink only"
        );
    }
}

#[test]
fn al_23_ay_7_no_cookie_names_a_domain_or_another_site_or_goes_without_secure() {
    for preset in PRESETS {
        let server = platform(preset, &[]);
        let granted = choose(&server, &accept_all(preset), &[]);
        let kept = cookie(&granted);
        let visited = visit(&mut server.client(), "/u/mia", &kept, NOON, &[]);
        let withdrawn = choose(&server, &no("withdraw"), &[("Cookie", &kept)]);
        let mut seen = 0;
        for set in [&granted, &visited, &withdrawn]
            .into_iter()
            .flat_map(set_cookies)
        {
            let lower = set.to_lowercase();
            assert!(
                !lower.contains("domain") && !lower.contains("samesite=none"),
                "{set}"
            );
            assert!(
                lower.contains("secure") && lower.contains("httponly"),
                "{set}"
            );
            seen += 1;
        }
        assert_eq!(seen, if preset == "openedlink" { 2 } else { 4 }, "{preset}");
    }
}

#[test]
fn ay_3_the_register_of_each_platform_lists_the_collectors_cookies_and_no_other() {
    for (preset, names) in [
        ("alllinks", &["al_visit", "al_cookie_consent"][..]),
        ("ally", &["_analytics_d", "ally_cookie_consent"]),
        ("openedlink", &["ol_cookie_consent"]),
    ] {
        let server = platform(preset, &[]);
        let text = fs::read_to_string(server.dir().join("data/ledger/versions.json")).unwrap();
        let versions: Value = serde_json::from_str(&text).unwrap();
        let entries = versions[0]["register"]["entries"].as_array().unwrap();
        let found: Vec<&str> = entries
            .iter()
            .map(|entry| entry["name"].as_str().unwrap())
            .collect();
        assert_eq!(found, names, "{preset}");
    }
}

#[test]
fn ay_9_ay_11_declining_leaves_the_necessary_only_and_the_two_tiers_go_together() {
    let server = platform("ally", &[]);
    let declined = cookie(&choose(&server, &no("refuse"), &[]));
    let after = state(&server, &[("Cookie", &declined)]);
    assert_eq!(
        after["tiers"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|tier| tier["granted"] == true)
            .count(),
        1
    );
    for (preferences, analytics) in [(true, false), (false, true)] {
        let half = grant(&[("preferences", preferences), ("analytics", analytics)]);
        assert_eq!(
            ask(&mut server.client(), "POST", "/ff/consent", &half, &[]).status,
            422
        );
    }
    for kept in [ABSENT, &*declined] {
        let answer = visit(&mut server.client(), "/u/mia", kept, NOON, &[]);
        assert_eq!(
            set_cookies(&answer),
            Vec::<&str>::new(),
            "no _analytics_* before Accept All"
        );
    }
    assert_eq!(ledger(&server).len(), 1);
}

#[test]
fn ay_10_ol_14_clearing_the_cookie_asks_again_and_a_visit_cookie_left_behind_is_taken_away() {
    let server = platform("ally", &[]);
    let kept = cookie(&choose(&server, &accept_all("ally"), &[]));
    visit(&mut server.client(), "/u/mia", &kept, NOON, &[]);
    // Only the consent cookie was deleted: nothing else remembers the answer.
    let left = "_analytics_d=1";
    assert_eq!(state(&server, &[("Cookie", left)])["ask"], true);
    let dropped = visit(&mut server.client(), "/u/mia", left, NOON, &[]);
    let expected = [
        "_analytics_d=",
        "Max-Age=0",
        "Path=/u/mia",
        "Secure",
        "HttpOnly",
        "SameSite=Lax",
    ];
    assert_eq!(attributes(set_cookies(&dropped)[0]), expected);
    assert_eq!(totals(&server, "mia", DAY), [1, 1]);
}

#[test]
fn ol_9_no_cookie_is_set_but_the_answer_and_visitors_are_counted_all_the_same() {
    let server = platform("openedlink", &[]);
    let mut client = server.client();
    let kept = cookie(&choose(&server, &accept_all("openedlink"), &[]));
    for (path, address) in [
        ("/u/mia", "198.51.100.1"),
        ("/u/mia/x", "198.51.100.1"),
        ("/u/mia", "198.51.100.2"),
    ] {
        let answer = visit(
            &mut client,
            path,
            &kept,
            NOON,
            &[("X-Forwarded-For", address)],
        );
        assert_eq!(set_cookies(&answer), Vec::<&str>::new());
    }
    assert_eq!(totals(&server, "mia", DAY), [3, 2]);
}

#[test]
fn ol_10_the_marketing_tier_is_recorded_and_changes_nothing_else() {
    let counts = [true, false].map(|marketing| {
        let server = platform("openedlink", &[]);
        let answer = choose(
            &server,
            &grant(&[("analytics", true), ("marketing", marketing)]),
            &[],
        );
        assert_eq!(
            ledger(&server)[0]["purposes"],
            json!({"analytics":true,"marketing":marketing})
        );
        let inert = state(&server, &[])["tiers"][2]["inert"].clone();
        assert_eq!(inert, true);
        let visited = visit(&mut server.client(), "/u/mia", &cookie(&answer), NOON, &[]);
        server.flush();
        (set_cookies(&visited).len(), server.report("mia", DAY))
    });
    assert_eq!(counts[0], counts[1]);
}

#[test]
fn ol_13_a_withdrawal_is_a_new_record_and_leaves_the_earlier_ones_as_they_were() {
    let server = platform("openedlink", &[]);
    let kept = cookie(&choose(&server, &accept_all("openedlink"), &[]));
    let file = server.dir().join("data/ledger/acts.ledger");
    let before = fs::read(&file).unwrap();
    let withdrawn = choose(&server, &no("withdraw"), &[("Cookie", &kept)]);
    let after = fs::read(&file).unwrap();
    assert!(after.len() > before.len() && after.starts_with(&before));
    let records = ledger(&server);
    assert_eq!(
        (records.len(), &records[1]["act"], &records[1]["refers"]),
        (2, &json!("withdraw"), &json!(1))
    );
    for kept in [cookie(&withdrawn), kept] {
        visit(&mut server.client(), "/u/mia", &kept, NOON, &[]);
    }
    assert_eq!(
        totals(&server, "mia", DAY),
        [0, 0],
        "the very next request obeys"
    );
}

#[test]
fn ol_13_withdrawing_takes_the_visit_cookie_away_in_the_same_answer() {
    for (preset, name) in [("alllinks", "al_visit"), ("ally", "_analytics_d")] {
        let server = platform(preset, &[]);
        let kept = cookie(&choose(&server, &accept_all(preset), &[]));
        let with = format!("{kept}; {name}=1");
        let withdrawn = choose(&server, &no("withdraw"), &[("Cookie", &with)]);
        let gone = format!("{name}=; Max-Age=0; Path=/u/mia; Secure; HttpOnly; SameSite=Lax");
        assert_eq!(set_cookies(&withdrawn)[1], gone, "{preset}");
    }
}

#[test]
fn every_test_the_list_of_promises_names_is_there_and_every_test_here_is_named() {
    let list = include_str!("../../docs/understand/PROMISES.md");
    let sources = [
        include_str!("promises.rs"),
        include_str!("consent.rs"),
        include_str!("consent/around.rs"),
        include_str!("erasure.rs"),
        include_str!("bi_port/openedlink.rs"),
        include_str!("../store/contract.rs"),
    ];
    // A name is given in full once, and shortened with `...` afterwards.
    let named: Vec<&str> = list
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|text| text.matches('_').count() > 3)
        .collect();
    assert!(named.len() > 30, "{} names", named.len());
    for name in &named {
        let start = format!("fn {}", name.trim_end_matches("..."));
        assert!(
            sources.iter().any(|source| source.contains(&start)),
            "{name} is no test"
        );
    }
    let mine = sources[0]
        .split("#[test]\nfn ")
        .skip(1)
        .map(|text| text.split('(').next().unwrap());
    for name in mine.filter(|name| !name.starts_with("every_test")) {
        assert!(
            named.contains(&name),
            "docs/understand/PROMISES.md does not name {name}"
        );
    }
}
