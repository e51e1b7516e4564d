//! Sessions are kept by the browser, in an encrypted cookie. So they live through restarts, and are
//! valid at every collector with the same keys.
//!
//! The cookie says who signed in, how and when, when the session ends, and when it was last used. A
//! session ends when it was idle for too long, when it reaches its maximum age, by signing out, and
//! when what it was opened with is no longer configured: the password of the login, or the key of
//! the platform. It is renewed by use, so the idle time is counted from at most
//! [`MAX_RENEWAL_INTERVAL`] before the last use.

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use super::cookie_keys::{CookieKeys, MAX_CONTENT_BYTES};
use super::credentials::ShareLink;
use super::permissions::Principal;
use super::secret::constant_time_eq;
use crate::calendar::{Day, Millis, TimeSpan};
use crate::config::{AccessConfig, Config};
use crate::hex;
use crate::random::random_bytes;

const SESSION_PURPOSE: &[u8] = b"footfall session/v1";
const SHARE_PURPOSE: &[u8] = b"footfall share/v1";
const CSRF_CONTEXT: &str = "footfall 2026-11-29 csrf token of a session";
const DIGEST_CONTEXT: &str = "footfall 2026-11-29 digest of a session";
const METHOD_CONTEXT: &str = "footfall 2026-11-29 sign-in method of a session";
const ID_BYTES: usize = 16;
/// A cookie is renewed by a use this long after the last one, or sooner if sessions end sooner.
pub const MAX_RENEWAL_INTERVAL: Millis = 60_000;
/// How far the clock of the collector that made a cookie may be ahead.
const MAX_CLOCK_SKEW: Millis = 5 * 60_000;

/// The clocks of collectors may be on different days.
const DAY_OF_SKEW: TimeSpan = TimeSpan::from_secs(86_400);

/// Identifies a session without giving access to it: a hash of its random id.
pub type SessionDigest = [u8; 32];

/// How a session was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignInMethod {
    /// With the operator's password.
    Password,
    /// With a token of the platform.
    Handover,
}

/// An open session. Deliberately without `Debug`, `Display`, `Clone` and `Serialize`.
pub struct Session {
    /// Whose session it is: the operator, or a creator.
    pub principal: Principal,
    id: [u8; ID_BYTES],
    method: MethodDigest,
    began: Millis,
    last_used: Millis,
    ends: Millis,
}

type MethodDigest = [u8; 8];

/// The content of a cookie, as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionContent {
    id: String,
    /// The creator's sites; `None` for the operator.
    sites: Option<Vec<String>>,
    method: String,
    began: Millis,
    used: Millis,
    ends: Millis,
}

/// Why a session cannot be opened: the names of the creator's sites do not fit a cookie. Holds how
/// many bytes there are too many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManySites(pub usize);

/// Makes and reads the cookies of sessions and of unlocked share links.
pub struct CookieSessions {
    keys: ArcSwap<CookieKeys>,
    password: Option<MethodDigest>,
    handover: MethodDigest,
    handover_of_operator: Option<MethodDigest>,
    max_idle: TimeSpan,
    max_age: TimeSpan,
}

impl CookieSessions {
    /// Reads from the configuration when sessions end, and what they can be opened with.
    pub fn new(config: &Config, keys: CookieKeys) -> CookieSessions {
        let (access, platform) = (&config.access, &config.platform);
        let password = access.password_hash.expose_secret();
        let handover = |role: &str| {
            digest_method(&[
                "handover",
                role,
                platform.token_algorithm.name(),
                platform.token_key.expose_secret(),
                &platform.token_issuer,
                &platform.token_audience,
            ])
        };
        CookieSessions {
            keys: ArcSwap::from_pointee(keys),
            password: (!password.is_empty())
                .then(|| digest_method(&["password", &access.user, password])),
            handover: handover("creator"),
            handover_of_operator: access.handover_operator.then(|| handover("operator")),
            max_idle: TimeSpan::from_secs(access.idle_timeout_secs),
            max_age: max_session_age(access),
        }
    }

    /// Uses these keys from now on.
    pub fn replace_keys(&self, keys: CookieKeys) {
        self.keys.store(Arc::new(keys));
    }

    /// Opens a session, always under a new id.
    ///
    /// # Errors
    ///
    /// A creator has more sites than fit a cookie.
    pub fn start_session(
        &self,
        principal: Principal,
        by: SignInMethod,
        now: Millis,
    ) -> Result<Session, TooManySites> {
        let session = Session {
            method: self.method_digest(&principal, by).unwrap_or_default(),
            principal,
            id: random_bytes(),
            began: now,
            last_used: now,
            ends: now + self.max_age,
        };
        match session.to_content().len().checked_sub(MAX_CONTENT_BYTES) {
            None | Some(0) => Ok(session),
            Some(surplus) => Err(TooManySites(surplus)),
        }
    }

    /// The value of a session's cookie.
    pub fn cookie_value(&self, session: &Session) -> String {
        let keys = self.keys.load();
        keys.encrypt(SESSION_PURPOSE, &session.to_content())
    }

    /// The session of a cookie, if it has not ended. The caller must check that it was not signed
    /// out.
    pub fn read_cookie(&self, cookie: &str, now: Millis) -> Option<Session> {
        let content = self.keys.load().decrypt(SESSION_PURPOSE, cookie)?;
        let session = Session::from_content(&content)?;
        self.is_alive(&session, now).then_some(session)
    }

    /// The session with `now` as its last use, if its cookie is due to be renewed.
    pub fn renew(&self, session: &Session, now: Millis) -> Option<Session> {
        let interval = MAX_RENEWAL_INTERVAL.min(self.max_idle.as_millis() / 4);
        (session.last_used + interval <= now).then(|| Session {
            principal: session.principal.clone(),
            id: session.id,
            last_used: now,
            ..*session
        })
    }

    /// Whether a session has not ended, except by signing out.
    pub fn is_alive(&self, session: &Session, now: Millis) -> bool {
        let methods = [
            self.method_digest(&session.principal, SignInMethod::Password),
            self.method_digest(&session.principal, SignInMethod::Handover),
        ];
        methods.contains(&Some(session.method))
            && session.began.max(session.last_used) <= now + MAX_CLOCK_SKEW
            && now < session.last_used + self.max_idle
            && now < session.began + self.max_age
            && now < session.ends
    }

    /// What a principal can sign in with; `None` if it cannot.
    fn method_digest(&self, principal: &Principal, by: SignInMethod) -> Option<MethodDigest> {
        match (principal, by) {
            (Principal::Operator, SignInMethod::Password) => self.password,
            (Principal::Operator, SignInMethod::Handover) => self.handover_of_operator,
            (Principal::Creator(_), SignInMethod::Handover) => Some(self.handover),
            _ => None,
        }
    }

    /// The value of the cookie that unlocks a share link from `now` on, for as long as a session.
    pub fn unlock_value(&self, share: &ShareLink, now: Millis) -> String {
        let until = now + self.max_age;
        let keys = self.keys.load();
        keys.encrypt(&share_purpose(share), &until.to_le_bytes())
    }

    /// Whether a cookie unlocks a share link: it was made for this link and its present password.
    pub fn is_unlocked(&self, share: &ShareLink, cookie: &str, now: Millis) -> bool {
        let content = self.keys.load().decrypt(&share_purpose(share), cookie);
        let until = content.and_then(|content| Some(Millis::from_le_bytes(*content.as_array()?)));
        until.is_some_and(|until| now < until && until <= now + self.max_age + MAX_CLOCK_SKEW)
    }
}

impl Session {
    /// Identifies the session, in the list of those that were signed out and among open streams.
    pub fn digest(&self) -> SessionDigest {
        blake3::derive_key(DIGEST_CONTEXT, &self.id)
    }

    /// The last UTC day on which its cookie could be valid, with a day for clocks that differ.
    pub fn last_day(&self) -> Day {
        Day::from_utc(self.ends + DAY_OF_SKEW).unwrap_or(Day::from_number(u16::MAX))
    }

    /// The CSRF token of the session. The collector's pages send it with every change; pages of
    /// other origins cannot know it.
    pub fn csrf_token(&self) -> String {
        hex::encode_lower(&blake3::derive_key(CSRF_CONTEXT, &self.id))
    }

    /// Whether `guess` is the session's CSRF token. Compares in constant time.
    pub fn is_csrf_token(&self, guess: &str) -> bool {
        constant_time_eq(&self.csrf_token(), guess)
    }

    fn to_content(&self) -> Vec<u8> {
        let sites = match &self.principal {
            Principal::Creator(sites) => Some(sites.to_vec()),
            _ => None,
        };
        let content = SessionContent {
            id: hex::encode_lower(&self.id),
            sites,
            method: hex::encode_lower(&self.method),
            began: self.began,
            used: self.last_used,
            ends: self.ends,
        };
        serde_json::to_vec(&content).expect("a session is JSON")
    }

    fn from_content(content: &[u8]) -> Option<Session> {
        let content: SessionContent = serde_json::from_slice(content).ok()?;
        Some(Session {
            principal: match content.sites {
                Some(sites) => Principal::Creator(sites.into()),
                None => Principal::Operator,
            },
            id: hex::decode_lower(content.id.as_bytes())?,
            method: hex::decode_lower(content.method.as_bytes())?,
            began: content.began,
            last_used: content.used,
            ends: content.ends,
        })
    }
}

fn max_session_age(access: &AccessConfig) -> TimeSpan {
    TimeSpan::from_secs(access.absolute_timeout_secs)
}

/// A digest of what a session is opened with. Each part is preceded by its length, so that no two
/// different lists are the same bytes.
fn digest_method(parts: &[&str]) -> MethodDigest {
    let mut hasher = blake3::Hasher::new_derive_key(METHOD_CONTEXT);
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let hash = hasher.finalize();
    std::array::from_fn(|place| hash.as_bytes()[place])
}

/// The purpose of an unlocking cookie: one link with one password.
fn share_purpose(share: &ShareLink) -> Vec<u8> {
    let password = share.password.as_deref().unwrap_or_default();
    let password = blake3::hash(password.as_bytes());
    [SHARE_PURPOSE, password.as_bytes(), share.id.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::config::Secret;

    const IDLE: Millis = 30 * 60_000;
    const LONGEST: Millis = 12 * 3_600_000;

    fn config(change: impl FnOnce(&mut Config)) -> Config {
        let mut config =
            crate::config::load_config(Default::default(), |_| unreachable!()).unwrap();
        config.access.password_hash = Secret::new("a hash".into());
        config.platform.token_key = Secret::new("a key".into());
        config.access.handover_operator = true;
        change(&mut config);
        config
    }

    fn keys(line: &Secret) -> CookieKeys {
        CookieKeys::parse_file(line).unwrap()
    }

    fn operator(sessions: &CookieSessions, now: Millis) -> Session {
        sessions
            .start_session(Principal::Operator, SignInMethod::Password, now)
            .unwrap()
    }

    #[test]
    fn a_session_ends_when_it_is_idle_or_old() {
        let line = CookieKeys::generate_line("k1");
        let sessions = CookieSessions::new(&config(|_| {}), keys(&line));
        let cookie = sessions.cookie_value(&operator(&sessions, 0));
        let lives = |cookie: &str, now| sessions.read_cookie(cookie, now).is_some();
        assert!(lives(&cookie, IDLE - 1) && !lives(&cookie, IDLE));
        assert!(!lives(&cookie, -MAX_CLOCK_SKEW - 1), "of a clock far ahead");
        assert!(lives(&cookie, -MAX_CLOCK_SKEW));

        // Used every half minute, it is renewed every minute, and ends at its maximum age.
        let (mut kept, mut renewals) = (cookie, 0);
        for now in (0..LONGEST).step_by(30_000) {
            let session = sessions.read_cookie(&kept, now).unwrap();
            if let Some(renewed) = sessions.renew(&session, now) {
                assert_eq!(renewed.digest(), session.digest());
                kept = sessions.cookie_value(&renewed);
                renewals += 1;
            }
        }
        assert_eq!(renewals, LONGEST / 60_000 - 1);
        assert!(!lives(&kept, LONGEST));

        // A longer maximum age does not bring back a session that has ended.
        let longer = config(|config| config.access.absolute_timeout_secs = 604_800);
        let longer = CookieSessions::new(&longer, keys(&line));
        assert!(longer.read_cookie(&kept, LONGEST).is_none());
    }

    #[test]
    fn a_session_ends_with_what_it_was_opened_with() {
        let line = CookieKeys::generate_line("k1");
        let before = CookieSessions::new(&config(|_| {}), keys(&line));
        let open = |principal, by| {
            let session = before.start_session(principal, by, 0).unwrap();
            before.cookie_value(&session)
        };
        let cookies = [
            open(Principal::Operator, SignInMethod::Password),
            open(Principal::Operator, SignInMethod::Handover),
            open(
                Principal::Creator(["mia".to_owned()].into()),
                SignInMethod::Handover,
            ),
        ];
        let alive_after = |change: fn(&mut Config)| {
            let after = CookieSessions::new(&config(change), keys(&line));
            cookies
                .each_ref()
                .map(|cookie| after.read_cookie(cookie, 1).is_some())
        };
        assert_eq!(alive_after(|_| {}), [true; 3]);
        let other_password = |config: &mut Config| {
            config.access.password_hash = Secret::new("another hash".into());
        };
        assert_eq!(alive_after(other_password), [false, true, true]);
        let no_password = |config: &mut Config| {
            config.access.password_hash = Secret::new(String::new());
        };
        assert_eq!(alive_after(no_password), [false, true, true]);
        let other_key = |config: &mut Config| {
            config.platform.token_key = Secret::new("another key".into());
        };
        assert_eq!(alive_after(other_key), [true, false, false]);
        let no_operator = |config: &mut Config| config.access.handover_operator = false;
        assert_eq!(alive_after(no_operator), [true, false, true]);
    }

    #[test]
    fn each_session_has_a_csrf_token_of_its_own_that_stays_when_keys_change() {
        let (first, second) = (
            CookieKeys::generate_line("k1"),
            CookieKeys::generate_line("k2"),
        );
        let sessions = CookieSessions::new(&config(|_| {}), keys(&first));
        let (one, two) = (operator(&sessions, 0), operator(&sessions, 0));
        assert!(one.is_csrf_token(&one.csrf_token()));
        assert!(!one.is_csrf_token(&two.csrf_token()) && !one.is_csrf_token(""));
        assert_ne!(hex::encode_lower(&one.digest()), one.csrf_token());

        let cookie = sessions.cookie_value(&one);
        let both = [second.expose_secret(), first.expose_secret()].concat();
        sessions.replace_keys(keys(&Secret::new(both)));
        let read = sessions.read_cookie(&cookie, 1).unwrap();
        assert_eq!(read.csrf_token(), one.csrf_token());
    }

    #[test]
    fn a_creator_with_more_sites_than_fit_a_cookie_gets_no_session() {
        let line = CookieKeys::generate_line("k1");
        let sessions = CookieSessions::new(&config(|_| {}), keys(&line));
        let start = |count: usize| {
            let names: Vec<String> = (0..count).map(|n| format!("{n:064}")).collect();
            sessions.start_session(
                Principal::Creator(names.into()),
                SignInMethod::Handover,
                1_800_000_000_000,
            )
        };
        let most = (1..).take_while(|count| start(*count).is_ok()).count();
        assert!(most >= 38, "{most}");
        assert!(start(most).is_ok_and(|it| sessions.cookie_value(&it).len() <= 3800));
    }

    #[test]
    fn an_unlocked_link_is_that_link_with_that_password_until_its_time_is_over() {
        let line = CookieKeys::generate_line("k1");
        let sessions = CookieSessions::new(&config(|_| {}), keys(&line));
        let share = |id: &str, password: &str| ShareLink {
            id: id.into(),
            name: String::new(),
            site: "mia".into(),
            from: date(2026, 3, 1),
            to: date(2026, 3, 2),
            expires: None,
            password: Some(password.into()),
            created: date(2026, 3, 3),
            revoked: false,
        };
        let cookie = sessions.unlock_value(&share("1", "hash"), 0);
        assert!(sessions.is_unlocked(&share("1", "hash"), &cookie, LONGEST - 1));
        assert!(!sessions.is_unlocked(&share("1", "hash"), &cookie, LONGEST));
        assert!(!sessions.is_unlocked(&share("2", "hash"), &cookie, 0));
        assert!(!sessions.is_unlocked(&share("1", "hash of another"), &cookie, 0));
        assert!(sessions.read_cookie(&cookie, 0).is_none());
        let session = sessions.cookie_value(&operator(&sessions, 0));
        assert!(!sessions.is_unlocked(&share("1", "hash"), &session, 0));
    }
}
