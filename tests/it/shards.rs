//! A store of two shards, each a real engine process: counts are those of one store, a shard that is
//! away takes its own counts with it and says so, and nothing is lost or doubled by that.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use footfall::event::SiteId;
use serde_json::{Value, json};

use crate::support::program::fail;
use crate::support::{
    ABSENT, Answer, DAY, Engine, NOON, SITES, Server, ask, grant_of, hit, start_two_engines, until,
    view,
};

const DAY_LONG: i64 = 86_400_000;
const PROFILES: [&str; 8] = ["mia", "tom", "zoe", "ben", "ada", "eve", "kim", "lou"];

/// The index of the shard of a site.
fn shard_of(name: &str) -> usize {
    (SiteId::from_key(name).as_u128() % 2) as usize
}

/// Profiles of each shard.
fn profiles_of(shard: usize) -> Vec<&'static str> {
    let own = PROFILES.into_iter();
    own.filter(|name| shard_of(name) == shard).collect()
}

/// Two engines, and the setting that makes them the shards of a store.
struct Shards {
    engines: [Engine; 2],
    _dir: tempfile::TempDir,
}

impl Shards {
    fn start() -> Shards {
        let (engines, dir) = start_two_engines();
        Shards { engines, _dir: dir }
    }

    fn setting(&self) -> String {
        let [one, two] = self.engines.each_ref().map(Engine::url);
        format!("store.shards=[[\"{one}\"], [\"{two}\"]]")
    }

    /// The sum of a statement's only number over both shards.
    fn total(&self, statement: &str) -> u64 {
        let numbers = self.engines.iter();
        let numbers = numbers.map(|engine| engine.sql(statement).trim().parse::<u64>().unwrap());
        numbers.sum()
    }
}

fn start(shards: &Shards, more: &[&str]) -> Server {
    let setting = shards.setting();
    let settings = [&[&*setting, "health.store_check_secs=1"], more].concat();
    Server::start_with(SITES, &settings)
}

fn get(server: &Server, path: &str) -> Answer {
    server.client().get(path).unwrap()
}

fn get_json(server: &Server, path: &str) -> Value {
    let answer = get(server, path);
    assert_eq!(
        answer.status,
        200,
        "{path}: {}\n{}",
        answer.text(),
        server.log()
    );
    serde_json::from_slice(&answer.body).unwrap()
}

fn platform(server: &Server) -> Value {
    get_json(server, &format!("/api/v1/platform/report?{DAY}"))
}

/// Waits until the platform's report is answered with so many hits.
fn until_counted(server: &Server, hits: u64, what: &str) {
    let holds = || {
        let answer = get(server, &format!("/api/v1/platform/report?{DAY}"));
        let report: Value = serde_json::from_slice(&answer.body).unwrap();
        answer.status == 200 && report["totals"]["hits"] == hits
    };
    until(holds, what);
}

/// One view of a page of a profile by a person; the status of the answer.
fn count_view(server: &Server, profile: &str, page: u64, person: u128) -> u16 {
    let (cookie, address) = (grant_of(person), format!("198.51.{}.7", person % 250));
    let fields = [("Cookie", &*cookie), ("X-Forwarded-For", &*address)];
    let body = view(&format!("/u/{profile}/{page}"));
    hit(&mut server.client(), &body, &fields).status
}

/// Views, an event with an amount, a measurement and a fault of thirteen people on each profile, and
/// two hits that are dropped.
fn send_everything(server: &Server) {
    let mut client = server.client();
    for (number, profile) in (0..).zip(PROFILES) {
        let url = format!("https://pages.example/u/{profile}");
        for person in 0..13_u128 {
            let (cookie, address) = (grant_of(person), format!("198.51.{person}.7"));
            let fields = [("Cookie", &*cookie), ("X-Forwarded-For", &*address)];
            let page = format!("{url}/{}", person % (number + 2));
            for body in [
                json!({"kind": "view", "url": page, "referrer": "https://blog.example/"}),
                json!({"kind": "event", "url": url, "name": "tip", "value": number + 1, "currency": "EUR"}),
                json!({"kind": "vital", "url": page, "metric": "LCP", "value": 4500}),
                json!({"kind": "fault", "url": page, "fault": "script", "name": "TypeError", "source": "/a.js", "line": 1}),
            ] {
                assert_eq!(hit(&mut client, &body.to_string(), &fields).status, 202);
            }
        }
    }
    for _ in 0..2 {
        hit(&mut client, &view("/u/mia"), &[("Cookie", "none=1")]);
    }
}

#[test]
fn reports_of_two_shards_are_those_of_one_store_and_each_site_is_on_its_shard() {
    let shards = Shards::start();
    // Which lots of a list wait for others is drawn with this key.
    let coin = format!("test.coin_key={}", "07".repeat(32));
    let refresh = "registry.refresh_secs=1";
    let sharded = start(&shards, &[&coin, refresh]);
    let whole = Server::start_with(SITES, &[&coin, refresh]);
    assert!(profiles_of(0).len() >= 2 && profiles_of(1).len() >= 2);
    for server in [&sharded, &whole] {
        send_everything(server);
        server.publish(NOON + DAY_LONG);
        let named = || {
            let sites = get_json(server, &format!("/api/v1/platform/sites?{DAY}"));
            let rows = sites["rows"].as_array().unwrap();
            rows.iter().all(|row| row["site"].is_string())
        };
        until(named, "the names of new sites are stored");
    }

    let day = format!("{DAY}&with=clicks");
    let mut paths: Vec<String> = [
        format!("platform/report?{day}&compare=previous"),
        format!("platform/report?{day}&interval=hour"),
        format!("platform/sites?{DAY}"),
        "platform/sites?from=2026-03-10&to=2026-03-10&limit=3".to_owned(),
        format!("platform/pages?{DAY}"),
        "platform/pages?from=2026-03-10&to=2026-03-10&limit=5".to_owned(),
        format!("platform/sites?{DAY}&search=o"),
        format!("drops?{DAY}"),
        "retention".to_owned(),
    ]
    .to_vec();
    for profile in PROFILES {
        for report in ["report", "vitals", "faults"] {
            paths.push(format!("sites/{profile}/{report}?{DAY}"));
        }
    }
    for path in &paths {
        let path = format!("/api/v1/{path}");
        let of_one = get_json(&whole, &path);
        // A shard that needs a second for a ping is left out.
        let mut of_shards = Value::Null;
        until(
            || {
                of_shards = get_json(&sharded, &path);
                of_shards.get("partial").is_none()
            },
            "no shard is left out",
        );
        assert_eq!(of_shards, of_one, "{path}");
    }
    let report = platform(&sharded);
    assert_eq!(report["totals"]["hits"], 8 * 13);
    let source = &report["dimensions"]["source"]["rows"][0];
    assert_eq!(
        (&source["value"], &source["visitors"]),
        (&json!("blog.example"), &json!(8 * 13))
    );

    // Each site's rows are on its shard and on no other; its name too, for its retention.
    for (shard, engine) in shards.engines.iter().enumerate() {
        for table in [
            "daily",
            "hourly",
            "money",
            "vitals",
            "faults",
            "activity",
            "published",
        ] {
            let sql = format!(
                "SELECT countIf(site % 2 = {shard}), countIf(site % 2 != {shard} AND site != 0) FROM {table} \
                 WHERE site < toUInt128('340282366920628978453553262363043430400') FORMAT TSV"
            );
            let found = engine.sql(&sql);
            let (own, foreign) = found.trim().split_once('\t').unwrap();
            assert!(own != "0" && foreign == "0", "{table} on {shard}: {found}");
        }
        let names = || {
            let names = engine.sql("SELECT DISTINCT name FROM names FORMAT TSV");
            let own = profiles_of(shard).into_iter();
            own.filter(|name| names.lines().any(|known| known == *name))
                .count()
        };
        until(
            || names() == profiles_of(shard).len(),
            "names are on their shard",
        );
    }
    let on_second = |table: &str| shards.engines[1].sql(&format!("SELECT count() FROM {table}"));
    assert_eq!(
        (on_second("drops"), on_second("audit")),
        ("0\n".into(), "0\n".into())
    );

    // A void is made where the money is.
    let site = profiles_of(1)[0];
    let void = json!({"id": "v", "from": "2026-03-10", "to": "2026-03-10", "event": "tip", "currency": "EUR"});
    let host = sharded.address().to_string();
    let own = [
        ("Host", &*host),
        ("Origin", ABSENT),
        ("X-Forwarded-For", ABSENT),
    ];
    let path = format!("/api/v1/sites/{site}/money/void");
    let made = ask(
        &mut sharded.client(),
        "POST",
        &path,
        &void.to_string(),
        &own,
    );
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(sharded.report(site, DAY)["money"], json!([]));
    assert_eq!(
        shards.engines[1].sql("SELECT count() FROM money_voids"),
        "1\n"
    );
}

#[test]
fn a_shard_that_is_killed_under_load_loses_and_doubles_nothing_and_its_absence_is_told() {
    let mut shards = Shards::start();
    let server = start(&shards, &[]);
    server.flush();
    let counts: [AtomicU64; PROFILES.len()] = Default::default();
    let (over, person) = (AtomicBool::new(false), AtomicU64::new(0));
    let load = || {
        let mut page = 0;
        while !over.load(Ordering::Relaxed) {
            for (profile, count) in PROFILES.iter().zip(&counts) {
                let person = u128::from(person.fetch_add(1, Ordering::Relaxed) % 1000);
                if count_view(&server, profile, page % 20, person) == 202 {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
            page += 1;
        }
    };

    let counted_on = |shard: usize| -> u64 {
        let of = PROFILES.iter().zip(&counts);
        let of = of.filter(|(profile, _)| shard_of(profile) == shard);
        of.map(|(_, count)| count.load(Ordering::Relaxed)).sum()
    };
    std::thread::scope(|scope| {
        scope.spawn(load);
        // In the middle of a segment, and while others wait.
        for _ in 0..2 {
            sleep(Duration::from_millis(900));
            shards.engines[1].kill();
            sleep(Duration::from_millis(900));
            shards.engines[1].restart();
        }
        shards.engines[1].kill();
        let begun = Instant::now();
        let is_enough = || counted_on(0) > 50 && counted_on(1) > 50;
        while !is_enough() && begun.elapsed() < Duration::from_secs(60) {
            sleep(Duration::from_millis(50));
        }
        over.store(true, Ordering::Relaxed);
    });

    // The first shard's counts do not wait for the second's.
    let (first, second) = (counted_on(0), counted_on(1));
    until_counted(&server, first, "the shard that lives has all its counts");
    assert!(first > 50 && second > 50, "{first} {second}");

    // What is missing is told, never kept by a browser, and no smaller number goes without it.
    let path = format!("/api/v1/platform/report?{DAY}");
    let answer = get(&server, &path);
    assert_eq!(
        (answer.header("cache-control"), answer.header("etag")),
        (Some("no-store"), None)
    );
    for path in ["report", "sites", "pages"] {
        let partial = get_json(&server, &format!("/api/v1/platform/{path}?{DAY}"));
        assert_eq!(
            (&partial["partial"], &partial["missing_shards"]),
            (&json!(true), &json!([2])),
            "{path}"
        );
    }
    for profile in PROFILES {
        let answer = get(&server, &format!("/api/v1/sites/{profile}/report?{DAY}"));
        let expected = [200, 503][shard_of(profile)];
        assert_eq!(answer.status, expected, "{profile}: {}", answer.text());
    }
    let store = || {
        let ready = get(&server, "/readyz");
        let ready: Value = serde_json::from_slice(&ready.body).unwrap();
        let checks = ready["checks"].as_array().unwrap().clone();
        checks
            .into_iter()
            .find(|check| check["name"] == "store")
            .unwrap()
    };
    until(|| store()["shards"] == json!([2]), "the shard is missed");
    assert_eq!(store()["code"], "unavailable_within_bound");
    let health = get_json(&server, "/api/v1/platform/health");
    assert_eq!(
        (&health["shards"], &health["shards_away"]),
        (&json!(2), &json!([2]))
    );
    let metrics = get(&server, "/metrics").text();
    for shard in ["{shard=\"1\"} 0", "{shard=\"2\"} "] {
        let line = format!("footfall_store_unavailable_seconds{shard}");
        assert!(metrics.contains(&line), "{metrics}");
    }
    for path in ["/api/v1/retention", "/api/v1/compliance"] {
        assert_eq!(get(&server, path).status, 503, "{path} would lack a part");
    }

    shards.engines[1].restart();
    until_counted(
        &server,
        first + second,
        "the shard is back with all its counts",
    );
    server.flush();
    let report = platform(&server);
    assert_eq!(report["totals"]["hits"], first + second);
    assert!(report.get("partial").is_none());
    for (profile, count) in PROFILES.iter().zip(&counts) {
        let expected = count.load(Ordering::Relaxed);
        assert_eq!(
            server.report(profile, DAY)["totals"]["hits"],
            expected,
            "{profile}"
        );
    }
    let hits = "SELECT toUInt64(sum(hits)) FROM daily WHERE subject = 'page' AND site != 0";
    assert_eq!(shards.total(hits), first + second, "lost or doubled");
    assert_eq!(store()["shards"], Value::Null);
    assert_eq!(server.metric("footfall_segments_waiting"), 0);
}

#[test]
fn a_start_does_not_wait_for_a_shard_that_is_away_or_hangs_which_is_filled_when_it_is_back() {
    let mut shards = Shards::start();
    shards.engines[1].kill();
    let mut server = start(&shards, &[]);
    let views = |server: &Server, pages: std::ops::Range<u64>| {
        for page in pages {
            for profile in PROFILES {
                assert_eq!(count_view(server, profile, page, u128::from(page)), 202);
            }
        }
    };
    let of = |shard: usize| profiles_of(shard).len() as u64;
    views(&server, 0..3);
    until_counted(&server, 3 * of(0), "the other shard works without it");
    assert_eq!(platform(&server)["missing_shards"], json!([2]));

    // Segments of which one shard has its part are sent again after a crash.
    server.kill();
    server.restart();
    views(&server, 3..5);
    until_counted(&server, 5 * of(0), "so it does after a crash");

    // It has no tables yet: they are made now.
    shards.engines[1].restart();
    until_counted(&server, 5 * 8, "the shard is filled");
    server.flush();
    let hits = "SELECT toUInt64(sum(hits)) FROM daily WHERE subject = 'page' AND site != 0";
    assert_eq!(shards.total(hits), 5 * 8, "lost or doubled");
    assert_eq!(server.stop(), Some(0), "{}", server.log());

    // The first shard hangs: it accepts connections and answers nothing.
    shards.engines[0].hang();
    server.restart();
    let site = profiles_of(1)[0];
    until(
        || get(&server, &format!("/api/v1/sites/{site}/report?{DAY}")).status == 200,
        "sites of the other shard are reported",
    );
    let report = platform(&server);
    assert_eq!(
        (&report["totals"]["hits"], &report["missing_shards"]),
        (&json!(5 * of(1)), &json!([1]))
    );
    assert_eq!(get(&server, &format!("/api/v1/drops?{DAY}")).status, 503);
    shards.engines[0].wake();
    until_counted(&server, 5 * 8, "the first shard is used again");
    assert!(platform(&server).get("partial").is_none());
}

#[test]
fn a_site_is_erased_on_its_shard_and_not_while_that_is_away() {
    let mut shards = Shards::start();
    let server = start(&shards, &["report.token=operator-operator-operator"]);
    let site = profiles_of(1)[0];
    let other = profiles_of(1)[1];
    for profile in [site, other] {
        assert_eq!(count_view(&server, profile, 1, 1), 202);
    }
    server.flush();
    let key = SiteId::from_key(site).as_u128();
    let rows = |engine: &Engine| {
        let of = |table: &str| {
            let sql = format!("SELECT count() FROM {table} WHERE site = toUInt128('{key}')");
            engine.sql(&sql).trim().parse::<u64>().unwrap()
        };
        ["daily", "activity", "hourly", "names"].map(of)
    };
    until(
        || rows(&shards.engines[1]).iter().all(|rows| *rows > 0),
        "the site and its name are there",
    );

    let erase = |server: &Server| {
        let host = server.address().to_string();
        let own = [
            ("Host", &*host),
            ("Origin", ABSENT),
            ("Cookie", ABSENT),
            ("X-Forwarded-For", ABSENT),
            ("Authorization", "Bearer operator-operator-operator"),
        ];
        let path = format!("/api/v1/sites/{site}/erase");
        ask(&mut server.client(), "POST", &path, "", &own)
    };
    let answer = erase(&server);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("\"daily\":"), "{}", answer.text());
    assert_eq!(rows(&shards.engines[1]), [0; 4]);
    assert_eq!(rows(&shards.engines[0]), [0; 4]);

    // Without its shard nothing is said to be erased.
    shards.engines[1].kill();
    let answer = erase(&server);
    assert_eq!(answer.status, 503, "{}", answer.text());
    shards.engines[1].restart();
    until(|| erase(&server).status == 200, "the same request again");
}

#[test]
fn shards_in_another_order_a_store_with_counts_and_commands_for_one_store_are_refused() {
    let shards = Shards::start();
    let mut server = start(&shards, &[]);
    assert_eq!(count_view(&server, "mia", 1, 1), 202);
    server.flush();
    for command in [
        &["backup", "create"][..],
        &["migrate", "--to", "http://127.0.0.1:1"],
    ] {
        let setting = shards.setting();
        let error = fail(&server, &[command, &["--set", &setting]].concat(), 1);
        assert!(
            error.contains("BACKUP of ClickHouse on each shard"),
            "{error}"
        );
    }
    // A command that was started with another configuration, beside this collector.
    let error = fail(
        &server,
        &["backup", "create", "--set", "store.url=http://127.0.0.1:1"],
        1,
    );
    assert!(error.contains("has shards"), "{error}");
    assert_eq!(server.stop(), Some(0));

    let [one, two] = shards.engines.each_ref().map(Engine::url);
    let expect_end = |server: &mut Server, setting: &str, told: &str| {
        server.set(&["store.shards=[]", "store.url=", setting]);
        let logged = server.log().len();
        server.spawn_again();
        let ended = server.ended_within(Duration::from_secs(20));
        assert!(ended.is_some_and(|code| code != Some(0)), "{ended:?}");
        let log = server.log()[logged..].to_owned();
        assert!(log.contains(told), "{log}");
    };
    let swapped = format!("store.shards=[[\"{two}\"], [\"{one}\"]]");
    // Which of the two is told depends on which answers first.
    expect_end(
        &mut server,
        &swapped,
        "of 2: a site stays on its shard, so store.shards must list the same shards in the same order",
    );
    let alone = format!("store.url={one}");
    expect_end(
        &mut server,
        &alone,
        "is shard 1 of 2, and the configuration has it as shard 1 of 1",
    );

    // A store with counts does not become a shard: its sites would stay where they are.
    server.set(&["store.shards=[]", &alone, "store.database=whole"]);
    server.restart();
    assert_eq!(count_view(&server, "mia", 1, 1), 202);
    server.flush();
    assert_eq!(server.stop(), Some(0));
    let both = format!("store.shards=[[\"{one}\"], [\"{two}\"]]");
    expect_end(&mut server, &both, "holds counts of a store without shards");
}

#[test]
fn configurations_of_shards_that_do_not_work_are_errors_that_say_why() {
    let server = Server::start(SITES);
    for (settings, key, told) in [
        (
            &["store.shards=[[\"http://a:8123\", \"http://b:8123\"]]"][..],
            "store.shards",
            "needs store.replication = \"collector\"",
        ),
        (
            &["store.replication=collector"],
            "store.replication",
            "which is empty",
        ),
        (
            &["store.shards=[[\"http://a:8123\"], []]"],
            "store.shards",
            "shard 2 has no URL",
        ),
        (
            &["store.shards=[[\"http://a:8123\"], [\"http://a:8123\"]]"],
            "store.shards",
            "listed twice",
        ),
        (
            &["store.shards=[[\"http://a:8123\"], [\"http://user:word@b\"]]"],
            "store.shards",
            "shard 2 must be http(s)://host:port",
        ),
        (
            &["store.shards=http://a:8123,http://b:8123"],
            "store.shards",
            "must be a list of lists of texts",
        ),
        (
            &["store.shards=[\"http://a:8123\"]"],
            "store.shards",
            "must be a list of lists of texts",
        ),
        (
            &[
                "store.shards=[[\"http://a:8123\"]]",
                "store.url=http://b:8123",
            ],
            "store.shards",
            "in place of store.url",
        ),
        (
            &["store.shards=[[\"http://a:8123\"]]", "store.cluster=c"],
            "store.cluster",
            "of the server at store.url",
        ),
        (
            &[
                "store.shards=[[\"http://a:8123\"]]",
                "store.replication=keeper",
            ],
            "store.replication",
            "with Keeper, are not supported",
        ),
        (
            &[
                "store.shards=[[\"http://a:8123\"], [\"http://b:8123\"]]",
                "bi_port.http_listen=127.0.0.1:8123",
            ],
            "bi_port.http_listen",
            "for the embedded engine",
        ),
    ] {
        let pairs = settings.iter().flat_map(|pair| ["--set", pair]);
        let arguments: Vec<&str> = ["check-config"].into_iter().chain(pairs).collect();
        let error = fail(&server, &arguments, 2);
        assert!(
            error.contains(key) && error.contains(told),
            "{settings:?}: {error}"
        );
    }
}
