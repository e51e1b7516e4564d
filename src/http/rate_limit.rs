//! Rate limits for hits, new sites, consent choices, logins and mails.
//!
//! A network is the /24 or /48 of an address, hashed under a key of this process, so the limiter's
//! memory contains no address. Exceeding the rate of hits is not an error: the hit is dropped and
//! gets the same response as any other.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config::{Config, MemoryBudget};
use crate::event::{ClientAddress, SiteId};
use crate::random::random_bytes;

/// The number of entries that new networks share once the limiter holds more networks than
/// configured.
const SHARED_KEYS: u64 = 1 << 16;

/// The two budgets for mails, each as large as that of a site. Single messages have their own,
/// because their tokens cannot be verified before the limit applies.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub enum MailBudget {
    /// All signed mails.
    Mails = u64::MAX,
    /// All single messages.
    Messages = u64::MAX - 1,
}

/// The rate limiters of this process.
pub struct RateLimiters {
    networks: DefaultKeyedRateLimiter<u64>,
    sites: DefaultKeyedRateLimiter<u128>,
    new_sites: DefaultKeyedRateLimiter<u64>,
    choices: DefaultKeyedRateLimiter<u64>,
    logins: DefaultKeyedRateLimiter<u64>,
    user_logins: DefaultKeyedRateLimiter<u64>,
    key: [u8; 32],
    max_networks: usize,
    over_capacity: AtomicBool,
}

impl RateLimiters {
    /// Reads the limits of the configuration and generates a new key.
    pub fn new(config: &Config) -> RateLimiters {
        let limits = &config.limits;
        RateLimiters {
            networks: RateLimiter::keyed(quota_per_second(
                limits.network_hits_per_sec,
                limits.network_burst,
            )),
            sites: RateLimiter::keyed(quota_per_second(
                limits.site_hits_per_sec,
                limits.site_burst,
            )),
            new_sites: RateLimiter::keyed(quota_per_day(limits.network_new_sites_per_day)),
            choices: RateLimiter::keyed(Quota::per_minute(at_least_one(
                limits.network_choices_per_min,
            ))),
            logins: RateLimiter::keyed(Quota::per_minute(at_least_one(
                limits.network_logins_per_min,
            ))),
            user_logins: RateLimiter::keyed(Quota::per_minute(at_least_one(
                limits.user_logins_per_min,
            ))),
            key: random_bytes(),
            max_networks: MemoryBudget::from_config(config).caps.networks,
            over_capacity: AtomicBool::new(false),
        }
    }

    /// Whether this hit exceeds the rate of its network or of its site. A hit over the network's
    /// limit does not count against the site, so others still have the site's full budget.
    pub fn is_hit_limited(&self, network: u64, site: SiteId) -> bool {
        self.networks.check_key(&network).is_err() || self.sites.check_key(&site.as_u128()).is_err()
    }

    /// Whether this network has been the first to visit too many sites. Anyone can make up names of
    /// profiles, and each site costs memory and rows.
    pub fn is_new_site_limited(&self, network: u64) -> bool {
        self.new_sites.check_key(&network).is_err()
    }

    /// Whether an open or a click exceeds a rate. `network` is `None` for image proxies, which load
    /// for many people. `budget` is `None` for unsigned mails: they are never counted, and use no
    /// budget of signed ones.
    pub fn is_mail_limited(&self, network: Option<u64>, budget: Option<MailBudget>) -> bool {
        network.is_some_and(|network| self.networks.check_key(&network).is_err())
            || budget
                .is_some_and(|budget| self.sites.check_key(&u128::from(budget as u64)).is_err())
    }

    /// Whether this consent choice exceeds the rate of its network. Each choice costs a record that
    /// is kept for years.
    pub fn is_choice_limited(&self, network: u64) -> bool {
        self.choices.check_key(&network).is_err()
    }

    /// Whether this password attempt exceeds the rate of its network or of its user. An attempt
    /// over the network's limit does not count against the user.
    pub fn is_login_limited(&self, network: u64, user: &str) -> bool {
        let hash = blake3::keyed_hash(&self.key, user.as_bytes());
        self.logins.check_key(&network).is_err()
            || self.user_logins.check_key(&hash_prefix(&hash)).is_err()
    }

    /// The key of an address's network in the limiters.
    pub fn network_key(&self, address: &ClientAddress) -> u64 {
        let bytes = match address.network() {
            std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            std::net::IpAddr::V6(v6) => v6.octets(),
        };
        let hash = blake3::keyed_hash(&self.key, &bytes);
        let key = hash_prefix(&hash);
        if self.over_capacity.load(Ordering::Relaxed) {
            key % SHARED_KEYS
        } else {
            key
        }
    }

    /// Removes idle entries. Called every few seconds; otherwise the maps would grow with every new
    /// network.
    pub fn evict_expired(&self) {
        self.networks.retain_recent();
        self.sites.retain_recent();
        self.new_sites.retain_recent();
        self.choices.retain_recent();
        self.logins.retain_recent();
        self.user_logins.retain_recent();
        self.networks.shrink_to_fit();
        let networks = self.networks.len().max(self.new_sites.len());
        self.over_capacity
            .store(networks > self.max_networks, Ordering::Relaxed);
    }

    /// The number of networks in the limiter for hits.
    pub fn network_count(&self) -> usize {
        self.networks.len()
    }
}

fn hash_prefix(hash: &blake3::Hash) -> u64 {
    u64::from_le_bytes(
        hash.as_bytes()[..8]
            .try_into()
            .expect("8 of 32 bytes are 8"),
    )
}

fn quota_per_second(per_second: u32, burst: u32) -> Quota {
    Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst))
}

/// Quota of `n` a day, all of which may be used at once.
fn quota_per_day(n: u32) -> Quota {
    let n = at_least_one(n);
    Quota::with_period(Duration::from_secs(86_400) / n.get())
        .expect("a day has more than 2^32 nanoseconds")
        .allow_burst(n)
}

fn at_least_one(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(burst: u32, networks: usize) -> RateLimiters {
        let mut config =
            crate::config::load_config(Default::default(), |_| unreachable!()).unwrap();
        let limits = &mut config.limits;
        (
            limits.network_hits_per_sec,
            limits.network_burst,
            limits.networks,
        ) = (1, burst, networks);
        RateLimiters::new(&config)
    }

    fn address(n: u32) -> ClientAddress {
        ClientAddress::new(std::net::Ipv4Addr::from_bits(n).into())
    }

    #[test]
    fn a_network_has_its_burst_and_neighbours_of_a_slash_24_share_it() {
        let rates = rates(3, 1000);
        let hits = |n| {
            (0..10)
                .filter(|_| {
                    !rates.is_hit_limited(rates.network_key(&address(n)), SiteId::from_key("a"))
                })
                .count()
        };
        assert_eq!(hits(0x0102_0301), 3);
        assert_eq!(hits(0x0102_03fe), 0);
        assert_eq!(hits(0x0102_0401), 3);
    }

    #[test]
    fn what_one_network_sends_beyond_its_rate_takes_nothing_from_a_site_or_from_mails() {
        let mut config =
            crate::config::load_config(Default::default(), |_| unreachable!()).unwrap();
        let limits = &mut config.limits;
        (limits.network_hits_per_sec, limits.network_burst) = (1, 3);
        (limits.site_hits_per_sec, limits.site_burst) = (1, 10);
        let rates = RateLimiters::new(&config);
        let loud = rates.network_key(&address(0x0102_0301));
        (0..1000).for_each(|_| _ = rates.is_hit_limited(loud, SiteId::from_key("a")));
        (0..1000).for_each(|_| _ = rates.is_mail_limited(Some(loud), Some(MailBudget::Mails)));
        // Nor does an unsigned one, even if its network is exempt.
        (0..1000).for_each(|_| _ = rates.is_mail_limited(None, None));
        let others = || (0..20).map(|n| rates.network_key(&address(0x0a00_0000 + (n << 8))));
        assert_eq!(
            others()
                .filter(|network| !rates.is_hit_limited(*network, SiteId::from_key("a")))
                .count(),
            7
        );
        assert_eq!(
            others()
                .filter(|network| !rates.is_mail_limited(Some(*network), Some(MailBudget::Mails)))
                .count(),
            10
        );
    }

    #[test]
    fn a_network_may_visit_so_many_sites_first_and_others_as_many_again() {
        let mut config =
            crate::config::load_config(Default::default(), |_| unreachable!()).unwrap();
        config.limits.network_new_sites_per_day = 5;
        let rates = RateLimiters::new(&config);
        let first = |n| {
            let network = rates.network_key(&address(n));
            (0..100)
                .filter(|_| !rates.is_new_site_limited(network))
                .count()
        };
        assert_eq!(
            [first(0x0102_0301), first(0x0102_03fe), first(0x0102_0401)],
            [5, 0, 5]
        );
    }

    #[test]
    fn a_flood_of_networks_is_held() {
        let rates = rates(3, 1000);
        for n in 0..400_000_u32 {
            rates.is_hit_limited(rates.network_key(&address(n << 8)), SiteId::from_key("a"));
            if n % 2000 == 0 {
                rates.evict_expired();
            }
        }
        assert!(
            rates.network_count() <= 1000 + 2000 + SHARED_KEYS as usize,
            "{} networks",
            rates.network_count()
        );
    }
}
