//! Sign-in, handover from the platform, and sign-out: `/api/v1/session` and `/handover`.

use actix_web::body::MessageBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION, SET_COOKIE};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::AppState;
use super::access::{RenewedCookie, SESSION_COOKIE, bad_csrf};
use super::body::JsonBody;
use crate::access::{AuditAction, Principal, Session, SignInMethod, TokenUse, TooManySites};
use crate::config::{Secret, is_site_name};
use crate::event::{Problem, ProblemCode};
use crate::http::{HandoverClaims, header_text, read_body};
use crate::registry::SignOutReach;

const MAX_BODY_BYTES: usize = 16 * 1024;
const PENDING_SIGN_OUT: &str = "signed out at this collector; the store cannot be reached, and the \
    other collectors of the database accept the session until it can";

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
    let session = site.find_session(&request)?;
    let state = site.session_json(&who, session.as_ref());
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

    let session = site
        .start_session(&request, Principal::Operator, SignInMethod::Password)
        .await?;
    let cookie = session_cookie(&site.auth.sessions.cookie_value(&session));
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((SET_COOKIE, cookie))
        .json(site.session_json(&Principal::Operator, Some(&session))))
}

async fn sign_out(
    request: HttpRequest,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let session = site.require_own_session(&request)?;
    let reach = site.registry.sign_out(&session).await?;
    let who = &session.principal;
    site.registry
        .enqueue_sign_in(site.audit_entry(who, AuditAction::SignOut, audit_subject(who)));

    let gone = format!("{SESSION_COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
    let mut response = match reach {
        SignOutReach::AllCollectors => HttpResponse::NoContent(),
        SignOutReach::ThisCollector => HttpResponse::Accepted(),
    };
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((SET_COOKIE, gone));
    Ok(match reach {
        SignOutReach::AllCollectors => response.finish(),
        SignOutReach::ThisCollector => response.json(json!({"detail": PENDING_SIGN_OUT})),
    })
}

/// Adds the renewed cookie of the request's session, if any. A response that opens or ends a session
/// has a cookie of its own.
pub(super) fn renew_session_cookie<B: MessageBody>(
    mut answer: ServiceResponse<B>,
) -> ServiceResponse<B> {
    let renewed = answer.request().extensions_mut().remove::<RenewedCookie>();
    let has_own = answer.headers().get_all(SET_COOKIE).any(|cookie| {
        cookie.as_bytes().starts_with(SESSION_COOKIE.as_bytes())
            && cookie.as_bytes().get(SESSION_COOKIE.len()) == Some(&b'=')
    });
    if let Some(RenewedCookie(value)) = renewed
        && !has_own
        && let Ok(cookie) = HeaderValue::from_str(&session_cookie(&value))
    {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    answer
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
    let who = site.verify_handover(&request, &token).await?;

    let to = match &who {
        Principal::Creator(_) => format!("/?site={}", audit_subject(&who)),
        _ => "/".to_owned(),
    };
    let session = site
        .start_session(&request, who, SignInMethod::Handover)
        .await?;
    let cookie = session_cookie(&site.auth.sessions.cookie_value(&session));
    Ok(HttpResponse::SeeOther()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((SET_COOKIE, cookie))
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
    fn session_json(&self, who: &Principal, session: Option<&Session>) -> Value {
        let (role, sites) = match who {
            Principal::Operator => (Some("operator"), None),
            Principal::Creator(sites) => (Some("creator"), Some(&**sites)),
            Principal::Token(_) | Principal::Anonymous => (None, None),
        };
        let csrf = session.map(Session::csrf_token);
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

    async fn verify_handover(
        &self,
        request: &HttpRequest,
        token: &Secret,
    ) -> Result<Principal, Problem> {
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

        match self.use_token(&jti, exp).await? {
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

    /// Opens a session and ends the one of the request, if any.
    async fn start_session(
        &self,
        request: &HttpRequest,
        who: Principal,
        by: SignInMethod,
    ) -> Result<Session, Problem> {
        let entry = self.audit_entry(&who, AuditAction::SignIn, audit_subject(&who));
        let session = self
            .auth
            .sessions
            .start_session(who, by, self.clock.now())
            .map_err(too_many_sites)?;
        if let Ok(Some(before)) = self.session_from_cookie(request) {
            // A failed write is logged. The store learns it in any case.
            let _ = self.registry.end_session(&before).await;
        }
        self.registry.enqueue_sign_in(entry);
        Ok(session)
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
fn session_cookie(value: &str) -> String {
    format!("{SESSION_COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Lax")
}

fn too_many_sites(TooManySites(surplus): TooManySites) -> Problem {
    Problem::new(ProblemCode::InvalidHandover).with_detail(format!(
        "the names of the token's sites are {surplus} bytes longer than a session's cookie can hold"
    ))
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
