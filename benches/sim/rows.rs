//! How many rows the hits of one site on one day make, once ClickHouse has merged them.
//!
//! A row is a key: the totals of an item, or a value of one dimension of an item. So the number of
//! rows is the number of distinct keys, and its expectation follows from how often each value
//! occurs. The lists below are of an ordinary profile; values are spread by Zipf's law.
//!
//! Five days of the demo's creators, with 233 to 1 187 hits a day, had 11 to 20 rows of `daily` a
//! day, 18 to 23 of `hourly` and 63 to 101 of `published`. This gives 20 to 23, 24, and 110 to 330:
//! an upper bound.

/// Rows of one site on one day.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct SiteDayRows {
    /// `daily`: totals of the site and of its items.
    pub daily: f64,
    /// `hourly`: hours with a hit.
    pub hourly: f64,
    /// `activity`: whether there was a hit.
    pub activity: f64,
    /// `published`: lots of values, once all have been published.
    pub published: f64,
}

/// Share of hits that are views; the others are clicks and events.
const VIEWS: f64 = 0.80;
const CLICKS: f64 = 0.15;
const EVENTS: f64 = 0.05;

/// Items of a site: the pages of a profile, its links, its events.
const PAGES: usize = 6;
const LINKS: usize = 12;
const EVENT_NAMES: usize = 4;

/// Values of the eight dimensions of a site.
const SITE_VALUES: [usize; 8] = [20, 8, 6, 40, 3, 8, 5, 12];
/// Values of source and country, which pages have; links and events have campaigns as well.
const PAGE_VALUES: [usize; 2] = [20, 40];
const LINK_VALUES: [usize; 3] = [20, 40, 6];

const HOURS: usize = 24;

impl SiteDayRows {
    /// For a mean of `hits` a day, `hits_per_visitor` of one visitor, and lots of `lot` visitors.
    pub fn of_site(hits: f64, hits_per_visitor: f64, lot: f64) -> SiteDayRows {
        let visitors = hits / hits_per_visitor;
        let items = |share: f64, number: usize| distinct(hits * share, number);
        let lots = |draws: f64, values: &[usize]| -> f64 {
            values.iter().map(|&many| lots(draws, many, lot)).sum()
        };

        // Visitors of an item: nobody counts twice on it.
        let of_items = |share: f64, number: usize, values: &[usize]| -> f64 {
            shares(number)
                .map(|item| lots((hits * share * item).min(visitors), values))
                .sum()
        };
        SiteDayRows {
            daily: present(hits)
                + items(VIEWS, PAGES)
                + items(CLICKS, LINKS)
                + items(EVENTS, EVENT_NAMES),
            hourly: distinct(hits, HOURS),
            activity: present(hits),
            published: lots(visitors, &SITE_VALUES)
                + of_items(VIEWS, PAGES, &PAGE_VALUES)
                + of_items(CLICKS, LINKS, &LINK_VALUES)
                + of_items(EVENTS, EVENT_NAMES, &LINK_VALUES),
        }
    }
}

/// The probability that there is at least one of a mean of `many`.
fn present(many: f64) -> f64 {
    1.0 - (-many).exp()
}

/// How many of `values` occur among a mean of `draws`.
fn distinct(draws: f64, values: usize) -> f64 {
    shares(values).map(|share| present(draws * share)).sum()
}

/// Lots that a list of `values` publishes a day: a value with `n` visitors a day fills a lot
/// every `lot / n` days, and one lot a day at most.
fn lots(visitors: f64, values: usize, lot: f64) -> f64 {
    shares(values)
        .map(|share| (visitors * share / lot).min(1.0))
        .sum()
}

/// The shares of `values` by Zipf's law.
fn shares(values: usize) -> impl Iterator<Item = f64> {
    let sum: f64 = (1..=values).map(|rank| 1.0 / rank as f64).sum();
    (1..=values).map(move |rank| 1.0 / rank as f64 / sum)
}
