//! Rules about which pages are counted, as written in the configuration or in the registry.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use garde::Validate;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::storage::{MAX_KEEP_DAYS, MIN_KEEP_DAYS};

/// `[[profiles]]`: makes a site of each profile under a path of a host.
#[derive(Deserialize, Serialize, Validate, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct ProfileRule {
    /// Host of the profiles, in lower case, without a port.
    #[garde(custom(validate_host))]
    pub host: String,
    /// Path of a profile; `{profile}` is one path segment, the last one.
    #[garde(custom(validate_path))]
    pub path: String,
    /// Name of the site; `{profile}` is replaced by the profile.
    #[serde(default = "profile_name")]
    #[garde(custom(validate_template))]
    pub site: String,
    /// Time zone of the sites' days, from the tz database.
    #[garde(custom(validate_zone))]
    pub zone: String,
    /// Overrides `retention.keep_days` for these sites.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(range(min = MIN_KEEP_DAYS, max = MAX_KEEP_DAYS)))]
    pub keep_days: Option<u32>,
}

/// `[[sites]]`, or an entry of the registry: a site with a zone, and possibly hosts, of its own.
#[derive(Deserialize, Serialize, Validate, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct SiteRule {
    /// Name of the site.
    #[garde(custom(validate_name))]
    pub id: String,
    /// Hosts whose pages all belong to the site, in addition to its profile if it has one. Empty:
    /// the entry only gives a profile its own zone.
    #[garde(length(max = 100), inner(custom(validate_host)))]
    pub hosts: Vec<String>,
    /// Time zone of the site's days, from the tz database.
    #[garde(custom(validate_zone))]
    pub zone: String,
    /// Origins whose pages may embed the site's share links in a frame.
    #[serde(default)]
    #[garde(length(max = 20), inner(custom(validate_origin)))]
    pub embed: Vec<String>,
    /// Overrides `limits.max_amount` for this site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(range(min = 1, max = 1_000_000_000)))]
    pub max_amount: Option<u32>,
    /// Overrides `retention.keep_days`, and its profile rule's `keep_days`, for this site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(range(min = MIN_KEEP_DAYS, max = MAX_KEEP_DAYS)))]
    pub keep_days: Option<u32>,
}

/// Another name of a site, by which a renamed profile keeps its history.
#[derive(Deserialize, Serialize, Validate, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct AliasRule {
    /// The other name.
    #[garde(custom(validate_name))]
    pub alias: String,
    /// Name of the site.
    #[garde(custom(validate_name))]
    pub site: String,
}

/// A map by name that can be cloned and changed in O(log n): a clone shares what is unchanged.
pub type NameMap<V> =
    imbl::GenericHashMap<Arc<str>, V, foldhash::fast::RandomState, imbl::shared_ptr::ArcK>;

/// A change of the registry. The entry of a name is what its change with the highest revision says.
#[derive(Deserialize, Serialize, Clone, PartialEq, Debug)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RegistryChange {
    /// A site is registered, or its rule replaced.
    Site {
        /// The rule from now on.
        rule: SiteRule,
        /// The revision of its row.
        revision: u64,
    },
    /// A site is registered no more.
    RemovedSite {
        /// Its name.
        name: String,
        /// The revision of its row.
        revision: u64,
    },
    /// An alias is registered, or moved to another site.
    Alias {
        /// The rule from now on.
        rule: AliasRule,
        /// The revision of its row.
        revision: u64,
    },
    /// An alias is registered no more.
    RemovedAlias {
        /// The other name.
        alias: String,
        /// The revision of its row.
        revision: u64,
    },
}

impl RegistryChange {
    /// The name of the entry.
    pub fn name(&self) -> &str {
        match self {
            RegistryChange::Site { rule, .. } => &rule.id,
            RegistryChange::Alias { rule, .. } => &rule.alias,
            RegistryChange::RemovedSite { name, .. } => name,
            RegistryChange::RemovedAlias { alias, .. } => alias,
        }
    }

    /// The rule is as a registration of it must be.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check_rule(&self) -> Result<(), garde::Report> {
        match self {
            RegistryChange::Site { rule, .. } => rule.validate(),
            RegistryChange::Alias { rule, .. } => rule.validate(),
            RegistryChange::RemovedSite { .. } | RegistryChange::RemovedAlias { .. } => Ok(()),
        }
    }
}

/// Whether `name` is 1 to 64 ASCII letters, digits, `.`, `_`, `~` or `-`.
pub fn is_site_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b))
}

/// The first two names with the same id. Their counts would be one sum that both owners could read.
/// Ids of 128 bits make this infeasible to find; if it happens, neither is accepted.
pub fn find_id_collision<'a, I: Eq + Hash>(
    names: impl IntoIterator<Item = &'a str>,
    id: impl Fn(&str) -> I,
) -> Option<(&'a str, &'a str)> {
    let mut known = HashMap::new();
    names.into_iter().find_map(|name| {
        let first = *known.entry(id(name)).or_insert(name);
        (first != name).then_some((first, name))
    })
}

fn profile_name() -> String {
    "{profile}".to_owned()
}

fn validate_name(value: &str, _: &()) -> garde::Result {
    if is_site_name(value) {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be 1 to 64 of letters, digits and . _ ~ -",
        ))
    }
}

fn validate_host(value: &str, _: &()) -> garde::Result {
    let ok = !value.is_empty()
        && value.len() <= 253
        && value
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-[]:".contains(&b))
        && !value.ends_with('.')
        && (value.starts_with('[') || !value.contains(':'))
        && url::Url::parse(&format!("http://{value}/")).is_ok_and(|u| u.port().is_none());
    if ok {
        return Ok(());
    }
    Err(garde::Error::new(
        "must be a host in lower case without a port or a dot at its end, such as alllinks.cc",
    ))
}

/// Part of a header: only scheme, host and port.
fn validate_origin(value: &str, _: &()) -> garde::Result {
    let is_plain = |url: &url::Url| {
        matches!(url.scheme(), "https" | "http")
            && url
                .host_str()
                .is_some_and(|host| validate_host(host, &()).is_ok())
            && url.origin().ascii_serialization() == value
    };
    match url::Url::parse(value).is_ok_and(|url| is_plain(&url)) {
        true => Ok(()),
        false => Err(garde::Error::new(
            "must be an origin such as https://mia.example, without a path",
        )),
    }
}

fn validate_path(value: &str, _: &()) -> garde::Result {
    let ok =
        value.starts_with('/') && value.ends_with("/{profile}") && value.matches('{').count() == 1;
    if ok {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must start with / and end with /{profile}, such as /u/{profile}",
        ))
    }
}

fn validate_template(value: &str, _: &()) -> garde::Result {
    let ok =
        value.matches("{profile}").count() == 1 && is_site_name(&value.replace("{profile}", "x"));
    if ok {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must hold {profile} once, beside letters, digits and . _ ~ -",
        ))
    }
}

fn validate_zone(value: &str, _: &()) -> garde::Result {
    TimeZone::get(value).map(|_| ()).map_err(|_| {
        garde::Error::new("must be a zone of the tz database, such as Europe/Berlin or UTC")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_with_one_id_are_found_and_a_name_twice_is_none() {
        let of = |names: &[&'static str]| find_id_collision(names.iter().copied(), str::len);
        assert_eq!(
            of(&["mia", "ann-marie", "mia", "tom", "x"]),
            Some(("mia", "tom"))
        );
        assert_eq!(of(&["mia", "mia", "x"]), None);
    }

    #[test]
    fn a_host_is_written_in_one_way() {
        for good in [
            "shop.example",
            "[::1]",
            "127.0.0.1",
            "xn--mnchen-3ya.example",
        ] {
            assert!(validate_host(good, &()).is_ok(), "{good}");
        }
        for bad in [
            "shop.example.",
            "Shop.example",
            "shop.example:80",
            "https://shop.example",
            "",
        ] {
            assert!(validate_host(bad, &()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        for good in [
            "https://mia.example",
            "https://mia.example:8443",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
        ] {
            assert!(validate_origin(good, &()).is_ok(), "{good}");
        }
        for bad in [
            "mia.example",
            "https://mia.example/",
            "https://mia.example/tour",
            "https://*.example",
            "https://Mia.example",
            "https://mia.example;script-src *",
            "https://mia.example https://b.example",
            "https://a@mia.example",
            "https://mia.example:443",
            "data:text/html,x",
            "",
        ] {
            assert!(validate_origin(bad, &()).is_err(), "{bad}");
        }
    }
}
