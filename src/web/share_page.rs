//! `/share/{token}` and `/api/v1/shares/{token}`: the holder of a share link gets one report of one
//! site, over the link's days, with its own k. There is no other range, no filter and no
//! comparison. The report is made once, with the link, and stored: responses from different days
//! would reveal what was published in between.

use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    CACHE_CONTROL, HeaderName, HeaderValue, REFERRER_POLICY, SET_COOKIE,
};
use actix_web::middleware::{Next, from_fn};
use actix_web::{Error, HttpRequest, HttpResponse, web};
use jiff::civil::Date;
use serde::Deserialize;

use super::api::{changed_response, find_site, invalid_query, store_problem};
use super::body::JsonBody;
use super::{AppState, compression, dashboard};
use crate::access::ShareLink;
use crate::config::Secret;
use crate::event::{Problem, ProblemCode};
use crate::http::OriginResolver;
use crate::report::{self, ReportLimits, ReportParams, ReportQuery};

const MAX_BODY_BYTES: usize = 4096;
/// Rows of each list.
const LIST_ROWS: u32 = 100;
const ROBOTS_HEADER: HeaderName = HeaderName::from_static("x-robots-tag");

pub(super) fn register_routes(config: &mut web::ServiceConfig) {
    let page = web::get().to(get_share_page);
    let report = web::get().to(get_share_report);
    let unlock = web::post().to(unlock_share);
    config
        .route("/share/{token}", page.wrap(from_fn(add_privacy_headers)))
        .route(
            "/api/v1/shares/{token}/report",
            report.wrap(from_fn(add_privacy_headers)),
        )
        .route(
            "/api/v1/shares/{token}/unlock",
            unlock.wrap(from_fn(add_privacy_headers)),
        );
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnlockRequest {
    password: Secret,
}

/// The same page for valid and invalid links; its script loads the report and shows the error.
async fn get_share_page(
    request: HttpRequest,
    token: web::Path<Secret>,
    site: web::Data<AppState>,
) -> HttpResponse {
    dashboard::framed_page(&request, &site.frame_ancestors(&request, &token))
}

async fn get_share_report(
    request: HttpRequest,
    token: web::Path<Secret>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let share = site.find_share(&request, &token)?;
    if share.password.is_some() && !site.is_unlocked(&request, &share) {
        return Err(Problem::new(ProblemCode::PasswordRequired));
    }
    if !request.query_string().is_empty() {
        return Err(invalid_query(
            "a share link has one report: its own days, without a filter",
        ));
    }

    let report = site.load_share_report(&share).await?;
    let mut answer = HttpResponse::Ok();
    answer
        .content_type("application/json")
        .insert_header((CACHE_CONTROL, "no-store"));
    Ok(compression::compressed_response(
        answer,
        &request,
        report.into_bytes(),
    ))
}

async fn unlock_share(
    request: HttpRequest,
    token: web::Path<Secret>,
    given: JsonBody<UnlockRequest, MAX_BODY_BYTES>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let share = site.find_share(&request, &token)?;
    let Some(hash) = &share.password else {
        return Ok(changed_response());
    };

    let password = given.into_inner()?.password;
    site.check_login_rate(&request, &share.id)?;
    let is_right = site
        .auth
        .passwords
        .verify_password(hash.clone(), password)
        .await?;
    if !is_right {
        return Err(Problem::new(ProblemCode::WrongPassword));
    }

    Ok(HttpResponse::NoContent()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((SET_COOKIE, site.unlock_cookie(&share)))
        .finish())
}

/// The URL is the secret: search engines must not index it, and links on the page must not send it.
/// Problems get these headers too.
async fn add_privacy_headers(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut answer = next.call(request).await?;
    for (name, value) in [
        (ROBOTS_HEADER, "noindex, nofollow"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    Ok(answer)
}

impl AppState {
    /// Revoked, expired and unknown links get the same answer, and so do links to days that are no
    /// longer kept.
    fn find_share(&self, request: &HttpRequest, token: &Secret) -> Result<Arc<ShareLink>, Problem> {
        let keys = self.require_access_keys()?;
        let share = self
            .with_attempt_limit(request, || Ok(keys.find_share_link(token)))?
            .ok_or_else(unknown_share)?;
        let (_, zone) = find_site(&share.site, self).map_err(|_| unknown_share())?;
        let today = self.today_in(&zone);
        let limits = self.site_report_limits(&share.site);
        if share.is_alive(today) && share.from >= limits.oldest_kept_date(today) {
            Ok(Arc::clone(share))
        } else {
            Err(unknown_share())
        }
    }

    /// The report query of a link.
    pub(super) fn share_query(&self, share: &ShareLink) -> Result<ReportQuery, Problem> {
        let (id, zone) = find_site(&share.site, self)?;
        let (from, to) = (Some(share.from.to_string()), Some(share.to.to_string()));
        let asked = ReportParams {
            from,
            to,
            limit: Some(LIST_ROWS),
            ..ReportParams::default()
        };
        let rules = ReportLimits {
            k: self.auth.share_k,
            ..self.site_report_limits(&share.site)
        };
        let question = ReportQuery::new(&share.site, (id, &zone), asked, self.clock.now(), rules)?;
        Ok(ReportQuery {
            for_share_link: true,
            ..question
        })
    }

    /// Makes the report of a link. Not before its last day is published, since the report would
    /// lack values that are published later.
    pub(super) async fn build_share_report(&self, share: &ShareLink) -> Result<String, Problem> {
        let question = self.share_query(share)?;
        let store = self.require_shard(question.site)?;
        let (zone, to) = (question.zone_name(), share.to);
        let answer = report::run_report(&store, question)
            .await
            .map_err(store_problem)?;
        if !answer.is_final {
            let through = answer.attributes.through.as_deref();
            return Err(not_published(to, through, &zone));
        }
        Ok(serde_json::to_string(&answer).expect("a response is JSON"))
    }

    /// The report that was stored with the link.
    async fn load_share_report(&self, share: &ShareLink) -> Result<String, Problem> {
        let store = self.require_store()?;
        if let Some(kept) = store
            .read_share_response(&share.id)
            .await
            .map_err(store_problem)?
        {
            return Ok(kept);
        }
        // A link of an earlier version, without a stored report.
        let made = self.build_share_report(share).await?;
        self.registry
            .store_share_response(&share.id, &made)
            .await?
            .ok_or_else(unknown_share)
    }

    /// Origins that may show a link's page in a frame, for `frame-ancestors`. Cookies do not reach
    /// a frame on another site, so a link with a password can only be unlocked on a page of its
    /// own.
    fn frame_ancestors(&self, request: &HttpRequest, token: &Secret) -> String {
        let share = self
            .find_share(request, token)
            .ok()
            .filter(|share| share.password.is_none());
        let rule = share.and_then(|share| self.registry.directory.find_rule(&share.site));
        match rule {
            Some(rule) if !rule.embed.is_empty() => rule.embed.join(" "),
            _ => "'none'".to_owned(),
        }
    }

    fn unlock_cookie(&self, share: &ShareLink) -> String {
        let value = self.auth.sessions.unlock_value(share, self.clock.now());
        format!(
            "{}={value}; Path=/; Secure; HttpOnly; SameSite=Lax",
            unlock_cookie_name(share)
        )
    }

    fn is_unlocked(&self, request: &HttpRequest, share: &ShareLink) -> bool {
        let (cookies, name) = (
            OriginResolver::parse_cookies(request),
            unlock_cookie_name(share),
        );
        let now = self.clock.now();
        cookies
            .get_all(&name)
            .any(|value| self.auth.sessions.is_unlocked(share, value, now))
    }
}

/// A cookie of this link alone; its id is not secret.
fn unlock_cookie_name(share: &ShareLink) -> String {
    format!("__Host-footfall-share-{}", share.id)
}

fn not_published(to: Date, through: Option<&str>, zone: &str) -> Problem {
    let now = match through {
        Some(through) => format!("published through {through}"),
        None => "not published for any day yet".to_owned(),
    };
    let from = to.tomorrow().unwrap_or(to);
    let detail = format!(
        "attributes are {now}; a link whose last day is {to} can be made from {from} on, shortly \
         after midnight in {zone}, once that day is published"
    );
    Problem::new(ProblemCode::NotPublished).with_detail(detail)
}

pub(super) fn unknown_share() -> Problem {
    Problem::new(ProblemCode::UnknownShare)
}
