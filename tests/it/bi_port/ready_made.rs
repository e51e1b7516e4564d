//! The statements of `dashboards/grafana` and `dashboards/metabase`, with the macros and filters of
//! these tools replaced as they do: each runs on the BI port and shows what was counted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::{Captures, Regex};
use serde_json::{Value, json};

use super::{GOOGLE, PUBLISHED_AFTER, USUAL, make_token, port_of, query, send, visit};
use crate::mail::{PERSON, load, persons, pixel};
use crate::support::{NOON, Server, grant_of};

/// What a dashboard shows: the days, and the sites that are selected; none for all.
struct Selection {
    days: [&'static str; 2],
    sites: &'static [&'static str],
}

const MARCH: [&str; 2] = ["2026-03-01", "2026-03-31"];
const EVERYTHING: Selection = Selection {
    days: MARCH,
    sites: &[],
};
const MIA: Selection = Selection {
    days: MARCH,
    sites: &["mia"],
};
const FEBRUARY: Selection = Selection {
    days: ["2026-02-01", "2026-02-28"],
    sites: &[],
};

impl Selection {
    fn site_list(&self) -> String {
        let quoted: Vec<String> = self.sites.iter().map(|site| format!("'{site}'")).collect();
        quoted.join(",")
    }
}

/// Twelve visitors of mia by Google, with a click, an event, a page speed and a fault each, and
/// twelve of tom; twelve readers of a mail; one hit without consent. The day is published.
fn fill(server: &Server) {
    let url = "https://pages.example/u/mia";
    let others = [
        json!({"kind": "click", "url": url, "name": "shop"}),
        json!({"kind": "event", "url": url, "name": "tip", "value": 5, "currency": "EUR"}),
        json!({"kind": "vital", "url": url, "metric": "LCP", "value": 4500}),
        json!({"kind": "fault", "url": url, "fault": "script", "name": "TypeError", "source": "/a.js", "line": 1}),
    ];
    for person in 0..12 {
        visit(server, 0, person, "/u/mia?utm_campaign=spring", GOOGLE);
        for body in &others {
            send(
                server,
                0,
                person,
                &body.to_string(),
                &grant_of(u128::from(person)),
            );
        }
    }
    for person in 100..112 {
        visit(server, 0, person, "/u/tom", GOOGLE);
    }
    for address in persons(0..12) {
        let answer = load(&mut server.client(), &pixel(), (&address, PERSON), 0, &[]);
        assert_eq!(answer.status, 200);
    }
    let view = json!({"kind": "view", "url": url}).to_string();
    send(server, 0, 200, &view, "none=1");
    server.publish(NOON + PUBLISHED_AFTER);
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("dashboards")
        .join(name)
}

/// Rows of a statement, by column.
fn table(port: std::net::SocketAddr, token: &str, statement: &str) -> Vec<Value> {
    let settings = "{default_format=JSON&output_format_json_quote_64bit_integers=0} ";
    let answer = query(port, token, &format!("{settings}{statement}"));
    assert_eq!(answer.status, 200, "{statement}: {}", answer.text());
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    body["data"].as_array().unwrap().clone()
}

/// The statements of a dashboard by the titles of their panels, and of its variables by name.
fn grafana_statements() -> BTreeMap<String, String> {
    let path = folder("grafana/platform-overview.json");
    let dashboard: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let list = |value: &Value| value.as_array().unwrap().clone();
    let mut found = BTreeMap::new();
    for panel in list(&dashboard["panels"]) {
        if panel["type"] == "row" {
            continue;
        }
        let targets = list(&panel["targets"]);
        assert_eq!(targets.len(), 1, "{panel}");
        let sql = targets[0]["rawSql"].as_str().unwrap().to_owned();
        let title = panel["title"].as_str().unwrap().to_owned();
        assert!(found.insert(title, sql).is_none(), "a title twice: {panel}");
    }
    for variable in list(&dashboard["templating"]["list"]) {
        let sql = variable["query"].as_str().unwrap().to_owned();
        found.insert(format!("${}", variable["name"].as_str().unwrap()), sql);
    }
    found
}

/// Replaces the macros and variables as the ClickHouse data source does:
/// https://grafana.com/docs/plugins/grafana-clickhouse-datasource/latest/query-editor/#macros
fn as_grafana(sql: &str, shown: &Selection) -> String {
    let [from, to] = shown.days;
    let all = Regex::new(r"\$__conditionalAll\(([^()]*\([^()]*\)), \$site\)").unwrap();
    let sql = all.replace_all(sql, |found: &Captures| match shown.sites {
        [] => "1=1".to_owned(),
        _ => found[1].to_owned(),
    });
    let sql = sql.replace("${site:singlequote}", &shown.site_list());
    let dates = Regex::new(r"\$__dateFilter\((\w+)\)").unwrap();
    let dates = dates.replace_all(&sql, |found: &Captures| {
        let column = &found[1];
        format!("{column} >= toDate('{from}') AND {column} <= toDate('{to}')")
    });
    let times = Regex::new(r"\$__timeFilter\((\w+)\)").unwrap();
    let sql = times.replace_all(&dates, |found: &Captures| {
        let seconds = |day: &str| {
            let at = format!("{day}T00:00:00Z").parse::<jiff::Timestamp>();
            at.unwrap().as_second()
        };
        let (column, from, to) = (&found[1], seconds(from), seconds(to));
        format!("{column} >= toDateTime({from}) AND {column} <= toDateTime({to})")
    });
    assert!(!sql.contains('$'), "{sql}");
    sql.into_owned()
}

/// A question of Metabase: its name, its statement and its filters.
struct Question {
    name: String,
    sql: String,
    filters: Vec<String>,
}

/// The questions as the importer reads them.
fn metabase_questions() -> Vec<Question> {
    let importer = folder("metabase/import.mjs");
    let printed = Command::new("node").arg(importer).arg("--list").output();
    let printed = printed.expect("node runs");
    assert!(printed.status.success(), "{printed:?}");
    let listed: Vec<Value> = serde_json::from_slice(&printed.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let question = |listed: &Value| Question {
        name: text(&listed["name"]),
        sql: text(&listed["sql"]),
        filters: listed["filters"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect(),
    };
    listed.iter().map(question).collect()
}

/// Replaces filters as Metabase does: an optional part whose filter is not set goes; a date becomes
/// a date, a text is quoted. https://www.metabase.com/docs/latest/questions/native-editor/sql-parameters
fn as_metabase(sql: &str, shown: Option<&Selection>) -> String {
    let optional = Regex::new(r"\[\[(.*?)\]\]").unwrap();
    let value = |name: &str| -> Option<String> {
        let shown = shown?;
        match (name, shown.sites) {
            ("from", _) => Some(format!("toDate('{}')", shown.days[0])),
            ("to", _) => Some(format!("toDate('{}')", shown.days[1])),
            ("site", [site, ..]) => Some(format!("'{site}'")),
            _ => None,
        }
    };
    let filter = Regex::new(r"\{\{(\w+)\}\}").unwrap();
    let sql = optional.replace_all(sql, |found: &Captures| {
        let name = &filter.captures(&found[1]).expect("a filter")[1];
        match value(name) {
            Some(value) => filter.replace_all(&found[1], value).into_owned(),
            None => String::new(),
        }
    });
    assert!(!sql.contains("{{"), "{sql}");
    sql.into_owned()
}

#[test]
fn every_statement_of_the_dashboards_shows_what_was_counted() {
    let mut server = crate::mail::start(&[&USUAL[..], &["bi_port.query_timeout_secs=60"]].concat());
    fill(&server);
    let port = port_of(&server, "http");
    let (_, token) = make_token(&server, &["bi"], None);
    let run = |sql: &str| table(port, &token, sql);

    let panels = grafana_statements();
    assert!(panels.len() >= 17, "{}", panels.len());
    let mut shown = BTreeMap::new();
    for (title, sql) in &panels {
        for selection in [&EVERYTHING, &MIA] {
            let rows = run(&as_grafana(sql, selection));
            assert!(!rows.is_empty(), "{title}: {sql}");
            shown.insert((title.as_str(), selection.sites.len()), rows);
        }
        let before = run(&as_grafana(sql, &FEBRUARY));
        let is_total = title == "Visits and hits" || title.starts_with('$');
        assert_eq!(before.is_empty(), !is_total, "{title}: {before:?}");
    }
    let of_all = |title: &str| json!(shown[&(title, 0)]);
    let of_mia = |title: &str| json!(shown[&(title, 1)]);
    assert_eq!(of_all("Visits and hits")[0]["visitor-days"], 24);
    assert_eq!(of_mia("Visits and hits")[0]["visitor-days"], 12);
    assert_eq!(
        of_all("Visits by day"),
        json!([{"time": "2026-03-10 00:00:00", "visitors": 24, "visits": 24, "hits": 24}])
    );
    assert_eq!(of_all("Hits by hour")[0]["time"], "2026-03-10 12:00:00");
    assert_eq!(of_all("Sites")[1]["site"], "tom");
    assert_eq!(
        of_all("Sources"),
        json!([{"source": "Google", "visitors": 24}])
    );
    assert_eq!(
        of_mia("Sources"),
        json!([{"source": "Google", "visitors": 12}])
    );
    let links = json!([{"site": "mia", "link": "shop", "clicks": 12, "visitors": 12}]);
    assert_eq!(of_all("Links"), links);
    let revenue = json!([{"site": "mia", "event": "tip", "currency": "EUR", "events": 12, "minor_units": 6000}]);
    assert_eq!(of_all("Revenue"), revenue);
    assert_eq!(of_all("Faults of pages")[0]["hits"], 12);
    let vitals = json!([{"site": "mia", "metric": "LCP", "measurements": 12}]);
    assert_eq!(of_all("Measurements of web vitals"), vitals);
    assert_eq!(of_all("Hits dropped, by reason")[0]["reason"], "no_consent");
    assert_eq!(of_all("Mails by template")[0]["opens"], 12);
    assert_eq!(of_all("$site"), json!([{"site": "mia"}, {"site": "tom"}]));

    let questions = metabase_questions();
    assert_eq!(questions.len(), 20);
    let mut answers = BTreeMap::new();
    for Question { name, sql, filters } in &questions {
        let everything = run(&as_metabase(sql, None));
        assert!(!everything.is_empty(), "{name}: {sql}");
        assert_eq!(
            run(&as_metabase(sql, Some(&EVERYTHING))),
            everything,
            "{name}"
        );
        let before = run(&as_metabase(sql, Some(&FEBRUARY)));
        assert_eq!(before.is_empty(), name != "Totals", "{name}: {before:?}");
        let of_mia = run(&as_metabase(sql, Some(&MIA)));
        assert!(!of_mia.is_empty(), "{name}: {sql}");
        let by_site = filters.contains(&"site".to_owned());
        let both = [
            "Totals",
            "Visits by day",
            "Sites",
            "Pages",
            "Sources",
            "Channels",
        ];
        let differs = both.contains(&name.as_str());
        if differs || !by_site {
            assert_eq!(of_mia == everything, !by_site, "{name}: {of_mia:?}");
        }
        answers.insert(name.as_str(), json!(everything));
    }
    assert_eq!(answers["Visits by day"][0]["hits"], 24);
    assert_eq!(answers["Pages"][0]["page"], "/u/mia");
    let spring = json!({"campaign": "spring", "visitors": 12, "visits": 12});
    assert!(answers["Campaigns"].as_array().unwrap().contains(&spring));
    assert_eq!(answers["Revenue"], revenue);
    assert_eq!(answers["Mails"][0]["openers"], 12);
    assert_eq!(
        answers["Dropped hits"],
        json!([{"reason": "no_consent", "hits": 1}])
    );

    // A token of one site shows that site in the same dashboards.
    let (_, mia) = make_token(&server, &["bi"], Some("mia"));
    let sites = table(port, &mia, &as_grafana(&panels["Sites"], &EVERYTHING));
    assert_eq!(sites.len(), 1);
    assert_eq!(sites[0]["site"], "mia");
    assert_eq!(server.stop(), Some(0));
}
