//! Versions of the consent prompt, the visitor's own page, the gate for BI tools, the well-known
//! files, and counting without a prompt.

use std::fs;

use serde_json::{Value, json};

use super::{
    ACCEPT, Fields, REFUSE, WITHDRAW, ask, choose, cookie, granted, id_of, ledger, no_consent,
    problem, set_cookies, state,
};
use crate::support::{ABSENT, DAY, NOON, SITES, Server, hit, view};

#[test]
fn a_changed_register_without_a_new_version_is_refused_with_the_difference() {
    let mut server = Server::start(SITES);
    server.stop();
    let start = |more: &str| {
        let text = fs::read_to_string(server.dir().join("footfall.toml")).unwrap();
        fs::write(server.dir().join("changed.toml"), format!("{text}\n{more}")).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_footfall"));
        command
            .args(["serve", "--config"])
            .arg(server.dir().join("changed.toml"));
        command
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap()
    };
    let entry = "[[register]]\ntier = \"analytics\"\nname = \"_ga\"\nprovider = \"Google\"\npurpose = \"ads\"\nlife_secs = 60\n";
    let changed = start(entry);
    let said = String::from_utf8_lossy(&changed.stderr).into_owned();
    assert_eq!(changed.status.code(), Some(2), "{said}");
    assert!(
        said.contains("\n  + analytics: _ga of Google, ads, 60 s\n"),
        "{said}"
    );
    assert!(said.contains("consent.version is still 2"), "{said}");
    let incomplete =
        start("[[register]]\ntier = \"analytics\"\nname = \"_ga\"\npurpose = \"ads\"\n");
    assert!(
        String::from_utf8_lossy(&incomplete.stderr).contains("provider"),
        "name, life and provider are all needed"
    );
}

#[test]
fn a_new_version_asks_everybody_or_only_where_purposes_grew_and_account_holders_are_told_once() {
    let players = "register=[{tier=\"embeds\",name=\"player\",provider=\"Vimeo\",purpose=\"video\",life_secs=3600}]";
    let bump = [
        "consent.version=3",
        "policy.effective_date=2026-04-01",
        players,
    ];
    for (reprompt, analytics_holds, asked) in [("always", false, true), ("if_extended", true, true)]
    {
        let tiers = "consent.tiers=[\"necessary\",\"analytics\",\"embeds\"]";
        let on = format!("consent.reprompt={reprompt}");
        let settings = [tiers, &*on, "consent.notices=[\"platform\",\"email\"]"];
        let mut server = Server::start_with(SITES, &settings);
        let both = ACCEPT.replace(
            r#"{"analytics":true}"#,
            r#"{"analytics":true,"embeds":true}"#,
        );
        let kept = cookie(&choose(&server, &both, &[]));
        let notices = |server: &Server, after: u64| {
            let answer = server
                .client()
                .get(&format!("/api/v1/notices?after={after}"))
                .unwrap();
            serde_json::from_slice::<Value>(&answer.body).unwrap()["notices"].clone()
        };
        assert_eq!(
            notices(&server, 0),
            json!([]),
            "a first version is no change"
        );
        server.stop();
        server.set(&bump);
        server.restart();

        let now = state(&server, &[("Cookie", &kept)]);
        assert_eq!(
            now["choice"],
            json!({"version":2,"tiers":["analytics","embeds"],"outdated":true})
        );
        assert_eq!(now["ask"], asked);
        let expected = if analytics_holds {
            vec!["necessary", "analytics"]
        } else {
            vec!["necessary"]
        };
        assert_eq!(granted(&now), expected, "{reprompt}");
        hit(&mut server.client(), &view("/u/mia"), &[("Cookie", &kept)]);
        assert_eq!(no_consent(&server), u64::from(!analytics_holds));

        let told = notices(&server, 0);
        let channels: Vec<&Value> = told
            .as_array()
            .unwrap()
            .iter()
            .map(|notice| &notice["channel"])
            .collect();
        assert_eq!(channels, [&json!("platform"), &json!("email")]);
        assert_eq!(
            (&told[0]["grew"], &told[0]["version"]),
            (&json!(["embeds"]), &json!(3))
        );
        let last = told[1]["id"].as_u64().unwrap();
        assert_eq!(notices(&server, last), json!([]));
        server.kill();
        server.restart();
        assert_eq!(
            (notices(&server, 0), notices(&server, last)),
            (told, json!([])),
            "a restart tells nothing anew"
        );
    }
}

#[test]
fn the_well_known_files_say_what_is_obeyed_and_can_be_switched_off() {
    let server = Server::start(SITES);
    let get = |server: &Server, path: &str| server.client().get(path).unwrap();
    let gpc: Value = serde_json::from_slice(&get(&server, "/.well-known/gpc.json").body).unwrap();
    assert_eq!(gpc, json!({"gpc":true,"lastUpdate":"2026-01-01"}));
    let status = get(&server, "/.well-known/dnt/");
    assert_eq!(
        status.header("content-type"),
        Some("application/tracking-status+json")
    );
    assert_eq!(
        serde_json::from_slice::<Value>(&status.body).unwrap(),
        json!({"tracking":"N","config":"/ff/me"})
    );
    let off = Server::start_with(
        SITES,
        &[
            "well_known.gpc=false",
            "well_known.dnt=false",
            "well_known.tk=false",
        ],
    );
    assert_eq!(
        [
            get(&off, "/.well-known/gpc.json").status,
            get(&off, "/.well-known/dnt/").status
        ],
        [404, 404]
    );
    assert_eq!(
        ask(&mut off.client(), "GET", "/ff/consent", "", &[]).header("tk"),
        None
    );
}

/// The rows of the table on the visitor's page: dimension, value, counters.
fn raised(html: &str) -> Vec<[String; 3]> {
    let cell = |row: &str, tag: &str, n: usize| {
        let part = row.split(&format!("<{tag}")).nth(n).unwrap();
        part.split_once('>')
            .unwrap()
            .1
            .split('<')
            .next()
            .unwrap()
            .to_owned()
    };
    html.split("<tr>")
        .skip(1)
        .map(|row| [cell(row, "th", 1), cell(row, "td", 1), cell(row, "td", 2)])
        .collect()
}

#[test]
fn the_visitors_page_says_exactly_which_counters_the_next_visit_raises_and_stores_nothing() {
    let server = Server::start(SITES);
    let kept = cookie(&choose(&server, ACCEPT, &[]));
    let me = |more: &[(&str, &str)]| {
        let agent = ("User-Agent", crate::support::AGENT);
        let more: Vec<(&str, &str)> = more
            .iter()
            .copied()
            .chain([agent, ("Accept-Language", "en")])
            .collect();
        ask(
            &mut server.client(),
            "GET",
            "/u/mia/ff/me?page=/u/mia",
            "",
            &more,
        )
    };
    let page = me(&[("Cookie", &kept)]);
    assert_eq!(
        (page.status, page.header("cache-control")),
        (200, Some("no-store"))
    );
    let html = page.text();
    let said = raised(&html);
    server.flush();
    assert_eq!(
        server.report("mia", DAY)["totals"]["hits"],
        0,
        "looking counts nothing"
    );

    hit(
        &mut server.client(),
        &view("/u/mia"),
        &[("Cookie", &kept), ("Accept-Language", "en")],
    );
    server.flush();
    let report = server.report("mia", DAY);
    let totals = &report["totals"];
    assert_eq!(
        [&totals["hits"], &totals["visitors"], &totals["visits"]],
        [1, 1, 1]
    );
    let total =
        |rows: &[[String; 3]], of: &str| rows.iter().find(|row| row[0] == of).unwrap()[2].clone();
    assert_eq!(
        total(&said, "The whole site"),
        "Views, clicks and events +1, Visitors +1, Visits +1"
    );
    assert_eq!(
        said.iter().find(|row| row[0] == "This page").unwrap()[1],
        "/u/mia"
    );
    let values: Vec<(&str, &str)> = said.iter().map(|row| (&*row[0], &*row[1])).collect();
    for expected in [
        ("The whole site: Campaign", "(none)"),
        ("The whole site: Browser", "Chrome"),
        ("The whole site: Operating system", "Linux"),
        ("The whole site: Language", "en"),
        ("The whole site: Where you came from", "(direct)"),
        ("The whole site: Channel", "direct"),
        ("This page: Where you came from", "(direct)"),
    ] {
        assert!(values.contains(&expected), "{expected:?} in {values:?}");
    }
    // The total and eight attributes of the site, the total and two attributes of the page. A visit
    // without a campaign has the campaign `(none)`.
    assert_eq!(said.len(), 12, "{said:?}");
    assert!(html.contains("ff_consent, kept for 365 day(s)") && html.contains("Withdraw consent"));
    assert!(!html.contains(id_of(&kept)), "the id is not shown");

    for (more, word) in [
        (
            &[("Cookie", ABSENT)][..],
            "You have not agreed to analytics.",
        ),
        (&[("Cookie", "ff_consent=2.none")], "You said no."),
        (
            &[("Cookie", &*kept), ("DNT", "1")],
            "Your browser sends Do Not Track.",
        ),
        (
            &[("Cookie", &*kept), ("Sec-GPC", "1")],
            "Your browser sends Global Privacy Control.",
        ),
    ] {
        let html = me(more).text();
        assert!(
            html.contains(word) && html.contains("Nothing is counted about you here."),
            "{word}"
        );
        assert_eq!(raised(&html).len(), 0, "{word}");
    }
    assert_eq!(ledger(&server).len(), 1);
    assert_eq!(no_consent(&server), 0, "looking is no refusal either");
}

#[test]
fn the_button_on_the_visitors_page_withdraws_without_a_script() {
    let server = Server::start(SITES);
    let kept = cookie(&choose(&server, ACCEPT, &[]));
    let press = |more: &[(&str, &str)]| {
        let form = ("Content-Type", "application/x-www-form-urlencoded");
        let more: Vec<(&str, &str)> = more
            .iter()
            .copied()
            .chain([form, ("Cookie", &kept)])
            .collect();
        ask(
            &mut server.client(),
            "POST",
            "/u/mia/ff/me/withdraw?page=/u/mia",
            "",
            &more,
        )
    };
    assert_eq!(
        press(&[
            ("Sec-Fetch-Site", "cross-site"),
            ("Origin", "https://evil.example")
        ])
        .status,
        403
    );
    assert_eq!(ledger(&server).len(), 1);
    let done = press(&[]);
    assert_eq!(
        (done.status, done.header("location")),
        (303, Some("/u/mia/ff/me?page=%2Fu%2Fmia"))
    );
    assert_eq!(cookie(&done), "ff_consent=2.none");
    let records = ledger(&server);
    assert_eq!(
        [
            &records[1]["act"],
            &records[1]["refers"],
            &records[1]["layer"]
        ],
        [&json!("withdraw"), &json!(1), &json!("page")]
    );
    let bad = ask(
        &mut server.client(),
        "GET",
        "/ff/me?page=javascript:x",
        "",
        &[],
    );
    assert_eq!(
        problem(&bad),
        (
            400,
            "bad_page".into(),
            "page must be a path, such as page=/u/mia".into()
        )
    );
}

#[test]
fn the_bi_gate_opens_for_an_admin_with_a_live_grant_and_for_a_minute() {
    let settings = [
        "platform.token_algorithm=HS256",
        "platform.token_key=\"a secret of thirty-two characters\"",
        "bi.url=https://bi.example/embed/dashboard/{token}",
        "bi.secret=\"the secret of the BI tool\"",
        "bi.dashboard=7",
    ];
    let server = Server::start_with(SITES, &settings);
    let sign = |role: &str, exp: i64| {
        let claims = json!({"iss":"platform","aud":"footfall","role":role,"exp":exp});
        let key = jsonwebtoken::EncodingKey::from_secret(b"a secret of thirty-two characters");
        format!(
            "Bearer {}",
            jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
        )
    };
    let now = NOON / 1000;
    let admin = sign("admin", now + 60);
    let kept = cookie(&choose(&server, ACCEPT, &[]));
    let gate = |more: Fields<'_>| ask(&mut server.client(), "GET", "/ff/gate/bi", "", more);

    let open = gate(&[("Authorization", &admin), ("Cookie", &kept)]);
    assert_eq!(open.status, 200, "{}", open.text());
    let said: Value = serde_json::from_slice(&open.body).unwrap();
    let token = said["url"]
        .as_str()
        .unwrap()
        .strip_prefix("https://bi.example/embed/dashboard/")
        .unwrap();
    let mut by_then = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    by_then.validate_exp = false;
    let key = jsonwebtoken::DecodingKey::from_secret(b"the secret of the BI tool");
    let claims = jsonwebtoken::decode::<Value>(token, &key, &by_then)
        .unwrap()
        .claims;
    assert_eq!(
        claims,
        json!({"resource":{"dashboard":7},"params":{},"exp":now + 60})
    );

    let invented = format!("ff_consent=2.analytics.{}", "1".repeat(32));
    let user = sign("user", now + 60);
    let late = sign("admin", now);
    let cases: [Fields<'_>; 8] = [
        &[("Cookie", &kept)],
        &[("Authorization", &user), ("Cookie", &kept)],
        &[("Authorization", &late), ("Cookie", &kept)],
        &[("Authorization", "Bearer x"), ("Cookie", &kept)],
        &[("Authorization", &admin)],
        &[("Authorization", &admin), ("Cookie", "ff_consent=2.none")],
        &[("Authorization", &admin), ("Cookie", &invented)],
        &[
            ("Authorization", &admin),
            ("Cookie", &kept),
            ("Sec-GPC", "1"),
        ],
    ];
    for more in cases {
        let closed = gate(more);
        assert_eq!(
            (closed.status, set_cookies(&closed)),
            (403, Vec::new()),
            "{more:?}"
        );
    }
    choose(&server, WITHDRAW, &[("Cookie", &kept)]);
    assert_eq!(
        gate(&[("Authorization", &admin), ("Cookie", &kept)]).status,
        403,
        "withdrawn"
    );
    assert_eq!(
        Server::start(SITES)
            .client()
            .get("/ff/gate/bi")
            .unwrap()
            .status,
        404,
        "off unless configured"
    );
}

#[test]
fn without_a_question_counting_starts_only_within_the_published_limits_and_an_objection_holds() {
    let check = |settings: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_footfall"));
        command.args(["check-config", "--set", "consent.basis=exempt_opt_out"]);
        settings
            .iter()
            .for_each(|setting| _ = command.args(["--set", setting]));
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    assert_eq!(check(&[]).0, Some(0));
    for (setting, word) in [
        ("visitor.cookie.max_age_secs=34128001", "395 days"),
        ("retention.keep_days=762", "761"),
    ] {
        let (code, said) = check(&[setting]);
        assert_eq!(code, Some(2), "{setting}");
        let key = setting.split('=').next().unwrap();
        assert!(
            said.contains(key) && (said.contains(word) || said.contains("34128000")),
            "{setting}: {said}"
        );
    }
    let server = Server::start_with(SITES, &["consent.basis=exempt_opt_out"]);
    let asked = state(&server, &[]);
    assert_eq!(
        (&asked["ask"], granted(&asked)),
        (&json!(false), vec!["necessary", "analytics"])
    );
    hit(&mut server.client(), &view("/u/mia"), &[("Cookie", ABSENT)]);
    let objected = cookie(&choose(&server, REFUSE, &[]));
    hit(
        &mut server.client(),
        &view("/u/mia"),
        &[("Cookie", &objected)],
    );
    assert_eq!(
        server.metric("footfall_drops_total{reason=\"objected\"}"),
        1
    );
    assert_eq!(
        granted(&state(&server, &[("Cookie", &objected)])),
        ["necessary"]
    );
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 1);
}

/// It said "Visitors +1" to somebody who had been counted that day.
#[test]
fn whoever_was_counted_today_is_told_that_a_view_adds_no_visitor() {
    let server = Server::start(SITES);
    let kept = cookie(&choose(&server, ACCEPT, &[]));
    let at = |minutes: i64| (NOON + minutes * 60_000).to_string();
    let ask_me = |page: &str, now: &str, address: &str| {
        let target = format!("/u/mia/ff/me?page={page}&lang=en");
        let more = [
            ("Cookie", &*kept),
            ("User-Agent", crate::support::AGENT),
            ("X-Forwarded-For", address),
            ("X-Footfall-Now", now),
        ];
        ask(&mut server.client(), "GET", &target, "", &more).text()
    };
    let visit = |page: &str, now: &str| {
        hit(
            &mut server.client(),
            &view(page),
            &[("Cookie", &*kept), ("X-Footfall-Now", now)],
        );
    };
    let of = |html: &str, what: &str| {
        raised(html)
            .into_iter()
            .find(|row| row[0] == what)
            .map(|row| row[2].clone())
    };
    let (mine, other) = ("198.51.100.7", "198.51.101.7");
    let adds = |hits: u32, visitors: u32, visits: u32| {
        Some(format!(
            "Views, clicks and events +{hits}, Visitors +{visitors}, Visits +{visits}"
        ))
    };
    const KNOWN: &str = "You were counted as a visitor of this site today already";

    let before = ask_me("/u/mia", &at(0), mine);
    assert_eq!(
        (of(&before, "The whole site"), of(&before, "This page")),
        (adds(1, 1, 1), adds(1, 1, 1))
    );
    assert!(!before.contains(KNOWN) && raised(&before).len() == 12);

    visit("/u/mia", &at(0));
    let counted = ask_me("/u/mia", &at(1), mine);
    assert_eq!(
        (of(&counted, "The whole site"), of(&counted, "This page")),
        (adds(1, 0, 0), adds(1, 0, 0))
    );
    assert!(
        counted.contains(KNOWN) && raised(&counted).len() == 2,
        "{counted}"
    );
    // Another page of the same visit, another visitor, a later visit.
    let shop = ask_me("/u/mia/shop", &at(1), mine);
    assert_eq!(
        (of(&shop, "The whole site"), of(&shop, "This page")),
        (adds(1, 0, 0), adds(1, 1, 1))
    );
    assert_eq!(
        of(&shop, "This page: Where you came from"),
        Some("Visitors +1, Visits +1".into())
    );
    assert_eq!(of(&shop, "The whole site: Where you came from"), None);
    let stranger = ask_me("/u/mia", &at(1), other);
    assert_eq!(of(&stranger, "The whole site"), adds(1, 1, 1));
    assert!(!stranger.contains(KNOWN));
    let later = ask_me("/u/mia", &at(45), mine);
    assert_eq!(
        (of(&later, "The whole site"), of(&later, "This page")),
        (adds(1, 0, 1), adds(1, 0, 1))
    );
    assert_eq!(
        of(&later, "The whole site: Browser"),
        Some("Visits +1".into())
    );

    // What was said is what is then counted, and asking counted nothing.
    server.flush();
    let totals = |day: &str| {
        let report = server.report("mia", &format!("from={day}&to={day}"));
        ["hits", "visitors", "visits"].map(|counter| report["totals"][counter].as_u64().unwrap())
    };
    assert_eq!(
        (
            totals("2026-03-10"),
            server.metric("footfall_visitors_in_memory")
        ),
        ([1, 1, 1], 1)
    );
    visit("/u/mia", &at(45));
    server.flush();
    assert_eq!(totals("2026-03-10"), [2, 1, 2]);
    let tomorrow = ask_me("/u/mia", &at(24 * 60), mine);
    assert_eq!(of(&tomorrow, "The whole site"), adds(1, 1, 1));
    assert!(!tomorrow.contains(KNOWN));
}
