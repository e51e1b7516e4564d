//! `/api/v1/mail/…`: signing pixels and links, the mail report, and single messages where enabled.

use std::sync::Arc;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Span;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::json;

use super::Site;
use super::access::Right;
use super::api::{bad_question, pairs, shown, unread};
use super::body::{bad_value, json_body};
use super::registry::done;
use crate::access::{self, Digest};
use crate::event::{Day, Problem, SiteId};
use crate::http::refuse;
use crate::mail::{BadOrder, Desk, Messages, Minted, NotSigned, Order};
use crate::report::{self, Asked, Question};

const BODY_BYTES: usize = 256 * 1024;
const MOST_MAILS: usize = 100;
const MOST_MESSAGES: usize = 1000;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/api/v1/mail", web::get().to(report))
        .route("/api/v1/mail/links", web::post().to(links))
        .route("/api/v1/mail/messages", web::post().to(make))
        .route("/api/v1/mail/messages/{token}", web::get().to(read))
        .route("/api/v1/mail/messages/{token}", web::delete().to(revoke));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Orders {
    mails: Vec<Order>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewMessages {
    template: String,
    /// Whether their recipients agreed, or need not be asked.
    consent: bool,
    #[serde(default = "one")]
    count: usize,
}

fn one() -> usize {
    1
}

async fn report(request: HttpRequest, site: web::Data<Site>) -> HttpResponse {
    let mut closed = false;
    let answer = async {
        site.allow(&request, Right::Mail)?;
        let asked = Asked::of(pairs(&request)?).filter(is_plain);
        let asked = asked.ok_or_else(|| bad_question("accepted are range or from and to, once each"))?;
        let question = Question::new("", (SiteId::PLATFORM, &zone(&site)), asked, site.clock.now(), site.rules)?;
        closed = question.is_closed();
        let store = site.store.load_full().ok_or_else(Problem::store_unavailable)?;
        report::mail(&store, &question).await.map_err(unread)
    };
    let answer = answer.await;
    shown(&request, closed, answer).await
}

fn is_plain(asked: &Asked) -> bool {
    let Asked { compare, compare_from, interval, filter, limit, .. } = asked;
    compare.is_none() && compare_from.is_none() && interval.is_none() && filter.is_none() && limit.is_none()
}

/// The zone of the days, also for mails that were counted before they were switched off.
fn zone(site: &Site) -> TimeZone {
    let hosts = site.registry.directory.hosts();
    site.mail.as_ref().map_or(TimeZone::UTC, |desk| hosts.time_zone(desk.zone))
}

async fn links(request: HttpRequest, mut payload: web::Payload, site: web::Data<Site>) -> HttpResponse {
    let orders = json_body::<Orders>(&mut payload, BODY_BYTES, site.deadline).await;
    let minted = async {
        site.allow(&request, Right::Mail)?;
        let (Orders { mails }, desk) = (orders?, desk(&site)?);
        if mails.len() > MOST_MAILS {
            return Err(bad_value(format!("mails holds at most {MOST_MAILS}")));
        }

        let today = site.today_in(&zone(&site));
        let desk = Arc::clone(desk);
        let minted = web::block(move || sign(&desk, &mails, today)).await.map_err(|_| not_kept())??;
        Ok(json!({ "mails": minted }))
    };
    answer(minted.await).await
}

/// Signs all mails or none. Waits for the disk.
fn sign(desk: &Desk, mails: &[Order], today: Date) -> Result<Vec<Minted>, Problem> {
    let mint = |(place, order): (usize, &Order)| {
        desk.mint.mint(order, today).map_err(|why| refused(why, &format!("mails[{place}].")))
    };
    let minted = mails.iter().enumerate().map(mint).collect::<Result<Vec<_>, Problem>>()?;
    let pairs: Vec<(&Order, &Minted)> = mails.iter().zip(&minted).collect();
    match desk.signed.take(&pairs, today) {
        Ok(()) => Ok(minted),
        Err(own @ NotSigned::Own { .. }) => {
            Err(Problem::new(422, "recipients_own", "This mail cannot be signed").detail(own.to_string()))
        }
        Err(error @ NotSigned::File { .. }) => {
            tracing::error!(%error, "what was signed of mails cannot be kept, so nothing is signed");
            Err(not_kept())
        }
    }
}

async fn make(request: HttpRequest, mut payload: web::Payload, site: web::Data<Site>) -> HttpResponse {
    let new = json_body::<NewMessages>(&mut payload, 8192, site.deadline).await;
    let made = async {
        site.allow(&request, Right::Mail)?;
        let (new, desk) = (new?, desk(&site)?);
        let days = messages(desk)?.days;
        desk.mint.listed(&new.template).map_err(|why| refused(why, ""))?;
        if !new.consent || !(1..=MOST_MESSAGES).contains(&new.count) {
            let accepted = format!("consent must be true: without it there is no pixel; count is 1 to {MOST_MESSAGES}");
            return Err(bad_value(accepted));
        }

        let made: Vec<(Digest, String)> = (0..new.count).map(|_| access::new_message()).collect();
        let digests: Vec<Digest> = made.iter().map(|(digest, _)| *digest).collect();
        let expires = last_day(site.today_in(&zone(&site)), days);
        site.registry.put_messages(&digests, &new.template, expires).await?;
        let rows =
            made.iter().map(|(_, token)| json!({"token": token, "pixel": desk.mint.pixel(&format!("m.{token}"))}));
        Ok(json!({"expires": expires.to_string(), "messages": rows.collect::<Vec<_>>()}))
    };
    answer(made.await).await
}

async fn read(request: HttpRequest, token: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    let found = async {
        site.allow(&request, Right::Mail)?;
        messages(desk(&site)?)?;
        let digest = access::message(&token).ok_or_else(unknown_message)?;
        let row = site.registry.message(&digest).await?.ok_or_else(unknown_message)?;
        if row.expires < last_day(site.today_in(&zone(&site)), 0).number() {
            return Err(unknown_message());
        }
        let opened = (row.opened > 0).then(|| Day::from_number(row.opened).to_string());
        Ok(json!({"template": row.template, "opened": opened, "revoked": row.revoked}))
    };
    shown(&request, false, found.await).await
}

/// From now on its pixel records nothing, also in mails already sent, and what it recorded is
/// forgotten.
async fn revoke(request: HttpRequest, token: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    done(async {
        site.allow(&request, Right::Mail)?;
        messages(desk(&site)?)?;
        let digest = access::message(&token).ok_or_else(unknown_message)?;
        site.registry.message(&digest).await?.ok_or_else(unknown_message)?;
        site.registry.revoke_message(&digest).await
    })
    .await
}

async fn answer(made: Result<serde_json::Value, Problem>) -> HttpResponse {
    match made {
        Ok(made) => HttpResponse::Created().insert_header((CACHE_CONTROL, "no-store")).json(made),
        Err(problem) => refuse(&problem, None).await,
    }
}

fn desk(site: &Site) -> Result<&Arc<Desk>, Problem> {
    let off = || Problem::new(409, "mail_off", "Mails are not counted here").detail("mail.enabled is false");
    site.mail.as_ref().ok_or_else(off)
}

fn messages(desk: &Desk) -> Result<&Messages, Problem> {
    let off = || Problem::new(409, "aggregate_only", "Single messages are not followed here");
    desk.messages.as_ref().ok_or_else(|| off().detail("mail.mode is aggregate"))
}

fn last_day(today: Date, days: u32) -> Day {
    let last = today.checked_add(Span::new().days(i64::from(days))).unwrap_or(today);
    Day::from_date(last).unwrap_or(Day::from_number(u16::MAX))
}

fn refused(why: BadOrder, place: &str) -> Problem {
    let code = match why {
        BadOrder::NotListed { .. } => "template_not_listed",
        _ => "bad_value",
    };
    Problem::new(422, code, "This mail cannot be signed").detail(format!("{place}{why}"))
}

fn not_kept() -> Problem {
    Problem::new(503, "not_kept", "Nothing can be signed right now: what was signed cannot be kept")
}

fn unknown_message() -> Problem {
    Problem::new(404, "unknown_message", "There is no such message, or it is no longer kept")
}
