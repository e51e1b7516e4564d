//! What is of a person, and what is secret, cannot be printed, copied or written down: a log line, an error, a metric and a file take only what
//! can. Said to the compiler, so that a derive that is added by mistake does not build.

use std::fmt::{Debug, Display};

use crate::access;
use crate::consent;
use crate::event;
use crate::pseudonym;

#[doc(hidden)]
pub use serde::Serialize;
#[doc(hidden)]
pub use static_assertions::assert_not_impl_any;

/// Does not compile where one of the types is `Debug`, `Display`, `Clone` or `Serialize`.
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

// As it comes from the wire, and what it is until it is sealed.
unprintable!(event::Address, event::Agent<'static>, event::Hints<'static>, event::Caller<'static>);
unprintable!(event::Cookies<'static>);
unprintable!(event::Payload<'static>, event::RawHit<'static>, consent::AdmittedHit<'static>);
// A value that tells one visitor from another, and what carries it.
unprintable!(pseudonym::Event, pseudonym::MailEvent, pseudonym::Openers, pseudonym::Touch<'static>, pseudonym::Visits);
unprintable!(pseudonym::Visitor, pseudonym::VisitorKey);
// It is copied inside of the folders that own it; nothing can print it or write it down.
assert_not_impl_any!(consent::ConsentId: Debug, Display, Serialize);
// Keys, and secrets that are made here.
unprintable!(pseudonym::DayKey, pseudonym::DayKeys, access::SessionId, access::Login, access::Seal);
