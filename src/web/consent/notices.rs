//! `GET /api/v1/notices`: new versions of the consent prompt that the platform notifies its account
//! holders of.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::Asking;
use crate::consent::versions::Notice;
use crate::event::Problem;
use crate::http::refuse;
use crate::web::Site;
use crate::web::access::Right;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    #[serde(default)]
    after: u64,
}

/// `GET /api/v1/notices?after=<id>`: the notices after this id. Ids are permanent and ascending, so
/// a client that passes the last id it has seen gets each notice once.
pub(super) async fn list(request: HttpRequest, asking: web::Data<Asking>, site: web::Data<Site>) -> HttpResponse {
    if let Err(problem) = site.allow(&request, Right::Platform) {
        return refuse(&problem, None).await;
    }
    let Ok(query) = web::Query::<Query>::from_query(request.query_string()) else {
        let problem = Problem::new(400, "bad_question", "The question cannot be answered");
        return refuse(&problem.detail("accepted is after, the id of the last notice seen"), None).await;
    };
    let new: Vec<&Notice> = asking.notices.iter().filter(|notice| notice.id > query.after).collect();
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(serde_json::json!({ "notices": new }))
}
