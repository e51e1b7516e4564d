//! `GET /api/v1/sites/{site}/report`, `/vitals` and `/faults`.

use std::sync::Arc;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::Site;
use super::access::Right;
use crate::event::{Problem, Subject};
use crate::http::refuse;
use crate::report::{self, Asked, Filter, Question};
use crate::store::{Store, StoreError};

pub async fn report(request: HttpRequest, name: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    let asked = async {
        let (store, question) = asked(&request, &name, &site)?;
        report::ask(&store, question).await.map_err(unread)
    };
    shown(asked.await).await
}

pub async fn vitals(request: HttpRequest, name: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    let asked = async {
        let (store, question) = asked(&request, &name, &site)?;
        match &question.filter {
            None | Some(Filter::Item(Subject::Page, _)) => report::vitals(&store, &question).await.map_err(unread),
            Some(_) => Err(bad_question("filter must be page: and a path")),
        }
    };
    shown(asked.await).await
}

pub async fn faults(request: HttpRequest, name: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    let asked = async {
        let (store, question) = asked(&request, &name, &site)?;
        match question.filter {
            None => report::faults(&store, &question).await.map_err(unread),
            Some(_) => Err(bad_question("faults have no filter")),
        }
    };
    shown(asked.await).await
}

async fn shown(answer: Result<impl Serialize, Problem>) -> HttpResponse {
    match answer {
        Ok(answer) => HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(answer),
        Err(problem) => refuse(&problem, None).await,
    }
}

fn asked(request: &HttpRequest, name: &str, site: &Site) -> Result<(Arc<Store>, Question), Problem> {
    site.allow(request, Right::Site(name))?;
    let hosts = site.registry.directory.hosts();
    let (id, zone) = hosts.by_name(name).ok_or_else(Problem::unknown_site)?;
    let calendar = hosts.time_zone(zone);
    drop(hosts);
    let asked = web::Query::<Asked>::from_query(request.query_string()).map_err(|_| {
        bad_question(
            "accepted are range or from and to, compare or compare_from, interval, limit and filter, once each",
        )
    })?;
    let question = Question::new(name, (id, &calendar), asked.into_inner(), site.clock.now(), site.rules)?;
    let store = site.store.load_full().ok_or_else(no_store)?;
    Ok((store, question))
}

fn bad_question(accepted: &'static str) -> Problem {
    Problem::new(400, "bad_question", "The question cannot be answered").detail(accepted)
}

fn unread(error: StoreError) -> Problem {
    tracing::error!(%error, "a report could not be read");
    no_store()
}

fn no_store() -> Problem {
    Problem::new(503, "store_unavailable", "The counts cannot be read right now").detail("hits are still counted")
}
