//! The consent ledger: each visitor's decision, in a form that an auditor can verify and the
//! operator cannot change unnoticed.
//!
//! Constraints:
//! - *No personal data.* A record contains a random consent id and nothing else about a person: no
//!   address, user agent, page or account. Its texts are closed (site names, language tags, names
//!   of purposes); an act with other texts is rejected before it is written.
//! - *Acknowledged means on disk.* Waiting acts are written together and synced (`fdatasync`), and
//!   are acknowledged only then. The gate ([`WithdrawnGrants`](crate::consent::WithdrawnGrants))
//!   knows a withdrawal before it is acknowledged.
//! - *Append only.* Each record contains the hash of the one before it, so any change shows at the
//!   first affected record. Only `cut` removes records: the oldest ones, leaving a signed statement
//!   of the ledger's new start.
//! - *One writer.* A writing process holds `lock`. Readers need no lock; at worst they find an
//!   incomplete last line.
//! - *A failed sync ends the ledger.* The kernel may have dropped the pages, so a later sync proves
//!   nothing. Every later act is an error until a restart reads what is stored. A full disk is
//!   different: the file is truncated to its former end.
//!
//! ```text
//! folder   lock  acts.ledger  acts.index  key.pem  checkpoints/<size>.note  versions.json  consent.keys
//!          folders have mode 0700, files 0600
//! file     cut? record*
//!          JSON, one object per line, without spaces, keys always in this order
//! cut      {"cut":{"seq":N,"hash":"…","before":"2024-01-01"}}
//!          records 1 to N were dropped; record N had this hash
//! record   {"seq":41,"prev":"…","id":"…"|null,"act":"grant|refuse|withdraw","refers":40|null,
//!           "site":"alllinks","version":3,"policy":"…"|null,"register":"…","banner":"…",
//!           "lang":"de","layer":"first|panel|page",
//!           "purposes":{"preferences":false,"analytics":true},
//!           "gpc":false,"dnt":false,"at":"2026-11-25T20:00Z","hash":"…"}
//! hash     SHA-256 of the bytes of the line up to, not including, `,"hash":`
//!          64 lower-case hex digits, as every digest
//! prev     hash of the record before; 64 zeros for the first
//! at       the hour in UTC; old records have the minute
//! ```
//!
//! Verification hashes the stored bytes and never depends on serializing JSON again. `seq` counts
//! from 1 without gaps: the size of a ledger is the `seq` of its last record. `refers` is the id's
//! last grant that was not withdrawn: a grant replaces it, and a withdrawal ends it; `null` for a
//! withdrawal of a grant recorded by another collector of the platform. A withdrawal with purposes
//! that are true (found only in old ledgers) narrows its grant, which stays live.
//!
//! A start reads the records after the last checkpoint with an index (index_file.rs), and verifies
//! those before it while it serves (background.rs). Damage that is found then ends the ledger as a
//! failed sync does: nothing is recorded or signed any more.
//!
//! A last line without newline was never acknowledged; it is truncated when the ledger is opened.
//! After any other damage the ledger does not open: a person must decide about a changed ledger.

mod act;
mod background;
mod chain;
mod chain_head;
mod checkpoint;
mod checkpoint_files;
mod cut;
mod error;
mod folder;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz_target;
mod handle;
mod index;
mod index_file;
mod index_rows;
mod index_writer;
mod ledger_file;
mod line;
mod options;
mod prompt_versions;
mod quota;
mod receipt;
mod record_reader;
mod scan;
mod signing_key;
mod verification;
mod write_batch;
mod writer;

#[cfg(test)]
mod tests;

pub use act::{ActKind, LedgerRecord, NewAct, PromptDigests, PromptLayer};
pub use chain::CutPoint;
pub use chain_head::ChainHead;
pub use checkpoint_files::{NewestCheckpoint, find_newest_checkpoint};
pub use cut::{CutSummary, cut_ledger};
pub use error::LedgerError;
pub use folder::LedgerFolder;
pub use handle::Ledger;
pub use index::{ConsentState, RecordCounts};
pub use line::sha256_digest;
pub use options::LedgerOptions;
pub use prompt_versions::PromptVersions;
pub use quota::LedgerStats;
pub use receipt::{ReceiptAct, TrustAnchor, VerifiedReceipt, verify_receipt as check_receipt};
pub use scan::{LedgerSummary, ProgressCallback};
pub use signing_key::{PublicKey, check_signing_key as check_key};
pub use verification::{
    LedgerVerification, RecordFilter, check_exists, copy_records, count_records, read_public_key,
    verify_ledger,
};

/// A SHA-256 digest.
pub type Sha256Digest = [u8; 32];

// Contains the id of a grant.
crate::unprintable!(NewAct);
