//! Amounts that an operator voids in a site's reports, because they were forged or sent by mistake.

use super::{Registry, rules};
use crate::access::Entry;
use crate::event::{Problem, SiteId};
use crate::store::{Void, Voided};

impl Registry {
    /// Voids amounts. Returns what was voided, and whether it was voided now: the same void again
    /// changes nothing, whatever was booked since.
    ///
    /// # Errors
    ///
    /// 409 `taken` if the id belongs to another void of the site, 503 `store_unavailable`.
    pub async fn void_money(&self, by: Entry, site: SiteId, void: &Void) -> Result<(Voided, bool), Problem> {
        let store = self.store.load_full().ok_or_else(rules::no_store)?;
        let _alone = self.read.lock().await;
        let known = |voids: Vec<Voided>| voids.into_iter().find(|known| known.id == void.id);
        if let Some(known) = known(store.voids(site).await.map_err(rules::away)?) {
            return match known.is_of(void) {
                true => Ok((known, false)),
                false => Err(rules::taken("this id is of another void of the site")),
            };
        }

        let at = u32::try_from(by.at / 1000).unwrap_or(0);
        store.put_audit(&[by]).await.map_err(rules::away)?;
        store.put_void(site, void, at).await.map_err(rules::away)?;
        let voided = known(store.voids(site).await.map_err(rules::away)?);
        voided.map(|voided| (voided, true)).ok_or_else(rules::no_store)
    }

    /// The voids of a site.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable`.
    pub async fn voids(&self, site: SiteId) -> Result<Vec<Voided>, Problem> {
        let store = self.store.load_full().ok_or_else(rules::no_store)?;
        store.voids(site).await.map_err(rules::away)
    }
}
