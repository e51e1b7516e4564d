//! Nothing of a visitor remains in the memory of a quiet collector. A small version of
//! tests/attacks/core_dump.mjs.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use aho_corasick::AhoCorasick;

use crate::support::{Body, Client, NOON, SITES, Server, grant};

const WORD: &str = "Kq7xCANARY";
const ADDRESS: &str = "2001:db8:5a5a:c0de:1357:9bdf:2468:ace0";

/// All writable memory of the process, in pieces; `None` if only root may read it.
fn memory(pid: u32, mut each: impl FnMut(&[u8])) -> Option<()> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut chunk = vec![0; 8 << 20];
    for line in maps
        .lines()
        .filter(|line| line.contains(" rw") && !line.contains("[vvar"))
    {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let (mut at, to) = (
            u64::from_str_radix(from, 16).unwrap(),
            u64::from_str_radix(to, 16).unwrap(),
        );
        while at < to {
            let length = usize::try_from(to - at).unwrap().min(chunk.len());
            let read = memory.read_at(&mut chunk[..length], at).unwrap_or(0);
            each(&chunk[..read]);
            at += length as u64;
        }
    }
    Some(())
}

/// How often a planted value appears in it.
fn left(pid: u32) -> Option<usize> {
    let binary = ADDRESS.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let needles: [&[u8]; 3] = [WORD.as_bytes(), &ADDRESS.as_bytes()[8..], &binary[4..]];
    let needles = AhoCorasick::new(needles).unwrap();
    let mut found = 0;
    memory(pid, |bytes| found += needles.find_iter(bytes).count())?;
    Some(found)
}

fn headers(connection: &str) -> Vec<(&'static str, String)> {
    vec![
        ("Host", "pages.example".to_owned()),
        ("Origin", "https://pages.example".to_owned()),
        (
            "User-Agent",
            format!("Mozilla/5.0 (X11; {WORD}Agent) Firefox/131.0"),
        ),
        ("X-Forwarded-For", ADDRESS.to_owned()),
        ("Accept-Language", format!("de-{WORD}")),
        ("Cookie", format!("session={WORD}Cookie; {}", grant())),
        ("X-Footfall-Now", NOON.to_string()),
        ("Connection", connection.to_owned()),
    ]
}

fn send(client: &mut Client, method: &str, target: &str, connection: &str, body: &str) {
    let headers = headers(connection);
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    client
        .send(method, target, &headers, Body::Sized(body.as_bytes()))
        .unwrap();
}

#[test]
fn nothing_of_the_last_visitors_is_left_in_memory_once_their_connections_are_closed() {
    let server = Server::start_with(
        SITES,
        &[
            "server.keep_alive_secs=3",
            "limits.read_timeout_millis=3000",
        ],
    );
    server.flush();
    let body = format!(
        r#"{{"kind":"view","url":"https://pages.example/u/mia?token={WORD}Query","referrer":"https://b.test/{WORD}"}}"#
    );

    // Many at once, so that each thread has more than one request in progress.
    let mut clients: Vec<Client> = (0..40).map(|_| server.client()).collect();
    for connection in ["keep-alive", "close"] {
        clients
            .iter_mut()
            .for_each(|client| send(client, "POST", "/ff/hit", connection, &body));
        clients
            .iter_mut()
            .for_each(|client| assert_eq!(client.receive().unwrap().status, 202));
    }
    let mut clients: Vec<Client> = (0..40).map(|_| server.client()).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        match at % 4 {
            // A preview, a page that does not exist, a body that breaks off, and a hit that stays
            // incomplete.
            0 => send(client, "GET", "/u/mia/ff/me", "keep-alive", ""),
            1 => send(
                client,
                "GET",
                &format!("/{WORD}/nothing?{WORD}"),
                "keep-alive",
                "",
            ),
            2 => send(
                client,
                "POST",
                "/ff/hit",
                "keep-alive",
                &body[..body.len() - 9],
            ),
            _ => send(client, "POST", "/ff/hit", "keep-alive", &body),
        }
    }
    clients
        .iter_mut()
        .for_each(|client| _ = client.receive().unwrap());
    drop(clients);

    let Some(mut found) = left(server.pid()) else {
        eprintln!("not looked at: only root may read another process's memory");
        return;
    };
    let (began, patience) = (Instant::now(), Duration::from_secs(20));
    while found > 0 && began.elapsed() < patience {
        sleep(Duration::from_millis(500));
        found = left(server.pid()).unwrap();
    }
    assert_eq!(
        found,
        0,
        "in the memory of the collector, {:?} after the last request",
        began.elapsed()
    );
}
