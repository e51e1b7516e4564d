//! Random choices with a fixed seed, and the people they produce: an address, a browser, a language
//! and a grant.

use std::net::IpAddr;
use std::path::Path;

use super::values::{AGENTS, Agent, LANGUAGES, NETWORKS};

/// SplitMix64: the same numbers on every machine and in every version.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }

    /// True in `n` of 1 000.
    pub fn permille(&mut self, n: u64) -> bool {
        self.below(1000) < n
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).expect("an index")]
    }

    /// Prefers the front: the last of the list comes in about one of n²/2 rolls.
    pub fn pick_front<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let n = of.len() as u64;
        let (a, b) = (self.below(n), self.below(n));
        &of[usize::try_from(a.min(b)).expect("an index")]
    }
}

#[derive(Clone)]
pub struct Person {
    pub address: String,
    pub country: String,
    pub agent: &'static Agent,
    pub language: &'static (Option<&'static str>, &'static str),
    /// What the consent cookie of this person's grant carries.
    pub grant: String,
}

/// Makes people, never twice with the same address unless told to.
pub struct Registry {
    countries: maxminddb::Reader<Vec<u8>>,
    given: [u64; NETWORKS.len()],
}

impl Registry {
    pub fn open() -> Registry {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(
            "node_modules/@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb",
        );
        let countries =
            maxminddb::Reader::open_readfile(file).expect("the country file: run `npm ci` first");
        Registry {
            countries,
            given: [0; NETWORKS.len()],
        }
    }

    pub fn person(&mut self, dice: &mut Dice) -> Person {
        let (address, country) = self.address(dice);
        let agent = dice.pick_front(&AGENTS);
        Person {
            address,
            country,
            agent,
            language: dice.pick_front(&LANGUAGES),
            grant: grant(dice),
        }
    }

    fn address(&mut self, dice: &mut Dice) -> (String, String) {
        let mut ticket = dice.below(NETWORKS.iter().map(|(_, weight)| weight).sum());
        let chosen = NETWORKS.iter().position(|(_, weight)| {
            let mine = ticket < *weight;
            ticket = ticket.saturating_sub(*weight);
            mine
        });
        let chosen = chosen.expect("the ticket lies below the sum of the weights");
        let n = self.given[chosen];
        self.given[chosen] += 1;
        let address = match NETWORKS[chosen].0.parse().expect("an address") {
            // Three in each /24 or /48, then the next.
            IpAddr::V4(first) => IpAddr::from(
                (u32::from(first) + to_u32(n / 3) * 256 + to_u32(n % 3) + 1).to_be_bytes(),
            ),
            IpAddr::V6(first) => IpAddr::from(
                (u128::from(first) + (u128::from(n / 3) << 80) + u128::from(n % 3) + 1)
                    .to_be_bytes(),
            ),
        };
        (address.to_string(), self.country(address))
    }

    /// The country of the address's /24 or /48.
    pub fn country(&self, address: IpAddr) -> String {
        #[derive(serde::Deserialize)]
        struct Record<'a> {
            country_code: Option<&'a str>,
        }
        let network = match address {
            IpAddr::V4(v4) => IpAddr::from((u32::from(v4) & 0xffff_ff00).to_be_bytes()),
            IpAddr::V6(v6) => IpAddr::from((u128::from(v6) & !(u128::MAX >> 48)).to_be_bytes()),
        };
        let found = self
            .countries
            .lookup(network)
            .expect("a readable country file");
        let record: Option<Record> = found.decode().expect("records with a country code");
        record
            .and_then(|record| record.country_code)
            .unwrap_or("(unknown)")
            .to_owned()
    }
}

fn to_u32(n: u64) -> u32 {
    u32::try_from(n).expect("few people")
}

fn grant(dice: &mut Dice) -> String {
    format!("{:016x}{:016x}", dice.roll(), dice.roll())
}
