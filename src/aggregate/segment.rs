//! What the batches of an open segment add up to.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::batch::{Delta, plus, plus_both, summed};
use super::sums::{DailyKey, DropKey, FaultKey, HourlyKey, MailKey, MoneyKey, Sums, Sym, VitalKey};
use crate::event::{Counts, OTHER, SiteId, Subject};

type Map<K, V> = HashMap<K, V, RandomState>;

pub struct Segment {
    strings: Vec<Box<str>>,
    daily: Map<DailyKey, Counts>,
    hourly: Map<HourlyKey, Counts>,
    money: Map<MoneyKey, (u32, u64)>,
    drops: Map<DropKey, u32>,
    vitals: Map<VitalKey, u32>,
    faults: Map<FaultKey, u32>,
    mail: Map<MailKey, (u32, u32)>,
    /// Rows the sealed segment has at the most, the platform's included.
    rows: usize,
}

impl Default for Segment {
    fn default() -> Segment {
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
        }
    }
}

impl Segment {
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number the next new string gets.
    pub fn next_string(&self) -> u32 {
        u32::try_from(self.strings.len()).expect("a segment holds far fewer than 2^32 strings")
    }

    /// Adds a batch. Deltas come in order; where one was lost (a damaged journal), its strings read as `(other)`.
    pub fn add(&mut self, delta: &Delta) {
        while self.strings.len() < delta.base as usize {
            self.strings.push(OTHER.into());
        }
        self.strings.extend(delta.sums.strings.iter().cloned());
        for (key, counts) in &delta.sums.daily {
            let rows = &mut self.rows;
            *self.daily.entry(*key).or_insert_with(|| {
                *rows += if key.subject == Subject::Site { 2 } else { 1 };
                Counts::none()
            }) += *counts;
        }
        for (key, counts) in &delta.sums.hourly {
            let rows = &mut self.rows;
            *self.hourly.entry(*key).or_insert_with(|| {
                *rows += 2;
                Counts::none()
            }) += *counts;
        }
        for (key, (hits, minor)) in &delta.sums.money {
            let sum = self.money.entry(*key).or_default();
            *sum = (sum.0.saturating_add(*hits), sum.1.saturating_add(*minor));
        }
        add(&mut self.drops, &delta.sums.drops);
        self.rows -= self.vitals.len() + self.faults.len() + self.mail.len();
        add(&mut self.vitals, &delta.sums.vitals);
        add(&mut self.faults, &delta.sums.faults);
        for (key, counts) in &delta.sums.mail {
            plus_both(self.mail.entry(*key).or_default(), *counts);
        }
        self.rows += self.vitals.len() + self.faults.len() + self.mail.len();
    }

    /// The sorted sums: strings once and in order, the platform's rows added. The same counts always give the same bytes, whatever
    /// the order of batches was.
    pub fn seal(self) -> Sums {
        let (strings, renumber) = in_order(&self.strings);
        let sym = |old: Sym| renumber.get(old.0 as usize).copied().unwrap_or(Sym::EMPTY);
        let mut daily: Vec<(DailyKey, Counts)> = self
            .daily
            .into_iter()
            .map(|(key, counts)| (DailyKey { item: sym(key.item), value: sym(key.value), ..key }, counts))
            .collect();
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
        }
    }
}

fn add<K: Copy + Eq + std::hash::Hash>(sums: &mut Map<K, u32>, rows: &[(K, u32)]) {
    for (key, hits) in rows {
        plus(sums.entry(*key).or_default(), *hits);
    }
}

fn in_sequence<K: Ord + Copy>(rows: impl Iterator<Item = (K, u32)>) -> Vec<(K, u32)> {
    summed(rows.collect(), plus)
}

/// The strings sorted and once each, and the new number of each old one. The empty string stays first.
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
    use crate::event::{Day, Dimension};

    fn delta(base: u32, strings: &[&str], rows: &[(u64, Dimension, u32, u32)]) -> Delta {
        let row = |&(site, dim, value, n): &(u64, Dimension, u32, u32)| {
            let counts = Counts::none().with(Hits, n).with(Visitors, n);
            let day = Day::from_number(1);
            let site = SiteId::from_u128(u128::from(site));
            (DailyKey { site, day, subject: Subject::Site, dim, item: Sym::EMPTY, value: Sym(value) }, counts)
        };
        let strings = strings.iter().map(|text| (*text).into()).collect();
        Delta { base, sums: Sums { strings, daily: rows.iter().map(row).collect(), ..Sums::default() } }
    }

    #[test]
    fn the_same_counts_seal_to_the_same_sums_whatever_came_first() {
        use Dimension::{Country, Source};
        let mut one = Segment::default();
        one.add(&delta(1, &["DE", "Google"], &[(7, Country, 1, 2), (7, Source, 2, 1)]));
        one.add(&delta(3, &["FR"], &[(8, Country, 3, 5), (7, Source, 2, 1)]));
        let mut other = Segment::default();
        other.add(&delta(1, &["FR"], &[(8, Country, 1, 5)]));
        other.add(&delta(2, &["Google"], &[(7, Source, 2, 2)]));
        other.add(&delta(3, &["DE"], &[(7, Country, 3, 2)]));
        let sealed = one.seal();
        assert_eq!(sealed, other.seal());
        assert_eq!(sealed.strings.iter().map(|text| &**text).collect::<Vec<_>>(), ["", "DE", "FR", "Google"]);
    }

    #[test]
    fn the_platform_is_the_sum_of_the_sites() {
        let mut segment = Segment::default();
        segment.add(&delta(
            1,
            &["DE"],
            &[(7, Dimension::Country, 1, 2), (8, Dimension::Country, 1, 3), (8, Dimension::Total, 0, 4)],
        ));
        assert_eq!(segment.rows(), 6);
        let sums = segment.seal();
        let platform: Vec<(Dimension, u32)> = sums
            .daily
            .iter()
            .filter(|(key, _)| key.site == SiteId::PLATFORM)
            .map(|(key, counts)| (key.dim, counts.get(Visitors)))
            .collect();
        assert_eq!(platform, [(Dimension::Total, 4), (Dimension::Country, 5)]);
    }

    #[test]
    fn rows_of_a_batch_whose_strings_were_lost_are_kept_under_other() {
        let mut segment = Segment::default();
        segment.add(&delta(3, &["FR"], &[(7, Dimension::Country, 2, 1), (7, Dimension::Country, 3, 1)]));
        let sums = segment.seal();
        let values: Vec<&str> = sums
            .daily
            .iter()
            .filter(|(key, _)| key.site != SiteId::PLATFORM)
            .map(|(key, _)| sums.text(key.value))
            .collect();
        assert_eq!(values, [OTHER, "FR"]);
    }
}
