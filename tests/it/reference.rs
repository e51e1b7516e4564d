//! An independent calculator: `docs/understand/COUNTING.md` implemented a second time, without code
//! of the product.
//!
//! It has all hits at once, so it can be slow and simple: sort the hits by visitor, cut them into
//! visits, read every number from them. It panics on what the page does not define, so that a
//! traffic plan cannot rely on it.

pub mod lots;
pub mod report;
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use lots::Publishing;

pub const K: u64 = 5;
pub const OTHER: &str = "(other)";
/// The campaign of a visit without one.
const NONE: &str = "(none)";

const VISIT_GAP: i64 = 30 * 60 * 1000;
const SAME_ID_COUNTS_ONCE: i64 = 2 * 60 * 1000;
const ID_IS_FORGOTTEN: i64 = 3 * 60 * 1000;

/// The order of the gate: if several reasons apply to a hit, the first of these is counted.
pub const REASONS: [&str; 5] = ["unknown_site", "not_a_view", "gpc", "dnt", "no_consent"];

/// A subject and the dimensions in which it is counted.
pub const SUBJECTS: [(&str, &[&str]); 4] = [
    (
        "site",
        &[
            "source", "channel", "campaign", "country", "device", "browser", "os", "language",
        ],
    ),
    ("page", &["source", "country"]),
    ("link", &["source", "country", "campaign"]),
    ("event", &["source", "country", "campaign"]),
];

pub fn dimensions_of(subject: &str) -> &'static [&'static str] {
    SUBJECTS
        .iter()
        .find(|(name, _)| *name == subject)
        .expect("one of the four subjects")
        .1
}

/// Dimension -> value. A visit without a campaign has no entry for it and is counted as `(none)`.
pub type Attributes = BTreeMap<&'static str, String>;

/// What happened. The item is already spelled as it is counted.
#[derive(Clone, Debug)]
pub enum Deed {
    View {
        page: String,
    },
    Click {
        link: String,
        engaged: u64,
    },
    Event {
        name: String,
        passive: bool,
        money: Option<(u64, &'static str)>,
    },
    Leave {
        page: String,
        engaged: u64,
    },
}

impl Deed {
    /// The subject and item; a `leave` has neither.
    fn item(&self) -> Option<(&'static str, &str)> {
        match self {
            Deed::View { page } => Some(("page", page)),
            Deed::Click { link, .. } => Some(("link", link)),
            Deed::Event { name, .. } => Some(("event", name)),
            Deed::Leave { .. } => None,
        }
    }

    fn is_interactive(&self) -> bool {
        matches!(
            self,
            Deed::Click { .. } | Deed::Event { passive: false, .. }
        )
    }
}

/// The truth about one hit of a body, as its sender knows it.
#[derive(Clone, Debug)]
pub struct Hit {
    pub at: i64,
    pub site: String,
    pub address: String,
    pub agent: String,
    pub deed: Deed,
    pub id: Option<String>,
    /// The attributes the visit would have if this hit were its first.
    pub attributes: Attributes,
    /// All reasons to drop it.
    pub against: Vec<&'static str>,
}

/// The order of the fields is the order in which reports read them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Row {
    pub day: Date,
    pub subject: &'static str,
    pub item: String,
    pub dim: &'static str,
    pub value: String,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    pub hits: u64,
    pub visitors: u64,
    pub visits: u64,
    pub bounces: u64,
    pub seconds: u64,
    pub exits: u64,
    pub entries: u64,
    /// For attribute rows: visitors that were the first of their /24 or /48.
    pub networks: u64,
}

/// The counts of one site.
pub struct Book {
    pub name: String,
    pub zone: TimeZone,
    pub rows: BTreeMap<Row, Counts>,
    /// Attribute rows as published, on the day of publication.
    pub lots: BTreeMap<Row, Counts>,
    /// The last day whose attributes are published.
    pub through: Date,
    /// By the UTC second at which the local hour began.
    pub hours: BTreeMap<i64, Counts>,
    /// Day, event and currency -> hits and minor units.
    pub money: BTreeMap<(Date, String, &'static str), (u64, u64)>,
}

pub struct Reference {
    pub books: BTreeMap<String, Book>,
    /// Dropped hits by reason. Duplicates are not among them.
    pub drops: BTreeMap<&'static str, u64>,
}

impl Reference {
    /// `sites` are pairs of name and zone; `hits` are in the order in which they are sent.
    pub fn of(sites: &[(&str, &str)], hits: &[Hit], publishing: &Publishing) -> Reference {
        let mut drops = BTreeMap::new();
        let mut of_site: BTreeMap<&str, Vec<&Hit>> = BTreeMap::new();
        for hit in hits {
            match REASONS.iter().find(|reason| hit.against.contains(reason)) {
                Some(reason) => *drops.entry(*reason).or_default() += 1,
                None => of_site.entry(&hit.site).or_default().push(hit),
            }
        }
        let books = sites
            .iter()
            .map(|(name, zone)| {
                let mut book = Book::empty(name, zone);
                book.fill(&of_site.remove(name).unwrap_or_default());
                book.publish(publishing);
                (name.to_string(), book)
            })
            .collect();
        assert!(
            of_site.is_empty(),
            "hits of sites nobody named: {:?}",
            of_site.keys()
        );
        Reference { books, drops }
    }
}

impl Book {
    fn empty(name: &str, zone: &str) -> Book {
        let zone = TimeZone::get(zone).expect("a zone of the bundled database");
        let (rows, lots, hours, money) = (
            BTreeMap::new(),
            BTreeMap::new(),
            BTreeMap::new(),
            BTreeMap::new(),
        );
        Book {
            name: name.to_owned(),
            zone,
            rows,
            lots,
            through: Date::ZERO,
            hours,
            money,
        }
    }

    /// Publishes what was counted. May be repeated with other rules.
    pub fn publish(&mut self, rules: &Publishing) {
        self.through = rules.through(&self.zone);
        self.lots = lots::publish(&self.name, &self.zone, &self.rows, rules);
    }

    fn local(&self, at: i64) -> Zoned {
        Timestamp::from_millisecond(at)
            .expect("a time of this millennium")
            .to_zoned(self.zone.clone())
    }

    fn fill(&mut self, hits: &[&Hit]) {
        let hits = without_duplicates(hits);
        let mut visitors: BTreeMap<(Date, &str, &str), Vec<&Hit>> = BTreeMap::new();
        for hit in &hits {
            let day = self.local(hit.at).date();
            visitors
                .entry((day, &hit.address, &hit.agent))
                .or_default()
                .push(hit);
        }
        let mut days: Vec<(Date, Vec<Vec<&Hit>>)> = Vec::new();
        for ((day, ..), hits) in visitors {
            let (visits, late) = visits_of(&hits);
            late.iter().for_each(|leave| self.hit(day, leave));
            days.extend((!visits.is_empty()).then_some((day, visits)));
        }

        // In the order of arrival: the first of a network counts for it.
        let place: BTreeMap<*const Hit, usize> = hits
            .iter()
            .enumerate()
            .map(|(n, hit)| (&raw const **hit, n))
            .collect();
        days.sort_by_key(|(_, visits)| place[&(&raw const *visits[0][0])]);
        let mut seen = BTreeSet::new();
        for (day, visits) in days {
            let first_of_network = seen.insert((day, network(&visits[0][0].address)));
            self.visitor(day, &visits, first_of_network);
        }
    }

    /// One visitor's day.
    fn visitor(&mut self, day: Date, visits: &[Vec<&Hit>], first_of_network: bool) {
        let mut touched_today = BTreeSet::new();
        for (n, visit) in visits.iter().enumerate() {
            let first = visit[0];
            let counts = |new: bool| Counts {
                visits: 1,
                visitors: u64::from(new),
                networks: u64::from(new && first_of_network),
                ..Counts::default()
            };
            self.raise_with_attributes(day, "site", "", &first.attributes, counts(n == 0));
            self.hour(first.at).visits += 1;
            self.hour(first.at).visitors += u64::from(n == 0);

            let mut touched = BTreeSet::new();
            for hit in visit {
                self.hit(day, hit);
                let Some((subject, item)) = hit.deed.item() else {
                    continue;
                };
                if touched.insert((subject, item)) {
                    let new_today = touched_today.insert((subject, item));
                    self.raise_with_attributes(
                        day,
                        subject,
                        item,
                        &first.attributes,
                        counts(new_today),
                    );
                }
            }
            self.close(day, visit);
        }
    }

    /// What a hit counts regardless of its visitor.
    fn hit(&mut self, day: Date, hit: &Hit) {
        match &hit.deed {
            Deed::View { page } => {
                self.total(day, "site", "").hits += 1;
                self.hour(hit.at).hits += 1;
                self.total(day, "page", page).hits += 1;
            }
            Deed::Click { link, engaged } => {
                self.total(day, "link", link).hits += 1;
                self.total(day, "link", link).seconds += seconds_half_up(*engaged);
            }
            Deed::Event { name, money, .. } => {
                self.total(day, "event", name).hits += 1;
                if let Some((minor, currency)) = money {
                    let (hits, sum) = self.money.entry((day, name.clone(), currency)).or_default();
                    *hits += 1;
                    *sum += minor;
                }
            }
            Deed::Leave { page, engaged } => {
                self.total(day, "page", page).seconds += seconds_half_up(*engaged)
            }
        }
    }

    fn close(&mut self, day: Date, visit: &[&Hit]) {
        let (first, last) = (visit[0], visit[visit.len() - 1]);
        let seconds =
            u64::try_from((last.at - first.at) / 1000).expect("hits come in the order of time");
        self.total(day, "site", "").seconds += seconds;
        self.hour(first.at).seconds += seconds;

        let views: Vec<&str> = visit
            .iter()
            .filter_map(|hit| match &hit.deed {
                Deed::View { page } => Some(page.as_str()),
                _ => None,
            })
            .collect();
        let bounced = views.len() <= 1 && !visit.iter().any(|hit| hit.deed.is_interactive());
        self.total(day, "site", "").bounces += u64::from(bounced);
        self.hour(first.at).bounces += u64::from(bounced);
        if let Some(first_page) = views.first() {
            self.total(day, "page", first_page).entries += 1;
        }
        if let Some(last_page) = views.last() {
            self.total(day, "page", last_page).bounces += u64::from(bounced);
            self.total(day, "page", last_page).exits += 1;
        }
    }

    /// Counts a visit, and perhaps a visitor, in the total and in each dimension of the subject.
    fn raise_with_attributes(
        &mut self,
        day: Date,
        subject: &'static str,
        item: &str,
        of: &Attributes,
        counts: Counts,
    ) {
        let total = self.total(day, subject, item);
        total.visits += counts.visits;
        total.visitors += counts.visitors;
        for dim in dimensions_of(subject) {
            let row = self.row(
                day,
                subject,
                item,
                dim,
                of.get(dim).map_or(NONE, String::as_str),
            );
            row.visits += counts.visits;
            row.visitors += counts.visitors;
            row.networks += counts.networks;
        }
    }

    fn total(&mut self, day: Date, subject: &'static str, item: &str) -> &mut Counts {
        self.row(day, subject, item, "", "")
    }

    fn row(
        &mut self,
        day: Date,
        subject: &'static str,
        item: &str,
        dim: &'static str,
        value: &str,
    ) -> &mut Counts {
        self.rows
            .entry(Row {
                day,
                subject,
                item: item.to_owned(),
                dim,
                value: value.to_owned(),
            })
            .or_default()
    }

    /// Local time rounded down to 3600 s, minus the offset in force at the hit.
    fn hour(&mut self, at: i64) -> &mut Counts {
        let offset = i64::from(self.local(at).offset().seconds());
        let local = at.div_euclid(1000) + offset;
        self.hours
            .entry(local - local.rem_euclid(3600) - offset)
            .or_default()
    }
}

/// The hits without repetitions of an id. An age that the page does not define is a mistake of the
/// traffic plan.
fn without_duplicates<'a>(hits: &[&'a Hit]) -> Vec<&'a Hit> {
    let mut counted: BTreeMap<&str, i64> = BTreeMap::new();
    let mut seen: BTreeMap<&str, i64> = BTreeMap::new();
    let mut unique = Vec::new();
    for hit in hits {
        if let Some(id) = &hit.id {
            let since_counted = counted.get(id.as_str()).map(|then| hit.at - then);
            let since_seen = seen.insert(id, hit.at).map(|then| hit.at - then);
            let again = since_counted.is_some_and(is_duplicate);
            assert_eq!(
                again,
                since_seen.is_some_and(is_duplicate),
                "a chain of repetitions: unspecified"
            );
            if again {
                continue;
            }
            counted.insert(id, hit.at);
        }
        unique.push(*hit);
    }
    unique
}

fn is_duplicate(age: i64) -> bool {
    let open_question = SAME_ID_COUNTS_ONCE..=ID_IS_FORGOTTEN;
    assert!(
        !open_question.contains(&age),
        "an id repeated after {age} ms: unspecified"
    );
    age < SAME_ID_COUNTS_ONCE
}

/// The hits of one visitor on a day, cut where neighbours are 30 minutes or more apart; and the
/// leaves that arrived when no visit was open.
fn visits_of<'a>(hits: &[&'a Hit]) -> (Vec<Vec<&'a Hit>>, Vec<&'a Hit>) {
    let mut visits: Vec<Vec<&Hit>> = Vec::new();
    let mut late = Vec::new();
    for hit in hits {
        let open = visits
            .last_mut()
            .filter(|visit| hit.at - visit[visit.len() - 1].at < VISIT_GAP);
        match open {
            Some(visit) => visit.push(hit),
            None if matches!(hit.deed, Deed::Leave { .. }) => late.push(*hit),
            None => visits.push(vec![hit]),
        }
    }
    (visits, late)
}

/// The /24 or /48 of an address.
fn network(address: &str) -> Vec<u8> {
    match address.parse().expect("an address") {
        IpAddr::V4(v4) => v4.octets()[..3].to_vec(),
        IpAddr::V6(v6) => v6.octets()[..6].to_vec(),
    }
}

/// Milliseconds to seconds, half up.
fn seconds_half_up(ms: u64) -> u64 {
    (ms + 500) / 1000
}
