//! Types that all stages share: what a hit is, what is counted, and why a hit is dropped.
//!
//! Nothing here does I/O or reads a clock. Lists (subjects, dimensions, counters, drop reasons) are
//! declared once, in tables; SQL, JSON and documentation derive from them.

mod cookies;
mod counts;
mod currency;
mod drop_reason;
mod fault;
mod mail;
mod problem;
mod problem_code;
mod raw;
mod site;
mod subject;
mod vital;

pub use cookies::RequestCookies;
pub use counts::{CounterKind, CounterValues};
pub use currency::{CurrencyCode, Money, minor_digits};
pub use drop_reason::DropReason;
pub use fault::FaultKind;
pub use mail::{LOADS_PER_OPENER, MailAction, ReaderKind};
pub use problem::Problem;
pub use problem_code::ProblemCode;
pub use raw::{
    ClientAddress, ClientHints, HitDetail, HitKind, HitPayload, LegalBasis, RequestCaller,
    RequestSignals, UserAgent,
};
pub use site::{OVERFLOW_SITE_NAME, ResolvedSite, SiteId};
pub use subject::{Dimension, NO_VALUE, OTHER_VALUE, Subject, UNKNOWN_VALUE};
pub use vital::{VitalBucket, VitalRating, WebVital};

// Data from the wire, until it is pseudonymised.
crate::unprintable!(
    ClientAddress,
    UserAgent<'static>,
    ClientHints<'static>,
    RequestCaller<'static>,
    RequestCookies<'static>,
    HitPayload<'static>,
);
