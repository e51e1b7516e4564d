//! Power cuts: after one, the disk has what had reached it at that moment, and the key of the
//! journal's attributes, which is in memory, is lost. Every acknowledged hit counts once in every
//! table.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;

use rustix::process::Signal;

use crate::crash::{Fates, assert_counted_once, delays, send_until_gone};
use crate::support::{Body, Engine, SITES, Server};

const CLIENTS: usize = 2;

/// The tables with counts of a hit besides `daily`; each sender's hit is a view.
const TABLES: [&str; 3] = [
    "daily WHERE subject = 'site' AND site != 0 AND",
    "hourly WHERE site != 0 AND",
    "activity WHERE",
];

#[test]
fn five_power_cuts_lose_no_answered_hit_and_count_none_twice() {
    cut_the_power(5, 11);
}

#[test]
#[ignore = "some minutes; run with --include-ignored"]
fn sixty_power_cuts_lose_no_answered_hit_and_count_none_twice() {
    for seed in 0..6 {
        cut_the_power(10, seed);
    }
}

/// Cuts the power under load, and in every second round just after the store has acknowledged a
/// segment.
fn cut_the_power(rounds: usize, seed: u64) {
    let settings = [
        "journal.attribute_secs=0",
        "journal.segment_secs=1",
        "limits.response_timeout_millis=30000",
    ];
    let (mut server, disk) = Server::start_on_disk(SITES, &settings);
    let mut fates: HashMap<String, Fates> = HashMap::new();
    for (round, delay) in delays(seed).take(rounds).enumerate() {
        let stop = AtomicBool::new(false);
        let is_quiet = round % 2 == 1;
        let sites: Vec<String> = (0..CLIENTS)
            .map(|client| format!("r{round}c{client}"))
            .collect();
        let sent = std::thread::scope(|scope| {
            let senders: Vec<_> = sites
                .iter()
                .map(|site| {
                    let (client, stop) = (server.client(), &stop);
                    scope.spawn(move || send_until_gone(client, site, stop))
                })
                .collect();
            let (mut sealer, host) = (server.client(), server.address().to_string());
            let sealing = &stop;
            scope.spawn(move || {
                let mut flush =
                    || sealer.ask("POST", "/test/flush", &[("Host", &host)], Body::None);
                while !sealing.load(Ordering::Relaxed) && flush().is_ok() {}
            });

            sleep(delay);
            if is_quiet {
                stop.store(true, Ordering::Relaxed);
                let senders: Vec<Fates> = senders
                    .into_iter()
                    .map(|sender| sender.join().unwrap())
                    .collect();
                server.flush();
                disk.cut(|| server.signal(Signal::KILL));
                server.kill();
                return senders;
            }
            disk.cut(|| {
                server.signal(Signal::KILL);
                stop.store(true, Ordering::Relaxed);
            });
            server.kill();
            senders
                .into_iter()
                .map(|sender| sender.join().unwrap())
                .collect()
        });
        server.forget_key();
        fates.extend(sites.into_iter().zip(sent));

        server.restart();
        server.flush();
        let (answered, unanswered) = assert_counted_once(&server, &fates);
        println!(
            "power_cuts={} answered={answered} unanswered={unanswered}",
            round + 1
        );
    }
    assert_eq!(server.metric("footfall_segments_quarantined_total"), 0);
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    assert_tables_agree(&server.dir().join("data/store"));
}

/// The rounds compared pages; each other table must have the same number.
fn assert_tables_agree(store: &Path) {
    let engine = Engine::start(store);
    let number = |sql: &str| -> u64 {
        engine
            .sql(&format!("{sql} FORMAT TSV"))
            .trim()
            .parse()
            .unwrap()
    };
    let no_marker = "site < toUInt128('340282366920628978453553262363043430400')";
    let pages = number("SELECT sum(hits) FROM daily WHERE subject = 'page' AND site != 0");
    for table in TABLES {
        assert_eq!(
            number(&format!("SELECT sum(hits) FROM {table} {no_marker}")),
            pages,
            "{table}"
        );
    }
    // Attributes that were not released are lost with their key: there may be fewer of them, never
    // more.
    let visits = number("SELECT sum(visits) FROM daily WHERE subject = 'site' AND site != 0");
    let attributes = number(
        "SELECT sum(visits) FROM unpublished WHERE subject = 'site' AND dim = 'country' AND site != 0",
    );
    assert!(
        attributes > 0 && attributes <= visits,
        "{attributes} countries of {visits} visits"
    );
}
