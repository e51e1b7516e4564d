//! Compile-time proof that personal data and secrets cannot be printed, cloned or serialized, so
//! that no log line, error, metric or file can contain them. A derive that is added by mistake does
//! not compile. Each module lists its own types.

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
