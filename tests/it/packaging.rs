//! The files an operator installs, held against the configuration: the image, the compose file, the
//! Kubernetes manifest and the systemd unit set keys that exist, write where they may, and wait as
//! long as a stop takes. `make packaging` starts them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use footfall::config::{DEFAULTS, is_variable};
use regex::Regex;
use toml::{Table, Value};

const FILES: [&str; 4] = [
    "Dockerfile",
    "docker-compose.yml",
    "packaging/kubernetes/footfall.yaml",
    "packaging/systemd/footfall.service",
];

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The first number that the pattern captures.
fn number(file: &str, pattern: &str) -> u64 {
    let text = read(file);
    let found = Regex::new(pattern)
        .unwrap()
        .captures(&text)
        .unwrap_or_else(|| panic!("{file}: no {pattern}"));
    found[1].parse().unwrap()
}

/// Variables that a file sets, with their values.
fn variables(file: &str) -> BTreeMap<String, String> {
    let pattern =
        Regex::new(r#"(FOOTFALL__[A-Z0-9_]+)\s*(?:=|:|\n\s*value:)\s*"?([^\s"\\]*)"#).unwrap();
    let text = read(file);
    pattern
        .captures_iter(&text)
        .map(|found| (found[1].to_owned(), found[2].to_owned()))
        .collect()
}

/// Keys whose default lies in the working folder: what a collector writes.
fn written_keys() -> Vec<String> {
    fn walk(table: &Table, around: &str, found: &mut Vec<String>) {
        for (name, value) in table {
            let key = if around.is_empty() {
                name.clone()
            } else {
                format!("{around}.{name}")
            };
            match value {
                Value::Table(table) => walk(table, &key, found),
                Value::String(text) if text.starts_with("var/") => found.push(key),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    walk(&DEFAULTS.parse().unwrap(), "", &mut found);
    found
}

fn variable_of(key: &str) -> String {
    format!("FOOTFALL__{}", key.replace('.', "__").to_uppercase())
}

#[test]
fn every_setting_of_the_packaging_is_a_key() {
    let mut checked = 0;
    for file in FILES {
        let variables = variables(file);
        let unknown: Vec<&String> = variables
            .keys()
            .filter(|name| !is_variable(OsStr::new(name)))
            .collect();
        assert!(
            unknown.is_empty() && !variables.is_empty(),
            "{file}: {unknown:?}"
        );
        checked += variables.len();
    }
    assert!(checked >= 15, "{checked}");
}

#[test]
fn what_a_collector_writes_is_on_a_volume_of_the_image_and_in_the_state_of_the_service() {
    let keys = written_keys();
    assert_eq!(
        keys,
        [
            "backup.dir",
            "journal.dir",
            "ledger.dir",
            "mail.key_file",
            "store.dir"
        ]
    );

    let image = variables("Dockerfile");
    let text = read("Dockerfile");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VOLUME "))
        .expect("a VOLUME");
    let volumes: Vec<String> = serde_json::from_str(line).expect("the exec form");
    let service = variables("packaging/systemd/footfall.service");
    for key in &keys {
        let path = image
            .get(&variable_of(key))
            .unwrap_or_else(|| panic!("the image does not set {key}"));
        assert!(
            volumes
                .iter()
                .any(|volume| Path::new(path).starts_with(volume)),
            "{key}: {path} is on no volume"
        );
        let path = service
            .get(&variable_of(key))
            .unwrap_or_else(|| panic!("the service does not set {key}"));
        assert!(
            Path::new(path).starts_with("/var/lib/footfall"),
            "{key}: {path}"
        );
    }

    for (file, mount) in [
        ("docker-compose.yml", ":"),
        ("packaging/kubernetes/footfall.yaml", "mountPath: "),
    ] {
        let text = read(file);
        for volume in &volumes {
            assert!(
                text.contains(&format!("{mount}{volume}")),
                "{file} does not mount {volume}"
            );
        }
    }
}

#[test]
fn supervisors_wait_longer_than_a_stop_takes() {
    let defaults: Table = DEFAULTS.parse().unwrap();
    let secs = |key: &str| u64::try_from(defaults["server"][key].as_integer().unwrap()).unwrap();
    let (drain, stop) = (secs("drain_secs"), secs("shutdown_secs"));
    // A stop that hangs ends itself a second later.
    let least = drain + stop + 1;
    let drain_in_kubernetes = variables(FILES[2])["FOOTFALL__SERVER__DRAIN_SECS"]
        .parse::<u64>()
        .unwrap();
    for (file, patience, least) in [
        (
            FILES[1],
            number(FILES[1], r"stop_grace_period: (\d+)s"),
            least,
        ),
        (
            FILES[2],
            number(FILES[2], r"terminationGracePeriodSeconds: (\d+)"),
            drain_in_kubernetes + stop + 1,
        ),
        (FILES[3], number(FILES[3], r"TimeoutStopSec=(\d+)"), least),
    ] {
        assert!(
            patience > least,
            "{file}: {patience} s, a stop takes up to {least} s"
        );
    }
    // The probe must fail before the port closes.
    let period = number(FILES[2], r"readinessProbe:\n.*\n\s+periodSeconds: (\d+)");
    assert!(
        drain_in_kubernetes > 2 * period,
        "{drain_in_kubernetes} {period}"
    );
}
