//! Determines the client's address behind reverse proxies.
//!
//! `X-Forwarded-For` is a claim. It is trusted only as far as trusted proxies wrote it: from the
//! right, up to the first address that is not one of them. Without a trusted peer it is ignored.

use std::net::IpAddr;

use ipnet::IpNet;

/// Networks of the trusted proxies.
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Trusts the addresses of these networks; with none, no proxy is trusted.
    pub fn new(trusted: &[IpNet]) -> TrustedProxies {
        TrustedProxies(trusted.to_vec())
    }

    /// Whether the address is of a trusted proxy.
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client's address. `forwarded` has the values of the header's lines, in order; several
    /// lines are one list.
    pub fn client_address<'a>(
        &self,
        peer: IpAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a str>,
    ) -> IpAddr {
        let mut best = peer.to_canonical();
        if !self.is_trusted(best) {
            return best;
        }
        for hop in forwarded.rev().flat_map(|line| line.rsplit(',')) {
            // An unreadable entry ends the chain: entries beyond it may be forged.
            let Some(address) = parse_hop(hop.trim()) else {
                break;
            };
            best = address;
            if !self.is_trusted(address) {
                break;
            }
        }
        best
    }
}

/// An address as proxies write it: alone, with a port, or in brackets. Zone ids are rejected.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let address = match hop.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0.parse().ok()?,
        None => match hop.parse() {
            Ok(address) => address,
            Err(_) => IpAddr::V4(hop.split_once(':')?.0.parse().ok()?),
        },
    };
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_addresses_are_believed_from_the_right_and_only_from_trusted_peers() {
        let proxies = TrustedProxies::new(&[
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8:ffff::/48".parse().unwrap(),
        ]);
        for (peer, lines, expected) in [
            // Without a trusted proxy, the header is ignored.
            ("203.0.113.9", &["1.2.3.4"][..], "203.0.113.9"),
            ("203.0.113.9", &["10.1.1.1"], "203.0.113.9"),
            ("203.0.113.9", &[], "203.0.113.9"),
            // One proxy.
            ("10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["1.2.3.4:5678"], "1.2.3.4"),
            ("10.0.0.1", &["[2001:db8::7]:443"], "2001:db8::7"),
            ("10.0.0.1", &["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.1", &["::ffff:1.2.3.4"], "1.2.3.4"),
            ("::ffff:10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
            ("2001:db8:ffff::1", &["1.2.3.4"], "1.2.3.4"),
            // Entries on the left were written by the client and are not trusted.
            ("10.0.0.1", &["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
            ("10.0.0.1", &["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
            // Several proxies.
            ("10.0.0.1", &["1.2.3.4, 10.0.0.2"], "1.2.3.4"),
            (
                "10.0.0.1",
                &["6.6.6.6, 1.2.3.4, 10.0.0.2, 10.0.0.3"],
                "1.2.3.4",
            ),
            ("10.0.0.1", &["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
            // Unreadable hops end the chain at the last good one.
            ("10.0.0.1", &["1.2.3.4, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["1.2.3.4, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["fe80::1%eth0"], "10.0.0.1"),
        ] {
            let client = proxies.client_address(peer.parse().unwrap(), lines.iter().copied());
            assert_eq!(
                client,
                expected.parse::<IpAddr>().unwrap(),
                "{peer} {lines:?}"
            );
        }
    }
}
