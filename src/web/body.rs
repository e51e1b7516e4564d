//! Reads small JSON bodies of requests that change something.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::web::Payload;
use serde::de::DeserializeOwned;

use crate::event::Problem;
use crate::http::{BodyError, read};

/// Read before anything is answered, also for callers without permission: see `http::read`.
pub(super) async fn json_body<T: DeserializeOwned>(
    payload: &mut Payload,
    most: usize,
    deadline: Duration,
) -> Result<T, Problem> {
    let body = read(payload, most, deadline).await.map_err(|error| match error {
        BodyError::TooLarge => bad(413, "body_too_large", format!("at most {most} bytes")),
        BodyError::TooSlow => bad(408, "body_too_slow", "the body did not arrive in time"),
        BodyError::Broken => bad(400, "bad_body", "the body broke off"),
    })?;
    serde_json::from_slice(&body).map_err(|error| bad_value(error.to_string()))
}

pub(super) fn bad_value(detail: impl Into<Cow<'static, str>>) -> Problem {
    bad(400, "bad_value", detail)
}

fn bad(status: u16, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(status, code, "This cannot be taken").detail(detail)
}
