//! The consent question through real HTTP: what is asked, what is taken, what is put on record, and what a hit is worth after it.

use std::fs;

use serde_json::{Value, json};

use crate::support::{ABSENT, Answer, Body, Client, DAY, NOON, SITES, Server, hit, view};

/// The default configuration's question, granted.
pub const ACCEPT: &str =
    r#"{"version":2,"act":"grant","tiers":{"analytics":true},"lang":"en","layer":"first","path":"/u/mia"}"#;
pub const REFUSE: &str = r#"{"version":2,"act":"refuse","lang":"en","layer":"first","path":"/u/mia"}"#;
pub const WITHDRAW: &str = r#"{"version":2,"act":"withdraw","lang":"en","layer":"panel","path":"/u/mia"}"#;

type Fields<'a> = &'a [(&'a str, &'a str)];

/// Body, header fields, and the status, the code and a word of the detail it is refused with.
type Refused<'a> = (&'a str, Fields<'a>, u16, &'a str, &'a str);

/// Asks as a page of `pages.example` does; `more` replaces or adds header fields.
pub fn ask(client: &mut Client, method: &str, path: &str, body: &str, more: &[(&str, &str)]) -> Answer {
    let now = NOON.to_string();
    let usual = [
        ("Host", "pages.example"),
        ("Origin", "https://pages.example"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Content-Type", "application/json"),
        ("X-Footfall-Now", &now),
    ];
    let kept = usual.into_iter().filter(|(name, _)| !more.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)));
    let headers: Vec<(&str, &str)> = kept.chain(more.iter().copied().filter(|(_, value)| *value != ABSENT)).collect();
    client.ask(method, path, &headers, Body::Sized(body.as_bytes())).expect("the question is answered")
}

pub fn choose(server: &Server, body: &str, more: &[(&str, &str)]) -> Answer {
    ask(&mut server.client(), "POST", "/ff/consent", body, more)
}

pub fn state(server: &Server, more: &[(&str, &str)]) -> Value {
    let answer = ask(&mut server.client(), "GET", "/ff/consent?lang=en", "", more);
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// `name=value` of the first cookie an answer sets, as a browser sends it back.
pub fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie").unwrap_or_else(|| panic!("a cookie is set: {answer:?}"));
    set.split(';').next().unwrap().to_owned()
}

pub fn set_cookies(answer: &Answer) -> Vec<&str> {
    answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")).map(|(_, v)| &**v).collect()
}

/// The lines of the ledger as it lies on disk.
pub fn ledger(server: &Server) -> Vec<Value> {
    let text = fs::read_to_string(server.dir().join("data/ledger/acts.ledger")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn problem(answer: &Answer) -> (u16, String, String) {
    let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
    (answer.status, text("code"), text("detail"))
}

fn granted(state: &Value) -> Vec<&str> {
    let tiers = state["tiers"].as_array().unwrap().iter();
    tiers.filter(|tier| tier["granted"] == true).map(|tier| tier["name"].as_str().unwrap()).collect()
}

fn no_consent(server: &Server) -> u64 {
    server.metric("footfall_refusals_total{reason=\"no_consent\"}")
}

#[test]
fn nothing_is_granted_until_somebody_says_so_and_no_cookie_comes_with_the_question() {
    let server = Server::start(SITES);
    let answer = ask(&mut server.client(), "GET", "/ff/consent?lang=de-AT", "", &[]);
    assert_eq!(set_cookies(&answer), Vec::<&str>::new());
    let asked: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        [&asked["version"], &asked["ask"], &asked["choice"], &asked["signal"], &asked["lang"], &asked["receipt"]],
        [&json!(2), &json!(true), &Value::Null, &Value::Null, &json!("de"), &Value::Null]
    );
    assert_eq!(granted(&asked), ["necessary"]);
    assert_eq!(asked["texts"]["accept"], "Annehmen");
    assert_eq!(answer.header("tk"), Some("N"));
    assert!(ledger(&server).is_empty());
}

#[test]
fn a_grant_is_on_record_before_it_is_answered_and_the_next_hit_counts() {
    let server = Server::start(SITES);
    let answer = choose(&server, ACCEPT, &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let said: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((granted(&said), &said["ask"]), (vec!["necessary", "analytics"], &json!(false)));
    assert_eq!(said["choice"], json!({"version":2,"tiers":["analytics"],"outdated":false}));
    let records = ledger(&server);
    assert_eq!(records.len(), 1);
    assert_eq!(said["receipt_record"], records[0]);
    let of = |key: &str| records[0][key].clone();
    assert_eq!(
        [of("act"), of("site"), of("version"), of("refers")],
        [json!("grant"), json!("footfall"), json!(2), Value::Null]
    );
    assert_eq!(of("purposes"), json!({"analytics":true}));
    assert_eq!(of("at"), "2026-03-10T12:00Z", "rounded to the minute");

    let sent = cookie(&answer);
    hit(&mut server.client(), &view("/u/mia"), &[("Cookie", &sent)]);
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 1);
    assert_eq!(granted(&state(&server, &[("Cookie", &sent)])), ["necessary", "analytics"]);
}

#[test]
fn after_a_withdrawal_the_very_next_hit_is_dropped_even_with_a_copy_of_the_old_cookie() {
    let server = Server::start(SITES);
    let granted_cookie = cookie(&choose(&server, ACCEPT, &[]));
    hit(&mut server.client(), &view("/u/mia"), &[("Cookie", &granted_cookie)]);
    let withdrawn = choose(&server, WITHDRAW, &[("Cookie", &granted_cookie)]);
    assert_eq!((withdrawn.status, cookie(&withdrawn)), (200, "ff_consent=2.none".to_owned()));
    let records = ledger(&server);
    assert_eq!((records.len(), &records[1]["act"], &records[1]["refers"]), (2, &json!("withdraw"), &json!(1)));
    assert_eq!((&records[1]["id"], &records[1]["purposes"]), (&records[0]["id"], &json!({"analytics":false})));

    for kept in [&cookie(&withdrawn), &granted_cookie] {
        let before = no_consent(&server);
        hit(&mut server.client(), &view("/u/mia"), &[("Cookie", kept)]);
        assert_eq!(no_consent(&server), before + 1, "{kept}");
    }
    assert_eq!(granted(&state(&server, &[("Cookie", &granted_cookie)])), ["necessary"]);
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 1);
}

#[test]
fn a_withdrawal_holds_over_a_kill_and_a_restart() {
    let mut server = Server::start(SITES);
    let first = cookie(&choose(&server, ACCEPT, &[]));
    let second = cookie(&choose(&server, ACCEPT, &[]));
    choose(&server, WITHDRAW, &[("Cookie", &first)]);
    server.kill();
    server.restart();
    hit(&mut server.client(), &view("/u/mia"), &[("Cookie", &first)]);
    assert_eq!(no_consent(&server), 1);
    hit(&mut server.client(), &view("/u/mia"), &[("Cookie", &second)]);
    assert_eq!(no_consent(&server), 1);
}

#[test]
fn narrowing_a_grant_is_a_withdrawal_that_refers_to_it_and_widening_is_a_new_grant() {
    let server = Server::start_with(SITES, &["consent.tiers=[\"necessary\",\"preferences\",\"analytics\"]"]);
    let grant = |preferences: bool, analytics: bool| {
        let tiers = format!(r#"{{"preferences":{preferences},"analytics":{analytics}}}"#);
        format!(r#"{{"version":2,"act":"grant","tiers":{tiers},"lang":"en","layer":"panel","path":"/u/mia"}}"#)
    };
    let mut kept = cookie(&choose(&server, &grant(true, true), &[]));
    for (preferences, analytics) in [(true, false), (true, true)] {
        kept = cookie(&choose(&server, &grant(preferences, analytics), &[("Cookie", &kept)]));
    }
    let records = ledger(&server);
    let acts: Vec<(&str, &Value)> = records.iter().map(|r| (r["act"].as_str().unwrap(), &r["refers"])).collect();
    assert_eq!(acts, [("grant", &Value::Null), ("withdraw", &json!(1)), ("grant", &json!(1))]);
    assert!(records.iter().all(|record| record["id"] == records[0]["id"]));
}

#[test]
fn all_refusals_are_one_value_without_an_id_and_each_is_on_record() {
    let server = Server::start(SITES);
    let values: Vec<String> = (0..20).map(|_| cookie(&choose(&server, REFUSE, &[]))).collect();
    assert!(values.iter().all(|value| value == "ff_consent=2.none"));
    let records = ledger(&server);
    assert_eq!(records.len(), 20);
    assert!(records.iter().all(|r| r["act"] == "refuse" && r["id"] == Value::Null && r["refers"] == Value::Null));
    let asked = state(&server, &[("Cookie", "ff_consent=2.none")]);
    assert_eq!((&asked["ask"], granted(&asked)), (&json!(false), vec!["necessary"]));
    assert_eq!(state(&server, &[])["ask"], true, "nothing but the cookie remembers the answer");
}

#[test]
fn signals_are_read_by_the_letter_of_the_standards_and_outweigh_every_choice() {
    let server = Server::start(SITES);
    let kept = cookie(&choose(&server, ACCEPT, &[]));
    let cases: [(Fields<'_>, Option<&str>); 11] = [
        (&[("DNT", "1")], Some("dnt")),
        (&[("DNT", "1xyz")], Some("dnt")),
        (&[("DNT", "0")], None),
        (&[("DNT", "")], None),
        (&[("DNT", "0"), ("DNT", "1")], Some("dnt")),
        (&[("Sec-GPC", "1")], Some("gpc")),
        (&[("Sec-GPC", "0")], None),
        (&[("Sec-GPC", "true")], None),
        (&[("Sec-GPC", "0"), ("Sec-GPC", "1")], Some("gpc")),
        (&[("Sec-GPC", "1"), ("DNT", "1")], Some("gpc")),
        (&[], None),
    ];
    let mut counted = 0;
    for (signals, expected) in cases {
        let more: Vec<(&str, &str)> = signals.iter().copied().chain([("Cookie", &*kept)]).collect();
        let with = state(&server, &more);
        assert_eq!(with["signal"], json!(expected), "{signals:?}");
        let holds = if expected.is_some() { vec!["necessary"] } else { vec!["necessary", "analytics"] };
        assert_eq!(granted(&with), holds, "{signals:?}");
        assert_eq!(state(&server, signals)["ask"], expected.is_none(), "{signals:?}: with a signal nobody is asked");
        let refused = choose(&server, ACCEPT, signals);
        match expected {
            Some(_) => assert_eq!((refused.status, problem(&refused).1), (409, "signal".into()), "{signals:?}"),
            None => assert_eq!(refused.status, 200, "{signals:?}"),
        }
        hit(&mut server.client(), &view("/u/mia"), &more);
        counted += u64::from(expected.is_none());
    }
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], counted);
    assert_eq!(ledger(&server).len() as u64, 1 + counted, "what a signal forbids is not on record");
}

#[test]
fn bad_input_is_a_clear_4xx_and_leaves_no_record_and_no_cookie() {
    let server = Server::start_with(SITES, &["preset=\"ally\"", "consent.version=2"]);
    let grant = |tiers: &str| {
        format!(r#"{{"version":2,"act":"grant","tiers":{tiers},"lang":"en","layer":"first","path":"/u/mia"}}"#)
    };
    let both = grant(r#"{"preferences":true,"analytics":true}"#);
    let long = both.replace("/u/mia", &"x".repeat(5000));
    let cases: [Refused<'_>; 21] = [
        (
            &grant(r#"{"preferences":true,"analytics":true,"ads":true}"#),
            &[],
            422,
            "unknown_tier",
            "preferences, analytics",
        ),
        (
            &grant(r#"{"necessary":false,"preferences":true,"analytics":true}"#),
            &[],
            422,
            "necessary",
            "cannot be turned off",
        ),
        (&grant(r#"{"preferences":false,"analytics":true}"#), &[], 422, "bundled", "together or not at all"),
        (&grant(r#"{"analytics":true}"#), &[], 422, "bad_tiers", "preferences is not named"),
        (&grant(r#"{"preferences":false,"analytics":false}"#), &[], 422, "nothing_granted", "refuse"),
        (&grant("{}"), &[], 422, "bad_tiers", "preferences"),
        (&both.replace(r#""version":2"#, r#""version":1"#), &[], 409, "old_version", "version 2"),
        (&both.replace(r#""version":2"#, r#""version":3"#), &[], 409, "old_version", "version 2"),
        (&both.replace("grant", "accept"), &[], 400, "bad_choice", "grant"),
        (&both.replace("grant", "refuse"), &[], 422, "bad_tiers", "a grant only"),
        (&both.replace(r#""lang":"en""#, r#""lang":"xx""#), &[], 422, "bad_lang", "offered"),
        (&both.replace("first", "third"), &[], 400, "bad_choice", "panel"),
        (&both.replace(r#""path""#, r#""visitor":"ann","path""#), &[], 400, "bad_choice", "visitor"),
        ("{", &[], 400, "bad_choice", "EOF"),
        ("", &[], 400, "bad_choice", "EOF"),
        (&long, &[], 413, "body_too_large", "4096"),
        (&both, &[("Content-Type", "text/plain")], 415, "not_json", "application/json"),
        (&both, &[("Content-Type", "application/x-www-form-urlencoded")], 415, "not_json", "application/json"),
        (&both, &[("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")], 403, "foreign_page", "origin"),
        (&both, &[("Sec-Fetch-Site", "same-site")], 403, "foreign_page", "origin"),
        (&both, &[("Sec-Fetch-Site", ABSENT), ("Origin", ABSENT)], 403, "foreign_page", "origin"),
    ];
    for (body, more, status, code, word) in cases {
        let answer = choose(&server, body, more);
        let (found, named, detail) = problem(&answer);
        assert_eq!((found, &*named), (status, code), "{body} {more:?}: {detail}");
        assert!(detail.contains(word), "{body}: {detail}");
        assert_eq!(set_cookies(&answer), Vec::<&str>::new());
    }
    assert_eq!(ledger(&server).len(), 0);
    assert_eq!(choose(&server, &both, &[]).status, 200);
}

#[test]
fn a_network_that_answers_without_end_is_told_to_wait_and_others_are_not() {
    let server = Server::start_with(SITES, &["limits.network_choices_per_min=5"]);
    let from = |address: &str| choose(&server, REFUSE, &[("X-Forwarded-For", address)]).status;
    let flood: Vec<u16> = (0..8).map(|_| from("198.51.100.7")).collect();
    assert_eq!(flood, [200, 200, 200, 200, 200, 429, 429, 429]);
    assert_eq!(from("203.0.113.7"), 200);
    assert_eq!(ledger(&server).len(), 6);
}

#[test]
fn sixty_four_grants_at_once_make_one_unbroken_chain_and_a_kill_loses_none_that_was_answered() {
    let mut server = Server::start_with(SITES, &["limits.network_choices_per_min=100000"]);
    let mut answered = Vec::new();
    for _ in 0..4 {
        let mut clients: Vec<Client> = (0..64).map(|_| server.client()).collect();
        let cookies: Vec<String> = std::thread::scope(|scope| {
            let asks: Vec<_> = clients
                .iter_mut()
                .map(|client| scope.spawn(|| cookie(&ask(client, "POST", "/ff/consent", ACCEPT, &[]))))
                .collect();
            asks.into_iter().map(|ask| ask.join().unwrap()).collect()
        });
        answered.extend(cookies);
        server.kill();
        server.restart();
    }
    let records = ledger(&server);
    assert_eq!((records.len(), answered.len()), (256, 256));
    for (place, pair) in records.windows(2).enumerate() {
        assert_eq!((&pair[1]["prev"], &pair[1]["seq"]), (&pair[0]["hash"], &json!(place + 2)));
    }
    let ids: std::collections::HashSet<&str> = records.iter().map(|r| r["id"].as_str().unwrap()).collect();
    assert!(answered.iter().all(|cookie| ids.contains(cookie.rsplit('.').next().unwrap())));
}

#[test]
fn the_consent_id_is_in_the_ledger_and_in_no_other_byte() {
    let mut server = Server::start_with(SITES, &["log.filter=\"trace\""]);
    let answer = choose(&server, ACCEPT, &[]);
    let kept = cookie(&answer);
    let id = kept.rsplit('.').next().unwrap();
    for path in ["/u/mia", "/u/mia/shop"] {
        hit(&mut server.client(), &view(path), &[("Cookie", &kept)]);
    }
    ask(&mut server.client(), "GET", "/ff/consent/receipt", "", &[("Cookie", &kept)]);
    choose(&server, WITHDRAW, &[("Cookie", &kept)]);
    server.flush();
    let metrics = server.client().get("/metrics").unwrap().text();
    server.stop();
    assert!(!metrics.contains(id) && !server.log().contains(id));
    let number = u128::from_str_radix(id, 16).unwrap();
    let forms = [id.as_bytes().to_vec(), number.to_le_bytes().to_vec(), number.to_be_bytes().to_vec()];
    let mut searched = 0;
    let mut folders = vec![server.dir().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let bytes = fs::read(entry.path()).unwrap();
            searched += 1;
            let holds = forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == &form[..]));
            assert_eq!(holds, entry.file_name() == "acts.ledger", "{}", entry.path().display());
        }
    }
    assert!(searched > 20, "{searched} files");
}

#[test]
fn a_receipt_is_the_ledgers_own_lines_for_whoever_holds_the_cookie() {
    let server = Server::start(SITES);
    let kept = cookie(&choose(&server, ACCEPT, &[]));
    choose(&server, ACCEPT, &[]);
    let receipt = |cookie: &str| ask(&mut server.client(), "GET", "/ff/consent/receipt", "", &[("Cookie", cookie)]);
    let mine = receipt(&kept);
    assert_eq!(mine.header("content-disposition"), Some("attachment; filename=\"consent-receipt.json\""));
    let first = fs::read_to_string(server.dir().join("data/ledger/acts.ledger")).unwrap();
    assert_eq!(mine.text(), format!("[\n{}\n]\n", first.lines().next().unwrap()));
    let nobody = format!("ff_consent=2.analytics.{}", "0".repeat(32));
    assert_eq!([receipt(&nobody).status, receipt("ff_consent=2.none").status, receipt("x=1").status], [404, 404, 404]);
}

#[test]
fn a_changed_register_without_a_new_version_is_refused_with_the_difference() {
    let mut server = Server::start(SITES);
    server.stop();
    let start = |more: &str| {
        let text = fs::read_to_string(server.dir().join("footfall.toml")).unwrap();
        fs::write(server.dir().join("changed.toml"), format!("{text}\n{more}")).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_footfall"));
        command.args(["serve", "--config"]).arg(server.dir().join("changed.toml"));
        command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
    };
    let entry = "[[register]]\ntier = \"analytics\"\nname = \"_ga\"\nprovider = \"Google\"\npurpose = \"ads\"\nlife_secs = 60\n";
    let changed = start(entry);
    let said = String::from_utf8_lossy(&changed.stderr).into_owned();
    assert_eq!(changed.status.code(), Some(2), "{said}");
    assert!(said.contains("\n  + analytics: _ga of Google, ads, 60 s\n"), "{said}");
    assert!(said.contains("consent.version is still 2"), "{said}");
    let incomplete = start("[[register]]\ntier = \"analytics\"\nname = \"_ga\"\npurpose = \"ads\"\n");
    assert!(String::from_utf8_lossy(&incomplete.stderr).contains("provider"), "name, life and provider are all needed");
}

#[test]
fn a_new_version_asks_everybody_or_only_where_purposes_grew_and_account_holders_are_told_once() {
    let players = "register=[{tier=\"embeds\",name=\"player\",provider=\"Vimeo\",purpose=\"video\",life_secs=3600}]";
    let bump = ["consent.version=3", "policy.effective_date=2026-04-01", players];
    for (on_version, analytics_holds, asked) in [("ask_all", false, true), ("ask_grown", true, true)] {
        let tiers = "consent.tiers=[\"necessary\",\"analytics\",\"embeds\"]";
        let on = format!("consent.on_version={on_version}");
        let settings = [tiers, &*on, "consent.notices=[\"platform\",\"email\"]"];
        let mut server = Server::start_with(SITES, &settings);
        let both = ACCEPT.replace(r#"{"analytics":true}"#, r#"{"analytics":true,"embeds":true}"#);
        let kept = cookie(&choose(&server, &both, &[]));
        let notices = |server: &Server, after: u64| {
            let answer = server.client().get(&format!("/api/v1/notices?after={after}")).unwrap();
            serde_json::from_slice::<Value>(&answer.body).unwrap()["notices"].clone()
        };
        assert_eq!(notices(&server, 0), json!([]), "a first version is no change");
        server.stop();
        server.set(&bump);
        server.restart();

        let now = state(&server, &[("Cookie", &kept)]);
        assert_eq!(now["choice"], json!({"version":2,"tiers":["analytics","embeds"],"outdated":true}));
        assert_eq!(now["ask"], asked);
        let expected = if analytics_holds { vec!["necessary", "analytics"] } else { vec!["necessary"] };
        assert_eq!(granted(&now), expected, "{on_version}");
        hit(&mut server.client(), &view("/u/mia"), &[("Cookie", &kept)]);
        assert_eq!(no_consent(&server), u64::from(!analytics_holds));

        let told = notices(&server, 0);
        let channels: Vec<&Value> = told.as_array().unwrap().iter().map(|notice| &notice["channel"]).collect();
        assert_eq!(channels, [&json!("platform"), &json!("email")]);
        assert_eq!((&told[0]["grew"], &told[0]["version"]), (&json!(["embeds"]), &json!(3)));
        let last = told[1]["id"].as_u64().unwrap();
        assert_eq!(notices(&server, last), json!([]));
        server.kill();
        server.restart();
        assert_eq!((notices(&server, 0), notices(&server, last)), (told, json!([])), "a restart tells nothing anew");
    }
}

#[test]
fn a_hung_or_failed_ledger_grants_nothing() {
    let server = Server::start_on_small_disk(SITES, &["journal.max_bytes=1048576"], 32 << 20);
    let filler = server.data().join("filler");
    let mut size = 0;
    // Fills what is left, to the last page.
    while fs::write(filler.with_extension(size.to_string()), vec![1; 1 << 16]).is_ok() {
        size += 1;
    }
    let answers: Vec<u16> =
        (0..40).map(|n| choose(&server, ACCEPT, &[("X-Forwarded-For", &format!("198.51.{n}.7"))]).status).collect();
    assert!(answers.contains(&503), "{answers:?}");
    let refused = choose(&server, ACCEPT, &[("X-Forwarded-For", "203.0.113.9")]);
    assert_eq!((refused.status, set_cookies(&refused)), (503, Vec::new()));
    for n in 0..size {
        let _ = fs::remove_file(filler.with_extension(n.to_string()));
    }
    assert_eq!(choose(&server, ACCEPT, &[("X-Forwarded-For", "203.0.113.9")]).status, 200);
    let on_disk = fs::read_to_string(server.data().join("ledger/acts.ledger")).unwrap();
    let granted = answers.iter().filter(|status| **status == 200).count();
    assert_eq!(on_disk.lines().count(), granted + 1, "answered and on record are the same");
}

#[test]
fn the_well_known_files_say_what_is_obeyed_and_can_be_switched_off() {
    let server = Server::start(SITES);
    let get = |server: &Server, path: &str| server.client().get(path).unwrap();
    let gpc: Value = serde_json::from_slice(&get(&server, "/.well-known/gpc.json").body).unwrap();
    assert_eq!(gpc, json!({"gpc":true,"lastUpdate":"2026-01-01"}));
    let status = get(&server, "/.well-known/dnt/");
    assert_eq!(status.header("content-type"), Some("application/tracking-status+json"));
    assert_eq!(serde_json::from_slice::<Value>(&status.body).unwrap(), json!({"tracking":"N","config":"/ff/me"}));
    let off = Server::start_with(SITES, &["well_known.gpc=false", "well_known.dnt=false", "well_known.tk=false"]);
    assert_eq!([get(&off, "/.well-known/gpc.json").status, get(&off, "/.well-known/dnt/").status], [404, 404]);
    assert_eq!(ask(&mut off.client(), "GET", "/ff/consent", "", &[]).header("tk"), None);
}

/// The rows of the table on the visitor's page: of what, value, what it raises.
fn raised(html: &str) -> Vec<[String; 3]> {
    let cell = |row: &str, tag: &str, n: usize| {
        let part = row.split(&format!("<{tag}")).nth(n).unwrap();
        part.split_once('>').unwrap().1.split('<').next().unwrap().to_owned()
    };
    html.split("<tr>").skip(1).map(|row| [cell(row, "th", 1), cell(row, "td", 1), cell(row, "td", 2)]).collect()
}

#[test]
fn the_visitors_page_says_exactly_which_counters_the_next_visit_raises_and_stores_nothing() {
    let server = Server::start(SITES);
    let kept = cookie(&choose(&server, ACCEPT, &[]));
    let me = |more: &[(&str, &str)]| {
        let agent = ("User-Agent", crate::support::AGENT);
        let more: Vec<(&str, &str)> = more.iter().copied().chain([agent, ("Accept-Language", "en")]).collect();
        ask(&mut server.client(), "GET", "/u/mia/ff/me?page=/u/mia", "", &more)
    };
    let page = me(&[("Cookie", &kept)]);
    assert_eq!((page.status, page.header("cache-control")), (200, Some("no-store")));
    let html = page.text();
    let said = raised(&html);
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 0, "looking counts nothing");

    hit(&mut server.client(), &view("/u/mia"), &[("Cookie", &kept), ("Accept-Language", "en")]);
    server.flush();
    let report = server.report("mia", DAY);
    let totals = &report["totals"];
    assert_eq!([&totals["hits"], &totals["visitors"], &totals["visits"]], [1, 1, 1]);
    let total = |rows: &[[String; 3]], of: &str| rows.iter().find(|row| row[0] == of).unwrap()[2].clone();
    assert_eq!(total(&said, "The whole site"), "Views, clicks and events +1, Visitors +1, Visits +1");
    assert_eq!(said.iter().find(|row| row[0] == "This page").unwrap()[1], "/u/mia");
    let values: Vec<(&str, &str)> = said.iter().map(|row| (&*row[0], &*row[1])).collect();
    for expected in [
        ("The whole site: Browser", "Chrome"),
        ("The whole site: Operating system", "Linux"),
        ("The whole site: Language", "en"),
        ("The whole site: Where you came from", "(direct)"),
        ("This page: Where you came from", "(direct)"),
    ] {
        assert!(values.contains(&expected), "{expected:?} in {values:?}");
    }
    // The total and six attributes of the site, the total and two attributes of the page: a visit without a campaign has no more rows.
    assert_eq!(said.len(), 10, "{said:?}");
    assert!(html.contains("ff_consent, kept for 365 day(s)") && html.contains("Withdraw consent"));
    assert!(!html.contains(kept.rsplit('.').next().unwrap()), "the id is not shown");

    for (more, word) in [
        (&[("Cookie", ABSENT)][..], "You have not agreed to analytics."),
        (&[("Cookie", "ff_consent=2.none")], "You said no."),
        (&[("Cookie", &*kept), ("DNT", "1")], "Your browser sends Do Not Track."),
        (&[("Cookie", &*kept), ("Sec-GPC", "1")], "Your browser sends Global Privacy Control."),
    ] {
        let html = me(more).text();
        assert!(html.contains(word) && html.contains("Nothing is counted about you here."), "{word}");
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
        let more: Vec<(&str, &str)> = more.iter().copied().chain([form, ("Cookie", &kept)]).collect();
        ask(&mut server.client(), "POST", "/u/mia/ff/me/withdraw?page=/u/mia", "", &more)
    };
    assert_eq!(press(&[("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")]).status, 403);
    assert_eq!(ledger(&server).len(), 1);
    let done = press(&[]);
    assert_eq!((done.status, done.header("location")), (303, Some("/u/mia/ff/me?page=%2Fu%2Fmia")));
    assert_eq!(cookie(&done), "ff_consent=2.none");
    let records = ledger(&server);
    assert_eq!(
        [&records[1]["act"], &records[1]["refers"], &records[1]["layer"]],
        [&json!("withdraw"), &json!(1), &json!("page")]
    );
    let bad = ask(&mut server.client(), "GET", "/ff/me?page=javascript:x", "", &[]);
    assert_eq!(problem(&bad), (400, "bad_page".into(), "page must be a path, such as page=/u/mia".into()));
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
        format!("Bearer {}", jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap())
    };
    let now = NOON / 1000;
    let admin = sign("admin", now + 60);
    let kept = cookie(&choose(&server, ACCEPT, &[]));
    let gate = |more: Fields<'_>| ask(&mut server.client(), "GET", "/ff/gate/bi", "", more);

    let open = gate(&[("Authorization", &admin), ("Cookie", &kept)]);
    assert_eq!(open.status, 200, "{}", open.text());
    let said: Value = serde_json::from_slice(&open.body).unwrap();
    let token = said["url"].as_str().unwrap().strip_prefix("https://bi.example/embed/dashboard/").unwrap();
    let mut by_then = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    by_then.validate_exp = false;
    let key = jsonwebtoken::DecodingKey::from_secret(b"the secret of the BI tool");
    let claims = jsonwebtoken::decode::<Value>(token, &key, &by_then).unwrap().claims;
    assert_eq!(claims, json!({"resource":{"dashboard":7},"params":{},"exp":now + 60}));

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
        &[("Authorization", &admin), ("Cookie", &kept), ("Sec-GPC", "1")],
    ];
    for more in cases {
        let closed = gate(more);
        assert_eq!((closed.status, set_cookies(&closed)), (403, Vec::new()), "{more:?}");
    }
    choose(&server, WITHDRAW, &[("Cookie", &kept)]);
    assert_eq!(gate(&[("Authorization", &admin), ("Cookie", &kept)]).status, 403, "withdrawn");
    assert_eq!(Server::start(SITES).client().get("/ff/gate/bi").unwrap().status, 404, "off unless configured");
}

#[test]
fn without_a_question_counting_starts_only_within_the_published_limits_and_an_objection_holds() {
    let check = |settings: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_footfall"));
        command.args(["check-config", "--set", "consent.basis=exempt_opt_out"]);
        settings.iter().for_each(|setting| _ = command.args(["--set", setting]));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(check(&[]).0, Some(0));
    for (setting, word) in [("visitor.cookie.max_age_secs=34128001", "395 days"), ("retention.keep_days=762", "761")] {
        let (code, said) = check(&[setting]);
        assert_eq!(code, Some(2), "{setting}");
        let key = setting.split('=').next().unwrap();
        assert!(said.contains(key) && (said.contains(word) || said.contains("34128000")), "{setting}: {said}");
    }
    let server = Server::start_with(SITES, &["consent.basis=exempt_opt_out"]);
    let asked = state(&server, &[]);
    assert_eq!((&asked["ask"], granted(&asked)), (&json!(false), vec!["necessary", "analytics"]));
    hit(&mut server.client(), &view("/u/mia"), &[("Cookie", ABSENT)]);
    let objected = cookie(&choose(&server, REFUSE, &[]));
    hit(&mut server.client(), &view("/u/mia"), &[("Cookie", &objected)]);
    assert_eq!(server.metric("footfall_refusals_total{reason=\"objected\"}"), 1);
    assert_eq!(granted(&state(&server, &[("Cookie", &objected)])), ["necessary"]);
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 1);
}
