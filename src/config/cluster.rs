//! `[cluster]`: several collectors of one platform.

use std::net::SocketAddr;

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::bi_port::optional_address;

/// `[cluster]`: collectors that share the visitors of one platform, each by its networks.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct ClusterConfig {
    /// Name of this collector, one of those in `collectors`; empty for a collector on its own.
    #[garde(skip)]
    pub name: String,
    /// Address and port for the other collectors.
    #[garde(skip)]
    #[serde(with = "optional_address")]
    pub listen: Option<SocketAddr>,
    /// All collectors, this one included, each as `name=host:port`. The same at each of them.
    #[garde(length(max = 32))]
    pub collectors: Vec<String>,
    /// File with the authorities that sign the collectors' certificates, in PEM.
    #[garde(skip)]
    pub ca_file: String,
    /// File with this collector's certificate and its chain, in PEM. It names the collector.
    #[garde(skip)]
    pub cert_file: String,
    /// File with the certificate's key in PEM.
    #[garde(skip)]
    pub key_file: String,
    /// A collector that is silent for this long is dead, and its networks belong to the others.
    #[garde(range(min = 200, max = 60_000))]
    pub dead_after_millis: u64,
}

/// One collector of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CollectorAddress {
    /// Its name, which its certificate has as a DNS name.
    pub name: String,
    /// Host or address, and port.
    pub address: String,
}

impl ClusterConfig {
    /// Whether there are other collectors.
    pub fn is_enabled(&self) -> bool {
        !self.name.is_empty()
    }

    /// The collectors, by name. Entries that cannot be parsed are left out.
    pub fn collector_addresses(&self) -> Vec<CollectorAddress> {
        let parsed = self
            .collectors
            .iter()
            .filter_map(|entry| parse_collector(entry));
        let mut collectors: Vec<CollectorAddress> = parsed.collect();
        collectors.sort_by(|one, other| one.name.cmp(&other.name));
        collectors
    }
}

/// Parses `name=host:port`.
pub(super) fn parse_collector(entry: &str) -> Option<CollectorAddress> {
    let (name, address) = entry.split_once('=')?;
    let (host, port) = address.rsplit_once(':')?;
    let has_address = !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
    (is_collector_name(name) && has_address).then(|| CollectorAddress {
        name: name.to_owned(),
        address: address.to_owned(),
    })
}

/// Whether a text is a DNS name in lower case, of 63 bytes at most.
fn is_collector_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ends = [label.bytes().next(), label.bytes().next_back()];
        ends.iter().all(|byte| byte.is_some_and(is_word))
            && label.bytes().all(|byte| is_word(byte) || byte == b'-')
    };
    name.len() <= 63 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_a_name_and_an_address_with_a_port() {
        let parsed = |entry| parse_collector(entry).map(|one| (one.name, one.address));
        for (entry, name, address) in [
            ("a=10.0.0.1:9000", "a", "10.0.0.1:9000"),
            (
                "c-1.internal=[fd00::1]:9000",
                "c-1.internal",
                "[fd00::1]:9000",
            ),
            ("b=collector-1:1", "b", "collector-1:1"),
        ] {
            assert_eq!(parsed(entry), Some((name.to_owned(), address.to_owned())));
        }
        for entry in [
            "",
            "a",
            "a=",
            "a=10.0.0.1",
            "a=:9000",
            "a=host:0",
            "a=host:70000",
            "=host:1",
            "A=host:1",
            "a..b=host:1",
            "-a=host:1",
            "a b=host:1",
        ] {
            assert_eq!(parsed(entry), None, "{entry}");
        }
    }
}
