//! Why a request is not accepted, and the problem that it is answered with.

use std::time::Duration;

use actix_web::web;

use crate::event::{Problem, ProblemCode};
use crate::http::BodyError;
use crate::journal::CommitError;

/// Why a request was not accepted. A request with dropped hits is accepted.
pub(super) struct IngestError {
    problem: Problem,
    /// The body has not been read, so it has to be drained before the response.
    must_drain_body: bool,
}

impl IngestError {
    /// Whether it is certain that nothing was counted.
    pub(super) fn is_uncounted(&self) -> bool {
        self.problem.code != ProblemCode::UnknownOutcome
    }

    /// The response. Drains the body first if it is still on the connection.
    pub(super) async fn into_problem(
        self,
        payload: &mut web::Payload,
        deadline: Duration,
    ) -> Problem {
        if self.must_drain_body {
            self.problem.after_draining(payload, deadline).await
        } else {
            self.problem
        }
    }
}

impl From<Problem> for IngestError {
    fn from(problem: Problem) -> IngestError {
        IngestError {
            problem,
            must_drain_body: false,
        }
    }
}

pub(super) fn unread_error(problem: Problem) -> IngestError {
    IngestError {
        problem,
        must_drain_body: true,
    }
}

pub(super) fn body_error(error: BodyError, most: usize) -> IngestError {
    let problem = error.to_problem(most);
    match error {
        BodyError::TooLarge | BodyError::TooSlow => unread_error(problem),
        // Nothing more will arrive. Draining would only keep the request, and its personal data,
        // until the deadline.
        BodyError::Broken => problem.into(),
    }
}

pub(super) fn unavailable_error(why: CommitError) -> IngestError {
    let (code, detail) = match why {
        CommitError::QueueFull => (
            ProblemCode::QueueFull,
            "more hits wait to be written than fit into the queue",
        ),
        CommitError::DiskFull => (ProblemCode::JournalFull, "the journal is full"),
        CommitError::Stopping => (ProblemCode::Stopping, "the hit was not counted"),
        // Not 503: if the sender repeated the hit, it might be counted twice.
        CommitError::Uncertain => (
            ProblemCode::UnknownOutcome,
            "the disk failed while it was written",
        ),
    };
    Problem::new(code).with_detail(detail).into()
}

/// Some hits of a request were counted, and others not.
pub(super) fn partly_counted_error() -> IngestError {
    // Not 503, for the same reason.
    Problem::new(ProblemCode::UnknownOutcome)
        .with_detail("a part of the hits was counted, at one of several collectors")
        .into()
}

/// The collector that counts the hit went away after it was sent to it.
pub(super) fn lost_owner_error() -> IngestError {
    // Not 503, for the same reason.
    Problem::new(ProblemCode::UnknownOutcome)
        .with_detail("the collector that counts this network went away meanwhile")
        .into()
}
