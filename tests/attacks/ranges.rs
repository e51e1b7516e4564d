//! P2 and P3: every range of four weeks is asked for every list, and a linear program says what all
//! of it together proves of a day.
//!
//! What the attacker knows, beside what is shown: the rules, who is counted once a day, that nobody
//! shares a network, that an item's visitors are the site's. Beyond it, by the code and by who made
//! the links: Windows is a desktop, the newsletter's visitors are those of its campaigns, an app's
//! browser is of that app's source, a channel's visitors are those of its sources. What that adds
//! is counted apart.

use std::collections::{BTreeMap, BTreeSet};

use crate::crowd::{DIMENSIONS, NONE};
use crate::linear::{Part, Proven};
use crate::model::{Fact, K, List, Model};
use crate::month::{Arrival, CLOSED, Month};
use crate::people::Dice;
use crate::stage::{range, rows, visitors};

/// Of all that lists show, the smallest cells are attacked.
const SMALL: std::ops::Range<u64> = 1..K;
/// Shares of fewer cells than this mean nothing.
const FEWEST: u64 = 20;

/// What was proven of the small cells of one dimension, of a site or of its items.
#[derive(Default, Clone, Copy, Debug)]
pub struct Tally {
    pub small: u64,
    pub present: u64,
    pub exactly: u64,
}

impl Tally {
    fn add(&mut self, proven: Proven) {
        self.small += 1;
        self.present += u64::from(proven.present);
        self.exactly += u64::from(proven.exactly.is_some());
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tally {
            small,
            present,
            exactly,
        } = self;
        write!(
            f,
            "of {small} day cells of 1 to 4 {exactly} exactly, {present} surely somebody"
        )
    }
}

/// By visitors a day, `site`, `item` or `left` (the site's without those of an item), and
/// dimension.
pub type Tallies = BTreeMap<(u64, &'static str, &'static str), Tally>;

fn dimensions_of(item: Option<&str>) -> &'static [&'static str] {
    match item {
        None => &DIMENSIONS,
        Some("page") => &["source", "country"],
        Some(_) => &["source", "country", "campaign"],
    }
}

/// Everything that is shown of a site's closed days. With `every` all 406 ranges are asked, and
/// must be the sums of their days.
fn learn(month: &mut Month, site: usize, every: bool) -> Vec<List> {
    let profile = &month.sites[site];
    let (name, items) = (profile.name.clone(), profile.items());
    let filters = std::iter::once(None).chain((0..items.len()).map(Some));
    let mut lists = Vec::new();

    for item in filters {
        let filter = item.map_or(String::new(), |item| {
            let (subject, name) = &items[item];
            format!("&filter={subject}:{name}")
        });
        let dims = dimensions_of(item.map(|item| items[item].0));
        let ask =
            |month: &mut Month, from, to| month.stage.report(&name, &(range(from, to) + &filter));
        let days: Vec<_> = (0..CLOSED).map(|day| ask(month, day, day)).collect();
        let totals: Vec<u64> = days.iter().map(|day| visitors(&day["totals"])).collect();

        for dim in dims {
            let facts = lots(days.iter().map(|day| rows(day, dim)));
            let truth = truth(&month.arrivals, site, item, dim);
            lists.push(List {
                item,
                dim,
                totals: totals.clone(),
                facts,
                truth,
            });
        }

        let others = (0..CLOSED).flat_map(|from| (from + 1..CLOSED).map(move |to| (from, to)));
        for (from, to) in others.filter(|_| every) {
            let whole = ask(month, from, to);
            for dim in dims {
                let mut sums: BTreeMap<String, u64> = BTreeMap::new();
                for (value, n) in days[from..=to].iter().flat_map(|day| rows(day, dim)) {
                    *sums.entry(value).or_default() += n;
                }
                assert_eq!(
                    rows(&whole, dim).into_iter().collect::<BTreeMap<_, _>>(),
                    sums,
                    "{dim} of days {from} to {to}"
                );
            }
        }
    }
    lists
}

/// What each day shows is a lot: everybody since the day of the lot before.
fn lots(days: impl Iterator<Item = Vec<(String, u64)>>) -> Vec<Fact> {
    let mut begins: BTreeMap<String, usize> = BTreeMap::new();
    let mut facts = Vec::new();
    for (day, shown) in days.enumerate() {
        for (value, visitors) in shown {
            let from = begins.insert(value.clone(), day + 1).unwrap_or(0);
            facts.push(Fact {
                value,
                from,
                to: day,
                visitors,
            });
        }
    }
    facts
}

fn truth(
    arrivals: &[Arrival],
    site: usize,
    item: Option<usize>,
    dim: &str,
) -> BTreeMap<(String, usize), u64> {
    let place = DIMENSIONS
        .iter()
        .position(|known| *known == dim)
        .expect("a dimension");
    let mut cells: BTreeMap<(String, usize), u64> = BTreeMap::new();
    for arrival in arrivals
        .iter()
        .filter(|arrival| arrival.site == site && arrival.day < CLOSED)
    {
        if item.is_none_or(|item| arrival.touched.contains(&item)) {
            *cells
                .entry((arrival.person.vector[place].to_owned(), arrival.day))
                .or_default() += 1;
        }
    }
    cells
}

/// Counts what the program proves of the small cells of its lists.
fn prove(model: &Model<'_>, per_day: u64, dice: &mut Dice, tallies: &mut Tallies) {
    let key = |list: &List| {
        (
            per_day,
            if list.item.is_none() { "site" } else { "item" },
            list.dim,
        )
    };
    let mut asked = Vec::new();
    for (place, list) in model.lists.iter().enumerate() {
        for ((value, day), _) in list
            .truth
            .iter()
            .filter(|((value, _), n)| SMALL.contains(n) && value != NONE)
        {
            tallies.entry(key(list)).or_default().small += 1;
            asked.extend(
                model
                    .cells
                    .get(&(place, value.as_str(), *day))
                    .map(|part| (place, value, *day, *part)),
            );
        }
    }

    let parts: Vec<Part> = asked.iter().map(|(.., part)| *part).collect();
    let proven = model.program.prove(&parts, dice);
    for ((place, value, day, _), Proven { present, exactly }) in asked.into_iter().zip(proven) {
        let list = model.lists[place];
        let tally = tallies.entry(key(list)).or_default();
        tally.present += u64::from(present);
        if let Some(number) = exactly {
            assert_eq!(
                list.truth.get(&(value.clone(), day)),
                Some(&number),
                "{} {value} on day {day}",
                list.dim
            );
            tally.exactly += 1;
        }
    }
}

/// What was proven, from less to more knowledge.
#[derive(Default)]
pub struct Findings {
    /// Each list by itself.
    pub alone: Tallies,
    /// All lists of a dimension: the site's and its items'.
    pub together: Tallies,
    /// All lists of all dimensions, with what somebody knows who reads the collector's code and
    /// tags links.
    pub outside: Tallies,
}

/// Lists of which one says something of another. Countries and languages say nothing of the others
/// that would always hold.
const LINKED: [&str; 6] = ["source", "channel", "campaign", "device", "os", "browser"];

/// Attacks the closed days of one site.
pub fn attack(month: &mut Month, site: usize, full: bool, findings: &mut Findings) {
    let per_day = month.sites[site].per_day;
    let lists = learn(month, site, full && site == 0);
    let dice = &mut month.dice;
    for list in &lists {
        prove(&Model::of(vec![list]), per_day, dice, &mut findings.alone);
    }
    for dim in DIMENSIONS {
        let some = lists.iter().filter(|list| list.dim == dim).collect();
        prove_left(Model::of(some), per_day, dice, &mut findings.together);
    }
    if full {
        let some = lists
            .iter()
            .filter(|list| LINKED.contains(&list.dim))
            .collect();
        prove_left(Model::of(some), per_day, dice, &mut findings.outside);
    }
}

/// Counts what is proven of the cells, and of the site's visitors who did not touch an item.
fn prove_left(mut model: Model<'_>, per_day: u64, dice: &mut Dice, tallies: &mut Tallies) {
    let left = model.left(&SMALL);
    prove(&model, per_day, dice, tallies);
    let parts: Vec<Part> = left.iter().map(|(_, part)| *part).collect();
    for ((dim, _), proven) in left.iter().zip(model.program.prove(&parts, dice)) {
        tallies
            .entry((per_day, "left", *dim))
            .or_default()
            .add(proven);
    }
}

/// How many day cells the rule before lots gave away (k in each asked range), by the same program:
/// whether it can find anything.
pub fn control(month: &mut Month, site: usize, tallies: &mut Tallies) {
    let totals: Vec<u64> = (0..CLOSED)
        .map(|day| {
            month
                .arrivals
                .iter()
                .filter(|a| a.site == site && a.day == day)
                .count() as u64
        })
        .collect();
    let mut truth = truth(&month.arrivals, site, None, "country");
    let values: BTreeSet<String> = truth.keys().map(|(value, _)| value.clone()).collect();
    let mut facts = Vec::new();
    for value in values {
        // Ranges that join two groups of moments tell something new, all others follow from them.
        let mut group: Vec<usize> = (0..=CLOSED).collect();
        for (from, to) in (0..CLOSED).flat_map(|from| (from..CLOSED).map(move |to| (from, to))) {
            let visitors: u64 = (from..=to)
                .filter_map(|day| truth.get(&(value.clone(), day)))
                .sum();
            let (a, b) = (group[from], group[to + 1]);
            if visitors >= K && a != b {
                group
                    .iter_mut()
                    .filter(|group| **group == b)
                    .for_each(|group| *group = a);
                facts.push(Fact {
                    value: value.clone(),
                    from,
                    to,
                    visitors,
                });
            }
        }
    }
    // Each cell that is proven costs two programs: a week of them is enough to see.
    truth.retain(|(_, day), _| *day < 7);
    let list = List {
        item: None,
        dim: "country",
        totals,
        facts,
        truth,
    };
    prove(
        &Model::of_sums(&list),
        month.sites[site].per_day,
        &mut month.dice,
        tallies,
    );
}

pub fn sum(tallies: &Tallies) -> Tally {
    tallies.values().fold(Tally::default(), |sum, tally| Tally {
        small: sum.small + tally.small,
        present: sum.present + tally.present,
        exactly: sum.exactly + tally.exactly,
    })
}

/// Of the dimension where the most small cells are surely somebody.
pub fn presence_percent(tallies: &Tallies) -> f64 {
    let percent = |tally: &Tally| 100.0 * tally.present as f64 / tally.small as f64;
    tallies
        .values()
        .filter(|tally| tally.small >= FEWEST)
        .map(percent)
        .fold(0.0, f64::max)
}

/// A line for each dimension.
pub fn table(tallies: &Tallies) {
    for ((per_day, of, dim), tally) in tallies {
        println!("  {per_day} a day, {of} {dim}: {tally}");
    }
}
