//! Rules for registrations: no page may count for two sites, and no site in two time zones.

use garde::Validate;

use crate::config::{AliasRule, RegisteredSites, SiteRule, find_id_collision};
use crate::event::{Problem, ProblemCode, SiteId};
use crate::sites::SiteDirectory;
use crate::store::StoreError;

/// Validates each entry independently, for a registry from a file.
pub(super) fn check_registered(registered: &RegisteredSites) -> Result<(), String> {
    let sites = registered.sites.iter().map(Validate::validate);
    sites
        .chain(registered.aliases.iter().map(Validate::validate))
        .try_for_each(|entry| entry)
        .map_err(|e| e.to_string())
}

pub(super) fn check_site(directory: &SiteDirectory, rule: &SiteRule) -> Result<(), Problem> {
    check_form(rule)?;
    let most = directory.max_keep_days();
    if rule.keep_days.is_some_and(|days| days > most) {
        return Err(bad_value(format!(
            "keep_days must be at most {most} where consent.basis is exempt_opt_out"
        )));
    }

    let registered = directory.registered_sites();
    if directory
        .configured_sites()
        .iter()
        .any(|site| site.id == rule.id)
    {
        return Err(taken_problem(
            "this site stands in the configuration; change it there",
        ));
    }
    if registered
        .aliases
        .iter()
        .any(|alias| alias.alias == rule.id)
    {
        return Err(taken_problem(
            "this name is another name of a site; remove that first",
        ));
    }

    check_unique_id(directory, &rule.id)?;

    let before = registered.sites.iter().find(|site| site.id == rule.id);
    if before.is_some_and(|site| site.zone != rule.zone) {
        return Err(taken_problem(
            "this site counts in another zone; to cut its days anew from now on, remove it first",
        ));
    }

    let of_others = registered
        .sites
        .iter()
        .filter(|site| site.id != rule.id)
        .flat_map(|site| &site.hosts);
    let of_file = directory
        .configured_sites()
        .iter()
        .flat_map(|site| &site.hosts);
    let of_rules = directory
        .profile_rules()
        .iter()
        .map(|profiles| &profiles.host);
    let mut others = of_others.chain(of_file).chain(of_rules);
    match others.find(|host| rule.hosts.contains(host)) {
        Some(host) => Err(taken_problem(&format!("{host} belongs to another site"))),
        None => Ok(()),
    }
}

pub(super) fn require_site(directory: &SiteDirectory, name: &str) -> Result<(), Problem> {
    match directory
        .registered_sites()
        .sites
        .iter()
        .any(|site| site.id == name)
    {
        true => Ok(()),
        false => Err(Problem::unknown_site()),
    }
}

pub(super) fn check_alias(directory: &SiteDirectory, rule: &AliasRule) -> Result<(), Problem> {
    check_form(rule)?;

    let registered = directory.registered_sites();
    if rule.alias == rule.site {
        return Err(taken_problem("a name is no other name of itself"));
    }
    if registered
        .aliases
        .iter()
        .any(|alias| alias.alias == rule.site)
    {
        return Err(taken_problem(
            "site is itself another name; name the site it stands for",
        ));
    }
    if registered
        .aliases
        .iter()
        .any(|alias| alias.site == rule.alias)
    {
        return Err(taken_problem(
            "this name has other names of its own; give those to the new site first",
        ));
    }

    let names = registered
        .sites
        .iter()
        .chain(directory.configured_sites())
        .map(|site| &site.id);
    if names.into_iter().any(|name| *name == rule.alias) {
        return Err(taken_problem("this name is a site with hosts of its own"));
    }

    check_unique_id(directory, &rule.site)?;
    directory
        .resolver()
        .find_by_name(&rule.site)
        .map(|_| ())
        .ok_or_else(Problem::unknown_site)
}

/// Rejects a name whose id equals that of another name.
fn check_unique_id(directory: &SiteDirectory, name: &str) -> Result<(), Problem> {
    let registered = directory.registered_sites();
    let sites = directory
        .configured_sites()
        .iter()
        .chain(&registered.sites)
        .map(|site| site.id.as_str());
    let others = sites.chain(registered.aliases.iter().map(|alias| alias.site.as_str()));
    match find_id_collision(others.chain([name]), SiteId::from_key) {
        Some(_) => Err(taken_problem("this name has the id of another site")),
        None => Ok(()),
    }
}

pub(super) fn require_alias(directory: &SiteDirectory, alias: &str) -> Result<(), Problem> {
    match directory
        .registered_sites()
        .aliases
        .iter()
        .any(|known| known.alias == alias)
    {
        true => Ok(()),
        false => Err(Problem::unknown_site()),
    }
}

pub(super) fn store_unavailable() -> Problem {
    Problem::new(ProblemCode::StoreUnavailable)
        .with_detail("the registry cannot be read or changed right now")
}

pub(super) fn store_problem(error: StoreError) -> Problem {
    tracing::error!(%error, "the registry cannot be read or changed");
    store_unavailable()
}

/// For errors after a change was begun.
pub(super) fn unconfirmed_problem(error: StoreError) -> Problem {
    tracing::error!(%error, "a change of the registry was not confirmed");
    Problem::change_unconfirmed()
}

fn check_form(rule: &impl Validate<Context = ()>) -> Result<(), Problem> {
    rule.validate().map_err(|report| {
        let problems: Vec<String> = report
            .iter()
            .map(|(path, error)| format!("{path} {error}"))
            .collect();
        bad_value(problems.join("; "))
    })
}

fn bad_value(detail: String) -> Problem {
    Problem::new(ProblemCode::InvalidValue).with_detail(detail)
}

pub(super) fn taken_problem(why: &str) -> Problem {
    Problem::new(ProblemCode::AlreadyTaken).with_detail(why.to_owned())
}
