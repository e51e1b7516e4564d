//! The consent cookie: `<version>.<tiers>.<consent id>` for a grant, `<version>.none` for a refusal.
//!
//! Tiers are joined by `+`. A refusal is the same for everybody who refused; only a grant carries an id.

use super::id::ConsentId;

const REFUSED: &str = "none";

/// A person's stored choice. Cannot be printed: it holds the id.
#[derive(Clone, Copy)]
pub struct Stored<'a> {
    pub version: u32,
    /// `None` of a refusal.
    pub id: Option<ConsentId>,
    tiers: &'a str,
}

impl<'a> Stored<'a> {
    /// Reads a cookie's value; `None` where it is not one of ours.
    pub fn read(value: &'a str) -> Option<Stored<'a>> {
        let mut parts = value.split('.');
        let version = parts.next()?.parse().ok()?;
        let tiers = parts.next()?;
        let id = parts.next();
        if parts.next().is_some() {
            return None;
        }
        if tiers == REFUSED {
            return id.is_none().then_some(Stored { version, tiers, id: None });
        }
        // A grant without a well-formed id was not given to us: it proves nothing.
        let id = Some(ConsentId::read(id?)?);
        Some(Stored { version, tiers, id })
    }

    pub fn grants(&self, tier: &str) -> bool {
        self.tiers().any(|granted| granted == tier)
    }

    pub fn tiers(&self) -> impl Iterator<Item = &'a str> {
        let tiers = if self.tiers == REFUSED { "" } else { self.tiers };
        tiers.split('+').filter(|tier| !tier.is_empty())
    }

    /// What is left of a grant that was withdrawn elsewhere.
    pub(super) fn withdrawn(self) -> Stored<'a> {
        Stored { tiers: REFUSED, id: None, ..self }
    }
}

/// The value of a grant's cookie.
pub fn grant(version: u32, tiers: &[&str], id: ConsentId) -> String {
    format!("{version}.{}.{}", tiers.join("+"), id.hex())
}

/// The value of a refusal's cookie.
pub fn refusal(version: u32) -> String {
    format!("{version}.{REFUSED}")
}

/// The `Set-Cookie` that takes a cookie of ours out of the browser.
pub fn expired(name: &str, path: &str) -> String {
    format!("{name}=; Max-Age=0; Path={path}; Secure; HttpOnly; SameSite=Lax")
}

/// The value of one cookie of a `Cookie` field.
pub fn cookie<'a>(cookies: &'a str, name: &str) -> Option<&'a str> {
    cookies.split(';').find_map(|pair| pair.trim_start().strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_grant_names_its_tiers_and_carries_an_id() {
        let value = format!("3.preferences+analytics.{ID}");
        let stored = Stored::read(&value).unwrap();
        assert_eq!((stored.version, stored.tiers().collect::<Vec<_>>()), (3, vec!["preferences", "analytics"]));
        assert!(stored.grants("analytics") && !stored.grants("embeds") && !stored.grants("none"));
        assert_eq!(grant(3, &["preferences", "analytics"], stored.id.unwrap()), value);
    }

    #[test]
    fn a_refusal_carries_no_id() {
        let refused = Stored::read("3.none").unwrap();
        assert!(refused.id.is_none() && refused.tiers().next().is_none() && !refused.grants("none"));
        assert!(Stored::read(&format!("3.none.{ID}")).is_none());
        assert_eq!(refusal(3), "3.none");
    }

    #[test]
    fn what_is_not_ours_is_no_choice() {
        for value in
            ["", "3", "x.analytics", "3.analytics", "3.analytics.abc", &format!("3.analytics.{ID}.x"), "-1.none"]
        {
            assert!(Stored::read(value).is_none(), "{value}");
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        assert_eq!(cookie("xff_consent=2; ff_consent=1.none", "ff_consent"), Some("1.none"));
        assert_eq!(cookie("ff_consent2=1", "ff_consent"), None);
        assert_eq!(cookie("", "ff_consent"), None);
    }
}
