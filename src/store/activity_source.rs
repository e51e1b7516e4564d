//! Where the totals of all sites are read from: `activity` by day, or `activity_months` by month
//! for months that were summed (ageing.rs), and `daily` where a query wants a part of such
//! a month.

use std::collections::BTreeMap;

use super::marker::exclude_marker_sites;
use super::retention::{first_day_expression, kept_condition, list_first_days};
use crate::calendar::{Day, DayRange};
use crate::config::RetentionPolicy;
use crate::event::{SiteId, Subject};

/// The rows that a query over all sites needs, each with a `day` of the same ranges as its counts.
pub(super) struct ActivitySource<'a> {
    /// The range and the one that it is compared with.
    ranges: [DayRange; 2],
    /// First days of summed months that the ranges touch, and the revisions that count.
    summed: Vec<(u16, u64)>,
    /// Those of them that a range has a part of.
    cut: Vec<u16>,
    /// Those of the others in which the days begin that some site keeps.
    expiring: Vec<u16>,
    kept: (&'a RetentionPolicy, Day),
}

impl<'a> ActivitySource<'a> {
    /// `ranges` are all ranges that the query sums; the days of the first two contain the others.
    pub(super) fn new(
        ranges: &[DayRange],
        summed: &BTreeMap<u16, u64>,
        kept: (&'a RetentionPolicy, Day),
    ) -> ActivitySource<'a> {
        let is_touched = |month: DayRange| ranges.iter().any(|range| overlap(*range, month) > 0);
        let is_whole = |month: DayRange| {
            ranges
                .iter()
                .all(|range| [0, month.count_days()].contains(&overlap(*range, month)))
        };
        let touched: Vec<(u16, u64)> = summed
            .iter()
            .filter(|(first, _)| is_touched(month_of(**first)))
            .map(|(first, revision)| (*first, *revision))
            .collect();
        let firsts = || touched.iter().map(|(first, _)| *first);

        let first_days = list_first_days(kept.0, kept.1);
        let expires = |first: u16| {
            let month = month_of(first);
            let inside = u32::from(first) + 1..=u32::from(month.last().as_number());
            first_days.iter().any(|day| inside.contains(day))
        };
        ActivitySource {
            ranges: [ranges[0], ranges[1]],
            cut: firsts()
                .filter(|first| !is_whole(month_of(*first)))
                .collect(),
            expiring: firsts()
                .filter(|first| is_whole(month_of(*first)) && expires(*first))
                .collect(),
            summed: touched,
            kept,
        }
    }

    /// A query for the columns `site`, `day`, `hits`, `visitors` and `visits`: of the days of the
    /// first two ranges that are kept, and of the sites in `among`.
    pub(super) fn render_rows(&self, among: Option<&[SiteId]>) -> String {
        const COLUMNS: &str = "hits, visitors, visits";

        let [range, before] = self.ranges.map(|range| {
            format!(
                "day BETWEEN toDate({}) AND toDate({})",
                range.first().as_number(),
                range.last().as_number()
            )
        });
        let among = among.map_or_else(String::new, |sites| {
            let ids: Vec<String> = sites
                .iter()
                .map(|site| format!("toUInt128('{}')", site.as_u128()))
                .collect();
            match ids.is_empty() {
                true => " AND false".to_owned(),
                false => format!(" AND site IN ({})", ids.join(", ")),
            }
        });
        let scope = format!(
            "({range} OR {before}) AND {} AND {}{among}",
            exclude_marker_sites(),
            kept_condition(self.kept.0, self.kept.1),
        );
        if self.summed.is_empty() {
            return format!("SELECT site, day, {COLUMNS} FROM activity WHERE {scope}");
        }

        let months = list_dates(self.summed.iter().map(|(first, _)| *first));
        let mut rows = vec![format!(
            "SELECT site, day, {COLUMNS} FROM activity \
             WHERE toStartOfMonth(day) NOT IN ({months}) AND {scope}"
        )];

        let whole: Vec<String> = self
            .summed
            .iter()
            .filter(|(first, _)| !self.cut.contains(first))
            .map(|(first, revision)| format!("(toDate({first}), {revision})"))
            .collect();
        if !whole.is_empty() {
            rows.push(format!(
                "SELECT site, month AS day, {COLUMNS} FROM activity_months \
                 WHERE (month, revision) IN ({}) AND site != 0 AND {scope}",
                whole.join(", ")
            ));
        }

        let mut by_day = Vec::new();
        if !self.cut.is_empty() {
            let months = list_dates(self.cut.iter().copied());
            by_day.push(format!("toStartOfMonth(day) IN ({months})"));
        }
        if !self.expiring.is_empty() {
            // Where a site does not keep the first day, its month is not counted above.
            by_day.push(format!(
                "(toStartOfMonth(day) IN ({}) AND toUInt16(toStartOfMonth(day)) < {})",
                list_dates(self.expiring.iter().copied()),
                first_day_expression(self.kept.0, self.kept.1, 0)
            ));
        }
        if !by_day.is_empty() {
            rows.push(format!(
                "SELECT site, day, {COLUMNS} FROM daily WHERE subject = '{}' AND site != 0 \
                 AND ({}) AND {scope}",
                Subject::Site.name(),
                by_day.join(" OR ")
            ));
        }
        rows.join(" UNION ALL ")
    }
}

/// The month that begins on a day.
fn month_of(first: u16) -> DayRange {
    let first = Day::from_number(first);
    let days = first.to_date().days_in_month();
    DayRange::with_length(first, u32::try_from(days).unwrap_or(1))
}

/// The number of days that both have.
fn overlap(one: DayRange, other: DayRange) -> u32 {
    let first = one.first().max(other.first()).as_number();
    let last = one.last().min(other.last()).as_number();
    (u32::from(last) + 1).saturating_sub(u32::from(first))
}

fn list_dates(days: impl Iterator<Item = u16>) -> String {
    let dates: Vec<String> = days.map(|day| format!("toDate({day})")).collect();
    dates.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::from_date(text.parse().unwrap()).unwrap()
    }

    fn days(from: &str, to: &str) -> DayRange {
        DayRange::new(day(from), day(to)).unwrap()
    }

    /// Two months are summed; a third is not.
    fn source(ranges: &[DayRange], keep_days: u32) -> (Vec<u16>, Vec<u16>, usize) {
        let summed = ["2024-01-01", "2024-02-01"].map(|first| (day(first).as_number(), 7));
        let policy = RetentionPolicy::uniform(keep_days);
        let today = day("2024-06-30");
        let source = ActivitySource::new(ranges, &summed.into(), (&policy, today));
        (source.cut, source.expiring, source.summed.len())
    }

    #[test]
    fn a_month_is_read_as_a_whole_where_each_range_has_all_of_it_or_nothing() {
        let february = day("2024-02-01").as_number();
        let year = days("2024-01-01", "2024-03-31");
        let none = days("2023-01-01", "2023-01-31");
        assert_eq!(source(&[year, none], 400), (vec![], vec![], 2));
        let part = days("2024-02-29", "2024-03-31");
        assert_eq!(source(&[part, none], 400), (vec![february], vec![], 1));
        // One of the compared ranges has all of February, the other a part of it.
        let whole = days("2024-02-01", "2024-02-29");
        assert_eq!(source(&[whole, part], 400), (vec![february], vec![], 1));
        assert_eq!(source(&[none, none], 400), (vec![], vec![], 0));
    }

    #[test]
    fn a_month_in_which_the_kept_days_begin_is_read_by_day_as_well() {
        let february = day("2024-02-01").as_number();
        let year = days("2024-01-01", "2024-03-31");
        // 2024-06-30 less 150 days is 2024-02-01, and less 149 the day after.
        assert_eq!(source(&[year, year], 150), (vec![], vec![], 2));
        assert_eq!(source(&[year, year], 149), (vec![], vec![february], 2));
    }
}
