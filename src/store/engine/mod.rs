//! The embedded engine: ClickHouse in this process, behind ClickHouse's own HTTP interface.
//!
//! libchdb is loaded when the collector starts; a service executes the HTTP interface on it; the `clickhouse` crate talks to
//! that service through a pipe in memory. So a laptop and a cluster differ by one URL and by no line of SQL. The price: about
//! 190 MB of resident memory when idle, and one process for each data directory.

mod answer;
mod blocks;
mod connector;
#[expect(unsafe_code, reason = "the engine is a C library, loaded at run time")]
mod ffi;
mod form;
mod guard;
mod leftovers;
mod pool;
mod request;
mod service;
mod sql;
mod tcp;

use std::path::PathBuf;

pub use connector::client;
pub use pool::Engine;
pub(super) use sql::identifier as quoted_name;
pub use tcp::{Access, Token, serve_alone, serve_tcp};

/// How much of the machine the engine may use. Resident memory can reach 1.7 times `server_memory`.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    pub library: PathBuf,
    pub data_dir: PathBuf,
    pub limits: Limits,
}

#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes for everything the engine does; set by the first connection of a process.
    pub server_memory: u64,
    /// Bytes for one query.
    pub query_memory: u64,
    pub query_seconds: u32,
    /// Threads of one query.
    pub threads: u32,
    /// Statements that run at the same time; others wait.
    pub connections: usize,
    /// Threads that merge parts.
    pub background_threads: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            server_memory: 1 << 30,
            query_memory: 512 << 20,
            query_seconds: 60,
            threads: 2,
            connections: 4,
            background_threads: 2,
        }
    }
}

/// Why the engine did not start. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(
        "cannot load the embedded engine from {path}: {reason}; run `npm ci` (it installs @chdb/lib-linux-x64-gnu), or set \
         store.library, or set store.url to use a ClickHouse server"
    )]
    Load { path: PathBuf, reason: String },
    #[error(
        "{path} lacks {symbol}; Footfall needs libchdb 26.7.3 or later: run `npm ci`, which installs \
         @chdb/lib-linux-x64-gnu 26.7.3-stable.1"
    )]
    TooOld { path: PathBuf, symbol: &'static str },
    #[error("cannot create the data directory {path}: {reason}")]
    Directory { path: PathBuf, reason: std::io::Error },
    #[error("another collector uses this directory: {0}; stop it, or give this one its own store.dir")]
    InUse(PathBuf),
    #[error("the embedded engine did not open {0}; its reason is on stderr, in the lines above this one")]
    Refused(PathBuf),
    #[error(
        "{0} is empty: the disk was full, or the machine stopped, while the engine wrote it; counts lie in the same folder, so nothing was moved. \
         Restore store.dir from a backup; without one, move this file away: its table is then made anew, and what it held is not read"
    )]
    HalfMade(PathBuf),
    #[error("the port of the embedded engine listens on this machine only, not on {0}")]
    NotLoopback(std::net::SocketAddr),
    #[error("cannot listen: {0}")]
    Listen(std::io::Error),
}

/// [`Engine::open`] on a thread that may block.
pub async fn open(options: EngineOptions) -> Result<Engine, EngineError> {
    let opened = tokio::task::spawn_blocking(move || Engine::open(&options)).await;
    opened.expect("opening the engine does not panic and is not cancelled")
}

/// What ClickHouse answers instead of a result. Its text may quote data, so it goes to the client that sent the statement
/// and nowhere else: no `Debug`, no `Display`.
pub struct Exception {
    code: u32,
    text: String,
}

impl Exception {
    pub(super) const BAD_REQUEST: u32 = 36;
    pub(super) const READONLY: u32 = 164;
    pub(super) const AUTHENTICATION_FAILED: u32 = 516;
    /// What ClickHouse gives for anything it has no number for.
    const STD_EXCEPTION: u32 = 1001;

    /// Reads the number from the front of ClickHouse's own wording, `Code: 47. DB::Exception: …`.
    fn parse(text: &str) -> Exception {
        let digits = text.strip_prefix("Code: ").and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(code) => Exception { code, text: text.to_owned() },
            None => Exception::new(Exception::STD_EXCEPTION, "STD_EXCEPTION", text),
        }
    }

    fn new(code: u32, name: &str, reason: &str) -> Exception {
        Exception { code, text: format!("Code: {code}. DB::Exception: {reason}. ({name})") }
    }

    fn bad_request(reason: &str) -> Exception {
        Exception::new(Exception::BAD_REQUEST, "BAD_ARGUMENTS", reason)
    }
}
