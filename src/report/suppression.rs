//! Suppresses small cells in responses to share links. The holders of links are unknown, so values
//! of fewer than the link's `k` visitors are not shown, even if they are published.

use super::response::PublishedCell;
use crate::event::OTHER_VALUE;

/// Merges every cell under `k` visitors into `(other)`. While `(other)` is not empty and stays
/// under `k`, the smallest named cell is merged too; otherwise the published total minus the named
/// cells would reveal the hidden one. If `(other)` alone is left and still under `k`, the result is
/// empty.
pub(super) fn suppress_small_cells(cells: Vec<PublishedCell>, k: u64) -> Vec<PublishedCell> {
    let (mut named, small): (Vec<PublishedCell>, Vec<PublishedCell>) = cells
        .into_iter()
        .partition(|cell| cell.visitors >= k && cell.name != OTHER_VALUE);
    named.sort_unstable_by(|a, b| {
        (b.visitors, b.visits, &a.name).cmp(&(a.visitors, a.visits, &b.name))
    });

    let mut other = PublishedCell::from_counts(OTHER_VALUE, 0, 0);
    small.iter().for_each(|cell| other.add_counts(cell));
    while other.has_counts() && other.visitors < k {
        match named.pop() {
            Some(smallest) => other.add_counts(&smallest),
            None => return Vec::new(),
        }
    }
    named.extend(other.has_counts().then_some(other));
    named
}

impl PublishedCell {
    fn add_counts(&mut self, cell: &PublishedCell) {
        self.visitors += cell.visitors;
        self.visits += cell.visits;
    }

    fn has_counts(&self) -> bool {
        self.visitors > 0 || self.visits > 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(cells: &[(&str, u64)]) -> Vec<(String, u64)> {
        let cells = cells
            .iter()
            .map(|(name, visitors)| PublishedCell::from_counts(name, *visitors, visitors + 1))
            .collect();
        suppress_small_cells(cells, 20)
            .into_iter()
            .map(|cell| (cell.name, cell.visitors))
            .collect()
    }

    fn rows(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
        rows.iter()
            .map(|(name, visitors)| ((*name).to_owned(), *visitors))
            .collect()
    }

    #[test]
    fn small_cells_fold_and_a_small_fold_takes_the_next_smallest_with_it() {
        assert_eq!(
            shown(&[("DE", 40), ("FR", 20)]),
            rows(&[("DE", 40), ("FR", 20)])
        );
        assert_eq!(
            shown(&[("DE", 40), ("FR", 19), ("AT", 6)]),
            rows(&[("DE", 40), (OTHER_VALUE, 25)])
        );
        assert_eq!(
            shown(&[("DE", 40), ("FR", 22), ("AT", 6)]),
            rows(&[("DE", 40), (OTHER_VALUE, 28)])
        );
        assert_eq!(
            shown(&[("DE", 40), (OTHER_VALUE, 21)]),
            rows(&[("DE", 40), (OTHER_VALUE, 21)])
        );
        assert_eq!(shown(&[("DE", 12), ("FR", 7)]), rows(&[]));
        assert_eq!(shown(&[("DE", 12), ("FR", 8)]), rows(&[(OTHER_VALUE, 20)]));
        assert_eq!(shown(&[]), rows(&[]));
    }

    proptest! {
        #[test]
        fn nothing_under_k_is_shown_or_can_be_subtracted(visitors in prop::collection::vec(0_u64..12, 0..8), k in 2_u64..8) {
            let cells: Vec<PublishedCell> = visitors.iter().enumerate().map(|(n, v)| PublishedCell::from_counts(&n.to_string(), *v, *v)).collect();
            let total: u64 = visitors.iter().sum();
            let shown = suppress_small_cells(cells, k);
            prop_assert!(shown.iter().all(|cell| cell.visitors >= k));
            let sum = shown.iter().map(|cell| cell.visitors).sum::<u64>();
            prop_assert!(sum == total || (shown.is_empty() && total < k));
        }
    }
}
