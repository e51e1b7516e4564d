//! `GET /api/v1/sites/{site}/report`.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};

use super::Site;
use crate::event::Problem;
use crate::http::refuse;
use crate::report::{Answer, Asked, Question, ask};

pub async fn report(request: HttpRequest, name: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    match answer(&request, &name, &site).await {
        Ok(answer) => HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(answer),
        Err(problem) => refuse(&problem, None).await,
    }
}

async fn answer(request: &HttpRequest, name: &str, site: &Site) -> Result<Answer, Problem> {
    if !site.guard.admits(request) {
        return Err(Problem::not_allowed());
    }
    let hosts = site.registry.directory.hosts();
    let (id, zone) = hosts.by_name(name).ok_or_else(Problem::unknown_site)?;
    let calendar = hosts.time_zone(zone);
    drop(hosts);
    let asked = web::Query::<Asked>::from_query(request.query_string()).map_err(|_| {
        Problem::new(400, "bad_question", "The question cannot be answered")
            .detail("accepted are from, to, limit and filter, once each")
    })?;
    let rules = (site.k, site.fold_after_days);
    let question = Question::new(name, (id, &calendar), asked.into_inner(), site.clock.now(), rules)?;
    let store = site.store.load_full().ok_or_else(no_store)?;
    ask(&store, &question).await.map_err(|error| {
        tracing::error!(%error, "a report could not be read");
        no_store()
    })
}

fn no_store() -> Problem {
    Problem::new(503, "store_unavailable", "The counts cannot be read right now").detail("hits are still counted")
}
