//! Withdrawals with several collectors on one database: each collector obeys a withdrawal made at
//! another, and only a digest is exchanged.

use serde_json::{Value, json};

use super::{ACCEPT, WITHDRAW, choose, cookie, granted, id_of, ledger, no_consent, state};
use crate::support::{DAY, Engine, SITES, Server, hit, until, view};

/// The settings of a collector of this database.
fn on(engine: &Engine) -> [String; 2] {
    [
        format!("store.url={}", engine.url()),
        "registry.refresh_secs=1".to_owned(),
    ]
}

fn collector(engine: &Engine) -> Server {
    let settings = on(engine);
    Server::start_with(SITES, &settings.each_ref().map(String::as_str))
}

/// Whether a view with this cookie counts.
fn counts(server: &Server, cookie: &str) -> bool {
    let before = no_consent(server);
    assert_eq!(
        hit(&mut server.client(), &view("/u/mia"), &[("Cookie", cookie)]).status,
        202
    );
    no_consent(server) == before
}

fn digest(cookie: &str) -> String {
    footfall::hex::encode_lower(&footfall::ledger::sha256_digest(id_of(cookie).as_bytes()))
}

#[test]
fn a_withdrawal_at_one_collector_stops_every_copy_at_the_others() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::start(dir.path());
    let (here, there) = (collector(&engine), collector(&engine));
    let [known, unknown, other] = [(); 3].map(|()| cookie(&choose(&here, ACCEPT, &[])));
    for kept in [&known, &unknown, &other] {
        assert!(counts(&there, kept));
    }
    // One at the collector that recorded the grant, one at the other.
    choose(&here, WITHDRAW, &[("Cookie", &known)]);
    choose(&there, WITHDRAW, &[("Cookie", &unknown)]);
    assert_eq!(
        (&ledger(&there)[0]["act"], &ledger(&there)[0]["refers"]),
        (&json!("withdraw"), &Value::Null)
    );
    assert!(
        !counts(&here, &known) && !counts(&there, &unknown),
        "where it was said, from the very next hit"
    );
    until(
        || !counts(&there, &known),
        "the withdrawal at the other collector",
    );
    until(
        || !counts(&here, &unknown),
        "the withdrawal at the first collector",
    );
    for server in [&here, &there] {
        let said = state(server, &[("Cookie", &known)]);
        assert_eq!(
            (granted(&said), &said["ask"]),
            (vec!["necessary"], &json!(false))
        );
        assert!(counts(server, &other), "nobody else's grant ends with it");
    }
    let rows = engine
        .sql("SELECT lower(hex(digest)), toString(day) FROM withdrawals ORDER BY ALL FORMAT TSV");
    let mut expected = [&known, &unknown].map(|kept| format!("{}\t2026-03-10\n", digest(kept)));
    expected.sort();
    assert_eq!(
        rows,
        expected.concat(),
        "a digest and a day, and nothing else"
    );
    for server in [&here, &there] {
        server.flush();
    }
    // Three before the withdrawals, two after them, and those counted while a withdrawal was being
    // exchanged.
    assert!(here.report("mia", DAY)["totals"]["hits"].as_u64().unwrap() >= 5);
}

#[test]
fn a_withdrawal_while_the_store_is_away_is_told_later_also_after_a_kill_and_once() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut engine = Engine::start(dir.path());
    let (mut here, there) = (collector(&engine), collector(&engine));
    let [first, second] = [(); 2].map(|()| cookie(&choose(&here, ACCEPT, &[])));
    here.flush();
    there.flush();
    engine.kill();
    for withdrawn in [&first, &second] {
        assert_eq!(
            choose(&here, WITHDRAW, &[("Cookie", withdrawn)]).status,
            200
        );
        assert!(
            !counts(&here, withdrawn) && counts(&there, withdrawn),
            "the others cannot know"
        );
    }
    here.kill();
    here.restart();
    assert!(!counts(&here, &first), "the ledger knows without the store");
    engine.restart();
    until(
        || !counts(&there, &first) && !counts(&there, &second),
        "what the ledger told again",
    );
    // A restart does not store again what is stored.
    let revisions = "SELECT count(), max(revision) FROM withdrawals FORMAT TSV";
    let before = engine.sql(revisions);
    here.stop();
    here.restart();
    here.flush();
    choose(
        &here,
        WITHDRAW,
        &[("Cookie", &cookie(&choose(&here, ACCEPT, &[])))],
    );
    until(|| engine.sql(revisions) != before, "another withdrawal");
    assert!(
        engine.sql(revisions).starts_with("3\t"),
        "{before} {}",
        engine.sql(revisions)
    );
}
