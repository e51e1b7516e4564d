//! Segments of former versions, which identify sites by ids of 64 bits. The migration recorded the
//! present id of each.

use std::collections::{BTreeSet, HashMap};

use super::Store;
use super::error::{StoreError, failed};
use super::platform::MOST_IDS;
use crate::aggregate::Sums;
use crate::event::SiteId;

impl Store {
    /// The sums under the present ids of their sites; `None` if no id has to be replaced. An id
    /// without a known replacement stays.
    ///
    /// # Errors
    ///
    /// The table of ids cannot be read.
    pub(super) async fn under_present_ids(&self, sums: &Sums) -> Result<Option<Sums>, StoreError> {
        let former: BTreeSet<u64> = sites(sums).filter_map(SiteId::former).collect();
        if former.is_empty() {
            return Ok(None);
        }

        let mut present = HashMap::new();
        for some in former.into_iter().collect::<Vec<_>>().chunks(MOST_IDS) {
            let sql = "SELECT legacy, any(site) FROM site_ids WHERE legacy IN ? GROUP BY legacy";
            let rows = self.calls.query(sql).bind(some).fetch_all::<(u64, u128)>().await;
            present.extend(rows.map_err(failed("reading what became of former sites"))?);
        }
        Ok((!present.is_empty()).then(|| renamed(sums, &present)))
    }
}

/// The sites of all rows, with repetitions.
fn sites(sums: &Sums) -> impl Iterator<Item = SiteId> {
    let daily = sums.daily.iter().map(|(key, _)| key.site);
    let hourly = sums.hourly.iter().map(|(key, _)| key.site);
    let money = sums.money.iter().map(|(key, _)| key.site);
    let vitals = sums.vitals.iter().map(|(key, _)| key.site);
    let faults = sums.faults.iter().map(|(key, _)| key.site);
    let attributes = sums.attributes.rows.iter().map(|(key, _)| key.site);
    daily.chain(attributes).chain(hourly).chain(money).chain(vitals).chain(faults)
}

/// A copy of the sums with each former id replaced.
fn renamed(sums: &Sums, present: &HashMap<u64, u128>) -> Sums {
    let mut sums = sums.clone();
    let now = |site: &mut SiteId| {
        if let Some(id) = site.former().and_then(|former| present.get(&former)) {
            *site = SiteId::from_u128(*id);
        }
    };

    sums.daily.iter_mut().for_each(|(key, _)| now(&mut key.site));
    sums.attributes.rows.iter_mut().for_each(|(key, _)| now(&mut key.site));
    sums.hourly.iter_mut().for_each(|(key, _)| now(&mut key.site));
    sums.money.iter_mut().for_each(|(key, _)| now(&mut key.site));
    sums.vitals.iter_mut().for_each(|(key, _)| now(&mut key.site));
    sums.faults.iter_mut().for_each(|(key, _)| now(&mut key.site));
    sums
}
