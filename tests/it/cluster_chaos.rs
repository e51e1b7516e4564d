//! Two collectors before two shards with two replicas each, all real processes. Under load they, and
//! the network between them, are killed, stopped, cut and made to hang in random order: every hit
//! that was answered is on each replica of its shard once, and reports are partial or right.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    AGENT, Body, Client, DAY, Engine, NOON, Port, SITES, Server, grant, until, view,
};

const NAMES: [&str; 2] = ["a", "b"];
const CLIENTS: usize = 2;
/// Visitors of a site, each of a network of its own, and the pages that each looks at.
const PEOPLE: usize = 30;
const PAGES: usize = PEOPLE * 3;
/// How long after a fault of a collector networks may still move.
const MOVES_FOR: Duration = Duration::from_secs(10);
/// How long all replicas may take until they are equal, once nothing is broken.
const EQUAL_WITHIN: Duration = Duration::from_secs(120);

const PASS: u8 = 0;
const CUT: u8 = 1;
const HANG: u8 = 2;

/// A connection that can be cut, or made to hang: nothing passes and nothing is closed.
struct Link {
    address: SocketAddr,
    mode: Arc<AtomicU8>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Link {
    fn to(target: SocketAddr) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = Link {
            address: listener.local_addr().unwrap(),
            mode: Arc::default(),
            open: Arc::default(),
        };
        let (mode, open) = (Arc::clone(&link.mode), Arc::clone(&link.open));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if mode.load(Ordering::Acquire) == CUT {
                    continue;
                }
                let Ok(server) = TcpStream::connect(target) else {
                    continue;
                };
                let ends = [&client, &server].map(|end| end.try_clone().unwrap());
                open.lock().unwrap().extend(ends);
                for (from, to) in [
                    (client.try_clone().unwrap(), server.try_clone().unwrap()),
                    (server, client),
                ] {
                    let mode = Arc::clone(&mode);
                    thread::spawn(move || pass_on(from, to, &mode));
                }
            }
        });
        link
    }

    fn set(&self, mode: u8) {
        self.mode.store(mode, Ordering::Release);
        if mode == CUT {
            for end in self.open.lock().unwrap().drain(..) {
                let _ = end.shutdown(Shutdown::Both);
            }
        }
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, mode: &AtomicU8) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        while mode.load(Ordering::Acquire) == HANG {
            sleep(Duration::from_millis(10));
        }
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// What was sent of a site.
#[derive(Default)]
struct SentSite {
    name: String,
    /// Pages whose view was answered 202, and those whose view may or may not be counted.
    answered: HashSet<usize>,
    unknown: HashSet<usize>,
    /// Whether no collector was broken meanwhile.
    is_calm: bool,
}

impl SentSite {
    fn visitors(pages: &HashSet<usize>) -> HashSet<usize> {
        pages.iter().map(|page| page % PEOPLE).collect()
    }
}

/// What happens at the moment, shared by all threads.
#[derive(Default)]
struct Weather {
    over: AtomicBool,
    /// Changes when a collector, or the way to it, begins to be broken or was.
    collector_faults: AtomicU64,
    last_fault: Mutex<Option<Instant>>,
    sent: AtomicU64,
    /// Sites with views.
    sites: Mutex<Vec<String>>,
}

impl Weather {
    fn note_collector_fault(&self) {
        self.collector_faults.fetch_add(1, Ordering::AcqRel);
        *self.last_fault.lock().unwrap() = Some(Instant::now());
    }

    /// A number that stays the same while nothing happens to a collector; `None` while networks may
    /// move.
    fn calm(&self) -> Option<u64> {
        let last = *self.last_fault.lock().unwrap();
        let is_settled = last.is_none_or(|at| at.elapsed() > MOVES_FOR);
        is_settled.then(|| self.collector_faults.load(Ordering::Acquire))
    }
}

/// Figures of the reports that were read meanwhile.
#[derive(Default)]
struct ReadFigures {
    right: AtomicU64,
    partial: AtomicU64,
    refused: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

/// Sends views of pages that nothing else sends, through one collector and the other in turn.
fn send(mut clients: Vec<Client>, number: usize, weather: &Weather) -> Vec<SentSite> {
    let (cookie, now) = (grant(), NOON.to_string());
    let mut sites = Vec::new();
    for round in 0.. {
        let mut site = SentSite {
            name: format!("c{number}r{round}"),
            ..SentSite::default()
        };
        let before = weather.calm();
        for page in 0..PAGES {
            if weather.over.load(Ordering::Relaxed) {
                break;
            }
            if page == 1 {
                weather.sites.lock().unwrap().push(site.name.clone());
            }
            let address = format!("10.{number}.{}.7", page % PEOPLE);
            let headers = [
                ("Host", "pages.example"),
                ("User-Agent", AGENT),
                ("X-Forwarded-For", address.as_str()),
                ("Cookie", cookie.as_str()),
                ("X-Footfall-Now", now.as_str()),
            ];
            let body = view(&format!("/u/{}/{page}", site.name));
            let client = &mut clients[page % 2];
            weather.sent.fetch_add(1, Ordering::AcqRel);
            let answer = client.ask("POST", "/ff/hit", &headers, Body::Sized(body.as_bytes()));
            match answer {
                Ok(answer) if answer.status == 202 => site.answered.insert(page),
                Ok(_) => site.unknown.insert(page),
                Err(_) => {
                    let _ = client.reconnect();
                    sleep(Duration::from_millis(20));
                    site.unknown.insert(page)
                }
            };
            sleep(Duration::from_millis(6));
        }
        site.is_calm = before.is_some() && before == weather.calm();
        sites.push(site);
        if weather.over.load(Ordering::Relaxed) {
            break;
        }
    }
    sites
}

/// Reads reports from one collector: what is answered is never more than was sent, never a page
/// twice, and not less than it was some time before, unless the answer says so.
fn read(mut client: Client, weather: &Weather, seen: &ReadFigures) {
    let mut former: Vec<(Instant, u64)> = Vec::new();
    let mut round = 0;
    while !weather.over.load(Ordering::Relaxed) {
        round += 1;
        let site = {
            let sites = weather.sites.lock().unwrap();
            let back = round / 2 % (sites.len().max(1));
            sites.iter().rev().nth(back).cloned()
        };
        let path = match site.filter(|_| round % 2 == 1) {
            Some(site) => format!("/api/v1/sites/{site}/report?{DAY}"),
            None => format!("/api/v1/platform/report?{DAY}"),
        };
        let calm = weather.calm();
        let Ok(answer) = client.get(&path) else {
            let _ = client.reconnect();
            sleep(Duration::from_millis(50));
            continue;
        };
        sleep(Duration::from_millis(30));
        match answer.status {
            200 => {}
            // A collector learns a site by its first hit.
            404 => continue,
            503 => {
                seen.refused.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            status => panic!("{path}: {status} {}", answer.text()),
        }
        let report: Value = serde_json::from_slice(&answer.body).unwrap();
        let hits = report["totals"]["hits"].as_u64().unwrap();
        let note = |what: String| seen.wrong.lock().unwrap().push(what);
        if hits > weather.sent.load(Ordering::Acquire) {
            note(format!("{path}: {hits} hits, more than were sent"));
        }
        let pages = report["subjects"]["page"]["rows"].as_array();
        for row in pages.into_iter().flatten() {
            if row["hits"].as_u64() > Some(1) {
                note(format!("{path}: {row}"));
            }
        }
        if report.get("partial").is_some() {
            seen.partial.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        seen.right.fetch_add(1, Ordering::Relaxed);
        if path.contains("platform") {
            let settled = former.iter().filter(|(at, _)| at.elapsed() > MOVES_FOR);
            let least = settled.map(|(_, hits)| *hits).max().unwrap_or(0);
            if calm.is_some() && calm == weather.calm() && hits < least {
                note(format!("{hits} hits, after {least} some seconds before"));
            }
            former.push((Instant::now(), hits));
        }
    }
}

struct Stage {
    engines: Vec<Engine>,
    store_links: Vec<Link>,
    collector_links: Vec<Link>,
    collectors: Vec<Server>,
    _ports: Vec<Port>,
    _dir: tempfile::TempDir,
}

impl Stage {
    fn set() -> Stage {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let engines: Vec<Engine> = (0..4)
            .map(|number| Engine::start(&dir.path().join(number.to_string())))
            .collect();
        let store_links: Vec<Link> = engines.iter().map(|of| Link::to(of.address())).collect();
        let ports: Vec<Port> = NAMES.iter().map(|_| Port::hold()).collect();
        let collector_links: Vec<Link> =
            ports.iter().map(|port| Link::to(port.address())).collect();
        let url = |number: usize| format!("\"http://{}\"", store_links[number].address);
        let shards = format!(
            "store.shards=[[{}, {}], [{}, {}]]",
            url(0),
            url(1),
            url(2),
            url(3)
        );
        let all: Vec<String> = NAMES
            .iter()
            .zip(&collector_links)
            .map(|(name, link)| format!("{name}={}", link.address))
            .collect();
        let fixture = |name: &str| {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cluster");
            dir.join(name).display().to_string()
        };
        let start = |(name, port): (&&str, &Port)| {
            let own = [
                shards.clone(),
                "store.replication=collector".to_owned(),
                "health.store_check_secs=1".to_owned(),
                "cluster.dead_after_millis=5000".to_owned(),
                format!("test.start_millis={NOON}"),
                format!("cluster.name={name}"),
                format!("cluster.listen={}", port.address()),
                format!("cluster.collectors={}", all.join(",")),
                format!("cluster.ca_file={}", fixture("authority.pem")),
                format!("cluster.cert_file={}", fixture(&format!("{name}.pem"))),
                format!("cluster.key_file={}", fixture("key.pem")),
                format!("access.key_file={}", fixture("access.keys")),
                "limits.visitors_per_grant=1000000".to_owned(),
            ];
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            Server::start_with(SITES, &own)
        };
        Stage {
            collectors: NAMES.iter().zip(&ports).map(start).collect(),
            engines,
            store_links,
            collector_links,
            _ports: ports,
            _dir: dir,
        }
    }

    /// Breaks something for a while and repairs it.
    fn break_something(&mut self, chance: &mut Chance, weather: &Weather) -> &'static str {
        let lasts = Duration::from_millis(300 + chance.below(2500) as u64);
        // Shorter and longer than a collector may be silent.
        let silent = Duration::from_millis(300 + chance.below(8000) as u64);
        let (engine, collector) = (chance.below(4), chance.below(2));
        match chance.below(14) {
            0..3 => {
                self.engines[engine].kill();
                sleep(lasts);
                self.engines[engine].restart();
                "a replica is killed"
            }
            3..6 => {
                self.engines[engine].hang();
                sleep(lasts);
                self.engines[engine].wake();
                "a replica is stopped"
            }
            mode @ 6..10 => {
                self.store_links[engine].set([CUT, HANG][mode % 2]);
                sleep(lasts);
                self.store_links[engine].set(PASS);
                "the way to a replica is cut"
            }
            10 => {
                self.store_links[engine].set(CUT);
                self.engines[engine ^ 1].hang();
                sleep(lasts);
                self.engines[engine ^ 1].wake();
                self.store_links[engine].set(PASS);
                "both replicas of a shard are away"
            }
            11 => {
                weather.note_collector_fault();
                self.collectors[collector].kill();
                sleep(silent);
                self.collectors[collector].restart();
                weather.note_collector_fault();
                "a collector is killed"
            }
            12 => {
                weather.note_collector_fault();
                self.collectors[collector].signal(Signal::STOP);
                sleep(silent);
                self.collectors[collector].signal(Signal::CONT);
                weather.note_collector_fault();
                "a collector is stopped"
            }
            mode => {
                weather.note_collector_fault();
                self.collector_links[collector].set([CUT, HANG][mode % 2]);
                sleep(silent);
                self.collector_links[collector].set(PASS);
                weather.note_collector_fault();
                "the way to a collector is cut"
            }
        }
    }

    /// The hits of every page on a replica.
    fn pages_on(&self, engine: usize) -> HashMap<String, u64> {
        let rows = self.engines[engine].sql(
            "SELECT item, toUInt64(sum(hits)) FROM daily WHERE subject = 'page' AND site != 0 AND \
             item != '' GROUP BY item FORMAT TSV",
        );
        let pair = |line: &str| {
            let (page, hits) = line.split_once('\t').unwrap();
            (page.to_owned(), hits.parse().unwrap())
        };
        rows.lines().map(pair).collect()
    }

    fn until_equal(&self) {
        let deadline = Instant::now() + EQUAL_WITHIN;
        for collector in &self.collectors {
            collector.flush();
        }
        while [0, 2]
            .iter()
            .any(|one| self.pages_on(*one) != self.pages_on(*one + 1))
        {
            assert!(Instant::now() < deadline, "replicas stay different");
            sleep(Duration::from_millis(500));
        }
    }
}

fn chaos(lasts: Duration, seed: u64) {
    let mut stage = Stage::set();
    let (weather, seen, mut chance) = (Weather::default(), ReadFigures::default(), Chance(seed));
    for collector in &stage.collectors {
        until(
            || collector.metric("footfall_cluster_collectors") == 2,
            "the collectors know each other",
        );
        collector.flush();
    }
    let start = Instant::now();
    let mut faults: HashMap<&str, u64> = HashMap::new();

    let clients = || {
        stage
            .collectors
            .iter()
            .map(Server::client)
            .collect::<Vec<_>>()
    };
    let senders: Vec<_> = (0..CLIENTS).map(|_| clients()).collect();
    let readers = clients();
    let sent: Vec<SentSite> = thread::scope(|scope| {
        let (weather, seen) = (&weather, &seen);
        let sending: Vec<_> = (0..)
            .zip(senders)
            .map(|(number, clients)| scope.spawn(move || send(clients, number, weather)))
            .collect();
        for client in readers {
            scope.spawn(move || read(client, weather, seen));
        }
        while start.elapsed() < lasts {
            *faults
                .entry(stage.break_something(&mut chance, weather))
                .or_default() += 1;
            // Now and then long enough that networks have moved and nothing is broken.
            let pause = match chance.below(4) {
                0 => 15_000,
                _ => 200 + chance.below(1500),
            };
            sleep(Duration::from_millis(pause as u64).min(lasts / 4));
        }
        weather.over.store(true, Ordering::Relaxed);
        let sent = sending.into_iter().map(|sending| sending.join().unwrap());
        sent.flatten().collect()
    });

    stage.until_equal();
    let (mut lost, mut doubled, mut answered) = (0, 0, 0);
    let replicas: Vec<_> = (0..4).map(|engine| stage.pages_on(engine)).collect();
    for site in &sent {
        answered += site.answered.len();
        for page in 0..PAGES {
            let path = format!("/u/{}/{page}", site.name);
            // Of its shard, both have it; of the other one, none.
            let hits: Vec<u64> = replicas
                .iter()
                .map(|pages| pages.get(&path).copied().unwrap_or(0))
                .collect();
            let of_shards = [hits[0].max(hits[1]), hits[2].max(hits[3])];
            let is_lost = site.answered.contains(&page)
                && !(hits[0].min(hits[1]) == 1 || hits[2].min(hits[3]) == 1);
            lost += u64::from(is_lost);
            doubled += u64::from(of_shards.iter().sum::<u64>() > 1);
        }
    }

    let (mut visitors_off, mut calm, mut moved, mut listed) = (0, 0, 0, String::new());
    for site in sent.iter().filter(|site| !site.answered.is_empty()) {
        let report = stage.collectors[0].report(&site.name, DAY);
        let visitors = report["totals"]["visitors"].as_u64().unwrap() as usize;
        let sure = SentSite::visitors(&site.answered);
        let all = SentSite::visitors(&site.answered.union(&site.unknown).copied().collect());
        let off = visitors.saturating_sub(all.len()) + sure.len().saturating_sub(visitors);
        if site.is_calm {
            calm += 1;
            visitors_off += off;
        } else {
            // Their owner died or was cut off: each counts once more for each time.
            moved += off;
        }
        if off > 0 {
            let _ = write!(listed, " {}:{off}", site.name);
        }
    }

    let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
    let wrong = seen.wrong.lock().unwrap();
    println!("seed={seed} secs={}", lasts.as_secs());
    println!("faults by kind: {faults:?}");
    println!(
        "answered={answered} unknown={}",
        sent.iter().map(|site| site.unknown.len()).sum::<usize>()
    );
    println!(
        "reports={} partial={} refused={} wrong={}",
        read(&seen.right),
        read(&seen.partial),
        read(&seen.refused),
        wrong.len()
    );
    println!("sites_without_collector_fault={calm} visitors_moved={moved}{listed}");
    println!("faults={}", faults.values().sum::<u64>());
    println!("lost={lost}");
    println!("doubled={doubled}");
    println!("visitors_off={visitors_off}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!((lost, doubled, visitors_off), (0, 0, 0));
    assert!(answered > 100 && read(&seen.right) > 0);
}

#[test]
fn what_two_collectors_answer_is_counted_once_on_each_replica_whatever_breaks() {
    chaos(Duration::from_secs(20), 7);
}

/// `make cluster-chaos`
#[test]
#[ignore = "ten minutes; make cluster-chaos runs it"]
fn cluster_chaos_in_full() {
    let number = |name: &str, default: u64| {
        let given = std::env::var(name).ok();
        given.and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    chaos(
        Duration::from_secs(number("CHAOS_SECS", 600)),
        number("CHAOS_SEED", 1),
    );
}
