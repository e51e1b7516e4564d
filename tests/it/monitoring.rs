//! Dashboards and alert rules name metrics that the collector exposes, and Prometheus accepts them.
//! `promtool` (Debian: `prometheus`) checks the expressions where it is installed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;
use serde_json::Value;

use crate::support::{SITES, Server, hit, view};

const RULES: &str = "packaging/prometheus/alerts.yml";
const HEALTH: &str = "dashboards/grafana/operator-health.json";
const OPERATING: &str = "docs/operate/OPERATING.md";

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The metrics in a text.
fn named(text: &str) -> BTreeSet<String> {
    let name = Regex::new(r"\bfootfall_[a-z_]*[a-z]\b").unwrap();
    let names = name.find_iter(text).map(|found| found.as_str().to_owned());
    names.collect()
}

/// The expressions of a dashboard's panels and the queries of its variables.
fn expressions(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().flat_map(expressions).collect(),
        Value::Object(fields) => {
            let own = ["expr", "definition"].map(|key| fields.get(key).and_then(Value::as_str));
            let own = own.into_iter().flatten().map(str::to_owned);
            own.chain(fields.values().flat_map(expressions)).collect()
        }
        _ => Vec::new(),
    }
}

fn health_expressions() -> Vec<String> {
    expressions(&serde_json::from_str(&read(HEALTH)).unwrap())
}

/// What `promtool` prints; `None` where it is not installed.
fn promtool(arguments: &[&str]) -> Option<String> {
    let ran = match Command::new("promtool").args(arguments).output() {
        Ok(ran) => ran,
        Err(_) => {
            println!("promtool is not installed: skipped");
            return None;
        }
    };
    let printed = [ran.stdout, ran.stderr].concat();
    let printed = String::from_utf8(printed).unwrap();
    assert!(ran.status.success(), "{arguments:?}: {printed}");
    Some(printed)
}

#[test]
fn every_metric_of_dashboards_and_rules_is_exposed_and_every_metric_is_shown() {
    let server = Server::start(SITES);
    // A counter with a label is there once it has counted.
    hit(
        &mut server.client(),
        &view("/u/mia"),
        &[("Cookie", "none=1")],
    );
    server.flush();
    let page = server.client().get("/metrics").unwrap().text();
    let exposed: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .map(str::to_owned)
        .collect();
    assert!(exposed.len() >= 40, "{exposed:?}");

    let rules = named(&read(RULES));
    let dashboard = named(&health_expressions().join("\n"));
    let tests = named(&read("packaging/prometheus/alerts_test.yml"));
    for (file, names) in [(RULES, &rules), (HEALTH, &dashboard), ("tests", &tests)] {
        let unknown: Vec<_> = names.difference(&exposed).collect();
        assert!(
            unknown.is_empty() && names.len() >= 15,
            "{file}: {unknown:?}"
        );
    }
    assert_eq!(
        rules.difference(&tests).next(),
        None,
        "rules without a test"
    );

    let neither = &exposed - &(&dashboard | &rules);
    let expected = [
        "footfall_attribute_rows_held",
        "footfall_write_batches_total",
        "footfall_money_clamped_total",
        "footfall_segments_inserted_total",
    ];
    assert_eq!(neither, expected.map(str::to_owned).into());

    let documented = read(OPERATING);
    let family = Regex::new("over_limit_[a-z_]+_total").unwrap();
    let missing: Vec<&String> = exposed
        .iter()
        .filter(|name| !documented.contains(&*family.replace(name, "over_limit_*_total")))
        .collect();
    assert!(missing.is_empty(), "not in {OPERATING}: {missing:?}");
}

#[test]
fn prometheus_accepts_the_rules_their_tests_the_dashboard_and_the_metrics_page() {
    let Some(said) = promtool(&["check", "rules", path(RULES).to_str().unwrap()]) else {
        return;
    };
    assert!(said.contains("24 rules found"), "{said}");
    let tests = path("packaging/prometheus/alerts_test.yml");
    promtool(&["test", "rules", tests.to_str().unwrap()]);

    // The expressions of the dashboard, as rules, with a collector for its variable.
    let rules: Vec<Value> = health_expressions()
        .iter()
        .filter(|expression| !expression.starts_with("label_values("))
        .enumerate()
        .map(|(n, expression)| {
            let expression = expression.replace("$instance", ".*");
            serde_json::json!({"record": format!("dashboard:panel:{n}"), "expr": expression})
        })
        .collect();
    assert!(rules.len() >= 35, "{}", rules.len());
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = dir.path().join("dashboard.json");
    let groups = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
    std::fs::write(&file, groups.to_string()).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]);

    let server = Server::start(SITES);
    let page = dir.path().join("metrics");
    let metrics = server.client().get("/metrics").unwrap().body;
    std::fs::write(&page, metrics).unwrap();
    let check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(&page).unwrap())
        .output()
        .unwrap();
    let printed = String::from_utf8([check.stdout, check.stderr].concat()).unwrap();
    // Its exit code is 3 where only the style is remarked on.
    assert!(matches!(check.status.code(), Some(0 | 3)), "{printed}");
    assert!(!printed.contains("error"), "{printed}");
}

#[test]
fn a_scrape_right_after_an_answer_includes_the_answered_hit() {
    let server = Server::start_with(SITES, &["limits.items_per_site=1"]);
    let mut client = server.client();
    let answer = hit(&mut client, &view("/u/mia"), &[]);
    assert_eq!(answer.status, 202);

    for page in 1..=1_000 {
        let answer = hit(&mut client, &view(&format!("/u/mia/{page}")), &[]);
        assert_eq!(answer.status, 202);
        let over = server.metric("footfall_over_limit_values_total");
        assert_eq!(over, page, "the pages beyond the first are over the limit");
    }
}
