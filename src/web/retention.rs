//! `GET /api/v1/retention`: how long counts are kept, and what the next deletion will take.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::AppState;
use super::access::Permission;
use super::api::{json_response, store_problem};
use crate::calendar::Day;
use crate::event::{Problem, SiteId};
use crate::report;
use crate::store::ExpiredRows;

pub(super) fn register_routes(config: &mut web::ServiceConfig) {
    config.route("/api/v1/retention", web::get().to(get_retention));
}

async fn get_retention(
    request: HttpRequest,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    site.check_permission(&request, Permission::ReadPlatform)?;
    let expired = site.expired_rows().await?;
    Ok(json_response(&request, false, &expired))
}

/// One entry for each table and site: the platform's rows are on several shards.
fn merge_expired(all: impl Iterator<Item = ExpiredRows>) -> Vec<ExpiredRows> {
    let mut merged: Vec<ExpiredRows> = Vec::new();
    let mut places = HashMap::new();
    for rows in all {
        match places.entry((rows.table, rows.site.map(SiteId::as_u128))) {
            Entry::Occupied(place) => {
                let known: &mut ExpiredRows = &mut merged[*place.get()];
                known.rows += rows.rows;
                known.oldest = known.oldest.min(rows.oldest);
            }
            Entry::Vacant(free) => {
                free.insert(merged.len());
                merged.push(rows);
            }
        }
    }
    merged
}

impl AppState {
    /// The limits, the rows that are over them, by table and site, and the months that become
    /// coarser.
    async fn expired_rows(&self) -> Result<Value, Problem> {
        let (store, shards) = (self.require_store()?, self.require_all_shards()?);
        let directory = &self.registry.directory;
        let policy = directory.retention_policy();
        let today = Day::from_utc(self.clock.now()).unwrap_or(Day::from_number(0));
        let each = shards
            .iter()
            .map(|shard| shard.count_expired_rows(today, &policy));
        let expired = try_join_all(each).await.map_err(store_problem)?;
        let expired = merge_expired(expired.into_iter().flatten());

        let ids = expired
            .iter()
            .filter_map(|rows| rows.site)
            .map(|site| site.as_u128());
        let limits = self.retention.limits();
        let each = shards
            .iter()
            .map(|shard| shard.list_ageing_months(today, &limits));
        let months = try_join_all(each).await.map_err(store_problem)?;
        let mut ageing: BTreeMap<(&str, u32), u64> = BTreeMap::new();
        for month in months.into_iter().flatten() {
            *ageing.entry((month.table, month.month)).or_default() += month.rows;
        }

        let names = report::load_site_names(&store, directory, ids)
            .await
            .map_err(store_problem)?;
        let rows = expired.iter().map(|expired| {
            let site = expired.site.map(|site| {
                names
                    .get(&site.as_u128())
                    .cloned()
                    .unwrap_or_else(|| site.to_string())
            });
            json!({
                "table": expired.table, "site": site, "rows": expired.rows,
                "oldest": expired.oldest.to_string(),
            })
        });
        Ok(json!({
            "today": today.to_string(),
            "keep_days": policy.default_days(),
            "sites": policy.named_sites(),
            "expired": rows.collect::<Vec<_>>(),
            "hourly_days": limits.hourly_days,
            "activity_days": limits.activity_days,
            "ageing": ageing
                .iter()
                .map(|((table, month), rows)| {
                    let (year, number) = (month / 100, month % 100);
                    json!({
                        "table": table, "month": format!("{year:04}-{number:02}"), "rows": rows,
                    })
                })
                .collect::<Vec<_>>(),
        }))
    }
}
