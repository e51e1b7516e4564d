//! What the consent ledger costs: appending, opening and verifying 100 000 records, on the disk the
//! build lies on.
//!
//! `cargo bench --bench ledger`. The last three lines are for machines.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use footfall::consent::{ConsentId, WithdrawnGrants};
use footfall::ledger::{
    self, ActKind, Ledger, LedgerError, LedgerOptions, NewAct, PromptDigests, PromptLayer,
};

const RECORDS: u64 = 100_000;
/// Fills the ledger: as many as one write takes.
const FILLING: u64 = 256;
/// Measured: people who decide at once.
const AT_ONCE: u64 = 64;
const MEASURED_FOR: Duration = Duration::from_secs(5);
/// The middle of them is told.
const ROUNDS: usize = 5;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let appends = runtime.block_on(appends(&dir.path().join("appends")))?;

    let full = dir.path().join("full");
    runtime.block_on(fill(&full))?;
    let bytes = std::fs::metadata(full.join("acts.ledger"))?.len();
    println!(
        "{RECORDS} records, {:.1} MB, {} bytes each",
        bytes as f64 / 1e6,
        bytes / RECORDS
    );

    let verify = middle(|| {
        let verified = ledger::verify_ledger(&options(&full), &[], None, &mut |_, _| ())?;
        assert_eq!(verified.summary.counts.records, RECORDS);
        Ok(())
    })?;
    let open = middle(|| {
        let (ledger, found) = open(&full)?;
        assert_eq!(found.counts.records, RECORDS);
        drop(ledger);
        Ok(())
    })?;
    println!("ledger_verify_s_per_100k={verify:.3}");
    println!("ledger_open_s_per_100k={open:.3}");
    println!("ledger_appends_per_s_64={appends:.0}");
    Ok(())
}

/// Seconds, the middle of some rounds, all of which are printed.
fn middle(mut work: impl FnMut() -> Result<(), LedgerError>) -> Outcome<f64> {
    let mut seconds = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        work()?;
        seconds.push(started.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    println!(
        "rounds, s: {}",
        seconds
            .iter()
            .map(|s| format!("{s:.3}"))
            .collect::<Vec<_>>()
            .join(" ")
    );
    Ok(seconds[ROUNDS / 2])
}

/// Acts a second of so many people, each of whom decides again once answered.
async fn appends(dir: &Path) -> Outcome<f64> {
    let (ledger, _) = open(dir)?;
    let started = Instant::now();
    let people = (0..AT_ONCE).map(|person| {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            let mut answered = 0_u64;
            while started.elapsed() < MEASURED_FOR {
                ledger
                    .append_act(act(ActKind::Grant, Some(ConsentId::random()), person))
                    .await?;
                answered += 1;
            }
            Ok::<u64, LedgerError>(answered)
        })
    });
    let mut answered = 0;
    for person in people.collect::<Vec<_>>() {
        answered += person.await??;
    }
    Ok(answered as f64 / started.elapsed().as_secs_f64())
}

/// Six of ten grant, three refuse, one withdraws.
async fn fill(dir: &Path) -> Outcome<()> {
    let (ledger, _) = open(dir)?;
    let mut granted = Vec::new();
    let mut next = 0;
    while next < RECORDS {
        let many = FILLING.min(RECORDS - next);
        let acts: Vec<_> = (next..next + many)
            .map(|number| ledger.append_act(some_act(number, &mut granted)))
            .collect();
        for act in acts {
            act.await?;
        }
        next += many;
    }
    ledger.close()?;
    Ok(())
}

fn some_act(number: u64, granted: &mut Vec<ConsentId>) -> NewAct {
    match number % 10 {
        0..6 => {
            let id = ConsentId::random();
            granted.push(id.duplicate_id());
            act(ActKind::Grant, Some(id), number)
        }
        6..9 => act(ActKind::Refuse, None, number),
        _ => act(ActKind::Withdraw, granted.pop(), number),
    }
}

fn act(act: ActKind, id: Option<ConsentId>, number: u64) -> NewAct {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    NewAct {
        id,
        act,
        site: "alllinks".into(),
        version: 3,
        digests: PromptDigests {
            policy: Some([1; 32]),
            register: [2; 32],
            banner: [3; 32],
        },
        lang: ["en", "de", "fr", "es", "ar"][number as usize % 5].into(),
        layer: PromptLayer::First,
        purposes: ["preferences", "analytics", "embeds"]
            .map(|name| (name.to_owned(), act == ActKind::Grant))
            .to_vec(),
        gpc: false,
        dnt: false,
        at: i64::try_from(now).unwrap_or(i64::MAX),
    }
}

fn options(dir: &Path) -> LedgerOptions {
    LedgerOptions {
        dir: dir.to_owned(),
        key_file: String::new(),
        checkpoint_secs: 3600,
        site: "alllinks".into(),
        acts_per_hour: u64::MAX,
        index_records: 10_000,
    }
}

fn open(dir: &Path) -> Result<(Ledger, ledger::LedgerSummary), LedgerError> {
    Ledger::open(
        &options(dir),
        Arc::<WithdrawnGrants>::default(),
        &mut |_, _| (),
    )
}
