//! A full disk: hits are answered 503 and not counted, nothing is corrupt, and all is well once there is room.

use std::fs::{self, File};
use std::io::Write;

use crate::support::{DAY, Engine, SITES, Server, hit, view};

#[test]
fn a_full_disk_refuses_hits_uncounted_and_a_retry_of_them_counts_once_when_there_is_room() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::start(&dir.path().join("clickhouse"));
    let url = format!("store.url=\"{}\"", engine.url());
    let mut server = Server::start_on_small_disk(SITES, &[&url, "limits.items_per_site=100000"], 16 << 20);
    let mut client = server.client();
    assert_eq!(hit(&mut client, &view("/u/mia/first"), &[]).status, 202);

    let filler = server.data().join("filler");
    fill(&filler);
    let body = |n: u32| {
        let path = format!("/u/mia/{}", "abcdefgh-".repeat(50));
        let one = |hit: u32| {
            format!(r#"{{"kind":"view","url":"https://pages.example{path}/{n}-{hit}","id":"{:08x}"}}"#, n * 100 + hit)
        };
        format!("[{}]", (0..8).map(one).collect::<Vec<_>>().join(","))
    };
    let (mut answered, mut refused) = (1, Vec::new());
    for n in 0..20_000 {
        match hit(&mut client, &body(n), &[]).status {
            202 => answered += 8,
            503 => refused.push(n),
            other => panic!("{other}"),
        }
        if refused.len() == 50 {
            break;
        }
    }
    assert_eq!(refused.len(), 50, "the disk is full at some point");
    assert_eq!(server.metric("footfall_journal_full"), 1);
    assert!(server.log().contains("the journal is full"), "{}", server.log());

    fs::remove_file(&filler).unwrap();
    for n in &refused {
        assert_eq!(hit(&mut client, &body(*n), &[]).status, 202, "{}", server.log());
        answered += 8;
    }
    // Sent twice by a client that never got its answer: once is what counts.
    assert_eq!(hit(&mut client, &body(refused[0]), &[]).status, 202);
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], answered);
    assert_eq!(server.metric("footfall_journal_damaged_total"), 0);
    assert_eq!(server.stop(), Some(0), "{}", server.log());
}

/// Takes every byte that is left.
fn fill(path: &std::path::Path) {
    let mut file = File::create(path).unwrap();
    for size in [1 << 20, 1 << 16, 1 << 12] {
        let block = vec![1; size];
        while file.write_all(&block).is_ok() {}
    }
}
