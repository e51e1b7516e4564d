//! `/api/v1/sites` and `/api/v1/aliases`: registered sites. Creators see their own sites; operators
//! may change all.

use std::collections::{BTreeSet, HashMap};

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Site;
use super::access::Right;
use super::api::{bad_question, named, pairs, shown, unread};
use super::body::json_body;
use crate::access::{Act, Who};
use crate::config::{AliasRule, SiteRule};
use crate::event::Problem;
use crate::http::refuse;

const BODY_BYTES: usize = 64 * 1024;
const ROWS: usize = 100;
const MOST_ROWS: usize = 1000;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/api/v1/sites", web::get().to(list))
        .route("/api/v1/sites/{site}", web::put().to(put_site))
        .route("/api/v1/sites/{site}", web::delete().to(remove_site))
        .route("/api/v1/aliases/{alias}", web::get().to(show_alias))
        .route("/api/v1/aliases/{alias}", web::put().to(put_alias))
        .route("/api/v1/aliases/{alias}", web::delete().to(remove_alias));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfSite {
    hosts: Vec<String>,
    zone: String,
    #[serde(default)]
    embed: Vec<String>,
    #[serde(default)]
    max_amount: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfAlias {
    site: String,
}

struct Search {
    text: String,
    limit: usize,
}

async fn list(request: HttpRequest, site: web::Data<Site>) -> HttpResponse {
    let rows = async {
        let who = site.permit(&request, Right::Sites)?;
        let search = Search::of(pairs(&request)?).ok_or_else(accepted)?;
        let names = match &who {
            Who::Creator(sites) => sites.to_vec(),
            Who::Token(token) if token.site.is_some() => token.site.clone().into_iter().collect(),
            _ => site.all_names(&search).await?,
        };

        let names: BTreeSet<&String> = names.iter().filter(|name| search.finds(name)).collect();
        let others = site.other_names();
        let rows = names.into_iter().filter_map(|name| site.row(name, others.get(name)));
        let rows: Vec<Value> = rows.take(search.limit).collect();
        Ok(json!({ "rows": rows }))
    };
    shown(&request, false, rows.await).await
}

async fn put_site(
    request: HttpRequest,
    name: web::Path<String>,
    mut payload: web::Payload,
    site: web::Data<Site>,
) -> HttpResponse {
    let body = json_body(&mut payload, BODY_BYTES, site.deadline).await;

    done(async {
        let who = site.permit(&request, Right::Register(&name))?;
        let OfSite { hosts, zone, embed, max_amount } = body?;
        let by = site.entry(&who, Act::PutSite, &**name);
        site.registry.put_site(by, SiteRule { id: name.into_inner(), hosts, zone, embed, max_amount }).await
    })
    .await
}

async fn remove_site(request: HttpRequest, name: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    done(async {
        let who = site.permit(&request, Right::Register(&name))?;
        site.registry.remove_site(site.entry(&who, Act::RemoveSite, &**name), &name).await
    })
    .await
}

async fn show_alias(request: HttpRequest, alias: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    let shown_alias = site.allow(&request, Right::Manage).and_then(|()| {
        let registered = site.registry.directory.registered();
        let found = registered.aliases.iter().find(|known| known.alias == **alias);
        found.cloned().ok_or_else(Problem::unknown_site)
    });
    shown(&request, false, shown_alias).await
}

async fn put_alias(
    request: HttpRequest,
    alias: web::Path<String>,
    mut payload: web::Payload,
    site: web::Data<Site>,
) -> HttpResponse {
    let body = json_body(&mut payload, BODY_BYTES, site.deadline).await;

    done(async {
        let who = site.permit(&request, Right::Manage)?;
        let OfAlias { site: of } = body?;
        let by = site.entry(&who, Act::PutAlias, &**alias);
        site.registry.put_alias(by, AliasRule { alias: alias.into_inner(), site: of }).await
    })
    .await
}

async fn remove_alias(request: HttpRequest, alias: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    done(async {
        let who = site.permit(&request, Right::Manage)?;
        site.registry.remove_alias(site.entry(&who, Act::RemoveAlias, &**alias), &alias).await
    })
    .await
}

/// The answer to a change.
pub(super) async fn done(change: impl Future<Output = Result<(), Problem>>) -> HttpResponse {
    match change.await {
        Ok(()) => HttpResponse::NoContent().insert_header((CACHE_CONTROL, "no-store")).finish(),
        Err(problem) => refuse(&problem, None).await,
    }
}

impl Search {
    fn of(pairs: Vec<(String, String)>) -> Option<Search> {
        let (mut text, mut limit) = (None, None);
        for (key, value) in pairs {
            match &*key {
                "search" if text.is_none() => text = Some(value.to_lowercase()),
                "limit" if limit.is_none() => limit = Some(value.parse().ok().filter(|n| (1..=MOST_ROWS).contains(n))?),
                _ => return None,
            }
        }
        Some(Search { text: text.unwrap_or_default(), limit: limit.unwrap_or(ROWS) })
    }

    fn finds(&self, name: &str) -> bool {
        name.to_lowercase().contains(&self.text)
    }
}

impl Site {
    /// Names of configured and registered sites, and of profiles that were ever counted.
    async fn all_names(&self, search: &Search) -> Result<Vec<String>, Problem> {
        let (directory, registered) = (&self.registry.directory, self.registry.directory.registered());
        let store = self.store.load_full().ok_or_else(Problem::store_unavailable)?;
        let mut names =
            store.named_like(&search.text, search.limit + registered.aliases.len()).await.map_err(unread)?;
        names.extend(directory.configured().iter().chain(&registered.sites).map(|rule| rule.id.clone()));
        names.extend(registered.aliases.iter().map(|alias| alias.site.clone()));
        names.retain(|name| !registered.aliases.iter().any(|alias| alias.alias == *name));
        Ok(names)
    }

    /// By the site they are an alias of.
    fn other_names(&self) -> HashMap<String, Vec<String>> {
        let mut others: HashMap<String, Vec<String>> = HashMap::new();
        for rule in &self.registry.directory.registered().aliases {
            others.entry(rule.site.clone()).or_default().push(rule.alias.clone());
        }
        others
    }

    /// `None` if no rule matches the name any more.
    fn row(&self, name: &str, others: Option<&Vec<String>>) -> Option<Value> {
        let (_, zone) = named(name, self).ok()?;
        let rule = self.registry.directory.rule(name);
        let (hosts, embed, max_amount) = rule.map(|rule| (rule.hosts, rule.embed, rule.max_amount)).unwrap_or_default();
        let aliases = others.map_or(&[][..], |names| names);
        Some(json!({
            "site": name, "zone": zone.iana_name(), "hosts": hosts, "aliases": aliases, "embed": embed, "max_amount": max_amount,
        }))
    }
}

fn accepted() -> Problem {
    bad_question("accepted are search and limit (1 to 1000), once each")
}
