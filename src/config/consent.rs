//! `[signals]`, `[consent]`, `[visitor]`, `[policy]`, `[well_known]` and `[[register]]`: the
//! consent prompt, what may be counted with which choice, and what is published about it.

use garde::Validate;
use serde::{Deserialize, Serialize};

string_enum! {
    /// Effect of a browser's privacy signal on a hit.
    pub enum SignalEffect {
        Deny = "deny",
        Ignore = "ignore",
    }
}

/// `[signals]`: effects of the browser's privacy signals.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct SignalsConfig {
    /// Effect of Global Privacy Control (`Sec-GPC: 1`).
    #[garde(skip)]
    pub gpc: SignalEffect,
    /// Effect of Do Not Track (`DNT: 1`).
    #[garde(skip)]
    pub dnt: SignalEffect,
}

string_enum! {
    /// The legal basis of counting.
    pub enum ConsentBasis {
        /// Only with a stored grant.
        OptIn = "opt_in",
        /// Unless an objection is stored. Only lawful within limits, which `check-config` enforces.
        ExemptOptOut = "exempt_opt_out",
    }
}

string_enum! {
    /// Form of the consent prompt.
    pub enum PromptStyle {
        /// Accept, reject, or choose tier by tier.
        Granular = "granular",
        /// Accept or decline all optional tiers together.
        AcceptDecline = "accept_decline",
    }
}

string_enum! {
    /// Which visitors see the prompt again after a new version.
    pub enum RepromptScope {
        AllVisitors = "always",
        /// Only visitors who chose before a purpose or a provider was added; account holders are
        /// notified.
        PurposesAdded = "if_extended",
    }
}

string_enum! {
    /// Channels by which the platform notifies its account holders of a new version.
    pub enum NoticeChannel {
        DashboardBanner = "dashboard_banner",
        SecurityBanner = "security_banner",
        Platform = "platform",
        Email = "email",
    }
}

/// `[consent]`: the consent prompt.
#[derive(Deserialize, Serialize, Validate, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct ConsentConfig {
    /// Legal basis of counting.
    #[garde(skip)]
    pub basis: ConsentBasis,
    /// Version of the prompt, bound to the register: see `consent::versions`.
    #[garde(range(min = 1))]
    pub version: u32,
    /// The name under which choices are recorded: the platform's, never a profile's.
    #[garde(custom(validate_word))]
    pub site: String,
    /// Form of the prompt.
    #[garde(skip)]
    pub ui: PromptStyle,
    /// In the order of display; the first tier cannot be refused.
    #[garde(length(min = 2, max = 8), inner(custom(validate_word)))]
    pub tiers: Vec<String>,
    /// Tiers without effect today: shown and recorded only.
    #[garde(skip)]
    pub inert: Vec<String>,
    /// The tier that counting requires.
    #[garde(skip)]
    pub analytics_tier: String,
    /// Which visitors see the prompt again after a new version.
    #[garde(skip)]
    pub reprompt: RepromptScope,
    /// Channels that notify of a new version.
    #[garde(skip)]
    pub notices: Vec<NoticeChannel>,
    /// Folder of texts that replace or extend the built-in languages; empty for none.
    #[garde(skip)]
    pub texts_dir: String,
    /// File of the keys that sign grants, made at the first start if missing; empty for
    /// `consent.keys` in the ledger's folder.
    #[garde(skip)]
    pub key_file: String,
    /// The cookie that stores the choice.
    #[garde(dive)]
    pub cookie: ConsentCookieConfig,
}

/// `[consent.cookie]`: the cookie that stores a visitor's choice.
#[derive(Deserialize, Serialize, Validate, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct ConsentCookieConfig {
    /// Name of the cookie.
    #[garde(custom(validate_cookie_name))]
    pub name: String,
    /// Its lifetime in seconds.
    #[garde(range(min = 86_400, max = 34_128_000))]
    pub max_age_secs: u64,
}

string_enum! {
    /// How visitors are recognised.
    pub enum VisitorMode {
        /// A keyed hash of site, address and agent, in memory, under a key that is wiped with the
        /// day.
        KeyedHash = "keyed_hash",
        /// A cookie with the same value for all; a visitor without it is new.
        FlagCookie = "flag_cookie",
        /// Visitors are not recognised: page views, clicks and events only.
        None = "none",
    }
}

/// `[visitor]`: how visitors and visits are recognised.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct VisitorConfig {
    /// How visitors are recognised.
    #[garde(skip)]
    pub mode: VisitorMode,
    /// A visit ends after this many seconds without a hit.
    #[garde(range(min = 60, max = 86_400))]
    pub visit_gap_secs: u32,
    /// The cookie of mode `flag_cookie`.
    #[garde(dive)]
    pub cookie: VisitorCookieConfig,
}

/// `[visitor.cookie]`: the visit cookie.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct VisitorCookieConfig {
    /// Name of the cookie. Its value is always `1`, and its lifetime is not extended.
    #[garde(custom(validate_cookie_name))]
    pub name: String,
    /// Its lifetime in seconds.
    #[garde(range(min = 60, max = 34_128_000))]
    pub max_age_secs: u64,
}

/// `[policy]`: the published policy that the prompt refers to.
#[derive(Deserialize, Serialize, Validate, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// A path or URL, linked from the banner; empty for no link.
    #[garde(custom(validate_policy_url))]
    pub url: String,
    /// Day from which the policy applies.
    #[garde(skip)]
    pub effective_date: jiff::civil::Date,
    /// File of the policy's text, whose digest each record of the ledger holds; empty for none.
    #[garde(skip)]
    pub file: String,
}

/// `[[register]]`: something the platform stores in or reads from a browser. The collector adds its
/// own two cookies.
#[derive(Deserialize, Serialize, Validate, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[serde(deny_unknown_fields)]
pub struct RegisterRule {
    /// Tier that it requires.
    #[garde(length(min = 1, max = 128))]
    pub tier: String,
    /// Name of the cookie or storage entry.
    #[garde(length(min = 1, max = 128))]
    pub name: String,
    /// Who receives it.
    #[garde(length(min = 1, max = 128))]
    pub provider: String,
    /// What it is used for.
    #[garde(length(min = 1, max = 256))]
    pub purpose: String,
    /// Lifetime in seconds; 0 until the browser's session ends.
    #[garde(range(max = 157_680_000))]
    pub life_secs: u64,
}

/// `[well_known]`: what is published about privacy signals.
#[derive(Deserialize, Serialize, Validate, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct WellKnownConfig {
    /// Serves `/.well-known/gpc.json`, which states that Global Privacy Control is honoured.
    #[garde(skip)]
    pub gpc: bool,
    /// Serves `/.well-known/dnt/`, the tracking status of the Tracking Preference Expression.
    #[garde(skip)]
    pub dnt: bool,
    /// Sends the `Tk` header with responses about consent.
    #[garde(skip)]
    pub tk: bool,
}

fn validate_policy_url(value: &str, _: &()) -> garde::Result {
    let absolute =
        || url::Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    let ok = value.is_empty() || (value.starts_with('/') && !value.starts_with("//")) || absolute();
    if ok {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be empty, a path such as /cookies, or an http(s) URL",
        ))
    }
}

fn validate_word(value: &str, _: &()) -> garde::Result {
    let ok = (1..=64).contains(&value.len())
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if ok {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be 1 to 64 of letters, digits, _ and -",
        ))
    }
}

fn validate_cookie_name(value: &str, _: &()) -> garde::Result {
    let ok = !value.is_empty()
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if ok {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be a cookie name: letters, digits, _ and -",
        ))
    }
}
