//! The configuration as an operator meets it: `footfall check-config`, and what a start makes of it.

use std::path::Path;
use std::process::Command;

use crate::support::{DAY, SITES, Server, hit, view};

struct Checked {
    code: Option<i32>,
    out: String,
    err: String,
}

fn check(file: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Checked {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("footfall.toml");
    std::fs::write(&path, file).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_footfall"));
    command.args(["check-config", "--config"]).arg(&path).args(arguments).envs(environment.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Checked { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn value(checked: &Checked, pointer: &str) -> serde_json::Value {
    assert_eq!(checked.code, Some(0), "{}", checked.err);
    let config: serde_json::Value = serde_json::from_str(&checked.out).unwrap();
    config.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}")).clone()
}

#[test]
fn the_default_file_holds_every_key_and_its_default() {
    // The defaults are read from the file itself and every field must be in it, so a key that is missing or unknown fails here.
    let defaults = check("", &[], &[]);
    assert_eq!(value(&defaults, "/limits/body_bytes"), 8192);
    let file: toml::Table = include_str!("../../config/default.toml").parse().unwrap();
    let given = serde_json::to_value(file).unwrap();
    let used: serde_json::Value = serde_json::from_str(&defaults.out).unwrap();
    assert_eq!(given, used);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file_and_that_over_the_preset() {
    let file = "preset = \"alllinks\"\n[visitor.cookie]\nmax_age_secs = 3600\n[journal]\nsegment_secs = 7\n";
    assert_eq!(value(&check(file, &[], &[]), "/consent/cookie/name"), "al_cookie_consent");
    assert_eq!(value(&check(file, &[], &[]), "/visitor/cookie/max_age_secs"), 3600);
    let environment = [("FOOTFALL__JOURNAL__SEGMENT_SECS", "8")];
    assert_eq!(value(&check(file, &environment, &[]), "/journal/segment_secs"), 8);
    let set = ["--set", "journal.segment_secs=9"];
    assert_eq!(value(&check(file, &environment, &set), "/journal/segment_secs"), 9);
    assert_eq!(value(&check(file, &[], &["--preset", "ally"]), "/visitor/cookie/name"), "_analytics_d");
}

#[test]
fn the_three_presets_keep_their_policies_cookies_and_tiers() {
    for (preset, tiers, cookie, mode, visit) in [
        (
            "alllinks",
            &["necessary", "preferences", "analytics", "embeds"][..],
            "al_cookie_consent",
            "flag_cookie",
            ("al_visit", 86_400),
        ),
        (
            "ally",
            &["necessary", "preferences", "analytics"],
            "ally_cookie_consent",
            "flag_cookie",
            ("_analytics_d", 7_776_000),
        ),
        (
            "openedlink",
            &["necessary", "analytics", "marketing"],
            "ol_cookie_consent",
            "keyed_hash",
            ("ff_visit", 86_400),
        ),
    ] {
        let checked = check("", &[], &["--preset", preset]);
        assert_eq!(value(&checked, "/consent/tiers"), serde_json::json!(tiers));
        assert_eq!(value(&checked, "/consent/cookie/name"), cookie);
        assert_eq!(value(&checked, "/consent/cookie/max_age_secs"), 31_536_000);
        assert_eq!(value(&checked, "/visitor/mode"), mode);
        assert_eq!(
            (value(&checked, "/visitor/cookie/name"), value(&checked, "/visitor/cookie/max_age_secs")),
            (visit.0.into(), visit.1.into())
        );
        assert_eq!((value(&checked, "/signals/dnt"), value(&checked, "/signals/gpc")), ("deny".into(), "deny".into()));
        assert_eq!(value(&checked, "/consent/basis"), "opt_in");
    }
}

#[test]
fn a_bad_value_ends_with_code_2_its_key_and_what_is_accepted() {
    for (file, key, accepted) in [
        ("[limits]\nbody_byte = 1\n", "limits.body_byte", "body_bytes"),
        ("[limits]\nbody_bytes = 1\n", "limits.body_bytes", "512"),
        ("[limits]\nbody_bytes = \"many\"\n", "limits.body_bytes", "integer"),
        ("[server]\nprefix = \"ff\"\n", "server.prefix", "/ff"),
        ("[server]\nlisten = \"here\"\n", "server.listen", "socket address"),
        ("[signals]\ndnt = \"maybe\"\n", "signals.dnt", "deny"),
        ("[visitor]\nmode = \"fingerprint\"\n", "visitor.mode", "keyed_hash"),
        ("[store]\nurl = \"clickhouse:9000\"\n", "store.url", "http(s)://host:port"),
        ("[store]\nurl = \"http://user:pw@host\"\n", "store.url", "keys of their own"),
        ("[store]\npassword_file = \"/nonexistent\"\n", "store.password_file", "/nonexistent"),
        ("[[sites]]\nid = \"a b\"\nhosts = [\"a.test\"]\nzone = \"UTC\"\n", "sites[0].id", "letters"),
        ("[[sites]]\nid = \"a\"\nhosts = [\"A.test:80\"]\nzone = \"UTC\"\n", "sites[0].hosts[0]", "lower case"),
        ("[[sites]]\nid = \"a\"\nhosts = [\"a.test\"]\nzone = \"Berlin\"\n", "sites[0].zone", "Europe/Berlin"),
        ("[[profiles]]\nhost = \"a.test\"\npath = \"/u\"\nzone = \"UTC\"\n", "profiles[0].path", "/u/{profile}"),
        ("[test]\nclock = true\n[server]\nlisten = \"0.0.0.0:80\"\n", "test.clock", "loopback"),
        ("[consent]\nanalytics_tier = \"stats\"\n", "consent.analytics_tier", "necessary, analytics"),
        (
            "[consent]\nbasis = \"exempt_opt_out\"\n[visitor.cookie]\nmax_age_secs = 34128001\n",
            "visitor.cookie.max_age_secs",
            "34128000",
        ),
        ("[consent]\nbasis = \"exempt_opt_out\"\n[retention]\nkeep_days = 762\n", "retention.keep_days", "761"),
        ("[retention]\nfold_after_days = 35\n", "fold_after_days", "keep_days"),
        ("preset = \"acme\"\n", "preset", "alllinks, ally, openedlink"),
        (
            "[[compatible]]\nsites = []\naccept = [\"umami\"]\nbasis = \"consent_cookie\"\n",
            "compatible[0].sites",
            "lower than 1",
        ),
        (
            "[[compatible]]\nsites = [\"a b\"]\naccept = [\"umami\"]\nbasis = \"consent_cookie\"\n",
            "compatible[0].sites[0]",
            "letters",
        ),
        (
            "[[compatible]]\nsites = [\"*\", \"mia\"]\naccept = [\"umami\"]\nbasis = \"consent_cookie\"\n",
            "compatible[0].sites",
            "alone",
        ),
        (
            "[[compatible]]\nsites = [\"mia\"]\naccept = [\"matomo\"]\nbasis = \"consent_cookie\"\n",
            "compatible[0].accept[0]",
            "plausible, umami, goatcounter",
        ),
        (
            "[[compatible]]\nsites = [\"mia\"]\naccept = [\"umami\", \"umami\"]\nbasis = \"consent_cookie\"\n",
            "compatible[0].accept",
            "once",
        ),
        ("[[compatible]]\nsites = [\"mia\"]\naccept = [\"umami\"]\n", "compatible[0]", "basis"),
        (
            "[[compatible]]\nsites = [\"mia\"]\naccept = [\"umami\"]\nbasis = \"trust\"\n",
            "compatible[0].basis",
            "consent_cookie, declared",
        ),
        (
            "[[compatible]]\nsites = [\"mia\"]\naccept = [\"umami\"]\nbasis = \"declared\"\n",
            "compatible[0].declared",
            "20 characters",
        ),
        (
            "[[compatible]]\nsites = [\"mia\"]\naccept = [\"umami\"]\nbasis = \"declared\"\ndeclared = \"it is fine\"\n",
            "compatible[0].declared",
            "20 characters",
        ),
        (
            "[[compatible]]\nsites = [\"mia\"]\naccept = [\"umami\"]\nbasis = \"consent_cookie\"\ndeclared = \"They all said yes, somewhere.\"\n",
            "compatible[0].declared",
            "basis declared",
        ),
        (
            "[[compatible]]\nsites = [\"mia\"]\naccept = [\"umami\"]\nbasis = \"consent_cookie\"\ntoken = \"fifteen letters\"\n",
            "compatible[0].token",
            "at least 16",
        ),
        (
            "[[compatible]]\nsites = [\"mia\"]\naccept = [\"umami\"]\nbasis = \"consent_cookie\"\ntoken_file = \"/nonexistent\"\n",
            "compatible[0].token_file",
            "/nonexistent",
        ),
        (
            "[[compatible]]\nsites = [\"mia\"]\naccept = [\"umami\"]\nbasis = \"consent_cookie\"\n[[compatible]]\nsites = [\"mia\"]\naccept = [\"umami\"]\nbasis = \"consent_cookie\"\n",
            "compatible[1]",
            "compatible[0] already",
        ),
        (
            "[[compatible]]\nsites = [\"mia\"]\naccept = [\"umami\"]\nbasis = \"consent_cookie\"\n[[compatible]]\nsites = [\"*\"]\naccept = [\"umami\"]\nbasis = \"consent_cookie\"\n",
            "compatible[1]",
            "every site",
        ),
        ("[limits\n", "footfall.toml", ""),
    ] {
        let checked = check(file, &[], &[]);
        assert_eq!(checked.code, Some(2), "{file}\n{}", checked.out);
        assert!(checked.err.contains(key), "{file}\n{}", checked.err);
        assert!(checked.err.contains(accepted), "{file}\n{}", checked.err);
        assert!(checked.out.is_empty());
    }
}

#[test]
fn secrets_come_from_files_and_never_print() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "TOPSECRET TOPSECRET\n").unwrap();
    let long = dir.path().join("long");
    std::fs::write(&long, "A LONGER SECRET OF A SITE\n").unwrap();
    let file = format!(
        "[report]\ntoken_file = {secret:?}\n[store]\npassword = \"ALSOSECRET\"\n\
         [[compatible]]\nsites = [\"mia\"]\naccept = [\"umami\"]\nbasis = \"consent_cookie\"\ntoken_file = {long:?}\n"
    );
    let checked = check(&file, &[], &[]);
    assert_eq!((value(&checked, "/report/token"), value(&checked, "/store/password")), ("***".into(), "***".into()));
    assert_eq!(value(&checked, "/compatible/0/token"), "***");
    assert!(!checked.out.contains("SECRET") && !checked.err.contains("SECRET"));
}

/// As the sample's are. The engine once refused every insert there.
#[test]
fn folders_may_be_named_from_where_the_program_is_started() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let up = "../".repeat(Path::new(env!("CARGO_MANIFEST_DIR")).components().count() - 1);
    let from_here =
        |name: &str| format!("{name}.dir=\"{up}{}/{name}\"", dir.path().strip_prefix("/").unwrap().display());
    let folders = ["journal", "ledger", "store"].map(from_here);
    let server = Server::start_with(SITES, &folders.each_ref().map(String::as_str));
    assert_eq!(hit(&mut server.client(), &view("/u/mia"), &[]).status, 202);
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 1);
    let made = ["journal/lock", "ledger/lock", "store/status"].map(|file| dir.path().join(file).is_file());
    assert_eq!((made, server.metric("footfall_insert_failures_total")), ([true; 3], 0));
}
