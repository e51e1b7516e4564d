//! Small cells: what fewer than k visitors share is not shown apart.

use super::answer::{Breakdown, Cell};
use crate::event::OTHER;

/// Folds and sorts the cells of one breakdown.
///
/// Every cell under `k` visitors joins `(other)`. While `(other)` holds anything and stays under `k`, the smallest cell left joins too:
/// otherwise the total minus what is shown would be the hidden cell. If only `(other)` is left and it is still under `k`, there is
/// nothing to show.
pub(super) fn fold(cells: Vec<Cell>, k: u64, limit: usize) -> Breakdown {
    let (mut named, small): (Vec<Cell>, Vec<Cell>) =
        cells.into_iter().partition(|cell| cell.visitors >= k && cell.name != OTHER);
    named.sort_unstable_by(|a, b| (b.visitors, b.visits, &a.name).cmp(&(a.visitors, a.visits, &b.name)));
    let mut other = Cell { name: OTHER.into(), visitors: 0, visits: 0 };
    small.into_iter().for_each(|cell| other.absorb(&cell));
    while other.holds_anything() && other.visitors < k {
        match named.pop() {
            Some(smallest) => other.absorb(&smallest),
            None => return Breakdown::FewerThan(k),
        }
    }
    named.truncate(limit);
    if other.holds_anything() {
        named.push(other);
    }
    Breakdown::Rows(named)
}

impl Cell {
    fn absorb(&mut self, cell: &Cell) {
        self.visitors += cell.visitors;
        self.visits += cell.visits;
    }

    fn holds_anything(&self) -> bool {
        self.visitors > 0 || self.visits > 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cell(name: &str, visitors: u64) -> Cell {
        Cell { name: name.into(), visitors, visits: visitors + 1 }
    }

    fn shown(cells: &[(&str, u64)], limit: usize) -> Option<Vec<(String, u64)>> {
        match fold(cells.iter().map(|(name, visitors)| cell(name, *visitors)).collect(), 5, limit) {
            Breakdown::Rows(rows) => Some(rows.into_iter().map(|cell| (cell.name, cell.visitors)).collect()),
            Breakdown::FewerThan(_) => None,
        }
    }

    fn rows(rows: &[(&str, u64)]) -> Option<Vec<(String, u64)>> {
        Some(rows.iter().map(|(name, visitors)| ((*name).to_owned(), *visitors)).collect())
    }

    #[test]
    fn small_cells_fold_and_a_small_fold_takes_the_next_smallest_with_it() {
        assert_eq!(shown(&[("DE", 9), ("FR", 5)], 10), rows(&[("DE", 9), ("FR", 5)]));
        assert_eq!(shown(&[("DE", 9), ("FR", 4), ("AT", 3)], 10), rows(&[("DE", 9), (OTHER, 7)]));
        assert_eq!(shown(&[("DE", 9), ("FR", 6), ("AT", 3)], 10), rows(&[("DE", 9), (OTHER, 9)]));
        assert_eq!(shown(&[("DE", 9), (OTHER, 8)], 10), rows(&[("DE", 9), (OTHER, 8)]));
        assert_eq!(shown(&[("DE", 3), ("FR", 1)], 10), None);
        assert_eq!(shown(&[("DE", 3), ("FR", 2)], 10), rows(&[(OTHER, 5)]));
        assert_eq!(shown(&[], 10), rows(&[]));
    }

    #[test]
    fn other_comes_last_and_beyond_the_limit() {
        assert_eq!(
            shown(&[("DE", 9), ("FR", 8), ("AT", 7), (OTHER, 90)], 2),
            rows(&[("DE", 9), ("FR", 8), (OTHER, 90)])
        );
    }

    #[test]
    fn a_value_with_visits_but_no_visitors_of_its_own_folds() {
        let cells = vec![cell("DE", 9), Cell { name: "FR".into(), visitors: 0, visits: 2 }];
        assert_eq!(fold(cells, 5, 10), Breakdown::Rows(vec![Cell { name: OTHER.into(), visitors: 9, visits: 12 }]));
    }

    /// Ranges that differ by a day can be subtracted, and the difference is that day. What of a day's hidden cells that tells a site's own
    /// creator is a property of the traffic; here a site of about twenty visitors a day over four weeks. docs/PRIVACY.md gives the figure.
    #[test]
    fn what_subtracting_nested_ranges_tells_is_known() {
        const DAYS: usize = 28;
        let mut seed = 1_u64;
        let mut below = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % n
        };
        // Values are as unequal as sources are: half of what comes before.
        let days: Vec<Vec<u64>> = (0..DAYS)
            .map(|_| {
                let mut day = vec![0; 12];
                (0..15 + below(11)).for_each(|_| day[(0..11).find(|_| below(2) == 0).unwrap_or(11)] += 1);
                day
            })
            .collect();
        let apart = |from: usize, to: usize, value: usize| {
            let sum = |value: usize| days[from..=to].iter().map(|day| day[value]).sum::<u64>();
            let cells = (0..12).map(|value| cell(&value.to_string(), sum(value))).filter(|cell| cell.visitors > 0);
            match fold(cells.collect(), 5, usize::MAX) {
                Breakdown::Rows(rows) => rows.iter().any(|row| row.name == value.to_string()),
                Breakdown::FewerThan(_) => false,
            }
        };
        let (mut small, mut told) = (0, 0);
        for (day, value) in (0..DAYS).flat_map(|day| (0..12).map(move |value| (day, value))) {
            if (1..5).contains(&days[day][value]) {
                small += 1;
                let with_and_without =
                    |from: usize| from < day && apart(from, day, value) && apart(from, day - 1, value);
                told += u64::from((0..DAYS).any(with_and_without));
            }
        }
        assert_eq!((small, told), (91, 64));
    }

    proptest! {
        #[test]
        fn nothing_under_k_is_shown_or_can_be_subtracted(visitors in prop::collection::vec(0_u64..12, 0..8), k in 2_u64..8) {
            let cells: Vec<Cell> = visitors.iter().enumerate().map(|(n, v)| Cell { name: n.to_string(), visitors: *v, visits: *v }).collect();
            let total: u64 = visitors.iter().sum();
            match fold(cells, k, 100) {
                Breakdown::Rows(rows) => {
                    prop_assert!(rows.iter().all(|cell| cell.visitors >= k));
                    prop_assert_eq!(rows.iter().map(|cell| cell.visitors).sum::<u64>(), total);
                }
                Breakdown::FewerThan(_) => prop_assert!(total < k),
            }
        }
    }
}
