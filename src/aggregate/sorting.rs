//! Rows in canonical order: sorted by key, each key once.

pub(super) fn add_saturating(sum: &mut u32, more: u32) {
    *sum = sum.saturating_add(more);
}

pub(super) fn add_both_saturating(sum: &mut (u32, u32), more: (u32, u32)) {
    *sum = (sum.0.saturating_add(more.0), sum.1.saturating_add(more.1));
}

/// Sorts by key and merges equal keys with `add`.
pub(super) fn sort_and_sum<K: Ord + Copy, V: Copy>(
    mut rows: Vec<(K, V)>,
    add: impl Fn(&mut V, V),
) -> Vec<(K, V)> {
    rows.sort_unstable_by_key(|(key, _)| *key);
    rows.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            add(&mut kept.1, next.1);
        }
        same
    });
    rows
}
