//! What comes off the wire, before anybody was asked.
//!
//! Nothing in this file has `Debug`, `Clone`, `Display` or `Serialize`: a log line, an error or a file cannot take what does
//! not print. The raw address and agent leave their wrappers through `expose`, and `tests/it/layers.rs` holds the list of the
//! places that may call it.

use std::borrow::Cow;
use std::net::IpAddr;

use super::{Bucket, Cookies, FaultKind, Metric, Millis};

/// The address a hit came from.
pub struct Address(IpAddr);

impl Address {
    pub fn new(address: IpAddr) -> Address {
        Address(address.to_canonical())
    }

    /// The whole address. For the visitor's keyed hash and the truncation below, nowhere else.
    pub fn expose(&self) -> IpAddr {
        self.0
    }

    /// The /24 or /48 the address lies in: enough for a rate limit and a country.
    pub fn network(&self) -> IpAddr {
        match self.0 {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                IpAddr::from([a, b, c, 0])
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                IpAddr::from([a, b, c, 0, 0, 0, 0, 0])
            }
        }
    }
}

/// The `User-Agent` a hit came with; empty where none was sent.
pub struct Agent<'a>(&'a str);

impl<'a> Agent<'a> {
    pub fn new(agent: &'a str) -> Agent<'a> {
        Agent(agent)
    }

    /// The whole string. For the visitor's keyed hash and for classification, nowhere else.
    pub fn expose(&self) -> &'a str {
        self.0
    }
}

/// What the browser said about being counted, already read by the rules of the two standards.
#[derive(Default)]
pub struct Signals {
    /// An exact `Sec-GPC: 1` among the fields, or among several in one.
    pub gpc: bool,
    /// A `DNT` whose first character is 1.
    pub dnt: bool,
    /// Fetched before anybody asked to see it (`Sec-Purpose`, `Purpose`, `X-Purpose`, `X-Moz`).
    pub prefetch: bool,
}

impl Signals {
    /// A `Sec-GPC` field: an exact 1, and nothing else.
    pub fn is_gpc(field: &[u8]) -> bool {
        field.trim_ascii() == b"1"
    }

    /// A `DNT` field. The first character decides: `1xyz` is a 1 with an extension.
    pub fn is_dnt(field: &[u8]) -> bool {
        field.trim_ascii_start().first() == Some(&b'1')
    }
}

/// Who sent a beacon: everything personal about a request, in one place, for as long as the request lasts.
pub struct Caller<'a> {
    pub at: Millis,
    pub address: Address,
    pub agent: Agent<'a>,
    /// The low-entropy client hints (`Sec-CH-UA`, `-Mobile`, `-Platform`), as sent.
    pub hints: Hints<'a>,
    pub language: Option<&'a str>,
    /// Only the consent stage reads them.
    pub cookies: &'a Cookies<'a>,
    pub signals: Signals,
    pub known_bot: bool,
}

#[derive(Default)]
pub struct Hints<'a> {
    pub brands: Option<&'a str>,
    pub mobile: Option<&'a str>,
    pub platform: Option<&'a str>,
}

/// What a beacon says happened. `Leave` counts nothing as a hit: it brings the engaged time of the page that is being left. `Vital` and
/// `Fault` are about the page and about nobody: they belong to no visit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    View,
    Click,
    Event,
    Leave,
    Vital,
    Fault,
}

/// What some kinds bring besides. Already cleaned: nothing in it is as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Detail {
    Nothing,
    /// Of an event: an amount in minor units and its currency.
    Money(u64, [u8; 3]),
    /// Of an event: an amount over its site's bound, in this currency. How much it was is not kept.
    Over([u8; 3]),
    Vital(Metric, Bucket),
    /// What kind, and which one of it.
    Fault(FaultKind, Box<str>),
}

/// One hit of a beacon's body, its text still borrowed from the wire.
pub struct Payload<'a> {
    pub kind: Kind,
    pub url: Cow<'a, str>,
    pub referrer: Cow<'a, str>,
    /// The link's id or target, or the event's name.
    pub name: Cow<'a, str>,
    pub detail: Detail,
    /// The random id that makes a retry count once.
    pub id: Option<u128>,
    /// Milliseconds the page held the visitor's attention, or that passed until the click.
    pub engaged_ms: u32,
    /// An event the visitor did nothing for: it does not end a bounce.
    pub passive: bool,
    pub webdriver: bool,
}

impl<'a> Payload<'a> {
    /// With nothing but its page.
    pub fn new(kind: Kind, url: impl Into<Cow<'a, str>>) -> Payload<'a> {
        Payload {
            kind,
            url: url.into(),
            referrer: Cow::Borrowed(""),
            name: Cow::Borrowed(""),
            detail: Detail::Nothing,
            id: None,
            engaged_ms: 0,
            passive: false,
            webdriver: false,
        }
    }

    /// The same, holding its own text.
    pub fn into_owned(self) -> Payload<'static> {
        Payload {
            kind: self.kind,
            url: Cow::Owned(self.url.into_owned()),
            referrer: Cow::Owned(self.referrer.into_owned()),
            name: Cow::Owned(self.name.into_owned()),
            detail: self.detail,
            id: self.id,
            engaged_ms: self.engaged_ms,
            passive: self.passive,
            webdriver: self.webdriver,
        }
    }
}

/// What makes it lawful to count a hit, as far as its person did not object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ground {
    /// What the person was asked, by `consent.basis`.
    Asked,
    /// A stored grant, whatever `consent.basis` is.
    ConsentCookie,
    /// The operator's word that the site asked in its own way. A stored refusal wins over it.
    Declared,
}

/// One hit as it came in: a payload and the caller that sent it.
pub struct RawHit<'a> {
    pub caller: &'a Caller<'a>,
    pub payload: Payload<'a>,
    /// `None` where it is nobody's page, or the request does not come from it.
    pub site: Option<crate::config::Site<'a>>,
    pub ground: Ground,
    /// Over the rate of its network or its site.
    pub over_rate: bool,
}
