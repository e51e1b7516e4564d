//! `/api/v1/sites` and `/api/v1/aliases`: what is registered, for the operator.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Site;
use super::access::Right;
use crate::config::{AliasRule, Directory, SiteRule};
use crate::event::Problem;
use crate::http::{read, refuse};

const BODY_BYTES: usize = 64 * 1024;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/api/v1/sites", web::get().to(list))
        .route("/api/v1/sites/{site}", web::put().to(put_site))
        .route("/api/v1/sites/{site}", web::delete().to(remove_site))
        .route("/api/v1/aliases/{alias}", web::put().to(put_alias))
        .route("/api/v1/aliases/{alias}", web::delete().to(remove_alias));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfSite {
    hosts: Vec<String>,
    zone: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfAlias {
    site: String,
}

async fn list(request: HttpRequest, site: web::Data<Site>) -> HttpResponse {
    if let Err(problem) = site.allow(&request, Right::Manage) {
        return refuse(&problem, None).await;
    }
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(listed(&site.registry.directory))
}

fn listed(directory: &Directory) -> serde_json::Value {
    let registered = directory.registered();
    let entry = |from: &'static str| move |rule: &SiteRule| serde_json::json!({"site": rule.id, "hosts": rule.hosts, "zone": rule.zone, "from": from});
    let sites = directory.configured().iter().map(entry("configuration"));
    let sites: Vec<_> = sites.chain(registered.sites.iter().map(entry("registry"))).collect();
    serde_json::json!({"sites": sites, "profiles": directory.profiles(), "aliases": registered.aliases})
}

async fn put_site(
    request: HttpRequest,
    name: web::Path<String>,
    mut payload: web::Payload,
    site: web::Data<Site>,
) -> HttpResponse {
    answer(async {
        let OfSite { hosts, zone } = body(&request, &mut payload, &site).await?;
        site.registry.put_site(SiteRule { id: name.into_inner(), hosts, zone }).await
    })
    .await
}

async fn put_alias(
    request: HttpRequest,
    alias: web::Path<String>,
    mut payload: web::Payload,
    site: web::Data<Site>,
) -> HttpResponse {
    answer(async {
        let OfAlias { site: of } = body(&request, &mut payload, &site).await?;
        site.registry.put_alias(AliasRule { alias: alias.into_inner(), site: of }).await
    })
    .await
}

async fn remove_site(request: HttpRequest, name: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    answer(async {
        site.allow(&request, Right::Manage)?;
        site.registry.remove_site(&name).await
    })
    .await
}

async fn remove_alias(request: HttpRequest, alias: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    answer(async {
        site.allow(&request, Right::Manage)?;
        site.registry.remove_alias(&alias).await
    })
    .await
}

/// The body is read before anything is answered, also to one who may not ask: see `http::read`.
async fn body<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: &mut web::Payload,
    site: &Site,
) -> Result<T, Problem> {
    let body = read(payload, BODY_BYTES, site.deadline).await;
    site.allow(request, Right::Manage)?;
    let bad = |detail: String| Problem::new(400, "bad_value", "This cannot be registered").detail(detail);
    let body = body.map_err(|_| bad(format!("the body must be JSON of at most {BODY_BYTES} bytes")))?;
    serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))
}

async fn answer(change: impl Future<Output = Result<(), Problem>>) -> HttpResponse {
    match change.await {
        Ok(()) => HttpResponse::NoContent().insert_header((CACHE_CONTROL, "no-store")).finish(),
        Err(problem) => refuse(&problem, None).await,
    }
}
