//! The sample profile of `make run`: two pages with the consent prompt and the tracker.

use actix_web::web;

use super::pages::{SAMPLE, serve};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    serve(&SAMPLE, config);
}
