//! Sessions and unlocked share links are encrypted cookies: they live through restarts and work at
//! every collector with the same keys, until they are signed out at one of them.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::process::Signal;
use serde_json::json;

use super::{
    Caller, PASSWORD, REPORT_TOKEN, SECRET, claims, cookie_of, creator, hand_over, nobody,
    operator, password_hash, share, sign, start,
};
use crate::canary::{files, holds};
use crate::support::{Answer, Engine, NOON, Server, until};

const MINUTE: i64 = 60_000;
const REPORT: &str = "/api/v1/sites/mia/report?from=2026-03-01&to=2026-03-02";

/// The status of mia's report.
fn status(server: &Server, caller: &Caller) -> u16 {
    caller.ask(server, "GET", REPORT, "").status
}

fn sign_out(server: &Server, caller: &Caller) -> Answer {
    // At another collector, the origin of the page is that collector's.
    let origin = format!("http://{}", server.address());
    caller
        .clone()
        .with("Origin", &origin)
        .ask(server, "DELETE", "/api/v1/session", "")
}

/// The value of a caller's cookie.
fn value_of(caller: &Caller) -> &str {
    let (_, cookie) = caller
        .headers
        .iter()
        .find(|(name, _)| name == "Cookie")
        .unwrap();
    cookie.split_once('=').unwrap().1
}

fn with_value(caller: &Caller, value: &str) -> Caller {
    caller
        .clone()
        .with("Cookie", &format!("__Host-footfall={value}"))
}

/// A collector of this database with this file of keys, and the site `mia`.
fn collector(engine: &Engine, keys: &Path) -> Server {
    collector_of(&format!("store.url={}", engine.url()), keys)
}

fn collector_of(store: &str, keys: &Path) -> Server {
    let settings = [
        REPORT_TOKEN.to_owned(),
        "platform.token_algorithm=HS256".to_owned(),
        format!("platform.token_key=\"{SECRET}\""),
        format!("test.start_millis={NOON}"),
        store.to_owned(),
        format!("access.key_file={:?}", keys.display().to_string()),
        "registry.refresh_secs=1".to_owned(),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let server = Server::start_with(
        "[[sites]]\nid = \"mia\"\nhosts = [\"mia.example\"]\nzone = \"UTC\"\n",
        &settings,
    );
    server.flush();
    // Until the sign-outs of others were read, no session is accepted.
    let jti = format!("of a probe, {:?}", std::time::Instant::now());
    let opened = hand_over(&server, &sign(&claims(&["mia"], &jti)));
    let probe = nobody().with("Cookie", &cookie_of(&opened));
    let is_read = || probe.ask(&server, "GET", "/api/v1/session", "").status == 200;
    until(is_read, "the sign-outs were read");
    server
}

#[test]
fn sessions_and_unlocked_links_live_through_a_kill_and_signed_out_ones_do_not_come_back() {
    let mut server = start(&[]);
    let (mia, gone) = (creator(&server, &["mia"]), creator(&server, &["mia"]));
    let (_, secret) = share(&server, "mia", json!({"password": PASSWORD}));
    let body = json!({ "password": PASSWORD }).to_string();
    let path = |end: &str| format!("/api/v1/shares/{secret}/{end}");
    let unlocked = nobody().ask(&server, "POST", &path("unlock"), &body);
    let reader = nobody().with("Cookie", &cookie_of(&unlocked));
    assert_eq!(sign_out(&server, &gone).status, 204);

    server.kill();
    server.restart();
    server.flush();
    assert_eq!([&mia, &gone].map(|it| status(&server, it)), [200, 401]);
    let report = |caller: &Caller| caller.ask(&server, "GET", &path("report"), "").status;
    // Links are read from the store.
    until(|| report(&reader) != 503, "the links were read");
    assert_eq!((report(&reader), report(&nobody())), (200, 401));
    // The CSRF token is still the session's, and the rights are those of the site.
    assert_eq!(sign_out(&server, &mia).status, 204);
    let other = mia.ask(&server, "GET", "/api/v1/sites/tom/report", "");
    assert_eq!(other.status, 401);

    // A copy of the cookie is worth nothing after any further restart either.
    assert_eq!(server.stop(), Some(0));
    server.restart();
    server.flush();
    assert_eq!([&mia, &gone].map(|it| status(&server, it)), [401, 401]);

    // Neither cookies nor CSRF tokens are on the disk or in the log.
    let csrf = |caller: &Caller| caller.headers[1].1.clone();
    assert_eq!(csrf(&mia).len(), 64);
    let planted = [value_of(&mia), value_of(&gone), value_of(&reader)].map(str::to_owned);
    for needle in planted.iter().chain(&[csrf(&mia), csrf(&gone)]) {
        for (path, bytes) in files(server.dir()) {
            assert!(!holds(&bytes, needle.as_bytes()), "{}", path.display());
        }
        assert!(!server.log().contains(needle.as_str()));
    }
}

#[test]
fn a_session_ends_at_every_collector_when_it_is_signed_out_at_one() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut engine = Engine::start(dir.path());
    let keys = dir.path().join("shared.keys");
    let here = collector(&engine, &keys);
    let mut there = collector(&engine, &keys);
    let [one, two, kept] = [(); 3].map(|()| creator(&here, &["mia"]));
    for caller in [&one, &two, &kept] {
        assert_eq!((status(&here, caller), status(&there, caller)), (200, 200));
    }

    assert_eq!(sign_out(&here, &one).status, 204);
    assert_eq!(status(&here, &one), 401, "where it was signed out, at once");
    until(|| status(&there, &one) == 401, "signed out elsewhere");
    assert_eq!(sign_out(&there, &two).status, 204, "opened elsewhere");
    until(|| status(&here, &two) == 401, "signed out elsewhere");
    let count = "SELECT count(), uniqExact(digest), any(toString(day)) FROM sign_outs FORMAT TSV";
    assert_eq!(
        engine.sql(count),
        "2\t2\t2026-03-12\n",
        "a digest and a day"
    );

    // A collector that was away learns of it before it accepts any session, and does not accept one
    // that it ended itself, even without the store.
    there.kill();
    let late = creator(&here, &["mia"]);
    assert_eq!(sign_out(&here, &late).status, 204);
    here.flush();
    engine.kill();
    there.restart();
    let seen = [&two, &late, &kept].map(|it| status(&there, it));
    assert_eq!(seen, [401, 503, 503]);
    engine.restart();
    until(|| status(&there, &kept) == 200, "the store was read");
    assert_eq!([&one, &two, &late].map(|it| status(&there, it)), [401; 3]);
}

#[test]
fn a_sign_out_while_the_store_is_away_says_so_and_holds() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut engine = Engine::start(dir.path());
    let keys = dir.path().join("shared.keys");
    // A store of one shard is one that other collectors can use too.
    let shard = format!("store.shards=[[\"{}\"]]", engine.url());
    let mut here = collector_of(&shard, &keys);
    let there = collector_of(&shard, &keys);
    let mia = creator(&here, &["mia"]);
    assert_eq!((status(&here, &mia), status(&there, &mia)), (200, 200));
    here.flush();
    there.flush();
    engine.kill();
    let answer = sign_out(&here, &mia);
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert!(answer.header("Set-Cookie").unwrap().contains("Max-Age=0"));
    assert!(
        answer.text().contains("other collectors"),
        "{}",
        answer.text()
    );
    let role = |server: &Server| nobody_or(server, &mia);
    assert_eq!((role(&here), role(&there)), (401, 200));

    here.kill();
    here.restart();
    assert_eq!(role(&here), 401, "the copy on disk has it");
    engine.restart();
    until(|| role(&there) == 401, "the store has it");
    until(|| status(&here, &mia) == 401, "and here it is gone");
    assert_eq!(
        engine.sql("SELECT count() FROM sign_outs FORMAT TSV"),
        "1\n"
    );
}

/// 200 if the session is valid, which needs no store; 401 if there is none.
fn nobody_or(server: &Server, caller: &Caller) -> u16 {
    let session = caller.json(server, "GET", "/api/v1/session", "");
    match session["role"].as_str() {
        Some(_) => 200,
        None => 401,
    }
}

#[test]
fn forged_changed_idle_and_old_cookies_get_one_answer() {
    let server = start(&[]);
    let mia = creator(&server, &["mia"]);
    let value = value_of(&mia).to_owned();
    assert_eq!(status(&server, &mia), 200);
    let refused = |caller: &Caller| {
        let answer = caller.ask(&server, "GET", REPORT, "");
        (answer.status, answer.text(), answer.headers.len())
    };
    let none = refused(&nobody());
    assert_eq!(none.0, 401);

    let bytes = URL_SAFE_NO_PAD.decode(&value).unwrap();
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1 << (place % 8);
        let forged = with_value(&mia, &URL_SAFE_NO_PAD.encode(changed));
        assert_eq!(refused(&forged), none, "byte {place}");
    }
    // Of a collector with another key.
    let other = start(&[]);
    let elsewhere = creator(&other, &["mia"]);
    assert_eq!(
        (status(&other, &elsewhere), refused(&elsewhere)),
        (200, none.clone())
    );
    // An unlocked link's cookie is no session.
    let (_, secret) = share(&server, "mia", json!({"password": PASSWORD}));
    let body = json!({ "password": PASSWORD }).to_string();
    let unlocked = nobody().ask(
        &server,
        "POST",
        &format!("/api/v1/shares/{secret}/unlock"),
        &body,
    );
    let unlocked = cookie_of(&unlocked);
    let unlocked = with_value(&mia, unlocked.split_once('=').unwrap().1);
    assert_eq!(refused(&unlocked), none);

    // Renewed by use after a minute, not before; a copy of a former cookie is idle sooner.
    let at = |minutes: i64| (NOON + minutes * MINUTE).to_string();
    let ask = |caller: &Caller, minutes| {
        caller
            .clone()
            .with("X-Footfall-Now", &at(minutes))
            .ask(&server, "GET", REPORT, "")
    };
    assert_eq!(ask(&mia, 0).header("Set-Cookie"), None);
    let used = ask(&mia, 29);
    let renewed = mia.clone().with("Cookie", &cookie_of(&used));
    assert_eq!(ask(&renewed, 29).header("Set-Cookie"), None);
    assert_eq!((ask(&mia, 30).status, ask(&renewed, 30).status), (401, 200));
    assert_eq!(refused(&mia), none, "idle");
    assert_eq!(ask(&renewed, 12 * 60).status, 401, "old");
    assert_eq!(refused(&renewed), none);
}

#[test]
fn a_key_is_replaced_without_signing_anybody_out_and_a_removed_one_opens_nothing() {
    let server = start(&[]);
    let file = server.dir().join("data/ledger/access.keys");
    let mode = fs::metadata(&file).unwrap().permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
        0o600
    );
    let before = creator(&server, &["mia"]);
    let reload = |text: &str| {
        let seen = server
            .log()
            .matches("reloaded the keys that encrypt sessions")
            .count();
        // The time of the last change has to differ.
        let former = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(&file, text).unwrap();
        let later = former + std::time::Duration::from_secs(1);
        fs::File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(later)
            .unwrap();
        server.signal(Signal::HUP);
        until(
            || {
                server
                    .log()
                    .matches("reloaded the keys that encrypt sessions")
                    .count()
                    > seen
            },
            "the keys are read again",
        );
    };
    let former = fs::read_to_string(&file).unwrap();
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_footfall"))
        .args(["access", "new-key", "k2"])
        .output()
        .unwrap();
    let new = String::from_utf8(out.stdout).unwrap();
    assert!(new.starts_with("k2 ") && new.len() == 47, "{new}");

    reload(&format!("{new}{former}"));
    let after = creator(&server, &["mia"]);
    assert_eq!([&before, &after].map(|it| status(&server, it)), [200, 200]);
    assert_eq!(
        sign_out(&server, &before).status,
        204,
        "its CSRF token is the same"
    );
    let before = creator(&server, &["mia"]);
    reload(&former);
    assert_eq!(
        status(&server, &after),
        401,
        "the key of before cannot read it"
    );
    assert_eq!(status(&server, &before), 401);
    reload(&new);
    assert_eq!([&before, &after].map(|it| status(&server, it)), [200, 200]);
}

#[test]
fn a_session_ends_with_the_password_or_platform_key_that_opened_it() {
    let hash = format!("access.password_hash={:?}", password_hash());
    let mut server = start(&[&hash]);
    let mia = creator(&server, &["mia"]);
    let body = json!({"user": "operator", "password": PASSWORD}).to_string();
    let signed_in = nobody().ask(&server, "POST", "/api/v1/session", &body);
    assert_eq!(signed_in.status, 200, "{}", signed_in.text());
    let boss = Caller::signed_in(&server, &signed_in);
    let statuses = |server: &Server| [&mia, &boss].map(|it| status(server, it));
    assert_eq!(statuses(&server), [200, 200]);

    let other = format!("access.password_hash={:?}", password_hash());
    for (setting, expected) in [
        (&*other, [200, 401]),
        (
            "platform.token_key=\"another secret of thirty-two letters\"",
            [401, 401],
        ),
    ] {
        server.stop();
        server.set(&[setting]);
        server.restart();
        server.flush();
        assert_eq!(statuses(&server), expected, "{setting}");
    }
}

#[test]
fn a_creator_of_more_sites_than_a_cookie_holds_is_told() {
    let server = start(&[]);
    let names =
        |count: usize| -> Vec<String> { (0..count).map(|n| format!("site-{n:05}")).collect() };
    let open = |count: usize| {
        let names = names(count);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        hand_over(&server, &sign(&claims(&names, &format!("of {count}"))))
    };
    let most = open(180);
    assert_eq!(most.status, 303, "{}", most.text());
    assert!(cookie_of(&most).len() <= 4096);
    let role = Caller::signed_in(&server, &most).json(&server, "GET", "/api/v1/session", "");
    assert_eq!(role["sites"].as_array().unwrap().len(), 180);
    let more = open(300);
    assert_eq!(more.status, 401, "{}", more.text());
    assert!(more.text().contains("bytes longer"), "{}", more.text());
    assert_eq!(operator().ask(&server, "GET", REPORT, "").status, 200);
}

/// The number of sign-ins in the audit log.
fn sign_ins(server: &Server) -> usize {
    let log = operator().json(server, "GET", "/api/v1/audit", "");
    let rows = log["rows"].as_array().unwrap().iter();
    rows.filter(|row| row["action"] == "sign_in").count()
}

fn sign_in(server: &Server, name: &str) {
    let token = sign(&claims(&["mia"], name));
    assert_eq!(hand_over(server, &token).status, 303);
}

/// They wait for the store at the process before, which ends.
#[test]
fn sign_ins_during_an_outage_of_the_store_are_in_the_audit_log_once_also_after_an_upgrade() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut engine = Engine::start(dir.path());
    let mut server = collector(&engine, &dir.path().join("shared.keys"));
    let before = sign_ins(&server);

    engine.kill();
    (0..3).for_each(|number| sign_in(&server, &format!("upgrade-{number}")));
    server.upgrade();
    (3..5).for_each(|number| sign_in(&server, &format!("upgrade-{number}")));
    server.upgrade();
    engine.restart();
    server.flush();
    assert_eq!(sign_ins(&server), before + 5, "{}", server.log());
}

/// They wait in a file of the journal's folder.
#[test]
fn sign_ins_during_an_outage_of_the_store_are_in_the_audit_log_once_also_after_stops() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut engine = Engine::start(dir.path());
    let mut server = collector(&engine, &dir.path().join("shared.keys"));
    let file = server.dir().join("data/journal/audit-queue");
    let before = sign_ins(&server);

    engine.kill();
    for round in 0..2 {
        (0..3).for_each(|number| sign_in(&server, &format!("stop-{round}-{number}")));
        assert_eq!(server.stop(), Some(0), "{}", server.log());
        assert!(file.exists());
        server.restart();
    }
    engine.restart();
    server.flush();
    assert_eq!(sign_ins(&server), before + 6, "{}", server.log());
    assert!(!file.exists());
    assert_eq!(server.stop(), Some(0));
    server.restart();
    server.flush();
    assert_eq!(sign_ins(&server), before + 6);
}
