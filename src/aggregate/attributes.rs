//! Rows with an attribute, kept apart from the totals with a string table of their own: the journal
//! writes totals in clear and attributes encrypted, so no text of an attribute may be among those
//! of the totals.

use hashbrown::HashMap;

use super::sorting::sort_and_sum;
use super::string_id::StringId;
use crate::calendar::Day;
use crate::event::{Dimension, SiteId, Subject};

/// Key of an attribute row. All [`StringId`]s index [`AttributeSums::strings`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AttributeKey {
    /// The site; [`SiteId::PLATFORM`] for the sum over all sites.
    pub site: SiteId,
    /// Name of the time zone that `day` is a day of.
    pub zone: StringId,
    /// Day in that zone.
    pub day: Day,
    /// What is broken down: the site, a page, a link or an event.
    pub subject: Subject,
    /// The attribute's dimension, never `Total`.
    pub dim: Dimension,
    /// Path, link or event name; empty for the site.
    pub item: StringId,
    /// Value of the attribute, or `(other)`.
    pub value: StringId,
}

/// Visitors and visits of one value, and the number of networks they came from. They only grow;
/// additions saturate.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct AttributeCounts {
    /// New visitors of the day.
    pub visitors: u32,
    /// Visits.
    pub visits: u32,
    /// Visitors who were the first of their /24 or /48 on the site that day.
    pub networks: u32,
    /// Visitors who were the first of their network on the platform. Only in rows of the site
    /// itself, to derive the platform's rows from.
    pub platform_networks: u32,
}

impl AttributeCounts {
    /// Whether all four counts are zero.
    pub fn is_zero(&self) -> bool {
        *self == AttributeCounts::default()
    }
}

impl std::ops::AddAssign for AttributeCounts {
    fn add_assign(&mut self, more: AttributeCounts) {
        self.visitors = self.visitors.saturating_add(more.visitors);
        self.visits = self.visits.saturating_add(more.visits);
        self.networks = self.networks.saturating_add(more.networks);
        self.platform_networks = self
            .platform_networks
            .saturating_add(more.platform_networks);
    }
}

/// All attribute counts of one segment, or those that a batch adds to one.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct AttributeSums {
    /// The texts that [`StringId`]s index.
    pub strings: Vec<Box<str>>,
    /// In a closed segment: sorted, each key once.
    pub rows: Vec<(AttributeKey, AttributeCounts)>,
}

impl AttributeSums {
    /// Whether each [`StringId`] of a row is an index of its strings.
    pub fn has_all_strings(&self) -> bool {
        let known = |sym: StringId| (sym.0 as usize) < self.strings.len();
        self.rows
            .iter()
            .all(|(key, _)| [key.zone, key.item, key.value].into_iter().all(known))
    }

    /// The text of `sym`. Panics if it is not an index of these strings.
    pub fn resolve_string(&self, sym: StringId) -> &str {
        &self.strings[sym.0 as usize]
    }

    /// Brings `rows`, whose [`StringId`]s index `strings`, into canonical form, so that equal
    /// counts give equal bytes: only the strings that are used, sorted, the empty one first; rows
    /// sorted, each key once.
    pub(super) fn from_unsorted(
        strings: &[Box<str>],
        rows: Vec<(AttributeKey, AttributeCounts)>,
    ) -> AttributeSums {
        if rows.is_empty() {
            return AttributeSums::default();
        }

        let mut used: Vec<&str> = vec![""];
        let mut seen = vec![false; strings.len()];
        for sym in rows
            .iter()
            .flat_map(|(key, _)| [key.zone, key.item, key.value])
        {
            if !std::mem::replace(&mut seen[sym.0 as usize], true) {
                used.push(&strings[sym.0 as usize]);
            }
        }
        used.sort_unstable();
        used.dedup();

        let mut renumber = vec![StringId::EMPTY; strings.len()];
        for (old, text) in strings.iter().enumerate().filter(|(old, _)| seen[*old]) {
            let place = used
                .binary_search(&&**text)
                .expect("every string that was seen is among those in use");
            renumber[old] = StringId(
                u32::try_from(place).expect("a segment holds far fewer than 2^32 strings"),
            );
        }

        let sym = |old: StringId| renumber[old.0 as usize];
        let rows = rows.into_iter().map(|(key, counts)| {
            (
                AttributeKey {
                    zone: sym(key.zone),
                    item: sym(key.item),
                    value: sym(key.value),
                    ..key
                },
                counts,
            )
        });
        AttributeSums {
            rows: sort_and_sum(rows.collect(), |sum, counts| *sum += counts),
            strings: used.into_iter().map(Into::into).collect(),
        }
    }
}

/// The platform's rows, as sums of its sites' rows. Its days are those of `zone`.
pub(super) fn platform_rows(
    rows: &[(AttributeKey, AttributeCounts)],
    zone: StringId,
) -> impl Iterator<Item = (AttributeKey, AttributeCounts)> {
    let mut sums: HashMap<AttributeKey, AttributeCounts, foldhash::fast::RandomState> =
        HashMap::default();
    for (key, counts) in rows.iter().filter(|(key, _)| key.subject == Subject::Site) {
        let of_sites = AttributeCounts {
            networks: counts.platform_networks,
            platform_networks: 0,
            ..*counts
        };
        *sums
            .entry(AttributeKey {
                site: SiteId::PLATFORM,
                zone,
                ..*key
            })
            .or_default() += of_sites;
    }
    sums.into_iter()
}
