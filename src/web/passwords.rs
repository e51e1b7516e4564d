//! Checks passwords outside the HTTP workers: two at a time, each on a thread of its own, with a
//! bounded wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::{self, PasswordLogin};
use crate::config::Secret;
use crate::event::{Problem, ProblemCode};

/// Each check takes 19 MiB and a core.
const MAX_CONCURRENT_CHECKS: usize = 2;
const PERMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Permits for concurrent password checks.
pub struct PasswordChecker(Arc<Semaphore>);

impl Default for PasswordChecker {
    fn default() -> PasswordChecker {
        PasswordChecker(Arc::new(Semaphore::new(MAX_CONCURRENT_CHECKS)))
    }
}

impl PasswordChecker {
    /// Whether user and password are the operator's.
    ///
    /// # Errors
    ///
    /// 503 `password_checks_busy` after waiting five seconds for a permit.
    pub async fn verify_login(
        &self,
        login: &Arc<PasswordLogin>,
        user: String,
        password: Secret,
    ) -> Result<bool, Problem> {
        let login = Arc::clone(login);
        self.run_blocking(move || login.verify_login(&user, &password))
            .await
    }

    /// Whether `password` matches an argon2 hash.
    ///
    /// # Errors
    ///
    /// 503 `password_checks_busy` after waiting five seconds for a permit.
    pub async fn verify_password(&self, hash: String, password: Secret) -> Result<bool, Problem> {
        self.run_blocking(move || access::verify_password(&hash, &password))
            .await
    }

    /// The argon2id hash of `password`, with a new salt.
    ///
    /// # Errors
    ///
    /// 503 `password_checks_busy` after waiting five seconds for a permit.
    pub async fn hash_password(&self, password: Secret) -> Result<String, Problem> {
        self.run_blocking(move || access::hash_password(&password))
            .await
    }

    async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let turn: OwnedSemaphorePermit =
            match tokio::time::timeout(PERMIT_TIMEOUT, Arc::clone(&self.0).acquire_owned()).await {
                Ok(Ok(turn)) => turn,
                _ => return Err(busy_problem()),
            };
        let work = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| busy_problem())
    }
}

fn busy_problem() -> Problem {
    Problem::new(ProblemCode::PasswordChecksBusy)
}
