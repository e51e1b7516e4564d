//! The list of known sources, `sources.toml`, as hash tables.
//!
//! A host is looked up from its full name to its parents, in at most five steps: `l.instagram.com`,
//! then `instagram.com`. Therefore `google.com.evil.example` is never Google. The tables are
//! read-only, so requests cannot make them grow.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use hashbrown::HashMap;
use serde::Deserialize;

use super::address::matches_query_key;

/// An entry of the list, as its index. Two bytes, so that every [`ClientClass`](super::ClientClass)
/// can hold one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ListedSource(u16);

string_enum! {
    /// The group of a source, from which the channel is derived.
    pub enum SourceGroup {
        /// Search engines.
        Search = "search",
        /// Social networks.
        Social = "social",
        /// AI assistants.
        Assistant = "assistant",
        /// Web mail.
        Mail = "mail",
        /// Messengers.
        Messenger = "messenger",
        /// Video platforms.
        Video = "video",
        /// Music platforms.
        Music = "music",
        /// News and forums.
        News = "news",
        /// Shops and marketplaces.
        Shop = "shop",
        /// Tools of teams.
        Work = "work",
        /// Pages of links and URL shorteners.
        Links = "links",
        /// Advertising networks.
        Ads = "ads",
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceEntry {
    name: String,
    group: SourceGroup,
    #[serde(default)]
    hosts: Vec<String>,
    /// First labels that are combined with each of the file's `suffixes`.
    #[serde(default)]
    stems: Vec<String>,
    /// Values of `utm_source` that mean this source, besides its name.
    #[serde(default)]
    tags: Vec<String>,
    /// Query keys that the source adds to the target URLs of its ads, in lower case.
    #[serde(default)]
    click_ids: Vec<String>,
    /// Query keys that it adds to every link, paid or not, in lower case.
    #[serde(default)]
    link_ids: Vec<String>,
    /// Android package names, as in `android-app://…` referrers.
    #[serde(default)]
    apps: Vec<String>,
    /// Substrings of the user agent of the app's in-app browser.
    #[serde(default)]
    tokens: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceListFile {
    suffixes: Vec<String>,
    source: Vec<SourceEntry>,
}

/// The list of sources, with a look-up table per kind of evidence.
pub struct SourceList {
    entries: Vec<(Box<str>, SourceGroup)>,
    hosts: HashMap<Box<str>, ListedSource>,
    tags: HashMap<Box<str>, ListedSource>,
    apps: HashMap<Box<str>, ListedSource>,
    click_ids: Vec<ClickId>,
    tokens: AhoCorasick,
    token_of: Vec<ListedSource>,
}

/// A query key that a network adds to URLs.
pub struct ClickId {
    key: Box<str>,
    /// The network.
    pub listed: ListedSource,
    /// Whether only the target URLs of ads have it.
    pub is_of_ad: bool,
}

impl ListedSource {
    /// The name in tables and reports.
    pub fn name(self) -> &'static str {
        &source_list().entries[usize::from(self.0)].0
    }

    /// The group of the source.
    pub fn group(self) -> SourceGroup {
        source_list().entries[usize::from(self.0)].1
    }
}

/// The number of labels of a host that are checked, from the right. No listed host has more.
const MAX_HOST_LABELS: usize = 5;

impl SourceList {
    /// The source with this host or the closest parent of it. `host` is in lower case.
    pub fn find_by_host(&self, host: &str) -> Option<ListedSource> {
        let dots = host.bytes().filter(|b| *b == b'.').count();
        let mut rest = host;
        for _ in MAX_HOST_LABELS..=dots {
            rest = rest.split_once('.')?.1;
        }
        loop {
            if let Some(listed) = self.hosts.get(rest) {
                return Some(*listed);
            }
            rest = rest.split_once('.')?.1;
        }
    }

    /// The source with this tag or name. `tag` is in lower case.
    pub fn find_by_tag(&self, tag: &str) -> Option<ListedSource> {
        self.tags.get(tag).copied()
    }

    /// The click id with this query key, which may still be encoded.
    pub fn find_click_id(&self, name: &str) -> Option<&ClickId> {
        self.click_ids
            .iter()
            .find(|id| matches_query_key(name, &id.key))
    }

    /// The source with this Android package name.
    pub fn find_by_package(&self, package: &str) -> Option<ListedSource> {
        self.apps.get(package).copied()
    }

    /// The app whose in-app browser sends this user agent.
    pub fn find_by_agent(&self, agent: &str) -> Option<ListedSource> {
        self.tokens
            .find(agent)
            .map(|found| self.token_of[found.pattern().as_usize()])
    }
}

/// The list, parsed on first use.
pub fn source_list() -> &'static SourceList {
    static LIST: LazyLock<SourceList> = LazyLock::new(|| {
        let read = toml::from_str(include_str!("sources.toml"));
        build_list(read.expect("sources.toml is part of the binary and a test reads it"))
    });
    &LIST
}

fn build_list(file: SourceListFile) -> SourceList {
    let mut sources = SourceList {
        entries: Vec::new(),
        hosts: HashMap::new(),
        tags: HashMap::new(),
        apps: HashMap::new(),
        click_ids: Vec::new(),
        tokens: AhoCorasick::new([""; 0]).expect("no pattern is no work"),
        token_of: Vec::new(),
    };
    let mut tokens = Vec::new();

    for (number, entry) in (0_u16..).zip(file.source) {
        let listed = ListedSource(number);
        let mut put = |table: fn(&mut SourceList) -> &mut HashMap<Box<str>, ListedSource>,
                       key: String| {
            table(&mut sources).insert(key.into(), listed);
        };

        for stem in &entry.stems {
            file.suffixes
                .iter()
                .for_each(|suffix| put(|s| &mut s.hosts, format!("{stem}.{suffix}")));
        }
        entry
            .hosts
            .into_iter()
            .for_each(|host| put(|s| &mut s.hosts, host));
        entry
            .tags
            .into_iter()
            .chain([entry.name.to_lowercase()])
            .for_each(|tag| put(|s| &mut s.tags, tag));
        entry
            .apps
            .into_iter()
            .for_each(|app| put(|s| &mut s.apps, app));

        let ids = |keys: Vec<String>, is_of_ad| {
            keys.into_iter().map(move |key| ClickId {
                key: key.into(),
                listed,
                is_of_ad,
            })
        };
        sources
            .click_ids
            .extend(ids(entry.click_ids, true).chain(ids(entry.link_ids, false)));

        sources.token_of.extend(entry.tokens.iter().map(|_| listed));
        tokens.extend(entry.tokens);
        sources.entries.push((entry.name.into(), entry.group));
    }
    // Among tokens at the same position, the earlier entry wins; among positions, the first: apps
    // write their own token before that of the app they embed.
    sources.tokens = AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostFirst)
        .build(tokens)
        .expect("a few dozen short words fit any automaton");
    sources
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_list_names_at_least_150_hosts_each_once() {
        let file: SourceListFile = toml::from_str(include_str!("sources.toml")).unwrap();
        let hosts: Vec<&String> = file.source.iter().flat_map(|entry| &entry.hosts).collect();
        assert!(hosts.len() >= 150, "{}", hosts.len());
        let (mut seen, mut names) = (HashSet::new(), HashSet::new());
        for host in hosts {
            assert!(seen.insert(host), "{host} is listed twice");
            assert!(
                super::super::address::is_host_name(host) && host.to_lowercase() == *host,
                "{host}"
            );
            assert!(
                !host.starts_with("www.") && host.split('.').count() <= MAX_HOST_LABELS,
                "{host}"
            );
        }
        let mut tags = HashSet::new();
        for entry in &file.source {
            assert!(names.insert(&entry.name), "{} is listed twice", entry.name);
            let own = [entry.name.to_lowercase()];
            for tag in own.iter().chain(&entry.tags).collect::<HashSet<_>>() {
                assert!(
                    tags.insert(tag.clone()) && tag.to_lowercase() == **tag,
                    "the tag {tag} is listed twice"
                );
            }
        }
    }

    #[test]
    fn a_host_is_found_by_its_parents_only() {
        let name = |host: &str| source_list().find_by_host(host).map(ListedSource::name);
        assert_eq!(name("instagram.com"), Some("Instagram"));
        assert_eq!(name("a.b.c.d.e.f.g.instagram.com"), Some("Instagram"));
        assert_eq!(name("instagram.com.evil.example"), None);
        assert_eq!(name("com"), None);
        assert_eq!(name(""), None);
        assert_eq!(
            source_list()
                .find_by_host("google.de")
                .map(ListedSource::group),
            Some(SourceGroup::Search)
        );
    }
}
