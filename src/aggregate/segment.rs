//! The sums of an open segment's batches.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::attributes::AttributeSums;
use super::batch::SegmentDelta;
use super::held_attributes::{HeldAttributes, ReleasePolicy, ReleaseScope};
use super::sorting::{add_both_saturating, add_saturating, sort_and_sum};
use super::string_id::StringId;
use super::sums::{
    DailyKey, DropKey, FaultKey, HourlyKey, MailKey, MoneyKey, SegmentSums, VitalKey,
};
use crate::calendar::Millis;
use crate::event::{CounterValues, OTHER_VALUE, SiteId, Subject};

type SumMap<K, V> = HashMap<K, V, RandomState>;

/// An open segment: rows of totals by key, and the attribute rows held back in it.
pub struct SegmentBuilder {
    strings: Vec<Box<str>>,
    daily: SumMap<DailyKey, CounterValues>,
    hourly: SumMap<HourlyKey, CounterValues>,
    money: SumMap<MoneyKey, (u32, u64)>,
    drops: SumMap<DropKey, u32>,
    vitals: SumMap<VitalKey, u32>,
    faults: SumMap<FaultKey, u32>,
    mail: SumMap<MailKey, (u32, u32)>,
    /// Upper bound of the rows of totals in the closed segment, including the platform's.
    rows: usize,
    bytes: usize,
    held: HeldAttributes,
}

/// Bytes of a row without its texts, as the store holds it during an insert; an hourly one with the
/// platform's.
const DAILY_ROW_BYTES: usize = 80;
const HOURLY_ROW_BYTES: usize = 128;
const OTHER_ROW_BYTES: usize = 48;

impl Default for SegmentBuilder {
    fn default() -> SegmentBuilder {
        // The first string is the empty one, see [`StringId::EMPTY`].
        SegmentBuilder {
            strings: vec!["".into()],
            daily: SumMap::default(),
            hourly: SumMap::default(),
            money: SumMap::default(),
            drops: SumMap::default(),
            vitals: SumMap::default(),
            faults: SumMap::default(),
            mail: SumMap::default(),
            rows: 0,
            bytes: 0,
            held: HeldAttributes::default(),
        }
    }
}

impl SegmentBuilder {
    /// Rows of totals, including the platform's.
    pub fn row_count(&self) -> usize {
        self.rows
    }

    /// Bytes of the rows of totals with their texts, as the store holds them during an insert.
    pub fn insert_bytes(&self) -> usize {
        self.bytes
    }

    /// The same for attribute rows.
    pub fn attribute_insert_bytes(&self) -> usize {
        self.held.insert_bytes()
    }

    /// Attribute rows, including those carried into this segment.
    pub fn attribute_row_count(&self) -> usize {
        self.held.row_count()
    }

    /// String id of the next new string of the totals.
    pub fn next_string_id(&self) -> u32 {
        u32::try_from(self.strings.len()).expect("a segment holds far fewer than 2^32 strings")
    }

    /// String id of the next new string of the attributes.
    pub fn next_attribute_string_id(&self) -> u32 {
        self.held.next_string_id()
    }

    /// Whether there are attribute rows of a day that is over.
    pub fn has_closed_days(&self, now: Millis) -> bool {
        self.held.has_closed_days(now)
    }

    /// Whether a release under this rule would write any attribute rows.
    pub fn would_release(&self, rule: ReleasePolicy, wanted: ReleaseScope, now: Millis) -> bool {
        self.held.would_release(rule, wanted, now)
    }

    /// The attribute rows that are not released; the next segment begins with them.
    pub fn collect_carried(
        &self,
        rule: ReleasePolicy,
        wanted: ReleaseScope,
        now: Millis,
    ) -> AttributeSums {
        self.held.collect_carried(rule, wanted, now)
    }

    /// Adds a batch. Batches must come in order. If one was lost (a damaged journal), its strings
    /// read as `(other)`.
    pub fn add_delta(&mut self, delta: &SegmentDelta) {
        while self.strings.len() < delta.first_string_id as usize {
            self.strings.push(OTHER_VALUE.into());
        }
        self.strings.extend(delta.sums.strings.iter().cloned());
        self.held
            .add_batch(delta.first_attribute_string_id, &delta.sums.attributes);

        let (strings, rows, bytes) = (&self.strings, &mut self.rows, &mut self.bytes);
        let length = |sym: StringId| strings.get(sym.0 as usize).map_or(0, |text| text.len());
        for (key, counts) in &delta.sums.daily {
            *self.daily.entry(*key).or_insert_with(|| {
                let with_platform = if key.subject == Subject::Site { 2 } else { 1 };
                *rows += with_platform;
                *bytes += with_platform * DAILY_ROW_BYTES + length(key.item);
                CounterValues::zeros()
            }) += *counts;
        }
        for (key, counts) in &delta.sums.hourly {
            *self.hourly.entry(*key).or_insert_with(|| {
                *rows += 2;
                *bytes += HOURLY_ROW_BYTES;
                CounterValues::zeros()
            }) += *counts;
        }

        let mut other_row = |texts: [StringId; 2]| {
            *rows += 1;
            *bytes += OTHER_ROW_BYTES + texts.into_iter().map(length).sum::<usize>();
        };
        for (key, (hits, minor)) in &delta.sums.money {
            let sum = self.money.entry(*key).or_insert_with(|| {
                other_row([key.event, StringId::EMPTY]);
                (0, 0)
            });
            *sum = (sum.0.saturating_add(*hits), sum.1.saturating_add(*minor));
        }
        add_counts(&mut self.drops, &delta.sums.drops, |_| {});
        add_counts(&mut self.vitals, &delta.sums.vitals, |key| {
            other_row([key.path, key.device])
        });
        add_counts(&mut self.faults, &delta.sums.faults, |key| {
            other_row([key.path, key.fault])
        });
        for (key, counts) in &delta.sums.mail {
            let sum = self.mail.entry(*key).or_insert_with(|| {
                other_row([key.template, key.link]);
                (0, 0)
            });
            add_both_saturating(sum, *counts);
        }
    }

    /// Makes the segment's final sums: strings sorted and unique, the platform's rows added,
    /// without the attribute rows of sites and days in `carried`. Equal counts give equal bytes, in
    /// any order of the batches.
    pub fn finish_segment(self, carried: &AttributeSums) -> SegmentSums {
        let (strings, renumber) = sort_strings(&self.strings);
        let sym = |old: StringId| {
            renumber
                .get(old.0 as usize)
                .copied()
                .unwrap_or(StringId::EMPTY)
        };
        let mut daily: Vec<(DailyKey, CounterValues)> = self
            .daily
            .into_iter()
            .map(|(key, counts)| {
                (
                    DailyKey {
                        item: sym(key.item),
                        ..key
                    },
                    counts,
                )
            })
            .collect();
        let of_sites = daily.iter().filter(|(key, _)| key.subject == Subject::Site);
        let platform: Vec<_> = of_sites
            .map(|(key, counts)| {
                (
                    DailyKey {
                        site: SiteId::PLATFORM,
                        ..*key
                    },
                    *counts,
                )
            })
            .collect();
        daily.extend(sort_and_sum(platform, |sum, counts| *sum += counts));

        let mut hourly: Vec<(HourlyKey, CounterValues)> = self.hourly.into_iter().collect();
        let platform: Vec<_> = hourly
            .iter()
            .map(|(key, counts)| {
                (
                    HourlyKey {
                        site: SiteId::PLATFORM,
                        ..*key
                    },
                    *counts,
                )
            })
            .collect();
        hourly.extend(platform);

        let money = self.money.into_iter().map(|(key, sum)| {
            (
                MoneyKey {
                    event: sym(key.event),
                    ..key
                },
                sum,
            )
        });
        let mail = self.mail.into_iter().map(|(key, counts)| {
            (
                MailKey {
                    template: sym(key.template),
                    link: sym(key.link),
                    ..key
                },
                counts,
            )
        });

        SegmentSums {
            strings,
            daily: sort_and_sum(daily, |sum, counts| *sum += counts),
            hourly: sort_and_sum(hourly, |sum, counts| *sum += counts),
            money: sort_and_sum(money.collect(), |sum, more| {
                *sum = (sum.0.saturating_add(more.0), sum.1.saturating_add(more.1));
            }),
            drops: sort_and_sum_counts(self.drops.into_iter()),
            vitals: sort_and_sum_counts(self.vitals.into_iter().map(|(key, hits)| {
                (
                    VitalKey {
                        path: sym(key.path),
                        device: sym(key.device),
                        ..key
                    },
                    hits,
                )
            })),
            faults: sort_and_sum_counts(self.faults.into_iter().map(|(key, hits)| {
                (
                    FaultKey {
                        path: sym(key.path),
                        fault: sym(key.fault),
                        ..key
                    },
                    hits,
                )
            })),
            mail: sort_and_sum(mail.collect(), add_both_saturating),
            attributes: self.held.into_released(carried),
        }
    }
}

fn add_counts<K: Copy + Eq + std::hash::Hash>(
    sums: &mut SumMap<K, u32>,
    rows: &[(K, u32)],
    mut is_new: impl FnMut(&K),
) {
    for (key, hits) in rows {
        let sum = sums.entry(*key).or_insert_with(|| {
            is_new(key);
            0
        });
        add_saturating(sum, *hits);
    }
}

fn sort_and_sum_counts<K: Ord + Copy>(rows: impl Iterator<Item = (K, u32)>) -> Vec<(K, u32)> {
    sort_and_sum(rows.collect(), add_saturating)
}

/// The strings sorted and unique, and the new id of each old one. The empty string stays first.
fn sort_strings(strings: &[Box<str>]) -> (Vec<Box<str>>, Vec<StringId>) {
    let mut places: Vec<usize> = (0..strings.len()).collect();
    places.sort_unstable_by(|&a, &b| strings[a].cmp(&strings[b]));
    let mut sorted: Vec<Box<str>> = Vec::with_capacity(strings.len());
    let mut renumber = vec![StringId::EMPTY; strings.len()];
    for place in places {
        if sorted.last().is_none_or(|last| *last != strings[place]) {
            sorted.push(strings[place].clone());
        }
        renumber[place] = StringId(
            u32::try_from(sorted.len() - 1).expect("a segment holds far fewer than 2^32 strings"),
        );
    }
    (sorted, renumber)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Day;
    use crate::event::CounterKind::{Hits, Visitors};

    fn delta(base: u32, strings: &[&str], rows: &[(u128, u32, u32)]) -> SegmentDelta {
        let row = |&(site, item, n): &(u128, u32, u32)| {
            let counts = CounterValues::zeros()
                .with_value(Hits, n)
                .with_value(Visitors, n);
            let subject = if item == 0 {
                Subject::Site
            } else {
                Subject::Page
            };
            let key = DailyKey {
                site: SiteId::from_u128(site),
                day: Day::from_number(1),
                subject,
                item: StringId(item),
            };
            (key, counts)
        };
        let strings = strings.iter().map(|text| (*text).into()).collect();
        let sums = SegmentSums {
            strings,
            daily: rows.iter().map(row).collect(),
            ..SegmentSums::default()
        };
        SegmentDelta {
            first_string_id: base,
            first_attribute_string_id: 1,
            sums,
        }
    }

    fn seal(segment: SegmentBuilder) -> SegmentSums {
        segment.finish_segment(&AttributeSums::default())
    }

    #[test]
    fn the_same_counts_seal_to_the_same_sums_whatever_came_first() {
        let mut one = SegmentBuilder::default();
        one.add_delta(&delta(1, &["/a", "/b"], &[(7, 1, 2), (7, 2, 1)]));
        one.add_delta(&delta(3, &["/c"], &[(8, 3, 5), (7, 2, 1)]));
        let mut other = SegmentBuilder::default();
        other.add_delta(&delta(1, &["/c"], &[(8, 1, 5)]));
        other.add_delta(&delta(2, &["/b"], &[(7, 2, 2)]));
        other.add_delta(&delta(3, &["/a"], &[(7, 3, 2)]));
        let sealed = seal(one);
        assert_eq!(sealed, seal(other));
        assert_eq!(
            sealed
                .strings
                .iter()
                .map(|text| &**text)
                .collect::<Vec<_>>(),
            ["", "/a", "/b", "/c"]
        );
    }

    #[test]
    fn the_platform_is_the_sum_of_the_sites() {
        let mut segment = SegmentBuilder::default();
        segment.add_delta(&delta(1, &["/a"], &[(7, 0, 2), (8, 0, 3), (8, 1, 4)]));
        assert_eq!(segment.row_count(), 5);
        let sums = seal(segment);
        let platform = sums
            .daily
            .iter()
            .filter(|(key, _)| key.site == SiteId::PLATFORM);
        assert_eq!(
            platform
                .map(|(_, counts)| counts.get(Visitors))
                .collect::<Vec<_>>(),
            [5]
        );
    }

    #[test]
    fn rows_of_a_batch_whose_strings_were_lost_are_kept_under_other() {
        let mut segment = SegmentBuilder::default();
        segment.add_delta(&delta(3, &["/c"], &[(7, 2, 1), (7, 3, 1)]));
        let sums = seal(segment);
        let items: Vec<&str> = sums
            .daily
            .iter()
            .map(|(key, _)| sums.resolve_string(key.item))
            .collect();
        assert_eq!(items, [OTHER_VALUE, "/c"]);
    }
}
