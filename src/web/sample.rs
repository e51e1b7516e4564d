//! The sample profile of `make run`: two pages with the consent prompt and the tracker.

use actix_web::web;

use super::pages::{SAMPLE_PAGES, register_pages};

pub(super) fn register_routes(config: &mut web::ServiceConfig) {
    register_pages(&SAMPLE_PAGES, config);
}
