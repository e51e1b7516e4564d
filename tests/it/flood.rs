//! Expensive clients (they send without reading, read slowly, or hold idle connections) cost little
//! memory and do not slow others.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{DAY, SITES, Server, hit, until, view};

const MIB: u64 = 1 << 20;

/// The number of clients of each kind.
struct Crowd {
    never_read: usize,
    read_slowly: usize,
    idle: usize,
}

/// The bytes that a client sends without reading: more than all buffers on the way hold.
const SENT_AT_MOST: usize = 8 << 20;

fn more_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
}

fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address()).unwrap()
}

/// Requests with small answers and with large ones.
fn requests() -> Vec<u8> {
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: pages.example\r\n\r\n");
    [
        one("/healthz"),
        one("/ff/f.js"),
        one("/nothing"),
        one("/ff/consent.js"),
    ]
    .concat()
    .repeat(200)
    .into_bytes()
}

/// Sends requests on all connections at once for as long as the server reads them. `true` once it
/// has read nothing for half a second.
fn send_all(streams: &mut [TcpStream]) -> bool {
    let requests = requests();
    let mut sent = vec![0_usize; streams.len()];
    streams
        .iter()
        .for_each(|stream| stream.set_nonblocking(true).unwrap());
    let (deadline, mut moved) = (Instant::now() + Duration::from_secs(60), Instant::now());
    while moved.elapsed() < Duration::from_millis(500) {
        if Instant::now() > deadline {
            return false;
        }
        for (stream, sent) in streams
            .iter_mut()
            .zip(&mut sent)
            .filter(|(_, sent)| **sent < SENT_AT_MOST)
        {
            if let Ok(bytes) = stream.write(&requests[*sent % requests.len()..]) {
                *sent += bytes;
                moved = Instant::now();
            }
        }
        sleep(Duration::from_millis(5));
    }
    true
}

fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

/// Hits of another client, one after the other, while `until` holds.
fn others(server: &Server, over: &AtomicBool) -> Vec<Duration> {
    let (mut client, mut took) = (server.client(), Vec::new());
    while !over.load(Ordering::Relaxed) || took.len() < 200 {
        let start = Instant::now();
        assert_eq!(hit(&mut client, &view("/u/mia"), &[]).status, 202);
        took.push(start.elapsed());
        sleep(Duration::from_millis(2));
    }
    took
}

fn flood(crowd: &Crowd) {
    more_files();
    let mut server = Server::start_with(
        SITES,
        &[
            "limits.write_timeout_millis=3000",
            "server.keep_alive_secs=30",
            "server.max_connections=25000",
            "limits.memory_bytes=4294967296",
        ],
    );
    server.flush();
    let quiet = p99(others(&server, &AtomicBool::new(true)));
    let before = server.resident();

    let idle: Vec<TcpStream> = (0..crowd.idle).map(|_| connect(&server)).collect();
    let mut slow: Vec<TcpStream> = (0..crowd.read_slowly).map(|_| connect(&server)).collect();
    let mut deaf: Vec<TcpStream> = (0..crowd.never_read).map(|_| connect(&server)).collect();
    let (over, began) = (AtomicBool::new(false), Instant::now());
    let (flooded, most) = std::thread::scope(|scope| {
        let (server, over) = (&server, &over);
        let hits = scope.spawn(move || others(server, over));
        let resident = scope.spawn(move || {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = server.resident().max(most);
                sleep(Duration::from_millis(20));
            }
            most
        });
        assert!(send_all(&mut slow), "what is read slowly is sent as slowly");
        assert!(
            send_all(&mut deaf),
            "the server takes no more than it can answer"
        );
        let mut some = [0; 512];
        let mut read = 0;
        for _ in 0..20 {
            read += slow
                .iter_mut()
                .filter_map(|stream| stream.read(&mut some).ok())
                .sum::<usize>();
            sleep(Duration::from_millis(25));
        }
        assert!(read > 0, "slow readers are answered");
        over.store(true, Ordering::Relaxed);
        (p99(hits.join().unwrap()), resident.join().unwrap())
    });
    let lasted = began.elapsed();
    let connections = (crowd.idle + crowd.read_slowly + crowd.never_read) as u64;
    println!(
        "flood_connections={connections} flood_resident_mib={} flood_resident_before_mib={} flood_p99_us={} quiet_p99_us={}",
        most / MIB,
        before / MIB,
        flooded.as_micros(),
        quiet.as_micros()
    );
    let allowed = before + 64 * MIB + connections * MIB / 4;
    assert!(
        most < allowed,
        "{} MiB, allowed are {}",
        most / MIB,
        allowed / MIB
    );
    // Without optimisation an answer costs some twenty times as much, and each flooding client of
    // the worker has one or two between two of this client's.
    let slower = Duration::from_millis(if cfg!(debug_assertions) { 2_000 } else { 100 });
    // On a busy machine the flood itself takes longer, too.
    assert!(
        flooded < (quiet * 10 + slower).max(lasted / 3),
        "{flooded:?} instead of {quiet:?}, of {lasted:?}"
    );

    // Clients that do not read are disconnected, and do not delay a shutdown.
    let gone = Instant::now();
    until(
        || server.metric("footfall_connections") <= connections - crowd.never_read as u64 + 2,
        "they are let go",
    );
    println!("flood_let_go_ms={}", gone.elapsed().as_millis());
    let sent = server.metric("footfall_hits_total");
    let mut again: Vec<TcpStream> = (0..crowd.never_read.min(50))
        .map(|_| connect(&server))
        .collect();
    send_all(&mut again);
    let stopped = Instant::now();
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    println!("flood_stop_ms={}", stopped.elapsed().as_millis());
    assert!(
        stopped.elapsed() < Duration::from_secs(25),
        "a stop took {:?}",
        stopped.elapsed()
    );
    drop((idle, slow, deaf, again));
    server.restart();
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], sent);
}

#[test]
fn clients_that_never_read_cost_little_slow_nobody_and_are_let_go() {
    flood(&Crowd {
        never_read: 40,
        read_slowly: 40,
        idle: 200,
    });
}

#[test]
#[ignore = "needs 12 000 descriptors and half a minute"]
fn a_thousand_clients_that_never_read_and_ten_thousand_idle_ones_are_borne() {
    flood(&Crowd {
        never_read: 1000,
        read_slowly: 1000,
        idle: 10_000,
    });
}

#[test]
fn one_network_has_its_connections_and_leaves_those_of_others() {
    let settings = [
        "proxy.trusted=[]",
        "server.connections_per_network=20",
        "limits.read_timeout_millis=9500",
    ];
    let server = Server::start_with(SITES, &settings);
    server.flush();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let from = |address: Ipv4Addr| {
        runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::from((address, 0))).unwrap();
            socket
                .connect(server.address())
                .await
                .unwrap()
                .into_std()
                .unwrap()
        })
    };
    let answers = |mut stream: TcpStream| {
        stream.set_nonblocking(false).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut answer = [0; 12];
        let sent = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
        sent.and_then(|()| stream.read_exact(&mut answer))
            .is_ok_and(|()| answer == *b"HTTP/1.1 200")
    };
    let held: Vec<TcpStream> = (0..40_u8)
        .map(|n| from(Ipv4Addr::new(127, 0, 1, n + 1)))
        .collect();
    until(
        || server.metric("footfall_connections_rejected_total") == 20,
        "twenty are too many",
    );
    assert!(
        answers(from(Ipv4Addr::new(127, 0, 2, 1))),
        "another network is answered"
    );
    let answered = held
        .into_iter()
        .map(answers)
        .filter(|answered| *answered)
        .count();
    assert_eq!(answered, 20);
    until(
        || server.metric("footfall_connections") <= 2,
        "places are given back",
    );
    assert!(answers(from(Ipv4Addr::new(127, 0, 1, 1))));
}

#[test]
fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    more_files();
    let server = Server::start_in_shell(SITES, &[], "ulimit -S -n 512");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let numbers: Vec<&str> = line
        .split_whitespace()
        .filter(|word| word.parse::<u64>().is_ok())
        .collect();
    assert!(numbers[0] == numbers[1] && numbers[0] != "512", "{line}");
}
