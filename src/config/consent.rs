use garde::Validate;
use serde::{Deserialize, Serialize};

words! {
    /// What a signal of the browser does to a hit.
    pub enum OnSignal {
        Deny = "deny",
        Ignore = "ignore",
    }
}

#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Signals {
    #[garde(skip)]
    pub gpc: OnSignal,
    #[garde(skip)]
    pub dnt: OnSignal,
}

words! {
    /// Why a hit may be counted at all.
    pub enum Basis {
        /// Only with a stored grant.
        OptIn = "opt_in",
        /// Unless an objection is stored; only lawful within the limits `check-config` enforces.
        ExemptOptOut = "exempt_opt_out",
    }
}

#[derive(Deserialize, Serialize, Validate, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    #[garde(skip)]
    pub basis: Basis,
    /// The version a grant must have been given at.
    #[garde(range(min = 1))]
    pub version: u32,
    /// In the order they are shown; the first is the one nobody can refuse.
    #[garde(length(min = 1, max = 8))]
    pub tiers: Vec<String>,
    /// The tier counting needs.
    #[garde(skip)]
    pub analytics_tier: String,
    #[garde(dive)]
    pub cookie: ConsentCookie,
}

#[derive(Deserialize, Serialize, Validate, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct ConsentCookie {
    #[garde(custom(cookie_name))]
    pub name: String,
    #[garde(range(min = 86_400, max = 34_128_000))]
    pub max_age_secs: u64,
}

words! {
    /// How one visitor is told from another.
    pub enum VisitorMode {
        /// A keyed hash of site, address and agent, in memory, under a key that dies with the day.
        KeyedHash = "keyed_hash",
        /// A cookie that is the same for everybody; whoever comes without it is new.
        FlagCookie = "flag_cookie",
        /// Nobody is told from anybody: page views, clicks and events only.
        None = "none",
    }
}

#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Visitor {
    #[garde(skip)]
    pub mode: VisitorMode,
    /// A visit ends after this long without a hit.
    #[garde(range(min = 60, max = 86_400))]
    pub visit_gap_secs: u32,
    #[garde(dive)]
    pub cookie: VisitorCookie,
}

#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct VisitorCookie {
    /// Of `flag_cookie`; its value is `1` for everybody and its life is never extended.
    #[garde(custom(cookie_name))]
    pub name: String,
    #[garde(range(min = 60, max = 34_128_000))]
    pub max_age_secs: u64,
}

fn cookie_name(value: &str, _: &()) -> garde::Result {
    let ok = !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if ok { Ok(()) } else { Err(garde::Error::new("must be a cookie name: letters, digits, _ and -")) }
}
