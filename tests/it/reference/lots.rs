//! Attributes published in lots: the section "Attributes" of `docs/understand/COUNTING.md`
//! implemented a second time, for one site, day after day.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{Counts, K, OTHER, Row, SUBJECTS};

/// The time between a day's end and its publication, in milliseconds.
const DELAY: i64 = 120_000;
/// A lot is moved to `(other)` this many days after the Monday of the week it began in.
const PATIENCE: i32 = 41;

/// A deliberate mistake: the comparison must detect each of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slip {
    /// Every lot of k is published, without a coin.
    NoCoin,
    /// One network may make a lot.
    NoNetworks,
    /// Lots are published whole.
    NoRemainder,
    /// The rest of a list may be about one person.
    NoSecondarySuppression,
    /// The visitors who did not use an item may be one person.
    NoComplement,
    /// A lot of an item may end within one of its site.
    NoStep,
    /// A rare value waits for ever.
    NoEnd,
    /// A lot is published under the day it began to be pending.
    FirstDay,
}

/// The parameters of a publication.
#[derive(Clone)]
pub struct Publishing {
    pub coin_key: [u8; 32],
    /// Whether a part of each lot stays pending.
    pub remainders: bool,
    /// The last moment at which everything due was published, in Unix milliseconds.
    pub at: i64,
    pub slip: Option<Slip>,
}

impl Publishing {
    /// The last day that is published in a zone.
    pub fn through(&self, zone: &TimeZone) -> Date {
        let now = Timestamp::from_millisecond(self.at - DELAY).expect("a time of this millennium");
        now.to_zoned(zone.clone())
            .date()
            .yesterday()
            .expect("not the first day of the calendar")
    }

    fn has(&self, slip: Slip) -> bool {
        self.slip == Some(slip)
    }
}

/// One dimension of one subject's item. The site's own sort first, because they decide about those
/// of its items.
type List = (usize, String, &'static str);

/// The unpublished counts of one value.
#[derive(Clone, Default)]
struct Pending {
    counts: Counts,
    /// The Monday of the week in which it began.
    since: Date,
    /// The day itself, which the collector does not store.
    began: Date,
    /// For an item: the site's visitors with this value when it was last published, less those of
    /// the item that stayed pending.
    of_site_then: u64,
    /// The last day on which some of it was published.
    published: Option<Date>,
}

impl Pending {
    fn is_nothing(&self) -> bool {
        self.counts.visitors == 0 && self.counts.visits == 0
    }

    fn add(&mut self, counts: &Counts, day: Date) {
        if self.is_nothing() {
            self.begin(day);
        }
        self.counts.visitors += counts.visitors;
        self.counts.visits += counts.visits;
        self.counts.networks += counts.networks;
    }

    fn begin(&mut self, day: Date) {
        let after_monday = i64::from(day.weekday().to_monday_zero_offset());
        self.since = day.saturating_sub(jiff::Span::new().days(after_monday));
        self.began = day;
    }

    /// Publishes all but this number of visitors, with their visits in proportion and the smallest
    /// possible number of networks left.
    fn leave(&mut self, visitors: u64, day: Date) -> Counts {
        let all = std::mem::take(&mut self.counts);
        if visitors > 0 {
            self.counts.visitors = visitors;
            self.counts.visits = all.visits * visitors / all.visitors;
            self.counts.networks = all.networks.saturating_sub(all.visitors - visitors);
        }
        self.begin(day);
        self.published = Some(day);

        let mut shown = all;
        shown.visitors -= self.counts.visitors;
        shown.visits -= self.counts.visits;
        shown
    }
}

struct Desk<'a> {
    site: &'a str,
    rules: &'a Publishing,
    lists: BTreeMap<List, BTreeMap<String, Pending>>,
    /// Dimension and value -> all visitors of the site ever counted.
    of_site: BTreeMap<(&'static str, String), u64>,
    published: BTreeMap<Row, Counts>,
}

/// The published rows of a site whose attribute rows are `counted`, by day of publication.
pub fn publish(
    site: &str,
    zone: &TimeZone,
    counted: &BTreeMap<Row, Counts>,
    rules: &Publishing,
) -> BTreeMap<Row, Counts> {
    let (lists, of_site, published) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut desk = Desk {
        site,
        rules,
        lists,
        of_site,
        published,
    };
    let Some(first) = counted.keys().map(|row| row.day).min() else {
        return desk.published;
    };
    let through = rules.through(zone);
    for day in first
        .series(jiff::Span::new().days(1))
        .take_while(|day| *day <= through)
    {
        for (row, counts) in counted
            .iter()
            .filter(|(row, _)| row.day == day && !row.dim.is_empty())
        {
            desk.arrive(day, row, counts);
        }
        desk.give_up(day);
        let lists: Vec<List> = desk.lists.keys().cloned().collect();
        lists.iter().for_each(|list| desk.decide(day, list));
    }
    desk.published
}

impl Desk<'_> {
    fn arrive(&mut self, day: Date, row: &Row, counts: &Counts) {
        let subject = SUBJECTS
            .iter()
            .position(|(name, _)| *name == row.subject)
            .expect("one of the four");
        if subject == 0 {
            *self
                .of_site
                .entry((row.dim, row.value.clone()))
                .or_default() += counts.visitors;
        }
        let list = self
            .lists
            .entry((subject, row.item.clone(), row.dim))
            .or_default();
        list.entry(row.value.clone()).or_default().add(counts, day);
    }

    /// Moves lots that waited too long to `(other)`.
    fn give_up(&mut self, day: Date) {
        if self.rules.has(Slip::NoEnd) {
            return;
        }
        for ((subject, _, dim), values) in &mut self.lists {
            let is_due = |(value, pending): &(&String, &Pending)| {
                let age = (day - pending.since).get_days();
                !pending.is_nothing() && *value != OTHER && !is_lot(pending) && age >= PATIENCE
            };
            let due: Vec<String> = values
                .iter()
                .filter(is_due)
                .map(|(value, _)| value.clone())
                .collect();
            for value in due {
                let pending = values.get_mut(&value).expect("it was just seen");
                let counts = std::mem::take(&mut pending.counts);
                values
                    .entry(OTHER.to_owned())
                    .or_default()
                    .add(&counts, day);
                if *subject == 0 {
                    *self.of_site.entry((dim, OTHER.to_owned())).or_default() += counts.visitors;
                }
            }
        }
    }

    fn decide(&mut self, day: Date, list: &List) {
        let values = &self.lists[list];
        let mut go: Vec<&String> = values
            .keys()
            .filter(|value| self.may_go(day, list, value))
            .collect();
        go.sort_by_key(|value| (values[*value].counts.visitors, *value));
        if !self.rules.has(Slip::NoSecondarySuppression) {
            let all: u64 = values.values().map(|pending| pending.counts.visitors).sum();
            let shown = |counts: &Counts| counts.visitors - self.remainder(day, counts);
            let going = |go: &[&String]| {
                go.iter()
                    .map(|value| shown(&values[*value].counts))
                    .sum::<u64>()
            };
            while !go.is_empty() && (1..K).contains(&(all - going(&go))) {
                go.remove(0);
            }
        }
        let go: Vec<String> = go.into_iter().cloned().collect();
        for value in go {
            let of_site = self
                .of_site
                .get(&(list.2, value.clone()))
                .copied()
                .unwrap_or(0);
            let stays = self.remainder(day, &self.lists[list][&value].counts);
            let pending = self
                .lists
                .get_mut(list)
                .and_then(|values| values.get_mut(&value))
                .expect("it was decided");
            let booked = if self.rules.has(Slip::FirstDay) {
                pending.began
            } else {
                day
            };
            let counts = pending.leave(stays, day);
            pending.of_site_then = of_site.saturating_sub(stays);
            let (subject, item, dim) = (SUBJECTS[list.0].0, list.1.clone(), list.2);
            let sum = self
                .published
                .entry(Row {
                    day: booked,
                    subject,
                    item,
                    dim,
                    value,
                })
                .or_default();
            sum.visitors += counts.visitors;
            sum.visits += counts.visits;
        }
    }

    fn may_go(&self, day: Date, list: &List, value: &str) -> bool {
        let pending = &self.lists[list][value];
        let enough = if self.rules.has(Slip::NoNetworks) {
            pending.counts.visitors >= K
        } else {
            is_lot(pending)
        };
        if !enough || !(pending.counts.visitors >= 2 * K || self.heads(day, &pending.counts)) {
            return false;
        }
        if list.0 == 0 {
            return true;
        }
        // An item divides its site's visitors.
        let (_, _, dim) = list;
        let site = self
            .lists
            .get(&(0, String::new(), *dim))
            .and_then(|values| values.get(value));
        let ends = |site: &Pending| site.counts.visitors == 0 || site.published == Some(day);
        let step = self.rules.has(Slip::NoStep) || site.is_none_or(ends);
        let of_site = self
            .of_site
            .get(&(*dim, value.to_owned()))
            .copied()
            .unwrap_or(0);
        let others = of_site.saturating_sub(pending.of_site_then + pending.counts.visitors);
        step && (others == 0 || others >= K || self.rules.has(Slip::NoComplement))
    }

    /// The coin of a lot and day.
    fn heads(&self, day: Date, lot: &Counts) -> bool {
        self.rules.has(Slip::NoCoin) || self.hash(day, lot)[0] & 1 == 1
    }

    /// The number of visitors of a published lot that stay pending.
    fn remainder(&self, day: Date, lot: &Counts) -> u64 {
        if !self.rules.remainders || self.rules.has(Slip::NoRemainder) {
            return 0;
        }
        let most = lot
            .visitors
            .min(lot.networks)
            .saturating_sub(K)
            .min(2 * K - 2);
        let drawn = u64::from_le_bytes(self.hash(day, lot)[8..16].try_into().expect("eight bytes"));
        drawn % (most + 1)
    }

    fn hash(&self, day: Date, lot: &Counts) -> [u8; 32] {
        let mut text = blake3::hash(self.site.as_bytes()).as_bytes()[..16].to_vec();
        text.extend(lot.visitors.to_le_bytes());
        text.extend(lot.networks.to_le_bytes());
        let number = (day - jiff::civil::date(1970, 1, 1)).get_days();
        text.extend(
            u16::try_from(number)
                .expect("a day of this century")
                .to_le_bytes(),
        );
        *blake3::keyed_hash(&self.rules.coin_key, &text).as_bytes()
    }
}

fn is_lot(pending: &Pending) -> bool {
    pending.counts.visitors >= K && pending.counts.networks >= K
}
