//! Error responses (RFC 9457). A problem contains nothing of the request except what the sender has
//! to change.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use super::ProblemCode;

/// An error response. `http` makes the response of it, so that handlers return it with `?`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The cause, which determines status and title.
    pub code: ProblemCode,
    /// The accepted values, for people. Omitted if empty.
    pub detail: Cow<'static, str>,
    /// The value of `Retry-After` in seconds; `None` for the default of the status: 2 for 503, 60
    /// for 429.
    pub retry_secs: Option<u64>,
    /// The request's body could not be read, so the connection is closed after the response.
    pub closes_connection: bool,
}

/// The body of an error response, `application/problem+json`.
#[derive(Serialize)]
struct ProblemBody<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

impl Problem {
    /// The `Content-Type` of a problem.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    /// A problem without details.
    pub fn new(code: ProblemCode) -> Problem {
        Problem {
            code,
            detail: Cow::Borrowed(""),
            retry_secs: None,
            closes_connection: false,
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
        Problem::new(ProblemCode::UnknownSite)
    }

    /// The store did not respond in time, so counts cannot be read. Hits are accepted meanwhile.
    pub fn store_unavailable() -> Problem {
        Problem::new(ProblemCode::StoreUnavailable).with_detail("hits are still counted")
    }

    /// A change was begun, and the store did not confirm it. It may have been made.
    pub fn change_unconfirmed() -> Problem {
        Problem::new(ProblemCode::ChangeUnconfirmed).with_detail("check, or send it again")
    }

    /// The request has no credentials, or invalid ones.
    pub fn authentication_required() -> Problem {
        Problem::new(ProblemCode::AuthenticationRequired).with_detail(
            "sign in, or send Authorization: Bearer with a token; where neither is set up, ask \
             from the machine itself",
        )
    }

    /// The body is not JSON, or a field or value is not accepted. The detail is the parser's
    /// message, which names key and position; it is returned to the sender and not logged.
    pub fn from_json_error(error: &serde_json::Error) -> Problem {
        let code = if error.is_data() {
            ProblemCode::InvalidValue
        } else {
            ProblemCode::InvalidJson
        };
        Problem::new(code).with_detail(error.to_string())
    }

    /// The response body.
    pub fn to_json(&self) -> Vec<u8> {
        let body = ProblemBody {
            kind: "about:blank",
            title: self.code.title(),
            status: self.code.status(),
            code: self.code.name(),
            detail: &self.detail,
        };
        serde_json::to_vec(&body).expect("a struct of text and a number is always JSON")
    }
}

/// The code alone: details can quote what the sender has to change.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.name())
    }
}
