//! `/api/v1/mail/…`: signing pixels and links, the mail report, and single messages where enabled.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Span;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::json;

use super::AppState;
use super::access::Permission;
use super::api::{
    QueryPairs, changed_response, created_response, into_pairs, invalid_query, json_response,
    store_problem,
};
use super::body::{JsonBody, bad_value};
use crate::access::{self, SecretDigest};
use crate::calendar::Day;
use crate::event::{Problem, ProblemCode, SiteId};
use crate::mail::{
    MailService, MessageConfirmation, SignRequest, SignRequestError, SignedMail, SignedValuesError,
};
use crate::report::{self, ReportParams, ReportQuery};

const MAX_BODY_BYTES: usize = 256 * 1024;
const MAX_MESSAGES_BODY_BYTES: usize = 8192;
const MAX_MAILS: usize = 100;
const MAX_MESSAGES: usize = 1000;

pub(super) fn register_routes(config: &mut web::ServiceConfig) {
    config
        .route("/api/v1/mail", web::get().to(get_mail_report))
        .route("/api/v1/mail/links", web::post().to(sign_links))
        .route("/api/v1/mail/messages", web::post().to(create_messages))
        .route("/api/v1/mail/messages/{token}", web::get().to(get_message))
        .route(
            "/api/v1/mail/messages/{token}",
            web::delete().to(revoke_message),
        );
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignMailsRequest {
    mails: Vec<SignRequest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewMessages {
    template: String,
    /// Whether the recipients consented, or their consent is not required.
    consent: bool,
    #[serde(default = "one")]
    count: usize,
}

fn one() -> usize {
    1
}

async fn get_mail_report(
    request: HttpRequest,
    query: QueryPairs,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    site.check_permission(&request, Permission::UseMail)?;
    let asked = ReportParams::from_pairs(into_pairs(query)?).filter(has_only_range);
    let asked =
        asked.ok_or_else(|| invalid_query("accepted are range or from and to, once each"))?;
    let question = ReportQuery::new(
        "",
        (SiteId::PLATFORM, &mail_time_zone(&site)),
        asked,
        site.clock.now(),
        site.platform_report_limits(),
    )?;

    let store = site.require_store()?;
    let answer = report::run_mail_report(&store, &question)
        .await
        .map_err(store_problem)?;
    Ok(json_response(&request, question.is_closed(), &answer))
}

fn has_only_range(asked: &ReportParams) -> bool {
    let ReportParams {
        compare,
        compare_from,
        interval,
        filter,
        limit,
        ..
    } = asked;
    compare.is_none()
        && compare_from.is_none()
        && interval.is_none()
        && filter.is_none()
        && limit.is_none()
}

/// The time zone of the days, also for mails that were counted before mail was switched off.
fn mail_time_zone(site: &AppState) -> TimeZone {
    let hosts = site.registry.directory.resolver();
    site.mail
        .as_ref()
        .map_or(TimeZone::UTC, |desk| hosts.time_zone(desk.zone))
}

async fn sign_links(
    request: HttpRequest,
    orders: JsonBody<SignMailsRequest, MAX_BODY_BYTES>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    site.check_permission(&request, Permission::UseMail)?;
    let (SignMailsRequest { mails }, desk) = (orders.into_inner()?, require_mail(&site)?);
    if mails.len() > MAX_MAILS {
        return Err(bad_value(format!("mails holds at most {MAX_MAILS}")));
    }

    let today = site.today_in(&mail_time_zone(&site));
    let desk = Arc::clone(desk);
    let minted = web::block(move || sign_mails(&desk, &mails, today))
        .await
        .map_err(|_| Problem::new(ProblemCode::SigningUnavailable))??;
    Ok(created_response(&json!({ "mails": minted })))
}

/// Signs all mails or none. Waits for the disk.
fn sign_mails(
    desk: &MailService,
    mails: &[SignRequest],
    today: Date,
) -> Result<Vec<SignedMail>, Problem> {
    let mint = |(place, order): (usize, &SignRequest)| {
        desk.signer
            .sign_mail(order, today)
            .map_err(|why| sign_problem(why, &format!("mails[{place}].")))
    };
    let minted = mails
        .iter()
        .enumerate()
        .map(mint)
        .collect::<Result<Vec<_>, Problem>>()?;
    let pairs: Vec<(&SignRequest, &SignedMail)> = mails.iter().zip(&minted).collect();
    match desk.signed_values.record_values(&pairs, today) {
        Ok(()) => Ok(minted),
        Err(own @ SignedValuesError::LimitReached { .. }) => {
            Err(Problem::new(ProblemCode::TooManyMailValues).with_detail(own.to_string()))
        }
        Err(error @ SignedValuesError::File { .. }) => {
            tracing::error!(%error, "signed values cannot be stored, so nothing is signed");
            Err(Problem::new(ProblemCode::SigningUnavailable))
        }
    }
}

async fn create_messages(
    request: HttpRequest,
    new: JsonBody<NewMessages, MAX_MESSAGES_BODY_BYTES>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    site.check_permission(&request, Permission::UseMail)?;
    let (new, desk) = (new.into_inner()?, require_mail(&site)?);
    let days = require_messages(desk)?.days;
    desk.signer
        .check_template(&new.template)
        .map_err(|why| sign_problem(why, ""))?;
    if !new.consent || !(1..=MAX_MESSAGES).contains(&new.count) {
        let accepted = format!(
            "consent must be true: without it there is no pixel; count is 1 to {MAX_MESSAGES}"
        );
        return Err(bad_value(accepted));
    }

    let made: Vec<(SecretDigest, String)> = (0..new.count)
        .map(|_| access::generate_message_secret())
        .collect();
    let digests: Vec<SecretDigest> = made.iter().map(|(digest, _)| *digest).collect();
    let expires = last_day(site.today_in(&mail_time_zone(&site)), days);
    site.registry
        .register_messages(&digests, &new.template, expires)
        .await?;
    let rows = made.iter().map(
        |(_, token)| json!({"token": token, "pixel": desk.signer.pixel_url(&format!("m.{token}"))}),
    );
    let rows: Vec<_> = rows.collect();
    Ok(created_response(
        &json!({"expires": expires.to_string(), "messages": rows}),
    ))
}

async fn get_message(
    request: HttpRequest,
    token: web::Path<String>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    site.check_permission(&request, Permission::UseMail)?;
    require_messages(require_mail(&site)?)?;
    let digest = access::message_digest(&token).ok_or_else(unknown_message)?;
    let row = site
        .registry
        .find_message(&digest)
        .await?
        .ok_or_else(unknown_message)?;
    if row.expires < last_day(site.today_in(&mail_time_zone(&site)), 0).as_number() {
        return Err(unknown_message());
    }
    let opened = (row.opened > 0).then(|| Day::from_number(row.opened).to_string());
    let answer = json!({"template": row.template, "opened": opened, "revoked": row.revoked});
    Ok(json_response(&request, false, &answer))
}

/// From now on its pixel records nothing, also in mails already sent, and its recorded opening is
/// deleted.
async fn revoke_message(
    request: HttpRequest,
    token: web::Path<String>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    site.check_permission(&request, Permission::UseMail)?;
    require_messages(require_mail(&site)?)?;
    let digest = access::message_digest(&token).ok_or_else(unknown_message)?;
    site.registry
        .find_message(&digest)
        .await?
        .ok_or_else(unknown_message)?;
    site.registry.revoke_message(&digest).await?;
    Ok(changed_response())
}

fn require_mail(site: &AppState) -> Result<&Arc<MailService>, Problem> {
    let off = || Problem::new(ProblemCode::MailDisabled).with_detail("mail.enabled is false");
    site.mail.as_ref().ok_or_else(off)
}

fn require_messages(desk: &MailService) -> Result<&MessageConfirmation, Problem> {
    let off = || Problem::new(ProblemCode::AggregateOnly).with_detail("mail.mode is aggregate");
    desk.messages.as_ref().ok_or_else(off)
}

fn last_day(today: Date, days: u32) -> Day {
    let last = today
        .checked_add(Span::new().days(i64::from(days)))
        .unwrap_or(today);
    Day::from_date(last).unwrap_or(Day::from_number(u16::MAX))
}

fn sign_problem(why: SignRequestError, place: &str) -> Problem {
    let code = match why {
        SignRequestError::UnknownTemplate { .. } => ProblemCode::UnlistedTemplate,
        _ => ProblemCode::InvalidValue,
    };
    Problem::new(code).with_detail(format!("{place}{why}"))
}

fn unknown_message() -> Problem {
    Problem::new(ProblemCode::UnknownMessage)
}
