//! The coin that decides between k and 2k, so that the day on which a lot appears does not tell when its k-th visitor came.

use crate::event::{Day, SiteId};

use super::rules::CellKey;

/// The platform's secret for the coin. It cannot be printed or copied: who knows it, knows which lots were held back.
pub struct CoinKey([u8; 32]);

impl CoinKey {
    pub fn new(key: [u8; 32]) -> CoinKey {
        CoinKey(key)
    }

    /// Whether the lot of this cell is published on this day. The same cell and day always give the same answer, so doing a day
    /// again changes nothing.
    ///
    /// The first bit of keyed BLAKE3 over the site (16 bytes, little endian), then subject, item, dimension and value, each behind its
    /// length (4 bytes, little endian), then the day (2 bytes, little endian, days since 1970-01-01).
    pub(super) fn publishes(&self, site: SiteId, cell: &CellKey, day: Day) -> bool {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&site.as_u128().to_le_bytes());

        for text in [cell.subject.name(), &cell.item, cell.dim.name(), &cell.value] {
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            hasher.update(&length.to_le_bytes()).update(text.as_bytes());
        }

        hasher.update(&day.number().to_le_bytes());
        hasher.finalize().as_bytes()[0] & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Dimension, Subject};

    #[test]
    fn the_coin_of_a_cell_and_day_is_fixed_and_fair_over_many() {
        let key = CoinKey::new([7; 32]);
        let site = SiteId::from_u128(9);
        let cell = |n: u32| CellKey::new(Subject::Page, &format!("/{n}"), Dimension::Source, "Google");
        let day = Day::from_number(20_000);

        let heads = (0..10_000).filter(|n| key.publishes(site, &cell(*n), day)).count();

        assert!((4_800..5_200).contains(&heads), "{heads}");
        assert!((0..100).all(|n| key.publishes(site, &cell(n), day) == key.publishes(site, &cell(n), day)));
        let other = CoinKey::new([8; 32]);
        assert!((0..100).any(|n| key.publishes(site, &cell(n), day) != other.publishes(site, &cell(n), day)));
    }
}
