//! Rows with an attribute, apart from the totals: texts and numbers of their own.
//!
//! The journal writes totals in clear and attributes encrypted, so no text of an attribute may stand among those of the totals.

use hashbrown::HashMap;

use super::batch::summed;
use super::sums::Sym;
use crate::event::{Day, Dimension, SiteId, Subject};

/// Whose number it is. All [`Sym`]s are of [`AttributeSums::strings`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AttributeKey {
    pub site: SiteId,
    /// The name of the zone the day is one of.
    pub zone: Sym,
    pub day: Day,
    pub subject: Subject,
    pub dim: Dimension,
    pub item: Sym,
    pub value: Sym,
}

/// Visitors and visits of one value, and from how many networks they came. They only ever grow.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct AttributeCounts {
    pub visitors: u32,
    pub visits: u32,
    /// Visitors that were the first of their /24 or /48 on the site that day.
    pub networks: u32,
    /// The same on the platform; of a site's own rows only, to make the platform's from.
    pub platform_networks: u32,
}

impl AttributeCounts {
    pub fn is_zero(&self) -> bool {
        *self == AttributeCounts::default()
    }
}

impl std::ops::AddAssign for AttributeCounts {
    fn add_assign(&mut self, more: AttributeCounts) {
        self.visitors = self.visitors.saturating_add(more.visitors);
        self.visits = self.visits.saturating_add(more.visits);
        self.networks = self.networks.saturating_add(more.networks);
        self.platform_networks = self.platform_networks.saturating_add(more.platform_networks);
    }
}

/// All attribute counts of one segment, or those a batch adds to one.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct AttributeSums {
    pub strings: Vec<Box<str>>,
    pub rows: Vec<(AttributeKey, AttributeCounts)>,
}

impl AttributeSums {
    pub fn text(&self, sym: Sym) -> &str {
        &self.strings[sym.0 as usize]
    }

    /// Rows whose numbers are of `strings`, in the one form the same counts always have: the strings these rows use and no other,
    /// sorted, the empty one first; the rows sorted, each key once.
    pub(super) fn in_order(strings: &[Box<str>], rows: Vec<(AttributeKey, AttributeCounts)>) -> AttributeSums {
        if rows.is_empty() {
            return AttributeSums::default();
        }
        let mut used: Vec<&str> = vec![""];
        let mut seen = vec![false; strings.len()];
        for sym in rows.iter().flat_map(|(key, _)| [key.zone, key.item, key.value]) {
            if !std::mem::replace(&mut seen[sym.0 as usize], true) {
                used.push(&strings[sym.0 as usize]);
            }
        }
        used.sort_unstable();
        used.dedup();
        let mut renumber = vec![Sym::EMPTY; strings.len()];
        for (old, text) in strings.iter().enumerate().filter(|(old, _)| seen[*old]) {
            let place = used.binary_search(&&**text).expect("every string that was seen is among the used ones");
            renumber[old] = Sym(u32::try_from(place).expect("a segment holds far fewer than 2^32 strings"));
        }
        let sym = |old: Sym| renumber[old.0 as usize];
        let rows = rows.into_iter().map(|(key, counts)| {
            (AttributeKey { zone: sym(key.zone), item: sym(key.item), value: sym(key.value), ..key }, counts)
        });
        AttributeSums {
            rows: summed(rows.collect(), |sum, counts| *sum += counts),
            strings: used.into_iter().map(Into::into).collect(),
        }
    }
}

/// The platform's rows: those of its sites, summed. Its days are those of `zone`.
pub(super) fn of_platform(
    rows: &[(AttributeKey, AttributeCounts)],
    zone: Sym,
) -> impl Iterator<Item = (AttributeKey, AttributeCounts)> {
    let mut sums: HashMap<AttributeKey, AttributeCounts, foldhash::fast::RandomState> = HashMap::default();
    for (key, counts) in rows.iter().filter(|(key, _)| key.subject == Subject::Site) {
        let of_sites = AttributeCounts { networks: counts.platform_networks, platform_networks: 0, ..*counts };
        *sums.entry(AttributeKey { site: SiteId::PLATFORM, zone, ..*key }).or_default() += of_sites;
    }
    sums.into_iter()
}
