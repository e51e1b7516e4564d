//! The consent ledger: what each person decided, in a form an auditor can check and the operator cannot quietly change.
//!
//! Constraints:
//! - *Nobody in it.* A record names a random consent id and nothing else of a person: no address, agent, page or account. Its texts
//!   are closed (site names, language tags, names of purposes), and an act whose texts are not is refused before it is written.
//! - *Answered means on disk.* Acts that wait are written together and `fdatasync`ed, then all of them are answered. A withdrawal is
//!   known to the gate (`consent::Withdrawn`) before its answer.
//! - *Append only.* Each record holds the hash of the one before it, so a change anywhere shows at the first record it touched.
//!   Nothing but `cut` removes anything, and it removes a beginning, leaving a signed statement of where.
//! - *One owner.* A process that writes holds `lock`; who only reads needs none, and meets at worst an unfinished last line.
//! - *A failed sync ends the ledger.* The kernel may have dropped the pages; what a later sync promises is not known. Every later act
//!   is an error until a restart reads what is really there. A full disk is no such failure: the file is cut back to where it was.
//!
//! ```text
//! folder   lock  acts.ledger  key.pem  checkpoints/<size>.note  versions.json  consent.keys        0700, files 0600
//! file     cut? record*                                  JSON, one a line, without spaces, keys always in this order
//! cut      {"cut":{"seq":N,"hash":"…","before":"2024-01-01"}}        records 1 to N were dropped; record N had this hash
//! record   {"seq":41,"prev":"…","id":"…"|null,"act":"grant|refuse|withdraw","refers":40|null,"site":"alllinks","version":3,
//!           "policy":"…"|null,"register":"…","banner":"…","lang":"de","layer":"first|panel|page",
//!           "purposes":{"preferences":false,"analytics":true},"gpc":false,"dnt":false,"at":"2026-11-25T20:00Z","hash":"…"}
//! hash     SHA-256 of the bytes of the line up to, not including, `,"hash":`     64 lower-case hex digits, as every digest
//! prev     hash of the record before; 64 zeros for the first
//! at       the hour in UTC; records of before hold the minute
//! ```
//!
//! So verification hashes bytes as they lie there, and never depends on writing JSON a second time. `seq` counts from 1 without gaps:
//! the size of a ledger is the `seq` of its last record. `refers` is the id's last grant that was not withdrawn: for a grant the one
//! it replaces, for a withdrawal the one it ends; `null` for a withdrawal of
//! a grant that is on record at another collector of the platform. A withdrawal that leaves purposes true (as they were made before) narrows
//! its grant, which stays live.
//!
//! The last line without its newline was never answered and is cut when the ledger is opened. Any other damage keeps it shut: what
//! to do about a ledger that was changed is a person's decision.

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
mod key;
mod line;
mod note;
mod open;
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
pub use chain::{Cut, Head};
pub use checkpoints::{Newest, newest_checkpoint};
pub use cut::{Dropped, cut};
pub use error::LedgerError;
pub use key::{PublicKey, check as check_key};
pub use line::sha256;
pub use open::{Ledger, Options};
pub use quota::Stats;
pub use receipt::{Told, ToldAct, Trust, check as check_receipt};
pub use scan::{Found, Progress};
pub use versions::Versions;

/// A SHA-256 digest.
pub type Hash = [u8; 32];
