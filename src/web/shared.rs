//! `/share/{token}` and `/api/v1/shares/{token}`: what the holder of a share link gets, which is
//! one report of one site, over the link's days, with its own k. No other range, no filter, no
//! comparison. It is made once, with the link, and stored: two answers of different days would
//! reveal what came in between.

use std::sync::Arc;

use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, REFERRER_POLICY, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, web};
use jiff::civil::Date;
use serde::Deserialize;

use super::api::{bad_question, named, unread};
use super::body::json_body;
use super::{Site, coding, dashboard};
use crate::access::Share;
use crate::config::Secret;
use crate::event::Problem;
use crate::http::{Origins, refuse};
use crate::report::{self, Asked, Question, Rules};

const BODY_BYTES: usize = 4096;
/// Rows of each list.
const ROWS: u32 = 100;
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/share/{token}", web::get().to(page))
        .route("/api/v1/shares/{token}/report", web::get().to(report))
        .route("/api/v1/shares/{token}/unlock", web::post().to(unlock));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unlock {
    password: Secret,
}

/// The same page for valid and invalid links; it loads the report and shows the error.
async fn page(request: HttpRequest, token: web::Path<Secret>, site: web::Data<Site>) -> HttpResponse {
    let mut answer = dashboard::framed_page(&request, &site.frame_ancestors(&request, &token));
    discreet(&mut answer);
    answer
}

async fn report(request: HttpRequest, token: web::Path<Secret>, site: web::Data<Site>) -> HttpResponse {
    let answer = async {
        let share = site.share(&request, &token)?;
        if share.password.is_some() && !site.is_unlocked(&request, &share) {
            return Err(Problem::new(401, "password_needed", "This link needs its password"));
        }
        if !request.query_string().is_empty() {
            return Err(bad_question("a share link answers one question: its own days, without a filter"));
        }
        site.kept_answer(&share).await
    };

    let mut answer = match answer.await {
        Ok(kept) => {
            let mut answer = HttpResponse::Ok();
            answer.content_type("application/json").insert_header((CACHE_CONTROL, "no-store"));
            coding::sent(answer, &request, kept.into_bytes())
        }
        Err(problem) => refuse(&problem, None).await,
    };
    discreet(&mut answer);
    answer
}

async fn unlock(
    request: HttpRequest,
    token: web::Path<Secret>,
    mut payload: web::Payload,
    site: web::Data<Site>,
) -> HttpResponse {
    let given = json_body::<Unlock>(&mut payload, BODY_BYTES, site.deadline).await;
    let unlocked = async {
        let share = site.share(&request, &token)?;
        let Some(hash) = &share.password else { return Ok(None) };
        let password = given?.password;
        site.may_try(&request, &share.id)?;
        match site.access.passwords.verify(hash.clone(), password).await? {
            true => Ok(Some(site.unlocked_cookie(&share))),
            false => Err(Problem::new(401, "bad_password", "The password is wrong")),
        }
    };

    let mut answer = match unlocked.await {
        Ok(cookie) => {
            let mut answer = HttpResponse::NoContent();
            answer.insert_header((CACHE_CONTROL, "no-store"));
            if let Some(cookie) = cookie {
                answer.insert_header((SET_COOKIE, cookie));
            }
            answer.finish()
        }
        Err(problem) => refuse(&problem, None).await,
    };
    discreet(&mut answer);
    answer
}

/// The URL is the secret: search engines must not index it, and links on the page must not send it.
fn discreet(answer: &mut HttpResponse) {
    for (name, value) in [(ROBOTS, "noindex, nofollow"), (REFERRER_POLICY, "no-referrer")] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}

impl Site {
    /// Revoked, expired and unknown links get the same answer.
    fn share(&self, request: &HttpRequest, token: &Secret) -> Result<Arc<Share>, Problem> {
        let keys = self.registry.keys().ok_or_else(Problem::store_unavailable)?;
        let share = self.try_token(request, || Ok(keys.share(token)))?.ok_or_else(unknown_share)?;
        let (_, zone) = named(&share.site, self).map_err(|_| unknown_share())?;
        if share.is_alive(self.today_in(&zone)) { Ok(Arc::clone(share)) } else { Err(unknown_share()) }
    }

    /// The report query of a link.
    pub(super) fn shared_question(&self, share: &Share) -> Result<Question, Problem> {
        let (id, zone) = named(&share.site, self)?;
        let (from, to) = (Some(share.from.to_string()), Some(share.to.to_string()));
        let asked = Asked { from, to, limit: Some(ROWS), ..Asked::default() };
        let rules = Rules { k: self.access.share_k, ..self.rules };
        let question = Question::new(&share.site, (id, &zone), asked, self.clock.now(), rules)?;
        Ok(Question { for_strangers: true, ..question })
    }

    /// Makes the report of a link. Not before its last day is published, since it would lack what
    /// is published later.
    pub(super) async fn made_answer(&self, share: &Share) -> Result<String, Problem> {
        let question = self.shared_question(share)?;
        let store = self.store.load_full().ok_or_else(Problem::store_unavailable)?;
        let (zone, to) = (question.zone_name(), share.to);
        let answer = report::ask(&store, question).await.map_err(unread)?;
        if !answer.is_final {
            let through = answer.attributes.through.as_deref();
            return Err(not_published(to, through, &zone));
        }
        Ok(serde_json::to_string(&answer).expect("an answer is JSON"))
    }

    /// The report that was stored with the link.
    async fn kept_answer(&self, share: &Share) -> Result<String, Problem> {
        let store = self.store.load_full().ok_or_else(Problem::store_unavailable)?;
        if let Some(kept) = store.share_answer(&share.id).await.map_err(unread)? {
            return Ok(kept);
        }
        // A link of an earlier version, which stored no report.
        let made = self.made_answer(share).await?;
        self.registry.keep_share_answer(&share.id, &made).await?.ok_or_else(unknown_share)
    }

    /// Origins that may show a link's page in a frame, for `frame-ancestors`. Cookies do not reach
    /// a frame on another site, so a link with a password can only be unlocked on a page of its
    /// own.
    fn frame_ancestors(&self, request: &HttpRequest, token: &Secret) -> String {
        let share = self.share(request, token).ok().filter(|share| share.password.is_none());
        let rule = share.and_then(|share| self.registry.directory.rule(&share.site));
        match rule {
            Some(rule) if !rule.embed.is_empty() => rule.embed.join(" "),
            _ => "'none'".to_owned(),
        }
    }

    fn unlocked_cookie(&self, share: &Share) -> String {
        let until = self.clock.now() + self.access.unlocked_millis;
        let value = format!("{until}.{}", self.access.seal.of(&proof(share, until)));
        format!("{}={value}; Path=/; Secure; HttpOnly; SameSite=Lax", cookie_name(share))
    }

    fn is_unlocked(&self, request: &HttpRequest, share: &Share) -> bool {
        let (cookies, name) = (Origins::cookies(request), cookie_name(share));
        let mut kept = cookies.named(&name).filter_map(|value| value.split_once('.'));
        kept.any(|(until, seal)| {
            let until = until.parse().unwrap_or(0);
            self.clock.now() < until && self.access.seal.fits(&proof(share, until), seal)
        })
    }
}

/// The signed content of an unlocking cookie.
fn proof(share: &Share, until: i64) -> String {
    format!("{} {until}", share.id)
}

/// A cookie of this link alone; its id is no secret.
fn cookie_name(share: &Share) -> String {
    format!("__Host-footfall-share-{}", share.id)
}

fn not_published(to: Date, through: Option<&str>, zone: &str) -> Problem {
    let now = match through {
        Some(through) => format!("published through {through}"),
        None => "not published for any day yet".to_owned(),
    };
    let from = to.tomorrow().unwrap_or(to);
    let detail = format!(
        "attributes are {now}; a link whose last day is {to} can be made from {from} on, shortly after midnight in {zone}, \
         once that day is published"
    );
    Problem::new(409, "not_published", "These days are not published yet").detail(detail)
}

pub(super) fn unknown_share() -> Problem {
    Problem::new(404, "unknown_share", "No such share link")
}
