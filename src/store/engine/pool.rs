//! The engine's connections.
//!
//! A connection runs one statement at a time and keeps what `SET` and `USE` did to it, so the pool hands out whole connections
//! and takes back only those nothing could have been left on: a plain read or insert without settings of its own. Opening
//! another costs about 1.4 ms. One connection is never lent: closing the last one would shut the engine down.

use std::ffi::CString;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};
use tokio::sync::{OwnedRwLockReadGuard, OwnedSemaphorePermit, RwLock, Semaphore};

use super::ffi::{Api, Connection};
use super::{EngineError, EngineOptions, Exception, Limits};

/// The running engine. Clones share it.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    api: Api,
    arguments: Vec<CString>,
    idle: Mutex<Vec<Idle>>,
    capacity: usize,
    ours: Arc<Semaphore>,
    inserts: Arc<RwLock<()>>,
    /// Guests are the readers of the loopback port; they never take the last connection from the collector.
    guests: Arc<Semaphore>,
    _anchor: Mutex<Connection>,
}

struct Idle {
    database: String,
    read_only: bool,
    connection: Connection,
}

/// What a statement wants its connection to be like.
pub(super) struct Session {
    pub database: String,
    pub settings: Vec<(String, String)>,
    pub read_only: bool,
}

/// A connection on loan. Dropped, it is closed; `give_back` keeps it for the next statement.
pub(super) struct Lease {
    engine: Engine,
    pub connection: Connection,
    database: String,
    read_only: bool,
    clean: bool,
    _permit: OwnedSemaphorePermit,
}

impl Engine {
    /// Loads the library and opens the data directory. Takes 0.2 to 0.8 s; call it where blocking is allowed.
    pub fn open(options: &EngineOptions) -> Result<Engine, EngineError> {
        yield_to_hits();
        let unusable = |reason| EngineError::Directory { path: options.data_dir.clone(), reason };
        // Of a relative directory the engine puts the path before itself where it syncs, and refuses every insert.
        let dir = std::path::absolute(&options.data_dir).map_err(unusable)?;
        std::fs::create_dir_all(&dir).map_err(unusable)?;
        let api = Api::load(&options.library)?;
        let arguments = arguments(&dir, &options.limits);
        if !locked(&dir) {
            super::leftovers::mend(&dir)?;
        }
        let Some(anchor) = api.connect(&arguments) else {
            return Err(if locked(&dir) { EngineError::InUse(dir) } else { EngineError::Refused(dir) });
        };
        let capacity = options.limits.connections.max(1);
        Ok(Engine(Arc::new(Shared {
            api,
            arguments,
            idle: Mutex::new(Vec::with_capacity(capacity)),
            capacity,
            ours: Arc::new(Semaphore::new(capacity)),
            inserts: Arc::default(),
            guests: Arc::new(Semaphore::new((capacity / 2).max(1))),
            _anchor: Mutex::new(anchor),
        })))
    }

    /// Waits until no insert runs, including those whose sender has given up.
    pub(super) async fn wait_for_inserts(&self) {
        drop(self.0.inserts.write().await);
    }

    /// What an insert holds while it runs.
    pub(super) async fn inserting(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.0.inserts).read_owned().await
    }

    /// Waits for its turn.
    pub(super) async fn permit(&self, read_only: bool) -> OwnedSemaphorePermit {
        let semaphore = if read_only { &self.0.guests } else { &self.0.ours };
        semaphore.clone().acquire_owned().await.expect("the semaphores of the pool are never closed")
    }

    /// A connection as `session` wants it. Blocks for the time the engine takes.
    pub(super) fn lease(&self, permit: OwnedSemaphorePermit, session: &Session) -> Result<Lease, Exception> {
        let clean = session.settings.is_empty();
        let idle = clean.then(|| self.take_idle(session)).flatten();
        let connection = idle.map_or_else(|| self.connect(session), Ok)?;
        Ok(Lease {
            engine: self.clone(),
            connection,
            database: session.database.clone(),
            read_only: session.read_only,
            clean,
            _permit: permit,
        })
    }

    fn take_idle(&self, session: &Session) -> Option<Connection> {
        let mut idle = self.idle();
        let at = idle.iter().rposition(|i| i.database == session.database && i.read_only == session.read_only)?;
        Some(idle.swap_remove(at).connection)
    }

    /// Settings before `readonly`, which refuses every change after it.
    fn connect(&self, session: &Session) -> Result<Connection, Exception> {
        let opened = self.0.api.connect(&self.0.arguments);
        let mut connection =
            opened.ok_or_else(|| Exception::new(210, "NETWORK_ERROR", "the engine opened no more connections"))?;
        if session.database != "default" {
            run(&mut connection, &format!("USE {}", super::sql::identifier(&session.database)))?;
        }
        for (name, value) in &session.settings {
            run(&mut connection, &format!("SET {name} = {}", super::sql::literal(value)))?;
        }
        if session.read_only {
            run(&mut connection, "SET readonly = 1")?;
        }
        Ok(connection)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        // A panic elsewhere cannot leave the list half changed, so a poisoned lock is as good as any.
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Inserts, merges and questions may wait for the threads that answer hits; the other way round a hit waits for a merge. The engine's
/// own threads inherit it from the one that starts them.
pub(super) fn yield_to_hits() {
    const NICER: i32 = 10;
    thread_local! {
        static YIELDS: () = {
            // Where it is refused, everything is as it was: slower answers while the engine works.
            let _ = rustix::process::nice(NICER);
        };
    }
    YIELDS.with(|()| ());
}

fn run(connection: &mut Connection, sql: &str) -> Result<(), Exception> {
    connection.query(sql.as_bytes(), "Null", &[]).map(drop)
}

impl Lease {
    /// Keeps the connection. `stateless` is the caller's word that the statement changed nothing about it.
    pub fn give_back(self, stateless: bool) {
        let Lease { engine, connection, database, read_only, clean, _permit } = self;
        if !(clean && stateless) {
            return;
        }
        let mut idle = engine.idle();
        let oldest = (idle.len() >= engine.0.capacity).then(|| idle.remove(0));
        idle.push(Idle { database, read_only, connection });
        drop(idle);
        drop(oldest);
    }
}

fn arguments(dir: &Path, limits: &Limits) -> Vec<CString> {
    [
        "footfall".to_owned(),
        format!("--path={}", dir.display()),
        format!("--max_server_memory_usage={}", limits.server_memory),
        format!("--background_pool_size={}", limits.background_threads.max(1)),
        format!("--mark_cache_size={}", limits.server_memory / 16),
        format!("--uncompressed_cache_size={}", 0),
        format!("--max_memory_usage={}", limits.query_memory),
        format!("--max_execution_time={}", limits.query_seconds),
        format!("--max_threads={}", limits.threads.max(1)),
    ]
    .into_iter()
    .map(|argument| CString::new(argument.replace('\0', "")).expect("NUL was just removed"))
    .collect()
}

/// Whether another process holds the lock that the engine puts on its directory.
fn locked(dir: &Path) -> bool {
    let Ok(status) = std::fs::File::open(dir.join("status")) else { return false };
    flock(&status, FlockOperation::NonBlockingLockExclusive).is_err()
}
