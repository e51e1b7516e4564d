//! Reads small JSON bodies of requests that change something.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::web::Payload;
use serde::de::DeserializeOwned;

use crate::event::Problem;
use crate::http::{BodyError, read_body};

/// Reads the body before any response, also for callers without permission: see
/// [`read_body`](crate::http::read_body).
pub(super) async fn read_json_body<T: DeserializeOwned>(
    payload: &mut Payload,
    most: usize,
    deadline: Duration,
) -> Result<T, Problem> {
    let body = read_body(payload, most, deadline)
        .await
        .map_err(|error| match error {
            BodyError::TooLarge => {
                body_problem(413, "body_too_large", format!("at most {most} bytes"))
            }
            BodyError::TooSlow => {
                body_problem(408, "body_too_slow", "the body did not arrive in time")
            }
            BodyError::Broken => body_problem(400, "bad_body", "the body broke off"),
        })?;
    serde_json::from_slice(&body).map_err(|error| bad_value(error.to_string()))
}

pub(super) fn bad_value(detail: impl Into<Cow<'static, str>>) -> Problem {
    body_problem(400, "bad_value", detail)
}

fn body_problem(status: u16, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(status, code, "Invalid request body").with_detail(detail)
}
