//! Error responses (RFC 9457). A problem contains nothing of the request except what the sender has
//! to change.

use std::borrow::Cow;

use serde::Serialize;

/// The body of an error response, `application/problem+json`.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    /// Short description of the kind of error; the same for all problems with this code.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// A stable identifier of the cause, for programs.
    pub code: &'static str,
    /// The accepted values, for people. Omitted if empty.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub detail: Cow<'static, str>,
    /// The value of `Retry-After` in seconds; `None` for the default of the status (see
    /// `http::problem_response`).
    #[serde(skip)]
    pub retry_secs: Option<u64>,
}

impl Problem {
    /// The `Content-Type` of a problem.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    /// A problem without details.
    pub fn new(status: u16, code: &'static str, title: &'static str) -> Problem {
        Problem {
            kind: "about:blank",
            title,
            status,
            code,
            detail: Cow::Borrowed(""),
            retry_secs: None,
        }
    }

    /// Sets the text that names what is accepted.
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Problem {
        self.detail = detail.into();
        self
    }

    /// Sets `Retry-After`, in seconds.
    pub fn with_retry_after(mut self, secs: u64) -> Problem {
        self.retry_secs = Some(secs);
        self
    }

    /// An unknown site and a site the caller may not see get the same response, byte for byte, so
    /// that site names cannot be probed.
    pub fn unknown_site() -> Problem {
        Problem::new(404, "unknown_site", "No such site")
    }

    /// The store did not respond in time, so counts cannot be read. Hits are accepted meanwhile.
    pub fn store_unavailable() -> Problem {
        Problem::new(
            503,
            "store_unavailable",
            "The counts cannot be read right now",
        )
        .with_detail("hits are still counted")
    }

    /// The request has no credentials, or invalid ones.
    pub fn not_allowed() -> Problem {
        Problem::new(401, "not_allowed", "This is not for everybody").with_detail(
            "sign in, or send Authorization: Bearer with a token; where neither is set up, ask from the machine itself",
        )
    }

    /// The caller is authenticated but lacks the permission.
    pub fn missing_right() -> Problem {
        Problem::new(403, "missing_right", "You may not do this")
    }

    /// The response body.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a struct of text and a number is always JSON")
    }
}
