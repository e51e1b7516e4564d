//! The permissions of each kind of principal.

use std::sync::Arc;

use super::credentials::{ApiToken, TokenScope};

/// The principal of a request, as far as it is authenticated. The holder of a share link has no
/// principal: the link opens its own report and nothing else.
#[derive(Clone)]
pub enum Principal {
    /// Not authenticated.
    Anonymous,
    /// May do everything.
    Operator,
    /// The creator of these sites, as stated by the platform when it handed over the session.
    Creator(Arc<[String]>),
    /// The holder of an API token.
    Token(Arc<ApiToken>),
}

/// An operation that needs a permission.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permission<'a> {
    /// Read the reports of one site, by the name in the path.
    ReadSite(&'a str),
    /// Create, list and revoke share links of one site.
    ManageShareLinks(&'a str),
    /// Change what is registered under the name of a site.
    RegisterSite(&'a str),
    /// List the sites the principal may see.
    ListSites,
    /// Read statistics that concern no site: how many hits were dropped, and why.
    ReadDrops,
    /// Read the reports and the state of the platform.
    ReadPlatform,
    /// Sign mails and read the results of the platform's mails.
    UseMail,
    /// Change the aliases of sites.
    ManageAliases,
    /// Create and revoke API tokens, and read the audit log.
    ManageTokens,
    /// Erase all that is stored about a site.
    EraseSite(&'a str),
}

/// Why an operation is denied. The response for a site that the principal may not see is the same
/// as for one that does not exist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DenialReason {
    /// The request is not authenticated.
    Unauthenticated,
    /// The principal may not see the site.
    UnknownSite,
    /// The principal lacks the permission.
    MissingPermission,
}

impl Principal {
    /// Checks the permission `right`. `same` returns whether two names mean one site, because a
    /// renamed profile has two.
    ///
    /// # Errors
    ///
    /// Why it is denied. An unknown site takes precedence over a missing permission.
    pub fn check_permission(
        &self,
        right: Permission<'_>,
        same: impl Fn(&str, &str) -> bool,
    ) -> Result<(), DenialReason> {
        match self {
            Principal::Anonymous => return Err(DenialReason::Unauthenticated),
            Principal::Operator => return Ok(()),
            Principal::Creator(_) | Principal::Token(_) => {}
        }

        let reach = |name: &str| {
            if self.can_see_site(name, &same) {
                Ok(())
            } else {
                Err(DenialReason::UnknownSite)
            }
        };
        let need = |holds: bool| {
            if holds {
                Ok(())
            } else {
                Err(DenialReason::MissingPermission)
            }
        };

        match right {
            Permission::ReadSite(name) => reach(name).and(need(self.has_scope(TokenScope::Read))),
            Permission::ManageShareLinks(name) => {
                reach(name).and(need(self.has_scope(TokenScope::Manage)))
            }
            Permission::RegisterSite(name) => {
                reach(name).and(need(self.has_platform_scope(TokenScope::Manage)))
            }
            Permission::ListSites => {
                need(self.has_scope(TokenScope::Read) || self.has_scope(TokenScope::Manage))
            }
            Permission::ReadDrops => need(self.has_scope(TokenScope::Read)),
            Permission::ReadPlatform => need(self.has_platform_scope(TokenScope::Read)),
            Permission::UseMail => need(self.has_platform_scope(TokenScope::Mail)),
            Permission::ManageAliases => need(self.has_platform_scope(TokenScope::Manage)),
            // A token that can create tokens could outlive its own revocation.
            Permission::ManageTokens => Err(DenialReason::MissingPermission),
            // What is erased cannot be restored; a token can be stolen.
            Permission::EraseSite(name) => reach(name).and(Err(DenialReason::MissingPermission)),
        }
    }

    /// The name in the audit log.
    pub fn audit_name(&self) -> String {
        match self {
            Principal::Anonymous => "nobody".to_owned(),
            Principal::Operator => "operator".to_owned(),
            Principal::Creator(_) => "creator".to_owned(),
            Principal::Token(token) => format!("token {}", token.name),
        }
    }

    fn can_see_site(&self, name: &str, same: impl Fn(&str, &str) -> bool) -> bool {
        match self {
            Principal::Creator(sites) => sites.iter().any(|own| same(own, name)),
            Principal::Token(token) => token.site.as_ref().is_none_or(|own| same(own, name)),
            Principal::Anonymous | Principal::Operator => false,
        }
    }

    fn has_scope(&self, scope: TokenScope) -> bool {
        match self {
            Principal::Creator(_) => matches!(scope, TokenScope::Read | TokenScope::Manage),
            Principal::Token(token) => token.scopes.contains(&scope),
            Principal::Anonymous | Principal::Operator => false,
        }
    }

    fn has_platform_scope(&self, scope: TokenScope) -> bool {
        matches!(self, Principal::Token(token) if token.site.is_none()) && self.has_scope(scope)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn token(site: Option<&str>, scopes: &[TokenScope]) -> Principal {
        Principal::Token(Arc::new(ApiToken {
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
        use Permission::*;
        let rights = [
            ReadSite("mia"),
            ReadSite("tom"),
            ManageShareLinks("mia"),
            ManageShareLinks("tom"),
            RegisterSite("mia"),
            RegisterSite("tom"),
        ];
        let rights = rights.into_iter().chain([
            ListSites,
            ReadDrops,
            ReadPlatform,
            UseMail,
            ManageAliases,
            ManageTokens,
            EraseSite("mia"),
        ]);
        let rights: Vec<Permission> = rights.collect();
        // y = yes, u = like an unknown site, m = a permission is missing, n = not authenticated
        for (who, expected) in [
            (Principal::Anonymous, "nnnnnnnnnnnnn"),
            (Principal::Operator, "yyyyyyyyyyyyy"),
            (
                Principal::Creator(["mia".to_owned()].into()),
                "yuyumuyymmmmm",
            ),
            (
                Principal::Creator(["mia-new".to_owned()].into()),
                "yuyumuyymmmmm",
            ),
            (Principal::Creator([].into()), "uuuuuuyymmmmu"),
            (token(Some("mia"), &[TokenScope::Read]), "yumumuyymmmmm"),
            (token(Some("mia"), &[TokenScope::Manage]), "muyumuymmmmmm"),
            (token(Some("mia"), &[TokenScope::Mail]), "mumumummmmmmm"),
            (token(None, &[TokenScope::Read]), "yymmmmyyymmmm"),
            (token(None, &[TokenScope::Manage]), "mmyyyyymmmymm"),
            (token(None, &[TokenScope::Mail]), "mmmmmmmmmymmm"),
        ] {
            let found: String = rights
                .iter()
                .map(|right| match who.check_permission(*right, same) {
                    Ok(()) => 'y',
                    Err(DenialReason::UnknownSite) => 'u',
                    Err(DenialReason::MissingPermission) => 'm',
                    Err(DenialReason::Unauthenticated) => 'n',
                })
                .collect();
            assert_eq!(found, expected, "{}", who.audit_name());
        }
    }
}
