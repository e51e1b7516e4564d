//! `/api/v1/sites/{site}/money/…`: voids amounts of a site's reports that were never earned. It
//! takes the permission to register the site; voids are visible to readers of the site's reports.

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Site;
use super::access::Right;
use super::api::{named, shown};
use super::body::{bad_value, json_body};
use crate::access::Act;
use crate::config::is_site_name;
use crate::event::{Day, Problem, minor_digits};
use crate::http::refuse;
use crate::store::{Void, Voided};

const BODY_BYTES: usize = 8192;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/api/v1/sites/{site}/money/void", web::post().to(void))
        .route("/api/v1/sites/{site}/money/voids", web::get().to(list));
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

async fn void(
    request: HttpRequest,
    name: web::Path<String>,
    mut payload: web::Payload,
    site: web::Data<Site>,
) -> HttpResponse {
    let new = json_body::<NewVoid>(&mut payload, BODY_BYTES, site.deadline).await;
    let voided = async {
        let who = site.permit(&request, Right::Register(&name))?;
        let (id, _) = named(&name, &site)?;
        let void = new?.check()?;
        let by = site.entry(&who, Act::VoidMoney, format!("{name} {}", void.id));
        site.registry.void_money(by, id, &void).await
    };

    match voided.await {
        Ok((voided, now)) => HttpResponse::build(if now { StatusCode::CREATED } else { StatusCode::OK })
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(row(&voided)),
        Err(problem) => refuse(&problem, None).await,
    }
}

async fn list(request: HttpRequest, name: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    let rows = async {
        site.allow(&request, Right::Site(&name))?;
        let (id, _) = named(&name, &site)?;
        let voids = site.registry.voids(id).await?;
        Ok(json!({ "rows": voids.iter().map(row).collect::<Vec<Value>>() }))
    };
    shown(&request, false, rows.await).await
}

fn row(voided: &Voided) -> Value {
    let day = |number| Day::from_number(number).to_string();
    let at = Timestamp::from_second(i64::from(voided.at)).unwrap_or_default();
    json!({
        "id": voided.id, "from": day(voided.from), "to": day(voided.to), "event": voided.event, "currency": voided.currency,
        "hits": voided.hits, "over": voided.over, "minor": voided.minor, "digits": minor_digits(voided.currency.as_bytes()),
        "at": at.to_string(),
    })
}

impl NewVoid {
    fn check(self) -> Result<Void, Problem> {
        let NewVoid { id, from, to, event, currency } = self;
        if !is_site_name(&id) {
            return Err(bad_value("id must be 1 to 64 of letters, digits and . _ ~ -"));
        }

        let days = Day::from_date(from).zip(Day::from_date(to)).filter(|_| from <= to);
        let (from, to) = days.ok_or_else(|| bad_value("from and to must be days, from not after to"))?;
        if event.is_empty() || event.chars().count() > 64 {
            return Err(bad_value("event must be the name of an event as the report has it"));
        }
        if currency.len() != 3 || !currency.bytes().all(|letter| letter.is_ascii_uppercase()) {
            return Err(bad_value("currency must be three capital letters (ISO 4217)"));
        }
        Ok(Void { id, from, to, event, currency })
    }
}
