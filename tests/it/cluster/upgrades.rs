//! Collectors of a cluster that new processes take over from: the others' calls wait, and everybody
//! is counted once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::process::Signal;

use super::{Cluster, address, totals, visit, wait_for_collectors};
use crate::consent::{ACCEPT, WITHDRAW, choose, cookie};
use crate::support::{
    AGENT, Body, Client, NOON, Server, Upgrade, hit, send, until, view, wait_for_state,
};

const PEOPLE: usize = 300;

#[test]
fn visitors_of_two_collectors_count_once_through_upgrades_of_both_under_load() {
    let mut cluster = Cluster::start(2, "", &[]);
    cluster.flush();
    let clients: Vec<Client> = cluster.servers.iter().map(Server::client).collect();
    let (answered, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for (place, mut client) in clients.into_iter().enumerate() {
            let (answered, is_over) = (&answered, &is_over);
            scope.spawn(move || {
                let mut turn = place;
                while turn < PEOPLE || !is_over.load(Ordering::Relaxed) {
                    assert_eq!(visit(&mut client, turn % PEOPLE, NOON), 202);
                    answered.fetch_add(1, Ordering::Relaxed);
                    turn += 1;
                }
            });
        }
        for place in [0, 1, 0, 1] {
            cluster.servers[place].upgrade();
        }
        is_over.store(true, Ordering::Relaxed);
    });

    cluster.flush();
    let answered = answered.into_inner();
    for server in &cluster.servers {
        assert_eq!(totals(server, "mia"), (PEOPLE as u64, answered));
        // To the others, a process that took over is the one before.
        assert_eq!(server.metric("footfall_cluster_uncertain_calls_total"), 0);
        assert_eq!(server.metric("footfall_cluster_lost_visitors_total"), 0);
        let log = server.log();
        assert!(!log.contains("a collector of the cluster is gone"), "{log}");
    }
    assert_eq!(cluster.sum("footfall_visitors_in_memory"), PEOPLE as u64);
}

#[test]
fn an_upgrade_that_fails_leaves_the_collector_in_the_cluster_as_it_was() {
    let mut cluster = Cluster::start(2, "", &[]);
    let mut client = cluster.servers[1].client();
    (0..PEOPLE).for_each(|person| assert_eq!(visit(&mut client, person, NOON), 202));

    // Killed before it has the state, when the other collector's connection has ended already.
    let mut upgrade = cluster.servers[0].begin_upgrade(&["test.upgrade_stop=received"]);
    upgrade.stops();
    upgrade.kill();
    for person in 0..PEOPLE {
        assert_eq!(visit(&mut client, person, NOON), 202);
    }
    let other = "cluster.collectors=a=127.0.0.1:1,b=127.0.0.1:2,c=127.0.0.1:3";
    assert_eq!(cluster.servers[0].begin_upgrade(&[other]).ended(), Some(1));
    let log = cluster.servers[0].log();
    assert!(log.contains("cluster.collectors differs"), "{log}");

    cluster.servers[0].upgrade();
    for person in 0..PEOPLE {
        assert_eq!(visit(&mut client, person, NOON), 202);
    }
    cluster.flush();
    assert_eq!(
        totals(&cluster.servers[1], "mia"),
        (PEOPLE as u64, 3 * PEOPLE as u64)
    );
}

#[test]
fn a_collector_that_hangs_does_not_hold_up_the_upgrade_of_another() {
    let mut cluster = Cluster::start(2, "", &["cluster.dead_after_millis=5000"]);
    let pid = cluster.servers[1].pid();
    cluster.servers[1].signal(Signal::STOP);
    wait_for_state(pid, "T");
    cluster.servers[0].upgrade();
    let mut client = cluster.servers[0].client();
    (0..PEOPLE).for_each(|person| assert_eq!(visit(&mut client, person, NOON), 202));

    cluster.servers[1].signal(Signal::CONT);
    for server in &cluster.servers {
        wait_for_collectors(server, 2);
    }
    until(
        || cluster.sum("footfall_visitors_in_memory") == PEOPLE as u64,
        "all are counted",
    );
}

/// Each of two collectors would wait for the other's calls, and for a client that sends its body
/// slowly.
#[test]
fn of_two_collectors_that_are_replaced_at_once_one_continues_as_it_was_and_no_request_fails() {
    let settings = [
        "cluster.dead_after_millis=5000",
        "limits.read_timeout_millis=9500",
    ];
    let mut cluster = Cluster::start(2, "", &settings);
    let mut upgrades: Vec<Upgrade> = cluster
        .servers
        .iter()
        .map(|server| server.begin_upgrade(&["test.upgrade_stop=offered"]))
        .collect();
    upgrades.iter().for_each(Upgrade::stops);
    let mut slow: Vec<Client> = cluster.servers.iter().map(begin_slow_hit).collect();

    for upgrade in &upgrades {
        upgrade.signal(Signal::CONT);
    }
    let one_ended = || upgrades.iter_mut().any(Upgrade::has_ended);
    until(one_ended, "one of them gives way");
    for client in &mut slow {
        client.send_body(view("/u/mia").as_bytes()).unwrap();
    }
    for client in &mut slow {
        assert_eq!(client.receive().unwrap().status, 202);
    }

    let mut replaced = 0;
    for (server, mut upgrade) in cluster.servers.iter_mut().zip(upgrades) {
        if upgrade.serves() {
            assert_eq!(server.replace(upgrade), Some(0), "{}", server.log());
            replaced += 1;
        } else {
            assert_eq!(upgrade.ended(), Some(1));
            let log = server.log();
            assert!(log.contains("another process takes over from"), "{log}");
        }
    }
    assert_eq!(replaced, 1);
    // Now, each can be.
    cluster.servers.iter_mut().for_each(Server::upgrade);
    cluster.flush();
    assert_eq!(totals(&cluster.servers[0], "mia"), (1, 2));
}

/// A hit whose body is not sent yet. The collector has read its head.
fn begin_slow_hit(server: &Server) -> Client {
    let mut client = server.client();
    let length = view("/u/mia").len().to_string();
    let more = [("Content-Length", &*length), ("Expect", "100-continue")];
    send(&mut client, "POST", "/ff/hit", Body::None, &more);
    assert_eq!(client.receive_head().unwrap().status, 100);
    client
}

/// Although the new process has not read the store.
#[test]
fn a_withdrawal_at_another_collector_holds_at_the_first_hit_of_the_new_process() {
    let mut cluster = Cluster::start(2, "", &[]);
    let address = address(5);
    let kept = cookie(&choose(&cluster.servers[0], ACCEPT, &[]));
    let who = [
        ("X-Forwarded-For", &*address),
        ("Cookie", &*kept),
        ("User-Agent", AGENT),
    ];
    let withdrawn = choose(&cluster.servers[1], WITHDRAW, &who[1..2]);
    assert_eq!(withdrawn.status, 200);

    cluster.engine.hang();
    let upgrade = cluster.servers[0].begin_upgrade(&[]);
    cluster.servers[0].adopt(upgrade);
    let server = &cluster.servers[0];
    assert_eq!(hit(&mut server.client(), &view("/u/mia"), &who).status, 202);
    assert_eq!(
        server.metric("footfall_drops_total{reason=\"no_consent\"}"),
        1
    );
    cluster.engine.wake();
}
