//! Which tables hold an attribute of people, and what a month of each becomes.

use super::SMALL;
use crate::event::OTHER;
use crate::store::schema::Table;

/// How a month of one table folds. The statements fill a side table; the sums are what they must not change.
pub(super) struct Folding {
    pub(super) table: Table,
    /// The table's own order: a partition moves only between tables of the same shape.
    pub(super) order: &'static str,
    pub(super) statements: fn(month: u32, side: &str) -> Vec<String>,
    pub(super) sums: fn(table: &str, month: u32) -> String,
}

pub(super) const FOLDED: [Folding; 2] = [
    Folding {
        table: Table::Daily,
        order: "site, subject, dim, day, item, value",
        statements: |month, side| vec![totals(month, side), attributes(month, side)],
        sums: daily_sums,
    },
    Folding {
        table: Table::Vitals,
        order: "metric, site, day, path, device, bucket",
        statements: |month, side| vec![devices(month, side)],
        sums: vitals_sums,
    },
];

/// Total rows, as they are.
fn totals(month: u32, side: &str) -> String {
    let keys = Table::Daily.keys().join(", ");
    format!(
        "INSERT INTO {side} ({keys}, {counters}) SELECT {keys}, {sums} FROM daily \
         WHERE toYYYYMM(day) = {month} AND dim = '' GROUP BY {keys}",
        counters = Table::Daily.counters().join(", "),
        sums = summed(""),
    )
}

/// Attribute rows, by month, small cells under `(other)`.
fn attributes(month: u32, side: &str) -> String {
    let counters = Table::Daily.counters();
    format!(
        "INSERT INTO {side} (site, day, subject, item, dim, value, {counters}) \
         SELECT site, toDate('{first}'), subject, item, dim, kept, {outer} FROM ( \
             SELECT site, subject, item, dim, if(sum(visitors) < {SMALL}, '{OTHER}', toString(value)) AS kept, {inner} \
             FROM daily WHERE toYYYYMM(day) = {month} AND dim != '' GROUP BY site, subject, dim, item, value \
         ) GROUP BY site, subject, dim, item, kept",
        counters = counters.join(", "),
        inner = counters.iter().map(|name| format!("sum({name}) AS n_{name}")).collect::<Vec<_>>().join(", "),
        outer = summed("n_"),
        first = first_day(month),
    )
}

/// Histograms, by month; a class of devices with few measurements of a page joins `(other)`.
fn devices(month: u32, side: &str) -> String {
    format!(
        "INSERT INTO {side} (site, day, path, device, metric, bucket, hits) \
         SELECT site, toDate('{first}'), path, kept, metric, in_bucket, sum(n) FROM ( \
             SELECT site, path, metric, if(sum(hits) < {SMALL}, '{OTHER}', toString(device)) AS kept, \
                    sumMap([bucket], [hits]) AS histogram \
             FROM vitals WHERE toYYYYMM(day) = {month} GROUP BY site, metric, path, device \
         ) ARRAY JOIN histogram.1 AS in_bucket, histogram.2 AS n GROUP BY site, path, kept, metric, in_bucket",
        first = first_day(month),
    )
}

fn summed(prefix: &str) -> String {
    let sums = Table::Daily.counters().into_iter().map(|name| format!("sum({prefix}{name})"));
    sums.collect::<Vec<_>>().join(", ")
}

/// The sums of the totals by day, and those of the attributes over the month.
fn daily_sums(table: &str, month: u32) -> String {
    format!(
        "SELECT toString(groupArray(row)) FROM (SELECT tuple(subject, dim, if(dim = '', day, toDate(0)) AS d, {}) AS row \
         FROM {table} WHERE toYYYYMM(day) = {month} GROUP BY subject, dim, d ORDER BY subject, dim, d)",
        summed("")
    )
}

fn vitals_sums(table: &str, month: u32) -> String {
    format!(
        "SELECT toString(groupArray(row)) FROM (SELECT tuple(metric, bucket, sum(hits)) AS row FROM {table} \
         WHERE toYYYYMM(day) = {month} GROUP BY metric, bucket ORDER BY metric, bucket)"
    )
}

fn first_day(month: u32) -> String {
    format!("{:04}-{:02}-01", month / 100, month % 100)
}
