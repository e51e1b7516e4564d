//! Networks of data centres, from a file of the operator. People do not browse from them.
//!
//! Off by default, because VPNs and company networks use data centres too. The file is reloaded
//! when it changes; if the new file is broken, the old networks stay in use.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use ipnet::IpNet;

use crate::event::ClientAddress;

/// The shortest prefixes of IPv4 and IPv6. A shorter one is a mistake that would drop most
/// visitors.
const MIN_PREFIX_LENGTHS: [u8; 2] = [8, 16];

/// The file of networks cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataCentreFileError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The error below it.
        source: std::io::Error,
    },
    /// A line is no network.
    #[error("{path}: {reason}")]
    Form {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Size and time of the file as it was read.
type DataCentreFileStamp = (u64, Option<SystemTime>);

#[derive(Default)]
struct LoadedNetworks {
    /// Sorted; none contains another.
    networks: Vec<IpNet>,
    stamp: Option<DataCentreFileStamp>,
}

/// The networks, and the file they came from.
#[derive(Default)]
pub struct DataCentreNetworks {
    path: Option<PathBuf>,
    loaded: ArcSwap<LoadedNetworks>,
}

impl DataCentreNetworks {
    /// # Errors
    /// The file cannot be read, or a line of it is not a network.
    pub fn open(path: impl Into<PathBuf>) -> Result<DataCentreNetworks, DataCentreFileError> {
        let path = path.into();
        let loaded = ArcSwap::from_pointee(load_file(&path)?);
        Ok(DataCentreNetworks {
            path: Some(path),
            loaded,
        })
    }

    /// Reads the file again if its size or time changed; `true` if it did.
    ///
    /// # Errors
    /// As [`DataCentreNetworks::open`]; the old networks stay in use.
    pub fn reload_if_changed(&self) -> Result<bool, DataCentreFileError> {
        let Some(path) = &self.path else {
            return Ok(false);
        };
        let changed = self.loaded.load().stamp != Some(read_stamp(path)?);
        if changed {
            self.loaded.store(Arc::new(load_file(path)?));
        }
        Ok(changed)
    }

    /// Whether a file is configured.
    pub fn is_enabled(&self) -> bool {
        self.path.is_some()
    }

    /// Whether the address is in one of the networks.
    pub fn contains_address(&self, address: &ClientAddress) -> bool {
        self.is_enabled() && networks_contain(&self.loaded.load().networks, address.expose())
    }
}

fn networks_contain(networks: &[IpNet], address: IpAddr) -> bool {
    let after = networks.partition_point(|network| network.network() <= address);
    after > 0 && networks[after - 1].contains(&address)
}

fn read_stamp(path: &Path) -> Result<DataCentreFileStamp, DataCentreFileError> {
    let read = |source| DataCentreFileError::Read {
        path: path.to_owned(),
        source,
    };
    let meta = std::fs::metadata(path).map_err(read)?;
    Ok((meta.len(), meta.modified().ok()))
}

/// The stamp is taken before reading: a file that changes during the read is read again next time.
fn load_file(path: &Path) -> Result<LoadedNetworks, DataCentreFileError> {
    let stamp = read_stamp(path)?;
    let read = |source| DataCentreFileError::Read {
        path: path.to_owned(),
        source,
    };
    let text = std::fs::read_to_string(path).map_err(read)?;
    let networks = parse_networks(&text).map_err(|reason| DataCentreFileError::Form {
        path: path.to_owned(),
        reason,
    })?;
    Ok(LoadedNetworks {
        networks,
        stamp: Some(stamp),
    })
}

/// One network per line. Empty lines and lines that begin with `#` are ignored.
fn parse_networks(text: &str) -> Result<Vec<IpNet>, String> {
    let mut networks = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |reason: &str| format!("line {}: {reason}", place + 1);
        let network: IpNet = line.parse().map_err(|_| {
            wrong("must be a network, such as 192.0.2.0/24 or 2001:db8::/32, and nothing else")
        })?;
        if network != network.trunc() {
            return Err(wrong("has bits set beyond its prefix"));
        }
        let [v4, v6] = MIN_PREFIX_LENGTHS;
        if network.prefix_len() < if network.addr().is_ipv4() { v4 } else { v6 } {
            return Err(wrong(
                "holds more addresses than any data centre has: at least /8, or /16 of IPv6",
            ));
        }
        networks.push(network);
    }
    if networks.is_empty() {
        return Err("holds no network".to_owned());
    }
    let mut networks = IpNet::aggregate(&networks);
    networks.sort_unstable();
    Ok(networks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_first_and_last_address_and_not_its_neighbours() {
        let text = "# made up\n198.51.100.0/25\n\n  \
            198.51.100.64/26\n203.0.113.7/32\n2001:db8:1::/48\n198.51.100.128/25";
        let networks = parse_networks(text).unwrap();
        assert_eq!(
            networks.len(),
            3,
            "neighbours are joined, what lies in another goes: {networks:?}"
        );
        for (address, expected) in [
            ("198.51.99.255", false),
            ("198.51.100.0", true),
            ("198.51.100.255", true),
            ("198.51.101.0", false),
            ("203.0.113.6", false),
            ("203.0.113.7", true),
            ("203.0.113.8", false),
            ("2001:db8:1:ffff::1", true),
            ("2001:db8:2::", false),
            ("::", false),
        ] {
            assert_eq!(
                networks_contain(&networks, address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
    }

    #[test]
    fn the_first_line_that_is_no_network_is_named_and_not_quoted() {
        for (text, said) in [
            ("198.51.100.0/24\nnonsense\n", "line 2: must be a network"),
            ("198.51.100.0\n", "line 1: must be a network"),
            ("198.51.100.0/24, Example\n", "line 1: must be a network"),
            ("\n\n198.51.100.7/24\n", "line 3: has bits set"),
            ("0.0.0.0/0\n", "line 1: holds more"),
            ("2000::/3\n", "line 1: holds more"),
            ("# nothing\n", "holds no network"),
        ] {
            let reason = parse_networks(text).unwrap_err();
            assert!(
                reason.starts_with(said) && !reason.contains("198.51"),
                "{text}: {reason}"
            );
        }
    }
}
