//! What operators see over all sites. Their sites are content; what is an attribute of people stays folded in the reports of site 0.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::question::Question;
use super::range::Against;
use super::vitals::{Histogram, Speed};
use crate::config::{Directory, SiteRule};
use crate::event::{Day, Metric, SiteId};
use crate::store::{Active, SlowPage, Store, StoreError};

/// Sites that one word of a search may find.
const MOST_FOUND: usize = 1000;

#[derive(Serialize, Debug)]
pub struct Rows<T> {
    pub from: String,
    pub to: String,
    pub rows: Vec<T>,
}

#[derive(Serialize, Debug)]
pub struct DroppedRow {
    pub reason: String,
    pub hits: u64,
}

/// A site and how busy it was, also in the days the question is compared with.
#[derive(Serialize, Debug)]
pub struct BusySite {
    /// `None` where a profile's name is not known yet.
    pub site: Option<String>,
    #[serde(flatten)]
    pub now: Busy,
    pub before: Busy,
    /// The same of the days that are over and as many before, where the range is not over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub so_far: Option<BusySoFar>,
}

#[derive(Serialize, Debug)]
pub struct BusySoFar {
    pub now: Busy,
    pub before: Busy,
}

#[derive(Serialize, Debug)]
pub struct Busy {
    pub hits: u64,
    pub visitors: u64,
    pub visits: u64,
}

impl From<(u64, u64, u64)> for Busy {
    fn from((hits, visitors, visits): (u64, u64, u64)) -> Busy {
        Busy { hits, visitors, visits }
    }
}

#[derive(Serialize, Debug)]
pub struct Pages {
    pub from: String,
    pub to: String,
    pub slow: Vec<Slow>,
    pub broken: Vec<Broken>,
}

#[derive(Serialize, Debug)]
pub struct Slow {
    pub site: Option<String>,
    pub path: String,
    pub metric: &'static str,
    #[serde(flatten)]
    pub speed: Speed,
}

#[derive(Serialize, Debug)]
pub struct Broken {
    pub site: Option<String>,
    pub kind: String,
    pub fault: String,
    pub path: String,
    pub hits: u64,
}

pub async fn drops(store: &Store, question: &Question) -> Result<Rows<DroppedRow>, StoreError> {
    let rows = store.dropped((question.from, question.to)).await?;
    let rows = rows.into_iter().map(|row| DroppedRow { reason: row.reason, hits: row.hits }).collect();
    Ok(Rows { from: question.from.to_string(), to: question.to.to_string(), rows })
}

/// The busiest sites; with a search, of those whose name holds it.
pub async fn sites(
    store: &Store,
    directory: &Directory,
    question: &Question,
    search: &str,
) -> Result<Rows<BusySite>, StoreError> {
    let found = match search {
        "" => None,
        text => {
            let mut names = store.named_like(text, MOST_FOUND).await?;
            names.extend(named_one_by_one(directory).into_iter().filter(|name| holds(name, text)));
            Some(names.iter().map(|name| SiteId::of(name)).collect::<Vec<_>>())
        }
    };
    let before = question.compared.unwrap_or_else(|| just_before(question));
    let range = (question.from, question.to);
    let comparable = question.comparable_with(before, question.today);
    let days = comparable.as_ref().and_then(|comparable| comparable.days);
    let rows = store.active([range, before], days, found.as_deref(), question.limit).await?;
    let names = names(store, directory, rows.iter().map(|row| row.site)).await?;
    let row = |Active { site, now, before, days_now, days_before }| BusySite {
        site: names.get(&site).cloned(),
        now: now.into(),
        before: before.into(),
        so_far: comparable.as_ref().map(|_| BusySoFar { now: days_now.into(), before: days_before.into() }),
    };
    let rows = rows.into_iter().map(row).collect();
    Ok(Rows { from: question.from.to_string(), to: question.to.to_string(), rows })
}

/// Where most loads were poor by the largest paint, and what broke most often.
pub async fn pages(store: &Store, directory: &Directory, question: &Question) -> Result<Pages, StoreError> {
    let range = (question.from, question.to);
    let slow = store.slow(Metric::Lcp, range, question.limit);
    let (slow, broken) = tokio::try_join!(slow, store.broken(range, question.limit))?;
    let ids = slow.iter().map(|page| page.site).chain(broken.iter().map(|page| page.site));
    let names = names(store, directory, ids).await?;
    let slow = slow.into_iter().map(|SlowPage { site, path, buckets }| {
        let histogram: Histogram = buckets.into_iter().collect();
        let speed = Speed::of(Metric::Lcp, &histogram, question.k);
        Slow { site: names.get(&site).cloned(), path, metric: Metric::Lcp.name(), speed }
    });
    let slow = slow.filter(|page| matches!(page.speed, Speed::Measured { .. })).collect();
    let broken = broken.into_iter().map(|page| {
        let (site, fault) = page.split();
        let (kind, text, path, hits) = (fault.kind, fault.fault, fault.path, fault.hits);
        Broken { site: names.get(&site).cloned(), kind, fault: text, path, hits }
    });
    Ok(Pages { from: question.from.to_string(), to: question.to.to_string(), slow, broken: broken.collect() })
}

/// The names of the sites of the configuration and the registry.
fn named_one_by_one(directory: &Directory) -> Vec<String> {
    let registered = directory.registered();
    let rules = directory.configured().iter().chain(&registered.sites);
    rules.map(|SiteRule { id, .. }| id.clone()).collect()
}

async fn names(
    store: &Store,
    directory: &Directory,
    ids: impl Iterator<Item = u128>,
) -> Result<HashMap<u128, String>, StoreError> {
    let ids: Vec<u128> = ids.collect();
    let mut names: HashMap<u128, String> = match ids.is_empty() {
        true => HashMap::new(),
        false => store.names(&ids).await?.into_iter().collect(),
    };
    names.extend(named_one_by_one(directory).into_iter().map(|name| (SiteId::of(&name).as_u128(), name)));
    Ok(names)
}

fn holds(name: &str, text: &str) -> bool {
    name.to_lowercase().contains(&text.to_lowercase())
}

/// As many days, right before.
fn just_before(question: &Question) -> (Day, Day) {
    let (from, to) = Against::Previous.days(None, (question.from.date(), question.to.date()));
    let day = |date| Day::from_date(date).unwrap_or(question.from);
    (day(from), day(to))
}

/// How people answered the question, by version.
#[derive(Serialize, Debug)]
pub struct Choices {
    pub versions: Vec<OfVersion>,
}

#[derive(Serialize, Debug)]
pub struct OfVersion {
    pub version: u32,
    pub grants: u64,
    pub refusals: u64,
    pub withdrawals: u64,
}

impl Choices {
    pub fn new(tallies: BTreeMap<u32, (u64, u64, u64)>) -> Choices {
        let of = |(version, (grants, refusals, withdrawals))| OfVersion { version, grants, refusals, withdrawals };
        Choices { versions: tallies.into_iter().map(of).collect() }
    }
}
