//! The versions of the consent prompt that were ever in use, and the check of the current one
//! against them.
//!
//! Each version belongs to exactly one register. A changed register under the same version would
//! change what visitors agreed to without their knowledge, so the collector does not start with it.

use serde::{Deserialize, Serialize};

use super::register::ConsentRegister;
use crate::config::{Config, NoticeChannel};

/// A version of the consent prompt, as it was first used.
#[derive(Deserialize, Serialize, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct PromptVersion {
    /// Its number, `consent.version`.
    pub version: u32,
    /// The UTC day it was first used.
    pub from: jiff::civil::Date,
    /// The register of this version.
    pub register: ConsentRegister,
    /// The optional tiers that visitors must decide about again.
    pub grew: Vec<String>,
    /// The channels through which account holders are notified.
    pub notices: Vec<NoticeChannel>,
}

/// A configuration that contradicts the versions in use.
#[derive(thiserror::Error, Debug)]
pub enum PolicyMismatch {
    /// The register differs from that of the same version. `difference` has one line per change.
    #[error(
        "consent.version is still {version}, but what it asks about has changed:\n  {}\nraise \
         consent.version and policy.effective_date, or take the change back", .difference.join("\n  ")
    )]
    RegisterChanged {
        /// The configured version.
        version: u32,
        /// The changes, one line each.
        difference: Vec<String>,
    },
    /// `found` is older than `newest`, the latest version in use.
    #[error(
        "consent.version is {found}, but {newest} was put already; accepted are {newest} and later"
    )]
    OlderVersion {
        /// The version that was found.
        found: u32,
        /// The latest version in use.
        newest: u32,
    },
    /// The register changed, but the effective date of the notice did not.
    #[error(
        "policy.effective_date is still {date}, but version {version} asks about something else:\n  \
         {}\nthe notice must say since when", .difference.join("\n  ")
    )]
    SameEffectiveDate {
        /// The configured version.
        version: u32,
        /// The configured date.
        date: jiff::civil::Date,
        /// The changes, one line each.
        difference: Vec<String>,
    },
}

/// The current version, if it was not used before; `None` if it is the latest one, unchanged.
/// `known` is sorted by version.
///
/// # Errors
///
/// The version is older than the latest one, or has another register, or its register changed
/// without a new effective date.
pub fn find_new_version(
    known: &[PromptVersion],
    config: &Config,
    today: jiff::civil::Date,
) -> Result<Option<PromptVersion>, PolicyMismatch> {
    let (register, version) = (ConsentRegister::from_config(config), config.consent.version);
    let first = |grew, notices| PromptVersion {
        version,
        from: today,
        register: register.clone(),
        grew,
        notices,
    };
    let Some(last) = known.last() else {
        // The first version ever: there is no change to notify of.
        return Ok(Some(first(register.tiers[1..].to_vec(), Vec::new())));
    };
    let difference = register.diff_from(&last.register);

    if version < last.version {
        return Err(PolicyMismatch::OlderVersion {
            found: version,
            newest: last.version,
        });
    }

    if version == last.version {
        return if difference.is_empty() {
            Ok(None)
        } else {
            Err(PolicyMismatch::RegisterChanged {
                version,
                difference,
            })
        };
    }

    if !difference.is_empty() && register.effective_date == last.register.effective_date {
        return Err(PolicyMismatch::SameEffectiveDate {
            version,
            date: register.effective_date,
            difference,
        });
    }

    Ok(Some(first(
        register.tiers_grown_since(&last.register),
        config.consent.notices.clone(),
    )))
}

/// The version at which a tier last gained a purpose or a provider; `u32::MAX` if it is in no
/// version.
pub fn last_grown_version(known: &[PromptVersion], tier: &str) -> u32 {
    let grew = |version: &&PromptVersion| version.grew.iter().any(|grown| grown == tier);
    known
        .iter()
        .rev()
        .find(grew)
        .map_or(u32::MAX, |version| version.version)
}

/// A notification for account holders, to be sent once.
#[derive(Serialize, PartialEq, Debug)]
pub struct VersionNotice {
    /// Increases from notice to notice, so a reader can request those after the last one it has
    /// read.
    pub id: u64,
    /// How to send it.
    pub channel: NoticeChannel,
    /// The version it announces.
    pub version: u32,
    /// The UTC day the version was first used.
    pub from: jiff::civil::Date,
    /// The date in the privacy notice from which on the version applies.
    pub effective_date: jiff::civil::Date,
    /// The tiers that visitors decide about again.
    pub grew: Vec<String>,
    /// The differences from the previous version, one line each.
    pub changes: Vec<String>,
}

/// All notices, oldest first. The first version has none.
pub fn list_notices(known: &[PromptVersion]) -> Vec<VersionNotice> {
    let pairs = known.iter().zip(known.iter().skip(1));

    let of_pair = |(before, now): (&PromptVersion, &PromptVersion)| {
        let notice = |(place, channel): (usize, &NoticeChannel)| VersionNotice {
            id: u64::from(now.version) * 8 + place as u64,
            channel: *channel,
            version: now.version,
            from: now.from,
            effective_date: now.register.effective_date,
            grew: now.grew.clone(),
            changes: now.register.diff_from(&before.register),
        };
        now.notices
            .iter()
            .enumerate()
            .map(notice)
            .collect::<Vec<_>>()
    };

    pairs.flat_map(of_pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigSources, load_config};

    fn config(settings: &[&str]) -> Config {
        let set = settings.iter().map(|pair| pair.split_once('=').unwrap());
        let set = set
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        load_config(
            ConfigSources {
                preset: Some("alllinks".into()),
                overrides: set,
                ..ConfigSources::default()
            },
            |_| unreachable!(),
        )
        .unwrap()
    }

    fn day(text: &str) -> jiff::civil::Date {
        text.parse().unwrap()
    }

    const PLAYER: &str = r#"register=[{tier="embeds",name="player",provider="Vimeo",purpose="video",life_secs=3600}]"#;

    fn known() -> Vec<PromptVersion> {
        vec![
            find_new_version(&[], &config(&[]), day("2026-01-05"))
                .unwrap()
                .unwrap(),
        ]
    }

    #[test]
    fn the_first_version_asks_about_every_tier_and_tells_nobody() {
        let known = known();
        assert_eq!(known[0].grew, ["preferences", "analytics", "embeds"]);
        assert_eq!(list_notices(&known), []);
        assert_eq!(
            find_new_version(&known, &config(&[]), day("2026-01-06")).unwrap(),
            None
        );
    }

    #[test]
    fn a_changed_register_under_the_same_version_is_refused_with_the_difference() {
        for (setting, line) in [
            (PLAYER, "+ embeds: player of Vimeo, video, 3600 s"),
            (
                "visitor.cookie.max_age_secs=3600",
                "- analytics: al_visit of alllinks",
            ),
            (
                "policy.effective_date=2026-02-01",
                "+ effective date 2026-02-01",
            ),
            ("consent.inert=[\"embeds\"]", "+ inert embeds"),
        ] {
            let error = find_new_version(&known(), &config(&[setting]), day("2026-01-06"))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(line) && error.contains("raise consent.version"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_new_version_with_another_register_needs_another_date_and_never_an_older_number() {
        let undated = find_new_version(
            &known(),
            &config(&["consent.version=2", PLAYER]),
            day("2026-02-01"),
        );
        assert!(
            undated
                .unwrap_err()
                .to_string()
                .contains("policy.effective_date is still 2026-01-01")
        );
        let newer = [PromptVersion {
            version: 5,
            ..known().remove(0)
        }];
        let older = find_new_version(&newer, &config(&["consent.version=4"]), day("2026-02-01"));
        assert!(
            older
                .unwrap_err()
                .to_string()
                .contains("accepted are 5 and later")
        );
    }

    #[test]
    fn only_the_tier_that_grew_is_asked_about_again_and_account_holders_are_told_once() {
        let mut known = known();
        let next = config(&[
            "consent.version=2",
            "policy.effective_date=2026-02-01",
            PLAYER,
        ]);
        known.push(
            find_new_version(&known, &next, day("2026-02-01"))
                .unwrap()
                .unwrap(),
        );
        assert_eq!(
            ["preferences", "analytics", "embeds"].map(|tier| last_grown_version(&known, tier)),
            [1, 1, 2]
        );
        let told = list_notices(&known);
        assert_eq!(told.len(), 1);
        assert_eq!(
            (told[0].channel, told[0].version, told[0].grew.join(",")),
            (NoticeChannel::DashboardBanner, 2, "embeds".into())
        );
        // Neither a removed entry nor a shorter lifetime is a new purpose.
        let less = config(&[
            "consent.version=3",
            "policy.effective_date=2026-03-01",
            "visitor.cookie.max_age_secs=3600",
        ]);
        known.push(
            find_new_version(&known, &less, day("2026-03-01"))
                .unwrap()
                .unwrap(),
        );
        assert_eq!(known[2].grew, Vec::<String>::new());
        assert_eq!(
            list_notices(&known)
                .iter()
                .map(|notice| notice.id)
                .collect::<Vec<_>>(),
            [16, 24]
        );
    }
}
