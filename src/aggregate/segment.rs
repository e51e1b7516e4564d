//! The sums of an open segment's batches.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::attributes::AttributeSums;
use super::batch::{Delta, plus, plus_both, summed};
use super::held::{Held, Release, Wanted};
use super::sums::{DailyKey, DropKey, FaultKey, HourlyKey, MailKey, MoneyKey, Sums, Sym, VitalKey};
use crate::event::{Counts, Millis, OTHER, SiteId, Subject};

type Map<K, V> = HashMap<K, V, RandomState>;

/// An open segment: rows of totals by key, and the attribute rows held back in it.
pub struct Segment {
    strings: Vec<Box<str>>,
    daily: Map<DailyKey, Counts>,
    hourly: Map<HourlyKey, Counts>,
    money: Map<MoneyKey, (u32, u64)>,
    drops: Map<DropKey, u32>,
    vitals: Map<VitalKey, u32>,
    faults: Map<FaultKey, u32>,
    mail: Map<MailKey, (u32, u32)>,
    /// Upper bound of the rows of totals in the closed segment, including the platform's.
    rows: usize,
    bytes: usize,
    held: Held,
}

/// Bytes of a row without its texts, as the store holds it during an insert; an hourly one with the
/// platform's.
const DAILY_BYTES: usize = 80;
const HOURLY_BYTES: usize = 128;
const OTHER_BYTES: usize = 48;

impl Default for Segment {
    fn default() -> Segment {
        // The first string is the empty one, see [`Sym::EMPTY`].
        Segment {
            strings: vec!["".into()],
            daily: Map::default(),
            hourly: Map::default(),
            money: Map::default(),
            drops: Map::default(),
            vitals: Map::default(),
            faults: Map::default(),
            mail: Map::default(),
            rows: 0,
            bytes: 0,
            held: Held::default(),
        }
    }
}

impl Segment {
    /// Rows of totals, including the platform's.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of the rows of totals with their texts, as the store holds them during an insert.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The same for attribute rows.
    pub fn attribute_bytes(&self) -> usize {
        self.held.bytes()
    }

    /// Attribute rows, including those carried into this segment.
    pub fn attribute_rows(&self) -> usize {
        self.held.rows()
    }

    /// Number of the next new string of the totals.
    pub fn next_string(&self) -> u32 {
        u32::try_from(self.strings.len()).expect("a segment holds far fewer than 2^32 strings")
    }

    /// Number of the next new string of the attributes.
    pub fn next_attribute_string(&self) -> u32 {
        self.held.next_string()
    }

    /// Whether there are attribute rows of a day that is over.
    pub fn has_closed_days(&self, now: Millis) -> bool {
        self.held.has_closed_days(now)
    }

    /// Whether a release under this rule would write any attribute rows.
    pub fn releases(&self, rule: Release, wanted: Wanted, now: Millis) -> bool {
        self.held.releases(rule, wanted, now)
    }

    /// The attribute rows that are not released; the next segment begins with them.
    pub fn carried(&self, rule: Release, wanted: Wanted, now: Millis) -> AttributeSums {
        self.held.carried(rule, wanted, now)
    }

    /// Adds a batch. Batches must come in order. If one was lost (a damaged journal), its strings
    /// read as `(other)`.
    pub fn add(&mut self, delta: &Delta) {
        while self.strings.len() < delta.base as usize {
            self.strings.push(OTHER.into());
        }
        self.strings.extend(delta.sums.strings.iter().cloned());
        self.held.add(delta.attribute_base, &delta.sums.attributes);

        let (strings, rows, bytes) = (&self.strings, &mut self.rows, &mut self.bytes);
        let length = |sym: Sym| strings.get(sym.0 as usize).map_or(0, |text| text.len());
        for (key, counts) in &delta.sums.daily {
            *self.daily.entry(*key).or_insert_with(|| {
                let with_platform = if key.subject == Subject::Site { 2 } else { 1 };
                *rows += with_platform;
                *bytes += with_platform * DAILY_BYTES + length(key.item);
                Counts::none()
            }) += *counts;
        }
        for (key, counts) in &delta.sums.hourly {
            *self.hourly.entry(*key).or_insert_with(|| {
                *rows += 2;
                *bytes += HOURLY_BYTES;
                Counts::none()
            }) += *counts;
        }

        let mut other_row = |texts: [Sym; 2]| {
            *rows += 1;
            *bytes += OTHER_BYTES + texts.into_iter().map(length).sum::<usize>();
        };
        for (key, (hits, minor)) in &delta.sums.money {
            let sum = self.money.entry(*key).or_insert_with(|| {
                other_row([key.event, Sym::EMPTY]);
                (0, 0)
            });
            *sum = (sum.0.saturating_add(*hits), sum.1.saturating_add(*minor));
        }
        add(&mut self.drops, &delta.sums.drops, |_| {});
        add(&mut self.vitals, &delta.sums.vitals, |key| other_row([key.path, key.device]));
        add(&mut self.faults, &delta.sums.faults, |key| other_row([key.path, key.fault]));
        for (key, counts) in &delta.sums.mail {
            let sum = self.mail.entry(*key).or_insert_with(|| {
                other_row([key.template, key.link]);
                (0, 0)
            });
            plus_both(sum, *counts);
        }
    }

    /// Closes the segment into its sums: strings sorted and unique, the platform's rows added,
    /// without the attribute rows of sites and days in `carried`. Equal counts give equal bytes,
    /// whatever the order of the batches was.
    pub fn seal(self, carried: &AttributeSums) -> Sums {
        let (strings, renumber) = in_order(&self.strings);
        let sym = |old: Sym| renumber.get(old.0 as usize).copied().unwrap_or(Sym::EMPTY);
        let mut daily: Vec<(DailyKey, Counts)> =
            self.daily.into_iter().map(|(key, counts)| (DailyKey { item: sym(key.item), ..key }, counts)).collect();
        let of_sites = daily.iter().filter(|(key, _)| key.subject == Subject::Site);
        let platform: Vec<_> =
            of_sites.map(|(key, counts)| (DailyKey { site: SiteId::PLATFORM, ..*key }, *counts)).collect();
        daily.extend(summed(platform, |sum, counts| *sum += counts));

        let mut hourly: Vec<(HourlyKey, Counts)> = self.hourly.into_iter().collect();
        let platform: Vec<_> =
            hourly.iter().map(|(key, counts)| (HourlyKey { site: SiteId::PLATFORM, ..*key }, *counts)).collect();
        hourly.extend(platform);

        let money = self.money.into_iter().map(|(key, sum)| (MoneyKey { event: sym(key.event), ..key }, sum));
        let mail = self
            .mail
            .into_iter()
            .map(|(key, counts)| (MailKey { template: sym(key.template), link: sym(key.link), ..key }, counts));

        Sums {
            strings,
            daily: summed(daily, |sum, counts| *sum += counts),
            hourly: summed(hourly, |sum, counts| *sum += counts),
            money: summed(money.collect(), |sum, more| {
                *sum = (sum.0.saturating_add(more.0), sum.1.saturating_add(more.1));
            }),
            drops: in_sequence(self.drops.into_iter()),
            vitals: in_sequence(
                self.vitals
                    .into_iter()
                    .map(|(key, hits)| (VitalKey { path: sym(key.path), device: sym(key.device), ..key }, hits)),
            ),
            faults: in_sequence(
                self.faults
                    .into_iter()
                    .map(|(key, hits)| (FaultKey { path: sym(key.path), fault: sym(key.fault), ..key }, hits)),
            ),
            mail: summed(mail.collect(), plus_both),
            attributes: self.held.seal(carried),
        }
    }
}

fn add<K: Copy + Eq + std::hash::Hash>(sums: &mut Map<K, u32>, rows: &[(K, u32)], mut is_new: impl FnMut(&K)) {
    for (key, hits) in rows {
        let sum = sums.entry(*key).or_insert_with(|| {
            is_new(key);
            0
        });
        plus(sum, *hits);
    }
}

fn in_sequence<K: Ord + Copy>(rows: impl Iterator<Item = (K, u32)>) -> Vec<(K, u32)> {
    summed(rows.collect(), plus)
}

/// The strings sorted and unique, and the new number of each old one. The empty string stays first.
fn in_order(strings: &[Box<str>]) -> (Vec<Box<str>>, Vec<Sym>) {
    let mut places: Vec<usize> = (0..strings.len()).collect();
    places.sort_unstable_by(|&a, &b| strings[a].cmp(&strings[b]));
    let mut sorted: Vec<Box<str>> = Vec::with_capacity(strings.len());
    let mut renumber = vec![Sym::EMPTY; strings.len()];
    for place in places {
        if sorted.last().is_none_or(|last| *last != strings[place]) {
            sorted.push(strings[place].clone());
        }
        renumber[place] = Sym(u32::try_from(sorted.len() - 1).expect("a segment holds far fewer than 2^32 strings"));
    }
    (sorted, renumber)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Counter::{Hits, Visitors};
    use crate::event::Day;

    fn delta(base: u32, strings: &[&str], rows: &[(u128, u32, u32)]) -> Delta {
        let row = |&(site, item, n): &(u128, u32, u32)| {
            let counts = Counts::none().with(Hits, n).with(Visitors, n);
            let subject = if item == 0 { Subject::Site } else { Subject::Page };
            let key = DailyKey { site: SiteId::from_u128(site), day: Day::from_number(1), subject, item: Sym(item) };
            (key, counts)
        };
        let strings = strings.iter().map(|text| (*text).into()).collect();
        let sums = Sums { strings, daily: rows.iter().map(row).collect(), ..Sums::default() };
        Delta { base, attribute_base: 1, sums }
    }

    fn seal(segment: Segment) -> Sums {
        segment.seal(&AttributeSums::default())
    }

    #[test]
    fn the_same_counts_seal_to_the_same_sums_whatever_came_first() {
        let mut one = Segment::default();
        one.add(&delta(1, &["/a", "/b"], &[(7, 1, 2), (7, 2, 1)]));
        one.add(&delta(3, &["/c"], &[(8, 3, 5), (7, 2, 1)]));
        let mut other = Segment::default();
        other.add(&delta(1, &["/c"], &[(8, 1, 5)]));
        other.add(&delta(2, &["/b"], &[(7, 2, 2)]));
        other.add(&delta(3, &["/a"], &[(7, 3, 2)]));
        let sealed = seal(one);
        assert_eq!(sealed, seal(other));
        assert_eq!(sealed.strings.iter().map(|text| &**text).collect::<Vec<_>>(), ["", "/a", "/b", "/c"]);
    }

    #[test]
    fn the_platform_is_the_sum_of_the_sites() {
        let mut segment = Segment::default();
        segment.add(&delta(1, &["/a"], &[(7, 0, 2), (8, 0, 3), (8, 1, 4)]));
        assert_eq!(segment.rows(), 5);
        let sums = seal(segment);
        let platform = sums.daily.iter().filter(|(key, _)| key.site == SiteId::PLATFORM);
        assert_eq!(platform.map(|(_, counts)| counts.get(Visitors)).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn rows_of_a_batch_whose_strings_were_lost_are_kept_under_other() {
        let mut segment = Segment::default();
        segment.add(&delta(3, &["/c"], &[(7, 2, 1), (7, 3, 1)]));
        let sums = seal(segment);
        let items: Vec<&str> = sums.daily.iter().map(|(key, _)| sums.text(key.item)).collect();
        assert_eq!(items, [OTHER, "/c"]);
    }
}
