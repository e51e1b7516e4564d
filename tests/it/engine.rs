//! The embedded engine is a process of its own. It is killed, it hangs, it dies while it starts:
//! hits are answered, each is counted once, and reports come back by themselves.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{
    AGENT, Body, Client, DAY, NOON, SITES, Server, grant, hit, stat, until, view,
};

/// How long reports may be away after a kill.
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// The same on a machine that other tests keep busy.
const BACK_AT_LAST: Duration = Duration::from_secs(30);
const CLIENTS: usize = 2;
/// Of one site: what a report lists.
const PAGES: usize = 900;

/// The engine's process, where one runs.
fn engine_of(server: &Server) -> Option<u32> {
    server.children().into_iter().max()
}

fn engine(server: &Server) -> u32 {
    until(|| engine_of(server).is_some(), "the engine's process runs");
    engine_of(server).unwrap()
}

fn signal(pid: u32, signal: Signal) {
    // It may be gone already.
    let _ = kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal);
}

/// Whether a report is answered now.
fn reports(client: &mut Client) -> bool {
    client
        .get(&format!("/api/v1/sites/mia/report?{DAY}"))
        .is_ok_and(|answer| answer.status == 200)
}

/// How long it takes until reports are answered.
fn back(server: &Server) -> Duration {
    let (start, mut client) = (Instant::now(), server.client());
    while !reports(&mut client) {
        assert!(
            start.elapsed() < BACK_AT_LAST,
            "no report within {BACK_AT_LAST:?}\n{}",
            server.log()
        );
        sleep(Duration::from_millis(20));
        let _ = client.reconnect();
    }
    start.elapsed()
}

/// Sends a view of a page nobody else sends, again and again; each is answered 202. Answers the
/// sites and the number of pages of each.
fn send(server: &Server, client: usize, over: &AtomicBool) -> Vec<(String, usize)> {
    let (cookie, now) = (grant(), NOON.to_string());
    let (mut connection, mut sites) = (server.client(), Vec::new());
    for round in 0.. {
        let site = format!("c{client}r{round}");
        for page in 0..PAGES {
            if over.load(Ordering::Relaxed) {
                sites.push((site, page));
                return sites;
            }
            let address = format!("10.{client}.{}.{}", page / 250, page % 250);
            let headers = [
                ("Host", "pages.example"),
                ("User-Agent", AGENT),
                ("X-Forwarded-For", address.as_str()),
                ("Cookie", cookie.as_str()),
                ("X-Footfall-Now", now.as_str()),
            ];
            let body = view(&format!("/u/{site}/{page}"));
            let answer = connection.ask("POST", "/ff/hit", &headers, Body::Sized(body.as_bytes()));
            assert_eq!(
                answer.expect("a hit is answered").status,
                202,
                "{}",
                server.log()
            );
            sleep(Duration::from_millis(3));
        }
        sites.push((site, PAGES));
    }
    unreachable!("it ends when it is told to")
}

/// Pages that are not counted, and pages that are counted more than once.
fn compare(server: &Server, sent: &[(String, usize)]) -> (usize, usize) {
    let (mut lost, mut doubled) = (0, 0);
    for (site, pages) in sent.iter().filter(|(_, pages)| *pages > 0) {
        let report = server.report(site, DAY);
        let rows = report["subjects"]["page"]["rows"].as_array().unwrap();
        let counted: HashMap<&str, u64> = rows
            .iter()
            .map(|row| (row["item"].as_str().unwrap(), row["hits"].as_u64().unwrap()))
            .collect();
        for page in 0..*pages {
            match counted.get(format!("/u/{site}/{page}").as_str()) {
                None => lost += 1,
                Some(1) => {}
                Some(_) => doubled += 1,
            }
        }
        let total = report["totals"]["hits"].as_u64().unwrap();
        assert_eq!(
            total,
            counted.values().sum::<u64>(),
            "{site}: the site's total and its pages'"
        );
    }
    (lost, doubled)
}

/// The same moments in each run, spread.
fn moments(seed: u64, below: u64) -> impl Iterator<Item = Duration> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis((state >> 33) % below)
    })
}

/// What happens to the engine while hits are sent.
struct Chaos {
    kills: usize,
    stops: usize,
    kills_at_start: usize,
    back_within: Duration,
}

fn chaos(plan: &Chaos) {
    let server = Server::start(SITES);
    server.flush();
    let over = AtomicBool::new(false);
    let (sent, slowest) = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn({
                    let (server, over) = (&server, &over);
                    move || send(server, client, over)
                })
            })
            .collect();
        // Segments are sealed and sent all the time, so that a kill meets an insert.
        let (mut sealer, host) = (server.client(), server.address().to_string());
        scope.spawn({
            let (server, over) = (&server, &over);
            move || {
                while !over.load(Ordering::Relaxed) {
                    // An engine that dies again and again takes no segment for longer than a client
                    // waits. Each flush closes a segment all the same.
                    if sealer
                        .ask("POST", "/test/flush", &[("Host", &host)], Body::None)
                        .is_err()
                    {
                        sealer = server.client();
                    }
                }
            }
        });

        let ended =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| torment(&server, plan)));
        over.store(true, Ordering::Relaxed);
        let sent: Vec<_> = senders
            .into_iter()
            .flat_map(|sender| sender.join().unwrap())
            .collect();
        (
            sent,
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        )
    });

    server.flush();
    let (lost, doubled) = compare(&server, &sent);
    let pages: usize = sent.iter().map(|(_, pages)| pages).sum();
    println!(
        "hits={pages} reports_back_within_ms={}",
        slowest.as_millis()
    );
    println!(
        "engine_stops={} engine_kills_at_start={}",
        plan.stops, plan.kills_at_start
    );
    println!(
        "engine_kills={}\nlost={lost}\ndoubled={doubled}",
        plan.kills
    );
    assert_eq!((lost, doubled), (0, 0));
    assert!(
        slowest < plan.back_within,
        "reports were away for {slowest:?}"
    );
    assert_eq!(server.metric("footfall_segments_quarantined_total"), 0);
    assert!(pages > 100, "{pages}");
}

/// Answers the longest time after which reports were back.
fn torment(server: &Server, plan: &Chaos) -> Duration {
    let mut slowest = Duration::ZERO;
    for moment in moments(1, 900).take(plan.kills) {
        sleep(moment);
        signal(engine(server), Signal::KILL);
        slowest = slowest.max(back(server));
    }
    for moment in moments(2, 700).take(plan.kills_at_start) {
        let former = engine(server);
        signal(former, Signal::KILL);
        until(
            || engine_of(server).is_some_and(|pid| pid != former),
            "it is started again",
        );
        sleep(moment);
        signal(engine(server), Signal::KILL);
        slowest = slowest.max(back(server));
    }
    for moment in moments(3, 1_500).take(plan.stops) {
        let pid = engine(server);
        signal(pid, Signal::STOP);
        sleep(Duration::from_millis(300) + moment);
        signal(pid, Signal::CONT);
        slowest = slowest.max(back(server));
        assert_eq!(engine(server), pid, "it is the same process");
    }
    slowest
}

#[test]
fn an_engine_that_is_killed_or_hangs_costs_no_hit_and_none_counts_twice() {
    chaos(&Chaos {
        kills: 4,
        stops: 2,
        kills_at_start: 2,
        back_within: BACK_AT_LAST,
    });
}

/// `make engine-chaos`
#[test]
#[ignore = "some ten minutes; make engine-chaos runs it"]
fn engine_chaos_in_full() {
    chaos(&Chaos {
        kills: 200,
        stops: 20,
        kills_at_start: 20,
        back_within: BACK_WITHIN,
    });
}

#[test]
fn hits_are_answered_and_kept_while_the_first_start_is_killed_again_and_again() {
    let server = Server::start(SITES);
    let (mut killed, mut sent) = (HashSet::new(), 0);
    let mut client = server.client();
    while killed.len() < 3 {
        if let Some(pid) = engine_of(&server).filter(|pid| !killed.contains(pid)) {
            signal(pid, Signal::KILL);
            killed.insert(pid);
        }
        assert_eq!(hit(&mut client, &view("/u/mia"), &[]).status, 202);
        sent += 1;
        sleep(Duration::from_millis(5));
    }
    // The tables are made as well.
    back(&server);
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], sent);
}

#[test]
fn a_collector_that_is_killed_leaves_no_engine_behind_not_even_one_that_hangs() {
    for hangs in [false, true] {
        let mut server = Server::start(SITES);
        server.flush();
        let pid = engine(&server);
        if hangs {
            signal(pid, Signal::STOP);
        }
        server.kill();
        until(
            || stat(pid).is_none_or(|stat| stat[0] == "Z"),
            "the engine is gone",
        );
        server.restart();
        server.flush();
        assert!(reports(&mut server.client()));
    }
}

#[test]
fn a_stop_ends_the_engine_in_order_and_a_signal_to_all_loses_nothing() {
    let mut server = Server::start_with(SITES, &["journal.segment_secs=3600"]);
    server.flush();
    let pid = engine(&server);
    assert_eq!(hit(&mut server.client(), &view("/u/mia"), &[]).status, 202);
    // As a service manager does it.
    signal(pid, Signal::TERM);
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    assert!(
        stat(pid).is_none_or(|stat| stat[0] == "Z"),
        "it ended before the collector"
    );
    let waiting = fs::read_dir(server.dir().join("data/journal"))
        .unwrap()
        .flatten();
    assert_eq!(
        waiting
            .filter(|entry| entry.path().extension().is_some_and(|e| e == "sealed"))
            .count(),
        0
    );
}

#[test]
fn nothing_about_the_engine_tells_a_secret_and_it_is_nicer_than_the_collector() {
    let secret = "CANARY-store-password";
    let server = Server::start_in(SITES, &[], &[("FOOTFALL__STORE__PASSWORD", secret)]);
    server.flush();
    let pid = engine(&server);
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(String::from_utf8_lossy(&command), "footfall\0engine\0");
    // Only root may look, as the process is not dumpable.
    if let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) {
        let environment = String::from_utf8_lossy(&environment);
        let variables = environment
            .split_terminator('\0')
            .filter(|text| !text.starts_with("LD_LIBRARY_PATH="));
        assert_eq!(
            variables.collect::<Vec<_>>(),
            [""; 0],
            "only where the loader finds libraries"
        );
    }
    let (own, engines) = (stat(server.pid()).unwrap(), stat(pid).unwrap());
    // Behind the name: 2 the group, 16 the nice level.
    assert_eq!(engines[2], pid.to_string(), "a process group of its own");
    assert_eq!(
        engines[16].parse::<i32>().unwrap(),
        own[16].parse::<i32>().unwrap() + 10
    );
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(
        core.split_whitespace().collect::<Vec<_>>()[4..6],
        ["0", "0"],
        "{core}"
    );
}

#[test]
fn what_the_engine_writes_to_its_standard_error_reaches_no_log() {
    let mut server = Server::start_with(SITES, &["log.filter=\"trace\""]);
    server.flush();
    assert_eq!(
        hit(&mut server.client(), &view("/u/mia/CANARY-page"), &[]).status,
        202
    );
    server.flush();
    signal(engine(&server), Signal::ABORT);
    until(
        || server.log().contains("the embedded engine ended"),
        "its end is logged",
    );
    back(&server);
    assert_eq!(server.stop(), Some(0));
    let log = server.log();
    assert!(log.contains("signal=6"), "{log}");
    assert!(!log.contains("CANARY-page"), "{log}");
}

/// `tests/it/former/store.tar.gz` is a folder of the former build, where the engine was a library
/// inside the collector: twelve views of each of two creators, published.
#[test]
fn a_folder_of_the_build_with_the_engine_inside_opens_unchanged() {
    let mut server = Server::start(SITES);
    server.flush();
    assert_eq!(server.stop(), Some(0));
    let data = server.dir().join("data");
    fs::remove_dir_all(data.join("store")).unwrap();
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/former/store.tar.gz");
    let unpacked = Command::new("tar")
        .arg("-xzf")
        .arg(archive)
        .arg("-C")
        .arg(&data)
        .status()
        .unwrap();
    assert!(unpacked.success());

    server.restart();
    server.flush();
    for site in ["mia", "tom"] {
        let report = server.report(site, DAY);
        assert_eq!(report["totals"]["hits"], 12, "{site}");
        let sources = report["dimensions"]["source"].to_string();
        assert!(
            sources.contains("Google") && sources.contains("12"),
            "{sources}"
        );
    }
    assert_eq!(hit(&mut server.client(), &view("/u/mia"), &[]).status, 202);
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 13);
}

#[test]
fn its_port_answers_no_stranger() {
    let server = Server::start(SITES);
    server.flush();
    let pid = engine(&server);
    let listens = |address: &str| {
        let inodes: HashSet<String> = fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .flatten()
            .filter_map(|entry| {
                fs::read_link(entry.path())
                    .ok()?
                    .to_str()
                    .map(str::to_owned)
            })
            .collect();
        let table = fs::read_to_string(format!("/proc/net/{address}")).unwrap_or_default();
        let lines = table.lines().skip(1).map(|line| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
        lines
            .filter(|f| f[3] == "0A" && inodes.contains(&format!("socket:[{}]", f[9])))
            .map(|f| f[1].clone())
            .collect::<Vec<_>>()
    };
    let ports = listens("tcp");
    assert_eq!((ports.len(), listens("tcp6").len()), (1, 0), "{ports:?}");
    let (address, port) = ports[0].split_once(':').unwrap();
    assert_eq!(address, "0100007F", "loopback, as the kernel writes it");

    let port = u16::from_str_radix(port, 16).unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    for user in ["", "default", "collector"] {
        let headers = [
            ("Host", "localhost"),
            ("X-ClickHouse-User", user),
            ("X-ClickHouse-Key", "wrong"),
        ];
        let mut stranger = Client::connect(([127, 0, 0, 1], port).into()).unwrap();
        let answer = stranger
            .ask("POST", "/", &headers, Body::Sized(b"SELECT 1"))
            .unwrap();
        assert!(
            answer.status == 403 || answer.status == 404,
            "{user}: {} {}",
            answer.status,
            answer.text()
        );
    }
}
