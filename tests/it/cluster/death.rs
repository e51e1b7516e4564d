//! An owner that is killed or hangs: every answered hit is counted once, and only its visitors
//! count again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Cluster, advance, visit, wait_for_collectors, wait_for_visitors};
use crate::support::{Client, DAY, NOON, Server, until, wait_for_state};

const PEOPLE: usize = 300;
/// For a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);
const HOUR: i64 = 3_600_000;
const MIDNIGHT: i64 = NOON + 12 * HOUR;

fn visit_all(server: &Server, at: i64) {
    let mut client = server.client();
    for person in 0..PEOPLE {
        assert_eq!(visit(&mut client, person, at), 202, "{}", server.log());
    }
}

/// The number of visitors that the second collector counted, once the first one knows it.
fn owned_by_second(cluster: &Cluster) -> u64 {
    let [here, there] = &cluster.servers[..] else {
        panic!("two collectors")
    };
    until(
        || cluster.sum("footfall_visitors_in_memory") == PEOPLE as u64,
        "all visitors are in memory",
    );
    let owned = there.metric("footfall_visitors_in_memory");
    until(
        || here.metric("footfall_cluster_remote_visitors") == owned,
        "a heartbeat tells the number of visitors",
    );
    assert!((100..=200).contains(&owned), "{owned}");
    owned
}

#[test]
fn hits_of_a_killed_owner_count_once_and_its_networks_return_at_midnight() {
    let mut cluster = Cluster::start(2, "", &[]);
    visit_all(&cluster.servers[0], NOON);
    let moved = owned_by_second(&cluster);

    // Three clients send all the time; meanwhile the owner of half of them dies.
    let doors: Vec<Client> = (0..3).map(|_| cluster.servers[0].client()).collect();
    let (answered, unsure) = (AtomicU64::new(0), AtomicU64::new(0));
    let is_over = AtomicBool::new(false);
    let (here, there) = cluster.servers.split_at_mut(1);
    std::thread::scope(|scope| {
        for (first, mut client) in doors.into_iter().enumerate() {
            let (answered, unsure, is_over) = (&answered, &unsure, &is_over);
            scope.spawn(move || {
                let (mut turn, began) = (0, Instant::now());
                while !is_over.load(Ordering::Relaxed) && began.elapsed() < PATIENCE {
                    match visit(&mut client, (first + 3 * turn) % PEOPLE, NOON) {
                        202 => answered.fetch_add(1, Ordering::Relaxed),
                        // It was sent to the collector that died.
                        500 => unsure.fetch_add(1, Ordering::Relaxed),
                        status => panic!("{status}"),
                    };
                    turn += 1;
                }
            });
        }
        let reach = |hits: u64| {
            until(
                || answered.load(Ordering::Relaxed) >= hits,
                "hits are answered",
            )
        };
        reach(400);
        there[0].kill();
        reach(answered.load(Ordering::Relaxed) + 200);
        is_over.store(true, Ordering::Relaxed);
    });
    let (answered, unsure) = (answered.into_inner(), unsure.into_inner());
    assert!(answered >= 600 && unsure <= 3, "{answered} {unsure}");
    assert_eq!(here[0].metric("footfall_cluster_collectors"), 1);
    assert_eq!(
        here[0].metric("footfall_cluster_lost_visitors_total"),
        moved
    );
    assert_eq!(
        here[0].metric("footfall_cluster_uncertain_calls_total"),
        unsure
    );
    visit_all(&here[0], NOON);

    // It comes back, and what it had answered is in its journal. It owns nothing today.
    there[0].set(&[&format!("test.start_millis={}", NOON + HOUR)]);
    there[0].restart();
    wait_for_collectors(&here[0], 2);
    visit_all(&there[0], NOON + HOUR);
    assert_eq!(there[0].metric("footfall_visitors_in_memory"), 0);
    here[0].flush();
    there[0].flush();
    let totals = here[0].report("mia", DAY)["totals"].clone();
    let (visitors, hits) = (
        totals["visitors"].as_u64().unwrap(),
        totals["hits"].as_u64().unwrap(),
    );
    assert_eq!(
        visitors,
        PEOPLE as u64 + moved,
        "only those of the dead owner count again"
    );
    // Those of each `visit_all`, too.
    let sent = answered + 3 * PEOPLE as u64;
    assert!(
        (sent..=sent + unsure).contains(&hits),
        "{hits} of {sent} and {unsure}"
    );

    // From midnight on it owns the same networks as before.
    for server in [&here[0], &there[0]] {
        advance(server, MIDNIGHT + HOUR);
    }
    visit_all(&here[0], MIDNIGHT + HOUR);
    until(
        || {
            let today = |server: &Server| server.metric("footfall_visitors_in_memory");
            today(&there[0]) == moved && today(&here[0]) == PEOPLE as u64 - moved
        },
        "yesterday's visitors are forgotten, and its own networks are back",
    );
}

#[test]
fn a_hanging_owner_is_replaced_in_time_and_owns_its_networks_when_it_wakes() {
    let cluster = Cluster::start(2, "", &["cluster.dead_after_millis=5000"]);
    let (here, there) = (&cluster.servers[0], &cluster.servers[1]);
    visit_all(here, NOON);
    let moved = owned_by_second(&cluster);
    let received = there.metric("footfall_cluster_received_calls_total");
    let mut client = here.client();
    let owned = (0..PEOPLE).find(|person| {
        let before = there.metric("footfall_cluster_received_calls_total");
        assert_eq!(visit(&mut client, *person, NOON), 202);
        there.metric("footfall_cluster_received_calls_total") > before
    });
    let owned = owned.expect("a network of the other collector");

    there.signal(Signal::STOP);
    wait_for_state(there.pid(), "T");
    let began = Instant::now();
    assert_eq!(visit(&mut client, owned, NOON), 500, "it may be counted");
    let waited = began.elapsed();
    assert!(
        waited > Duration::from_secs(2) && waited < Duration::from_secs(20),
        "{waited:?}"
    );
    wait_for_collectors(here, 1);
    let began = Instant::now();
    assert_eq!(visit(&mut client, owned, NOON), 202);
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "it waits for nobody"
    );

    there.signal(Signal::CONT);
    wait_for_collectors(here, 2);
    assert_eq!(visit(&mut client, owned, NOON), 202);
    assert!(there.metric("footfall_cluster_received_calls_total") >= received + 2);
    cluster.flush();
    let totals = here.report("mia", DAY)["totals"].clone();
    // It did not forget its visitors: only the one who came meanwhile counted again.
    assert_eq!(totals["visitors"], PEOPLE as u64 + 1);
    assert_eq!(here.metric("footfall_cluster_lost_visitors_total"), moved);
}

#[test]
fn a_collector_that_stops_hands_its_networks_over_before_its_port_closes() {
    let mut cluster = Cluster::start(2, "", &["server.drain_secs=5"]);
    visit_all(&cluster.servers[0], NOON);
    let moved = owned_by_second(&cluster);
    let (here, there) = cluster.servers.split_at_mut(1);
    let mut client = here[0].client();
    let stopped = std::thread::scope(|scope| {
        let stopping = scope.spawn(|| there[0].stop());
        let mut person = 0;
        while !stopping.is_finished() {
            assert_eq!(visit(&mut client, person % PEOPLE, NOON), 202);
            person += 1;
        }
        stopping.join().unwrap()
    });
    assert_eq!(stopped, Some(0));
    visit_all(&here[0], NOON);
    wait_for_visitors(&here[0], PEOPLE as u64);
    assert_eq!(
        here[0].metric("footfall_cluster_lost_visitors_total"),
        moved
    );
    assert_eq!(here[0].metric("footfall_cluster_uncertain_calls_total"), 0);
}
