//! The sample profile of `make run`: two pages that ask, count, and obey.

use actix_web::web;

use super::pages::{SAMPLE, serve};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    serve(&SAMPLE, config);
}
