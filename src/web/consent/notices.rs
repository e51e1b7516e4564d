//! `GET /api/v1/notices`: new versions of the consent prompt that the platform notifies its account
//! holders of.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::ConsentService;
use crate::consent::versions::VersionNotice;
use crate::event::Problem;
use crate::http::problem_response;
use crate::web::AppState;
use crate::web::access::Permission;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoticeParams {
    #[serde(default)]
    after: u64,
}

/// `GET /api/v1/notices?after=<id>`: the notices after this id. Ids are permanent and ascending, so
/// a client that passes the last id it has seen gets each notice once.
pub(super) async fn list_notices(
    request: HttpRequest,
    asking: web::Data<ConsentService>,
    site: web::Data<AppState>,
) -> HttpResponse {
    if let Err(problem) = site.check_permission(&request, Permission::ReadPlatform) {
        return problem_response(&problem, None).await;
    }
    let Ok(query) = web::Query::<NoticeParams>::from_query(request.query_string()) else {
        let problem = Problem::new(400, "bad_question", "Invalid query");
        return problem_response(
            &problem.with_detail("accepted is after, the id of the last notice seen"),
            None,
        )
        .await;
    };
    let new: Vec<&VersionNotice> = asking
        .notices
        .iter()
        .filter(|notice| notice.id > query.after)
        .collect();
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(serde_json::json!({ "notices": new }))
}
