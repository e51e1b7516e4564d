//! Problems as HTTP responses.

use std::time::Duration;

use actix_web::error::QueryPayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::web::{PathConfig, Payload, QueryConfig, ServiceConfig};
use actix_web::{HttpResponse, ResponseError};

use super::MAX_DRAIN_BYTES;
use super::body::drain_body;
use crate::event::{Problem, ProblemCode};

/// Maximum length of a detail that names a key of the query.
const MAX_DETAIL_BYTES: usize = 200;

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).expect("the table has valid statuses")
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status_code());
        answer
            .content_type(Problem::MEDIA_TYPE)
            .insert_header((CACHE_CONTROL, "no-store"));

        let usual = match self.code.status() {
            503 => Some(2),
            429 => Some(60),
            _ => None,
        };
        if let Some(seconds) = self.retry_secs.or(usual) {
            answer.insert_header((RETRY_AFTER, seconds));
        }
        if self.status_code() == StatusCode::UNAUTHORIZED {
            answer.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }

        if self.closes_connection {
            answer.insert_header((CONNECTION, "close")).force_close();
        }
        answer.body(self.to_json())
    }
}

impl Problem {
    /// Drains the request's body before the response; see [`read_body`](super::read_body). If it
    /// cannot be drained by the deadline, the connection is closed.
    pub async fn after_draining(mut self, payload: &mut Payload, deadline: Duration) -> Problem {
        self.closes_connection = !drain_body(payload, MAX_DRAIN_BYTES, deadline).await;
        self
    }
}

/// Makes the framework's extractors reject a request with a problem. The framework's own responses
/// quote the request.
pub fn configure_extractors(config: &mut ServiceConfig) {
    let path =
        PathConfig::default().error_handler(|_, _| Problem::new(ProblemCode::NotFound).into());
    let query = QueryConfig::default().error_handler(|error, _| {
        let mut detail = match error {
            QueryPayloadError::Deserialize(error) => error.to_string(),
            _ => String::new(),
        };
        detail.truncate(detail.floor_char_boundary(MAX_DETAIL_BYTES));
        Problem::new(ProblemCode::InvalidQuery)
            .with_detail(detail)
            .into()
    });
    config.app_data(path).app_data(query);
}
