//! Small JSON bodies of those who change something.

use std::time::Duration;

use actix_web::web::Payload;
use serde::de::DeserializeOwned;

use crate::event::Problem;
use crate::http::read;

/// Read before anything is answered, also to one who may not ask: see `http::read`.
pub(super) async fn json_body<T: DeserializeOwned>(
    payload: &mut Payload,
    most: usize,
    deadline: Duration,
) -> Result<T, Problem> {
    let body = read(payload, most, deadline).await;
    let body = body.map_err(|_| bad_value(format!("the body must be JSON of at most {most} bytes")))?;
    serde_json::from_slice(&body).map_err(|error| bad_value(error.to_string()))
}

pub(super) fn bad_value(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(400, "bad_value", "This cannot be taken").detail(detail)
}
