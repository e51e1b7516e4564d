//! Kills and I/O errors within an insert: at each rename, sync and write of the engine in turn,
//! counts are stored once in every table.
//!
//! Such a moment is practically never met by chance; a library that is loaded before the engine
//! (`inject.c`) causes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use footfall::aggregate::SegmentSums;
use footfall::event::{
    Dimension, DropReason, FaultKind, MailAction, ReaderKind, Subject, WebVital,
};
use footfall::publication::{ClosedPeriod, CoinKey, LotPolicy};
use footfall::store::{PublicationUnit, Store};

use crate::support::{Builder, Process, at, counts_of, day, hits, number, people};

const TABLES: [&str; 8] = [
    "daily", "hourly", "money", "drops", "vitals", "faults", "activity", "mail",
];

/// All calls; an insert into nine tables makes about a hundred of each kind.
const CALLS: [&str; 3] = ["rename", "sync", "write"];

/// A row for each table.
fn segment() -> SegmentSums {
    let date = day("2026-03-01");
    Builder::default()
        .daily(
            1,
            "2026-03-01",
            Subject::Site,
            "",
            Dimension::Total,
            "",
            hits(1),
        )
        .daily(
            1,
            "2026-03-01",
            Subject::Site,
            "",
            Dimension::Country,
            "DE",
            people(1, 1),
        )
        .hourly(1, 1_772_323_200, hits(1))
        .money(1, date, "buy", *b"EUR", 1, 1)
        .drop(1_772_323_200, DropReason::Gpc, 1)
        .vital(1, date, WebVital::Cls, ("/a", "tv", 1), 1)
        .fault(1, date, FaultKind::NotFound, "/a", "", 1)
        .mail(
            date,
            ("welcome", date),
            MailAction::Open,
            "",
            ReaderKind::Direct,
            (1, 1),
        )
        .build()
}

/// The library, compiled once. A machine that builds Rust programs has the compiler.
fn library() -> &'static Path {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, library) = BUILT.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join("inject.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/inject.c");
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(source)
            .arg("-ldl");
        let built = compiler
            .status()
            .expect("a C compiler, as the linker of Rust needs it: cc");
        assert!(built.success());
        (dir, library)
    });
    library
}

/// An engine that can be told where to fail.
struct Injected {
    dir: tempfile::TempDir,
    process: Option<Process>,
    orders: u32,
}

impl Injected {
    fn start() -> Injected {
        let mut injected = Injected {
            dir: tempfile::tempdir().unwrap(),
            process: None,
            orders: 0,
        };
        injected.restart();
        injected
    }

    fn order_file(&self) -> PathBuf {
        self.dir.path().join("order")
    }

    fn restart(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
        let data = self.dir.path().join("store");
        fs::create_dir_all(&data).unwrap();
        let preload = [
            ("LD_PRELOAD", library().to_owned()),
            ("INJECT_ORDER", self.order_file()),
            ("INJECT_FOLDER", data.clone()),
        ];
        self.process = Some(Process::start_with(&data, &preload));
    }

    async fn store(&self) -> crate::support::Tested {
        at(&self.process.as_ref().unwrap().url, "footfall").await
    }

    /// Makes the n-th call of a kind from now on fail, or kill the engine.
    fn order(&mut self, what: &str, call: &str, n: u32) {
        self.orders += 1;
        let _ = fs::remove_file(self.done_file());
        let beside = self.dir.path().join("order.new");
        fs::write(&beside, format!("{} {what} {call} {n}\n", self.orders)).unwrap();
        fs::rename(beside, self.order_file()).unwrap();
    }

    fn done_file(&self) -> PathBuf {
        self.dir.path().join("order.done")
    }

    /// Cancels the order, and returns whether the call happened.
    fn withdraw(&self) -> bool {
        let _ = fs::remove_file(self.order_file());
        self.done_file().exists()
    }
}

/// Every `step`-th place of every kind of call.
async fn every_segment_counts_once(what: &str, calls: &[&str], step: u32) -> u32 {
    let mut engine = Injected::start();
    let sums = segment();
    let (mut sent, mut met) = (0, 0);
    for call in calls {
        for n in (1..).step_by(step as usize) {
            let store = engine.store().await;
            let token = format!("c-1-{sent}");
            engine.order(what, call, n);
            let first = store.insert_new_segment(&token, &sums).await;
            let came = engine.withdraw();
            if what == "kill" && came {
                engine.restart();
            }
            let store = engine.store().await;
            if let Err(error) = first {
                assert!(came, "{what} at {call} {n} never came: {error}");
                store.insert_segment(&token, &sums).await.unwrap();
            }
            sent += 1;
            met += u32::from(came);
            let is_last = !came;
            assert_once(&store, sent, &format!("{what} at {call} {n}")).await;
            if is_last {
                break;
            }
        }
    }
    met
}

async fn assert_once(store: &Store, sent: u64, place: &str) {
    for table in TABLES {
        let counted = number(
            store,
            &format!("SELECT sum(hits) FROM {}", counts_of(table)),
        )
        .await;
        assert_eq!(counted, sent, "{table} after {place}");
    }
    let attributes = number(
        store,
        &format!("SELECT sum(visitors) FROM {}", counts_of("unpublished")),
    )
    .await;
    assert_eq!(attributes, sent, "unpublished after {place}");
}

#[tokio::test]
async fn an_io_error_at_any_rename_of_an_insert_loses_and_doubles_nothing() {
    let met = every_segment_counts_once("eio", &["rename"], 1).await;
    println!("injected_errors={met}");
    assert!(
        met >= 9,
        "each of nine tables renames its part into place: {met}"
    );
}

#[tokio::test]
async fn a_kill_at_some_renames_of_an_insert_loses_and_doubles_nothing() {
    let met = every_segment_counts_once("kill", &["rename"], 4).await;
    println!("injected_kills={met}");
    assert!(met >= 2, "{met}");
}

#[tokio::test]
#[ignore = "some minutes; run with --include-ignored"]
async fn an_io_error_at_any_call_of_an_insert_loses_and_doubles_nothing() {
    let met = every_segment_counts_once("eio", &CALLS, 1).await;
    println!("injected_errors={met}");
    assert!(met >= 100, "{met}");
}

#[tokio::test]
#[ignore = "some minutes; run with --include-ignored"]
async fn a_kill_at_any_call_of_an_insert_loses_and_doubles_nothing() {
    let met = every_segment_counts_once("kill", &CALLS, 1).await;
    println!("injected_kills={met}");
    assert!(met >= 100, "{met}");
}

/// Publication depends on the row that begins it.
#[tokio::test]
async fn a_kill_at_any_rename_of_a_publication_leaves_it_to_the_next_run() {
    publication_is_done_once("kill", 3, u32::MAX).await;
}

/// The renames of its row, of what it publishes, and of the deletion.
#[tokio::test]
async fn an_io_error_at_some_renames_of_a_publication_is_waited_out_or_left_to_the_next_run() {
    publication_is_done_once("eio", 5, 16).await;
}

#[tokio::test]
#[ignore = "some minutes; run with --include-ignored"]
async fn an_io_error_at_any_rename_of_a_publication_is_waited_out_or_left_to_the_next_run() {
    // Each day adds a part that the deletion clones, and its renames: they have no last one.
    publication_is_done_once("eio", 1, 24).await;
}

async fn publication_is_done_once(what: &str, step: usize, last: u32) {
    let mut engine = Injected::start();
    let policy = LotPolicy::new(5, CoinKey::new([3; 32]));
    let mut counted = 0;
    for (round, n) in (1..=last).step_by(step).enumerate() {
        let date = day("2026-03-01").as_number() + u16::try_from(round).unwrap();
        let date = footfall::calendar::Day::from_number(date);
        let mut builder = Builder::default();
        builder.add_daily(
            1,
            date,
            Subject::Site,
            "",
            Dimension::Country,
            "DE",
            people(7, 7),
        );
        counted += 7;
        let store = engine.store().await;
        store
            .insert_new_segment(&format!("c-1-{round}"), &builder.build())
            .await
            .unwrap();

        let unit = PublicationUnit {
            zone: "UTC".into(),
            day: date,
            ended_at: (u32::from(date.as_number()) + 1) * 86_400,
            occasion: ClosedPeriod::Day,
        };
        engine.order(what, "rename", n);
        let first = store.publish_unit(&unit, &policy).await;
        let came = engine.withdraw();
        if what == "kill" && came {
            engine.restart();
        }
        let store = engine.store().await;
        if let Err(error) = first {
            assert!(came, "{what} at rename {n} never came: {error}");
            store.publish_unit(&unit, &policy).await.unwrap();
        }
        let zones = store.zones_to_publish(&["UTC".to_owned()]).await.unwrap();
        assert_eq!(
            (zones["UTC"].last_day, &zones["UTC"].unfinished),
            (Some(date), &None),
            "{what} at rename {n}"
        );
        assert_eq!(
            crate::publication::total(&store).await,
            counted,
            "{what} at rename {n}"
        );
        if !came {
            assert!(round > 1, "it renames more than once");
            break;
        }
    }
}

#[tokio::test]
async fn a_kill_at_some_renames_of_ageing_loses_and_doubles_nothing() {
    kills_of_ageing(5, 2).await;
}

#[tokio::test]
#[ignore = "a minute; run with --include-ignored"]
async fn a_kill_at_any_rename_of_ageing_loses_and_doubles_nothing() {
    kills_of_ageing(1, 6).await;
}

/// The engine dies at every `step`-th rename of the ageing of two months, and is started again. A
/// segment of both months arrives before each.
async fn kills_of_ageing(step: usize, least: u32) {
    let mut engine = Injected::start();
    let today = day("2024-06-14");
    let limits = footfall::config::AgeingLimits {
        hourly_days: 36,
        activity_days: 93,
    };
    let segment = |dates: &[&str]| {
        let of_day = |builder: Builder, date: &&str| {
            builder.daily(1, date, Subject::Site, "", Dimension::Total, "", hits(1))
        };
        dates.iter().fold(Builder::default(), of_day).build()
    };
    let recent = segment(&["2024-06-12", "2024-06-13", "2024-06-14"]);
    let store = engine.store().await;
    store.insert_segment("c-1-0", &recent).await.unwrap();

    let (mut sent, mut met) = (0, 0);
    for n in (1..).step_by(step) {
        let store = engine.store().await;
        let late = segment(&["2024-01-31", "2024-02-01"]);
        store
            .insert_segment(&format!("d-1-{n}"), &late)
            .await
            .unwrap();
        sent += 1;

        engine.order("kill", "rename", n);
        let mut ended = false;
        for _ in 0..10 {
            match store.age_counts(today, &limits, Default::default()).await {
                Ok(aged) if aged == Default::default() => {
                    ended = true;
                    break;
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        let came = engine.withdraw();
        if came {
            met += 1;
            engine.restart();
        }
        assert!(came || ended, "kill at rename {n}");

        let store = engine.store().await;
        if came {
            crate::coarser::age_all(&store).await;
        }
        let hits = crate::coarser::hits_since(&store, "2024-01-01").await;
        assert_eq!(hits, 2 * sent + 3, "kill at rename {n}");
        if !came {
            break;
        }
    }
    println!("injected_kills={met}");
    assert!(met >= least, "both months are summed and dropped: {met}");
}

/// A copy of the store's folder from before a segment was sent, beside a journal that still has it;
/// and one from after.
#[tokio::test]
async fn a_segment_counts_once_beside_an_older_copy_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let data = |name: &str| dir.path().join(name);
    let (before, sums) = (segment(), segment());
    let process = Process::start(&data("now"));
    let store = at(&process.url, "footfall").await;
    store.insert_new_segment("c-1-1", &before).await.unwrap();
    process.kill();
    copy(&data("now"), &data("older"));

    let process = Process::start(&data("now"));
    at(&process.url, "footfall")
        .await
        .insert_new_segment("c-1-2", &sums)
        .await
        .unwrap();
    process.kill();
    // The engine's memory of inserts is not in a backup of its tables.
    for name in ["now", "older"] {
        forget_inserts(&data(name));
        let process = Process::start(&data(name));
        let store = at(&process.url, "footfall").await;
        for token in ["c-1-1", "c-1-2"] {
            store.insert_segment(token, &segment()).await.unwrap();
        }
        assert_once(&store, 2, name).await;
        process.kill();
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status()
        .unwrap();
    assert!(copied.success());
}

/// Removes the folders in which tables record the tokens they have seen.
fn forget_inserts(dir: &Path) {
    for entry in fs::read_dir(dir)
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_type().unwrap().is_dir())
    {
        if entry.file_name() == "deduplication_logs" {
            fs::remove_dir_all(entry.path()).unwrap();
        } else {
            forget_inserts(&entry.path());
        }
    }
}
