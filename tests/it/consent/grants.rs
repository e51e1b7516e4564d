//! Grants cannot be forged: a changed, copied or invented cookie counts nothing, wherever it
//! appears among the other cookies.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};

use super::{
    ACCEPT, REFUSE, WITHDRAW, ask, choose, cookie, granted, id_of, ledger, no_consent, set_cookies,
    state,
};
use crate::support::{CONSENT_KEYS, DAY, NOON, SITES, Server, grant, hit, signed, until, view};

const ID: &str = "00112233445566778899aabbccddeeff";

fn counted(server: &Server) -> Value {
    server.flush();
    server.report("mia", DAY)["totals"]["hits"].clone()
}

/// A view with these `Cookie` lines.
fn visit(server: &Server, lines: &[&str]) {
    let lines: Vec<(&str, &str)> = lines.iter().map(|line| ("Cookie", *line)).collect();
    assert_eq!(
        hit(&mut server.client(), &view("/u/mia"), &lines).status,
        202
    );
}

#[test]
fn of_26048_made_up_grants_none_counts() {
    let server = Server::start(SITES);
    let mut client = server.client();
    for n in 0..26_048_u128 {
        let id = format!(
            "{:032x}",
            n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
        );
        let made_up = match n % 4 {
            0 => format!("ff_consent=2.analytics.{id}"),
            1 => format!("ff_consent=2.analytics.{id}.test.{id}"),
            2 => format!("ff_consent=2.analytics.{id}.k1.{id}"),
            _ => format!("ff_consent=2.analytics.{id}.."),
        };
        assert_eq!(
            hit(&mut client, &view("/u/mia"), &[("Cookie", &made_up)]).status,
            202
        );
    }
    assert_eq!(
        (no_consent(&server), counted(&server), ledger(&server).len()),
        (26_048, json!(0), 0)
    );
}

#[test]
fn a_grant_with_any_part_changed_does_not_count_and_the_question_is_asked() {
    let server = Server::start(SITES);
    let real = cookie(&choose(&server, ACCEPT, &[]));
    let change = |place: usize| {
        let mut parts: Vec<String> = real.split('.').map(str::to_owned).collect();
        let last = if parts[place].ends_with('0') {
            "1"
        } else {
            "0"
        };
        let at = parts[place].len() - 1;
        parts[place].replace_range(at.., last);
        parts.join(".")
    };
    let more = real.replace("analytics", "analytics+embeds");
    let of_another_platform = format!("ff_consent={}", signed("ally", 2, "analytics", ID));
    for changed in [
        change(2),
        change(3),
        change(4),
        more,
        real.to_uppercase(),
        of_another_platform,
    ] {
        let before = no_consent(&server);
        visit(&server, &[&changed]);
        assert_eq!(no_consent(&server), before + 1, "{changed}");
        assert_eq!(
            state(&server, &[("Cookie", &changed)])["ask"],
            true,
            "{changed}"
        );
    }
    visit(&server, &[&real]);
    assert_eq!(counted(&server), 1);
}

#[test]
fn a_script_that_puts_a_grant_beside_a_refusal_changes_nothing_in_either_order() {
    let server = Server::start(SITES);
    let refused = cookie(&choose(&server, REFUSE, &[]));
    // Even a grant that was given to another visitor, copied completely.
    let copied = cookie(&choose(&server, ACCEPT, &[]));
    for forged in [&*copied, &*grant(), &format!("ff_consent=2.analytics.{ID}")] {
        for lines in [
            &[&*format!("{forged}; {refused}")][..],
            &[&*format!("{refused}; {forged}")],
            &[forged, &refused],
        ] {
            let before = no_consent(&server);
            visit(&server, lines);
            assert_eq!(no_consent(&server), before + 1, "{lines:?}");
            let cookies: Vec<(&str, &str)> = lines.iter().map(|line| ("Cookie", *line)).collect();
            let asked = state(&server, &cookies);
            assert_eq!(
                (granted(&asked), &asked["ask"]),
                (vec!["necessary"], &json!(false)),
                "{lines:?}"
            );
            assert_eq!(asked["choice"]["tiers"], json!([]), "{lines:?}");
        }
    }
    assert_eq!(counted(&server), 0);
}

/// cases: an earlier banner left a cookie of the same name on a longer path, so that the browser
/// sends it first.
#[test]
fn an_older_cookie_of_the_same_name_does_not_hide_the_grant() {
    let server = Server::start(SITES);
    let mut visits = 0;
    for other in [
        "ff_consent=accepted",
        "ff_consent=0.none",
        "ff_consent=1.none",
        "ff_consent=garbage",
        "ff_consent=",
    ] {
        let accepted = choose(&server, ACCEPT, &[("Cookie", other)]);
        let grant = cookie(&accepted);
        for lines in [format!("{other}; {grant}"), format!("{grant}; {other}")] {
            let asked = state(&server, &[("Cookie", &lines)]);
            assert_eq!(
                (&asked["ask"], granted(&asked)),
                (&json!(false), vec!["necessary", "analytics"]),
                "{lines}"
            );
            visit(&server, &[&lines]);
            visits += 1;
        }
    }
    assert_eq!((counted(&server), no_consent(&server)), (json!(visits), 0));
    assert_eq!(ledger(&server).len(), 5, "one question each");
}

/// cases: a proxy between HTTP/2 and HTTP/1.1 forwards cookies in several lines, which are one list
/// (RFC 9113, 8.2.3).
#[test]
fn two_cookie_lines_are_one_list_for_the_hit_and_for_the_question() {
    let server = Server::start_with(SITES, &["visitor.mode=flag_cookie"]);
    let grant = cookie(&choose(&server, ACCEPT, &[]));
    for lines in [
        [&*grant, "a=1"],
        ["a=1", &grant],
        ["ff_visit=1; b=2", &grant],
    ] {
        let before = no_consent(&server);
        visit(&server, &lines);
        assert_eq!(no_consent(&server), before, "{lines:?}");
        let cookies: Vec<(&str, &str)> = lines.iter().map(|line| ("Cookie", *line)).collect();
        assert_eq!(state(&server, &cookies)["ask"], false, "{lines:?}");
    }
    // The visit cookie on another line is found too: a returning visitor is not new.
    let known = hit(
        &mut server.client(),
        &view("/u/mia"),
        &[("Cookie", &grant), ("Cookie", "ff_visit=1")],
    );
    assert_eq!(set_cookies(&known), Vec::<&str>::new());
    // The same for a refusal.
    visit(&server, &[&grant, "ff_consent=2.none"]);
    assert_eq!((no_consent(&server), counted(&server)), (1, json!(4)));
}

#[test]
fn bytes_that_are_no_text_hide_no_cookie_beside_them() {
    let server = Server::start(SITES);
    let grant = cookie(&choose(&server, ACCEPT, &[]));
    let body = view("/u/mia");
    let head = format!(
        "POST /ff/hit HTTP/1.1\r\nHost: pages.example\r\nUser-Agent: {}\r\nX-Footfall-Now: {NOON}\r\nContent-Length: {}\r\n",
        crate::support::AGENT,
        body.len()
    );
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let cookies = [
        b"Cookie: x=\xe9\xff; ",
        grant.as_bytes(),
        b"; y=\xff\r\nConnection: close\r\n\r\n",
    ]
    .concat();
    stream
        .write_all(&[head.as_bytes(), &cookies, body.as_bytes()].concat())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_eq!((counted(&server), no_consent(&server)), (json!(1), 0));
}

#[test]
fn a_cookie_of_before_they_were_signed_counts_only_as_the_ledger_knows_it() {
    let server = Server::start_with(
        SITES,
        &["consent.tiers=[\"necessary\",\"preferences\",\"analytics\"]"],
    );
    let tiers = |preferences: bool| {
        ACCEPT.replace(
            r#"{"analytics":true}"#,
            &format!(r#"{{"preferences":{preferences},"analytics":true}}"#),
        )
    };
    let new = cookie(&choose(&server, &tiers(false), &[]));
    let old = |tiers: &str, id: &str| format!("ff_consent=2.{tiers}.{id}");
    let mine = old("analytics", id_of(&new));
    visit(&server, &[&mine]);
    assert_eq!(
        (
            counted(&server),
            state(&server, &[("Cookie", &mine)])["ask"].clone()
        ),
        (json!(1), json!(false))
    );
    for nobodys in [
        old("analytics", ID),
        old("preferences+analytics", id_of(&new)),
        mine.replace("=2.", "=1."),
    ] {
        let before = no_consent(&server);
        visit(&server, &[&nobodys]);
        assert_eq!(no_consent(&server), before + 1, "{nobodys}");
        assert_eq!(
            state(&server, &[("Cookie", &nobodys)])["ask"],
            true,
            "{nobodys}"
        );
    }
    choose(&server, WITHDRAW, &[("Cookie", &mine)]);
    let records = ledger(&server);
    assert_eq!(
        (&records[1]["act"], &records[1]["refers"]),
        (&json!("withdraw"), &json!(1))
    );
    visit(&server, &[&mine]);
    assert_eq!(counted(&server), 1);
}

#[test]
fn a_narrowed_grant_ends_with_its_cookie_and_no_copy_grants_more() {
    let server = Server::start_with(
        SITES,
        &["consent.tiers=[\"necessary\",\"preferences\",\"analytics\"]"],
    );
    let grant = |preferences: bool, analytics: bool| {
        let tiers = format!(r#"{{"preferences":{preferences},"analytics":{analytics}}}"#);
        format!(
            r#"{{"version":2,"act":"grant","tiers":{tiers},"lang":"en","layer":"panel","path":"/u/mia"}}"#
        )
    };
    let both = cookie(&choose(&server, &grant(true, true), &[]));
    let less = cookie(&choose(&server, &grant(true, false), &[("Cookie", &both)]));
    for kept in [&both, &less] {
        visit(&server, &[kept]);
    }
    assert_eq!((no_consent(&server), counted(&server)), (2, json!(0)));
    assert_eq!(
        granted(&state(&server, &[("Cookie", &less)])),
        ["necessary", "preferences"]
    );
}

#[test]
fn a_withdrawal_at_a_collector_that_does_not_know_the_grant_is_on_record_with_its_id() {
    let (here, mut there) = (Server::start(SITES), Server::start(SITES));
    let grant = cookie(&choose(&here, ACCEPT, &[]));
    visit(&there, &[&grant]);
    assert_eq!(
        counted(&there),
        1,
        "a grant given at one collector is one at all of them"
    );
    let withdrawn = choose(&there, WITHDRAW, &[("Cookie", &grant)]);
    assert_eq!(
        (withdrawn.status, cookie(&withdrawn)),
        (200, "ff_consent=2.none".to_owned())
    );
    let records = ledger(&there);
    assert_eq!(records.len(), 1);
    assert_eq!(
        [&records[0]["act"], &records[0]["id"], &records[0]["refers"]],
        [&json!("withdraw"), &json!(id_of(&grant)), &Value::Null]
    );
    visit(&there, &[&grant]);
    assert_eq!(no_consent(&there), 1);
    // The ledger remains valid, also at the next start.
    there.kill();
    there.restart();
    visit(&there, &[&grant]);
    assert_eq!(no_consent(&there), 1);
    assert_eq!(
        choose(&there, WITHDRAW, &[("Cookie", &grant)]).status,
        200,
        "to a browser that says it again"
    );
    assert_eq!(ledger(&there)[1]["act"], "refuse");
}

#[test]
fn the_key_is_made_once_for_its_owner_alone_and_a_new_one_is_taken_without_a_restart() {
    let mut server = Server::start_with(
        SITES,
        &[
            "consent.key_file=\"\"",
            "data.reload_secs=1",
            "limits.network_choices_per_min=100000",
        ],
    );
    let file = server.data().join("ledger/consent.keys");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let first = fs::read_to_string(&file).unwrap();
    let old = cookie(&choose(&server, ACCEPT, &[]));
    assert!(first.starts_with("k1 ") && old.contains(".k1."), "{old}");
    server.stop();
    server.restart();
    let file = server.data().join("ledger/consent.keys");
    assert_eq!(fs::read_to_string(&file).unwrap(), first);
    visit(&server, &[&old]);

    let mut command = Command::new(env!("CARGO_BIN_EXE_footfall"));
    let line = command.args(["consent", "new-key", "k2"]).output().unwrap();
    fs::write(&file, [&line.stdout, first.as_bytes()].concat()).unwrap();
    until(|| signs_with(&server, ".k2."), "the new key signs");
    visit(&server, &[&old]);
    assert_eq!((counted(&server), no_consent(&server)), (json!(2), 0));
    // An unreadable file changes nothing. Removing an old key invalidates the grants it signed.
    fs::write(&file, "k3 short\n").unwrap();
    until(
        || server.log().contains("line 1 is not an id"),
        "the bad line is said",
    );
    assert!(signs_with(&server, ".k2."));
    fs::write(&file, &line.stdout).unwrap();
    until(
        || state(&server, &[("Cookie", &old)])["ask"] == true,
        "the old key is gone",
    );
}

fn signs_with(server: &Server, key: &str) -> bool {
    cookie(&choose(server, ACCEPT, &[])).contains(key)
}

#[test]
fn the_browser_tests_sign_with_the_same_key() {
    let source = include_str!("../../e2e/collector.js");
    let grant = signed("footfall", 1, "analytics", &"5c".repeat(16));
    assert!(
        source.contains(&format!("\"{grant}\""))
            && source.contains(&CONSENT_KEYS.replace('\n', "\\n")),
        "{grant}"
    );
}

#[test]
fn looking_at_the_question_with_a_forged_cookie_grants_nothing_on_the_visitors_page() {
    let server = Server::start(SITES);
    let forged = format!("ff_consent=2.analytics.{ID}");
    let page = ask(
        &mut server.client(),
        "GET",
        "/u/mia/ff/me?page=/u/mia&lang=en",
        "",
        &[("Cookie", &forged)],
    )
    .text();
    assert!(
        page.contains("Nothing is counted about you here.") && !page.contains("Withdraw consent"),
        "{page}"
    );
}
