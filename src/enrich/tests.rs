//! The attributes of whole hits.

use proptest::prelude::*;

use super::*;
use crate::event::{Dimension, Subject};

fn enricher() -> &'static Enricher {
    static ENRICHER: std::sync::LazyLock<Enricher> = std::sync::LazyLock::new(|| {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/node_modules/@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb"
        );
        Enricher::new([7; 32], CountryDatabase::open(file).unwrap())
    });
    &ENRICHER
}

fn facts(url: &str, referrer: &str, agent: &str, language: Option<&str>) -> VisitAttributes {
    let client = enricher().classify_client(&UserAgent::new(agent), &ClientHints::default());
    let address = ClientAddress::new([8, 8, 8, 8].into());
    enricher().derive_attributes(
        &PageUrl::parse(url).unwrap(),
        referrer,
        client,
        &address,
        language,
    )
}

#[test]
fn a_hit_has_a_value_for_each_dimension() {
    let agent = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like \
        Gecko) Version/26.1 Safari/605.1.15";
    let facts = facts(
        "https://alllinks.example/u/mia/?utm_campaign=Tour+2026",
        "https://www.google.de/search?q=mia",
        agent,
        Some("de-CH,de;q=0.9"),
    );
    let values: Vec<_> = Dimension::ALL
        .into_iter()
        .map(|dimension| facts.value_of(dimension))
        .collect();
    let expected = [
        "",
        "Google",
        "tour 2026",
        "US",
        "desktop",
        "Safari",
        "macOS",
        "de",
        "search",
    ];
    assert_eq!(values, expected);
}

#[test]
fn a_visit_without_a_campaign_counts_as_one_of_none() {
    let facts = facts("https://alllinks.example/u/mia", "", "", None);
    assert_eq!(facts.value_of(Dimension::Campaign), "(none)");
    assert_eq!(facts.value_of(Dimension::Source), "(direct)");
    assert_eq!(facts.value_of(Dimension::Channel), "direct");
    assert_eq!(facts.value_of(Dimension::Language), "(unknown)");
    assert_eq!(facts.value_of(Dimension::Browser), "(other)");
}

proptest! {
    #[test]
    fn whatever_comes_in_what_comes_out_is_short_and_nobody(
        tail in "[ -~]{0,80}|.{0,40}|\\?utm_(source|campaign)=[ -~]{0,60}",
        referrer in ".{0,60}|https://[ -~]{0,60}",
        agent in ".{0,60}",
        language in proptest::option::of(".{0,20}"),
    ) {
        let url = format!("https://alllinks.example/{tail}");
        if PageUrl::parse(&url).is_ok() {
            let facts = facts(&url, &referrer, &agent, language.as_deref());
            for &dimension in Subject::Site.dimensions() {
                let value = facts.value_of(dimension);
                prop_assert!(!value.is_empty() && value.chars().count() <= 100, "{}", value);
                prop_assert!(!value.contains(['@', '?', '#', '=']) && !value.contains(text::is_hidden_char), "{}", value);
            }
        }
    }
}
