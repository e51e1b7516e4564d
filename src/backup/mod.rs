//! Backups: the tables by ClickHouse's own BACKUP, and beside them the registry's copy, the consent
//! ledger and, where asked for, the keys.
//!
//! A backup is a folder. Its manifest is written last and at once, so a backup is whole or none,
//! whenever the process, the engine or the machine stops. The tables are copied between two
//! segments: each segment is in all of them or in none, and the manifest says which are not.
//!
//! The command does the work. Beside a running collector it asks that one to copy the tables, over
//! a socket in the journal's folder ([`control`]); otherwise it opens the store itself. The same
//! socket serves `footfall migrate` ([`handover`]).

pub mod control;
pub mod control_client;
mod create;
pub mod folder;
pub mod handover;
pub mod keys;
pub mod manifest;
mod restore;
mod send_line;
mod session;
mod site_traces;
mod verify;

pub use create::{CreateOptions, create_backup};
pub use restore::{RestoreOptions, restore_backup};
pub use site_traces::find_backups_of_site;
pub use verify::{LedgerCheck, verify_backup};

/// Called with the bytes that are done and the bytes of all.
pub type ByteProgress<'a> = &'a mut dyn FnMut(u64, u64);

/// What a command shows of its progress.
pub trait BackupProgress {
    /// A step begins, or something is worth telling.
    fn show_step(&mut self, text: &str);
    /// How much of the step is done, in bytes.
    fn show_bytes(&mut self, done: u64, of: u64);
}
