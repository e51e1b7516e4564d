//! Sign-in, handover from the platform, and sign-out: `/api/v1/session` and `/handover`.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Site;
use super::access::{Access, COOKIE, bad_csrf};
use super::body::json_body;
use crate::access::{Act, SessionId, Spending, Who};
use crate::config::{Secret, is_site_name};
use crate::event::Problem;
use crate::http::{Handover, read, refuse, text};

const BODY_BYTES: usize = 16 * 1024;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/api/v1/session", web::get().to(show))
        .route("/api/v1/session", web::post().to(sign_in))
        .route("/api/v1/session", web::delete().to(sign_out))
        .route("/handover", web::post().to(handover))
        // A token in a link ends up in histories and logs, so it is rejected without being
        // verified.
        .route("/handover", web::get().to(async || refuse(&not_believed(), None).await));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    user: String,
    password: Secret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HandedOver {
    token: Secret,
}

async fn show(request: HttpRequest, site: web::Data<Site>) -> HttpResponse {
    match site.who(&request) {
        Ok(who) => {
            let session = site.session(&request);
            let state = site.session_state(&who, session.as_ref().map(|(id, _)| id));
            HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(state)
        }
        Err(problem) => refuse(&problem, None).await,
    }
}

async fn sign_in(request: HttpRequest, mut payload: web::Payload, site: web::Data<Site>) -> HttpResponse {
    let login = json_body::<Login>(&mut payload, BODY_BYTES, site.deadline).await;
    let signed_in = async {
        if site.access.comes_from_elsewhere(&request) {
            return Err(bad_csrf());
        }
        site.is_operator(&request, login?).await?;
        Ok(site.begin(&request, Who::Operator, "operator"))
    };

    match signed_in.await {
        Ok(id) => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header((SET_COOKIE, cookie_of(&id)))
            .json(site.session_state(&Who::Operator, Some(&id))),
        Err(problem) => refuse(&problem, None).await,
    }
}

async fn sign_out(request: HttpRequest, site: web::Data<Site>) -> HttpResponse {
    match site.own_session(&request) {
        Ok((id, who)) => {
            site.access.sessions.close(&id);
            site.registry.note(site.entry(&who, Act::SignOut, whose(&who)));
            let gone = format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
            let mut answer = HttpResponse::NoContent();
            answer.insert_header((CACHE_CONTROL, "no-store")).insert_header((SET_COOKIE, gone)).finish()
        }
        Err(problem) => refuse(&problem, None).await,
    }
}

/// The platform's page posts a form here, from its own site: no cookie is sent, and none is needed.
async fn handover(request: HttpRequest, mut payload: web::Payload, site: web::Data<Site>) -> HttpResponse {
    let body = read(&mut payload, BODY_BYTES, site.deadline).await;
    let handed_over = async {
        let token = body.ok().and_then(|body| token_in(&request, &body)).ok_or_else(not_believed)?;
        site.handed_over(&request, &token)
    };
    match handed_over.await {
        Ok(who) => {
            let first = whose(&who).to_owned();
            let to = if matches!(who, Who::Creator(_)) { format!("/?site={first}") } else { "/".to_owned() };
            let id = site.begin(&request, who, &first);
            let mut answer = HttpResponse::SeeOther();
            answer.insert_header((CACHE_CONTROL, "no-store")).insert_header((SET_COOKIE, cookie_of(&id)));
            answer.insert_header((LOCATION, to)).finish()
        }
        Err(problem) => refuse(&problem, None).await,
    }
}

/// The token from the body, a form's or JSON. A query string is not accepted.
fn token_in(request: &HttpRequest, body: &[u8]) -> Option<Secret> {
    if !request.query_string().is_empty() {
        return None;
    }
    let kind = request.headers().get(CONTENT_TYPE).and_then(text).unwrap_or("");
    if kind.starts_with("application/json") {
        return serde_json::from_slice::<HandedOver>(body).ok().map(|body| body.token);
    }
    let mut tokens = url::form_urlencoded::parse(body).filter(|(name, _)| name == "token");
    let token = tokens.next()?.1;
    tokens.next().is_none().then(|| Secret::new(token.into_owned()))
}

impl Site {
    fn session_state(&self, who: &Who, session: Option<&SessionId>) -> Value {
        let (role, sites) = match who {
            Who::Operator => (Some("operator"), None),
            Who::Creator(sites) => (Some("creator"), Some(&**sites)),
            Who::Token(_) | Who::Nobody => (None, None),
        };
        let csrf = session.map(|id| self.access.sessions.csrf(id));
        json!({"role": role, "sites": sites, "csrf": csrf, "login": self.access.login.is_some()})
    }

    /// A wrong name and a wrong password get the same answer, after the same work.
    async fn is_operator(&self, request: &HttpRequest, login: Login) -> Result<(), Problem> {
        let operator = self.access.login.as_ref().ok_or_else(no_login)?;
        self.may_try(request, &login.user)?;
        match self.access.passwords.fits(operator, login.user, login.password).await? {
            true => Ok(()),
            false => {
                tracing::warn!("a password login was refused");
                Err(Problem::new(401, "bad_login", "The name or the password is wrong"))
            }
        }
    }

    /// Checks the rate limit of password attempts. `user` identifies the password that is tried.
    pub(super) fn may_try(&self, request: &HttpRequest, user: &str) -> Result<(), Problem> {
        let network = self.access.rates.network(&self.access.origins.address(request));
        match self.access.rates.tries_too_often(network, user) {
            false => Ok(()),
            true => Err(Problem::new(429, "too_many_tries", "Too many passwords were tried; wait a minute")),
        }
    }

    fn handed_over(&self, request: &HttpRequest, token: &Secret) -> Result<Who, Problem> {
        let now = self.clock.now();
        let handover = self.try_token(request, || Ok(self.access.tokens.handover(token, now)))?;
        let Handover { exp, jti, role, sites, .. } = handover.ok_or_else(not_believed)?;

        match self.access.spent.spend(&jti, exp, now.div_euclid(1000)) {
            Spending::First => {}
            Spending::Again => return Err(not_believed()),
            Spending::Full => return Err(Problem::new(503, "busy", "Too many are being handed over")),
        }

        match &*role {
            "operator" if self.access.handover_operator => Ok(Who::Operator),
            "operator" => Err(Problem::missing_right()),
            _ if !sites.is_empty() && sites.iter().all(|name| is_site_name(name)) => Ok(Who::Creator(sites.into())),
            _ => Err(not_believed()),
        }
    }

    /// Opens a session and closes the one of the request, if any.
    fn begin(&self, request: &HttpRequest, who: Who, of: &str) -> SessionId {
        if let Some(before) = Access::session_of(request) {
            self.access.sessions.close(&before);
        }
        self.registry.note(self.entry(&who, Act::SignIn, of));
        self.access.sessions.open(who, self.clock.now())
    }
}

/// The name of a session in the audit log.
fn whose(who: &Who) -> &str {
    match who {
        Who::Creator(sites) => sites.first().map_or("", |name| name),
        _ => "operator",
    }
}

/// A session cookie; the server ends the session sooner. `Lax`: the platform's page may link here,
/// its frames and scripts may not send requests.
fn cookie_of(id: &SessionId) -> String {
    format!("{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax", id.reveal())
}

fn no_login() -> Problem {
    Problem::new(404, "no_login", "There is no password login here")
}

fn not_believed() -> Problem {
    Problem::new(401, "not_believed", "You could not be signed in").detail(
        "POST a token of the platform, of at most five minutes and not used before, as the field token; open your statistics from the platform again",
    )
}
