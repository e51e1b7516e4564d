//! Compile-time proof that personal data and secrets cannot be printed, cloned or serialized, so
//! that no log line, error, metric or file can contain them. A derive that is added by mistake does
//! not compile.

use crate::access;
use crate::consent;
use crate::event;
use crate::ledger;
use crate::pseudonym;

#[doc(hidden)]
pub use serde::Serialize;
#[doc(hidden)]
pub use static_assertions::assert_not_impl_any;

/// Fails to compile if one of the types is `Debug`, `Display`, `Clone` or `Serialize`.
///
/// ```
/// struct Bare(u8);
/// footfall::unprintable!(Bare);
/// ```
///
/// ```compile_fail
/// #[derive(Debug)]
/// struct Bare(u8);
/// footfall::unprintable!(Bare);
/// ```
///
/// ```compile_fail
/// #[derive(Clone)]
/// struct Bare(u8);
/// footfall::unprintable!(Bare);
/// ```
///
/// ```compile_fail
/// #[derive(serde::Serialize)]
/// struct Bare(u8);
/// footfall::unprintable!(Bare);
/// ```
///
/// ```compile_fail
/// struct Bare(u8);
/// impl std::fmt::Display for Bare {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         write!(f, "{}", self.0)
///     }
/// }
/// footfall::unprintable!(Bare);
/// ```
#[macro_export]
macro_rules! unprintable {
    ($($type:ty),+ $(,)?) => {
        $($crate::unprintable::assert_not_impl_any!(
            $type: ::std::fmt::Debug, ::std::fmt::Display, ::std::clone::Clone, $crate::unprintable::Serialize
        );)+
    };
}

// Data from the wire, until it is pseudonymised.
unprintable!(
    event::ClientAddress,
    event::UserAgent<'static>,
    event::ClientHints<'static>,
    event::RequestCaller<'static>
);
unprintable!(event::RequestCookies<'static>);
unprintable!(
    event::HitPayload<'static>,
    event::RawHit<'static>,
    consent::AdmittedHit<'static>
);
// Values that distinguish visitors, and the types that contain them.
unprintable!(
    pseudonym::Event,
    pseudonym::MailEvent,
    pseudonym::OpenerSet,
    pseudonym::VisitHit<'static>,
    pseudonym::VisitTable
);
unprintable!(pseudonym::Visitor, pseudonym::VisitorKey);
// The id that links a grant in a browser to its records, and the types that contain it. Each copy
// is made by `ConsentId::duplicate_id`.
unprintable!(
    consent::ConsentId,
    consent::StoredChoice<'static>,
    ledger::NewAct
);
// Keys, and secrets that are generated here.
unprintable!(
    pseudonym::DayKey,
    pseudonym::DayKeys,
    access::SessionId,
    access::PasswordLogin,
    access::CookieSigner
);
