//! The consent cookie: `<version>.<tiers>.<consent id>.<key id>.<mac>` for a grant,
//! `<version>.none` for a refusal.
//!
//! Tiers are joined by `+`. All refusals of a version are equal and need no proof. Only a grant
//! contains an id, and only a grant must prove that it was issued here. Grants issued before
//! signing was introduced end after their id.

use super::id::ConsentId;

const REFUSAL_MARK: &str = "none";

/// A visitor's stored choice. Cannot be printed, because it holds the consent id.
pub struct StoredChoice<'a> {
    /// The version of the consent prompt that the choice was made in.
    pub version: u32,
    /// The id of a grant; `None` for a refusal.
    pub id: Option<ConsentId>,
    tiers: &'a str,
}

/// What a cookie claims to be, before it is verified.
pub(super) enum CookieClaim<'a> {
    Refusal,
    Signed {
        text: &'a str,
        key_id: &'a str,
        mac: &'a str,
    },
    Unsigned,
}

impl<'a> StoredChoice<'a> {
    /// Parses a cookie's value; `None` if it does not have the form of a consent cookie.
    pub(super) fn parse(value: &'a str) -> Option<(StoredChoice<'a>, CookieClaim<'a>)> {
        let mut parts = value.split('.');
        let version = parts.next()?.parse().ok()?;
        let tiers = parts.next()?;
        let rest = [parts.next(), parts.next(), parts.next()];
        if parts.next().is_some() {
            return None;
        }

        if tiers == REFUSAL_MARK {
            let refusal = StoredChoice {
                version,
                tiers,
                id: None,
            };
            return rest
                .iter()
                .all(Option::is_none)
                .then_some((refusal, CookieClaim::Refusal));
        }

        // No tier has this name: a grant of it would be read as a refusal once it is written again.
        if tiers.split('+').any(|tier| tier == REFUSAL_MARK) {
            return None;
        }
        let grant = |id: &str| {
            Some(StoredChoice {
                version,
                tiers,
                id: Some(ConsentId::from_hex(id)?),
            })
        };
        match rest {
            [Some(id), None, None] => Some((grant(id)?, CookieClaim::Unsigned)),
            [Some(id), Some(key_id), Some(mac)] => {
                let text = &value[..value.len() - mac.len() - 1];
                Some((grant(id)?, CookieClaim::Signed { text, key_id, mac }))
            }
            _ => None,
        }
    }

    /// Whether the choice includes this tier. Always `false` for a refusal.
    pub fn grants_tier(&self, tier: &str) -> bool {
        self.tiers().any(|granted| granted == tier)
    }

    /// The granted tiers, as written in the cookie; none for a refusal.
    pub fn tiers(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let tiers = if self.tiers == REFUSAL_MARK {
            ""
        } else {
            self.tiers
        };
        tiers.split('+').filter(|tier| !tier.is_empty())
    }

    /// The refusal that replaces a grant which was withdrawn elsewhere.
    pub(super) fn into_withdrawn(self) -> StoredChoice<'a> {
        StoredChoice {
            tiers: REFUSAL_MARK,
            id: None,
            ..self
        }
    }
}

/// The cookie value of a refusal.
pub fn refusal_value(version: u32) -> String {
    format!("{version}.{REFUSAL_MARK}")
}

/// The `Set-Cookie` value that deletes one of our cookies from the browser.
pub fn expired_cookie(name: &str, path: &str) -> String {
    format!("{name}=; Max-Age=0; Path={path}; Secure; HttpOnly; SameSite=Lax")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_grant_names_its_tiers_and_carries_an_id_a_key_and_a_mac() {
        let value = format!("3.preferences+analytics.{ID}.k1.abc");
        let (stored, claim) = StoredChoice::parse(&value).unwrap();
        assert_eq!(
            (stored.version, stored.tiers().collect::<Vec<_>>()),
            (3, vec!["preferences", "analytics"])
        );
        assert!(
            stored.grants_tier("analytics")
                && !stored.grants_tier("embeds")
                && !stored.grants_tier("none")
        );
        assert_eq!(stored.id.unwrap().to_hex(), ID);
        let CookieClaim::Signed { text, key_id, mac } = claim else {
            panic!("it is signed")
        };
        assert_eq!(
            (text, key_id, mac),
            (&*format!("3.preferences+analytics.{ID}.k1"), "k1", "abc")
        );
    }

    #[test]
    fn a_grant_of_before_has_no_mac() {
        let value = format!("3.analytics.{ID}");
        assert!(matches!(
            StoredChoice::parse(&value),
            Some((_, CookieClaim::Unsigned))
        ));
    }

    #[test]
    fn a_refusal_carries_no_id() {
        let (refused, claim) = StoredChoice::parse("3.none").unwrap();
        assert!(
            refused.id.is_none()
                && refused.tiers().next().is_none()
                && !refused.grants_tier("none")
        );
        assert!(matches!(claim, CookieClaim::Refusal));
        assert!(StoredChoice::parse(&format!("3.none.{ID}")).is_none());
        assert_eq!(refusal_value(3), "3.none");
    }

    #[test]
    fn what_is_not_ours_is_no_choice() {
        for value in [
            "",
            "3",
            "x.analytics",
            "3.analytics",
            "3.analytics.abc",
            &format!("3.analytics.{ID}.x"),
            &format!("3.analytics.{ID}.k1.m.x"),
            "3.analytics.abc.k1.m",
            "-1.none",
            &format!("3.+none.{ID}"),
            &format!("3.none+analytics.{ID}.k1.m"),
        ] {
            assert!(StoredChoice::parse(value).is_none(), "{value}");
        }
    }
}
