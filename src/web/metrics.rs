use actix_web::{HttpRequest, HttpResponse, web};

use super::Site;
use super::access::Right;
use crate::http::refuse;
use crate::telemetry::Doors;

pub async fn page(request: HttpRequest, site: web::Data<Site>) -> HttpResponse {
    if let Err(problem) = site.allow(&request, Right::Platform) {
        return refuse(&problem, None).await;
    }
    let stored = match site.store.load_full() {
        Some(store) => store.bytes().await.ok(),
        None => None,
    };
    let ((wrong_tokens, tokens_refused), (streams, streams_refused)) =
        (site.access.guesses.totals(), site.streams.totals());
    let doors = Doors { wrong_tokens, tokens_refused, streams, streams_refused };
    let clamped = site.store.load().as_ref().map_or(0, |store| store.clamped());
    let page = site.meters.render(&site.journal, &doors, stored, clamped);
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(page)
}
