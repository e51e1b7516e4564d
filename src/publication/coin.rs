//! The platform's keyed coin. It decides whether a lot between k and 2k visitors is published, so
//! that the day on which a lot appears does not reveal when its k-th visitor came. It also draws
//! how many visitors of a lot stay pending, so that the end of a lot does not fall between two
//! known visitors.

use crate::calendar::Day;
use crate::event::SiteId;

use super::rules::Lot;

/// The platform's secret for the coin. It cannot be printed or copied, because it reveals which
/// lots were held back.
#[derive(PartialEq, Eq)]
pub struct CoinKey([u8; 32]);

impl CoinKey {
    /// `key` is 32 random bytes, the same on every collector of the database.
    pub fn new(key: [u8; 32]) -> CoinKey {
        CoinKey(key)
    }

    /// Whether a lot is published on this day. The same lot and day always give the same result, so
    /// publishing a day again changes nothing.
    ///
    /// The coin identifies a lot by its size and not by its cell. Cells of the same visitors (a
    /// profile's only page and the site; a campaign and the source it is linked from) therefore get
    /// the same result. If each cell had its own coin, their lots would end on different days, and
    /// the difference would be a single day.
    ///
    /// The result is the first bit of keyed BLAKE3 over the site (16 bytes), visitors and networks
    /// (8 bytes each) and the day (2 bytes, days since 1970-01-01), all little-endian.
    pub(super) fn should_publish(&self, site: SiteId, lot: &Lot, day: Day) -> bool {
        self.hash_lot(site, lot, day)[0] & 1 == 1
    }

    /// The number of visitors of a lot that stay pending on this day: 0 to `max`, both inclusive,
    /// each equally likely.
    ///
    /// It is bytes 8 to 15 of the same hash, as a little-endian number modulo `max + 1`.
    pub(super) fn draw_remainder(&self, site: SiteId, lot: &Lot, day: Day, max: u64) -> u64 {
        let hash = self.hash_lot(site, lot, day);
        let number = u64::from_le_bytes(hash[8..16].try_into().expect("eight bytes"));
        number % (max + 1)
    }

    fn hash_lot(&self, site: SiteId, lot: &Lot, day: Day) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&site.as_u128().to_le_bytes());
        hasher
            .update(&lot.visitors.to_le_bytes())
            .update(&lot.networks.to_le_bytes());
        hasher.update(&day.as_number().to_le_bytes());
        *hasher.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coin_of_a_lot_and_day_is_fixed_and_fair_over_many() {
        let key = CoinKey::new([7; 32]);
        let site = SiteId::from_u128(9);
        let lot = |visitors| Lot {
            visitors,
            visits: 0,
            networks: 5,
        };
        let day = Day::from_number(20_000);

        let heads = (0..10_000)
            .filter(|n| key.should_publish(site, &lot(*n), day))
            .count();

        assert!((4_800..5_200).contains(&heads), "{heads}");
        assert!(
            (0..100).all(|n| key.should_publish(site, &lot(n), day)
                == key.should_publish(site, &lot(n), day))
        );
        let other = CoinKey::new([8; 32]);
        assert!(
            (0..100).any(|n| key.should_publish(site, &lot(n), day)
                != other.should_publish(site, &lot(n), day))
        );
    }

    #[test]
    fn a_remainder_is_fixed_takes_each_value_up_to_its_bound_equally_often_and_does_not_follow_the_coin()
     {
        let key = CoinKey::new([7; 32]);
        let site = SiteId::from_u128(9);
        let lot = |visitors| Lot {
            visitors,
            visits: 0,
            networks: 5,
        };
        let day = Day::from_number(20_000);
        let remainder = |n| key.draw_remainder(site, &lot(n), day, 8);

        let mut counts = [[0_u32; 9]; 2];
        for n in 0..18_000 {
            let heads = usize::from(key.should_publish(site, &lot(n), day));
            counts[heads][usize::try_from(remainder(n)).unwrap()] += 1;
        }

        assert!(
            counts
                .iter()
                .flatten()
                .all(|count| (850..1_150).contains(count)),
            "{counts:?}"
        );
        assert!((0..100).all(|n| remainder(n) == remainder(n)));
        assert_eq!(key.draw_remainder(site, &lot(10), day, 0), 0);
    }
}
