//! Upgrades under load: no request fails, and the counts are those of the independent calculator.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::totals;
use crate::counts::agree;
use crate::support::{Body, Client, NOON, SITES, Server, hit, view};
use crate::traffic::Plan;

/// Days of traffic in two processes more than one: each answer is 202, and each figure of each
/// report is the calculator's.
#[test]
fn five_days_are_counted_to_the_last_digit_through_three_upgrades() {
    agree(&Plan::AUTUMN, 3, 7);
}

#[test]
#[ignore = "minutes: `cargo test --test it -- --ignored fifty_upgrades`"]
fn five_days_are_counted_to_the_last_digit_through_fifty_upgrades() {
    agree(&Plan::SPRING, 50, 1);
}

/// Clients that keep their connections and clients that open one for each request, hits and
/// reports, all the time.
fn serve_through_upgrades(upgrades: usize) -> [usize; 3] {
    let mut server = Server::start(SITES);
    view_once(&mut server.client(), 0);
    server.flush();
    let (ends, failures) = (AtomicBool::new(false), AtomicUsize::new(0));
    let [kept, opened, reports] = [(); 3].map(|()| AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let address = server.address();
        let repeat = |count: &'static str, figure, act: fn(&mut Client) -> u16, keeps: bool| {
            let (ends, failures): (&AtomicBool, &AtomicUsize) = (&ends, &failures);
            let figure: &AtomicUsize = figure;
            scope.spawn(move || {
                let mut client = Client::connect(address).unwrap();
                while !ends.load(Ordering::Relaxed) {
                    if !keeps {
                        client = Client::connect(address).unwrap();
                    }
                    let status = act(&mut client);
                    if status != if count == "reports" { 200 } else { 202 } {
                        println!("{count}: {status}");
                        failures.fetch_add(1, Ordering::Relaxed);
                    }
                    figure.fetch_add(1, Ordering::Relaxed);
                }
            });
        };
        for _ in 0..8 {
            repeat("kept", &kept, |client| view_once(client, 1), true);
            repeat("opened", &opened, |client| view_once(client, 1), false);
        }
        repeat("reports", &reports, read_report, true);
        for _ in 0..upgrades {
            server.upgrade();
        }
        ends.store(true, Ordering::Relaxed);
    });
    let counts = [&kept, &opened, &reports].map(|figure| figure.load(Ordering::Relaxed));
    let errors = failures.load(Ordering::Relaxed);
    let [of_kept, of_opened, of_reports] = counts;
    println!(
        "upgrades={upgrades} kept={of_kept} opened={of_opened} reports={of_reports} errors={errors}"
    );
    assert_eq!(errors, 0, "{}", server.log());
    server.flush();
    let hits = (1 + of_kept + of_opened) as u64;
    assert_eq!(totals(&server)[..3], [hits, 1, 1], "{}", server.log());
    counts
}

fn view_once(client: &mut Client, seconds: i64) -> u16 {
    let now = (NOON + seconds * 1000).to_string();
    hit(client, &view("/u/mia"), &[("X-Footfall-Now", &now)]).status
}

fn read_report(client: &mut Client) -> u16 {
    let target = format!("/api/v1/sites/mia/report?{}", crate::support::DAY);
    let answer = client.ask("GET", &target, &[("Host", "127.0.0.1")], Body::None);
    answer.expect("a report is answered").status
}

#[test]
fn no_request_fails_while_other_processes_take_over() {
    let counts = serve_through_upgrades(3);
    assert!(counts.iter().all(|count| *count > 3), "{counts:?}");
}

#[test]
#[ignore = "minutes: `cargo test --test it -- --ignored fifty_upgrades`"]
fn no_request_fails_through_fifty_upgrades() {
    let counts = serve_through_upgrades(50);
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}

/// Connections that were handed over are served by threads of their own. The store client's
/// connections must not end with those, which all threads use.
#[test]
fn reports_are_answered_when_the_last_connection_that_was_handed_over_ends() {
    let mut server = Server::start(SITES);
    server.flush();
    let mut kept: Vec<Client> = (0..4).map(|_| server.client()).collect();
    for _ in 0..4 {
        for client in &mut kept {
            assert_eq!(read_report(client), 200);
        }
        server.upgrade();
        let asked: usize = std::thread::scope(|scope| {
            let readers: Vec<_> = (0..4)
                .map(|_| {
                    let mut client = server.client();
                    scope.spawn(move || (0..60).filter(|_| read_report(&mut client) == 200).count())
                })
                .collect();
            for mut client in kept.drain(..) {
                assert_eq!(read_report(&mut client), 200);
            }
            readers
                .into_iter()
                .map(|reader| reader.join().unwrap())
                .sum()
        });
        assert_eq!(asked, 4 * 60, "{}", server.log());
        kept = (0..4).map(|_| server.client()).collect();
    }
}
