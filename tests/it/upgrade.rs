//! `footfall upgrade`: another process takes over, and neither clients nor counts notice.

mod failures;
mod load;
mod stops;

use crate::support::{Body, Client, DAY, NOON, SITES, Server, hit, program, view};

/// Long enough for the visit of `NOON` to be over.
const VISIT_OVER: i64 = NOON + 40 * 60_000;

/// Hits, visitors, visits, bounces and seconds of mia's day.
pub fn totals(server: &Server) -> [u64; 5] {
    let report = server.report("mia", DAY);
    ["hits", "visitors", "visits", "bounces", "seconds"]
        .map(|figure| report["totals"][figure].as_u64().expect("a number"))
}

fn view_at(client: &mut Client, path: &str, at: i64) {
    let now = at.to_string();
    let answer = hit(client, &view(path), &[("X-Footfall-Now", &now)]);
    assert_eq!(answer.status, 202, "{}", answer.text());
}

#[test]
fn a_visit_goes_on_through_upgrades_over_one_connection_and_its_visitor_counts_once() {
    let mut server = Server::start(SITES);
    let mut client = server.client().never_reconnecting();
    let with_id = r#"{"kind":"view","url":"https://pages.example/u/mia","id":"0123456789abcdef0123456789abcdef"}"#;
    let mut pids = vec![server.pid()];
    for round in 0..3 {
        let now = (NOON + round * 10_000).to_string();
        let answer = hit(&mut client, with_id, &[("X-Footfall-Now", &now)]);
        assert_eq!(answer.status, 202, "{}", server.log());
        view_at(
            &mut client,
            &format!("/u/mia/{round}"),
            NOON + round * 10_000,
        );
        server.upgrade();
        pids.push(server.pid());
    }
    pids.dedup();
    assert_eq!(pids.len(), 4, "each is another process");

    // Someone else, much later.
    let later = VISIT_OVER.to_string();
    let other = [
        ("X-Footfall-Now", &*later),
        ("X-Forwarded-For", "203.0.113.9"),
    ];
    assert_eq!(hit(&mut client, &view("/u/mia"), &other).status, 202);
    server.flush();
    // Four hits of one visit of 20 seconds: the id counts once. Then the view of another visitor.
    assert_eq!(totals(&server), [5, 2, 2, 0, 20], "{}", server.log());
    assert_eq!(server.metric("footfall_hits_total"), 7);
}

#[test]
fn live_numbers_and_dropped_hits_go_on() {
    let mut server = Server::start(SITES);
    let mut client = server.client();
    view_at(&mut client, "/u/mia", NOON);
    let refused = [("Sec-GPC", "1")];
    assert_eq!(hit(&mut client, &view("/u/mia"), &refused).status, 202);
    server.upgrade();
    let live = client.get("/api/v1/sites/mia/live").unwrap().text();
    assert_eq!(live, r#"{"visitors":1}"#, "{}", server.log());
    assert_eq!(server.metric(r#"footfall_drops_total{reason="gpc"}"#), 1);
}

#[test]
fn a_report_asked_for_while_the_store_changes_hands_waits_and_is_answered() {
    let mut server = Server::start(SITES);
    let mut client = server.client();
    view_at(&mut client, "/u/mia", NOON);
    server.flush();
    for _ in 0..2 {
        let mut upgrade = server.begin_upgrade(&[]);
        assert!(upgrade.serves(), "{}", server.log());
        // The store is still the former process's, or nobody's.
        assert_eq!(totals(&server), [1, 1, 1, 0, 0]);
        assert_eq!(server.replace(upgrade), Some(0), "{}", server.log());
    }
}

#[test]
fn an_event_stream_ends_in_order_and_the_next_one_is_of_the_new_process() {
    let mut server = Server::start(SITES);
    let mut client = server.client();
    view_at(&mut client, "/u/mia", NOON);
    server.flush();
    let host = server.address().to_string();
    let mut reader = server.client();
    let events = "/api/v1/sites/mia/events";
    reader
        .send("GET", events, &[("Host", &host)], Body::None)
        .unwrap();
    let head = reader.receive_head().unwrap();
    assert_eq!(head.status, 200, "{}", server.log());
    server.upgrade();
    let rest = reader.receive_body(head).expect("the last chunk").text();
    assert!(rest.contains("event: live"), "{rest}");
    reader
        .send("GET", events, &[("Host", &host)], Body::None)
        .unwrap();
    assert_eq!(reader.receive_head().unwrap().status, 200);
}

#[test]
fn what_the_new_configuration_allows_holds_from_the_upgrade_on() {
    let mut server = Server::start(SITES);
    let mut client = server.client();
    view_at(&mut client, "/u/mia", NOON);
    server.set(&["limits.body_bytes=512"]);
    server.upgrade();
    let long = view(&format!("/u/mia/{}", "x".repeat(600)));
    assert_eq!(hit(&mut client, &long, &[]).status, 413);
}

#[test]
fn in_the_background_the_command_returns_once_the_new_process_serves() {
    let server = Server::start(SITES);
    let mut client = server.client();
    view_at(&mut client, "/u/mia", NOON);
    // The new process keeps the command's standard error.
    let output = program::command(&server, &["upgrade", "--background"])
        .stderr(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", server.log());
    let said = String::from_utf8(output.stdout).unwrap();
    let (_, process) = said.split_once("(process ").expect("the process is named");
    let process: i32 = process.trim_end_matches([')', '\n']).parse().unwrap();
    view_at(&mut client, "/u/mia", NOON + 1000);
    server.flush();
    assert_eq!(totals(&server)[..3], [2, 1, 1]);

    let process = rustix::process::Pid::from_raw(process).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    crate::support::until(
        || rustix::process::test_kill_process(process).is_err(),
        "the new process ends",
    );
}

#[test]
fn nothing_of_the_state_is_on_disk_or_readable_in_the_file_that_carries_it() {
    let mut server = Server::start_with(SITES, &["test.upgrade_stop=written"]);
    let mut client = server.client();
    view_at(&mut client, "/u/mia", NOON);
    let upgrade = server.begin_upgrade(&["test.upgrade_stop="]);
    crate::support::wait_for_state(server.pid(), "T");

    // The file is in memory, sealed, and has no text of the day.
    let folder = format!("/proc/{}/fd", server.pid());
    let links = std::fs::read_dir(&folder).unwrap().flatten();
    let named = |link: &std::fs::DirEntry| {
        let target = std::fs::read_link(link.path());
        target.is_ok_and(|to| to.to_string_lossy().contains("memfd:footfall-state"))
    };
    let files: Vec<_> = links.filter(named).collect();
    assert_eq!(files.len(), 1, "one file carries the state");
    let bytes = std::fs::read(files[0].path()).unwrap();
    assert!(bytes.len() > 300, "{}", bytes.len());
    for text in [&b"/u/mia"[..], b"UTC", b"(direct)"] {
        assert!(!bytes.windows(text.len()).any(|part| part == text));
    }
    let written = std::fs::OpenOptions::new()
        .write(true)
        .open(files[0].path());
    let written = written.and_then(|file| std::os::unix::fs::FileExt::write_at(&file, b"x", 0));
    assert!(written.is_err(), "the file is sealed");

    server.signal(rustix::process::Signal::CONT);
    assert_eq!(server.adopt(upgrade), Some(0), "{}", server.log());
    view_at(&mut client, "/u/mia", NOON + 1000);
    server.flush();
    assert_eq!(totals(&server)[..3], [2, 1, 1]);
}
