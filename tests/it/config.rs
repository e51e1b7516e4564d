//! Configuration for operators: `footfall check-config`, the order of precedence, and errors at the
//! start.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::{DAY, SITES, Server, hit, view};

pub struct Checked {
    pub code: Option<i32>,
    out: String,
    pub err: String,
}

pub fn check(file: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Checked {
    run(
        "check-config",
        file,
        environment
            .iter()
            .map(|(name, value)| (name.into(), value.into())),
        arguments,
    )
}

/// In a folder of its own, without an engine or a country file.
fn run(
    command: &str,
    file: &str,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    arguments: &[&str],
) -> Checked {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("footfall.toml");
    std::fs::write(&path, file).unwrap();
    let mut started = Command::new(env!("CARGO_BIN_EXE_footfall"));
    started
        .args([command, "--config"])
        .arg(&path)
        .args(arguments)
        .envs(environment)
        .current_dir(dir.path());
    let output = started.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Checked {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

fn value(checked: &Checked, pointer: &str) -> serde_json::Value {
    assert_eq!(checked.code, Some(0), "{}", checked.err);
    let config: serde_json::Value = serde_json::from_str(&checked.out).unwrap();
    config
        .pointer(pointer)
        .unwrap_or_else(|| panic!("no {pointer}"))
        .clone()
}

#[test]
fn the_default_file_holds_every_key_and_its_default() {
    // The defaults are read from the file itself, and every field must be in it, so a missing or
    // unknown key fails here.
    let defaults = check("", &[], &[]);
    assert_eq!(value(&defaults, "/limits/body_bytes"), 8192);
    let file: toml::Table = include_str!("../../config/default.toml").parse().unwrap();
    let given = serde_json::to_value(file).unwrap();
    let mut used: serde_json::Value = serde_json::from_str(&defaults.out).unwrap();
    used.as_object_mut().unwrap().remove("memory");
    assert_eq!(given, used);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file_and_that_over_the_preset() {
    let file = "preset = \"alllinks\"\n[visitor.cookie]\nmax_age_secs = 3600\n[journal]\nsegment_secs = 7\n";
    assert_eq!(
        value(&check(file, &[], &[]), "/consent/cookie/name"),
        "al_cookie_consent"
    );
    assert_eq!(
        value(&check(file, &[], &[]), "/visitor/cookie/max_age_secs"),
        3600
    );
    let environment = [("FOOTFALL__JOURNAL__SEGMENT_SECS", "8")];
    assert_eq!(
        value(&check(file, &environment, &[]), "/journal/segment_secs"),
        8
    );
    let set = ["--set", "journal.segment_secs=9"];
    assert_eq!(
        value(&check(file, &environment, &set), "/journal/segment_secs"),
        9
    );
    assert_eq!(
        value(
            &check(file, &[], &["--preset", "ally"]),
            "/visitor/cookie/name"
        ),
        "_analytics_d"
    );
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
            (
                value(&checked, "/visitor/cookie/name"),
                value(&checked, "/visitor/cookie/max_age_secs")
            ),
            (visit.0.into(), visit.1.into())
        );
        assert_eq!(
            (
                value(&checked, "/signals/dnt"),
                value(&checked, "/signals/gpc")
            ),
            ("deny".into(), "deny".into())
        );
        assert_eq!(value(&checked, "/consent/basis"), "opt_in");
    }
}

#[test]
fn a_bad_value_ends_with_code_2_its_key_and_what_is_accepted() {
    for (file, key, accepted) in [
        (
            "[limits]\nbody_byte = 1\n",
            "limits.body_byte",
            "body_bytes",
        ),
        ("[limits]\nbody_bytes = 1\n", "limits.body_bytes", "512"),
        (
            "[limits]\nbody_bytes = \"many\"\n",
            "limits.body_bytes",
            "integer",
        ),
        ("[server]\nprefix = \"ff\"\n", "server.prefix", "/ff"),
        (
            "[server]\nlisten = \"here\"\n",
            "server.listen",
            "socket address",
        ),
        ("[signals]\ndnt = \"maybe\"\n", "signals.dnt", "deny"),
        (
            "[visitor]\nmode = \"fingerprint\"\n",
            "visitor.mode",
            "keyed_hash",
        ),
        (
            "[store]\nurl = \"clickhouse:9000\"\n",
            "store.url",
            "http(s)://host:port",
        ),
        (
            "[store]\nurl = \"http://user:pw@host\"\n",
            "store.url",
            "keys of their own",
        ),
        (
            "[store]\npassword_file = \"/nonexistent\"\n",
            "store.password_file",
            "/nonexistent",
        ),
        (
            "[[sites]]\nid = \"a b\"\nhosts = [\"a.test\"]\nzone = \"UTC\"\n",
            "sites[0].id",
            "letters",
        ),
        (
            "[[sites]]\nid = \"a\"\nhosts = [\"A.test:80\"]\nzone = \"UTC\"\n",
            "sites[0].hosts[0]",
            "lower case",
        ),
        (
            "[[sites]]\nid = \"a\"\nhosts = [\"a.test\"]\nzone = \"Berlin\"\n",
            "sites[0].zone",
            "Europe/Berlin",
        ),
        (
            "[[profiles]]\nhost = \"a.test\"\npath = \"/u\"\nzone = \"UTC\"\n",
            "profiles[0].path",
            "/u/{profile}",
        ),
        (
            "[visitor]\nmode = \"flag_cookie\"\n[[profiles]]\nhost = \"a.test\"\npath = \"/a;b/{profile}\"\nzone = \"UTC\"\n",
            "profiles[0].path",
            "semicolons",
        ),
        (
            "[visitor]\nmode = \"flag_cookie\"\n[[profiles]]\nhost = \"a.test\"\npath = \"/\u{fc}ber/{profile}\"\nzone = \"UTC\"\n",
            "profiles[0].path",
            "ASCII",
        ),
        (
            "[test]\nclock = true\n[server]\nlisten = \"0.0.0.0:80\"\n",
            "test.clock",
            "loopback",
        ),
        (
            "[consent]\nanalytics_tier = \"stats\"\n",
            "consent.analytics_tier",
            "necessary, analytics",
        ),
        (
            "[consent]\nbasis = \"exempt_opt_out\"\n[visitor.cookie]\nmax_age_secs = 34128001\n",
            "visitor.cookie.max_age_secs",
            "34128000",
        ),
        (
            "[consent]\nbasis = \"exempt_opt_out\"\n[retention]\nkeep_days = 762\n",
            "retention.keep_days",
            "761",
        ),
        (
            "[retention]\nfold_after_days = 35\n",
            "fold_after_days",
            "keep_days",
        ),
        (
            "preset = \"acme\"\n",
            "preset",
            "alllinks, ally, openedlink",
        ),
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
        (
            "[[compatible]]\nsites = [\"mia\"]\naccept = [\"umami\"]\n",
            "compatible[0]",
            "basis",
        ),
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
    assert_eq!(
        (
            value(&checked, "/report/token"),
            value(&checked, "/store/password")
        ),
        ("***".into(), "***".into())
    );
    assert_eq!(value(&checked, "/compatible/0/token"), "***");
    assert!(!checked.out.contains("SECRET") && !checked.err.contains("SECRET"));
}

/// What both `check-config` and `serve` print about a file, one line each; neither starts.
pub fn refused(file: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let checked = check(file, environment, &[]);
    assert_eq!(
        (checked.code, checked.out.as_str()),
        (Some(2), ""),
        "{file}"
    );
    let served = run(
        "serve",
        file,
        environment
            .iter()
            .map(|(name, value)| (name.into(), value.into())),
        &[],
    );
    // Each has a folder of its own.
    let lines = |checked: &Checked| -> Vec<String> {
        let of_folder = |line: &str| {
            line.rfind("/footfall.toml")
                .map_or(line.to_owned(), |at| line[at + 1..].to_owned())
        };
        checked.err.lines().map(of_folder).collect()
    };
    assert_eq!(
        (served.code, lines(&served)),
        (Some(2), lines(&checked)),
        "{file}"
    );
    lines(&checked)
}

#[test]
fn the_environment_is_read_strictly_and_every_type_can_be_given() {
    for (variable, text, pointer, expected) in [
        (
            "FOOTFALL__PRESET",
            "ally",
            "/consent/cookie/name",
            json!("ally_cookie_consent"),
        ),
        (
            "FOOTFALL__STORE__DATABASE",
            "007",
            "/store/database",
            json!("007"),
        ),
        (
            "FOOTFALL__CONSENT__SITE",
            "1e5",
            "/consent/site",
            json!("1e5"),
        ),
        (
            "FOOTFALL__ACCESS__USER",
            "12e34567",
            "/access/user",
            json!("12e34567"),
        ),
        (
            "FOOTFALL__ACCESS__USER",
            "true",
            "/access/user",
            json!("true"),
        ),
        (
            "FOOTFALL__ACCESS__USER",
            "[1]",
            "/access/user",
            json!("[1]"),
        ),
        (
            "FOOTFALL__SERVER__WORKERS",
            "3",
            "/server/workers",
            json!(3),
        ),
        (
            "FOOTFALL__MAIL__ENABLED",
            "true",
            "/mail/enabled",
            json!(true),
        ),
        (
            "FOOTFALL__MAIL__TEMPLATES",
            "welcome,bill",
            "/mail/templates",
            json!(["welcome", "bill"]),
        ),
        (
            "FOOTFALL__MAIL__TEMPLATES",
            "[\"welcome\", \"bill\"]",
            "/mail/templates",
            json!(["welcome", "bill"]),
        ),
        (
            "FOOTFALL__PROXY__TRUSTED",
            "10.0.0.0/8, ::1/128",
            "/proxy/trusted",
            json!(["10.0.0.0/8", "::1/128"]),
        ),
        ("FOOTFALL__PROXY__TRUSTED", "", "/proxy/trusted", json!([])),
        (
            "FOOTFALL__CONSENT__COOKIE__NAME",
            "a",
            "/consent/cookie/name",
            json!("a"),
        ),
        (
            "FOOTFALL__PROFILES",
            "[{host = \"a.test\", path = \"/{profile}\", zone = \"UTC\"}]",
            "/profiles/0/host",
            json!("a.test"),
        ),
    ] {
        assert_eq!(
            value(&check("", &[(variable, text)], &[]), pointer),
            expected,
            "{variable}={text}"
        );
    }
    // The flag wins over the variable, and the variable over the file.
    let file = "preset = \"alllinks\"\n";
    let cookie = |environment: &[(&str, &str)], flags: &[&str]| {
        value(&check(file, environment, flags), "/preset")
    };
    assert_eq!(
        cookie(&[("FOOTFALL__PRESET", "ally")], &["--preset", "openedlink"]),
        "openedlink"
    );
    assert_eq!(cookie(&[("FOOTFALL__PRESET", "")], &[]), "");
}

#[test]
fn what_the_environment_says_wrongly_is_an_error_that_names_the_variable() {
    for (variable, text, said) in [
        (
            "FOOTFALL__SERVER__WORKERS",
            "1.5",
            "FOOTFALL__SERVER__WORKERS: server.workers: must be an integer",
        ),
        ("FOOTFALL__SERVER__WORKERS", "true", "must be an integer"),
        ("FOOTFALL__SERVER__WORKERS", "\"2\"", "must be an integer"),
        ("FOOTFALL__SERVER__WORKERS", "", "must be an integer"),
        ("FOOTFALL__SERVER__WORKERS", "-1", "from 0"),
        (
            "FOOTFALL__SERVER__WORKERS",
            "257",
            "FOOTFALL__SERVER__WORKERS: server.workers: must be at most 256",
        ),
        ("FOOTFALL__MAIL__ENABLED", "yes", "must be true or false"),
        ("FOOTFALL__MAIL__ENABLED", "1", "must be true or false"),
        ("FOOTFALL__MAIL__TEMPLATES", "[1]", "must be text"),
        (
            "FOOTFALL__MAIL__TEMPLATES",
            "[welcome",
            "must be a list of texts",
        ),
        (
            "FOOTFALL__PROXY__TRUSTED",
            "10.0.0.0/8,here",
            "must be networks",
        ),
        ("FOOTFALL__PROFILES", "a.test", "must be a list of tables"),
        (
            "FOOTFALL__PRESET",
            "acme",
            "FOOTFALL__PRESET: preset: there is no such preset; accepted are: alllinks",
        ),
        (
            "FOOTFALL__SERVER_WORKERS",
            "2",
            "did you mean FOOTFALL__SERVER__WORKERS?",
        ),
        (
            "FOOTFALL_SERVER_WORKERS",
            "2",
            "did you mean FOOTFALL__SERVER__WORKERS?",
        ),
        (
            "footfall__server__workers",
            "2",
            "did you mean FOOTFALL__SERVER__WORKERS?",
        ),
        ("FOOTFALL_PRESET", "ally", "did you mean FOOTFALL__PRESET?"),
        (
            "FOOTFALL__REPORT__TOKN",
            "SECRETSECRETSECRET",
            "did you mean FOOTFALL__REPORT__TOKEN?",
        ),
        (
            "FOOTFALL__SERVER__STOP_SECS",
            "20",
            "is now FOOTFALL__SERVER__SHUTDOWN_SECS",
        ),
    ] {
        let told = refused("", &[(variable, text)]);
        assert!(
            told.len() == 1 && told[0].contains(said),
            "{variable}={text}: {told:?}"
        );
        assert!(
            told[0].starts_with(&format!("footfall: {variable}: ")) && !told[0].contains("SECRET"),
            "{told:?}"
        );
    }
}

#[test]
fn a_former_name_of_a_key_is_an_error_that_names_the_present_one() {
    let file = "[limits]\nbatch_hits = 10\n\n[consent]\non_version = \"ask_all\"\n\n[health]\npublication_late_secs = 60\n";
    assert_eq!(
        refused(file, &[]),
        [
            "footfall.toml:5: consent.on_version: is now consent.reprompt",
            "footfall.toml:8: health.publication_late_secs: is now health.publication_overdue_secs",
            "footfall.toml:2: limits.batch_hits: is now limits.hits_per_beacon",
        ]
    );

    let checked = check("", &[], &["--set", "mail.life_days=9"]);
    assert!(
        checked.code == Some(2)
            && checked
                .err
                .contains("mail.life_days: is now mail.expiry_days"),
        "{}",
        checked.err
    );
}

#[test]
fn bytes_that_are_no_text_are_an_error_where_they_are_ours_and_nothing_where_they_are_not() {
    let bad = || OsString::from_vec(vec![b'a', 0xff]);
    let foreign = run(
        "check-config",
        "",
        [("SOMEBODY_ELSES".into(), bad()), (bad(), "x".into())],
        &[],
    );
    assert_eq!((foreign.code, foreign.err.as_str()), (Some(0), ""));
    let own = run(
        "check-config",
        "",
        [("FOOTFALL__ACCESS__USER".into(), bad())],
        &[],
    );
    let said = "footfall: FOOTFALL__ACCESS__USER: access.user: must be UTF-8\n";
    assert_eq!((own.code, own.err.as_str()), (Some(2), said));
}

#[test]
fn a_file_is_read_strictly() {
    for (line, said) in [
        ("server.workers = 1.5", "must be an integer"),
        ("server.workers = true", "must be an integer"),
        ("server.workers = \"2\"", "must be an integer"),
        ("server.workers = -1", "from 0"),
        ("server.workers = 99999999999999999999", ""),
        ("mail.enabled = 1", "must be true or false"),
        ("mail.enabled = \"true\"", "must be true or false"),
        ("access.user = 7", "must be text"),
        ("mail.templates = \"welcome\"", "must be a list"),
        ("mail.templates = [\"welcome\", 7]", "must be text"),
        ("server = 8080", "must be a table"),
        ("sites = [\"mia\"]", "must be a table"),
        (
            "sites = [{ id = \"mia\", hosts = [], zone = 1 }]",
            "sites[0].zone: must be text",
        ),
        (
            "sites = [{ id = \"mia\", hosts = [], zone = \"UTC\", max_amount = \"9\" }]",
            "must be an integer",
        ),
        (
            "sites = [{ id = \"mia\", hosts = [] }]",
            "sites[0]: lacks zone",
        ),
    ] {
        let told = refused(&format!("# a remark\n{line}\n"), &[]);
        assert!(
            told.len() == 1 && told[0].starts_with("footfall.toml:2: "),
            "{line}: {told:?}"
        );
        assert!(told[0].contains(said), "{line}: {told:?}");
    }
    // A value of the right type that a later layer replaces is not validated.
    let replaced = check(
        "server.workers = 999\n",
        &[("FOOTFALL__SERVER__WORKERS", "2")],
        &[],
    );
    assert_eq!(value(&replaced, "/server/workers"), 2);
}

#[test]
fn all_errors_are_told_at_once_with_file_line_key_and_what_is_accepted() {
    let file = r#"
[server]
workers = "two"
prefx = "/ff"

[limits]
body_bytes = 1
hits_per_beacon = 21

[consent]
tiers = ["necessary", "analytics", "analytics"]
basis = "maybe"

[report]
k = 30

[[sites]]
id = "a b"
hosts = ["a.test"]
zone = "Berlin"

[[sites]]
id = "tom"
hosts = ["a.test"]
"#;
    let told = refused(
        file,
        &[
            ("FOOTFALL__MAIL__ENABLED", "maybe"),
            ("FOOTFALL_REPORT_K", "5"),
        ],
    );
    let expected = [
        ("footfall.toml:3: server.workers: ", "an integer"),
        ("footfall.toml:4: server.prefx: ", "did you mean prefix?"),
        ("footfall.toml:7: limits.body_bytes: ", "at least 512"),
        ("footfall.toml:8: limits.hits_per_beacon: ", "at most 20"),
        ("footfall.toml:11: consent.tiers: ", "analytics twice"),
        (
            "footfall.toml:12: consent.basis: ",
            "opt_in, exempt_opt_out",
        ),
        (
            "footfall.toml:14: report.share_k: ",
            "at least report.k, which is 30",
        ),
        ("footfall.toml:18: sites[0].id: ", "letters"),
        ("footfall.toml:20: sites[0].zone: ", "Europe/Berlin"),
        ("footfall.toml:22: sites[1]: ", "lacks zone"),
        ("FOOTFALL__MAIL__ENABLED: mail.enabled: ", "true or false"),
        ("FOOTFALL_REPORT_K: ", "did you mean FOOTFALL__REPORT__K?"),
    ];
    for (begin, said) in expected {
        let line = told
            .iter()
            .find(|line| line.trim_start_matches("footfall: ").starts_with(begin));
        assert!(
            line.is_some_and(|line| line.contains(said)),
            "{begin}: {told:#?}"
        );
    }
    // The hosts of entries that are invalid alone are not compared.
    assert_eq!(told.len(), expected.len(), "{told:#?}");

    let flag = check(
        "",
        &[],
        &[
            "--set",
            "limits.body_bytes=1",
            "--set",
            "limits.bdy_bytes=1",
        ],
    );
    assert!(
        flag.err
            .contains("--set limits.body_bytes: limits.body_bytes: must be at least 512"),
        "{}",
        flag.err
    );
    assert!(
        flag.err.contains("--set limits.bdy_bytes: ")
            && flag.err.contains("did you mean body_bytes?"),
        "{}",
        flag.err
    );
}

#[test]
fn check_config_refuses_what_a_start_refuses() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let put = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (junk, empty, short) = (
        put("junk", "junk\n"),
        put("empty", " \n"),
        put("short", "fifteen letters\n"),
    );
    std::fs::create_dir(dir.path().join("texts")).unwrap();
    put("texts/nl.toml", "lang = \"nl\"\n");
    let texts = dir.path().join("texts").display().to_string();
    std::os::unix::fs::symlink(dir.path().join("texts"), dir.path().join("link")).unwrap();
    let link = dir.path().join("link").display().to_string();

    let site = |id: &str, host: &str| {
        format!("[[sites]]\nid = \"{id}\"\nhosts = [\"{host}\"]\nzone = \"UTC\"\n")
    };
    let profile = "[[profiles]]\nhost = \"a.test\"\npath = \"/{profile}\"\nzone = \"UTC\"\n";
    let cases = [
        (
            "log.filter = \"footfall=loud\"\n".to_owned(),
            "log.filter",
            "must be a filter",
        ),
        (
            "policy.file = \"/nonexistent\"\n".to_owned(),
            "policy.file",
            "/nonexistent",
        ),
        (
            "data.countries = \"/nonexistent\"\n".to_owned(),
            "data.countries",
            "/nonexistent",
        ),
        (
            format!("data.countries = \"{junk}\"\n"),
            "data.countries",
            "mmdb",
        ),
        (
            "store.library = \"/nonexistent\"\n".to_owned(),
            "store.library",
            "no such file",
        ),
        (
            "consent.texts_dir = \"/nonexistent\"\n".to_owned(),
            "consent.texts_dir",
            "/nonexistent",
        ),
        (
            format!("consent.texts_dir = \"{texts}\"\n"),
            "consent.texts_dir",
            "nl.toml",
        ),
        (
            format!("consent.key_file = \"{junk}\"\n"),
            "consent.key_file",
            "line 1",
        ),
        (
            format!("consent.key_file = \"{empty}\"\n"),
            "consent.key_file",
            "holds no key",
        ),
        (
            format!("access.key_file = \"{junk}\"\n"),
            "access.key_file",
            "line 1",
        ),
        (
            "ledger.key_file = \"/nonexistent\"\n".to_owned(),
            "ledger.key_file",
            "/nonexistent",
        ),
        (
            format!("ledger.key_file = \"{junk}\"\n"),
            "ledger.key_file",
            "junk",
        ),
        (
            format!("mail.enabled = true\nmail.key_file = \"{junk}\"\n"),
            "mail.key_file",
            "line 1",
        ),
        (
            format!("mail.enabled = true\nmail.agents_file = \"{junk}\"\n"),
            "mail.agents_file",
            "junk",
        ),
        (
            "mail.enabled = true\nmail.networks_file = \"/nonexistent\"\n".to_owned(),
            "mail.networks_file",
            "/nonexistent",
        ),
        (
            "platform.token_key = \"no key\"\n".to_owned(),
            "platform.token_key",
            "EdDSA",
        ),
        (
            format!("platform.token_key_file = \"{junk}\"\n"),
            "platform.token_key_file",
            "EdDSA",
        ),
        (
            format!("report.token_file = \"{empty}\"\n"),
            "report.token_file",
            "is empty",
        ),
        (
            format!("report.token_file = \"{short}\"\n"),
            "report.token_file",
            "at least 16 bytes",
        ),
        (
            "report.token = \"fifteen letters\"\n".to_owned(),
            "report.token",
            "at least 16 bytes",
        ),
        (
            format!("store.password_file = \"{empty}\"\n"),
            "store.password_file",
            "is empty",
        ),
        (
            format!("access.password_hash_file = \"{empty}\"\n"),
            "access.password_hash_file",
            "is empty",
        ),
        (
            format!("platform.token_key_file = \"{empty}\"\n"),
            "platform.token_key_file",
            "is empty",
        ),
        (
            format!(
                "[[compatible]]\nsites = [\"a\"]\naccept = [\"umami\"]\nbasis = \"consent_cookie\"\ntoken_file = \"{empty}\"\n"
            ),
            "compatible[0].token_file",
            "is empty",
        ),
        (
            format!(
                "[[compatible]]\nsites = [\"a\"]\naccept = [\"umami\"]\nbasis = \"consent_cookie\"\ntoken_file = \"{short}\"\n"
            ),
            "compatible[0].token_file",
            "at least 16 bytes",
        ),
        (
            "report.share_k = 4\n".to_owned(),
            "report.share_k",
            "at least report.k, which is 5",
        ),
        (
            "store.cluster = \"c\"\n".to_owned(),
            "store.cluster",
            "store.url",
        ),
        (
            "ledger.dir = \"./var//x/../journal\"\njournal.dir = \"var/x/../journal\"\n".to_owned(),
            "ledger.dir",
            "journal.dir",
        ),
        (
            format!("journal.dir = \"{texts}\"\nstore.dir = \"{link}\"\n"),
            "store.dir",
            "journal.dir",
        ),
        (
            format!("journal.dir = \"{junk}/journal\"\n"),
            "journal.dir",
            "must be a folder",
        ),
        (
            site("a", "a.test") + &site("a", "b.test"),
            "sites[1].id",
            "sites[0] already",
        ),
        (
            site("a", "a.test") + &site("b", "a.test"),
            "sites[1].hosts[0]",
            "sites[0] already",
        ),
        (format!("{profile}{profile}"), "profiles[1]", "profiles[0]"),
        (
            "mail.templates = [\"a\", \"a\"]\n".to_owned(),
            "mail.templates",
            "a twice",
        ),
    ];
    for (file, key, said) in cases {
        let told = refused(&file, &[]);
        assert!(
            told.len() == 1 && told[0].contains(&format!(": {key}: ")),
            "{file}{told:?}"
        );
        assert!(
            told[0].contains("footfall.toml:") && told[0].contains(said),
            "{file}{told:?}"
        );
    }
    assert!(!dir.path().join("journal").exists());
}

#[test]
fn a_question_that_changed_without_a_new_version_is_found_before_the_start() {
    let mut server = Server::start(SITES);
    assert_eq!(server.stop(), Some(0));
    let file = std::fs::read_to_string(server.dir().join("footfall.toml")).unwrap();
    assert_eq!(check(&file, &[], &[]).code, Some(0));
    let entry = "\n[[register]]\ntier = \"analytics\"\nname = \"_new\"\nprovider = \"x\"\npurpose = \"y\"\nlife_secs = 1\n";
    let told = refused(&(file + entry), &[]).join("\n");
    assert!(
        told.contains("consent.version") && told.contains("+ analytics: _new of x, y, 1 s"),
        "{told}"
    );
}

/// As in the sample configuration. The engine once refused every insert there.
#[test]
fn folders_may_be_named_from_where_the_program_is_started() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let up = "../".repeat(Path::new(env!("CARGO_MANIFEST_DIR")).components().count() - 1);
    let from_here = |name: &str| {
        format!(
            "{name}.dir=\"{up}{}/{name}\"",
            dir.path().strip_prefix("/").unwrap().display()
        )
    };
    let folders = ["journal", "ledger", "store"].map(from_here);
    let server = Server::start_with(SITES, &folders.each_ref().map(String::as_str));
    assert_eq!(hit(&mut server.client(), &view("/u/mia"), &[]).status, 202);
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 1);
    let made =
        ["journal/lock", "ledger/lock", "store/status"].map(|file| dir.path().join(file).is_file());
    assert_eq!(
        (made, server.metric("footfall_insert_failures_total")),
        ([true; 3], 0)
    );
}

#[test]
fn the_memory_is_divided_and_what_does_not_fit_into_it_does_not_start() {
    let part = |checked: &Checked, of: &str, field: &str| {
        let memory = value(checked, "/memory");
        let part = memory["parts"]
            .as_array()
            .unwrap()
            .iter()
            .find(|part| part["of"] == of)
            .unwrap()
            .clone();
        part[field].as_u64().unwrap()
    };
    let (small, large) = (
        check("", &[], &["--set", "limits.memory_bytes=400000000"]),
        check("[limits]\nmemory_bytes = 4000000000", &[], &[]),
    );
    for cap in [
        "limits.visitors",
        "limits.visitor_items",
        "limits.sites",
        "limits.hit_ids",
        "server.max_connections",
    ] {
        let (few, many) = (part(&small, cap, "most"), part(&large, cap, "most"));
        assert!(few >= 1000 && many > 5 * few, "{cap}: {few}, {many}");
    }
    for (checked, budget) in [(&small, 400_000_000), (&large, 4_000_000_000_u64)] {
        let (divided, told) = (
            value(checked, "/memory/divided"),
            value(checked, "/memory/limits.memory_bytes"),
        );
        assert_eq!(told, budget);
        let divided = divided.as_u64().unwrap();
        assert!(
            (budget * 8 / 10..=budget).contains(&divided),
            "{divided} of {budget}"
        );
    }

    // One that is set is kept, and the others have less.
    let set = check("[limits]\nvisitors = 1000000\n", &[], &[]);
    let default = check("", &[], &[]);
    assert_eq!(part(&set, "limits.visitors", "most"), 1_000_000);
    assert!(part(&set, "limits.hit_ids", "most") < part(&default, "limits.hit_ids", "most"));

    let refused = check("[limits]\nvisitors = 50000000\n", &[], &[]);
    assert_eq!(refused.code, Some(2));
    let said = ["limits.memory_bytes: must be at least ", "limits.visitors "];
    assert!(
        said.iter().all(|said| refused.err.contains(said)),
        "{}",
        refused.err
    );
}
