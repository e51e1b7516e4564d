//! Why a request is not taken, and the problem that answers it.

use crate::event::Problem;
use crate::http::BodyError;
use crate::journal::CommitError;

/// Why a request was not accepted. A request with dropped hits is accepted.
pub(super) struct IngestError {
    pub(super) problem: Problem,
    /// The body has not been read, so it has to be drained before the response.
    pub(super) must_drain_body: bool,
}

pub(super) fn unread_error(problem: Problem) -> IngestError {
    IngestError {
        problem,
        must_drain_body: true,
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

pub(super) fn body_error(error: BodyError, most: usize) -> IngestError {
    let problem = match error {
        BodyError::TooLarge => Problem::new(413, "body_too_large", "The body is too large")
            .with_detail(format!("at most {most} bytes")),
        BodyError::TooSlow => Problem::new(408, "body_too_slow", "The body did not arrive in time"),
        // Nothing more will arrive. Draining would only keep the request, and its personal data,
        // until the deadline.
        BodyError::Broken => {
            return Problem::new(400, "bad_body", "The body cannot be read").into();
        }
    };
    unread_error(problem)
}

pub(super) fn unavailable_error(why: CommitError) -> IngestError {
    let detail = match why {
        CommitError::QueueFull => "more hits wait than can be taken",
        CommitError::DiskFull => "the journal is full",
        CommitError::Stopping => "the collector is stopping",
        // Not 503: if the sender repeated the hit, it might be counted twice.
        CommitError::Uncertain => {
            let problem = Problem::new(
                500,
                "unknown_outcome",
                "Whether the hit was counted is not known",
            );
            return problem
                .with_detail("the disk failed while it was written")
                .into();
        }
    };
    Problem::new(503, "unavailable", "The hit was not counted; send it again")
        .with_detail(detail)
        .into()
}
