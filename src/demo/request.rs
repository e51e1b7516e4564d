//! The body of a hit as docs/understand/COUNTING.md describes it, and a pending request.

use std::sync::Arc;

use serde::Serialize;

use super::visitors::SimulatedVisitor;

/// One hit of a body.
#[derive(Serialize, Default)]
pub(super) struct SimulatedHit<'a> {
    pub(super) kind: SimulatedHitKind,
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
pub(super) enum SimulatedHitKind {
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
pub(super) enum RequestPurpose {
    /// Sends the hits of its body.
    Hit,
    Grant,
    Refuse,
    Withdraw,
}

pub(super) struct SimulatedRequest {
    pub(super) visitor: Arc<SimulatedVisitor>,
    /// The index of the creator in `CREATORS`.
    pub(super) creator_index: usize,
    pub(super) purpose: RequestPurpose,
    /// One or more hits, separated by commas, without the brackets that several hits need.
    pub(super) body: String,
    /// The kinds of the hits in the body.
    pub(super) hit_kinds: Vec<SimulatedHitKind>,
    /// Whether it is the first request of a visit, or even of a visitor's first visit of the day.
    pub(super) visit_start: VisitStart,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum VisitStart {
    #[default]
    NotFirst,
    AnotherOfDay,
    FirstOfDay,
}

/// The collector's default limit for the hits of one body.
const MAX_BODY_HITS: usize = 20;

impl SimulatedRequest {
    /// Appends the hits of `next` if one body can hold both; otherwise returns `next`. The journal
    /// syncs once per body, so fewer bodies make the demo faster.
    pub(super) fn try_merge(&mut self, next: SimulatedRequest) -> Option<SimulatedRequest> {
        let fits = self.hit_kinds.len() + next.hit_kinds.len() <= MAX_BODY_HITS;
        if !fits || self.purpose != RequestPurpose::Hit || next.purpose != RequestPurpose::Hit {
            return Some(next);
        }
        self.body.push(',');
        self.body.push_str(&next.body);
        self.hit_kinds.extend(next.hit_kinds);
        if self.visit_start == VisitStart::NotFirst {
            self.visit_start = next.visit_start;
        }
        None
    }

    pub(super) fn into_body(self) -> String {
        if self.hit_kinds.len() > 1 {
            format!("[{}]", self.body)
        } else {
            self.body
        }
    }
}
