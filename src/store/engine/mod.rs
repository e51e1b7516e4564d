//! The embedded engine: a ClickHouse server in a child process.
//!
//! libchdb contains all of clickhouse-local, which can open ClickHouse's HTTP port. So the
//! collector starts its own program again as `footfall engine` ([`child`]); that process loads the
//! library and listens on a loopback port with a password generated for this start. The collector
//! uses the same client as for any other server, and a crash of the engine loses no hit. The cost:
//! about 220 MB of resident memory when idle, and one engine for each data directory.

mod bi_users;
pub mod child;
mod failure;
#[expect(unsafe_code, reason = "the engine is a C library, loaded at run time")]
mod ffi;
mod launch;
mod repair;
mod supervisor;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use tokio::net::TcpSocket;
use tokio::sync::oneshot;

use super::http::engine_client;
pub use bi_users::{BI_USER_PREFIX, BI_VIEWS_OWNER, BiUsers};
use launch::{ENGINE_USER, LaunchConfig, Login};
use supervisor::EngineSupervisor;

/// The usual [`EngineOptions::unlock_timeout`].
pub const UNLOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// The files that the engine needs, and its share of the machine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The program to start as the engine: this one, except in tests.
    pub program: PathBuf,
    /// Path of libchdb.
    pub library: PathBuf,
    /// The folder of the engine's tables.
    pub data_dir: PathBuf,
    /// The folder that BACKUP and RESTORE may use; `None` for none.
    pub backup_dir: Option<PathBuf>,
    /// How long the folder may stay locked: an engine whose collector was killed takes a moment to
    /// end, and seconds on a busy machine, because it has a low priority.
    pub unlock_timeout: Duration,
    /// Its share of the machine.
    pub limits: EngineLimits,
}

/// Limits of memory, time and threads.
#[derive(Clone, Debug)]
pub struct EngineLimits {
    /// Memory of the whole engine in bytes. Its resident memory can reach 1.7 times as much.
    pub server_memory: u64,
    /// Memory of one query in bytes.
    pub query_memory: u64,
    /// Time of one query, in seconds.
    pub query_seconds: u32,
    /// Threads of one query.
    pub threads: u32,
    /// Statements that run at the same time; others wait.
    pub connections: usize,
    /// Threads that merge parts.
    pub background_threads: u32,
    /// The users of the BI port and their limits; `None` where it is closed.
    pub bi_users: Option<BiUsers>,
}

impl Default for EngineLimits {
    fn default() -> EngineLimits {
        EngineLimits {
            server_memory: 1 << 30,
            query_memory: 512 << 20,
            query_seconds: 60,
            threads: 2,
            connections: 4,
            background_threads: 2,
            bi_users: None,
        }
    }
}

/// Why the engine did not start. Each text says how to fix it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The library cannot be loaded.
    #[error(
        "cannot load the embedded engine from {path}: {reason}; run `npm ci` (it installs \
         @chdb/lib-linux-x64-gnu), or set store.library, or set store.url to use a ClickHouse \
         server"
    )]
    LoadLibrary {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The library lacks a function.
    #[error(
        "{path} lacks {symbol}; Footfall needs libchdb 26.7.3 or later: run `npm ci`, which \
         installs @chdb/lib-linux-x64-gnu 26.7.3-stable.1"
    )]
    MissingSymbol {
        /// The file or folder.
        path: PathBuf,
        /// The name of the function.
        symbol: String,
    },
    /// The data directory cannot be created.
    #[error("cannot create the data directory {path}: {reason}")]
    Directory {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        reason: std::io::Error,
    },
    /// Another process holds the lock of this data directory.
    #[error(
        "another collector uses this directory: {0}; stop it, or give this one its own store.dir"
    )]
    InUse(PathBuf),
    /// The engine ended or did not answer before it had opened its data.
    #[error("the embedded engine did not open {path}: {reason}")]
    OpenFailed {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file of the data directory is empty that never should be.
    #[error(
        "{0} is empty: the disk was full, or the machine stopped, while the engine wrote it; \
         counts lie in the same folder, so nothing was moved. Restore store.dir from a backup; \
         without one, move this file away: its table is then made anew, and what it held is not \
         read"
    )]
    EmptyFile(PathBuf),
    /// The process cannot be started.
    #[error("the embedded engine's process could not be started: {0}")]
    StartProcess(std::io::Error),
}

/// The running engine. Clones share it. It runs until it is closed, or this process ends.
#[derive(Clone)]
pub struct Engine(Arc<RunningEngine>);

struct RunningEngine {
    dir: PathBuf,
    address: SocketAddr,
    password: String,
    /// Of all users of the BI port. Clients never learn it.
    bi_password: String,
    /// How often the process was started.
    starts: Arc<AtomicU64>,
    supervisor: Mutex<Option<SupervisorHandle>>,
}

/// Ends the supervisor thread when the sender is dropped.
struct SupervisorHandle {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

/// The engines of this process. Opening a directory a second time returns its engine: a store that
/// could not be opened because the engine was killed is opened again.
static RUNNING_ENGINES: tokio::sync::Mutex<Vec<Engine>> = tokio::sync::Mutex::const_new(Vec::new());

impl Engine {
    /// Starts the engine, or returns the one that this process runs on the directory. Takes 0.5 to
    /// 2 s.
    ///
    /// # Errors
    /// The library, the directory or the process is unusable. An engine that is killed while it
    /// starts is not an error: it is started again.
    pub async fn open(options: &EngineOptions) -> Result<Engine, EngineError> {
        let unusable = |reason| EngineError::Directory {
            path: options.data_dir.clone(),
            reason,
        };
        let dir = std::path::absolute(&options.data_dir).map_err(unusable)?;

        let mut all = RUNNING_ENGINES.lock().await;
        all.retain(|engine| engine.0.is_running());
        if let Some(engine) = all.iter().find(|engine| engine.0.dir == dir) {
            return Ok(engine.clone());
        }

        let deadline = Instant::now() + options.unlock_timeout;
        let engine = loop {
            match start_engine(dir.clone(), options).await {
                // An engine of a collector that ended while it was starting has yet to see that, and
                // may lock the directory before.
                Err(EngineError::InUse(_)) if Instant::now() < deadline => {}
                started => break Engine(Arc::new(started?)),
            }
        };
        all.push(engine.clone());
        Ok(engine)
    }

    /// A `clickhouse` client of this engine. Must be called within a runtime, on which its
    /// connections run.
    pub fn create_client(&self) -> clickhouse::Client {
        let (user, password) = self.login_credentials();
        engine_client(&format!("http://{}", self.0.address), user, password)
    }

    /// User and password, generated for this start.
    pub fn login_credentials(&self) -> (&str, &str) {
        (ENGINE_USER, &self.0.password)
    }

    /// The address on which the engine listens; it stays the same while this process lives.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// The password of this start of all users of the BI port.
    pub fn bi_password(&self) -> &str {
        &self.0.bi_password
    }

    /// How often the engine's process was started. What is only in its memory is gone when this
    /// number changes.
    pub fn process_starts(&self) -> u64 {
        self.0.starts.load(Ordering::Acquire)
    }

    /// Ends the engine in order, within seconds, also if other clones exist.
    pub async fn close(&self) {
        let watched = self
            .0
            .supervisor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(SupervisorHandle { stop, thread }) = watched {
            drop(stop);
            let joined = tokio::task::spawn_blocking(move || thread.join());
            let _ = joined.await;
        }
    }
}

/// Ends all engines of this process in order: also those whose stores were not opened to the end.
pub async fn close_engines() {
    let engines = std::mem::take(&mut *RUNNING_ENGINES.lock().await);
    for engine in engines {
        engine.close().await;
    }
}

impl RunningEngine {
    /// Whether it was not closed.
    fn is_running(&self) -> bool {
        self.supervisor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }
}

async fn start_engine(dir: PathBuf, options: &EngineOptions) -> Result<RunningEngine, EngineError> {
    let (unlocked, timeout) = (dir.clone(), options.unlock_timeout);
    let prepared = tokio::task::spawn_blocking(move || prepare_directory(&unlocked, timeout)).await;
    prepared.expect("looking at a directory does not panic and is not cancelled")?;

    let http = reserve_port().map_err(EngineError::StartProcess)?;
    let address = http.local_addr().map_err(EngineError::StartProcess)?;
    let (password, bi_password) = (generate_password(), generate_password());
    let login = Login {
        http_port: address.port(),
        password: &password,
        bi_password: &bi_password,
    };
    let backup_dir = options
        .backup_dir
        .as_ref()
        .map(std::path::absolute)
        .transpose()
        .map_err(EngineError::StartProcess)?;
    let plan = LaunchConfig::new(
        &dir,
        &EngineOptions {
            backup_dir,
            ..options.clone()
        },
        &login,
    );
    let starts = Arc::new(AtomicU64::new(0));

    let (stop, stopped) = mpsc::channel();
    let (opened, first) = oneshot::channel();
    let supervisor = EngineSupervisor::new(
        options.program.clone(),
        plan,
        http,
        Arc::clone(&starts),
        address,
        stopped,
        opened,
    );
    let thread = supervisor
        .spawn_thread()
        .map_err(EngineError::StartProcess)?;
    match first.await {
        Ok(Ok(())) => Ok(RunningEngine {
            dir,
            address,
            password,
            bi_password,
            starts,
            supervisor: Mutex::new(Some(SupervisorHandle { stop, thread })),
        }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(EngineError::StartProcess(std::io::Error::other(
            "its supervisor thread ended",
        ))),
    }
}

fn prepare_directory(dir: &Path, unlock_timeout: Duration) -> Result<(), EngineError> {
    let unusable = |reason| EngineError::Directory {
        path: dir.to_owned(),
        reason,
    };
    std::fs::create_dir_all(dir).map_err(unusable)?;

    let deadline = Instant::now() + unlock_timeout;
    if is_directory_locked(dir) {
        tracing::info!("waiting for the former engine to end");
    }
    while is_directory_locked(dir) {
        if Instant::now() > deadline {
            return Err(EngineError::InUse(dir.to_owned()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Whether another process holds the lock that the engine puts on its directory.
fn is_directory_locked(dir: &Path) -> bool {
    let Ok(status) = std::fs::File::open(dir.join("status")) else {
        return false;
    };
    flock(&status, FlockOperation::NonBlockingLockExclusive).is_err()
}

/// A loopback port that is bound here and never listened on, so that it stays reserved while the
/// engine is down: the kernel does not assign it to another process, and no other user of this
/// machine can bind it, because `SO_REUSEPORT` shares a port only with its owner. The engine sets
/// it too.
fn reserve_port() -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    Ok(socket)
}

/// It is generated for this start and kept in memory only; the engine gets its digest.
fn generate_password() -> String {
    crate::hex::encode_lower(&crate::random::random_bytes::<32>())
}
