//! `/api/v1/sites` and `/api/v1/aliases`: registered sites. Creators see their own sites; operators
//! may change all.

use std::collections::{BTreeSet, HashMap};

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::AppState;
use super::access::Permission;
use super::api::{
    QueryPairs, changed_response, find_site, into_pairs, invalid_query, json_response,
    store_problem,
};
use super::body::JsonBody;
use crate::access::{AuditAction, Principal};
use crate::config::{AliasRule, SiteRule};
use crate::event::Problem;

const MAX_BODY_BYTES: usize = 64 * 1024;
const DEFAULT_ROWS: usize = 100;
const MAX_ROWS: usize = 1000;

pub(super) fn register_routes(config: &mut web::ServiceConfig) {
    config
        .route("/api/v1/sites", web::get().to(list_sites))
        .route("/api/v1/sites/{site}", web::put().to(register_site))
        .route("/api/v1/sites/{site}", web::delete().to(remove_site))
        .route("/api/v1/aliases/{alias}", web::get().to(get_alias))
        .route("/api/v1/aliases/{alias}", web::put().to(register_alias))
        .route("/api/v1/aliases/{alias}", web::delete().to(remove_alias));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteRegistration {
    hosts: Vec<String>,
    zone: String,
    #[serde(default)]
    embed: Vec<String>,
    #[serde(default)]
    max_amount: Option<u32>,
    #[serde(default)]
    keep_days: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AliasRegistration {
    site: String,
}

struct SiteSearch {
    text: String,
    limit: usize,
}

async fn list_sites(
    request: HttpRequest,
    query: QueryPairs,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let who = site.authorize_request(&request, Permission::ListSites)?;
    let search = SiteSearch::from_pairs(into_pairs(query)?).ok_or_else(invalid_search)?;
    let names = match &who {
        Principal::Creator(sites) => sites.to_vec(),
        Principal::Token(token) if token.site.is_some() => token.site.clone().into_iter().collect(),
        _ => site.all_site_names(&search).await?,
    };

    let names: BTreeSet<&String> = names
        .iter()
        .filter(|name| search.matches_name(name))
        .collect();
    let others = site.aliases_by_site();
    let rows = names
        .into_iter()
        .filter_map(|name| site.site_row(name, others.get(name)));
    let rows: Vec<Value> = rows.take(search.limit).collect();
    Ok(json_response(&request, false, &json!({ "rows": rows })))
}

async fn register_site(
    request: HttpRequest,
    name: web::Path<String>,
    body: JsonBody<SiteRegistration, MAX_BODY_BYTES>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let who = site.authorize_request(&request, Permission::RegisterSite(&name))?;
    let SiteRegistration {
        hosts,
        zone,
        embed,
        max_amount,
        keep_days,
    } = body.into_inner()?;
    let by = site.audit_entry(&who, AuditAction::PutSite, &**name);
    let rule = SiteRule {
        id: name.into_inner(),
        hosts,
        zone,
        embed,
        max_amount,
        keep_days,
    };
    site.registry.register_site(by, rule).await?;
    Ok(changed_response())
}

async fn remove_site(
    request: HttpRequest,
    name: web::Path<String>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let who = site.authorize_request(&request, Permission::RegisterSite(&name))?;
    let by = site.audit_entry(&who, AuditAction::RemoveSite, &**name);
    site.registry.remove_site(by, &name).await?;
    Ok(changed_response())
}

async fn get_alias(
    request: HttpRequest,
    alias: web::Path<String>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    site.check_permission(&request, Permission::ManageAliases)?;
    let registered = site.registry.directory.registered_sites();
    let found = registered
        .aliases
        .iter()
        .find(|known| known.alias == **alias)
        .ok_or_else(Problem::unknown_site)?;
    Ok(json_response(&request, false, found))
}

async fn register_alias(
    request: HttpRequest,
    alias: web::Path<String>,
    body: JsonBody<AliasRegistration, MAX_BODY_BYTES>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let who = site.authorize_request(&request, Permission::ManageAliases)?;
    let AliasRegistration { site: of } = body.into_inner()?;
    let by = site.audit_entry(&who, AuditAction::PutAlias, &**alias);
    let rule = AliasRule {
        alias: alias.into_inner(),
        site: of,
    };
    site.registry.register_alias(by, rule).await?;
    Ok(changed_response())
}

async fn remove_alias(
    request: HttpRequest,
    alias: web::Path<String>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let who = site.authorize_request(&request, Permission::ManageAliases)?;
    let by = site.audit_entry(&who, AuditAction::RemoveAlias, &**alias);
    site.registry.remove_alias(by, &alias).await?;
    Ok(changed_response())
}

impl SiteSearch {
    fn from_pairs(pairs: Vec<(String, String)>) -> Option<SiteSearch> {
        let (mut text, mut limit) = (None, None);
        for (key, value) in pairs {
            match &*key {
                "search" if text.is_none() => text = Some(value.to_lowercase()),
                "limit" if limit.is_none() => {
                    limit = Some(value.parse().ok().filter(|n| (1..=MAX_ROWS).contains(n))?)
                }
                _ => return None,
            }
        }
        Some(SiteSearch {
            text: text.unwrap_or_default(),
            limit: limit.unwrap_or(DEFAULT_ROWS),
        })
    }

    fn matches_name(&self, name: &str) -> bool {
        name.to_lowercase().contains(&self.text)
    }
}

impl AppState {
    /// Names of configured and registered sites, and of profiles that were ever counted.
    async fn all_site_names(&self, search: &SiteSearch) -> Result<Vec<String>, Problem> {
        let (directory, registered) = (
            &self.registry.directory,
            self.registry.directory.registered_sites(),
        );
        let store = self
            .store
            .load_full()
            .ok_or_else(Problem::store_unavailable)?;
        let mut names = store
            .search_site_names(&search.text, search.limit + registered.aliases.len())
            .await
            .map_err(store_problem)?;
        names.extend(
            directory
                .configured_sites()
                .iter()
                .chain(&registered.sites)
                .map(|rule| rule.id.clone()),
        );
        names.extend(registered.aliases.iter().map(|alias| alias.site.clone()));
        names.retain(|name| !registered.aliases.iter().any(|alias| alias.alias == *name));
        Ok(names)
    }

    /// Aliases by the site that they stand for.
    fn aliases_by_site(&self) -> HashMap<String, Vec<String>> {
        let mut others: HashMap<String, Vec<String>> = HashMap::new();
        for rule in &self.registry.directory.registered_sites().aliases {
            others
                .entry(rule.site.clone())
                .or_default()
                .push(rule.alias.clone());
        }
        others
    }

    /// `None` if no rule matches the name any longer.
    fn site_row(&self, name: &str, others: Option<&Vec<String>>) -> Option<Value> {
        let (_, zone) = find_site(name, self).ok()?;
        let rule = self.registry.directory.find_rule(name);
        let (hosts, embed, max_amount) = rule
            .map(|rule| (rule.hosts, rule.embed, rule.max_amount))
            .unwrap_or_default();
        let aliases = others.map_or(&[][..], |names| names);
        Some(json!({
            "site": name, "zone": zone.iana_name(), "hosts": hosts, "aliases": aliases, "embed": embed, "max_amount": max_amount,
            "keep_days": self.registry.directory.retention_policy().keep_days(name),
        }))
    }
}

fn invalid_search() -> Problem {
    invalid_query("accepted are search and limit (1 to 1000), once each")
}
