//! The extractor of small JSON bodies of requests that change something.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;

use actix_web::dev;
use actix_web::web::{Data, Payload};
use actix_web::{Error, FromRequest, HttpRequest};
use serde::de::DeserializeOwned;

use super::AppState;
use crate::event::{Problem, ProblemCode};
use crate::http::read_body;

/// A JSON body of at most `MAX` bytes.
///
/// The framework's `Json` does not fit: it responds before the handler has checked the permission,
/// so a caller without one would learn what is wrong with the body; it has no deadline; and it
/// leaves a rejected body on the connection. This extractor reads the body before any response,
/// also for callers without permission (see [`read_body`]), and keeps the error for the handler.
pub(super) struct JsonBody<T, const MAX: usize>(Result<T, Problem>);

impl<T, const MAX: usize> JsonBody<T, MAX> {
    /// The content. Handlers check the permission first.
    ///
    /// # Errors
    ///
    /// 400, 408 or 413: the body was not read, or is not a `T`.
    pub(super) fn into_inner(self) -> Result<T, Problem> {
        self.0
    }
}

impl<T: DeserializeOwned + 'static, const MAX: usize> FromRequest for JsonBody<T, MAX> {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let payload = Payload::from_request(request, payload);
        let site = request.app_data::<Data<AppState>>().cloned();
        Box::pin(async move {
            let mut payload = payload.await?;
            let deadline = site.expect("the server registers the state").body_deadline;

            let body = read_body(&mut payload, MAX, deadline).await;
            let content = body
                .map_err(|error| error.to_problem(MAX))
                .and_then(|body| {
                    serde_json::from_slice(&body).map_err(|error| Problem::from_json_error(&error))
                });
            Ok(JsonBody(content))
        })
    }
}

pub(super) fn bad_value(detail: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(ProblemCode::InvalidValue).with_detail(detail)
}
