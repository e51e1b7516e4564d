//! Script errors and missing pages of a site. All of it is the site's own content and is reported
//! exactly.

use serde::Serialize;

use super::query::ReportQuery;
use crate::store::{FaultTotal, Store, StoreError};

/// The most frequent faults of a site in a range of days.
#[derive(Serialize, Debug)]
pub struct FaultsResponse {
    /// Name of the site, as requested.
    pub site: String,
    /// IANA name of the site's time zone.
    pub zone: String,
    /// First day, inclusive, as `YYYY-MM-DD`.
    pub from: String,
    /// Last day, inclusive, as `YYYY-MM-DD`.
    pub to: String,
    /// In descending order of hits, at most the query's limit.
    pub rows: Vec<FaultRow>,
}

/// One fault on one page, summed over the range.
#[derive(Serialize, PartialEq, Debug)]
pub struct FaultRow {
    /// `script` or `not_found`.
    pub kind: String,
    /// Error class and place, for example `TypeError /app.js:12`. Empty for a page that was not
    /// found.
    pub fault: String,
    /// Cleaned path of the page it happened on.
    pub path: String,
    /// How often it was reported.
    pub hits: u64,
}

/// The faults of a site in the query's range.
///
/// # Errors
///
/// The query failed, see [`StoreError`].
pub async fn run_faults_report(
    store: &Store,
    question: &ReportQuery,
) -> Result<FaultsResponse, StoreError> {
    let rows = store
        .site_reader(question.site)
        .top_faults(question.days, question.limit)
        .await?;
    let row = |FaultTotal {
                   kind,
                   fault,
                   path,
                   hits,
               }| FaultRow {
        kind,
        fault,
        path,
        hits,
    };
    Ok(FaultsResponse {
        site: question.site_name.clone(),
        zone: question.zone_name(),
        from: question.days.first().to_string(),
        to: question.days.last().to_string(),
        rows: rows.into_iter().map(row).collect(),
    })
}
