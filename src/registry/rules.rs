//! Rules for registrations: no page may count for two sites, and no site in two calendars.

use garde::Validate;

use crate::config::{AliasRule, Directory, Registered, SiteRule, with_one_id};
use crate::event::{Problem, SiteId};
use crate::store::StoreError;

/// Validates each entry by itself, for a registry from a file.
pub(super) fn all(registered: &Registered) -> Result<(), String> {
    let sites = registered.sites.iter().map(Validate::validate);
    sites
        .chain(registered.aliases.iter().map(Validate::validate))
        .try_for_each(|entry| entry)
        .map_err(|e| e.to_string())
}

pub(super) fn site(directory: &Directory, rule: &SiteRule) -> Result<(), Problem> {
    form(rule)?;

    let registered = directory.registered();
    if directory.configured().iter().any(|site| site.id == rule.id) {
        return Err(taken("this site stands in the configuration; change it there"));
    }
    if registered.aliases.iter().any(|alias| alias.alias == rule.id) {
        return Err(taken("this name is another name of a site; remove that first"));
    }

    other_id(directory, &rule.id)?;

    let before = registered.sites.iter().find(|site| site.id == rule.id);
    if before.is_some_and(|site| site.zone != rule.zone) {
        return Err(taken("this site counts in another zone; to cut its days anew from now on, remove it first"));
    }

    let of_others = registered.sites.iter().filter(|site| site.id != rule.id).flat_map(|site| &site.hosts);
    let of_file = directory.configured().iter().flat_map(|site| &site.hosts);
    let of_rules = directory.profiles().iter().map(|profiles| &profiles.host);
    let mut others = of_others.chain(of_file).chain(of_rules);
    match others.find(|host| rule.hosts.contains(host)) {
        Some(host) => Err(taken(&format!("{host} belongs to another site"))),
        None => Ok(()),
    }
}

pub(super) fn registered_site(directory: &Directory, name: &str) -> Result<(), Problem> {
    match directory.registered().sites.iter().any(|site| site.id == name) {
        true => Ok(()),
        false => Err(Problem::unknown_site()),
    }
}

pub(super) fn alias(directory: &Directory, rule: &AliasRule) -> Result<(), Problem> {
    form(rule)?;

    let registered = directory.registered();
    if rule.alias == rule.site {
        return Err(taken("a name is no other name of itself"));
    }
    if registered.aliases.iter().any(|alias| alias.alias == rule.site) {
        return Err(taken("site is itself another name; name the site it stands for"));
    }
    if registered.aliases.iter().any(|alias| alias.site == rule.alias) {
        return Err(taken("this name has other names of its own; give those to the new site first"));
    }

    let names = registered.sites.iter().chain(directory.configured()).map(|site| &site.id);
    if names.into_iter().any(|name| *name == rule.alias) {
        return Err(taken("this name is a site with hosts of its own"));
    }

    other_id(directory, &rule.site)?;
    directory.hosts().by_name(&rule.site).map(|_| ()).ok_or_else(Problem::unknown_site)
}

/// Refuses a name whose id another name has.
fn other_id(directory: &Directory, name: &str) -> Result<(), Problem> {
    let registered = directory.registered();
    let sites = directory.configured().iter().chain(&registered.sites).map(|site| site.id.as_str());
    let others = sites.chain(registered.aliases.iter().map(|alias| alias.site.as_str()));
    match with_one_id(others.chain([name]), SiteId::of) {
        Some(_) => Err(taken("this name has the id of another site")),
        None => Ok(()),
    }
}

pub(super) fn registered_alias(directory: &Directory, alias: &str) -> Result<(), Problem> {
    match directory.registered().aliases.iter().any(|known| known.alias == alias) {
        true => Ok(()),
        false => Err(Problem::unknown_site()),
    }
}

pub(super) fn no_store() -> Problem {
    Problem::new(503, "store_unavailable", "The registry cannot be read or changed right now")
}

pub(super) fn away(error: StoreError) -> Problem {
    tracing::error!(%error, "the registry cannot be read or changed");
    no_store()
}

fn form(rule: &impl Validate<Context = ()>) -> Result<(), Problem> {
    rule.validate().map_err(|report| {
        let problems: Vec<String> = report.iter().map(|(path, error)| format!("{path} {error}")).collect();
        Problem::new(400, "bad_value", "This cannot be registered").detail(problems.join("; "))
    })
}

pub(super) fn taken(why: &str) -> Problem {
    Problem::new(409, "taken", "This cannot be registered").detail(why.to_owned())
}
