//! What went wrong on a site's pages. All of it is the site's own content: shown exactly.

use serde::Serialize;

use super::question::Question;
use crate::store::{Faulted, Store, StoreError};

#[derive(Serialize, Debug)]
pub struct FaultsAnswer {
    pub site: String,
    pub zone: String,
    pub from: String,
    pub to: String,
    pub rows: Vec<FaultRow>,
}

#[derive(Serialize, PartialEq, Debug)]
pub struct FaultRow {
    /// `script` or `not_found`.
    pub kind: String,
    /// `TypeError /app.js:12`; empty for a page that was not found.
    pub fault: String,
    pub path: String,
    pub hits: u64,
}

pub async fn faults(store: &Store, question: &Question) -> Result<FaultsAnswer, StoreError> {
    let rows = store.read(question.site).faults((question.from, question.to), question.limit).await?;
    let row = |Faulted { kind, fault, path, hits }| FaultRow { kind, fault, path, hits };
    Ok(FaultsAnswer {
        site: question.name.clone(),
        zone: question.zone_name(),
        from: question.from.to_string(),
        to: question.to.to_string(),
        rows: rows.into_iter().map(row).collect(),
    })
}
