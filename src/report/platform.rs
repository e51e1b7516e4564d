//! Reports over all sites, for operators. Sites are content. Attributes of people appear only in
//! the reports of site 0 (the platform), under the same rules as for any site.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::future::try_join_all;
use serde::Serialize;

use super::query::ReportQuery;
use super::range::ComparisonMode;
use super::vitals::{Histogram, SpeedSummary};
use crate::calendar::DayRange;
use crate::event::{SiteId, WebVital};
use crate::sites::SiteDirectory;
use crate::store::{ActivityRow, PageHistogram, RespondingShards, Store, StoreError};

/// Sites that one search can match in the store; more are ignored.
const MAX_FOUND_SITES: usize = 1000;

/// Rows of a range of days.
#[derive(Serialize, Debug)]
pub struct RangeRows<T> {
    /// First day, inclusive, as `YYYY-MM-DD`.
    pub from: String,
    /// Last day, inclusive, as `YYYY-MM-DD`.
    pub to: String,
    /// In descending order, at most the query's limit where one applies.
    pub rows: Vec<T>,
}

/// Hits that were dropped for one reason.
#[derive(Serialize, Debug)]
pub struct DroppedRow {
    /// Name of the reason, see [`DropReason`](crate::event::DropReason).
    pub reason: String,
    /// Dropped hits in the range.
    pub hits: u64,
}

/// A site's activity in the range and in the days it is compared with.
#[derive(Serialize, Debug)]
pub struct BusySite {
    /// Name of the site. `None` where the site was made by a profile rule and its name is not
    /// stored yet.
    pub site: Option<String>,
    /// Counts of the range.
    #[serde(flatten)]
    pub now: SiteActivity,
    /// Counts of the days it is compared with; without a comparison, as many days right before.
    pub before: SiteActivity,
    /// The same for the days of the range that are over and their counterparts, where the range is
    /// not over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub so_far: Option<PartialActivity>,
}

/// Activity over the days that are over, and over as many days of the comparison.
#[derive(Serialize, Debug)]
pub struct PartialActivity {
    /// Counts of the range's days before today.
    pub now: SiteActivity,
    /// Counts of as many days of the comparison, from its first on.
    pub before: SiteActivity,
}

/// Totals of one site.
#[derive(Serialize, Debug)]
pub struct SiteActivity {
    /// Page views.
    pub hits: u64,
    /// Visitor-days.
    pub visitors: u64,
    /// Visits that began.
    pub visits: u64,
}

impl From<(u64, u64, u64)> for SiteActivity {
    fn from((hits, visitors, visits): (u64, u64, u64)) -> SiteActivity {
        SiteActivity {
            hits,
            visitors,
            visits,
        }
    }
}

/// The pages over all sites that need attention.
#[derive(Serialize, Debug)]
pub struct PageIssues {
    /// First day, inclusive, as `YYYY-MM-DD`.
    pub from: String,
    /// Last day, inclusive, as `YYYY-MM-DD`.
    pub to: String,
    /// Pages with most poor loads. Pages with fewer than `k` measurements are left out.
    pub slow: Vec<SlowPageRow>,
    /// Most frequent faults.
    pub broken: Vec<BrokenPageRow>,
}

/// A page that was slow.
#[derive(Serialize, Debug)]
pub struct SlowPageRow {
    /// Name of the site; `None` where it is not known yet.
    pub site: Option<String>,
    /// Cleaned path of the page.
    pub path: String,
    /// Name of the metric it is ranked by, `lcp`.
    pub metric: &'static str,
    /// Ratings and percentiles of that metric.
    #[serde(flatten)]
    pub speed: SpeedSummary,
}

/// A fault on a page of a site.
#[derive(Serialize, Debug)]
pub struct BrokenPageRow {
    /// Name of the site; `None` where it is not known yet.
    pub site: Option<String>,
    /// `script` or `not_found`.
    pub kind: String,
    /// Error class and place; empty for a page that was not found.
    pub fault: String,
    /// Cleaned path of the page.
    pub path: String,
    /// How often it was reported.
    pub hits: u64,
}

/// Dropped hits of all sites, by reason. Drops have no site, so site and filter of the query are
/// not used.
///
/// # Errors
///
/// The query failed, see [`StoreError`].
pub async fn run_drops_report(
    store: &Store,
    question: &ReportQuery,
) -> Result<RangeRows<DroppedRow>, StoreError> {
    let rows = store.drop_totals(question.days).await?;
    let rows = rows
        .into_iter()
        .map(|row| DroppedRow {
            reason: row.reason,
            hits: row.hits,
        })
        .collect();
    Ok(RangeRows {
        from: question.days.first().to_string(),
        to: question.days.last().to_string(),
        rows,
    })
}

/// The busiest sites. With a non-empty `search`, only sites whose name contains it, ignoring case.
///
/// # Errors
///
/// A query failed, see [`StoreError`]: the search, the counts or the lookup of names. A search
/// needs the first shard, which has the names.
pub async fn run_sites_report(
    shards: &RespondingShards,
    directory: &Arc<SiteDirectory>,
    question: &ReportQuery,
    search: &str,
) -> Result<RangeRows<BusySite>, StoreError> {
    let found = match search {
        "" => None,
        text => {
            let store = shards.first_shard().ok_or(NAMES_AWAY)?;
            let mut names = store.search_site_names("", text, MAX_FOUND_SITES).await?;
            names.extend(search_entries(directory, text).await);
            let ids: BTreeSet<SiteId> = names.iter().map(|name| SiteId::from_key(name)).collect();
            Some(ids.into_iter().collect::<Vec<_>>())
        }
    };

    let before = question
        .comparison
        .unwrap_or_else(|| preceding_days(question));
    let range = question.days;
    let comparable = question.comparable_range_with(before, question.today);
    let days = comparable.as_ref().and_then(|comparable| comparable.days);
    let policy = directory.retention_policy();
    let kept = (&*policy, question.today.min(directory.plausible_today()));
    let each = shards.stores.iter().map(|store| {
        let (found, limit) = (found.as_deref(), question.limit);
        store.most_active_sites([range, before], days, found, limit, kept)
    });
    let mut rows: Vec<ActivityRow> = try_join_all(each).await?.into_iter().flatten().collect();
    // A site is on one shard only, so that the first of all are among the first of each.
    rows.sort_by_key(|row| (Reverse(row.now.1), Reverse(row.now.0), row.site));
    rows.truncate(question.limit);

    let ids = rows.iter().map(|row| row.site);
    let names = load_shard_names(shards, directory, ids).await?;
    let row = |ActivityRow {
                   site,
                   now,
                   before,
                   days_now,
                   days_before,
               }| BusySite {
        site: names.get(&site).cloned(),
        now: now.into(),
        before: before.into(),
        so_far: comparable.as_ref().map(|_| PartialActivity {
            now: days_now.into(),
            before: days_before.into(),
        }),
    };
    let rows = rows.into_iter().map(row).collect();
    Ok(RangeRows {
        from: question.days.first().to_string(),
        to: question.days.last().to_string(),
        rows,
    })
}

/// Pages with most poor loads by largest contentful paint, and the most frequent faults.
///
/// # Errors
///
/// A query failed, see [`StoreError`].
pub async fn run_pages_report(
    shards: &RespondingShards,
    directory: &SiteDirectory,
    question: &ReportQuery,
) -> Result<PageIssues, StoreError> {
    let range = question.days;
    let policy = directory.retention_policy();
    let kept = (&*policy, question.today.min(directory.plausible_today()));
    let slow = shards
        .stores
        .iter()
        .map(|store| store.slowest_pages(WebVital::Lcp, range, question.limit, kept));
    let broken = shards
        .stores
        .iter()
        .map(|store| store.most_frequent_faults(range, question.limit, kept));
    let (slow, broken) = tokio::try_join!(try_join_all(slow), try_join_all(broken))?;

    let mut slow: Vec<PageHistogram> = slow.into_iter().flatten().collect();
    slow.sort_by_cached_key(|page| (Reverse(count_poor(page)), page.site, page.path.clone()));
    slow.truncate(question.limit);
    let mut broken: Vec<_> = broken.into_iter().flatten().collect();
    broken.sort_by_cached_key(|page| {
        let texts = [&page.kind, &page.fault, &page.path].map(String::clone);
        (Reverse(page.hits), page.site, texts)
    });
    broken.truncate(question.limit);

    let ids = slow
        .iter()
        .map(|page| page.site)
        .chain(broken.iter().map(|page| page.site));
    let names = load_shard_names(shards, directory, ids).await?;

    let slow = slow.into_iter().map(
        |PageHistogram {
             site,
             path,
             buckets,
         }| {
            let histogram: Histogram = buckets.into_iter().collect();
            let speed = SpeedSummary::from_histogram(WebVital::Lcp, &histogram, question.k);
            SlowPageRow {
                site: names.get(&site).cloned(),
                path,
                metric: WebVital::Lcp.name(),
                speed,
            }
        },
    );
    let slow = slow
        .filter(|page| matches!(page.speed, SpeedSummary::Measured { .. }))
        .collect();

    let broken = broken.into_iter().map(|page| {
        let (site, fault) = page.into_site_and_fault();
        let (kind, text, path, hits) = (fault.kind, fault.fault, fault.path, fault.hits);
        BrokenPageRow {
            site: names.get(&site).cloned(),
            kind,
            fault: text,
            path,
            hits,
        }
    });
    Ok(PageIssues {
        from: question.days.first().to_string(),
        to: question.days.last().to_string(),
        slow,
        broken: broken.collect(),
    })
}

/// The search for names without the first shard.
const NAMES_AWAY: StoreError = StoreError::Unreachable {
    step: "a search of names",
    kind: "the first shard does not respond",
};

/// Loads above the metric's second threshold.
fn count_poor(page: &PageHistogram) -> u64 {
    let bound = WebVital::Lcp.bucket_for(WebVital::Lcp.thresholds().1);
    let poor = page.buckets.iter().filter(|(bucket, _)| *bucket > bound);
    poor.map(|(_, hits)| hits).sum()
}

/// Names of these sites. Without the first shard, only those of sites with an entry of their own.
async fn load_shard_names(
    shards: &RespondingShards,
    directory: &SiteDirectory,
    ids: impl Iterator<Item = u128>,
) -> Result<HashMap<u128, String>, StoreError> {
    match shards.first_shard() {
        Some(store) => load_site_names(store, directory, ids).await,
        None => Ok(add_entry_names(HashMap::new(), directory, ids)),
    }
}

/// Names of sites with an entry of their own that contain the text.
async fn search_entries(directory: &Arc<SiteDirectory>, text: &str) -> Vec<String> {
    let (directory, text) = (Arc::clone(directory), text.to_owned());
    let search = move || directory.search_names("", &text, MAX_FOUND_SITES);
    match tokio::task::spawn_blocking(search).await {
        Ok(names) => names,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Names of these sites, as far as they are known.
///
/// # Errors
///
/// The query failed, see [`StoreError`].
pub async fn load_site_names(
    store: &Store,
    directory: &SiteDirectory,
    ids: impl Iterator<Item = u128>,
) -> Result<HashMap<u128, String>, StoreError> {
    let ids: Vec<u128> = ids.collect();
    let names: HashMap<u128, String> = match ids.is_empty() {
        true => HashMap::new(),
        false => store.read_site_names(&ids).await?.into_iter().collect(),
    };
    Ok(add_entry_names(names, directory, ids.into_iter()))
}

/// Adds the names of sites with an entry of their own.
fn add_entry_names(
    mut names: HashMap<u128, String>,
    directory: &SiteDirectory,
    ids: impl Iterator<Item = u128>,
) -> HashMap<u128, String> {
    let resolver = directory.resolver();
    names.extend(ids.filter_map(|id| {
        let name = resolver.find_name(SiteId::from_u128(id))?;
        Some((id, name.to_owned()))
    }));
    names
}

/// The same number of days, right before the range.
fn preceding_days(question: &ReportQuery) -> DayRange {
    let dates = ComparisonMode::Previous.resolve_days(None, question.days.to_dates());
    dates.to_days().unwrap_or(question.days)
}

/// Consent choices by version of the prompt, counted from the ledger.
#[derive(Serialize, Debug)]
pub struct ConsentReport {
    /// In ascending order of version.
    pub versions: Vec<ConsentVersionRow>,
}

/// Consent choices in one version of the prompt.
#[derive(Serialize, Debug)]
pub struct ConsentVersionRow {
    /// Number of the version.
    pub version: u32,
    /// Times a tier was granted.
    pub grants: u64,
    /// Times a tier was refused.
    pub refusals: u64,
    /// Times a grant was withdrawn.
    pub withdrawals: u64,
}

impl ConsentReport {
    /// From `(grants, refusals, withdrawals)` by version.
    pub fn from_tallies(tallies: BTreeMap<u32, (u64, u64, u64)>) -> ConsentReport {
        let of = |(version, (grants, refusals, withdrawals))| ConsentVersionRow {
            version,
            grants,
            refusals,
            withdrawals,
        };
        ConsentReport {
            versions: tallies.into_iter().map(of).collect(),
        }
    }
}
