//! P1: a creator asks for "28 days, today included" after each arrival. What rises by one is one
//! person.
//!
//! Two things are measured. *Read*: after one arrival exactly one value of a list has risen, by
//! exactly one. *Guessed*: from every lot that is ever published, also days later, the attacker
//! works out which share of those who came in the lot's time had the value, and names the likeliest
//! one for an arrival known by its second; against naming the creator's commonest value for
//! everybody.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::crowd::{DIMENSIONS, NONE, Vector};
use crate::month::{CLOSED, Month};
use crate::stage::{DAY, FIRST, HOUR, PUBLISHED_AFTER, range, rows, visitors};

/// So many visitors' weight the creator's usual shares have against those of one lot, for an
/// attacker who does not believe small numbers.
const DOUBT: f64 = 20.0;

/// One published number: of the visitors numbered `from..to` so many had the value.
struct Lot {
    from: usize,
    to: usize,
    visitors: u64,
}

/// What was published of one list of a site.
type Lots = BTreeMap<String, Vec<Lot>>;

#[derive(Default, Clone, Copy, Debug)]
pub struct Read {
    pub arrivals: u64,
    pub vectors: u64,
    pub attributes: u64,
}

pub struct Watcher {
    /// By site, then by dimension.
    lots: Vec<Vec<Lots>>,
    /// Visitors of each site before a moment: their moments.
    moments: Vec<Vec<i64>>,
    /// By visitors a day.
    pub read: BTreeMap<u64, Read>,
    /// Of each arrival of the watched day, what was read of it.
    seen: Vec<Seen>,
}

/// In the order of [`DIMENSIONS`].
type Seen = [Option<String>; DIMENSIONS.len()];

fn shown(report: &Value) -> Vec<BTreeMap<String, u64>> {
    DIMENSIONS
        .iter()
        .map(|dim| rows(report, dim).into_iter().collect())
        .collect()
}

/// Values that rose from one answer to the next, and by how much.
fn risen(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let rise = |(value, now): (&String, &u64)| {
        let rise = now
            .checked_sub(before.get(value).copied().unwrap_or(0))
            .filter(|rise| *rise > 0);
        rise.map(|rise| (value.clone(), rise))
    };
    after.iter().filter_map(rise).collect()
}

impl Watcher {
    /// Lives through the open day of a month, asking after each arrival and each full hour.
    pub fn watch(month: &mut Month) -> Watcher {
        let moments = (0..month.sites.len()).map(|site| {
            let of_site = month.arrivals.iter().filter(|arrival| arrival.site == site);
            of_site.map(|arrival| arrival.at).collect()
        });
        let lots = month
            .sites
            .iter()
            .map(|_| DIMENSIONS.iter().map(|_| Lots::new()).collect())
            .collect();
        let mut watcher = Watcher {
            lots,
            moments: moments.collect(),
            read: BTreeMap::new(),
            seen: Vec::new(),
        };
        let question = range(0, CLOSED);
        let names: Vec<String> = month.sites.iter().map(|site| site.name.clone()).collect();
        let mut last: Vec<Value> = names
            .iter()
            .map(|name| month.stage.report(name, &question))
            .collect();

        let arrivals = month.plan(CLOSED);
        let midnight = FIRST + DAY * CLOSED as i64;
        let mut hour = 1;
        for arrival in &arrivals {
            while arrival.at > midnight + hour * HOUR + PUBLISHED_AFTER {
                watcher.hour(month, midnight + hour * HOUR, &names, &question, &mut last);
                hour += 1;
            }
            month.stage.send(arrival.at, &[arrival.sent()]);
            month.stage.server.flush();
            let now = month.stage.report(&names[arrival.site], &question);
            let read = watcher
                .read
                .entry(month.sites[arrival.site].per_day)
                .or_default();
            let seen = seen(&last[arrival.site], &now);
            read.add(&seen, &arrival.person.vector);
            watcher.seen.push(seen);
            watcher.moments[arrival.site].push(arrival.at);
            last[arrival.site] = now;
        }
        for left in hour..24 {
            watcher.hour(month, midnight + left * HOUR, &names, &question, &mut last);
        }
        month.arrivals.extend(arrivals);

        month.stage.end(CLOSED);
        let tomorrow = midnight + DAY;
        for (site, name) in names.iter().enumerate() {
            let now = month.stage.report(name, &question);
            watcher.learn(site, tomorrow, &last[site], &now);
        }
        watcher
    }

    fn hour(
        &mut self,
        month: &mut Month,
        over: i64,
        names: &[String],
        question: &str,
        last: &mut [Value],
    ) {
        month.stage.publish(over + PUBLISHED_AFTER);
        for (site, name) in names.iter().enumerate() {
            let now = month.stage.report(name, question);
            // What came since the full hour may be in its lots as well.
            self.learn(site, over + PUBLISHED_AFTER, &last[site], &now);
            last[site] = now;
        }
    }

    /// What was published between two answers is of visitors who came before `over`.
    fn learn(&mut self, site: usize, over: i64, before: &Value, after: &Value) {
        let to = self.moments[site].partition_point(|at| *at < over);
        for (dim, (before, after)) in shown(before).iter().zip(shown(after)).enumerate() {
            for (value, visitors) in risen(before, &after) {
                let lots = self.lots[site][dim].entry(value).or_default();
                let from = lots.last().map_or(0, |lot| lot.to);
                lots.push(Lot { from, to, visitors });
            }
        }
    }

    /// Adds what closed days other than the watched one show, and answers by how many points of a
    /// hundred the best guess about an arrival is better than the commonest value, by visitors a
    /// day.
    pub fn advantage(mut self, month: &mut Month) -> BTreeMap<u64, f64> {
        let watched = std::mem::take(&mut self.lots);
        self.lots = month
            .sites
            .iter()
            .map(|_| DIMENSIONS.iter().map(|_| Lots::new()).collect())
            .collect();
        for site in 0..month.sites.len() {
            self.moments[site] = month
                .arrivals
                .iter()
                .filter(|a| a.site == site)
                .map(|a| a.at)
                .collect();
        }
        let days = month.arrivals.last().expect("somebody came").day;
        let nothing = serde_json::json!({});
        for (site, of_watched) in watched.into_iter().enumerate() {
            let mut of_watched = Some(of_watched);
            let name = month.sites[site].name.clone();
            for day in 0..=days {
                match of_watched.take_if(|_| day == CLOSED) {
                    Some(lists) => self.take(site, lists),
                    None => {
                        let over = FIRST + DAY * (day as i64 + 1);
                        let answer = month.stage.report(&name, &range(day, day));
                        self.learn(site, over, &nothing, &answer);
                    }
                }
            }
        }

        let shares: Vec<Vec<Shares<'_>>> = self
            .lots
            .iter()
            .map(|of_site| of_site.iter().map(Shares::of).collect())
            .collect();
        let mut scores: BTreeMap<u64, [Score; 2]> = BTreeMap::new();
        let mut numbers = vec![0; month.sites.len()];
        let mut read = self.seen.iter();
        for arrival in &month.arrivals {
            let number = numbers[arrival.site];
            numbers[arrival.site] += 1;
            let [all, watched] = scores.entry(month.sites[arrival.site].per_day).or_default();
            let seen = (arrival.day == CLOSED).then(|| read.next()).flatten();
            for (dim, list) in shares[arrival.site].iter().enumerate() {
                let truth = arrival.person.vector[dim];
                all.count(list, number, None, truth);
                if let Some(seen) = seen {
                    watched.count(list, number, seen[dim].as_deref(), truth);
                }
            }
        }
        scores
            .into_iter()
            .map(|(per_day, of)| (per_day, of[0].advantage().max(of[1].advantage())))
            .collect()
    }

    /// The watched day's lots begin where those of the days before it ended.
    fn take(&mut self, site: usize, lists: Vec<Lots>) {
        for (dim, values) in lists.into_iter().enumerate() {
            for (value, lots) in values {
                let known = self.lots[site][dim].entry(value).or_default();
                for lot in lots {
                    let from = known.last().map_or(0, |lot| lot.to);
                    known.push(Lot { from, ..lot });
                }
            }
        }
    }
}

/// What one arrival between two answers gives away.
fn seen(before: &Value, after: &Value) -> Seen {
    let mut seen = Seen::default();
    if visitors(&after["totals"]) != visitors(&before["totals"]) + 1 {
        return seen;
    }
    for (dim, (before, after)) in shown(before).iter().zip(shown(after)).enumerate() {
        seen[dim] = match risen(before, &after).as_slice() {
            [(value, 1)] => Some(value.clone()),
            // No campaign has risen: a visit without one, where its source is read.
            [] if DIMENSIONS[dim] == "campaign" && seen[0].is_some() => Some(NONE.to_owned()),
            _ => None,
        };
    }
    seen
}

impl Read {
    fn add(&mut self, seen: &Seen, truth: &Vector) {
        let right = seen
            .iter()
            .zip(truth)
            .filter(|(seen, truth)| seen.as_deref() == Some(**truth))
            .count();
        self.arrivals += 1;
        self.attributes += right as u64;
        self.vectors += u64::from(right == truth.len());
    }
}

/// One list with what all its lots together say.
struct Shares<'a> {
    /// Value, its share of all that was published, and its lots.
    values: Vec<(&'a str, f64, &'a [Lot])>,
    commonest: Option<&'a str>,
}

impl Shares<'_> {
    fn of(lists: &Lots) -> Shares<'_> {
        let sum = |lots: &[Lot]| lots.iter().map(|lot| lot.visitors).sum::<u64>() as f64;
        let all: f64 = lists.values().map(|lots| sum(lots)).sum();
        let values: Vec<_> = lists
            .iter()
            .map(|(value, lots)| (&**value, sum(lots) / all, &**lots))
            .collect();
        let commonest = values
            .iter()
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(value, ..)| *value);
        Shares { values, commonest }
    }

    /// The likeliest value of a visitor by the lots it can be in.
    fn likeliest(&self, number: usize, doubt: f64) -> Option<&str> {
        let likely = |(_, share, lots): &(&str, f64, &[Lot])| {
            let lot = lots.get(lots.partition_point(|lot| lot.to <= number));
            lot.map_or(*share, |lot| {
                (lot.visitors as f64 + doubt * share) / ((lot.to - lot.from) as f64 + doubt)
            })
        };
        self.values
            .iter()
            .max_by(|a, b| likely(a).total_cmp(&likely(b)))
            .map(|(value, ..)| *value)
    }
}

/// Guesses that were right.
#[derive(Default)]
struct Score {
    guesses: u64,
    commonest: u64,
    likeliest: u64,
    doubting: u64,
}

impl Score {
    /// `read`: what the watcher has seen rise, which is better than any guess.
    fn count(&mut self, list: &Shares<'_>, number: usize, read: Option<&str>, truth: &str) {
        self.guesses += 1;
        self.commonest += u64::from(list.commonest == Some(truth));
        self.likeliest += u64::from(read.or_else(|| list.likeliest(number, 0.0)) == Some(truth));
        self.doubting += u64::from(read.or_else(|| list.likeliest(number, DOUBT)) == Some(truth));
    }

    fn advantage(&self) -> f64 {
        let better = self.likeliest.max(self.doubting) as f64 - self.commonest as f64;
        100.0 * better / self.guesses.max(1) as f64
    }
}
