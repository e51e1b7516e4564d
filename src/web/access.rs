//! Authenticates requests and checks permissions. All handlers do so here, and nowhere else.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{HeaderName, ORIGIN};

use super::Site;
use super::passwords::Passwords;
use super::streams::Holder;
use crate::access::{Act, Denied, Entry, Keys, Login, Seal, SessionId, Sessions, Spent, Who};
use crate::config::{Config, Proxies, Secret};
use crate::event::{Millis, Problem};
use crate::http::{Guard, Guesses, Origins, Rates, Tokens, bearer, text};

pub use crate::access::Right;

/// `__Host-`: the browser sends it to this host only, over TLS (or on this machine), whatever
/// neighbouring hosts set.
pub(super) const COOKIE: &str = "__Host-footfall";
const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Handover tokens of the last five minutes that are remembered as used.
const MOST_SPENT: usize = 1_000_000;

/// The state of authentication: sessions, logins, tokens, and limits of attempts.
pub struct Access {
    guard: Guard,
    pub(super) origins: Origins,
    pub(super) rates: Arc<Rates>,
    pub(super) guesses: Guesses,
    pub(super) sessions: Sessions,
    pub(super) passwords: Passwords,
    pub(super) login: Option<Arc<Login>>,
    pub(super) tokens: Tokens,
    pub(super) spent: Spent,
    pub(super) handover_operator: bool,
    pub(super) share_k: u32,
    pub(super) seal: Seal,
    pub(super) unlocked_millis: Millis,
}

/// A principal, and the session of the request, if any.
struct Caller {
    who: Who,
    session: Option<SessionId>,
}

/// The proof that a request carried. Outlives the request.
pub(super) enum Shown {
    Token(Secret),
    Session(SessionId),
    /// No proof: the operator, if the request comes from this machine and that is enough; otherwise
    /// nothing is permitted.
    Nothing(Who),
}

impl Access {
    /// Reads keys and limits from the configuration.
    ///
    /// # Errors
    ///
    /// `platform.token_key` is not a key of `platform.token_algorithm`.
    pub fn new(config: &Config, rates: Arc<Rates>) -> Result<Access, jsonwebtoken::errors::Error> {
        let access = &config.access;
        let millis = |secs: u32| Millis::from(secs) * 1000;
        Ok(Access {
            guard: Guard::new(config),
            origins: Origins::new(Proxies::new(&config.proxy.trusted)),
            rates,
            guesses: Guesses::new(&config.limits),
            sessions: Sessions::new(millis(access.idle_secs), millis(access.longest_secs), access.sessions),
            passwords: Passwords::default(),
            login: Login::new(access).map(Arc::new),
            tokens: Tokens::new(&config.platform)?,
            spent: Spent::new(MOST_SPENT),
            handover_operator: access.handover_operator,
            share_k: config.report.share_k.max(config.report.k),
            seal: Seal::default(),
            unlocked_millis: millis(access.longest_secs),
        })
    }

    /// Drops sessions that are over.
    pub fn tidy(&self, now: Millis) {
        self.sessions.tidy(now);
    }

    pub(super) fn session_of(request: &HttpRequest) -> Option<SessionId> {
        Origins::cookies(request).named(COOKIE).find_map(SessionId::read)
    }

    /// Key of the request's network in the rate limits.
    pub(super) fn network(&self, request: &HttpRequest) -> u64 {
        self.rates.network(&self.origins.address(request))
    }

    /// Whether another page made the browser send this change. Browsers say where a request comes
    /// from; programs without cookies need not.
    pub(super) fn comes_from_elsewhere(&self, request: &HttpRequest) -> bool {
        let says = [ORIGIN, FETCH_SITE].iter().any(|name| request.headers().contains_key(name));
        says && !self.origins.same(request)
    }
}

impl Site {
    /// Checks a permission. An error is the answer; another's site is answered like one that does
    /// not exist.
    pub(super) fn allow(&self, request: &HttpRequest, right: Right<'_>) -> Result<(), Problem> {
        self.permit(request, right).map(|_| ())
    }

    /// Like [`Site::allow`], and returns the principal.
    pub(super) fn permit(&self, request: &HttpRequest, right: Right<'_>) -> Result<Who, Problem> {
        let caller = self.caller(request)?;
        if !self.is_own_change(request, &caller) {
            return Err(bad_csrf());
        }
        match caller.who.may(right, |one, other| self.is_same_site(one, other)) {
            Ok(()) => Ok(caller.who),
            Err(Denied::Nobody) => Err(Problem::not_allowed()),
            Err(Denied::UnknownSite) => Err(Problem::unknown_site()),
            Err(Denied::Missing) => Err(Problem::missing_right()),
        }
    }

    /// The proof for an answer that outlives its request.
    pub(super) fn shown_by(&self, request: &HttpRequest) -> Shown {
        if let Some(token) = bearer(request) {
            return Shown::Token(Secret::new(token.to_owned()));
        }
        let session =
            Access::session_of(request).filter(|id| self.access.sessions.look(id, self.clock.now()).is_some());
        session.map_or_else(|| Shown::Nothing(self.without_proof(request)), Shown::Session)
    }

    /// Whether a streaming response may continue. Does not count as a use of the session.
    pub(super) fn may_still(&self, shown: &Shown, right: Right<'_>) -> bool {
        let who = match shown {
            Shown::Token(token) => self.holder(token.expose()).ok(),
            Shown::Session(id) => self.access.sessions.look(id, self.clock.now()),
            Shown::Nothing(who) => Some(who.clone()),
        };
        who.is_some_and(|who| who.may(right, |one, other| self.is_same_site(one, other)).is_ok())
    }

    /// The holder that a stream counts for. Operators without a session are many programs, so only
    /// their networks are limited.
    pub(super) fn holder_of(&self, shown: &Shown) -> Option<Holder> {
        match shown {
            Shown::Session(id) => Some(Holder::Session(self.access.sessions.key_of(id))),
            Shown::Token(token) => match self.holder(token.expose()) {
                Ok(Who::Token(token)) => Some(Holder::Token(token.id.clone())),
                _ => None,
            },
            Shown::Nothing(_) => None,
        }
    }

    /// An entry for the audit log, at the current time.
    pub(super) fn entry(&self, who: &Who, act: Act, what: impl Into<String>) -> Entry {
        Entry::new(self.clock.now(), who, act, what)
    }

    /// The session of a request, and its principal.
    pub(super) fn session(&self, request: &HttpRequest) -> Option<(SessionId, Who)> {
        let id = Access::session_of(request)?;
        let who = self.access.sessions.find(&id, self.clock.now())?;
        Some((id, who))
    }

    /// The principal of a read-only request.
    pub(super) fn who(&self, request: &HttpRequest) -> Result<Who, Problem> {
        self.caller(request).map(|caller| caller.who)
    }

    /// A token takes precedence: with one, the session is ignored.
    fn caller(&self, request: &HttpRequest) -> Result<Caller, Problem> {
        let without_session = |who| Ok(Caller { who, session: None });
        if let Some(guess) = bearer(request) {
            let who = self.try_token(request, || match self.holder(guess)? {
                Who::Nobody => Ok(None),
                who => Ok(Some(who)),
            })?;
            return without_session(who.unwrap_or(Who::Nobody));
        }
        if let Some((id, who)) = self.session(request) {
            return Ok(Caller { who, session: Some(id) });
        }
        without_session(self.without_proof(request))
    }

    fn without_proof(&self, request: &HttpRequest) -> Who {
        if self.access.guard.is_local_operator(request) { Who::Operator } else { Who::Nobody }
    }

    /// Verifies a token, unless its network sent too many invalid ones. `None` is an invalid one.
    pub(super) fn try_token<T>(
        &self,
        request: &HttpRequest,
        look: impl FnOnce() -> Result<Option<T>, Problem>,
    ) -> Result<Option<T>, Problem> {
        let (network, now) = (self.access.network(request), self.clock.now());
        self.access.guesses.may_try(network, now)?;
        let found = look()?;
        if found.is_none() {
            self.access.guesses.was_wrong(network, now);
        }
        Ok(found)
    }

    fn holder(&self, guess: &str) -> Result<Who, Problem> {
        if self.access.guard.is_token(guess) {
            return Ok(Who::Operator);
        }
        if !Keys::looks_like_token(guess) {
            return Ok(Who::Nobody);
        }
        // Tokens are in the store. Before it was read, no token can be called invalid.
        let keys = self.registry.keys().ok_or_else(Problem::store_unavailable)?;
        Ok(keys.token(guess, self.today()).map_or(Who::Nobody, |token| Who::Token(Arc::clone(token))))
    }

    /// The session that a page of ours asks to end.
    pub(super) fn own_session(&self, request: &HttpRequest) -> Result<(SessionId, Who), Problem> {
        let caller = self.caller(request)?;
        let own = self.is_own_change(request, &caller);
        match caller.session {
            Some(_) if !own => Err(bad_csrf()),
            Some(id) => Ok((id, caller.who)),
            None => Err(Problem::not_allowed()),
        }
    }

    /// Whether a change was sent by a page of ours. Browsers attach cookies, and have the rights of
    /// this machine's operator, in requests that any page can cause. So a change must carry the
    /// session's CSRF token and must not come from another origin.
    fn is_own_change(&self, request: &HttpRequest, caller: &Caller) -> bool {
        if [Method::GET, Method::HEAD].contains(request.method()) {
            return true;
        }
        match (&caller.session, bearer(request)) {
            (Some(id), _) => {
                let guess = request.headers().get(CSRF).and_then(text).unwrap_or("");
                self.access.sessions.csrf_fits(id, guess) && self.access.origins.same(request)
            }
            (None, Some(_)) => true,
            (None, None) => !self.access.comes_from_elsewhere(request),
        }
    }

    pub(super) fn is_same_site(&self, one: &str, other: &str) -> bool {
        self.registry.directory.hosts().is_same_site(one, other)
    }

    /// The current day in UTC, in which tokens expire.
    pub(super) fn today(&self) -> jiff::civil::Date {
        self.today_in(&jiff::tz::TimeZone::UTC)
    }

    pub(super) fn today_in(&self, zone: &jiff::tz::TimeZone) -> jiff::civil::Date {
        let now = jiff::Timestamp::from_millisecond(self.clock.now()).unwrap_or_default();
        now.to_zoned(zone.clone()).date()
    }
}

pub(super) fn bad_csrf() -> Problem {
    Problem::new(403, "bad_csrf", "This change does not come from a page of ours")
        .detail("send the csrf of GET /api/v1/session as X-CSRF-Token, from the same origin")
}
