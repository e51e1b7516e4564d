use std::io;
use std::path::{Path, PathBuf};

/// What went wrong, where, and what is accepted. No message ever holds an id or the text of a record.
#[derive(thiserror::Error, Debug)]
pub enum LedgerError {
    #[error("{path}: {error}", path = path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{path}: another process writes this ledger", path = .0.display())]
    InUse(PathBuf),
    #[error("{path}: there is no ledger; ledger.dir must name the folder that holds acts.ledger", path = .0.display())]
    Missing(PathBuf),
    #[error("{path}, byte {offset}: record {record} {what}", path = path.display())]
    Damaged { path: PathBuf, record: u64, offset: u64, what: String },
    #[error("{file}: {what}", file = file.display())]
    Checkpoint { file: PathBuf, what: &'static str },
    #[error("{file}: {what}", file = file.display())]
    Receipt { file: PathBuf, what: String },
    #[error("{path}: {what}; it holds the versions of the question that were put, and is written by the collector alone", path = path.display())]
    Versions { path: PathBuf, what: String },
    #[error("{path}: must be an Ed25519 key in PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` writes it", path = .0.display())]
    Key(PathBuf),
    #[error(
        "{path}: is empty, and checkpoints were signed with the key it held: put the key back from a backup; without one, move the file away: a new key \
         is made, under which the checkpoints of before cannot be verified",
        path = .0.display()
    )]
    EmptyKey(PathBuf),
    #[error("a grant given on {day} or later can still be live; the youngest day accepted is {day}")]
    TooYoung { day: jiff::civil::Date },
    /// An act that cannot be recorded as it is: a mistake of the caller.
    #[error("{field}: must be {accepted}")]
    Unfit { field: &'static str, accepted: &'static str },
    #[error("there is no live grant to withdraw")]
    NoGrant,
    /// Nothing was recorded; the same act may be tried again.
    #[error("the ledger's disk is full")]
    Full,
    /// Nothing was recorded: its hour has no room (`ledger.acts_per_hour`).
    #[error("the ledger takes no more acts in this hour")]
    Crowded { retry_secs: i64 },
    /// Whether the act is on disk is not known. It is an error to the person, and a restart reads what is there.
    #[error("the ledger's disk failed; restart the collector once it is well")]
    Failed,
    #[error("the ledger is closed")]
    Closed,
}

impl LedgerError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> LedgerError + '_ {
        move |error| LedgerError::Io { path: path.to_owned(), error }
    }
}
