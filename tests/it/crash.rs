//! An acknowledged hit is on disk: after kills, a refusing store, full folders and changed bytes,
//! each acknowledged hit is counted once.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::support::{Body, Client, DAY, Engine, NOON, SITES, Server, grant, hit, until, view};

const CLIENTS: usize = 4;
const PAGES: usize = 900;

/// What happened to the pages a client sent, by path: answered 202, or sent and not answered.
pub type Fates = HashMap<String, bool>;

/// Sends views of pages that no other client sends, until the server is gone. A 503 is neither an
/// answer nor a count: the page is sent again.
pub fn send_until_gone(mut client: Client, site: &str, gone: &AtomicBool) -> Fates {
    let (cookie, now) = (grant(), NOON.to_string());
    let mut fates = Fates::new();
    for page in 0..PAGES {
        let path = format!("/u/{site}/{page}");
        let body = view(&path);
        let address = format!("10.0.{}.{}", page / 250, page % 250);
        let headers = [
            ("Host", "pages.example"),
            ("User-Agent", crate::support::AGENT),
            ("X-Forwarded-For", address.as_str()),
            ("Cookie", cookie.as_str()),
            ("X-Footfall-Now", now.as_str()),
        ];
        loop {
            match client
                .ask("POST", "/ff/hit", &headers, Body::Sized(body.as_bytes()))
                .map(|answer| answer.status)
            {
                Ok(202) => drop(fates.insert(path.clone(), true)),
                Ok(503) if !gone.load(Ordering::Relaxed) => continue,
                Ok(503) => {}
                Ok(other) => panic!("{other} for {path}"),
                Err(_) => drop(fates.insert(path.clone(), false)),
            }
            break;
        }
        if gone.load(Ordering::Relaxed) {
            break;
        }
    }
    fates
}

/// Kills the server after `delay` under load from all clients, while segments are closed
/// constantly.
fn kill_under_load(server: &mut Server, round: usize, delay: Duration) -> HashMap<String, Fates> {
    let gone = AtomicBool::new(false);
    let sites: Vec<String> = (0..CLIENTS)
        .map(|client| format!("r{round}c{client}"))
        .collect();
    std::thread::scope(|scope| {
        let senders: Vec<_> = sites
            .iter()
            .map(|site| {
                let (client, gone) = (server.client(), &gone);
                scope.spawn(move || send_until_gone(client, site, gone))
            })
            .collect();
        let (mut sealer, host) = (server.client(), server.address().to_string());
        let gone = &gone;
        scope.spawn(move || {
            while !gone.load(Ordering::Relaxed) {
                // Waits while the store refuses; ends with the server.
                if sealer
                    .ask("POST", "/test/flush", &[("Host", &host)], Body::None)
                    .is_err()
                {
                    break;
                }
            }
        });
        sleep(delay);
        server.kill();
        gone.store(true, Ordering::Relaxed);
        sites
            .iter()
            .cloned()
            .zip(senders.into_iter().map(|sender| sender.join().unwrap()))
            .collect()
    })
}

/// Every answered page has exactly one view, every unanswered one at most one, and there is no
/// other page.
pub fn assert_counted_once(server: &Server, fates: &HashMap<String, Fates>) -> (usize, usize) {
    let (mut answered, mut unanswered) = (0, 0);
    for (site, pages) in fates {
        let report = server.report(site, DAY);
        let rows = report["subjects"]["page"]["rows"].as_array().unwrap();
        let counted: HashMap<&str, u64> = rows
            .iter()
            .map(|row| (row["item"].as_str().unwrap(), row["hits"].as_u64().unwrap()))
            .collect();
        for (path, was_answered) in pages {
            let hits = counted.get(path.as_str()).copied().unwrap_or(0);
            match was_answered {
                true => assert_eq!(hits, 1, "{path} was answered"),
                false => assert!(hits <= 1, "{path} counts {hits}"),
            }
        }
        assert!(
            counted.keys().all(|path| pages.contains_key(*path)),
            "{site} holds a page nobody sent"
        );
        let total: u64 = counted.values().sum();
        assert_eq!(
            report["totals"]["hits"], total,
            "{site}: the site's total and its pages'"
        );
        answered += pages.values().filter(|answered| **answered).count();
        unanswered += pages.values().filter(|answered| !**answered).count();
    }
    (answered, unanswered)
}

/// A small generator, so that the moments of the kills are spread and the same in each run.
pub fn delays(seed: u64) -> impl Iterator<Item = Duration> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis(20 + (state >> 33) % 380)
    })
}

#[test]
fn thirty_kills_under_load_lose_no_answered_hit_and_count_none_twice_while_the_store_refuses_and_returns()
 {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut engine = Engine::start(&dir.path().join("clickhouse"));
    let url = format!("store.url=\"{}\"", engine.url());
    let mut server = Server::start_with(SITES, &[&url]);
    let mut fates = HashMap::new();
    for (round, delay) in delays(1).take(30).enumerate() {
        match round % 5 {
            // The store is killed too, whatever it is doing.
            1 => engine.kill(),
            3 => engine.restart(),
            _ => {}
        }
        fates.extend(kill_under_load(&mut server, round, delay));
        server.restart();
    }
    engine.kill();
    engine.restart();
    server.flush();
    let (answered, unanswered) = assert_counted_once(&server, &fates);
    println!(
        "{answered} answered hits counted once; {unanswered} were under way when the program died"
    );
    assert!(answered > 300, "{answered}");
    assert_eq!(server.metric("footfall_segments_quarantined_total"), 0);
    assert_eq!(server.metric("footfall_journal_damaged_frames_total"), 0);
}

#[test]
fn kills_of_collector_and_embedded_engine_together_lose_nothing_either() {
    let mut server = Server::start(SITES);
    let mut fates = HashMap::new();
    for (round, delay) in delays(2).take(6).enumerate() {
        fates.extend(kill_under_load(&mut server, round, delay));
        server.restart();
    }
    server.flush();
    let (answered, _) = assert_counted_once(&server, &fates);
    assert!(answered > 30, "{answered}");
}

#[test]
fn a_stop_closes_visits_and_sends_everything_and_the_next_start_finds_nothing_to_do() {
    let mut server = Server::start(SITES);
    // The store is open: a stop does not wait for one that is being opened.
    server.flush();
    let mut client = server.client();
    assert_eq!(hit(&mut client, &view("/u/mia"), &[]).status, 202);
    let later = (NOON + 95_000).to_string();
    assert_eq!(
        hit(
            &mut client,
            &view("/u/mia/shop"),
            &[("X-Footfall-Now", &later)]
        )
        .status,
        202
    );
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    let left = fs::read_dir(server.dir().join("data/journal"))
        .unwrap()
        .flatten();
    let left: Vec<String> = left
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.contains(".sealed"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    server.restart();
    server.flush();
    let report = server.report("mia", DAY);
    assert_eq!(
        report["totals"],
        serde_json::json!({"hits": 2, "visitors": 1, "visits": 1, "bounces": 0, "seconds": 95})
    );
    let pages = report["subjects"]["page"]["rows"].as_array().unwrap();
    let shop = pages
        .iter()
        .find(|row| row["item"] == "/u/mia/shop")
        .unwrap();
    assert_eq!(shop["exits"], 1);
}

#[test]
fn with_the_store_away_hits_are_answered_up_to_the_bound_then_refused_and_all_arrive_when_it_is_back()
 {
    // The open segment alone reserves 4 MiB.
    let (_dir, mut engine, mut server) = with_the_store_away("journal.max_bytes=4500000");
    let mut client = server.client();
    let long = "x".repeat(180);
    let page = |n: usize| {
        format!(
            "/u/mia/{}",
            format!("{long}/")
                .repeat(2)
                .replace('x', &format!("{}", (b'a' + (n % 26) as u8) as char))
        )
    };
    let mut answered = 0;
    let mut refused = None;
    for n in 0..200_000 {
        let body = format!(
            "[{}]",
            vec![view(&format!("{}p{n}", page(n))); 10].join(",")
        );
        let answer = hit(&mut client, &body, &[]);
        match answer.status {
            202 => answered += 10,
            _ => {
                refused = Some(answer);
                break;
            }
        }
    }
    let refused = refused.expect("the bound is met");
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("2"))
    );
    assert_eq!(server.metric("footfall_journal_full"), 1);
    server.kill();
    server.restart();
    until(
        || server.metric("footfall_journal_full") == 1,
        "what the last run left is found to be too much",
    );
    engine.restart();
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], answered);
    // The limit is checked once a second: a client that retries when told to succeeds.
    until(
        || hit(&mut server.client(), &view("/u/mia"), &[]).status == 202,
        "hits are taken again",
    );
}

/// A collector whose ClickHouse is dead, with its data in the folder.
fn with_the_store_away(setting: &str) -> (TempDir, Engine, Server) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut engine = Engine::start(&dir.path().join("clickhouse"));
    engine.kill();
    let url = format!("store.url=\"{}\"", engine.url());
    let server = Server::start_with(SITES, &[&url, setting]);
    (dir, engine, server)
}

/// The first segment file with this extension.
fn segment(server: &Server, ending: &str) -> PathBuf {
    let files = segments(server, ending);
    files.into_iter().next().expect("a segment file")
}

/// The segment files in a state, in order of their numbers.
fn segments(server: &Server, ending: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(server.dir().join("data/journal"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let mut files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|e| e == ending))
        .collect();
    files.sort();
    files
}

/// A segment of one view that waits for the store; the collector is dead.
fn one_sealed_segment(server: &mut Server) -> PathBuf {
    assert_eq!(hit(&mut server.client(), &view("/u/mia"), &[]).status, 202);
    server.kill();
    server.restart();
    server.kill();
    segment(server, "sealed")
}

#[test]
fn a_segment_that_cannot_be_read_for_a_while_is_not_damaged_and_is_counted_once_it_can() {
    let (dir, mut engine, mut server) = with_the_store_away("journal.segment_secs=3600");
    let sealed = one_sealed_segment(&mut server);
    let aside = dir.path().join("aside");
    fs::rename(&sealed, &aside).unwrap();
    // Opening it fails as it does without free file descriptors, which says nothing about its
    // contents.
    std::os::unix::fs::symlink(&sealed, &sealed).unwrap();
    engine.restart();
    server.restart();
    until(
        || server.metric("footfall_insert_failures_total") > 1,
        "it is tried again",
    );
    assert_eq!(server.metric("footfall_segments_quarantined_total"), 0);
    fs::rename(&aside, &sealed).unwrap();
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 1);
    assert_eq!(server.metric("footfall_segments_quarantined_total"), 0);
}

#[test]
fn a_segment_that_waited_for_a_year_raises_a_metric_and_is_counted_once() {
    let (_dir, mut engine, mut server) = with_the_store_away("journal.segment_secs=3600");
    let sealed = one_sealed_segment(&mut server);
    let a_year = Duration::from_secs(365 * 86_400);
    fs::File::options()
        .write(true)
        .open(&sealed)
        .unwrap()
        .set_modified(SystemTime::now() - a_year)
        .unwrap();
    let copy = fs::read(&sealed).unwrap();
    server.restart();
    assert!(
        server.metric("footfall_segment_overdue_seconds") >= a_year.as_secs(),
        "known with the store away"
    );
    engine.restart();
    for round in 1..=2 {
        server.flush();
        let figures = [
            "segments_quarantined_total",
            "segments_inserted_total",
            "segment_overdue_seconds",
        ]
        .map(|name| server.metric(&format!("footfall_{name}")));
        assert_eq!(
            (
                figures,
                server.report("mia", DAY)["totals"]["hits"].as_u64()
            ),
            ([0, 1, 0], Some(1)),
            "{round}"
        );
        // As if it had never been acknowledged.
        assert_eq!(server.stop(), Some(0));
        fs::write(&sealed, &copy).unwrap();
        server.restart();
    }
}

#[test]
fn a_stop_with_a_full_journal_ends_in_order_and_loses_no_answered_view() {
    let mut server = Server::start_with(
        SITES,
        &["journal.segment_secs=3600", "journal.max_bytes=8388608"],
    );
    assert_eq!(hit(&mut server.client(), &view("/u/mia"), &[]).status, 202);
    let ballast = fs::File::create(server.dir().join("data/journal/ballast")).unwrap();
    ballast.set_len(8 << 20).unwrap();
    until(
        || server.metric("footfall_journal_full") == 1,
        "the bound is met",
    );
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    server.restart();
    server.flush();
    // There was no space for the end of the open visit.
    let totals = &server.report("mia", DAY)["totals"];
    assert_eq!(
        [&totals["hits"], &totals["visits"], &totals["bounces"]],
        [1, 1, 0]
    );
}

/// Damages the journal while the collector is dead. Returns the file and the offset.
fn flip(server: &Server, ending: &str, place: impl Fn(&[u8]) -> usize) -> (PathBuf, usize) {
    let path = segment(server, ending);
    let bytes = fs::read(&path).unwrap();
    let at = place(&bytes);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[bytes[at] ^ 0x20], at as u64).unwrap();
    (path, at)
}

#[test]
fn a_flipped_byte_in_an_open_segment_is_named_and_costs_its_own_batch_only() {
    let mut server = Server::start_with(SITES, &["journal.segment_secs=3600"]);
    let mut client = server.client();
    for n in 0..50 {
        assert_eq!(
            hit(&mut client, &view(&format!("/u/mia/{n}")), &[]).status,
            202
        );
    }
    server.kill();
    // The magic of the 22nd frame: the first frame holds what was carried over from the segment
    // before, the next 20 hold one hit each.
    let starts = |bytes: &[u8]| {
        bytes
            .windows(4)
            .enumerate()
            .filter(|(_, w)| *w == b"FFR1")
            .map(|(n, _)| n)
            .collect::<Vec<_>>()
    };
    let (path, at) = flip(&server, "open", |bytes| starts(bytes)[21] + 14);
    server.restart();
    server.flush();
    let report = server.report("mia", DAY);
    assert_eq!(report["totals"]["hits"], 49);
    let rows = report["subjects"]["page"]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 49);
    assert!(rows.iter().all(|row| row["item"] != "/u/mia/20"));
    let log = server.log();
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(
        log.lines().any(|line| line.contains("ERROR")
            && line.contains(name)
            && line.contains(&format!("offset={}", at - 14))),
        "{log}"
    );
    assert_eq!(server.metric("footfall_journal_damaged_frames_total"), 1);
    assert!(
        server
            .dir()
            .join("data/journal/quarantine")
            .join(name)
            .is_file()
    );
}

#[test]
fn a_flipped_byte_in_a_sealed_segment_is_named_and_the_segments_after_it_are_counted() {
    damaged_sealed_segment_is_named(|server| flip(server, "sealed", |bytes| bytes.len() - 3).0);
}

#[test]
fn a_sealed_segment_with_the_header_of_another_is_named_and_not_taken_for_sent() {
    damaged_sealed_segment_is_named(|server| {
        let files = segments(server, "sealed");
        let (first, second) = (&files[0], &files[1]);
        let mut bytes = fs::read(second).unwrap();
        bytes[..36].copy_from_slice(&fs::read(first).unwrap()[..36]);
        fs::write(second, bytes).unwrap();
        second.clone()
    });
}

/// Three segments wait for the store; `damage` changes one of them and returns its path.
fn damaged_sealed_segment_is_named(damage: impl Fn(&Server) -> PathBuf) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut engine = Engine::start(&dir.path().join("clickhouse"));
    engine.kill();
    let url = format!("store.url=\"{}\"", engine.url());
    let mut server = Server::start_with(SITES, &[&url, "journal.segment_secs=3600"]);
    for n in 0..3 {
        assert_eq!(
            hit(&mut server.client(), &view(&format!("/u/mia/{n}")), &[]).status,
            202
        );
        server.kill();
        server.restart();
    }
    server.kill();
    let path = damage(&server);
    engine.restart();
    server.restart();
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 2);
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(
        server
            .log()
            .lines()
            .any(|line| line.contains("ERROR") && line.contains(name)),
        "{}",
        server.log()
    );
    assert_eq!(server.metric("footfall_segments_quarantined_total"), 1);
    assert!(
        server
            .dir()
            .join("data/journal/quarantine")
            .join(name)
            .is_file()
    );
}

#[test]
fn a_second_collector_on_the_same_journal_is_refused_with_the_reason() {
    let server = Server::start(SITES);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_footfall"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(server.dir().join("footfall.toml"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("another collector uses this journal")
    );
}
