//! Authenticates requests and checks permissions. All handlers do both here, and nowhere else.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::{HeaderName, ORIGIN};
use actix_web::{HttpMessage, HttpRequest};

use super::AppState;
use super::passwords::PasswordChecker;
use super::streams::StreamHolder;
use crate::access::{
    AuditAction, AuditEntry, CookieKeys, CookieSessions, CredentialIndex, DenialReason,
    MAX_USED_TOKENS, PasswordLogin, Principal, Session, UsedTokens,
};
use crate::config::{Config, Secret};
use crate::event::{Problem, ProblemCode};
use crate::http::{
    OperatorAuth, OriginResolver, PlatformTokenVerifier, RateLimiters, TokenAttemptLimiter,
    TrustedProxies, bearer_token, header_text,
};
use crate::state_codec::StateWriter;

pub use crate::access::Permission;

/// `__Host-`: the browser sends it to this host only, over TLS (or on this machine), whatever
/// cookies neighbouring hosts set.
pub(super) const SESSION_COOKIE: &str = "__Host-footfall";
const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");
const FETCH_SITE_HEADER: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The state of authentication: sessions, logins, tokens, and limits of attempts.
pub struct AuthState {
    operator_auth: OperatorAuth,
    pub(super) origins: OriginResolver,
    pub(super) rate_limiters: Arc<RateLimiters>,
    pub(super) token_attempts: TokenAttemptLimiter,
    pub(super) sessions: CookieSessions,
    pub(super) passwords: PasswordChecker,
    pub(super) login: Option<Arc<PasswordLogin>>,
    pub(super) platform_tokens: PlatformTokenVerifier,
    pub(super) used_tokens: UsedTokens,
    pub(super) allows_operator_handover: bool,
    pub(super) share_k: u32,
}

/// The value of a session's cookie that the response sets. Lives as long as the request.
pub(super) struct RenewedCookie(pub(super) String);

/// A principal, and the session of the request, if any.
struct CallerIdentity {
    principal: Principal,
    session: Option<Session>,
}

/// The credential that a request carried. Outlives the request.
pub(super) enum RequestCredential {
    Token(Secret),
    Session(Session),
    /// No credential: the operator, if the request comes from this machine and no more is required;
    /// otherwise nothing is permitted.
    Absent(Principal),
}

impl AuthState {
    /// Reads keys and limits from the configuration. `cookie_keys` encrypt sessions and unlocked
    /// share links.
    ///
    /// # Errors
    ///
    /// `platform.token_key` is not a key of `platform.token_algorithm`.
    pub fn new(
        config: &Config,
        cookie_keys: CookieKeys,
        rates: Arc<RateLimiters>,
    ) -> Result<AuthState, jsonwebtoken::errors::Error> {
        let access = &config.access;
        Ok(AuthState {
            operator_auth: OperatorAuth::new(config),
            origins: OriginResolver::new(TrustedProxies::new(&config.proxy.trusted)),
            rate_limiters: rates,
            token_attempts: TokenAttemptLimiter::new(&config.limits),
            sessions: CookieSessions::new(config, cookie_keys),
            passwords: PasswordChecker::default(),
            login: PasswordLogin::new(access).map(Arc::new),
            platform_tokens: PlatformTokenVerifier::new(&config.platform)?,
            used_tokens: UsedTokens::new(MAX_USED_TOKENS),
            allows_operator_handover: access.handover_operator,
            share_k: config.report.share_k.max(config.report.k),
        })
    }

    /// Continues from the used tokens of the process before.
    pub fn with_used_tokens(self, used_tokens: UsedTokens) -> AuthState {
        AuthState {
            used_tokens,
            ..self
        }
    }

    /// Writes the used tokens for the process that takes over.
    pub fn write_used_tokens(&self, out: &mut StateWriter<'_>) {
        self.used_tokens.write_state(out);
    }

    /// Uses these keys for cookies from now on.
    pub fn replace_cookie_keys(&self, keys: CookieKeys) {
        self.sessions.replace_keys(keys);
    }

    /// The key of the request's network in the rate limits.
    pub(super) fn network_key(&self, request: &HttpRequest) -> u64 {
        self.rate_limiters
            .network_key(&self.origins.client_address(request))
    }

    /// Whether another page made the browser send this change. Browsers name the origin of a
    /// request; programs without cookies need not.
    pub(super) fn is_cross_origin(&self, request: &HttpRequest) -> bool {
        let says = [ORIGIN, FETCH_SITE_HEADER]
            .iter()
            .any(|name| request.headers().contains_key(name));
        says && !self.origins.is_same_origin(request)
    }
}

impl AppState {
    /// Checks a permission. The error is the response; the response for another creator's site is
    /// the same as for one that does not exist.
    pub(super) fn check_permission(
        &self,
        request: &HttpRequest,
        right: Permission<'_>,
    ) -> Result<(), Problem> {
        self.authorize_request(request, right).map(|_| ())
    }

    /// Like [`AppState::check_permission`], and returns the principal.
    pub(super) fn authorize_request(
        &self,
        request: &HttpRequest,
        right: Permission<'_>,
    ) -> Result<Principal, Problem> {
        let caller = self.identify_caller(request)?;
        if !self.is_csrf_safe(request, &caller) {
            return Err(bad_csrf());
        }
        match caller
            .principal
            .check_permission(right, |one, other| self.is_same_site(one, other))
        {
            Ok(()) => Ok(caller.principal),
            Err(DenialReason::Unauthenticated) => Err(Problem::authentication_required()),
            Err(DenialReason::UnknownSite) => Err(Problem::unknown_site()),
            Err(DenialReason::MissingPermission) => Err(Problem::new(ProblemCode::NotPermitted)),
        }
    }

    /// The credential for a response that outlives its request.
    pub(super) fn credential_from_request(&self, request: &HttpRequest) -> RequestCredential {
        if let Some(token) = bearer_token(request) {
            return RequestCredential::Token(Secret::new(token.to_owned()));
        }
        // Sign-outs at other collectors are known: the permission was checked before.
        let session = self.session_from_cookie(request).ok().flatten();
        session.map_or_else(
            || RequestCredential::Absent(self.principal_without_credential(request)),
            RequestCredential::Session,
        )
    }

    /// Whether a streaming response may continue. Does not count as a use of the session.
    pub(super) fn is_still_permitted(
        &self,
        shown: &RequestCredential,
        right: Permission<'_>,
    ) -> bool {
        let who = match shown {
            RequestCredential::Token(token) => self.principal_for_token(token.expose_secret()).ok(),
            RequestCredential::Session(session) => {
                let is_alive = self.auth.sessions.is_alive(session, self.clock.now())
                    && self.registry.is_signed_out(&session.digest()) == Ok(false);
                is_alive.then(|| session.principal.clone())
            }
            RequestCredential::Absent(who) => Some(who.clone()),
        };
        who.is_some_and(|who| {
            who.check_permission(right, |one, other| self.is_same_site(one, other))
                .is_ok()
        })
    }

    /// The holder of a stream, for the limits. Operators without a session are many programs, so
    /// only their networks are limited.
    pub(super) fn stream_holder(&self, shown: &RequestCredential) -> Option<StreamHolder> {
        match shown {
            RequestCredential::Session(session) => Some(StreamHolder::Session(session.digest())),
            RequestCredential::Token(token) => {
                match self.principal_for_token(token.expose_secret()) {
                    Ok(Principal::Token(token)) => Some(StreamHolder::Token(token.id.clone())),
                    _ => None,
                }
            }
            RequestCredential::Absent(_) => None,
        }
    }

    /// An entry for the audit log, at the current time.
    pub(super) fn audit_entry(
        &self,
        who: &Principal,
        act: AuditAction,
        what: impl Into<String>,
    ) -> AuditEntry {
        AuditEntry::new(self.clock.now(), who, act, what)
    }

    /// The session of a request. Marks it as used now: the response renews its cookie if that is
    /// due.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable` as long as the session may have been signed out at another collector.
    pub(super) fn find_session(&self, request: &HttpRequest) -> Result<Option<Session>, Problem> {
        let session = self.session_from_cookie(request)?;
        if let Some(session) = &session
            && let Some(renewed) = self.auth.sessions.renew(session, self.clock.now())
        {
            let value = self.auth.sessions.cookie_value(&renewed);
            request.extensions_mut().insert(RenewedCookie(value));
        }
        Ok(session)
    }

    /// The session of a request, without marking it as used. Ended, signed-out and forged ones are
    /// all the same as none.
    pub(super) fn session_from_cookie(
        &self,
        request: &HttpRequest,
    ) -> Result<Option<Session>, Problem> {
        let now = self.clock.now();
        let cookies = OriginResolver::parse_cookies(request);
        for cookie in cookies.get_all(SESSION_COOKIE) {
            if let Some(session) = self.auth.sessions.read_cookie(cookie, now)
                && !self.registry.is_signed_out(&session.digest())?
            {
                return Ok(Some(session));
            }
        }
        Ok(None)
    }

    /// The principal of a read-only request.
    pub(super) fn request_principal(&self, request: &HttpRequest) -> Result<Principal, Problem> {
        self.identify_caller(request).map(|caller| caller.principal)
    }

    /// A token takes precedence: if there is one, the session is ignored.
    fn identify_caller(&self, request: &HttpRequest) -> Result<CallerIdentity, Problem> {
        let without_session = |who| {
            Ok(CallerIdentity {
                principal: who,
                session: None,
            })
        };
        if let Some(guess) = bearer_token(request) {
            let who =
                self.with_attempt_limit(request, || match self.principal_for_token(guess)? {
                    Principal::Anonymous => Ok(None),
                    who => Ok(Some(who)),
                })?;
            return without_session(who.unwrap_or(Principal::Anonymous));
        }
        if let Some(session) = self.find_session(request)? {
            return Ok(CallerIdentity {
                principal: session.principal.clone(),
                session: Some(session),
            });
        }
        without_session(self.principal_without_credential(request))
    }

    fn principal_without_credential(&self, request: &HttpRequest) -> Principal {
        if self.auth.operator_auth.is_local_operator(request) {
            Principal::Operator
        } else {
            Principal::Anonymous
        }
    }

    /// Verifies a token, unless its network sent too many invalid ones. `None` means invalid.
    pub(super) fn with_attempt_limit<T>(
        &self,
        request: &HttpRequest,
        look: impl FnOnce() -> Result<Option<T>, Problem>,
    ) -> Result<Option<T>, Problem> {
        let (network, now) = (self.auth.network_key(request), self.clock.now());
        self.auth.token_attempts.check_attempt(network, now)?;
        let found = look()?;
        if found.is_none() {
            self.auth.token_attempts.record_failure(network, now);
        }
        Ok(found)
    }

    fn principal_for_token(&self, guess: &str) -> Result<Principal, Problem> {
        if self.auth.operator_auth.is_operator_token(guess) {
            return Ok(Principal::Operator);
        }
        if !CredentialIndex::looks_like_token(guess) {
            return Ok(Principal::Anonymous);
        }
        // Tokens are in the store. Until it was read, a token cannot be called invalid.
        let keys = self.require_access_keys()?;
        Ok(keys
            .find_token(guess, self.today_utc())
            .map_or(Principal::Anonymous, |token| {
                Principal::Token(Arc::clone(token))
            }))
    }

    /// The session that a page of the collector wants to end.
    pub(super) fn require_own_session(&self, request: &HttpRequest) -> Result<Session, Problem> {
        let caller = self.identify_caller(request)?;
        let own = self.is_csrf_safe(request, &caller);
        match caller.session {
            Some(_) if !own => Err(bad_csrf()),
            Some(session) => Ok(session),
            None => Err(Problem::authentication_required()),
        }
    }

    /// Whether a change was sent by a page of the collector. Any page can cause requests to which
    /// the browser adds cookies, and which have the rights of this machine's operator. So a change
    /// must carry the session's CSRF token and must not come from another origin.
    fn is_csrf_safe(&self, request: &HttpRequest, caller: &CallerIdentity) -> bool {
        if [Method::GET, Method::HEAD].contains(request.method()) {
            return true;
        }
        match (&caller.session, bearer_token(request)) {
            (Some(session), _) => {
                let guess = request
                    .headers()
                    .get(CSRF_HEADER)
                    .and_then(header_text)
                    .unwrap_or("");
                session.is_csrf_token(guess) && self.auth.origins.is_same_origin(request)
            }
            (None, Some(_)) => true,
            (None, None) => !self.auth.is_cross_origin(request),
        }
    }

    pub(super) fn is_same_site(&self, one: &str, other: &str) -> bool {
        self.registry.directory.resolver().is_same_site(one, other)
    }

    /// The current day in UTC, by which tokens expire.
    pub(super) fn today_utc(&self) -> jiff::civil::Date {
        self.today_in(&jiff::tz::TimeZone::UTC)
    }

    pub(super) fn today_in(&self, zone: &jiff::tz::TimeZone) -> jiff::civil::Date {
        let now = jiff::Timestamp::from_millisecond(self.clock.now()).unwrap_or_default();
        now.to_zoned(zone.clone()).date()
    }
}

pub(super) fn bad_csrf() -> Problem {
    Problem::new(ProblemCode::InvalidCsrf)
        .with_detail("send the csrf of GET /api/v1/session as X-CSRF-Token, from the same origin")
}
