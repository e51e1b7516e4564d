//! What is wrong with a request, for whoever sent it (RFC 9457). Holds nothing of the request but what the sender must change.

use std::borrow::Cow;

use serde::Serialize;

#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    pub title: &'static str,
    pub status: u16,
    /// Stable, for programs.
    pub code: &'static str,
    /// What is accepted, for people.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub detail: Cow<'static, str>,
}

impl Problem {
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    pub fn new(status: u16, code: &'static str, title: &'static str) -> Problem {
        Problem { kind: "about:blank", title, status, code, detail: Cow::Borrowed("") }
    }

    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Problem {
        self.detail = detail.into();
        self
    }

    /// An unknown site and somebody else's site are the same answer, to the byte.
    pub fn unknown_site() -> Problem {
        Problem::new(404, "unknown_site", "No such site")
    }

    /// For whoever asks for an operator's page without being one.
    pub fn not_allowed() -> Problem {
        Problem::new(401, "not_allowed", "This needs the report token")
            .detail("send Authorization: Bearer with report.token, or ask from the machine itself where none is set")
    }

    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a struct of text and a number is always JSON")
    }
}
