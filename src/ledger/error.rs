//! Errors of the ledger.

use std::io;
use std::path::{Path, PathBuf};

/// What failed and where, and what is accepted. No message contains a consent id or the text of a
/// record.
#[derive(thiserror::Error, Debug)]
pub enum LedgerError {
    /// A file or folder cannot be read or written.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// Another process holds the lock of this folder.
    #[error("{path}: another process writes this ledger", path = .0.display())]
    InUse(PathBuf),
    /// The folder has no ledger.
    #[error("{path}: there is no ledger; ledger.dir must name the folder that holds acts.ledger", path = .0.display())]
    NotFound(PathBuf),
    /// The record with this number, at this byte, is missing, damaged or contradicts another one.
    #[error("{path}, byte {offset}: record {record} {what}", path = path.display())]
    Damaged {
        /// The file or folder.
        path: PathBuf,
        /// The number of the record.
        record: u64,
        /// Where the record begins, in bytes from the start of the file.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// A checkpoint is malformed or has no valid signature.
    #[error("{file}: {what}", file = file.display())]
    InvalidCheckpoint {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// A receipt is malformed or not valid.
    #[error("{file}: {what}", file = file.display())]
    InvalidReceipt {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The file of versions is malformed.
    #[error("{path}: {what}; it contains the versions of the consent prompt that were shown, and \
        only the collector writes it", path = path.display())]
    InvalidVersions {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The file does not contain a signing key.
    #[error("{path}: must be an Ed25519 key in PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` \
        writes it", path = .0.display())]
    InvalidKey(PathBuf),
    /// The key file is empty, although checkpoints were signed with its former content.
    #[error(
        "{path}: is empty, and checkpoints were signed with the key it held: put the key back from \
         a backup; without one, move the file away: a new key is made, under which the checkpoints \
         of before cannot be verified",
        path = .0.display()
    )]
    EmptyKey(PathBuf),
    /// A cut would drop grants that can still be live. `day` is the latest day accepted.
    #[error(
        "a grant given on {day} or later can still be live; the youngest day accepted is {day}"
    )]
    CutTooRecent {
        /// The latest day that is accepted.
        day: jiff::civil::Date,
    },
    /// The act cannot be recorded as it is, because of an error of the caller.
    #[error("{field}: must be {accepted}")]
    InvalidField {
        /// The field.
        field: &'static str,
        /// What is accepted.
        accepted: &'static str,
    },
    /// The withdrawal refers to no live grant.
    #[error("there is no live grant to withdraw")]
    NoLiveGrant,
    /// The disk is full. Nothing was recorded; the same act may be retried.
    #[error("the ledger's disk is full")]
    DiskFull,
    /// `ledger.acts_per_hour` is exhausted. Nothing was recorded; the same act may be retried after
    /// `retry_secs`.
    #[error("the ledger accepts no more acts in this hour")]
    QuotaExceeded {
        /// Seconds until acts are accepted again.
        retry_secs: i64,
    },
    /// It is unknown whether the act is on disk. The visitor gets an error, and a restart reads
    /// what is stored.
    #[error("the ledger's disk failed; restart the collector once it is well")]
    DiskFailed,
    /// A record from before the start was found damaged. Nothing is recorded on top of it.
    #[error(
        "the ledger was found damaged while it was in use; `footfall ledger verify` names the record"
    )]
    FoundDamaged,
    /// The ledger was closed; nothing was recorded.
    #[error("the ledger is closed")]
    Closed,
}

impl LedgerError {
    pub(super) fn from_io(path: &Path) -> impl FnOnce(io::Error) -> LedgerError + '_ {
        move |error| LedgerError::Io {
            path: path.to_owned(),
            error,
        }
    }
}
