//! What a page sends, as docs/understand/COUNTING.md has it, and a request with some of it on its way.

use std::sync::Arc;

use serde::Serialize;

use super::people::Person;

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

/// What a request does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// The body's beacons.
    Hit,
    Grant,
    Refuse,
    Withdraw,
}

pub(super) struct Request {
    pub(super) person: Arc<Person>,
    /// The creator's number.
    pub(super) creator: usize,
    pub(super) act: Act,
    /// Without the brackets that several beacons need.
    pub(super) body: String,
    /// The kinds of what the body holds.
    pub(super) holds: Vec<Kind>,
    /// It is the first of a visit; of a visitor's first one today.
    pub(super) begins: Begins,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Begins {
    #[default]
    Nothing,
    Visit,
    VisitorsDay,
}

/// What the collector takes in one body, by default.
const MOST: usize = 20;

impl Request {
    /// Puts the beacons of `next` behind its own, if one body can hold them. A body is one sync of the journal, however much is in it.
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
