//! Simulated visitors: an address in a country, a browser, a language, and a choice about being
//! counted.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};

use super::agents::{AGENTS, AgentProfile, BOTS};
use super::creator_profile::{CreatorProfile, TrafficSource};
use super::random::SeededRandom;
use crate::enrich::CountryDatabase;
use crate::event::{ClientAddress, DropReason};

/// The `Accept-Language` values of each country, with weights.
static LANGUAGES: [(&str, &[(&str, f64)]); 25] = [
    (
        "AT",
        &[("de-AT,de;q=0.9,en;q=0.8", 9.0), ("en-GB,en;q=0.9", 1.0)],
    ),
    (
        "AU",
        &[("en-AU,en;q=0.9", 9.5), ("zh-CN,zh;q=0.9,en;q=0.8", 0.5)],
    ),
    ("BR", &[("pt-BR,pt;q=0.9,en;q=0.8", 1.0)]),
    (
        "CA",
        &[("en-CA,en;q=0.9", 8.0), ("fr-CA,fr;q=0.9,en;q=0.8", 2.0)],
    ),
    (
        "CH",
        &[
            ("de-CH,de;q=0.9,en;q=0.8", 6.5),
            ("fr-CH,fr;q=0.9,en;q=0.8", 2.5),
            ("it-CH,it;q=0.9", 1.0),
        ],
    ),
    (
        "DE",
        &[
            ("de-DE,de;q=0.9,en;q=0.8", 8.6),
            ("en-US,en;q=0.9", 0.9),
            ("tr-TR,tr;q=0.9,de;q=0.8", 0.5),
        ],
    ),
    (
        "DK",
        &[("da-DK,da;q=0.9,en;q=0.8", 8.0), ("en-GB,en;q=0.9", 2.0)],
    ),
    (
        "ES",
        &[("es-ES,es;q=0.9", 8.5), ("ca-ES,ca;q=0.9,es;q=0.8", 1.5)],
    ),
    (
        "FR",
        &[("fr-FR,fr;q=0.9,en;q=0.8", 9.5), ("en-US,en;q=0.9", 0.5)],
    ),
    (
        "GB",
        &[("en-GB,en;q=0.9", 9.6), ("pl-PL,pl;q=0.9,en;q=0.8", 0.4)],
    ),
    ("IE", &[("en-IE,en;q=0.9", 1.0)]),
    (
        "IN",
        &[
            ("en-IN,en;q=0.9,hi;q=0.8", 8.0),
            ("hi-IN,hi;q=0.9,en;q=0.8", 2.0),
        ],
    ),
    ("IT", &[("it-IT,it;q=0.9,en;q=0.8", 1.0)]),
    (
        "JP",
        &[("ja,en-US;q=0.9,en;q=0.8", 9.7), ("en-US,en;q=0.9", 0.3)],
    ),
    ("KR", &[("ko-KR,ko;q=0.9,en;q=0.8", 1.0)]),
    ("MX", &[("es-MX,es;q=0.9,en;q=0.8", 1.0)]),
    (
        "NL",
        &[("nl-NL,nl;q=0.9,en;q=0.8", 7.5), ("en-GB,en;q=0.9", 2.5)],
    ),
    ("NO", &[("nb-NO,nb;q=0.9,en;q=0.8", 1.0)]),
    (
        "PH",
        &[("en-US,en;q=0.9", 7.0), ("fil-PH,fil;q=0.9,en;q=0.8", 3.0)],
    ),
    ("PL", &[("pl-PL,pl;q=0.9,en;q=0.8", 1.0)]),
    (
        "PT",
        &[("pt-PT,pt;q=0.9,en;q=0.8", 9.0), ("en-GB,en;q=0.9", 1.0)],
    ),
    (
        "SE",
        &[("sv-SE,sv;q=0.9,en;q=0.8", 8.5), ("en-US,en;q=0.9", 1.5)],
    ),
    (
        "SG",
        &[("en-SG,en;q=0.9", 7.0), ("zh-CN,zh;q=0.9,en;q=0.8", 3.0)],
    ),
    ("TW", &[("zh-TW,zh;q=0.9,en;q=0.8", 1.0)]),
    (
        "US",
        &[("en-US,en;q=0.9", 8.8), ("es-US,es;q=0.9,en;q=0.8", 1.2)],
    ),
];

/// The number of networks per country; each has 254 addresses, which are combined with some dozens
/// of user agents.
const NETWORKS_PER_COUNTRY: usize = 96;
/// The maximum number of random addresses that are looked up to find them. Small countries are
/// found within a tenth of it.
const LOOKUP_ATTEMPTS: usize = 1_000_000;

/// Networks that the country file knows, by country.
pub(super) struct CountryNetworks(HashMap<&'static str, Vec<[u8; 3]>>);

impl CountryNetworks {
    /// Finds networks by looking up random addresses. Without a country file all visitors come from
    /// the networks reserved for benchmarks, which have no country.
    pub(super) fn find_networks(countries: &CountryDatabase, seed: u64) -> CountryNetworks {
        let mut random = SeededRandom::from_parts(&[seed, 0]);
        let mut found: HashMap<&'static str, Vec<[u8; 3]>> = HashMap::new();
        let mut missing = LANGUAGES.len();
        for _ in 0..LOOKUP_ATTEMPTS {
            if missing == 0 {
                break;
            }
            let [a, b, c, ..] = random.next_u64().to_le_bytes();
            let code = countries
                .find_country(&ClientAddress::new(Ipv4Addr::new(a, b, c, 1).into()))
                .name();
            if let Some((code, _)) = LANGUAGES.iter().find(|(known, _)| *known == code) {
                let networks = found.entry(code).or_default();
                if networks.len() < NETWORKS_PER_COUNTRY {
                    networks.push([a, b, c]);
                    missing -= usize::from(networks.len() == NETWORKS_PER_COUNTRY);
                }
            }
        }
        CountryNetworks(found)
    }

    #[cfg(test)]
    pub(super) fn without_networks() -> CountryNetworks {
        CountryNetworks(HashMap::new())
    }

    fn random_address(&self, country: &str, random: &mut SeededRandom) -> IpAddr {
        let [a, b, c] = match self.0.get(country) {
            Some(networks) => networks[random.random_index(networks.len())],
            None => [
                198,
                18 + random.random_index(2) as u8,
                random.random_index(256) as u8,
            ],
        };
        Ipv4Addr::new(a, b, c, 1 + random.random_index(254) as u8).into()
    }
}

/// A visitor's choice about being counted, earlier or in this visit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum VisitorChoice {
    /// Consented on an earlier day.
    ConsentedBefore,
    /// Consents on this page.
    ConsentsNow,
    /// Refuses on this page; the page's script then sends no hits.
    RefusesNow,
    /// Is dropped for this reason.
    Dropped(DropReason),
}

/// How often each occurs, in percent.
pub(super) const CHOICE_WEIGHTS: [(VisitorChoice, f64); 8] = [
    (VisitorChoice::ConsentedBefore, 65.0),
    (VisitorChoice::ConsentsNow, 5.0),
    (VisitorChoice::RefusesNow, 3.0),
    (VisitorChoice::Dropped(DropReason::NoConsent), 13.0),
    (VisitorChoice::Dropped(DropReason::NotAView), 6.0),
    (VisitorChoice::Dropped(DropReason::Gpc), 4.5),
    (VisitorChoice::Dropped(DropReason::Dnt), 2.5),
    (VisitorChoice::Dropped(DropReason::UnknownSite), 1.0),
];

/// The share of visits that are counted.
pub(super) fn counted_share() -> f64 {
    let whole: f64 = CHOICE_WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let yes = CHOICE_WEIGHTS.iter().filter(|(said, _)| {
        matches!(
            said,
            VisitorChoice::ConsentedBefore | VisitorChoice::ConsentsNow
        )
    });
    yes.map(|(_, weight)| weight).sum::<f64>() / whole
}

pub(super) struct SimulatedVisitor {
    pub(super) address: IpAddr,
    pub(super) agent: &'static AgentProfile,
    pub(super) country: &'static str,
    pub(super) language: &'static str,
    pub(super) choice: VisitorChoice,
    /// The value of the consent cookie. If the visitor consents in this visit, it is set from the
    /// collector's response.
    pub(super) cookie: Arc<OnceLock<String>>,
}

impl SimulatedVisitor {
    pub(super) fn new(
        creator: &CreatorProfile,
        source: TrafficSource,
        said: VisitorChoice,
        places: &CountryNetworks,
        sign: &dyn Fn(&str) -> String,
        random: &mut SeededRandom,
    ) -> SimulatedVisitor {
        let country = *random.pick_weighted(creator.countries);
        let spoken = LANGUAGES
            .iter()
            .find(|(code, _)| *code == country)
            .expect("each country has its languages")
            .1;

        let agent = match said {
            VisitorChoice::Dropped(DropReason::NotAView) => random.pick_weighted(&BOTS),
            _ => pick_agent(creator, source, random),
        };

        let stored = OnceLock::new();
        if matches!(
            said,
            VisitorChoice::ConsentedBefore
                | VisitorChoice::Dropped(
                    DropReason::Gpc | DropReason::Dnt | DropReason::UnknownSite
                )
        ) {
            let id = (random.next_u64(), random.next_u64());
            let _ = stored.set(sign(&format!("{:016x}{:016x}", id.0, id.1)));
        }

        SimulatedVisitor {
            address: places.random_address(country, random),
            agent,
            country,
            language: random.pick_weighted::<&str>(spoken),
            choice: said,
            cookie: Arc::new(stored),
        }
    }
}

/// A user agent of the app's in-app browser, or of another browser.
fn pick_agent(
    creator: &CreatorProfile,
    source: TrafficSource,
    random: &mut SeededRandom,
) -> &'static AgentProfile {
    let phone = random.random_bool(creator.phones);
    let fits = |agent: &AgentProfile| match source {
        TrafficSource::InAppBrowser(app) => agent.app == app,
        _ => agent.app.is_empty() && agent.phone == phone,
    };
    let fitting: Vec<(&'static AgentProfile, f64)> = AGENTS
        .iter()
        .filter(|(agent, _)| fits(agent))
        .map(|(agent, weight)| (agent, *weight))
        .collect();
    random.pick_weighted::<&AgentProfile>(&fitting)
}

#[cfg(test)]
mod tests {
    use super::super::creators::CREATORS;
    use super::*;

    fn cases() -> impl Iterator<Item = (&'static CreatorProfile, TrafficSource)> {
        CREATORS.iter().flat_map(|creator| {
            let surges = creator.surges.iter().map(|surge| surge.source);
            creator
                .sources
                .iter()
                .map(|(source, _)| *source)
                .chain(surges)
                .map(move |source| (creator, source))
        })
    }

    #[test]
    fn every_creator_finds_people_for_every_source_in_every_country() {
        let (places, mut random) = (
            CountryNetworks::without_networks(),
            SeededRandom::from_parts(&[1]),
        );
        for (creator, source) in cases() {
            for _ in 0..200 {
                SimulatedVisitor::new(
                    creator,
                    source,
                    VisitorChoice::ConsentedBefore,
                    &places,
                    &str::to_owned,
                    &mut random,
                );
            }
        }
        for (code, _) in CREATORS.iter().flat_map(|creator| creator.countries) {
            assert!(LANGUAGES.iter().any(|(known, _)| known == code), "{code}");
        }
    }

    #[test]
    fn addresses_are_of_the_country_they_stand_for() {
        let file =
            "node_modules/@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb";
        let countries =
            CountryDatabase::open(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file))
                .unwrap();
        let (places, mut random) = (
            CountryNetworks::find_networks(&countries, 1),
            SeededRandom::from_parts(&[2]),
        );
        for (code, _) in LANGUAGES {
            for _ in 0..50 {
                let address = places.random_address(code, &mut random);
                assert_eq!(
                    countries.find_country(&ClientAddress::new(address)).name(),
                    code,
                    "{address}"
                );
            }
        }
    }
}
