//! One budget for the memory of the collector, and a flood of forged paths, sites, visitors and ids
//! that tries to break it.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{AGENT, Body, Client, NOON, SITES, Server, grant_of};

const MIB: u64 = 1 << 20;

/// Views in one body, each of a path, a source and an id of its own.
const VIEWS: u64 = 4;

/// Connections at once: a batch is synced for all of them.
const CLIENTS: usize = 64;

/// Between two looks at the memory.
const SAMPLE_PAUSE: Duration = Duration::from_millis(2);

/// Resident pages of the files of a release build: the program and its libraries.
const RELEASE_FILES: u64 = 22 * MIB;

/// The memory that the process has resident, in bytes, with the files of a release build: the code
/// of this build is several times as large.
fn resident(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
        kib.trim().parse::<u64>().unwrap() * 1024
    };
    bytes("RssAnon:") + bytes("RssShmem:") + RELEASE_FILES
}

/// A body of views that all have a path, a source and an id nobody had before, of a visitor and a
/// network of its own.
fn send(client: &mut Client, n: u64) {
    let one = |view: u64| {
        let (site, id) = (n / 4, n * VIEWS + view);
        let path = format!("/u/p{site}/{view}-{}", "abcdefgh-".repeat(45));
        let referrer = format!("https://s{id}.example/");
        format!(
            r#"{{"kind":"view","url":"https://pages.example{path}","referrer":"{referrer}","id":"{id:032x}"}}"#
        )
    };
    let body = format!("[{}]", (0..VIEWS).map(one).collect::<Vec<_>>().join(","));
    let [_, a, b, c] = (n as u32 + 1).to_be_bytes();
    let (address, cookie, now) = (
        format!("{}.{b}.{c}.9", 1 + a),
        grant_of(u128::from(n)),
        NOON.to_string(),
    );
    let headers = [
        ("Host", "pages.example"),
        ("User-Agent", AGENT),
        ("X-Forwarded-For", address.as_str()),
        ("Cookie", cookie.as_str()),
        ("X-Footfall-Now", now.as_str()),
    ];
    client
        .send("POST", "/ff/hit", &headers, Body::Sized(body.as_bytes()))
        .unwrap();
}

fn send_all(server: &Server, bodies: std::ops::Range<u64>) {
    let mut clients: Vec<Client> = (0..CLIENTS / 2).map(|_| server.client()).collect();
    let bodies: Vec<u64> = bodies.collect();
    for round in bodies.chunks(clients.len()) {
        for (client, n) in clients.iter_mut().zip(round) {
            send(client, *n);
        }
        for client in clients.iter_mut().take(round.len()) {
            let answer = client.receive().unwrap();
            assert_eq!(answer.status, 202, "{}", answer.text());
        }
    }
}

/// Without the engine, whose memory is another budget: the store is a server that is away.
fn flood(settings: &[&str], budget: u64, bodies: u64) {
    let memory = format!("limits.memory_bytes={budget}");
    let away = [
        "store.url=http://127.0.0.1:1",
        "journal.segment_secs=3600",
        memory.as_str(),
    ];
    let server = Server::start_with(SITES, &[&away, settings].concat());
    let before = resident(&server);
    let is_over = AtomicBool::new(false);
    let peak = std::thread::scope(|scope| {
        let (server, is_over) = (&server, &is_over);
        // The kernel's own peak includes pages of files, which come and go.
        let sampled = scope.spawn(move || {
            let mut peak = 0;
            while !is_over.load(Ordering::Relaxed) {
                peak = resident(server).max(peak);
                std::thread::sleep(SAMPLE_PAUSE);
            }
            peak
        });
        let halves = [0..bodies / 2, bodies / 2..bodies];
        let senders = halves.map(|half| scope.spawn(move || send_all(server, half)));
        let sent = senders.map(|sender| sender.join());
        is_over.store(true, Ordering::Relaxed);
        assert!(sent.iter().all(Result::is_ok), "every body is answered");
        sampled.join().unwrap()
    });
    println!(
        "budget_mib={} resident_mib={} resident_before_mib={}",
        budget / MIB,
        peak / MIB,
        before / MIB
    );
    for kind in ["visitors", "sites", "values"] {
        let over = server.metric(&format!("footfall_over_limit_{kind}_total"));
        println!("over_limit_{kind}={over}");
        assert!(over > 0, "the flood fills the room for {kind}");
    }
    assert!(
        peak <= budget,
        "{} MiB resident of {} MiB",
        peak / MIB,
        budget / MIB
    );
}

#[test]
fn a_flood_of_forged_paths_sites_and_visitors_stays_within_the_budget() {
    let settings = [
        "journal.segment_bytes=1048576",
        "limits.header_bytes=8192",
        "limits.visitors=2000",
        "limits.sites=500",
    ];
    flood(&settings, 156 * MIB, 2_600);
}

#[test]
#[ignore = "some minutes"]
fn a_larger_budget_holds_against_a_larger_flood() {
    flood(&["journal.segment_bytes=8388608"], 272 * MIB, 140_000);
}
