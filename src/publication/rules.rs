//! The rules of one publication: which lots of one site are published when a day, or a busy hour,
//! is over, and what stays pending.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use super::CoinKey;
use crate::calendar::Day;
use crate::event::{Dimension, OTHER_VALUE, SiteId, Subject};

/// A lot that has not reached k after this many days moves to `(other)`.
const MAX_PENDING_DAYS: u16 = 35;

/// Added to [`MAX_PENDING_DAYS`]: `since` is a Monday, up to six days before the first visitor of
/// the lot.
const MAX_WEEK_OFFSET_DAYS: u16 = 6;

/// Identifies a cell: one value of one dimension of a site, page, link or event. Sites sort first,
/// because their cells decide about those of their items.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CellKey {
    /// What is described: the site, a page, a link or an event.
    pub subject: Subject,
    /// The path, link or event; empty for the site.
    pub item: Box<str>,
    /// The attribute, such as country or browser.
    pub dim: Dimension,
    /// The value of the attribute, or [`OTHER_VALUE`] for values that waited too long.
    pub value: Box<str>,
}

impl CellKey {
    /// Copies the texts. `item` must be empty if `subject` is the site.
    pub fn new(subject: Subject, item: &str, dim: Dimension, value: &str) -> CellKey {
        CellKey {
            subject,
            item: item.into(),
            dim,
            value: value.into(),
        }
    }

    fn is_in_same_list(&self, other: &CellKey) -> bool {
        (self.subject, self.dim, &self.item) == (other.subject, other.dim, &other.item)
    }
}

/// The attribute counts of a cell.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Lot {
    /// Visitors of the day; over several days, visitor-days.
    pub visitors: u64,
    /// Visits with the value, including further visits of visitors that were counted before.
    pub visits: u64,
    /// Visitors that were the first of their network on their site and day.
    pub networks: u64,
}

impl Lot {
    fn is_empty(&self) -> bool {
        self.visitors == 0 && self.visits == 0
    }
}

impl AddAssign for Lot {
    fn add_assign(&mut self, other: Lot) {
        self.visitors += other.visitors;
        self.visits += other.visits;
        self.networks += other.networks;
    }
}

/// The stored state of a cell between two publications. It contains no day except `since`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CellState {
    /// Which cell it is.
    pub key: CellKey,
    /// The counts that are not published yet.
    pub pending: Lot,
    /// The Monday of the week in which the pending lot began.
    pub since: Day,
    /// For a site's cell: all visitors ever counted in it. For an item's cell: that number of the
    /// site's cell with the same value when this cell was last published, less the visitors that
    /// stayed pending then.
    pub counted: u64,
}

/// A lot that is published now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublishedLot {
    /// Which cell it belongs to.
    pub key: CellKey,
    /// Published visitors, without the remainder; at least k.
    pub visitors: u64,
    /// Published visits, without the remainder's share.
    pub visits: u64,
}

/// The period that ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClosedPeriod {
    /// The site's day: every lot of at least k visitors may be published.
    Day,
    /// An hour of the day that is still open: only lots of at least `open_lot` visitors may be
    /// published.
    Hour {
        /// Minimum number of visitors of a lot.
        open_lot: u64,
    },
}

/// The parameters of lots, the same for all sites of a platform.
pub struct LotPolicy {
    /// The smallest number of visitors, and of networks, of a published lot.
    pub k: u64,
    /// The largest number of visitors of a lot that stay pending when it is published.
    pub max_remainder: u64,
    /// The key of all random decisions.
    pub coin: CoinKey,
}

impl LotPolicy {
    /// The policy of production. With remainders of up to 2k - 2 visitors, a remainder of a common
    /// value looks like a rare value that waits for its k-th visitor.
    pub fn new(k: u64, coin: CoinKey) -> LotPolicy {
        LotPolicy {
            k,
            max_remainder: (2 * k).saturating_sub(2),
            coin,
        }
    }

    /// Publishes lots without a remainder, for tests of other features.
    pub fn without_remainder(k: u64, coin: CoinKey) -> LotPolicy {
        LotPolicy {
            k,
            max_remainder: 0,
            coin,
        }
    }
}

/// The rules of one publication: docs/understand/COUNTING.md as code.
pub struct PublicationRules<'a> {
    /// The parameters of lots.
    pub policy: &'a LotPolicy,
    /// The day that is over, or the day of the hour, in the zone that is published.
    pub day: Day,
    /// Whether the day or an hour of it ended.
    pub period: ClosedPeriod,
}

/// The changes that a publication makes to one site.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct PublicationOutcome {
    /// The lots to publish, at most one for each cell.
    pub lots: Vec<PublishedLot>,
    /// The new state of the cells that changed.
    pub changed_cells: Vec<CellState>,
}

/// A cell while the rules are applied.
struct CellEntry {
    pending: Lot,
    since: Day,
    counted: u64,
    is_changed: bool,
    /// Whether a lot of the cell is published now.
    is_published: bool,
}

type CellMap = BTreeMap<CellKey, CellEntry>;

impl PublicationRules<'_> {
    /// Adds the counts that arrived to the pending ones and publishes the lots that are ready.
    /// Deterministic: the same input gives the same outcome.
    pub fn publish_lots(
        &self,
        site: SiteId,
        cells: Vec<CellState>,
        arrived: Vec<(CellKey, Lot)>,
    ) -> PublicationOutcome {
        let mut cells = self.merge_arrived(cells, arrived);
        if self.period == ClosedPeriod::Day {
            self.move_expired(&mut cells);
        }

        let mut released = Vec::new();
        for list in group_by_list(&cells) {
            for (key, remainder) in self.select_publishable(site, &cells, &list) {
                released.push(self.publish_cell(&mut cells, key, remainder));
            }
        }

        let changed = cells.into_iter().filter(|(_, entry)| entry.is_changed);
        let changed = changed.map(|(key, entry)| CellState {
            key,
            pending: entry.pending,
            since: entry.since,
            counted: entry.counted,
        });
        PublicationOutcome {
            lots: released,
            changed_cells: changed.collect(),
        }
    }

    fn merge_arrived(&self, cells: Vec<CellState>, arrived: Vec<(CellKey, Lot)>) -> CellMap {
        let entry = |cell: CellState| {
            let CellState {
                key,
                pending,
                since,
                counted,
            } = cell;
            (
                key,
                CellEntry {
                    pending,
                    since,
                    counted,
                    is_changed: false,
                    is_published: false,
                },
            )
        };
        let mut all: CellMap = cells.into_iter().map(entry).collect();

        for (key, lot) in arrived {
            let of_site = key.subject == Subject::Site;
            let entry = self.get_or_insert_entry(&mut all, key);
            if of_site {
                entry.counted += lot.visitors;
            }
            self.add_pending(entry, lot);
        }
        all
    }

    fn get_or_insert_entry<'c>(&self, cells: &'c mut CellMap, key: CellKey) -> &'c mut CellEntry {
        let empty = || CellEntry {
            pending: Lot::default(),
            since: self.week_start(),
            counted: 0,
            is_changed: false,
            is_published: false,
        };
        cells.entry(key).or_insert_with(empty)
    }

    fn add_pending(&self, entry: &mut CellEntry, lot: Lot) {
        if entry.pending.is_empty() {
            entry.since = self.week_start();
        }
        entry.pending += lot;
        entry.is_changed = true;
    }

    /// The Monday of the week of the day. Coarse on purpose, because it is stored. 1970-01-01 was a
    /// Thursday.
    fn week_start(&self) -> Day {
        let day = self.day.as_number();
        Day::from_number(day.saturating_sub((day % 7 + 3) % 7))
    }

    /// Moves lots that waited too long to `(other)` of their list.
    fn move_expired(&self, cells: &mut CellMap) {
        let is_due = |(key, entry): &(&CellKey, &CellEntry)| {
            let age = self.day.as_number().saturating_sub(entry.since.as_number());
            let waits = !entry.pending.is_empty() && *key.value != *OTHER_VALUE;
            waits && !self.reaches_k(entry) && age >= MAX_PENDING_DAYS + MAX_WEEK_OFFSET_DAYS
        };
        let due: Vec<CellKey> = cells
            .iter()
            .filter(is_due)
            .map(|(key, _)| key.clone())
            .collect();

        for key in due {
            let Some(entry) = cells.get_mut(&key) else {
                continue;
            };
            let lot = std::mem::take(&mut entry.pending);
            entry.is_changed = true;

            let other = self.get_or_insert_entry(
                cells,
                CellKey {
                    value: OTHER_VALUE.into(),
                    ..key
                },
            );
            if key.subject == Subject::Site {
                other.counted += lot.visitors;
            }
            self.add_pending(other, lot);
        }
    }

    fn reaches_k(&self, entry: &CellEntry) -> bool {
        entry.pending.visitors >= self.policy.k && entry.pending.networks >= self.policy.k
    }

    /// The cells of one list that are published now, and the part of each that stays pending.
    /// `list` contains all cells of the list that have something pending.
    fn select_publishable<'l>(
        &self,
        site: SiteId,
        cells: &CellMap,
        list: &'l [CellKey],
    ) -> Vec<(&'l CellKey, Lot)> {
        let (go, stay): (Vec<&CellKey>, Vec<&CellKey>) = list
            .iter()
            .partition(|key| self.can_publish(site, cells, key));
        let mut go: Vec<(&CellKey, Lot)> = go
            .into_iter()
            .map(|key| (key, self.split_remainder(site, &cells[key].pending)))
            .collect();
        go.sort_by_key(|(key, _)| (cells[*key].pending.visitors, *key));

        let staying = stay
            .iter()
            .map(|key| cells[*key].pending.visitors)
            .sum::<u64>();
        let remainders = go
            .iter()
            .map(|(_, remainder)| remainder.visitors)
            .sum::<u64>();
        let mut left = staying + remainders;

        // The number of visitors that stay pending must be 0 or at least k. Otherwise the total
        // less the published lots would describe fewer than k visitors.
        let mut held = 0;
        while (1..self.policy.k).contains(&left) && held < go.len() {
            let (key, remainder) = &go[held];
            left += cells[*key].pending.visitors - remainder.visitors;
            held += 1;
        }
        go.split_off(held)
    }

    fn can_publish(&self, site: SiteId, cells: &CellMap, key: &CellKey) -> bool {
        let entry = &cells[key];
        if !self.reaches_k(entry) {
            return false;
        }

        let is_due = match self.period {
            ClosedPeriod::Hour { open_lot } => entry.pending.visitors >= open_lot,
            ClosedPeriod::Day => {
                entry.pending.visitors >= 2 * self.policy.k
                    || self
                        .policy
                        .coin
                        .should_publish(site, &entry.pending, self.day)
            }
        };
        is_due && is_published_on_site(cells, key) && self.has_enough_others(cells, key, entry)
    }

    /// An item divides its site's visitors. The number of those with the value who did not use the
    /// item since the cell was last published must be 0 or at least k.
    fn has_enough_others(&self, cells: &CellMap, key: &CellKey, entry: &CellEntry) -> bool {
        let others = match key.subject {
            Subject::Site => 0,
            _ => counted_on_site(cells, key).saturating_sub(entry.counted + entry.pending.visitors),
        };
        others == 0 || others >= self.policy.k
    }

    /// The part of a lot that stays pending, so that an observer cannot know between which two
    /// visitors the published part ends.
    ///
    /// Without it, the lots of all other values of a list could end on the same two days, and the
    /// exact total of these days less those lots would be the count of the one value that still
    /// waits. At least k visitors and k networks are published.
    fn split_remainder(&self, site: SiteId, lot: &Lot) -> Lot {
        let spare = lot.visitors.min(lot.networks).saturating_sub(self.policy.k);
        let visitors = self.policy.coin.draw_remainder(
            site,
            lot,
            self.day,
            spare.min(self.policy.max_remainder),
        );
        if visitors == 0 {
            return Lot::default();
        }

        // The networks of these visitors are not known, so the smallest possible number is assumed.
        let networks = lot.networks.saturating_sub(lot.visitors - visitors);
        let visits = u128::from(lot.visits) * u128::from(visitors) / u128::from(lot.visitors);
        Lot {
            visitors,
            visits: u64::try_from(visits).expect("a part of a u64"),
            networks,
        }
    }

    fn publish_cell(&self, cells: &mut CellMap, key: &CellKey, remainder: Lot) -> PublishedLot {
        let counted_of_site = counted_on_site(cells, key);
        let entry = cells
            .get_mut(key)
            .expect("the list was made of these cells");
        let lot = std::mem::replace(&mut entry.pending, remainder);

        entry.since = self.week_start();
        entry.is_changed = true;
        entry.is_published = true;
        if key.subject != Subject::Site {
            entry.counted = counted_of_site.saturating_sub(remainder.visitors);
        }
        PublishedLot {
            key: key.clone(),
            visitors: lot.visitors - remainder.visitors,
            visits: lot.visits - remainder.visits,
        }
    }
}

/// The site's cell of the same value; `None` if there is none.
fn site_entry<'c>(cells: &'c CellMap, key: &CellKey) -> Option<&'c CellEntry> {
    cells.get(&CellKey {
        subject: Subject::Site,
        item: "".into(),
        dim: key.dim,
        value: key.value.clone(),
    })
}

/// All visitors ever counted in the site's cell of the same value; 0 if there is none.
fn counted_on_site(cells: &CellMap, key: &CellKey) -> u64 {
    site_entry(cells, key).map_or(0, |entry| entry.counted)
}

/// A lot of an item ends only where one of its site ends. Nearly every visitor of a profile opens
/// its one page: if the page's lots ended independently, they would cut those of the site into
/// single days. Sites are decided first.
fn is_published_on_site(cells: &CellMap, key: &CellKey) -> bool {
    let is_published = |entry: &CellEntry| entry.is_published || entry.pending.visitors == 0;
    key.subject == Subject::Site || site_entry(cells, key).is_none_or(is_published)
}

/// The cells with something pending, grouped by list (one dimension of one item), sites first.
fn group_by_list(cells: &CellMap) -> Vec<Vec<CellKey>> {
    let waiting: Vec<CellKey> = cells
        .iter()
        .filter(|(_, entry)| !entry.pending.is_empty())
        .map(|(key, _)| key.clone())
        .collect();
    waiting
        .chunk_by(|a, b| a.is_in_same_list(b))
        .map(<[CellKey]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests;
