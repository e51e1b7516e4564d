//! Time zones in use, by number.

use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;
use jiff::tz::TimeZone;

/// A time zone of sites, as an index into [`ZoneTable`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ZoneId(pub u16);

/// The zones in use. The list only grows, so a zone keeps its number, and a day's state its zone,
/// when further zones are registered.
#[derive(Default)]
pub struct ZoneTable {
    zones: ArcSwap<Vec<TimeZone>>,
    write_lock: Mutex<()>,
}

impl ZoneTable {
    /// The number of a zone; its name must have passed validation.
    pub fn intern_zone(&self, name: &str) -> ZoneId {
        let same = |zone: &TimeZone| {
            zone.iana_name()
                .is_some_and(|known| known.eq_ignore_ascii_case(name))
        };
        let _one_at_a_time = self
            .write_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = self.zones.load();
        let place = known.iter().position(same).unwrap_or_else(|| {
            let zone = TimeZone::get(name).expect("zones were validated");
            self.zones.store(
                known
                    .iter()
                    .cloned()
                    .chain([zone])
                    .collect::<Vec<_>>()
                    .into(),
            );
            known.len()
        });
        ZoneId(u16::try_from(place).expect("the tz database has far fewer than 65 536 zones"))
    }

    /// IANA names of the zones in use.
    pub fn zone_names(&self) -> Vec<String> {
        self.zones
            .load()
            .iter()
            .filter_map(TimeZone::iana_name)
            .map(str::to_owned)
            .collect()
    }

    /// The zone with this number.
    pub fn get(&self, zone: ZoneId) -> TimeZone {
        self.zones.load()[usize::from(zone.0)].clone()
    }
}
