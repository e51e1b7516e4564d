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
use super::body::{bad_value, read_json_body};
use crate::access::AuditAction;
use crate::calendar::Day;
use crate::config::is_site_name;
use crate::event::{Problem, minor_digits};
use crate::http::problem_response;
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
    mut payload: web::Payload,
    site: web::Data<AppState>,
) -> HttpResponse {
    let new = read_json_body::<NewVoid>(&mut payload, MAX_BODY_BYTES, site.body_deadline).await;
    let voided = async {
        let who = site.authorize_request(&request, Permission::RegisterSite(&name))?;
        let (id, _) = find_site(&name, &site)?;
        let void = new?.validate_void()?;
        let by = site.audit_entry(&who, AuditAction::VoidMoney, format!("{name} {}", void.id));
        site.registry.void_amounts(by, id, &void).await
    };

    match voided.await {
        Ok((voided, now)) => HttpResponse::build(if now {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        })
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(void_row(&voided)),
        Err(problem) => problem_response(&problem, None).await,
    }
}

async fn list_voids(
    request: HttpRequest,
    name: web::Path<String>,
    site: web::Data<AppState>,
) -> HttpResponse {
    let rows = async {
        site.check_permission(&request, Permission::ReadSite(&name))?;
        let (id, zone) = find_site(&name, &site)?;
        let limits = site.site_report_limits(&name);
        let oldest = limits.oldest_kept_date(site.today_in(&zone));
        let mut voids = site.registry.list_voids(id).await?;
        voids.retain(|void| Day::from_number(void.to).to_date() >= oldest);
        Ok(json!({ "rows": voids.iter().map(void_row).collect::<Vec<Value>>() }))
    };
    json_response(&request, false, rows.await).await
}

fn void_row(voided: &VoidRow) -> Value {
    let day = |number| Day::from_number(number).to_string();
    let at = Timestamp::from_second(i64::from(voided.at)).unwrap_or_default();
    json!({
        "id": voided.id, "from": day(voided.from), "to": day(voided.to), "event": voided.event, "currency": voided.currency,
        "hits": voided.hits, "over": voided.over, "minor": voided.minor, "digits": minor_digits(voided.currency.as_bytes()),
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

        let days = Day::from_date(from)
            .zip(Day::from_date(to))
            .filter(|_| from <= to);
        let (from, to) =
            days.ok_or_else(|| bad_value("from and to must be days, from not after to"))?;
        if event.is_empty() || event.chars().count() > 64 {
            return Err(bad_value(
                "event must be the name of an event as the report has it",
            ));
        }
        if currency.len() != 3 || !currency.bytes().all(|letter| letter.is_ascii_uppercase()) {
            return Err(bad_value(
                "currency must be three capital letters (ISO 4217)",
            ));
        }
        Ok(VoidRequest {
            id,
            from,
            to,
            event,
            currency,
        })
    }
}
