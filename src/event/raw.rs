//! Hits as received, before the consent stage has decided about them.
//!
//! Nothing in this file has `Debug`, `Clone`, `Display` or `Serialize`, with the exception of
//! closed sets, so that no personal value can reach a log line, an error or a file. The raw address
//! and user agent leave their wrappers through `expose` only, and `tests/it/layers.rs` lists the
//! places that may call it.

use std::borrow::Cow;
use std::net::IpAddr;

use super::{CurrencyCode, FaultKind, Money, RequestCookies, VitalBucket, WebVital};
use crate::calendar::Millis;

/// The client's IP address.
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// IPv4-mapped IPv6 addresses are converted to IPv4, so that one client has one address.
    pub fn new(address: IpAddr) -> ClientAddress {
        ClientAddress(address.to_canonical())
    }

    /// The whole address. Only for the visitor's keyed hash and for [`ClientAddress::network`].
    pub fn expose(&self) -> IpAddr {
        self.0
    }

    /// The /24 (IPv4) or /48 (IPv6) network of the address. Precise enough for rate limits and the
    /// country.
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

/// The `User-Agent` field; empty if none was sent.
pub struct UserAgent<'a>(&'a str);

impl<'a> UserAgent<'a> {
    /// `agent` is the field's value as sent.
    pub fn new(agent: &'a str) -> UserAgent<'a> {
        UserAgent(agent)
    }

    /// The whole string. Only for the visitor's keyed hash and for classification.
    pub fn expose(&self) -> &'a str {
        self.0
    }
}

/// The opt-out and prefetch signals of a request, parsed by the rules of their standards.
#[derive(Default)]
pub struct RequestSignals {
    /// `Sec-GPC: 1`, in one of the fields or in one element of a list.
    pub gpc: bool,
    /// `DNT` whose first character is 1.
    pub dnt: bool,
    /// The browser fetched the page before the visitor opened it (`Sec-Purpose`, `Purpose`,
    /// `X-Purpose`, `X-Moz`).
    pub prefetch: bool,
}

impl RequestSignals {
    /// Whether a `Sec-GPC` value is exactly `1`.
    pub fn is_gpc(field: &[u8]) -> bool {
        field.trim_ascii() == b"1"
    }

    /// Whether a `DNT` value starts with `1`: in `1xyz`, the rest is an extension.
    pub fn is_dnt(field: &[u8]) -> bool {
        field.trim_ascii_start().first() == Some(&b'1')
    }
}

/// Everything personal about a request, in one place. Lives as long as the request.
pub struct RequestCaller<'a> {
    /// When the collector received the request, by its own clock.
    pub received_at: Millis,
    /// The client's address behind the configured proxies. If a trusted server reports hits of its
    /// visitors: the address it states, or 0.0.0.0 without one.
    pub address: ClientAddress,
    /// The browser's user agent. If a trusted server reports hits of its visitors: the one it
    /// states, or an empty one.
    pub agent: UserAgent<'a>,
    /// The low-entropy client hints (`Sec-CH-UA`, `-Mobile`, `-Platform`), as sent.
    pub hints: ClientHints<'a>,
    /// `Accept-Language` as sent; `None` if there is none or it is not text.
    pub language: Option<&'a str>,
    /// Read by the consent stage only.
    pub cookies: &'a RequestCookies<'a>,
    /// Opt-out and prefetch signals of the request.
    pub signals: RequestSignals,
    /// Whether the user agent is classified as a bot; its hits are dropped.
    pub known_bot: bool,
}

/// Low-entropy client hints, as sent. `None` if a field is missing or not text.
#[derive(Default)]
pub struct ClientHints<'a> {
    /// `Sec-CH-UA`.
    pub brands: Option<&'a str>,
    /// `Sec-CH-UA-Mobile`.
    pub mobile: Option<&'a str>,
    /// `Sec-CH-UA-Platform`.
    pub platform: Option<&'a str>,
}

string_enum! {
    /// The kind of a hit. `Leave` is not counted as a hit; it reports the engaged time of the page
    /// that is being left. `Vital` and `Fault` describe the page, not a visitor, and belong to no
    /// visit.
    pub enum HitKind {
        /// A page was viewed.
        View = "view",
        /// A link was clicked.
        Click = "click",
        /// A custom event that the page names.
        Event = "event",
        /// A page was left.
        Leave = "leave",
        /// A web vital was measured.
        Vital = "vital",
        /// A script failed, or a page was not found.
        Fault = "fault",
    }
}

/// Data that only some kinds have. Already validated: nothing in it is raw input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HitDetail {
    /// The kind has none.
    Empty,
    /// Of an event: an amount.
    Money(Money),
    /// Of an event: the amount exceeded the site's bound for this currency. The amount itself is
    /// not kept.
    MoneyOverLimit(CurrencyCode),
    /// Of a vital: the metric, and the histogram bucket of the value.
    Vital(WebVital, VitalBucket),
    /// Of a fault: its kind, and the cleaned name, script and line of the error; empty for pages
    /// that are not found.
    Fault(FaultKind, Box<str>),
}

/// One hit of a request body. Its text is still borrowed from the body where possible.
pub struct HitPayload<'a> {
    /// What kind of hit it is.
    pub kind: HitKind,
    /// The page's URL as sent, cut to the maximum length.
    pub url: Cow<'a, str>,
    /// `document.referrer` as sent, cut to the maximum length; empty if there is none.
    pub referrer: Cow<'a, str>,
    /// The link's id or target, or the event's name; empty for other kinds.
    pub name: Cow<'a, str>,
    /// What only some kinds have.
    pub detail: HitDetail,
    /// A random id chosen by the sender. Retries repeat it, so that the hit is counted once.
    pub id: Option<u128>,
    /// Milliseconds the page had the visitor's attention, or the milliseconds until the click.
    pub engaged_ms: u32,
    /// An event without an action of the visitor. It does not end a bounce.
    pub passive: bool,
    /// The browser reports that software controls it (`navigator.webdriver`); such hits are
    /// dropped.
    pub webdriver: bool,
}

impl<'a> HitPayload<'a> {
    /// A payload with a kind and a URL, and everything else empty.
    pub fn new(kind: HitKind, url: impl Into<Cow<'a, str>>) -> HitPayload<'a> {
        HitPayload {
            kind,
            url: url.into(),
            referrer: Cow::Borrowed(""),
            name: Cow::Borrowed(""),
            detail: HitDetail::Empty,
            id: None,
            engaged_ms: 0,
            passive: false,
            webdriver: false,
        }
    }

    /// The same payload, owning its text.
    pub fn into_owned(self) -> HitPayload<'static> {
        HitPayload {
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

/// The legal basis on which a hit is counted, provided that the visitor did not object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LegalBasis {
    /// The choice of the visitor, under `consent.basis`.
    VisitorChoice,
    /// A stored grant is required, independent of `consent.basis`.
    ConsentCookie,
    /// The operator declares that the site obtains consent in its own way. A stored refusal takes
    /// precedence.
    Declared,
}
