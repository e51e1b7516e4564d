//! Helpers that open, extend and damage small ledgers.

mod acts;
mod checkpoints;
mod cut;
mod disk;
mod indexed;
mod torn;

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::consent::{ConsentId, WithdrawnGrants};

/// 2026-03-10T12:34:56.789Z.
pub const AT: i64 = 1_773_146_096_789;

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

struct Opening {
    ledger: Ledger,
    found: LedgerSummary,
    withdrawn: Arc<WithdrawnGrants>,
}

fn try_open(dir: &Path) -> Result<Opening, LedgerError> {
    let withdrawn = Arc::new(WithdrawnGrants::default());
    let (ledger, found) = Ledger::open(&options(dir), Arc::clone(&withdrawn), &mut |_, _| ())?;
    Ok(Opening {
        ledger,
        found,
        withdrawn,
    })
}

fn open(dir: &Path) -> Opening {
    match try_open(dir) {
        Ok(opening) => opening,
        Err(error) => panic!("{error}"),
    }
}

/// A choice among two purposes; the others were declined.
pub fn act(act: ActKind, id: Option<&ConsentId>, granted: &[&str]) -> NewAct {
    let purpose = |name: &str| (name.to_owned(), granted.contains(&name));
    NewAct {
        id: id.map(ConsentId::duplicate_id),
        act,
        site: "alllinks".into(),
        version: 3,
        digests: PromptDigests {
            policy: None,
            register: [0xab; 32],
            banner: [0xcd; 32],
        },
        lang: "de".into(),
        layer: PromptLayer::First,
        purposes: vec![purpose("preferences"), purpose("analytics")],
        gpc: false,
        dnt: false,
        at: AT,
    }
}

pub fn grant(id: &ConsentId) -> NewAct {
    act(ActKind::Grant, Some(id), &["analytics"])
}

pub fn refuse() -> NewAct {
    act(ActKind::Refuse, None, &[])
}

pub fn withdraw(id: &ConsentId) -> NewAct {
    act(ActKind::Withdraw, Some(id), &[])
}

fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn append(ledger: &Ledger, act: NewAct) -> LedgerRecord {
    match now(ledger.append_act(act)) {
        Ok(record) => record,
        Err(error) => panic!("{error}"),
    }
}

fn refused(ledger: &Ledger, act: NewAct) -> LedgerError {
    now(ledger.append_act(act))
        .err()
        .expect("the act is refused")
}

fn verified(dir: &Path) -> Result<LedgerVerification, LedgerError> {
    verify_ledger(&options(dir), &[], None, &mut |_, _| ())
}

fn file(dir: &Path) -> Vec<u8> {
    std::fs::read(dir.join("acts.ledger")).unwrap()
}

/// The state after a crash: the file alone, without the checkpoint written at a stop.
fn write(dir: &Path, bytes: &[u8]) {
    let _ = std::fs::remove_dir_all(dir.join("checkpoints"));
    std::fs::write(dir.join("acts.ledger"), bytes).unwrap();
}

/// A grant, a refusal, a narrowing, a withdrawal and another visitor's grant: one of each kind of
/// record.
fn small(dir: &Path) -> Vec<u8> {
    let Opening { ledger, .. } = open(dir);
    let (one, other) = (ConsentId::random(), ConsentId::random());
    append(
        &ledger,
        act(ActKind::Grant, Some(&one), &["preferences", "analytics"]),
    );
    append(&ledger, refuse());
    append(
        &ledger,
        act(ActKind::Withdraw, Some(&one), &["preferences"]),
    );
    append(&ledger, withdraw(&one));
    append(&ledger, grant(&other));
    drop(ledger);
    file(dir)
}

/// The record and the offset that an error names.
fn place(error: &LedgerError) -> (u64, u64) {
    match error {
        LedgerError::Damaged { record, offset, .. } => (*record, *offset),
        other => panic!("{other}"),
    }
}
