//! Rules for registrations: no page may count for two sites, and no site in two time zones.

use garde::Validate;

use crate::config::{AliasRule, SiteRule};
use crate::event::{Problem, ProblemCode, SiteId};
use crate::sites::{SiteDirectory, SiteResolver};
use crate::store::StoreError;

pub(super) fn check_site(directory: &SiteDirectory, rule: &SiteRule) -> Result<(), Problem> {
    check_form(rule)?;
    let most = directory.max_keep_days();
    if rule.keep_days.is_some_and(|days| days > most) {
        return Err(bad_value(format!(
            "keep_days must be at most {most} where consent.basis is exempt_opt_out"
        )));
    }

    let resolver = directory.resolver();
    let registered = resolver.registered();
    if resolver.is_configured_site(&rule.id) {
        return Err(taken_problem(
            "this site stands in the configuration; change it there",
        ));
    }
    if registered.alias_target(&rule.id).is_some() {
        return Err(taken_problem(
            "this name is another name of a site; remove that first",
        ));
    }

    check_unique_id(&resolver, &rule.id)?;

    let before = registered.find_site(&rule.id);
    if before.is_some_and(|site| site.zone != directory.time_zones().intern_zone(&rule.zone)) {
        return Err(taken_problem(
            "this site counts in another zone; to cut its days anew from now on, remove it first",
        ));
    }

    let of_another = |host: &&String| {
        resolver.is_configured_host(host)
            || registered.find_host_of_another(host, &rule.id).is_some()
    };
    match rule.hosts.iter().find(of_another) {
        Some(host) => Err(taken_problem(&format!("{host} belongs to another site"))),
        None => Ok(()),
    }
}

pub(super) fn require_site(directory: &SiteDirectory, name: &str) -> Result<(), Problem> {
    match directory.resolver().registered().find_site(name) {
        Some(_) => Ok(()),
        None => Err(Problem::unknown_site()),
    }
}

pub(super) fn check_alias(directory: &SiteDirectory, rule: &AliasRule) -> Result<(), Problem> {
    check_form(rule)?;

    let resolver = directory.resolver();
    let registered = resolver.registered();
    if rule.alias == rule.site {
        return Err(taken_problem("a name is no other name of itself"));
    }
    if registered.alias_target(&rule.site).is_some() {
        return Err(taken_problem(
            "site is itself another name; name the site it stands for",
        ));
    }
    if registered.has_alias(&rule.alias) {
        return Err(taken_problem(
            "this name has other names of its own; give those to the new site first",
        ));
    }
    if registered.find_site(&rule.alias).is_some() || resolver.is_configured_site(&rule.alias) {
        return Err(taken_problem("this name is a site with hosts of its own"));
    }

    check_unique_id(&resolver, &rule.site)?;
    resolver
        .find_by_name(&rule.site)
        .map(|_| ())
        .ok_or_else(Problem::unknown_site)
}

/// Rejects a name whose id equals that of another name.
fn check_unique_id(resolver: &SiteResolver, name: &str) -> Result<(), Problem> {
    match resolver.find_name(SiteId::from_key(name)) {
        Some(known) if known != name => Err(taken_problem("this name has the id of another site")),
        _ => Ok(()),
    }
}

pub(super) fn require_alias(directory: &SiteDirectory, alias: &str) -> Result<(), Problem> {
    match directory.resolver().registered().alias_target(alias) {
        Some(_) => Ok(()),
        None => Err(Problem::unknown_site()),
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
    if matches!(error, StoreError::ReplicaAway) {
        // Nothing was changed.
        return store_problem(error);
    }
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
