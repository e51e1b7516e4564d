//! Share links: a link answers the report of one site for its days, with suppression, until it
//! expires or is revoked.

use serde_json::{Value, json};

use super::{Caller, cookie_of, creator, nobody, operator, share, start};
use crate::support::{Answer, NOON, Server, grant_of, hit, until};

const MARCH: i64 = NOON - 5 * 86_400_000;

fn report(server: &Server, secret: &str) -> Answer {
    nobody().ask(
        server,
        "GET",
        &format!("/api/v1/shares/{secret}/report"),
        "",
    )
}

/// Views of mia's page: the source of each visitor.
fn visited(server: &Server, at: i64, visitors: &[(&str, usize)]) {
    let now = at.to_string();
    let mut client = server.client();
    let mut n = 0_u128;
    for (source, times) in visitors {
        for _ in 0..*times {
            n += 1;
            let address = format!("198.51.{n}.7");
            let body = format!(
                r#"{{"kind":"view","url":"https://mia.example/tour","referrer":"https://{source}/"}}"#
            );
            let cookie = grant_of(n);
            let more = [
                ("Cookie", &*cookie),
                ("Host", "mia.example"),
                ("Origin", "https://mia.example"),
                ("X-Forwarded-For", &*address),
                ("X-Footfall-Now", &*now),
            ];
            assert_eq!(hit(&mut client, &body, &more).status, 202);
        }
    }
}

/// Like the other tests' server, but its clock begins early enough that the counted day is over by
/// noon of the 10th.
fn start_in_march() -> Server {
    let server = start(&[&format!("test.start_millis={MARCH}")]);
    visited(
        &server,
        MARCH,
        &[
            ("blog.example", 25),
            ("forum.example", 19),
            ("shop.example", 12),
        ],
    );
    server.publish(NOON);
    server
}

fn names(breakdown: &Value) -> Vec<(String, u64)> {
    let rows = breakdown["rows"]
        .as_array()
        .unwrap_or_else(|| panic!("{breakdown}"));
    rows.iter()
        .map(|row| {
            (
                row["value"].as_str().unwrap().to_owned(),
                row["visitors"].as_u64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn a_link_answers_its_own_days_with_k_of_twenty_and_nothing_else() {
    let server = start_in_march();
    let (id, secret) = share(&server, "mia", json!({}));
    assert_eq!(secret.len(), 22, "128 bits");
    let answer = report(&server, &secret);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("X-Robots-Tag"), Some("noindex, nofollow"));
    assert_eq!(answer.header("Referrer-Policy"), Some("no-referrer"));
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let shown: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (&shown["site"], &shown["from"], &shown["to"]),
        (&json!("mia"), &json!("2026-03-01"), &json!("2026-03-09"))
    );
    assert_eq!(
        (
            &shown["k"],
            &shown["totals"]["visitors"],
            &shown["compared"]
        ),
        (&json!(20), &json!(56), &Value::Null)
    );

    let of_creator = operator().json(
        &server,
        "GET",
        "/api/v1/sites/mia/report?from=2026-03-01&to=2026-03-09",
        "",
    );
    let sources = |report: &Value| names(&report["dimensions"]["source"]);
    let row = |name: &str, visitors| (name.to_owned(), visitors);
    assert_eq!(
        sources(&of_creator),
        [
            row("blog.example", 25),
            row("forum.example", 19),
            row("shop.example", 12)
        ]
    );
    // 19 and 12 are too few to show, and together enough.
    assert_eq!(
        sources(&shown),
        [row("(other)", 31), row("blog.example", 25)]
    );
    let of_source = &shown["dimensions"]["source"];
    assert_eq!(
        (&of_source["published"], &of_source["pending"]),
        (&json!(56), &json!(0))
    );

    for more in [
        "filter=page:/tour",
        "from=2026-03-05&to=2026-03-05",
        "range=today",
        "compare=previous",
        "limit=1",
        "x",
    ] {
        let refused = nobody().refused(
            &server,
            "GET",
            &format!("/api/v1/shares/{secret}/report?{more}"),
            "",
        );
        assert_eq!(refused, (400, "bad_question".into()), "{more}");
    }
    // Its secret, or the name it is listed under, opens nothing else either.
    for caller in [
        Caller::bearer(&secret),
        Caller::bearer(&id),
        Caller::bearer(&format!("ff_{secret}")),
    ] {
        assert_eq!(
            caller
                .ask(&server, "GET", "/api/v1/sites/mia/report", "")
                .status,
            401
        );
    }
    assert_eq!(report(&server, &id).status, 404);
}

/// P4: a link over 31 July to 3 August, opened on the 4th and on the 6th, revealed for 31 July
/// alone what should have been at least 20 together.
#[test]
fn a_link_answers_the_same_bytes_whatever_is_published_later() {
    let server = start_in_march();
    let (id, secret) = share(&server, "mia", json!({}));
    let (_, by_another) = share(&server, "mia", json!({}));
    let first = report(&server, &secret);
    assert_eq!(first.status, 200);
    assert_eq!(report(&server, &by_another).body, first.body);

    // Days and weeks pass, lots are published, and the first answer stays the same, also after a
    // restart.
    let day = 86_400_000;
    for (days, people) in [(0, 30), (1, 25), (40, 12)] {
        visited(&server, NOON + days * day, &[("late.example", people)]);
        server.publish(NOON + (days + 1) * day);
        let again = report(&server, &secret);
        assert_eq!(
            (again.status, again.body == first.body),
            (200, true),
            "{}",
            again.text()
        );
    }
    let mut server = server;
    server.stop();
    server.restart();
    until(
        || report(&server, &secret).status == 200,
        "the links are known again",
    );
    assert_eq!(report(&server, &secret).body, first.body);
    assert_eq!(
        operator()
            .ask(
                &server,
                "DELETE",
                &format!("/api/v1/sites/mia/shares/{id}"),
                ""
            )
            .status,
        204
    );
    assert_eq!(report(&server, &secret).status, 404);
}

#[test]
fn a_link_over_days_that_are_not_published_is_refused_and_told_from_when_on() {
    let server = start_in_march();
    let make = |to: &str| {
        let body = json!({"from": "2026-03-01", "to": to}).to_string();
        operator().ask(&server, "POST", "/api/v1/sites/mia/shares", &body)
    };
    assert_eq!(make("2026-03-09").status, 201);
    let later = (NOON + 86_400_000).to_string();
    assert_eq!(
        nobody()
            .with("X-Footfall-Now", &later)
            .ask(&server, "GET", "/healthz", "")
            .status,
        200
    );
    let refused = make("2026-03-10");
    let problem: Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(
        (refused.status, &problem["code"]),
        (409, &json!("not_published"))
    );
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("published through 2026-03-09") && detail.contains("from 2026-03-11 on"),
        "{detail}"
    );
    server.publish(NOON + 86_400_000);
    assert_eq!(make("2026-03-10").status, 201);
}

#[test]
fn a_link_is_over_when_it_is_revoked_or_expires_or_its_site_is_gone_and_never_says_which() {
    let server = start(&[]);
    let never = report(&server, &"A".repeat(22));
    assert_eq!(never.status, 404);
    let same_as_never = |answer: Answer| {
        assert_eq!((answer.status, answer.text()), (404, never.text()));
        assert_eq!(answer.header("X-Robots-Tag"), Some("noindex, nofollow"));
    };
    let (id, revoked) = share(&server, "mia", json!({}));
    let (_, kept) = share(&server, "mia", json!({}));
    assert_eq!(report(&server, &revoked).status, 200);
    assert_eq!(
        operator()
            .ask(
                &server,
                "DELETE",
                &format!("/api/v1/sites/tom/shares/{id}"),
                ""
            )
            .status,
        404
    );
    assert_eq!(
        report(&server, &revoked).status,
        200,
        "another site's links are not one's to revoke"
    );
    assert_eq!(
        operator()
            .ask(
                &server,
                "DELETE",
                &format!("/api/v1/sites/mia/shares/{id}"),
                ""
            )
            .status,
        204
    );
    same_as_never(report(&server, &revoked));
    assert_eq!(report(&server, &kept).status, 200);

    let (_, expiring) = share(&server, "mia", json!({"expires": "2026-03-11"}));
    let path = format!("/api/v1/shares/{expiring}/report");
    let on_day = |days: i64| {
        nobody()
            .with("X-Footfall-Now", &(NOON + days * 86_400_000).to_string())
            .ask(&server, "GET", &path, "")
    };
    assert_eq!([0, 1].map(|day| on_day(day).status), [200, 200]);
    same_as_never(on_day(2));

    let (_, of_tom) = share(&server, "tom", json!({}));
    assert_eq!(report(&server, &of_tom).status, 200);
    assert_eq!(
        operator()
            .ask(&server, "DELETE", "/api/v1/sites/tom", "")
            .status,
        204
    );
    same_as_never(report(&server, &of_tom));
    for garbage in ["x", "%00", "..%2f", &"A".repeat(500)] {
        same_as_never(report(&server, garbage));
    }
}

#[test]
fn a_password_opens_its_own_link_for_this_browser() {
    let server = start(&[]);
    let (id, secret) = share(&server, "mia", json!({"password": "a password"}));
    let (_, other) = share(&server, "mia", json!({"password": "a password"}));
    let path = |secret: &str, what: &str| format!("/api/v1/shares/{secret}/{what}");
    let needed = (401, "password_needed".to_owned());
    assert_eq!(
        nobody().refused(&server, "GET", &path(&secret, "report"), ""),
        needed
    );
    assert_eq!(
        operator().refused(&server, "GET", &path(&secret, "report"), ""),
        needed,
        "whoever asks"
    );
    let wrong = nobody().refused(
        &server,
        "POST",
        &path(&secret, "unlock"),
        r#"{"password":"another one"}"#,
    );
    assert_eq!(wrong, (401, "bad_password".into()));

    let unlocked = nobody().ask(
        &server,
        "POST",
        &path(&secret, "unlock"),
        r#"{"password":"a password"}"#,
    );
    assert_eq!(unlocked.status, 204);
    let set = unlocked.header("Set-Cookie").unwrap().to_owned();
    assert!(
        set.starts_with(&format!("__Host-footfall-share-{id}=")),
        "{set}"
    );
    assert!(
        set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"),
        "{set}"
    );
    let cookie = cookie_of(&unlocked);
    let with = |cookie: &str| nobody().with("Cookie", cookie);
    assert_eq!(
        with(&cookie)
            .ask(&server, "GET", &path(&secret, "report"), "")
            .status,
        200
    );
    assert_eq!(
        with(&cookie).refused(&server, "GET", &path(&other, "report"), ""),
        needed
    );
    // Not with another link's cookie or a changed one, nor after its own expiry, nor when the link
    // is revoked.
    let (name, value) = cookie.split_once('=').unwrap();
    let longer = format!("{name}=9{value}");
    let shorter = format!("{name}={}", &value[1..]);
    let unlocked = nobody().ask(
        &server,
        "POST",
        &path(&other, "unlock"),
        r#"{"password":"a password"}"#,
    );
    let of_other = cookie_of(&unlocked);
    let of_other = format!("{name}={}", of_other.split_once('=').unwrap().1);
    for forged in [
        &longer,
        &shorter,
        &of_other,
        &format!("{name}=1"),
        &format!("{name}="),
    ] {
        assert_eq!(
            with(forged).refused(&server, "GET", &path(&secret, "report"), ""),
            needed,
            "{forged}"
        );
    }
    let tomorrow = (NOON + 12 * 3_600_000).to_string();
    let over = with(&cookie).with("X-Footfall-Now", &tomorrow);
    assert_eq!(
        over.refused(&server, "GET", &path(&secret, "report"), ""),
        needed
    );
    assert_eq!(
        operator()
            .ask(
                &server,
                "DELETE",
                &format!("/api/v1/sites/mia/shares/{id}"),
                ""
            )
            .status,
        204
    );
    assert_eq!(
        with(&cookie)
            .ask(&server, "GET", &path(&secret, "report"), "")
            .status,
        404
    );
}

#[test]
fn a_links_password_cannot_be_tried_without_end() {
    let server = start(&["limits.network_logins_per_min=4"]);
    let (_, secret) = share(&server, "mia", json!({"password": "a password"}));
    let unlock = format!("/api/v1/shares/{secret}/unlock");
    let tries: Vec<u16> = (0..5)
        .map(|_| {
            nobody()
                .ask(&server, "POST", &unlock, r#"{"password":"a guess"}"#)
                .status
        })
        .collect();
    assert_eq!(
        tries,
        [401, 401, 401, 429, 429],
        "one of the minute's four went for making the link"
    );
}

#[test]
fn a_link_is_of_days_that_are_over_and_that_the_collector_can_answer() {
    let server = start(&[]);
    let mia = creator(&server, &["mia"]);
    for (body, word) in [
        (
            r#"{"from":"2026-03-01","to":"2026-03-10"}"#,
            "a day that is over",
        ),
        (r#"{"from":"2026-03-05","to":"2026-03-01"}"#, "at or before"),
        (r#"{"from":"2016-03-05","to":"2026-03-01"}"#, "are not kept"),
        (
            r#"{"from":"2026-03-01","to":"2026-03-02","expires":"2026-03-09"}"#,
            "today or later",
        ),
        (
            r#"{"from":"2026-03-01","to":"2026-03-02","password":"short"}"#,
            "8 to 256",
        ),
        (
            r#"{"from":"2026-03-01","to":"2026-03-02","filter":"page:/"}"#,
            "filter",
        ),
        (r#"{"from":"2026-03-01"}"#, "to"),
    ] {
        let answer = mia.ask(&server, "POST", "/api/v1/sites/mia/shares", body);
        assert_eq!(
            (answer.status, answer.text().contains(word)),
            (400, true),
            "{body}: {}",
            answer.text()
        );
    }
    let body =
        r#"{"from":"2026-03-01","to":"2026-03-09","expires":"2026-03-10","password":"a password"}"#;
    let made = mia.json(&server, "POST", "/api/v1/sites/mia/shares", body);
    let rows = mia.json(&server, "GET", "/api/v1/sites/mia/shares", "");
    let row = json!({"id": made["id"], "name": "", "from": "2026-03-01", "to": "2026-03-09", "expires": "2026-03-10", "password": true, "created": "2026-03-10", "revoked": false});
    assert_eq!(rows, json!({ "rows": [row] }));
    assert_eq!(
        operator().json(&server, "GET", "/api/v1/sites/tom/shares", ""),
        json!({"rows": []})
    );
}

#[test]
fn the_page_of_a_link_may_be_framed_by_its_sites_own_origins_only() {
    let server = start(&[]);
    let (_, open) = share(&server, "mia", json!({}));
    let (_, locked) = share(&server, "mia", json!({"password": "a password"}));
    assert_eq!(
        operator()
            .ask(
                &server,
                "PUT",
                "/api/v1/aliases/mia-new",
                r#"{"site":"mia"}"#
            )
            .status,
        204
    );
    let (_, by_alias) = share(&server, "mia-new", json!({}));
    let framed = |path: &str| {
        let page = nobody().ask(&server, "GET", path, "");
        assert_eq!(page.status, 200);
        let policy = page.header("Content-Security-Policy").unwrap().to_owned();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'"),
            "{policy}"
        );
        let ancestors = policy.split_once("frame-ancestors ").unwrap().1.to_owned();
        (
            ancestors,
            page.header("X-Robots-Tag").map(str::to_owned),
            page.header("Referrer-Policy").unwrap().to_owned(),
        )
    };
    let discreet = |ancestors: &str| {
        (
            ancestors.to_owned(),
            Some("noindex, nofollow".to_owned()),
            "no-referrer".to_owned(),
        )
    };
    assert_eq!(
        framed(&format!("/share/{open}")),
        discreet("https://mia.example")
    );
    assert_eq!(
        framed(&format!("/share/{by_alias}?embed=1")),
        discreet("https://mia.example")
    );
    assert_eq!(
        framed(&format!("/share/{locked}")),
        discreet("'none'"),
        "a frame elsewhere has no cookie to unlock it with"
    );
    assert_eq!(framed("/share/unknown"), discreet("'none'"));
    assert_eq!(framed("/").0, "'none'");

    let body = r#"{"hosts":["mia.example"],"zone":"UTC","embed":["https://a.example","http://127.0.0.1:8080"]}"#;
    assert_eq!(
        operator()
            .ask(&server, "PUT", "/api/v1/sites/mia", body)
            .status,
        204
    );
    assert_eq!(
        framed(&format!("/share/{open}")),
        discreet("https://a.example http://127.0.0.1:8080")
    );
    assert_eq!(
        operator()
            .ask(
                &server,
                "PUT",
                "/api/v1/sites/mia",
                r#"{"hosts":[],"zone":"UTC"}"#
            )
            .status,
        204
    );
    assert_eq!(framed(&format!("/share/{open}")), discreet("'none'"));
}

#[test]
fn a_link_has_the_name_it_was_given_in_the_list_and_the_audit_log_and_nowhere_else() {
    let server = start_in_march();
    let (named, secret) = share(&server, "mia", json!({"name": "  Für die Agentur 🎧 "}));
    let (bare, _) = share(&server, "mia", json!({}));
    let listed = operator().json(&server, "GET", "/api/v1/sites/mia/shares", "");
    let name = |id: &str| {
        let row = listed["rows"]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["id"] == *id)
            .unwrap();
        row["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        (name(&named), name(&bare)),
        ("Für die Agentur 🎧".into(), String::new())
    );
    let audit = operator().json(&server, "GET", "/api/v1/audit", "");
    let what = |id: &str| {
        let rows = audit["rows"].as_array().unwrap();
        rows.iter()
            .find(|row| row["target"].as_str().unwrap().contains(id))
            .unwrap()["target"]
            .clone()
    };
    assert_eq!(
        what(&named),
        json!(format!("mia {named} Für die Agentur 🎧"))
    );
    assert_eq!(what(&bare), json!(format!("mia {bare}")));
    assert!(
        !report(&server, &secret).text().contains("Agentur"),
        "whoever has the link does not see its name"
    );

    let make = |name: &str| {
        let body = json!({"name": name, "from": "2026-03-01", "to": "2026-03-09"}).to_string();
        operator().ask(&server, "POST", "/api/v1/sites/mia/shares", &body)
    };
    assert_eq!(make(&"ü".repeat(64)).status, 201);
    for name in [
        "x".repeat(65),
        "two\nlines".into(),
        "a\u{7}bell".into(),
        "gpj.\u{202e}exe".into(),
        "a\u{85}b".into(),
    ] {
        let refused = make(&name);
        assert_eq!(refused.status, 400, "{name:?}");
        assert!(
            refused
                .text()
                .contains("name must be at most 64 characters"),
            "{}",
            refused.text()
        );
    }
    let mut server = server;
    server.stop();
    server.restart();
    until(
        || report(&server, &secret).status == 200,
        "the links are known again",
    );
    let listed = operator().json(&server, "GET", "/api/v1/sites/mia/shares", "");
    assert!(
        listed["rows"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["name"] == "Für die Agentur 🎧"),
        "{listed}"
    );
}
