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

words! {
    /// How the question is put.
    pub enum Ui {
        /// Accept, reject, or choose tier by tier.
        Granular = "granular",
        /// Accept all or decline: the optional tiers go together.
        AcceptDecline = "accept_decline",
    }
}

words! {
    /// Who is asked again at a new version.
    pub enum OnVersion {
        Everybody = "ask_all",
        /// Whoever was asked before a purpose or a recipient was added; account holders are told.
        WhereGrown = "ask_grown",
    }
}

words! {
    /// Where the platform tells its account holders of a new version.
    pub enum Channel {
        DashboardBanner = "dashboard_banner",
        SecurityBanner = "security_banner",
        Platform = "platform",
        Email = "email",
    }
}

#[derive(Deserialize, Serialize, Validate, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    #[garde(skip)]
    pub basis: Basis,
    /// The version of the question. Bound to the register: see `consent::versions`.
    #[garde(range(min = 1))]
    pub version: u32,
    /// The name acts are recorded under: the platform's, never a profile's.
    #[garde(custom(word))]
    pub site: String,
    #[garde(skip)]
    pub ui: Ui,
    /// In the order they are shown; the first is the one nobody can refuse.
    #[garde(length(min = 2, max = 8), inner(custom(word)))]
    pub tiers: Vec<String>,
    /// Tiers nothing depends on today.
    #[garde(skip)]
    pub inert: Vec<String>,
    /// The tier counting needs.
    #[garde(skip)]
    pub analytics_tier: String,
    #[garde(skip)]
    pub on_version: OnVersion,
    #[garde(skip)]
    pub notices: Vec<Channel>,
    /// A folder of texts that replace or add to the built-in languages; empty for none.
    #[garde(skip)]
    pub texts_dir: String,
    /// The keys that sign grants; empty for `consent.keys` in the ledger's folder. Made at the first start where it is not there.
    #[garde(skip)]
    pub key_file: String,
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

/// The published policy the question belongs to.
#[derive(Deserialize, Serialize, Validate, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Linked from the banner; empty for no link.
    #[garde(custom(policy_url))]
    pub url: String,
    #[garde(skip)]
    pub effective_date: jiff::civil::Date,
    /// The policy's text, so that each record can hold its digest; empty for none.
    #[garde(skip)]
    pub file: String,
}

/// Something the platform stores in or reads from a browser, beside the two cookies of the collector, which it adds itself.
#[derive(Deserialize, Serialize, Validate, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[serde(deny_unknown_fields)]
pub struct RegisterRule {
    #[garde(length(min = 1, max = 128))]
    pub tier: String,
    #[garde(length(min = 1, max = 128))]
    pub name: String,
    #[garde(length(min = 1, max = 128))]
    pub provider: String,
    #[garde(length(min = 1, max = 256))]
    pub purpose: String,
    /// Zero for what ends with the browser's session.
    #[garde(range(max = 157_680_000))]
    pub life_secs: u64,
}

#[derive(Deserialize, Serialize, Validate, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct WellKnown {
    /// `/.well-known/gpc.json`: that Global Privacy Control is honoured.
    #[garde(skip)]
    pub gpc: bool,
    /// `/.well-known/dnt/`: the tracking status of the Tracking Preference Expression.
    #[garde(skip)]
    pub dnt: bool,
    /// The `Tk` header on what this collector answers about consent.
    #[garde(skip)]
    pub tk: bool,
}

fn policy_url(value: &str, _: &()) -> garde::Result {
    let absolute = || url::Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    let ok = value.is_empty() || (value.starts_with('/') && !value.starts_with("//")) || absolute();
    if ok { Ok(()) } else { Err(garde::Error::new("must be empty, a path such as /cookies, or an http(s) URL")) }
}

fn word(value: &str, _: &()) -> garde::Result {
    let ok =
        (1..=64).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if ok { Ok(()) } else { Err(garde::Error::new("must be 1 to 64 of letters, digits, _ and -")) }
}

fn cookie_name(value: &str, _: &()) -> garde::Result {
    let ok = !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if ok { Ok(()) } else { Err(garde::Error::new("must be a cookie name: letters, digits, _ and -")) }
}
