//! Stage 3: what a hit tells about a visit, as closed or cleaned values.
//!
//! Pure rules: no clock, no I/O but the data files at the start. All of it costs about a microsecond a hit. What comes out
//! holds nothing of the wire that was not cleaned: no query, no address, no agent, no full referrer.

mod address;
mod agent;
mod campaign;
mod channel;
mod codes;
mod country;
mod fault;
mod language;
mod link;
mod page;
mod path;
mod public;
mod source;
mod sources;
mod text;

pub use address::UrlError;
pub use agent::{Browser, Classifier, Client, Device, Os};
pub use channel::Channel;
pub use country::{Countries, CountriesError, Country};
pub use fault::script_error;
pub use language::Language;
pub use link::link;
pub use page::Page;
pub use path::clean as clean_path;
pub use source::{DIRECT, Source};
pub use sources::{Group, Listed};
pub use text::{ID, event_name, looks_secret};

use crate::event::{Address, Agent, Dimension, Hints, NONE};

/// The attributes a visit takes from its first hit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    pub source: Source,
    pub channel: Channel,
    pub campaign: Option<Box<str>>,
    pub country: Country,
    pub client: Client,
    pub language: Language,
}

impl Facts {
    /// The value of a dimension's row. The total's value is the empty string.
    pub fn value(&self, dimension: Dimension) -> &str {
        match dimension {
            Dimension::Total => "",
            Dimension::Source => self.source.name(),
            Dimension::Campaign => self.campaign.as_deref().unwrap_or(NONE),
            Dimension::Country => self.country.name(),
            Dimension::Device => self.client.device.name(),
            Dimension::Browser => self.client.browser.name(),
            Dimension::Os => self.client.os.name(),
            Dimension::Language => self.language.name(),
            Dimension::Channel => self.channel.name(),
        }
    }
}

/// Everything that turns the words of a request into [`Facts`].
pub struct Enricher {
    classifier: Classifier,
    countries: Countries,
}

impl Enricher {
    /// `key` is random and new at each start: it hides the agents that are remembered.
    pub fn new(key: [u8; 32], countries: Countries) -> Enricher {
        Enricher { classifier: Classifier::new(key), countries }
    }

    /// Patterns of the lists of robots that are not used, because they match people.
    pub fn refused_patterns(&self) -> &[String] {
        self.classifier.refused_patterns()
    }

    /// Once per request, before the gate: it must know bots.
    pub fn client(&self, agent: &Agent<'_>, hints: &Hints<'_>) -> Client {
        self.classifier.classify(agent, hints)
    }

    pub fn facts(
        &self,
        page: &Page<'_>,
        referrer: &str,
        client: Client,
        address: &Address,
        language: Option<&str>,
    ) -> Facts {
        let source = Source::of(page, referrer, client.app);
        Facts {
            channel: Channel::of(page, referrer, &source),
            source,
            campaign: page.campaign_key().and_then(campaign::campaign).map(Into::into),
            country: self.countries.of(address),
            client,
            language: Language::of(language),
        }
    }

    /// For the reload on a timer or a signal.
    pub fn countries(&self) -> &Countries {
        &self.countries
    }
}

#[cfg(test)]
mod spelling;
#[cfg(test)]
mod tests;
