//! Who may do what. Every handler asks here, and nowhere else.

use actix_web::HttpRequest;

use super::Site;
use crate::event::Problem;

/// What a request wants to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Right<'a> {
    /// Read one site's reports, by the name in the path.
    Site(&'a str),
    /// Read what concerns no site: how many hits were dropped, and why.
    Drops,
    /// Read the platform's reports and state.
    Platform,
    /// Change what is registered.
    Manage,
}

impl Site {
    /// An error is the answer. Somebody else's site is answered like one that does not exist.
    pub(super) fn allow(&self, request: &HttpRequest, right: Right<'_>) -> Result<(), Problem> {
        let _ = right;
        if self.guard.admits(request) { Ok(()) } else { Err(Problem::not_allowed()) }
    }
}
