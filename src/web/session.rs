//! Sign-in, handover from the platform, and sign-out: `/api/v1/session` and `/handover`.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::AppState;
use super::access::{AuthState, SESSION_COOKIE, bad_csrf};
use super::body::JsonBody;
use crate::access::{AuditAction, Principal, SessionId, TokenUse};
use crate::config::{Secret, is_site_name};
use crate::event::{Problem, ProblemCode};
use crate::http::{HandoverClaims, header_text, read_body};

const MAX_BODY_BYTES: usize = 16 * 1024;

pub(super) fn register_routes(config: &mut web::ServiceConfig) {
    config
        .route("/api/v1/session", web::get().to(get_session))
        .route("/api/v1/session", web::post().to(sign_in))
        .route("/api/v1/session", web::delete().to(sign_out))
        .route("/handover", web::post().to(accept_handover))
        // A token in a link appears in histories and logs, so it is rejected without being
        // verified.
        .route(
            "/handover",
            web::get().to(async || Err::<HttpResponse, Problem>(invalid_handover())),
        );
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginRequest {
    user: String,
    password: Secret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HandoverRequest {
    token: Secret,
}

async fn get_session(
    request: HttpRequest,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let who = site.request_principal(&request)?;
    let session = site.find_session(&request);
    let state = site.session_json(&who, session.as_ref().map(|(id, _)| id));
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(state))
}

async fn sign_in(
    request: HttpRequest,
    login: JsonBody<LoginRequest, MAX_BODY_BYTES>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    if site.auth.is_cross_origin(&request) {
        return Err(bad_csrf());
    }
    site.check_login(&request, login.into_inner()?).await?;

    let id = site.start_session(&request, Principal::Operator, "operator");
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((SET_COOKIE, session_cookie(&id)))
        .json(site.session_json(&Principal::Operator, Some(&id))))
}

async fn sign_out(
    request: HttpRequest,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let (id, who) = site.require_own_session(&request)?;
    site.auth.sessions.end_session(&id);
    site.registry.enqueue_sign_in(site.audit_entry(
        &who,
        AuditAction::SignOut,
        audit_subject(&who),
    ));

    let gone = format!("{SESSION_COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
    Ok(HttpResponse::NoContent()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((SET_COOKIE, gone))
        .finish())
}

/// The platform's page posts a form to this handler from its own site: no cookie is sent, and none
/// is needed.
async fn accept_handover(
    request: HttpRequest,
    mut payload: web::Payload,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    // Not an extractor: the body is a form or JSON, and all its errors get one response.
    let body = read_body(&mut payload, MAX_BODY_BYTES, site.body_deadline).await;
    let token = body
        .ok()
        .and_then(|body| extract_token(&request, &body))
        .ok_or_else(invalid_handover)?;
    let who = site.verify_handover(&request, &token)?;

    let first = audit_subject(&who).to_owned();
    let to = if matches!(who, Principal::Creator(_)) {
        format!("/?site={first}")
    } else {
        "/".to_owned()
    };
    let id = site.start_session(&request, who, &first);
    Ok(HttpResponse::SeeOther()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((SET_COOKIE, session_cookie(&id)))
        .insert_header((LOCATION, to))
        .finish())
}

/// The token from the body, as form or JSON. A query string is not accepted.
fn extract_token(request: &HttpRequest, body: &[u8]) -> Option<Secret> {
    if !request.query_string().is_empty() {
        return None;
    }
    let kind = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(header_text)
        .unwrap_or("");
    if kind.starts_with("application/json") {
        return serde_json::from_slice::<HandoverRequest>(body)
            .ok()
            .map(|body| body.token);
    }
    let mut tokens = url::form_urlencoded::parse(body).filter(|(name, _)| name == "token");
    let token = tokens.next()?.1;
    tokens
        .next()
        .is_none()
        .then(|| Secret::new(token.into_owned()))
}

impl AppState {
    fn session_json(&self, who: &Principal, session: Option<&SessionId>) -> Value {
        let (role, sites) = match who {
            Principal::Operator => (Some("operator"), None),
            Principal::Creator(sites) => (Some("creator"), Some(&**sites)),
            Principal::Token(_) | Principal::Anonymous => (None, None),
        };
        let csrf = session.map(|id| self.auth.sessions.csrf_token(id));
        json!({"role": role, "sites": sites, "csrf": csrf, "login": self.auth.login.is_some()})
    }

    /// A wrong name and a wrong password get the same response, after the same work.
    async fn check_login(&self, request: &HttpRequest, login: LoginRequest) -> Result<(), Problem> {
        let operator = self.auth.login.as_ref().ok_or_else(no_login)?;
        self.check_login_rate(request, &login.user)?;
        match self
            .auth
            .passwords
            .verify_login(operator, login.user, login.password)
            .await?
        {
            true => Ok(()),
            false => {
                tracing::warn!("a password login was refused");
                Err(Problem::new(ProblemCode::WrongLogin))
            }
        }
    }

    /// Checks the rate limit of password attempts. `user` identifies the password that is tried.
    pub(super) fn check_login_rate(
        &self,
        request: &HttpRequest,
        user: &str,
    ) -> Result<(), Problem> {
        let network = self
            .auth
            .rate_limiters
            .network_key(&self.auth.origins.client_address(request));
        match self.auth.rate_limiters.is_login_limited(network, user) {
            false => Ok(()),
            true => Err(Problem::new(ProblemCode::TooManyPasswords)),
        }
    }

    fn verify_handover(&self, request: &HttpRequest, token: &Secret) -> Result<Principal, Problem> {
        let now = self.clock.now();
        let handover = self.with_attempt_limit(request, || {
            Ok(self.auth.platform_tokens.verify_handover(token, now))
        })?;
        let HandoverClaims {
            exp,
            jti,
            role,
            sites,
            ..
        } = handover.ok_or_else(invalid_handover)?;

        match self
            .auth
            .used_tokens
            .mark_used(&jti, exp, now.div_euclid(1000))
        {
            TokenUse::First => {}
            TokenUse::AlreadyUsed => return Err(invalid_handover()),
            TokenUse::TableFull => {
                return Err(Problem::new(ProblemCode::HandoverTableFull));
            }
        }

        match &*role {
            "operator" if self.auth.allows_operator_handover => Ok(Principal::Operator),
            "operator" => Err(Problem::new(ProblemCode::NotPermitted)),
            _ if !sites.is_empty() && sites.iter().all(|name| is_site_name(name)) => {
                Ok(Principal::Creator(sites.into()))
            }
            _ => Err(invalid_handover()),
        }
    }

    /// Opens a session and closes the one of the request, if any.
    fn start_session(&self, request: &HttpRequest, who: Principal, of: &str) -> SessionId {
        if let Some(before) = AuthState::session_id_from_cookie(request) {
            self.auth.sessions.end_session(&before);
        }
        self.registry
            .enqueue_sign_in(self.audit_entry(&who, AuditAction::SignIn, of));
        self.auth.sessions.start_session(who, self.clock.now())
    }
}

/// The name of a session in the audit log.
fn audit_subject(who: &Principal) -> &str {
    match who {
        Principal::Creator(sites) => sites.first().map_or("", |name| name),
        _ => "operator",
    }
}

/// A session cookie; the server ends the session sooner. `Lax`: the platform's page may link to the
/// dashboard, but its frames and scripts may not send requests.
fn session_cookie(id: &SessionId) -> String {
    format!(
        "{SESSION_COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax",
        id.reveal_text()
    )
}

fn no_login() -> Problem {
    Problem::new(ProblemCode::NoLogin)
}

fn invalid_handover() -> Problem {
    Problem::new(ProblemCode::InvalidHandover).with_detail(
        "POST a token of the platform, of at most five minutes and not used before, as the field \
         token; open your statistics from the platform again",
    )
}
