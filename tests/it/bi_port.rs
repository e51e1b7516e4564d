//! The BI port: a token reads the views by ClickHouse's own protocols, drivers connect, and hostile
//! statements get nothing and harm nothing.

mod openedlink;
mod ready_made;
mod tls;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Answer, Body, Client, NOON, SITES, Server, grant_of, hit, until};

const DAY_MILLIS: i64 = 86_400_000;
/// The time from a noon until its day is published.
const PUBLISHED_AFTER: i64 = DAY_MILLIS / 2 + 121_000;
const GOOGLE: &str = "https://www.google.com/";

const USUAL: [&str; 5] = [
    "bi_port.http_listen=127.0.0.1:0",
    "bi_port.query_timeout_secs=30",
    "registry.refresh_secs=1",
    "journal.attribute_secs=0",
    "bi_port.query_memory_bytes=67108864",
];

fn start(more: &[&str]) -> Server {
    Server::start_with(SITES, &[&USUAL[..], more].concat())
}

/// Where a port of the running program is, as its log says.
fn port_of(server: &Server, protocol: &str) -> SocketAddr {
    let log = server.log();
    let line = log
        .lines()
        .rev()
        .find(|line| line.contains("bi_address=") && line.contains(protocol))
        .unwrap_or_else(|| panic!("no BI port of {protocol}:\n{log}"));
    let (_, address) = line.split_once("bi_address=").unwrap();
    address.split_whitespace().next().unwrap().parse().unwrap()
}

fn make_token(server: &Server, scopes: &[&str], site: Option<&str>) -> (String, String) {
    let body = json!({"name": "of a test", "scopes": scopes, "site": site}).to_string();
    let answer = operator(server, "POST", "/api/v1/tokens", &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let made: Value = serde_json::from_slice(&answer.body).unwrap();
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    (text("id"), text("token"))
}

fn operator(server: &Server, method: &str, path: &str, body: &str) -> Answer {
    let host = server.address().to_string();
    let headers = [("Host", &*host), ("Content-Type", "application/json")];
    server
        .client()
        .ask(method, path, &headers, Body::Sized(body.as_bytes()))
        .unwrap()
}

/// A statement as drivers send it: the token as a password, the settings as parameters.
fn query(port: SocketAddr, token: &str, statement: &str) -> Answer {
    let answer = try_query(port, token, statement);
    answer.unwrap_or_else(|error| panic!("{statement}: {error}"))
}

/// The same; an error if the connection ends before the answer does, as at a limit of the result.
fn try_query(port: SocketAddr, token: &str, statement: &str) -> std::io::Result<Answer> {
    let (settings, statement) = match statement.strip_prefix('{') {
        Some(rest) => rest.split_once("} ").unwrap(),
        None => ("", statement),
    };
    let pairs = settings.split('&').filter_map(|pair| pair.split_once('='));
    let target: String = url::form_urlencoded::Serializer::new("/?".to_owned())
        .extend_pairs(pairs)
        .finish();
    let login = format!("Basic {}", STANDARD.encode(format!("anybody:{token}")));
    let headers = [("Host", "bi.example"), ("Authorization", &*login)];
    let body = Body::Sized(statement.trim().as_bytes());
    let mut client = Client::connect(port).unwrap();
    client.ask("POST", &target, &headers, body)
}

fn rows(port: SocketAddr, token: &str, statement: &str) -> Vec<String> {
    let answer = query(port, token, statement);
    assert_eq!(answer.status, 200, "{statement}: {}", answer.text());
    answer.text().lines().map(str::to_owned).collect()
}

/// A view by a visitor of their own network, on the day with this number.
fn visit(server: &Server, day: i64, person: u32, page: &str, referrer: &str) {
    let url = format!("https://pages.example{page}");
    let body = json!({"kind": "view", "url": url, "referrer": referrer}).to_string();
    send(server, day, person, &body, &grant_of(u128::from(person)));
}

/// A view of mia's page with this consent cookie.
fn visit_with(server: &Server, person: u32, cookie: &str) {
    let body = json!({"kind": "view", "url": "https://pages.example/u/mia"}).to_string();
    send(server, 0, person, &body, cookie);
}

fn send(server: &Server, day: i64, person: u32, body: &str, cookie: &str) {
    let address = format!("198.{}.{}.7", 20 + person / 250, person % 250);
    let now = (NOON + day * DAY_MILLIS).to_string();
    let own = [
        ("X-Forwarded-For", &*address),
        ("X-Footfall-Now", &*now),
        ("Cookie", cookie),
    ];
    assert_eq!(hit(&mut server.client(), body, &own).status, 202);
}

/// Twelve visitors of mia by Google, seven by Bing and three by a rare source, twelve of tom, whose
/// day is published; and two of mia on the day after, which is open.
fn fill(server: &Server) {
    for person in 0..12 {
        visit(server, 0, person, "/u/mia", GOOGLE);
    }
    for person in 12..19 {
        visit(server, 0, person, "/u/mia", "https://www.bing.com/");
    }
    for person in 50..53 {
        visit(server, 0, person, "/u/mia", "https://rare.example/");
    }
    for person in 100..112 {
        visit(server, 0, person, "/u/tom/hidden", GOOGLE);
    }
    server.publish(NOON + PUBLISHED_AFTER);
    for person in 30..32 {
        visit(server, 1, person, "/u/mia", "https://pending.example/");
    }
    server.flush();
}

/// The statements of a file, with what stands before the bar; comments and empty lines are left
/// out.
fn statements(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with("--"))
        .map(|line| line.split_once("| ").unwrap_or(("", line)))
}

#[test]
fn a_token_reads_what_is_published_and_exact_and_one_of_a_site_that_site_only() {
    let mut server = start(&[]);
    fill(&server);
    let port = port_of(&server, "http");
    let (platform_id, platform) = make_token(&server, &["bi"], None);
    let (_, mia) = make_token(&server, &["bi"], Some("mia"));

    let sites = "SELECT site FROM sites ORDER BY site";
    until(
        || rows(port, &platform, sites) == ["mia", "tom"],
        "the names of profiles are stored",
    );

    let totals = "SELECT site, day, hits, visitors, visits FROM daily_totals ORDER BY day, site";
    let of_mia = ["mia\t2026-03-10\t22\t22\t22", "mia\t2026-03-11\t2\t2\t2"];
    let of_all = [of_mia[0], "tom\t2026-03-10\t12\t12\t12", of_mia[1]];
    assert_eq!(rows(port, &platform, totals), of_all);
    assert_eq!(rows(port, &mia, totals), of_mia);

    // The twelve by Google are published. Three are too few, so the seven by Bing wait with them, and
    // the open day is not over.
    let sources = "SELECT site, value, sum(visitors) FROM published_visitors \
                   WHERE subject = 'site' AND attribute = 'source' GROUP BY site, value ORDER BY site";
    let published = rows(port, &platform, sources);
    let reported = |site: &str| {
        let report = server.report(site, "from=2026-03-10&to=2026-03-11&limit=1000");
        let sources = report["breakdowns"]["source"].clone();
        sources.to_string()
    };
    assert_eq!(published.len(), 2, "{published:?} {}", reported("mia"));
    assert!(published[0].starts_with("mia\t") && published[0].ends_with("\t12"));
    assert!(published[1].starts_with("tom\t") && published[1].ends_with("\t12"));
    assert_eq!(rows(port, &mia, sources), published[..1]);
    let everything = rows(port, &platform, "SELECT * FROM published_visitors");
    assert!(!everything.iter().any(|row| {
        ["rare", "Bing", "pending"]
            .iter()
            .any(|word| row.contains(word))
    }));

    let pages = "SELECT site, page, sum(hits) FROM pages GROUP BY site, page ORDER BY site";
    assert_eq!(
        rows(port, &platform, pages),
        ["mia\t/u/mia\t24", "tom\t/u/tom/hidden\t12"]
    );
    assert_eq!(rows(port, &mia, sites), ["mia"]);
    let hours = "SELECT site, sum(hits) FROM hourly_totals GROUP BY site ORDER BY site";
    assert_eq!(rows(port, &platform, hours), ["mia\t24", "tom\t12"]);
    for view in [
        "links",
        "events",
        "revenue",
        "page_faults",
        "web_vitals",
        "mails",
        "dropped_hits",
    ] {
        rows(port, &platform, &format!("SELECT * FROM {view}"));
        rows(port, &mia, &format!("SELECT * FROM {view}"));
    }

    // Nobody else: no password, an operator's, a token that only reads, the engine's users.
    let (_, reader) = make_token(&server, &["read", "manage", "mail"], None);
    for password in [
        "",
        "default",
        "clickhouse",
        "collector",
        &reader,
        &platform_id,
        "ff_",
    ] {
        let refused = query(port, password, "SELECT 1");
        assert_eq!(refused.status, 403, "{password}: {}", refused.text());
        assert_eq!(refused.header("X-ClickHouse-Exception-Code"), Some("516"));
    }

    // The engine is killed: the next statement finds the same.
    for child in server.children() {
        let pid = rustix::process::Pid::from_raw(child as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    until(
        || query(port, &mia, totals).status == 200,
        "the views are there again",
    );
    assert_eq!(rows(port, &mia, totals), of_mia);
    assert_eq!(rows(port, &platform, totals), of_all);

    // A token that is revoked opens nothing from then on; the others go on.
    let path = format!("/api/v1/tokens/{platform_id}");
    assert_eq!(operator(&server, "DELETE", &path, "").status, 204);
    assert_eq!(query(port, &platform, "SELECT 1").status, 403);
    assert_eq!(rows(port, &mia, totals), of_mia);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn drivers_and_bi_tools_get_what_they_ask_for_when_they_connect() {
    let server = start(&[]);
    fill(&server);
    let port = port_of(&server, "http");
    let tokens = [None, Some("mia")].map(|site| make_token(&server, &["bi"], site).1);
    let mut count = 0;
    for (_, statement) in statements(include_str!("bi_port/connect.sql")) {
        for token in &tokens {
            let answer = query(port, token, statement);
            assert_eq!(answer.status, 200, "{statement}: {}", answer.text());
        }
        count += 1;
    }
    assert!(count >= 28, "{count} statements");
    let listed = rows(
        port,
        &tokens[0],
        "SELECT database, name FROM system.tables WHERE database != 'system' AND lower(database) != 'information_schema'",
    );
    assert_eq!(listed.len(), 13, "{listed:?}");
    assert!(listed.iter().all(|row| row.starts_with("footfall_bi\t")));

    // The `clickhouse` crate, unmodified, with its compression.
    let client = clickhouse::Client::default()
        .with_url(format!("http://{port}"))
        .with_user("me")
        .with_password(&tokens[1])
        .with_database("footfall_bi");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let sql =
        "SELECT site, sum(hits) AS hits FROM daily_totals WHERE day = toDate(?) GROUP BY site";
    let query = client.query(sql).bind("2026-03-10");
    let read: Vec<(String, u64)> = runtime.block_on(query.fetch_all()).unwrap();
    assert_eq!(read, [("mia".to_owned(), 22)]);

    // Where clients put their password, and what needs none.
    let token = &tokens[0];
    let ask = |target: &str, headers: &[(&str, &str)]| {
        let headers = [&[("Host", "bi.example")], headers].concat();
        let mut client = Client::connect(port).unwrap();
        client.ask("GET", target, &headers, Body::None).unwrap()
    };
    assert_eq!(ask("/ping", &[]).text(), "Ok.\n");
    let key = [("X-ClickHouse-User", "me"), ("X-ClickHouse-Key", &**token)];
    assert_eq!(ask("/?query=SELECT%201", &key).text(), "1\n");
    let bearer = format!("Bearer {token}");
    assert_eq!(
        ask("/?query=SELECT%202", &[("Authorization", &bearer)]).text(),
        "2\n"
    );
    let target = format!("/?query=SELECT%203&user=default&password={token}");
    assert_eq!(ask(&target, &[]).text(), "3\n");
    for path in [
        "/play",
        "/dashboard",
        "/replicas_status",
        "/metrics",
        "/api/v1/tokens",
    ] {
        assert_eq!(ask(path, &key).status, 404, "{path}");
    }
}

#[test]
fn hostile_statements_get_nothing_and_the_collector_goes_on() {
    let mut server = start(&["bi_port.query_timeout_secs=2"]);
    fill(&server);
    let port = port_of(&server, "http");
    let (_, platform) = make_token(&server, &["bi"], None);
    let (_, mia) = make_token(&server, &["bi"], Some("mia"));
    let engine = server.children();

    let (mut count, mut through) = (0, Vec::new());
    for (expected, statement) in statements(include_str!("bi_port/hostile.sql")) {
        let start = Instant::now();
        let answers = match expected {
            "blind" => vec![query(port, &mia, statement)],
            "bounded" => [&mia, &platform]
                .into_iter()
                .filter_map(|token| try_query(port, token, statement).ok())
                .collect(),
            _ => vec![
                query(port, &mia, statement),
                query(port, &platform, statement),
            ],
        };
        for answer in answers {
            let is_error = answer.status != 200 || answer.text().contains("DB::Exception");
            let got = match expected {
                "refused" => !is_error,
                "blind" => {
                    let text = answer.text();
                    // An error quotes the statement, which names the other site itself.
                    if is_error {
                        text.contains("tom has it")
                    } else {
                        text.contains("hidden")
                            || text.contains("\ttom")
                            || text.starts_with("tom")
                            || text.contains("'tom'") && !text.contains("site = 'tom'")
                    }
                }
                "bounded" => !is_error || start.elapsed() > Duration::from_secs(15),
                other => panic!("{other}: {statement}"),
            };
            if got {
                through.push(format!(
                    "{expected} {statement}: {} {:.300}",
                    answer.status,
                    answer.text()
                ));
            }
        }
        count += 1;
    }
    assert!(
        through.is_empty(),
        "{} through:\n{}",
        through.len(),
        through.join("\n")
    );
    assert!(count >= 150, "{count} statements");

    // An error that a condition raises on the other site's rows would tell that they are there.
    for probe in [
        "throwIf(site = 'tom')",
        "throwIf(page = '/u/tom/hidden')",
        "throwIf(hits = 12)",
    ] {
        let statement = format!("SELECT count() FROM pages WHERE {probe}");
        assert_eq!(rows(port, &mia, &statement), ["0"], "{statement}");
        assert_ne!(
            query(port, &platform, &statement).status,
            200,
            "{statement}"
        );
    }

    assert!(!std::path::Path::new("/tmp/footfall-bi-out").exists());
    assert_eq!(server.children(), engine, "the engine was not restarted");
    visit(&server, 1, 40, "/u/mia", GOOGLE);
    server.flush();
    let totals = "SELECT sum(hits) FROM daily_totals";
    assert_eq!(rows(port, &mia, totals), ["25"]);
    assert_eq!(rows(port, &platform, totals), ["37"]);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn totals_by_day_stay_in_the_views_when_days_became_months() {
    let server = start(&["retention.activity_days=93", "retention.hourly_days=36"]);
    for (day, people) in [(0, 5), (20, 4), (130, 3), (131, 2), (132, 1)] {
        for person in 0..people {
            visit(&server, day, person, "/u/mia", GOOGLE);
        }
    }
    server.flush();
    let port = port_of(&server, "http");
    let (_, token) = make_token(&server, &["bi"], Some("mia"));
    let totals = "SELECT day, hits, visitors FROM daily_totals ORDER BY day";
    let before = rows(port, &token, totals);
    assert_eq!(before[..2], ["2026-03-10\t5\t5", "2026-03-30\t4\t4"]);
    assert_eq!(before.len(), 5);

    let (host, now) = (
        server.address().to_string(),
        (NOON + 132 * DAY_MILLIS).to_string(),
    );
    let headers = [("Host", &*host), ("X-Footfall-Now", &*now)];
    let aged = server
        .client()
        .ask("POST", "/test/retention", &headers, Body::None)
        .unwrap();
    assert_eq!(aged.status, 200, "{}", aged.text());
    assert!(server.log().contains("old counts became coarser"));
    assert_eq!(rows(port, &token, totals), before);
    let hours = "SELECT sum(hits) FROM hourly_totals";
    assert_eq!(rows(port, &token, hours), ["6"]);
}

/// `make bi-clients` installs the clients, and names their Python in `BI_CLIENTS_PYTHON`.
#[test]
#[ignore = "needs packages of Python: make bi-clients"]
fn python_clients_read_the_views() {
    let server = start(&[]);
    fill(&server);
    let port = port_of(&server, "http");
    let [platform, mia] = [None, Some("mia")].map(|site| make_token(&server, &["bi"], site).1);
    let python = std::env::var("BI_CLIENTS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/bi_port/clients.py");
    let (host, number) = (port.ip().to_string(), port.port().to_string());
    let ran = std::process::Command::new(python)
        .args([script, &host, &number, &platform, &mia])
        .output()
        .unwrap();
    let [printed, errors] = [ran.stdout, ran.stderr].map(|text| String::from_utf8(text).unwrap());
    println!("{printed}");
    assert!(ran.status.success(), "{printed}{errors}");
    assert!(printed.ends_with("bi_clients=2\n"), "{printed}");
}
