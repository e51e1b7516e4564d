//! API tokens, share links and the audit log.
//!
//! The audit entry of a change is written before the change: an entry may name a change that failed
//! afterwards, but no change lacks its entry. Sign-ins are recorded together within seconds; a
//! crash in between loses them.

use std::sync::Arc;

use jiff::civil::Date;

use super::changes::run_blocking;
use super::{Registry, validation};
use crate::access::{ApiToken, AuditEntry, CredentialIndex, SecretDigest, ShareLink};
use crate::event::{Problem, ProblemCode};
use crate::store::{AuditRow, Store, StoreError};

/// Maximum number of sign-ins that wait for the audit log. Beyond it, while the store is away, they
/// are dropped with a warning.
const MAX_QUEUED_AUDIT_ENTRIES: usize = 10_000;
/// Maximum number of sign-ins in one insert.
const MAX_AUDIT_BATCH: usize = 1000;

impl Registry {
    /// Tokens and share links in force; `None` until the store was first read.
    pub fn access_keys(&self) -> Option<Arc<CredentialIndex>> {
        self.keys.load_full()
    }

    /// Stores an API token under the digest of its secret, with `by` as its audit entry.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable` or `change_unconfirmed`.
    pub async fn store_token(
        &self,
        by: AuditEntry,
        digest: SecretDigest,
        token: ApiToken,
    ) -> Result<(), Problem> {
        self.change_keys(
            by,
            |_| Ok(()),
            async |store| store.insert_token(&digest, &token).await,
        )
        .await
    }

    /// Revokes the API token with this id; unknown ids change nothing.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable` or `change_unconfirmed`.
    pub async fn revoke_token(&self, by: AuditEntry, id: &str) -> Result<(), Problem> {
        self.change_keys(
            by,
            |_| Ok(()),
            async |store| store.revoke_credential("tokens", id).await,
        )
        .await
    }

    /// Stores a share link, if the site has not reached its limit of links. `is_site` returns
    /// whether a link belongs to the site.
    ///
    /// # Errors
    ///
    /// 409 `share_limit_reached` if the site has reached its limit of links, 503 `store_unavailable`
    /// or `change_unconfirmed`.
    pub async fn store_share(
        &self,
        by: AuditEntry,
        (digest, share, answer): (SecretDigest, ShareLink, String),
        (is_site, today): (impl Fn(&str) -> bool, Date),
    ) -> Result<(), Problem> {
        let room = |registry: &Registry| match registry.access_keys() {
            Some(keys) if keys.has_capacity_for_share_link(is_site, today) => Ok(()),
            _ => Err(Problem::new(ProblemCode::ShareLimitReached)
                .with_detail("revoked share links count for a month")),
        };
        self.change_keys(by, room, async |store| {
            store.insert_share_link(&digest, &share, &answer).await
        })
        .await
    }

    /// Stores the fixed response of a share link made by an earlier version, and returns the stored
    /// one. If two are stored at the same time, the first is kept. `None` for an unknown link.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable`.
    pub async fn store_share_response(
        &self,
        id: &str,
        answer: &str,
    ) -> Result<Option<String>, Problem> {
        let store = self.require_store()?;
        let _alone = self.keys_revision.lock().await;
        store
            .store_share_response(id, answer)
            .await
            .map_err(validation::store_problem)?;
        store
            .read_share_response(id)
            .await
            .map_err(validation::store_problem)
    }

    /// Revokes the share link with this id; unknown ids change nothing.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable` or `change_unconfirmed`.
    pub async fn revoke_share(&self, by: AuditEntry, id: &str) -> Result<(), Problem> {
        self.change_keys(
            by,
            |_| Ok(()),
            async |store| store.revoke_credential("shares", id).await,
        )
        .await
    }

    /// Writes the audit entry of a change of a key, then the change, and reads the keys again.
    async fn change_keys(
        &self,
        by: AuditEntry,
        check: impl FnOnce(&Registry) -> Result<(), Problem>,
        write: impl AsyncFnOnce(&Store) -> Result<(), StoreError>,
    ) -> Result<(), Problem> {
        let store = self.require_store()?;
        let mut read = self.keys_revision.lock().await;
        self.refresh_keys(&store, &mut read)
            .await
            .map_err(validation::store_problem)?;
        check(self)?;

        store
            .insert_audit_entries(&[by])
            .await
            .map_err(validation::store_problem)?;
        write(&store)
            .await
            .map_err(validation::unconfirmed_problem)?;
        self.refresh_keys(&store, &mut read)
            .await
            .map_err(validation::unconfirmed_problem)?;
        drop(read);
        self.notify_collectors().await
    }

    pub(super) async fn refresh_keys(
        &self,
        store: &Store,
        read: &mut Option<u64>,
    ) -> Result<(), StoreError> {
        let revision = store.credentials_revision().await?;
        if *read != Some(revision) {
            self.keys
                .store(Some(Arc::new(store.load_credentials().await?)));
            *read = Some(revision);
        }
        Ok(())
    }

    /// Queues a sign-in for the audit log; it is written within seconds.
    pub fn enqueue_sign_in(&self, entry: AuditEntry) {
        let mut waiting = self.lock_audit_queue();
        match waiting.len() < MAX_QUEUED_AUDIT_ENTRIES {
            true => waiting.push(entry),
            false => {
                tracing::warn!("a sign-in cannot be recorded: too many wait for the store")
            }
        }
    }

    /// The newest `limit` entries of the audit log, newest first, including those queued until now.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable`.
    pub async fn read_audit(&self, limit: usize) -> Result<Vec<AuditRow>, Problem> {
        let store = self.require_store()?;
        self.write_audit_queue(&store).await;
        store
            .read_audit_entries(limit)
            .await
            .map_err(validation::store_problem)
    }

    /// Writes what is queued to the store when the collector stops.
    pub async fn write_queued(&self) {
        if let Some(store) = self.store.load_full() {
            self.write_site_names(&store).await;
            self.write_audit_queue(&store).await;
            self.write_opened_messages(&store).await;
            self.sync_withdrawals(&store).await;
            self.sync_sign_outs(&store).await;
        }
    }

    /// Keeps the audit entries that are not in the store for the next start, when the collector stops.
    pub async fn keep_audit_queue(&self) {
        let (file, waiting) = (
            Arc::clone(&self.audit_file),
            self.lock_audit_queue().clone(),
        );
        let sign_ins = waiting.len();
        match run_blocking(move || file.replace_entries(&waiting)).await {
            Ok(()) if sign_ins == 0 => {}
            Ok(()) => tracing::info!(
                sign_ins,
                "the last sign-ins are added to the audit log at the next start"
            ),
            Err(error) => tracing::warn!(
                sign_ins,
                %error,
                "the last sign-ins could not be kept for the audit log"
            ),
        }
    }

    pub(super) async fn write_audit_queue(&self, store: &Store) {
        let _alone = self.write_lock.lock().await;
        loop {
            let entries: Vec<AuditEntry> = self
                .lock_audit_queue()
                .iter()
                .take(MAX_AUDIT_BATCH)
                .cloned()
                .collect();
            if entries.is_empty() {
                if let Err(error) = self.audit_file.remove() {
                    tracing::warn!(%error, "the file of sign-ins that are stored cannot be removed");
                }
                return;
            }
            // Removed only once they are written, so that a cancelled call does not lose them.
            match store.insert_audit_entries(&entries).await {
                Ok(()) => drop(self.lock_audit_queue().drain(..entries.len())),
                Err(error) => {
                    self.record_failure(&error, "sign-ins cannot be recorded");
                    return;
                }
            }
        }
    }

    pub(super) fn lock_audit_queue(&self) -> std::sync::MutexGuard<'_, Vec<AuditEntry>> {
        self.audit_queue
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
