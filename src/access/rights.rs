//! The permissions of each kind of principal.

use std::sync::Arc;

use super::keys::{ApiToken, Scope};

/// The principal of a request, as far as it is authenticated. The holder of a share link has no
/// principal: the link opens its own report and nothing else.
#[derive(Clone)]
pub enum Who {
    /// Not authenticated.
    Nobody,
    /// May do everything.
    Operator,
    /// The creator of these sites, as stated by the platform when it handed over the session.
    Creator(Arc<[String]>),
    /// The holder of an API token.
    Token(Arc<ApiToken>),
}

/// An operation that needs a permission.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Right<'a> {
    /// Read the reports of one site, by the name in the path.
    Site(&'a str),
    /// Create, list and revoke share links of one site.
    Shares(&'a str),
    /// Change what is registered under the name of a site.
    Register(&'a str),
    /// List the sites the principal may see.
    Sites,
    /// Read statistics that concern no site: how many hits were dropped, and why.
    Drops,
    /// Read the reports and the state of the platform.
    Platform,
    /// Sign mails and read the results of the platform's mails.
    Mail,
    /// Change the aliases of sites.
    Manage,
    /// Create and revoke API tokens, and read the audit log.
    Keys,
}

/// Why an operation is denied. A site the principal may not see is answered like one that does not
/// exist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Denied {
    /// The request is not authenticated.
    Nobody,
    /// The principal may not see the site.
    UnknownSite,
    /// The principal lacks the permission.
    Missing,
}

impl Who {
    /// Decides whether this principal may do `right`. `same` tells whether two names mean one site,
    /// because a renamed profile has two.
    ///
    /// # Errors
    ///
    /// The reason why not. A site that is out of reach takes precedence over a missing permission.
    pub fn may(&self, right: Right<'_>, same: impl Fn(&str, &str) -> bool) -> Result<(), Denied> {
        match self {
            Who::Nobody => return Err(Denied::Nobody),
            Who::Operator => return Ok(()),
            Who::Creator(_) | Who::Token(_) => {}
        }

        let reach = |name: &str| if self.reaches(name, &same) { Ok(()) } else { Err(Denied::UnknownSite) };
        let need = |holds: bool| if holds { Ok(()) } else { Err(Denied::Missing) };

        match right {
            Right::Site(name) => reach(name).and(need(self.has(Scope::Read))),
            Right::Shares(name) => reach(name).and(need(self.has(Scope::Manage))),
            Right::Register(name) => reach(name).and(need(self.of_platform(Scope::Manage))),
            Right::Sites => need(self.has(Scope::Read) || self.has(Scope::Manage)),
            Right::Drops => need(self.has(Scope::Read)),
            Right::Platform => need(self.of_platform(Scope::Read)),
            Right::Mail => need(self.of_platform(Scope::Mail)),
            Right::Manage => need(self.of_platform(Scope::Manage)),
            // A token that can create tokens could outlive its own revocation.
            Right::Keys => Err(Denied::Missing),
        }
    }

    /// The name in the audit log.
    pub fn name(&self) -> String {
        match self {
            Who::Nobody => "nobody".to_owned(),
            Who::Operator => "operator".to_owned(),
            Who::Creator(_) => "creator".to_owned(),
            Who::Token(token) => format!("token {}", token.name),
        }
    }

    fn reaches(&self, name: &str, same: impl Fn(&str, &str) -> bool) -> bool {
        match self {
            Who::Creator(sites) => sites.iter().any(|own| same(own, name)),
            Who::Token(token) => token.site.as_ref().is_none_or(|own| same(own, name)),
            Who::Nobody | Who::Operator => false,
        }
    }

    fn has(&self, scope: Scope) -> bool {
        match self {
            Who::Creator(_) => matches!(scope, Scope::Read | Scope::Manage),
            Who::Token(token) => token.scopes.contains(&scope),
            Who::Nobody | Who::Operator => false,
        }
    }

    fn of_platform(&self, scope: Scope) -> bool {
        matches!(self, Who::Token(token) if token.site.is_none()) && self.has(scope)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn token(site: Option<&str>, scopes: &[Scope]) -> Who {
        Who::Token(Arc::new(ApiToken {
            id: "1".into(),
            name: "of a test".into(),
            scopes: scopes.to_vec(),
            site: site.map(str::to_owned),
            expires: None,
            created: date(2026, 1, 1),
            revoked: false,
        }))
    }

    /// `mia-new` is an alias of `mia`.
    fn same(one: &str, other: &str) -> bool {
        let first = |name: &str| name.trim_end_matches("-new").to_owned();
        first(one) == first(other)
    }

    #[test]
    fn the_table_of_rights() {
        use Right::*;
        let rights = [Site("mia"), Site("tom"), Shares("mia"), Shares("tom"), Register("mia"), Register("tom")];
        let rights = rights.into_iter().chain([Sites, Drops, Platform, Mail, Manage, Keys]);
        let rights: Vec<Right> = rights.collect();
        // y = yes, u = like an unknown site, m = a permission is missing, n = not authenticated
        for (who, expected) in [
            (Who::Nobody, "nnnnnnnnnnnn"),
            (Who::Operator, "yyyyyyyyyyyy"),
            (Who::Creator(["mia".to_owned()].into()), "yuyumuyymmmm"),
            (Who::Creator(["mia-new".to_owned()].into()), "yuyumuyymmmm"),
            (Who::Creator([].into()), "uuuuuuyymmmm"),
            (token(Some("mia"), &[Scope::Read]), "yumumuyymmmm"),
            (token(Some("mia"), &[Scope::Manage]), "muyumuymmmmm"),
            (token(Some("mia"), &[Scope::Mail]), "mumumummmmmm"),
            (token(None, &[Scope::Read]), "yymmmmyyymmm"),
            (token(None, &[Scope::Manage]), "mmyyyyymmmym"),
            (token(None, &[Scope::Mail]), "mmmmmmmmmymm"),
        ] {
            let found: String = rights
                .iter()
                .map(|right| match who.may(*right, same) {
                    Ok(()) => 'y',
                    Err(Denied::UnknownSite) => 'u',
                    Err(Denied::Missing) => 'm',
                    Err(Denied::Nobody) => 'n',
                })
                .collect();
            assert_eq!(found, expected, "{}", who.name());
        }
    }
}
