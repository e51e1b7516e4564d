//! `GET /api/v1/retention`: how long counts are kept, and what the next deletion will take.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::AppState;
use super::access::Permission;
use super::api::{json_response, store_problem};
use crate::calendar::Day;
use crate::event::Problem;
use crate::report;

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

impl AppState {
    /// The limits, the rows that are over them, by table and site, and the months that become
    /// coarser.
    async fn expired_rows(&self) -> Result<Value, Problem> {
        let store = self.require_store()?;
        let directory = &self.registry.directory;
        let policy = directory.retention_policy();
        let today = Day::from_utc(self.clock.now()).unwrap_or(Day::from_number(0));
        let expired = store
            .count_expired_rows(today, &policy)
            .await
            .map_err(store_problem)?;

        let ids = expired
            .iter()
            .filter_map(|rows| rows.site)
            .map(|site| site.as_u128());
        let ageing = store
            .list_ageing_months(today, &self.retention.limits())
            .await
            .map_err(store_problem)?;

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
            "hourly_days": self.retention.limits().hourly_days,
            "activity_days": self.retention.limits().activity_days,
            "ageing": ageing
                .iter()
                .map(|month| {
                    let (year, number) = (month.month / 100, month.month % 100);
                    json!({
                        "table": month.table, "month": format!("{year:04}-{number:02}"),
                        "rows": month.rows,
                    })
                })
                .collect::<Vec<_>>(),
        }))
    }
}
