//! Which visitors, networks and grants have the same value.

use std::sync::Arc;

use super::*;
use crate::calendar::ZoneTable;
use crate::config::{Config, ConfigSources, Secret, load_config};
use crate::consent::{
    ConsentPolicy, DropCounters, Gate, GrantEvidence, GrantKeys, GrantLookup, RawHit,
};
use crate::enrich::{CountryDatabase, Enricher, PageUrl};
use crate::event::{
    ClientHints, HitPayload, LegalBasis, RequestCaller, RequestCookies, RequestSignals, UserAgent,
};
use crate::pseudonym::{DayKeys, KeySource};

const NOON: Millis = 1_774_699_200_000;
const ID: &str = "0123456789abcdef0123456789abcdef";

fn sealed(key: u8, site: &str, address: &str, agent: &str, id: &str) -> Visitor {
    let address = ClientAddress::new(address.parse().unwrap());
    derive_visitor(
        &[key; 32],
        SiteId::from_key(site),
        &address,
        agent,
        ConsentId::from_hex(id).as_ref(),
    )
}

fn value(key: u8, site: &str, address: &str, agent: &str) -> [u8; 16] {
    sealed(key, site, address, agent, "").key.0
}

#[test]
fn the_same_person_is_another_value_on_another_site_day_address_or_agent() {
    let one = value(1, "mia", "198.51.100.7", "Firefox");
    assert_eq!(one, value(1, "mia", "198.51.100.7", "Firefox"));
    let others = [
        value(2, "mia", "198.51.100.7", "Firefox"),
        value(1, "tom", "198.51.100.7", "Firefox"),
        value(1, "mia", "198.51.100.8", "Firefox"),
        value(1, "mia", "198.51.100.7", "Firefo"),
        value(1, "mia", "2001:db8::7", "Firefox"),
    ];
    assert!(others.iter().all(|other| *other != one));
}

#[test]
fn a_network_is_one_value_for_its_addresses_and_agents_and_another_on_another_site_or_day() {
    let network = |key, site, address| sealed(key, site, address, "Firefox", "").network;
    let platform = |key, site, address| sealed(key, site, address, "Firefox", "").platform_network;
    let one = network(1, "mia", "198.51.100.7");
    assert!(
        one == network(1, "mia", "198.51.100.200")
            && one == sealed(1, "mia", "198.51.100.7", "x", ID).network
    );
    for other in [
        network(2, "mia", "198.51.100.7"),
        network(1, "tom", "198.51.100.7"),
        network(1, "mia", "198.51.101.7"),
        platform(1, "mia", "198.51.100.7"),
    ] {
        assert!(one != other);
    }
    assert!(network(1, "mia", "2001:db8:1:2::3") == network(1, "mia", "2001:db8:1:ffff::4"));
    assert!(network(1, "mia", "2001:db8:1::3") != network(1, "mia", "2001:db8:2::3"));
    assert!(platform(1, "mia", "198.51.100.7") == platform(1, "tom", "198.51.100.8"));
    assert!(platform(1, "mia", "198.51.100.7") != platform(2, "mia", "198.51.100.7"));
}

#[test]
fn a_grant_is_one_value_whoever_shows_it_and_another_on_another_site_or_day() {
    let grant = |key, site, address, id| sealed(key, site, address, "Firefox", id).grant;
    let one = grant(1, "mia", "198.51.100.7", ID);
    assert!(one.is_some() && one == grant(1, "mia", "203.0.113.9", ID));
    for other in [
        grant(2, "mia", "198.51.100.7", ID),
        grant(1, "tom", "198.51.100.7", ID),
        grant(1, "mia", "198.51.100.7", &ID.replace('f', "e")),
        grant(1, "mia", "198.51.100.7", ""),
    ] {
        assert!(one != other);
    }
}

struct NoLedger;

impl GrantLookup for NoLedger {
    fn is_live(&self, _: &ConsentId, _: u32, _: &mut dyn Iterator<Item = &str>) -> bool {
        false
    }
}

fn policy(config: &Config) -> Arc<ConsentPolicy> {
    let keys = Secret::new("one AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\n".into());
    let proofs = GrantEvidence {
        keys: GrantKeys::parse_file(&keys, &config.consent.site).unwrap(),
        withdrawn: Arc::default(),
        grant_lookup: Box::new(NoLedger),
    };
    Arc::new(ConsentPolicy::new(config, |_| 1, proofs))
}

/// The values under a key of zeros, computed for this hit alone.
fn alone(site: ResolvedSite<'_>, address: &str, agent: &str, grant: &str) -> Visitor {
    let address = ClientAddress::new(address.parse().unwrap());
    let grant = ConsentId::from_hex(grant);
    derive_visitor(&[0; 32], site.id, &address, agent, grant.as_ref())
}

#[test]
fn values_are_computed_again_for_another_sender_site_or_day_of_one_request() {
    let config = load_config(ConfigSources::default(), |_| unreachable!()).unwrap();
    let policy = policy(&config);
    let gate = Gate::new(
        &config,
        Arc::clone(&policy),
        Arc::new(DropCounters::default()),
    );
    let other = &ID.replace('f', "e");
    let cookie = |id: &str| {
        let id = ConsentId::from_hex(id).unwrap();
        let value = policy.cookie_value(Some((&["analytics"], &id)));
        format!("{}={value}", policy.cookie_name())
    };
    let lines = [cookie(ID), cookie(other)];
    let cookies = lines.each_ref().map(|line| {
        let mut cookies = RequestCookies::default();
        cookies.push_line(line.as_bytes());
        cookies
    });
    let caller = |address: &str, agent: &'static str, cookies| {
        gate.read_choice(RequestCaller {
            received_at: NOON,
            address: ClientAddress::new(address.parse().unwrap()),
            agent: UserAgent::new(agent),
            hints: ClientHints::default(),
            language: None,
            cookies,
            signals: RequestSignals::default(),
            known_bot: false,
        })
    };
    let (here, there) = ("198.51.100.7", "203.0.113.9");
    let one = caller(here, "Firefox", &cookies[0]);
    let two = caller(there, "Firefox", &cookies[0]);
    let three = caller(here, "Opera", &cookies[0]);
    let four = caller(here, "Firefox", &cookies[1]);

    let zones = Arc::new(ZoneTable::default());
    let zone = zones.intern_zone("UTC");
    let sources: [KeySource; 2] = [|key| key.fill(0), |key| key.fill(1)];
    let days =
        sources.map(|source| DayKeys::new(Arc::clone(&zones), source).get_or_create(zone, NOON));
    let site = |name| ResolvedSite {
        id: SiteId::from_key(name),
        zone,
        path: "/",
    };
    let (mia, tom) = (site("mia"), site("tom"));
    let enricher = Enricher::new([1; 32], CountryDatabase::without_file());
    let page = PageUrl::parse("https://pages.example/").unwrap();

    let mut pseudonymizer = Pseudonymizer::default();
    let mut visitor = |caller, site: ResolvedSite<'static>, day: usize| {
        let hit = gate.admit(RawHit {
            caller,
            payload: HitPayload::new(HitKind::View, ""),
            site: Some(site),
            legal_basis: LegalBasis::VisitorChoice,
            over_rate: false,
        });
        let request = caller.request();
        let client = enricher.classify_client(&request.agent, &request.hints);
        let facts = enricher.derive_attributes(&page, "", client, &request.address, None);
        let (hit, mode) = (hit.unwrap(), VisitorMode::KeyedHash);
        let event = pseudonymizer.pseudonymize(hit, site, "/".into(), facts, &days[day], mode);
        event.visitor.unwrap()
    };
    let values = |of: &Visitor| {
        (
            of.key.0,
            of.network.0,
            of.platform_network.0,
            of.grant.map(|it| it.0),
        )
    };

    for (caller, site, expected) in [
        (&one, mia, alone(mia, here, "Firefox", ID)),
        (&one, mia, alone(mia, here, "Firefox", ID)),
        (&one, tom, alone(tom, here, "Firefox", ID)),
        (&one, mia, alone(mia, here, "Firefox", ID)),
        (&two, mia, alone(mia, there, "Firefox", ID)),
        (&three, mia, alone(mia, here, "Opera", ID)),
        (&four, mia, alone(mia, here, "Firefox", other)),
        (&one, mia, alone(mia, here, "Firefox", ID)),
    ] {
        assert!(values(&visitor(caller, site, 0)) == values(&expected));
    }
    let (today, tomorrow) = (visitor(&one, mia, 0), visitor(&one, mia, 1));
    assert!(today.key.0 != tomorrow.key.0 && today.grant != tomorrow.grant);
    assert!(today.network != tomorrow.network);
}
