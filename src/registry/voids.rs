//! Amounts that an operator voids in a site's reports, because they were forged or sent by mistake.

use super::{Registry, validation};
use crate::access::AuditEntry;
use crate::event::{Problem, SiteId};
use crate::store::{VoidRequest, VoidRow};

impl Registry {
    /// Voids amounts. Returns what was voided, and whether it was voided now: the same void again
    /// changes nothing, also if amounts were added since.
    ///
    /// # Errors
    ///
    /// 409 `taken` if the id belongs to another void of the site, 503 `store_unavailable` or
    /// `change_unconfirmed`.
    pub async fn void_amounts(
        &self,
        by: AuditEntry,
        site: SiteId,
        void: &VoidRequest,
    ) -> Result<(VoidRow, bool), Problem> {
        let (registry, store) = (self.require_store()?, self.require_shard(site)?);
        let _alone = self.keys_revision.lock().await;
        let known = |voids: Vec<VoidRow>| voids.into_iter().find(|known| known.id == void.id);
        if let Some(known) = known(
            store
                .list_voids(site)
                .await
                .map_err(validation::store_problem)?,
        ) {
            return match known.is_result_of(void) {
                true => Ok((known, false)),
                false => Err(validation::taken_problem(
                    "this id is of another void of the site",
                )),
            };
        }

        let at = u32::try_from(by.at / 1000).unwrap_or(0);
        registry
            .insert_audit_entries(&[by])
            .await
            .map_err(validation::store_problem)?;
        store
            .insert_void(site, void, at)
            .await
            .map_err(validation::unconfirmed_problem)?;
        let voided = known(
            store
                .list_voids(site)
                .await
                .map_err(validation::unconfirmed_problem)?,
        );
        voided
            .map(|voided| (voided, true))
            .ok_or_else(Problem::change_unconfirmed)
    }

    /// The voids of a site.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable`.
    pub async fn list_voids(&self, site: SiteId) -> Result<Vec<VoidRow>, Problem> {
        let store = self.require_shard(site)?;
        store
            .list_voids(site)
            .await
            .map_err(validation::store_problem)
    }
}
