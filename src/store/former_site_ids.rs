//! Segments of former versions, which identify sites by ids of 64 bits. The migration recorded the
//! present id of each.

use std::collections::{BTreeSet, HashMap};

use super::Store;
use super::client::MAX_IDS_PER_STATEMENT;
use super::error::{StoreError, error_during};
use crate::aggregate::SegmentSums;
use crate::event::SiteId;

impl Store {
    /// The sums under the present ids of their sites; `None` if no id has to be replaced. An id
    /// without a known replacement stays.
    ///
    /// # Errors
    ///
    /// The table of ids cannot be read.
    pub(super) async fn with_present_ids(
        &self,
        sums: &SegmentSums,
    ) -> Result<Option<SegmentSums>, StoreError> {
        let former: BTreeSet<u64> = all_sites(sums).filter_map(SiteId::as_legacy_u64).collect();
        if former.is_empty() {
            return Ok(None);
        }

        let mut present = HashMap::new();
        for some in former
            .into_iter()
            .collect::<Vec<_>>()
            .chunks(MAX_IDS_PER_STATEMENT)
        {
            let sql = "SELECT legacy, any(site) FROM site_ids WHERE legacy IN ? GROUP BY legacy";
            let rows = self
                .short_client
                .query(sql)
                .bind(some)
                .fetch_all::<(u64, u128)>()
                .await;
            present.extend(rows.map_err(error_during("reading what became of former sites"))?);
        }
        Ok((!present.is_empty()).then(|| with_replaced_ids(sums, &present)))
    }
}

/// The sites of all rows, with repetitions.
fn all_sites(sums: &SegmentSums) -> impl Iterator<Item = SiteId> {
    let daily = sums.daily.iter().map(|(key, _)| key.site);
    let hourly = sums.hourly.iter().map(|(key, _)| key.site);
    let money = sums.money.iter().map(|(key, _)| key.site);
    let vitals = sums.vitals.iter().map(|(key, _)| key.site);
    let faults = sums.faults.iter().map(|(key, _)| key.site);
    let attributes = sums.attributes.rows.iter().map(|(key, _)| key.site);
    daily
        .chain(attributes)
        .chain(hourly)
        .chain(money)
        .chain(vitals)
        .chain(faults)
}

/// A copy of the sums with each former id replaced.
fn with_replaced_ids(sums: &SegmentSums, present: &HashMap<u64, u128>) -> SegmentSums {
    let mut sums = sums.clone();
    let now = |site: &mut SiteId| {
        if let Some(id) = site.as_legacy_u64().and_then(|former| present.get(&former)) {
            *site = SiteId::from_u128(*id);
        }
    };

    sums.daily
        .iter_mut()
        .for_each(|(key, _)| now(&mut key.site));
    sums.attributes
        .rows
        .iter_mut()
        .for_each(|(key, _)| now(&mut key.site));
    sums.hourly
        .iter_mut()
        .for_each(|(key, _)| now(&mut key.site));
    sums.money
        .iter_mut()
        .for_each(|(key, _)| now(&mut key.site));
    sums.vitals
        .iter_mut()
        .for_each(|(key, _)| now(&mut key.site));
    sums.faults
        .iter_mut()
        .for_each(|(key, _)| now(&mut key.site));
    sums
}
