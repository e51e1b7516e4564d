//! `/api/v1/sites` and `/api/v1/aliases`: registered sites. Creators see their own sites; operators
//! may change all.

use std::collections::BTreeSet;
use std::sync::Arc;

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
/// The most aliases of a site in the list.
const MAX_ALIASES: usize = 1000;
/// How often the store is asked for one page, each time for twice as many names.
const MAX_NAME_BATCHES: usize = 5;

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
    /// The last name of the page before; empty for the first page.
    after: String,
    limit: usize,
}

/// A page of names, and where the next one begins.
#[derive(Default)]
struct NamePage {
    names: Vec<String>,
    /// The name after which the next page begins; `None` after the last page.
    next: Option<String>,
}

async fn list_sites(
    request: HttpRequest,
    query: QueryPairs,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let who = site.authorize_request(&request, Permission::ListSites)?;
    let search = SiteSearch::from_pairs(into_pairs(query)?).ok_or_else(invalid_search)?;
    let page = match &who {
        Principal::Creator(sites) => search.page_of(sites.iter()),
        Principal::Token(token) if token.site.is_some() => search.page_of(token.site.iter()),
        _ => site.page_of_all_sites(&search).await?,
    };

    let rows: Vec<Value> = page
        .names
        .iter()
        .filter_map(|name| site.site_row(name))
        .collect();
    let shown = json!({ "rows": rows, "next": page.next });
    Ok(json_response(&request, false, &shown))
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
    let registered = site.registry.directory.registered_entries();
    let of = registered
        .alias_target(&alias)
        .ok_or_else(Problem::unknown_site)?;
    let found = json!({ "alias": *alias, "site": **of });
    Ok(json_response(&request, false, &found))
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
        let (mut text, mut after, mut limit) = (None, None, None);
        for (key, value) in pairs {
            match &*key {
                "search" if text.is_none() => text = Some(value.to_lowercase()),
                "after" if after.is_none() => after = Some(value),
                "limit" if limit.is_none() => {
                    limit = Some(value.parse().ok().filter(|n| (1..=MAX_ROWS).contains(n))?)
                }
                _ => return None,
            }
        }
        Some(SiteSearch {
            text: text.unwrap_or_default(),
            after: after.unwrap_or_default(),
            limit: limit.unwrap_or(DEFAULT_ROWS),
        })
    }

    /// The page of a few names.
    fn page_of<'a>(&self, names: impl Iterator<Item = &'a String>) -> NamePage {
        let names: BTreeSet<&String> = names
            .filter(|name| **name > self.after && name.to_lowercase().contains(&self.text))
            .collect();
        let mut page = NamePage::default();
        for name in names {
            if !page.push_name(name, self.limit) {
                break;
            }
        }
        page
    }
}

impl NamePage {
    /// Adds a name; `false` if the page is full, and the name belongs to the next one.
    fn push_name(&mut self, name: &str, limit: usize) -> bool {
        if self.names.len() == limit {
            self.next = self.names.last().cloned();
            return false;
        }
        self.names.push(name.to_owned());
        true
    }
}

impl AppState {
    /// A page of configured and registered sites, and of profiles that were ever counted. It is
    /// short, with a next one, where most names in between are of no site any longer.
    async fn page_of_all_sites(&self, search: &SiteSearch) -> Result<NamePage, Problem> {
        let store = self.require_store()?;
        let mut page = NamePage::default();
        let (mut after, mut rows) = (search.after.clone(), search.limit + 1);
        for _ in 0..MAX_NAME_BATCHES {
            let stored = store
                .search_site_names(&after, &search.text, rows)
                .await
                .map_err(store_problem)?;
            let registered = self.search_entries(&after, &search.text, rows).await?;
            // A full batch may have left out names after its last one.
            let full = [&stored, &registered].into_iter();
            let full = full.filter(|names| names.len() == rows);
            let last = full.filter_map(|names| names.last()).min().cloned();

            let names: BTreeSet<&String> = stored.iter().chain(&registered).collect();
            for name in names {
                if last.as_ref().is_some_and(|last| name > last) {
                    break;
                }
                if self.is_site(name) && !page.push_name(name, search.limit) {
                    return Ok(page);
                }
            }
            let Some(last) = last else {
                page.next = None;
                return Ok(page);
            };
            page.next = Some(last.clone());
            (after, rows) = (last, rows * 2);
        }
        Ok(page)
    }

    async fn search_entries(
        &self,
        after: &str,
        text: &str,
        rows: usize,
    ) -> Result<Vec<String>, Problem> {
        let directory = Arc::clone(&self.registry.directory);
        let (after, text) = (after.to_owned(), text.to_owned());
        web::block(move || directory.search_names(&after, &text, rows))
            .await
            .map_err(|_| Problem::store_unavailable())
    }

    /// Whether a rule matches the name, and it is no alias.
    fn is_site(&self, name: &str) -> bool {
        let resolver = self.registry.directory.resolver();
        resolver.find_by_name(name).is_some() && resolver.registered().alias_target(name).is_none()
    }

    /// `None` if no rule matches the name any longer.
    fn site_row(&self, name: &str) -> Option<Value> {
        let (_, zone) = find_site(name, self).ok()?;
        let rule = self.registry.directory.find_rule(name);
        let (hosts, embed, max_amount) = rule
            .map(|rule| (rule.hosts, rule.embed, rule.max_amount))
            .unwrap_or_default();
        let registered = self.registry.directory.registered_entries();
        let others = registered.aliases_of(name).map(|alias| &**alias);
        let mut aliases: Vec<&str> = others.collect();
        let alias_count = aliases.len();
        aliases.truncate(MAX_ALIASES);
        Some(json!({
            "site": name, "zone": zone.iana_name(), "hosts": hosts, "aliases": aliases,
            "alias_count": alias_count, "embed": embed, "max_amount": max_amount,
            "keep_days": self.registry.directory.retention_policy().keep_days(name),
        }))
    }
}

fn invalid_search() -> Problem {
    invalid_query("accepted are search, after and limit (1 to 1000), once each")
}
