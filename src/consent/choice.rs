//! The consent cookie: `<version>.<tiers>.<consent id>` for a grant, `<version>.none` for a refusal.
//!
//! Tiers are joined by `+`. A refusal is the same for everybody who refused; only a grant carries an id, and nothing outside this
//! folder ever sees it.

use super::id::ConsentId;

/// A person's stored choice, without the id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    pub version: u32,
    /// Whether the tier that was asked about is granted.
    pub granted: bool,
}

impl Choice {
    /// Reads a cookie's value; `None` where it is not one of ours.
    pub fn read(value: &str, tier: &str) -> Option<Choice> {
        let mut parts = value.split('.');
        let version = parts.next()?.parse().ok()?;
        let tiers = parts.next()?;
        let id = parts.next();
        if parts.next().is_some() {
            return None;
        }
        if tiers == "none" {
            return id.is_none().then_some(Choice { version, granted: false });
        }
        // A grant without a well-formed id was not given to us: it proves nothing.
        ConsentId::read(id?)?;
        Some(Choice { version, granted: tiers.split('+').any(|granted| granted == tier) })
    }
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
        let grant = Choice::read(&format!("3.preferences+analytics.{ID}"), "analytics");
        assert_eq!(grant, Some(Choice { version: 3, granted: true }));
        let other = Choice::read(&format!("3.preferences.{ID}"), "analytics");
        assert_eq!(other, Some(Choice { version: 3, granted: false }));
    }

    #[test]
    fn a_refusal_carries_no_id() {
        assert_eq!(Choice::read("3.none", "analytics"), Some(Choice { version: 3, granted: false }));
        assert_eq!(Choice::read(&format!("3.none.{ID}"), "analytics"), None);
    }

    #[test]
    fn what_is_not_ours_is_no_choice() {
        for value in
            ["", "3", "x.analytics", "3.analytics", "3.analytics.abc", &format!("3.analytics.{ID}.x"), "-1.none"]
        {
            assert_eq!(Choice::read(value, "analytics"), None, "{value}");
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        assert_eq!(cookie("xff_consent=2; ff_consent=1.none", "ff_consent"), Some("1.none"));
        assert_eq!(cookie("ff_consent2=1", "ff_consent"), None);
        assert_eq!(cookie("", "ff_consent"), None);
    }
}
