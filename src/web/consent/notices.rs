//! `GET /api/v1/notices`: new versions of the consent prompt that the platform notifies its account
//! holders of.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{Error, HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::ConsentService;
use crate::consent::versions::VersionNotice;
use crate::web::AppState;
use crate::web::access::Permission;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoticeParams {
    #[serde(default)]
    after: u64,
}

/// `GET /api/v1/notices?after=<id>`: the notices after this id. Ids are permanent and ascending, so
/// a client that passes the last id it has seen gets each notice once.
pub(super) async fn list_notices(
    request: HttpRequest,
    query: Result<web::Query<NoticeParams>, Error>,
    asking: web::Data<ConsentService>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Error> {
    // Without permission, no error about the query is returned.
    site.check_permission(&request, Permission::ReadPlatform)?;
    let query = query?;

    let new: Vec<&VersionNotice> = asking
        .notices
        .iter()
        .filter(|notice| notice.id > query.after)
        .collect();
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(serde_json::json!({ "notices": new })))
}
