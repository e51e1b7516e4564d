//! The body of a hit as docs/understand/COUNTING.md describes it, and a pending request.

use std::sync::Arc;

use serde::Serialize;

use super::people::Person;

/// One hit of a body.
#[derive(Serialize, Default)]
pub(super) struct Beacon<'a> {
    pub(super) kind: Kind,
    pub(super) url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) referrer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) currency: Option<&'a str>,
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) engaged: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) passive: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metric: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<u32>,
}

#[derive(Serialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    #[default]
    View,
    Click,
    Event,
    Leave,
    Vital,
    Fault,
}

/// The purpose of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Sends the hits of its body.
    Hit,
    Grant,
    Refuse,
    Withdraw,
}

pub(super) struct Request {
    pub(super) person: Arc<Person>,
    /// The index of the creator in `CREATORS`.
    pub(super) creator: usize,
    pub(super) act: Act,
    /// One or more hits, separated by commas, without the brackets that several hits need.
    pub(super) body: String,
    /// The kinds of the hits in the body.
    pub(super) holds: Vec<Kind>,
    /// Whether it is the first request of a visit, or even of a visitor's first visit of the day.
    pub(super) begins: Begins,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Begins {
    #[default]
    Nothing,
    Visit,
    VisitorsDay,
}

/// The collector's default limit for the hits of one body.
const MOST: usize = 20;

impl Request {
    /// Appends the hits of `next` if one body can hold both; otherwise returns `next`. The journal
    /// syncs once per body, so fewer bodies make the demo faster.
    pub(super) fn take_in(&mut self, next: Request) -> Option<Request> {
        let fits = self.holds.len() + next.holds.len() <= MOST;
        if !fits || self.act != Act::Hit || next.act != Act::Hit {
            return Some(next);
        }
        self.body.push(',');
        self.body.push_str(&next.body);
        self.holds.extend(next.holds);
        if self.begins == Begins::Nothing {
            self.begins = next.begins;
        }
        None
    }

    pub(super) fn into_body(self) -> String {
        if self.holds.len() > 1 { format!("[{}]", self.body) } else { self.body }
    }
}
