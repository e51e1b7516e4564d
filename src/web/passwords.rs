//! Checks passwords outside the HTTP workers: two at a time, each on a thread of its own, with a
//! bounded wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::{self, Login};
use crate::config::Secret;
use crate::event::Problem;

/// Each check takes 19 MiB and a core.
const AT_ONCE: usize = 2;
const PATIENCE: Duration = Duration::from_secs(5);

/// Permits for concurrent password checks.
pub struct Passwords(Arc<Semaphore>);

impl Default for Passwords {
    fn default() -> Passwords {
        Passwords(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Passwords {
    /// Whether user and password are the operator's.
    ///
    /// # Errors
    ///
    /// 503 `busy` after waiting five seconds for a permit.
    pub async fn fits(&self, login: &Arc<Login>, user: String, password: Secret) -> Result<bool, Problem> {
        let login = Arc::clone(login);
        self.aside(move || login.fits(&user, &password)).await
    }

    /// Whether `password` matches an argon2 hash.
    ///
    /// # Errors
    ///
    /// 503 `busy` after waiting five seconds for a permit.
    pub async fn verify(&self, hash: String, password: Secret) -> Result<bool, Problem> {
        self.aside(move || access::verify(&hash, &password)).await
    }

    /// The argon2id hash of `password`, with a new salt.
    ///
    /// # Errors
    ///
    /// 503 `busy` after waiting five seconds for a permit.
    pub async fn hash(&self, password: Secret) -> Result<String, Problem> {
        self.aside(move || access::hash(&password)).await
    }

    async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let turn: OwnedSemaphorePermit = match tokio::time::timeout(PATIENCE, Arc::clone(&self.0).acquire_owned()).await
        {
            Ok(Ok(turn)) => turn,
            _ => return Err(busy()),
        };
        let work = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| busy())
    }
}

fn busy() -> Problem {
    Problem::new(503, "busy", "Too many passwords are being checked")
}
