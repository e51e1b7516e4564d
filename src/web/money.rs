//! `/api/v1/sites/{site}/money/…`: voids amounts of a site's reports that were never earned.
//! Requires the permission to register the site; voids are visible to readers of the site's
//! reports.

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};

use super::AppState;
use super::access::Permission;
use super::api::{find_site, json_response};
use super::body::{JsonBody, bad_value};
use crate::access::AuditAction;
use crate::calendar::{DateRange, Day};
use crate::config::is_site_name;
use crate::event::{CurrencyCode, Problem, minor_digits};
use crate::store::{VoidRequest, VoidRow};

const MAX_BODY_BYTES: usize = 8192;

pub(super) fn register_routes(config: &mut web::ServiceConfig) {
    config
        .route(
            "/api/v1/sites/{site}/money/void",
            web::post().to(create_void),
        )
        .route(
            "/api/v1/sites/{site}/money/voids",
            web::get().to(list_voids),
        );
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewVoid {
    /// Chosen by the caller: the same void again changes nothing.
    id: String,
    from: Date,
    to: Date,
    event: String,
    currency: String,
}

async fn create_void(
    request: HttpRequest,
    name: web::Path<String>,
    new: JsonBody<NewVoid, MAX_BODY_BYTES>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let who = site.authorize_request(&request, Permission::RegisterSite(&name))?;
    let (id, _) = find_site(&name, &site)?;
    let void = new.into_inner()?.validate_void()?;
    let by = site.audit_entry(&who, AuditAction::VoidMoney, format!("{name} {}", void.id));
    let (voided, is_new) = site.registry.void_amounts(by, id, &void).await?;

    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(HttpResponse::build(status)
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(void_row(&voided)))
}

async fn list_voids(
    request: HttpRequest,
    name: web::Path<String>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    site.check_permission(&request, Permission::ReadSite(&name))?;
    let (id, zone) = find_site(&name, &site)?;
    let limits = site.site_report_limits(&name);
    let oldest = limits.oldest_kept_date(site.today_in(&zone));

    let mut voids = site.registry.list_voids(id).await?;
    voids.retain(|void| Day::from_number(void.to).to_date() >= oldest);
    let rows: Vec<Value> = voids.iter().map(void_row).collect();
    Ok(json_response(&request, false, &json!({ "rows": rows })))
}

fn void_row(voided: &VoidRow) -> Value {
    let day = |number| Day::from_number(number).to_string();
    let at = Timestamp::from_second(i64::from(voided.at)).unwrap_or_default();
    json!({
        "id": voided.id, "from": day(voided.from), "to": day(voided.to), "event": voided.event, "currency": voided.currency,
        "hits": voided.hits, "over": voided.over, "minor": voided.minor, "digits": minor_digits(&voided.currency),
        "at": at.to_string(),
    })
}

impl NewVoid {
    fn validate_void(self) -> Result<VoidRequest, Problem> {
        let NewVoid {
            id,
            from,
            to,
            event,
            currency,
        } = self;
        if !is_site_name(&id) {
            return Err(bad_value(
                "id must be 1 to 64 of letters, digits and . _ ~ -",
            ));
        }

        let dates = DateRange {
            first: from,
            last: to,
        };
        let days = dates
            .to_days()
            .ok_or_else(|| bad_value("from and to must be days, from not after to"))?;
        if event.is_empty() || event.chars().count() > 64 {
            return Err(bad_value(
                "event must be the name of an event as the report has it",
            ));
        }
        let currency = CurrencyCode::parse(&currency)
            .ok_or_else(|| bad_value("currency must be three capital letters (ISO 4217)"))?;
        Ok(VoidRequest {
            id,
            days,
            event,
            currency,
        })
    }
}
