//! Lists of software that loads pixels: user agents and networks.
//!
//! Both lists are dated data files, built in (`data/mail-agents.json`, `data/mail-networks.csv`) or
//! named in the configuration. Configured files are reloaded when they change; a malformed new file
//! leaves the old list in force.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aho_corasick::AhoCorasick;
use ipnet::IpNet;
use serde::Deserialize;

const BUILT_IN_AGENTS: &str = include_str!("../../data/mail-agents.json");
const BUILT_IN_NETWORKS: &str = include_str!("../../data/mail-networks.csv");

/// Why a list cannot be loaded.
#[derive(thiserror::Error, Debug)]
pub enum ReaderListsError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The error below it.
        source: std::io::Error,
    },
    /// The file is no such list.
    #[error("{path}: {reason}")]
    Malformed {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Substrings of user agents, matched without regard to case.
pub(super) struct AgentPatterns(AhoCorasick);

impl AgentPatterns {
    fn new(words: &[String]) -> Result<AgentPatterns, String> {
        if words.iter().any(|word| word.trim().is_empty()) {
            return Err("an empty word would be in every agent".into());
        }
        let built = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(words);
        built.map(AgentPatterns).map_err(|error| error.to_string())
    }

    pub(super) fn matches_agent(&self, agent: &str) -> bool {
        self.0.is_match(agent)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentListFile {
    date: String,
    #[serde(rename = "sources")]
    _sources: Vec<String>,
    proxies: Vec<String>,
    scanners: Vec<String>,
    programs: Vec<String>,
    browsers: Vec<String>,
    bare: Vec<String>,
}

pub(super) struct AgentList {
    date: String,
    /// Agents of image proxies of mail services.
    pub(super) proxies: AgentPatterns,
    /// Agents of security scanners and preview generators.
    pub(super) scanners: AgentPatterns,
    /// Agents of mail programs; some do not look like a browser's.
    pub(super) programs: AgentPatterns,
    /// Every browser's agent contains at least one of these.
    pub(super) browsers: AgentPatterns,
    /// Complete agents without any information, such as the one of Apple's prefetch.
    pub(super) uninformative: Vec<String>,
}

impl AgentList {
    fn parse(text: &str) -> Result<AgentList, String> {
        let file: AgentListFile = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok(AgentList {
            proxies: AgentPatterns::new(&file.proxies)?,
            scanners: AgentPatterns::new(&file.scanners)?,
            programs: AgentPatterns::new(&file.programs)?,
            browsers: AgentPatterns::new(&file.browsers)?,
            uninformative: file.bare,
            date: file.date,
        })
    }
}

/// First and last address of each network, both inclusive, as IPv6; sorted and disjoint.
pub(super) struct NetworkList {
    date: String,
    ranges: Vec<(u128, u128)>,
}

impl NetworkList {
    /// Parses lines as Apple publishes them: a network, then columns that are ignored. A line `#
    /// date: ...` contains the list's date.
    fn parse(text: &str) -> Result<NetworkList, String> {
        let mut networks = NetworkList {
            date: "unknown".into(),
            ranges: Vec::new(),
        };
        for (place, line) in text.lines().enumerate() {
            if let Some(remark) = line.strip_prefix('#') {
                if let Some(date) = remark.trim().strip_prefix("date:") {
                    networks.date = date.trim().to_owned();
                }
                continue;
            }
            let first = line.split(',').next().unwrap_or("").trim();
            if !first.is_empty() {
                let network: IpNet = first
                    .parse()
                    .map_err(|_| format!("line {} does not begin with a network", place + 1))?;
                networks.ranges.push((
                    to_ipv6_bits(network.network()),
                    to_ipv6_bits(network.broadcast()),
                ));
            }
        }

        networks.ranges.sort_unstable();
        networks.ranges.dedup_by(|next, kept| {
            let joined = next.0 <= kept.1;
            if joined {
                kept.1 = kept.1.max(next.1);
            }
            joined
        });
        Ok(networks)
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let address = to_ipv6_bits(address);
        let after = self.ranges.partition_point(|(first, _)| *first <= address);
        after > 0 && address <= self.ranges[after - 1].1
    }
}

fn to_ipv6_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Size and modification time of a file when it was read.
type FileStamp = (u64, Option<SystemTime>);

/// Both lists, with the state of their files when they were read.
pub struct ReaderLists {
    pub(super) agents: AgentList,
    pub(super) networks: NetworkList,
    stamps: [Option<FileStamp>; 2],
}

/// Paths of the two lists; empty for the built-in one.
#[derive(Clone)]
pub struct ReaderListPaths {
    /// JSON file of user agents.
    pub agents: String,
    /// CSV file of networks.
    pub networks: String,
}

impl ReaderLists {
    /// Loads both lists.
    ///
    /// # Errors
    ///
    /// A file cannot be read, is not of the expected form, or has an empty word.
    pub fn load(files: &ReaderListPaths) -> Result<ReaderLists, ReaderListsError> {
        let stamps = file_stamps(files)?;
        let agents = read_list(&files.agents, BUILT_IN_AGENTS, AgentList::parse)?;
        let networks = read_list(&files.networks, BUILT_IN_NETWORKS, NetworkList::parse)?;
        Ok(ReaderLists {
            agents,
            networks,
            stamps,
        })
    }

    /// Whether size or time of a file differ from when it was read.
    ///
    /// # Errors
    ///
    /// A file's metadata cannot be read.
    pub fn is_outdated(&self, files: &ReaderListPaths) -> Result<bool, ReaderListsError> {
        Ok(self.stamps != file_stamps(files)?)
    }

    pub(super) fn list_dates(&self) -> (&str, &str, usize) {
        (
            &self.agents.date,
            &self.networks.date,
            self.networks.ranges.len(),
        )
    }
}

fn read_list<T>(
    path: &str,
    built_in: &str,
    parse: fn(&str) -> Result<T, String>,
) -> Result<T, ReaderListsError> {
    let form = |reason| ReaderListsError::Malformed {
        path: path.into(),
        reason,
    };
    if path.is_empty() {
        return parse(built_in).map_err(form);
    }
    let text = std::fs::read_to_string(path).map_err(|source| ReaderListsError::Read {
        path: path.into(),
        source,
    })?;
    parse(&text).map_err(form)
}

fn file_stamps(files: &ReaderListPaths) -> Result<[Option<FileStamp>; 2], ReaderListsError> {
    let stamp = |path: &str| {
        let meta = std::fs::metadata(Path::new(path));
        let meta = meta.map_err(|source| ReaderListsError::Read {
            path: path.into(),
            source,
        })?;
        Ok((meta.len(), meta.modified().ok()))
    };
    let of = |path: &String| (!path.is_empty()).then(|| stamp(path)).transpose();
    Ok([of(&files.agents)?, of(&files.networks)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_first_and_last_address_and_not_its_neighbours() {
        let text = "# date: 2026-01-01\n172.224.224.0/27,GB,GB-EN,London,\n172.224.224.16/28\n\n2a02:26f7:c8c0::/44,DE\n";
        let networks = NetworkList::parse(text).unwrap();
        assert_eq!(
            (networks.date.as_str(), networks.ranges.len()),
            ("2026-01-01", 2)
        );
        for (address, expected) in [
            ("172.224.223.255", false),
            ("172.224.224.0", true),
            ("172.224.224.31", true),
            ("172.224.224.32", false),
            ("2a02:26f7:c8cf:ffff:ffff:ffff:ffff:ffff", true),
            ("2a02:26f7:c8d0::", false),
            ("::", false),
        ] {
            assert_eq!(
                networks.contains(address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
        assert!(NetworkList::parse("nonsense").is_err_and(|reason| reason.contains("line 1")));
    }

    #[test]
    fn the_built_in_lists_say_of_when_they_are() {
        let lists = ReaderLists::load(&ReaderListPaths {
            agents: String::new(),
            networks: String::new(),
        })
        .unwrap();
        let (agents, networks, stretches) = lists.list_dates();
        assert!(
            agents.parse::<jiff::civil::Date>().is_ok()
                && networks.parse::<jiff::civil::Date>().is_ok()
        );
        assert!(stretches > 10_000, "{stretches}");
        assert!(lists.networks.contains("104.28.28.7".parse().unwrap()));
    }

    #[test]
    fn a_file_that_changed_is_noticed_and_a_broken_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("networks.csv");
        std::fs::write(&path, "192.0.2.0/24\n").unwrap();
        let files = ReaderListPaths {
            agents: String::new(),
            networks: path.display().to_string(),
        };
        let lists = ReaderLists::load(&files).unwrap();
        assert!(!lists.is_outdated(&files).unwrap());
        std::fs::write(&path, "192.0.2.0/24\nnonsense\n").unwrap();
        assert!(lists.is_outdated(&files).unwrap());
        assert!(
            ReaderLists::load(&files)
                .is_err_and(|error| error.to_string().contains("networks.csv: line 2"))
        );
    }
}
