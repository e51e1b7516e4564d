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
    /// When asking again is of use; `None` for what is usual with the status.
    #[serde(skip)]
    pub retry_secs: Option<u64>,
}

impl Problem {
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    pub fn new(status: u16, code: &'static str, title: &'static str) -> Problem {
        Problem { kind: "about:blank", title, status, code, detail: Cow::Borrowed(""), retry_secs: None }
    }

    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Problem {
        self.detail = detail.into();
        self
    }

    pub fn retry_after(mut self, secs: u64) -> Problem {
        self.retry_secs = Some(secs);
        self
    }

    /// An unknown site and somebody else's site are the same answer, to the byte.
    pub fn unknown_site() -> Problem {
        Problem::new(404, "unknown_site", "No such site")
    }

    /// For whoever did not say who they are, or could not prove it.
    pub fn not_allowed() -> Problem {
        Problem::new(401, "not_allowed", "This is not for everybody").detail(
            "sign in, or send Authorization: Bearer with a token; where neither is set up, ask from the machine itself",
        )
    }

    /// For whoever is known and may not do this.
    pub fn missing_right() -> Problem {
        Problem::new(403, "missing_right", "You may not do this")
    }

    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a struct of text and a number is always JSON")
    }
}
