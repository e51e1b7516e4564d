//! The register: everything the consent prompt covers. A grant covers exactly the entries of its
//! version's register.

use serde::{Deserialize, Serialize};

use crate::config::{Config, PromptStyle, RegisterRule, VisitorMode};

/// What is stored in or read from a browser, for which purpose, by whom and for how long; and the
/// kind of prompt. Its JSON form is kept with each version.
#[derive(Deserialize, Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct ConsentRegister {
    /// The date in the privacy notice from which on this register applies.
    pub effective_date: jiff::civil::Date,
    /// The kind of consent prompt.
    pub ui: PromptStyle,
    /// All tiers; the first is the necessary one, which cannot be refused.
    pub tiers: Vec<String>,
    /// The tiers that are shown but have no effect yet.
    pub inert: Vec<String>,
    /// All entries, sorted.
    pub entries: Vec<RegisterRule>,
}

impl ConsentRegister {
    /// The register of a configuration: the platform's entries and the collector's own, sorted, so
    /// that their order in the file does not matter.
    pub fn from_config(config: &Config) -> ConsentRegister {
        let consent = &config.consent;
        let own = |tier: &str, name: &str, purpose: &str, life_secs: u64| RegisterRule {
            tier: tier.to_owned(),
            name: name.to_owned(),
            provider: consent.site.clone(),
            purpose: purpose.to_owned(),
            life_secs,
        };

        let mut entries = config.register.clone();
        let choice = &consent.cookie;
        entries.push(own(
            &consent.tiers[0],
            &choice.name,
            "keeps the answer to this question",
            choice.max_age_secs,
        ));

        if config.visitor.mode == VisitorMode::FlagCookie {
            let visit = &config.visitor.cookie;
            let purpose =
                "tells a browser that was here before from a new one; the same value for everybody";
            entries.push(own(
                &consent.analytics_tier,
                &visit.name,
                purpose,
                visit.max_age_secs,
            ));
        }

        entries.sort();
        ConsentRegister {
            effective_date: config.policy.effective_date,
            ui: consent.ui,
            tiers: consent.tiers.clone(),
            inert: consent.inert.clone(),
            entries,
        }
    }

    /// The bytes whose digest identifies the register.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a struct of text and numbers is always JSON")
    }

    /// The optional tiers that gained a purpose or a provider since `before`, are new, or are no
    /// longer inert.
    pub fn tiers_grown_since(&self, before: &ConsentRegister) -> Vec<String> {
        let new = |entry: &&RegisterRule| {
            let same = |old: &RegisterRule| {
                (&old.tier, &old.provider, &old.purpose)
                    == (&entry.tier, &entry.provider, &entry.purpose)
            };
            !before.entries.iter().any(same)
        };

        let gained: Vec<&str> = self
            .entries
            .iter()
            .filter(new)
            .map(|entry| entry.tier.as_str())
            .collect();
        let grown = |tier: &&String| {
            let name = tier.as_str();
            let wakes = before.inert.contains(tier) && !self.inert.contains(tier);
            !before.tiers.contains(tier) || gained.contains(&name) || wakes
        };

        self.tiers[1..].iter().filter(grown).cloned().collect()
    }

    /// The differences from `before`, one line each, starting with `-` or `+`, for operators.
    pub fn diff_from(&self, before: &ConsentRegister) -> Vec<String> {
        let mut lines = Vec::new();
        let mut changed = |what: &str, old: String, new: String| {
            if old != new {
                lines.push(format!("- {what} {old}"));
                lines.push(format!("+ {what} {new}"));
            }
        };

        changed(
            "effective date",
            before.effective_date.to_string(),
            self.effective_date.to_string(),
        );
        changed("ui", before.ui.name().to_owned(), self.ui.name().to_owned());
        changed("tiers", before.tiers.join(", "), self.tiers.join(", "));
        changed("inert", before.inert.join(", "), self.inert.join(", "));

        let gone = before
            .entries
            .iter()
            .filter(|entry| !self.entries.contains(entry));
        let come = self
            .entries
            .iter()
            .filter(|entry| !before.entries.contains(entry));
        lines.extend(gone.map(|entry| format!("- {}", format_entry(entry))));
        lines.extend(come.map(|entry| format!("+ {}", format_entry(entry))));

        lines
    }
}

fn format_entry(entry: &RegisterRule) -> String {
    let RegisterRule {
        tier,
        name,
        provider,
        purpose,
        life_secs,
    } = entry;
    format!("{tier}: {name} of {provider}, {purpose}, {life_secs} s")
}
