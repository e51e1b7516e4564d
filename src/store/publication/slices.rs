//! Divides the sites into slices of about equal size. Ids are hashes, so their leading bits divide
//! them evenly.

/// The approximate number of rows in a slice. The collector holds one slice at a time in memory,
/// about ten megabytes.
const ROWS_PER_SLICE: u64 = 50_000;
const MAX_SLICES: u32 = 1 << 16;

/// The sites whose ids are from `first` to `last`, both inclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::store) struct SiteSlice {
    pub(in crate::store) first: u128,
    pub(in crate::store) last: u128,
}

impl SiteSlice {
    /// The number of slices for this number of rows: a power of two.
    pub(super) fn count_for_rows(rows: u64) -> u32 {
        SiteSlice::count_for(rows, ROWS_PER_SLICE)
    }

    /// The number of slices of about `of_slice` rows: a power of two.
    pub(in crate::store) fn count_for(rows: u64, of_slice: u64) -> u32 {
        let wanted = u32::try_from(rows / of_slice + 1).unwrap_or(MAX_SLICES);
        wanted.clamp(1, MAX_SLICES).next_power_of_two()
    }

    /// All slices, in the order of ids. `count` is a power of two.
    pub(in crate::store) fn all_slices(count: u32) -> impl Iterator<Item = SiteSlice> {
        let bits = count.max(1).ilog2();
        (0..u128::from(count.max(1))).map(move |number| match bits {
            0 => SiteSlice {
                first: 0,
                last: u128::MAX,
            },
            _ => SiteSlice {
                first: number << (128 - bits),
                last: (number << (128 - bits)) | (u128::MAX >> bits),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_all_ids_once() {
        for count in [1, 2, 8, 1024] {
            let slices: Vec<SiteSlice> = SiteSlice::all_slices(count).collect();
            assert_eq!(slices.len(), count as usize);
            assert_eq!(
                (slices[0].first, slices[slices.len() - 1].last),
                (0, u128::MAX)
            );
            assert!(
                slices
                    .windows(2)
                    .all(|pair| pair[0].last + 1 == pair[1].first)
            );
        }
    }

    #[test]
    fn slices_hold_some_ten_thousand_rows() {
        assert_eq!(
            [0, 49_999, 50_000, 20_000_000].map(SiteSlice::count_for_rows),
            [1, 1, 2, 512]
        );
    }
}
