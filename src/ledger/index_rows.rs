//! The part of the index that does not change while the ledger is open: a row for each record of a
//! consent id, sorted by id and then by position, in 40 bytes.

use crate::calendar::Day;
use crate::consent::ConsentId;

/// The size of a row:
///
/// ```text
/// id:16  offset:u64  grant_seq:u64  terms:u32  day:u16  0:u16      little-endian
/// ```
pub const ROW_BYTES: usize = 40;

/// A record of a consent id, and the state of the id after it. Contains the id, so it has no
/// `Debug`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexRow {
    /// The id, as a number.
    pub id: u128,
    /// The position of the record's line in the file, in bytes.
    pub offset: u64,
    /// The number of the grant's record.
    pub grant_seq: u64,
    /// The number of the granted terms.
    pub terms_index: u32,
    /// The UTC day of the act.
    pub day: Day,
}

impl IndexRow {
    /// The number that stands for an id.
    pub fn number_of(id: &ConsentId) -> u128 {
        u128::from_le_bytes(id.to_bytes())
    }

    /// The row as it is stored.
    pub fn to_bytes(self) -> [u8; ROW_BYTES] {
        let mut bytes = [0; ROW_BYTES];
        bytes[..16].copy_from_slice(&self.id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.grant_seq.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.terms_index.to_le_bytes());
        bytes[36..38].copy_from_slice(&self.day.as_number().to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> IndexRow {
        IndexRow {
            id: u128::from_le_bytes(array_at(bytes, 0)),
            offset: u64::from_le_bytes(array_at(bytes, 16)),
            grant_seq: u64::from_le_bytes(array_at(bytes, 24)),
            terms_index: u32::from_le_bytes(array_at(bytes, 32)),
            day: Day::from_number(u16::from_le_bytes(array_at(bytes, 36))),
        }
    }
}

/// The `N` bytes from `start` on. The rows have a fixed size, so they are there.
fn array_at<const N: usize>(bytes: &[u8], start: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[start..start + N]);
    array
}

/// Rows in their order, as they are stored.
#[derive(Default)]
pub struct IndexRows(Vec<u8>);

impl IndexRows {
    /// Rows that were read from a file. `None` if they are not whole or not in their order.
    pub fn from_stored(bytes: Vec<u8>) -> Option<IndexRows> {
        if !bytes.len().is_multiple_of(ROW_BYTES) {
            return None;
        }
        let rows = IndexRows(bytes);
        let is_sorted = rows
            .iter()
            .zip(rows.iter().skip(1))
            .all(|(one, next)| (one.id, one.offset) < (next.id, next.offset));
        is_sorted.then_some(rows)
    }

    /// The rows of both, each in its order.
    pub fn merge<'a>(&'a self, tail: &'a [IndexRow]) -> impl Iterator<Item = IndexRow> + 'a {
        let (mut base, mut tail) = (self.iter().peekable(), tail.iter().copied().peekable());
        std::iter::from_fn(move || match (base.peek(), tail.peek()) {
            (Some(one), Some(other)) if other < one => tail.next(),
            (None, _) => tail.next(),
            _ => base.next(),
        })
    }

    /// The rows of both as one.
    pub fn merged_with(&self, tail: &[IndexRow]) -> IndexRows {
        let mut bytes = Vec::with_capacity(self.0.len() + tail.len() * ROW_BYTES);
        self.merge(tail)
            .for_each(|row| bytes.extend_from_slice(&row.to_bytes()));
        IndexRows(bytes)
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.0.len() / ROW_BYTES
    }

    /// All rows, in their order.
    pub fn iter(&self) -> impl Iterator<Item = IndexRow> + '_ {
        self.0.chunks_exact(ROW_BYTES).map(IndexRow::from_bytes)
    }

    /// The rows of an id, the oldest first.
    pub fn rows_of(&self, id: &ConsentId) -> impl DoubleEndedIterator<Item = IndexRow> + '_ {
        let id = IndexRow::number_of(id);
        let first = self.partition_point(|row| row.id < id);
        let length = self.0[first * ROW_BYTES..]
            .chunks_exact(ROW_BYTES)
            .take_while(|row| u128::from_le_bytes(array_at(row, 0)) == id)
            .count();
        (first..first + length).map(move |place| self.row(place))
    }

    fn row(&self, place: usize) -> IndexRow {
        IndexRow::from_bytes(&self.0[place * ROW_BYTES..][..ROW_BYTES])
    }

    /// The number of leading rows with a property that no later row has.
    fn partition_point(&self, has: impl Fn(&IndexRow) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if has(&self.row(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The memory of the rows, in bytes.
    #[cfg(test)]
    pub fn heap_bytes(&self) -> usize {
        self.0.capacity()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row((id, offset): (u8, u8)) -> IndexRow {
        IndexRow {
            id: u128::from(id) << 100,
            offset: offset.into(),
            grant_seq: u64::MAX - u64::from(offset),
            terms_index: 7,
            day: Day::from_number(20_000),
        }
    }

    proptest! {
        #[test]
        fn rows_of_two_parts_are_found_by_id_in_their_order(
            base in prop::collection::btree_set((0_u8..9, 0_u8..100), 0..40),
            tail in prop::collection::btree_set((0_u8..9, 100_u8..200), 0..40),
        ) {
            let base: Vec<IndexRow> = base.into_iter().map(row).collect();
            let tail: Vec<IndexRow> = tail.into_iter().map(row).collect();
            let rows = IndexRows::default().merged_with(&base).merged_with(&tail);
            prop_assert_eq!(rows.len(), base.len() + tail.len());
            prop_assert!(IndexRows::from_stored(rows.0.clone()).is_some());
            for number in 0..9_u8 {
                let id = (u128::from(number) << 100).to_be_bytes();
                let id = ConsentId::from_hex(&crate::hex::encode_lower(&id)).unwrap();
                let wanted = base.iter().chain(&tail);
                let wanted: Vec<IndexRow> = wanted
                    .filter(|row| row.id == u128::from(number) << 100)
                    .copied()
                    .collect();
                prop_assert!(rows.rows_of(&id).collect::<Vec<_>>() == wanted);
            }
        }
    }

    #[test]
    fn rows_out_of_order_or_cut_are_no_rows() {
        let rows: Vec<u8> = [row((2, 1)), row((1, 1))]
            .iter()
            .flat_map(|row| row.to_bytes())
            .collect();
        assert!(IndexRows::from_stored(rows.clone()).is_none());
        assert!(IndexRows::from_stored(rows[..ROW_BYTES].to_vec()).is_some());
        assert!(IndexRows::from_stored(rows[..ROW_BYTES + 1].to_vec()).is_none());
    }
}
