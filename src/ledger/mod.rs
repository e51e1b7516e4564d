//! The consent ledger: what each visitor decided, in a form that an auditor can verify and the
//! operator cannot change unnoticed.
//!
//! Constraints:
//! - *No personal data.* A record names a random consent id and nothing else about a person: no
//!   address, user agent, page or account. Its texts are closed (site names, language tags, names
//!   of purposes); an act with other texts is rejected before it is written.
//! - *Answered means on disk.* Acts that wait are written together and synced (`fdatasync`), and
//!   only then are they answered. The gate (`consent::Withdrawn`) knows a withdrawal before its
//!   answer.
//! - *Append only.* Each record contains the hash of the one before it, so any change shows at the
//!   first record it affects. Only `cut` removes records: the oldest ones, leaving a signed
//!   statement of where the ledger now starts.
//! - *One writer.* A process that writes holds `lock`. Readers need no lock; at worst they find an
//!   incomplete last line.
//! - *A failed sync ends the ledger.* The kernel may have dropped the pages, so a later sync proves
//!   nothing. Every later act is an error until a restart reads what is really there. A full disk
//!   is different: the file is truncated to its former end.
//!
//! ```text
//! folder   lock  acts.ledger  key.pem  checkpoints/<size>.note  versions.json  consent.keys
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
//! withdrawal of a grant recorded at another collector of the platform. A withdrawal with purposes
//! that are true (no longer written, but found in old ledgers) narrows its grant, which stays live.
//!
//! A last line without newline was never answered; it is truncated when the ledger is opened. After
//! any other damage the ledger does not open: what to do about a changed ledger is a human
//! decision.

mod act;
mod audit;
mod book;
mod chain;
mod checkpoints;
mod cut;
mod error;
mod file;
mod folder;
mod group;
mod head;
mod key;
mod line;
mod note;
mod open;
mod options;
mod quota;
mod read;
mod receipt;
mod scan;
mod versions;
mod writer;

#[cfg(test)]
mod tests;

pub use crate::hex::text as hex;
pub use act::{Act, Digests, Layer, NewAct, Record};
pub use audit::{Choose, Verified, copy, must_exist, records, verify};
pub use book::{Standing, Tally};
pub use chain::Cut;
pub use checkpoints::{Newest, newest_checkpoint};
pub use cut::{Dropped, cut};
pub use error::LedgerError;
pub use head::Head;
pub use key::{PublicKey, check as check_key};
pub use line::sha256;
pub use open::Ledger;
pub use options::Options;
pub use quota::Stats;
pub use receipt::{Told, ToldAct, Trust, check as check_receipt};
pub use scan::{Found, Progress};
pub use versions::Versions;

/// A SHA-256 digest.
pub type Hash = [u8; 32];
