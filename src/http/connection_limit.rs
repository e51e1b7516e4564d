//! Limits the number of connections per network.
//!
//! A connection costs a file descriptor and memory before it has sent a byte. Without a limit, one
//! client with a few thousand connections locks out all others. As for rates, a network is a /24 or
//! /48 hashed under a key of this process. Trusted proxies carry the connections of many clients
//! and are not limited.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::trusted_proxies::TrustedProxies;
use crate::event::ClientAddress;

/// The open connections.
pub struct ConnectionLimiter {
    key: RandomState,
    proxies: TrustedProxies,
    max_per_network: usize,
    networks: Mutex<HashMap<u64, usize>>,
    open: AtomicU64,
    /// Connections that were closed at once because their network has too many.
    rejected: AtomicU64,
    /// Connections that ended with malformed HTTP.
    malformed: AtomicU64,
}

/// Connection figures for the metrics.
pub struct ConnectionStats {
    /// Connections that are open now.
    pub open: u64,
    /// Connections that were closed at once since the start, because their network had too many.
    pub rejected: u64,
    /// Connections that ended with malformed HTTP since the start.
    pub malformed: u64,
}

/// A counted connection, until it is dropped.
pub struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    network: Option<u64>,
}

impl ConnectionLimiter {
    /// `most_of_network` is the maximum number of open connections of one network; connections from
    /// `proxies` are not limited.
    pub fn new(most_of_network: usize, proxies: TrustedProxies) -> ConnectionLimiter {
        ConnectionLimiter {
            key: RandomState::new(),
            proxies,
            max_per_network: most_of_network,
            networks: Mutex::default(),
            open: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
        }
    }

    /// Counts a new connection. `None` if the peer's network has the maximum number already.
    pub fn try_acquire(self: &Arc<Self>, peer: IpAddr) -> Option<ConnectionPermit> {
        let network = (!self.proxies.is_trusted(peer))
            .then(|| self.key.hash_one(ClientAddress::new(peer).network()));
        if let Some(network) = network {
            let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
            let open = networks.entry(network).or_default();
            if *open >= self.max_per_network {
                self.rejected.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            *open += 1;
        }

        self.open.fetch_add(1, Ordering::Relaxed);
        Some(ConnectionPermit {
            limiter: Arc::clone(self),
            network,
        })
    }

    /// Counts a connection that ended with malformed HTTP.
    pub fn record_malformed(&self) {
        self.malformed.fetch_add(1, Ordering::Relaxed);
    }

    /// The current figures.
    pub fn connection_stats(&self) -> ConnectionStats {
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        ConnectionStats {
            open: read(&self.open),
            rejected: read(&self.rejected),
            malformed: read(&self.malformed),
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.limiter.open.fetch_sub(1, Ordering::Relaxed);
        let Some(network) = self.network else { return };
        let mut networks = self
            .limiter
            .networks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match networks.get_mut(&network) {
            Some(open) if *open > 1 => *open -= 1,
            _ => _ = networks.remove(&network),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_connections_and_takes_none_of_another() {
        let crowd = Arc::new(ConnectionLimiter::new(
            3,
            TrustedProxies::new(&["192.0.2.0/24".parse().unwrap()]),
        ));
        let enter = |peer: &str| crowd.try_acquire(peer.parse().unwrap());
        let mut loud: Vec<Option<ConnectionPermit>> =
            (1..=5).map(|n| enter(&format!("203.0.113.{n}"))).collect();
        assert_eq!(loud.iter().filter(|place| place.is_some()).count(), 3);
        let other = enter("198.51.100.1");
        let proxied: Vec<Option<ConnectionPermit>> = (0..10).map(|_| enter("192.0.2.1")).collect();
        assert!(other.is_some() && proxied.iter().all(Option::is_some));
        let ConnectionStats {
            open,
            rejected: refused,
            ..
        } = crowd.connection_stats();
        assert_eq!((open, refused), (14, 2));

        loud.remove(0);
        assert!(enter("203.0.113.77").is_some());
        drop((loud, other, proxied));
        assert_eq!(crowd.connection_stats().open, 0);
        assert!(crowd.networks.lock().unwrap().is_empty());
    }
}
