//! The keys of the current days.
//!
//! There is one key per time zone and day, shared by the zone's sites (the site is part of the hash
//! input). At most two keys of a zone exist at once: today's, and for some seconds after midnight
//! yesterday's, for late hits.

mod state;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use jiff::tz::TimeZone;

use super::locked_key::{KeySource, LockedKey};
use crate::calendar::{DaySpan, GRACE_PERIOD, Millis, TimeSpan, ZoneId, ZoneTable};

/// If a key is this long past its day, the writer hangs and did not drop it.
const OVERDUE_AFTER: TimeSpan = TimeSpan::from_secs(60);

/// A day and its key. Dropping the last reference wipes the key.
pub struct DayKey {
    /// The day.
    pub span: Arc<DaySpan>,
    pub(super) secret: LockedKey,
}

/// The keys of the current days of all zones.
pub struct DayKeys {
    zones: Arc<ZoneTable>,
    /// By the zone's number; grows with the first hit of a zone.
    zone_keys: ArcSwap<Vec<Arc<ZoneKeys>>>,
    growth_lock: Mutex<()>,
    key_source: KeySource,
}

struct ZoneKeys {
    tz: TimeZone,
    today: ArcSwapOption<DayKey>,
    yesterday: ArcSwapOption<DayKey>,
    creation_lock: Mutex<()>,
}

impl ZoneKeys {
    fn new(tz: TimeZone) -> ZoneKeys {
        ZoneKeys {
            tz,
            today: ArcSwapOption::empty(),
            yesterday: ArcSwapOption::empty(),
            creation_lock: Mutex::new(()),
        }
    }
}

impl DayKeys {
    /// Without keys yet; `source` generates them.
    pub fn new(zones: Arc<ZoneTable>, source: KeySource) -> DayKeys {
        DayKeys {
            zones,
            zone_keys: ArcSwap::default(),
            growth_lock: Mutex::new(()),
            key_source: source,
        }
    }

    /// Like [`DayKeys::new`], with the system's random generator.
    pub fn with_system_random(zones: Arc<ZoneTable>) -> DayKeys {
        DayKeys::new(zones, super::locked_key::fill_system_random)
    }

    /// The day of `at` in the zone with its key, made on the day's first hit.
    pub fn get_or_create(&self, zone: ZoneId, at: Millis) -> Arc<DayKey> {
        let all = self.zone_keys.load();
        let grown;
        let keys = match all.get(usize::from(zone.0)) {
            Some(keys) => keys,
            None => {
                grown = self.add_zones(zone);
                &grown
            }
        };
        match &*keys.today.load() {
            Some(today) if today.span.contains(at) => return Arc::clone(today),
            _ => {}
        }

        let _one_at_a_time = keys
            .creation_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let today = keys.today.load_full();
        if let Some(today) = &today {
            // A clock set back by a day or more cannot restore a dropped key: such a hit counts
            // today.
            if today.span.contains(at) || at < today.span.start {
                let late = keys
                    .yesterday
                    .load_full()
                    .filter(|yesterday| yesterday.span.contains(at));
                return late.unwrap_or_else(|| Arc::clone(today));
            }
        }

        let span = Arc::new(DaySpan::from_instant(zone, &keys.tz, at));
        let next = Arc::new(DayKey {
            span,
            secret: LockedKey::new(self.key_source),
        });
        keys.yesterday.store(today);
        keys.today.store(Some(Arc::clone(&next)));
        next
    }

    /// Drops, and so wipes, the keys of days that are over.
    pub fn drop_expired(&self, now: Millis) {
        for keys in self.zone_keys.load().iter() {
            for slot in [&keys.yesterday, &keys.today] {
                let over = slot
                    .load()
                    .as_ref()
                    .is_some_and(|key| now >= key.span.end + GRACE_PERIOD);
                if over {
                    let _one_at_a_time = keys
                        .creation_lock
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner);
                    if slot
                        .load()
                        .as_ref()
                        .is_some_and(|key| now >= key.span.end + GRACE_PERIOD)
                    {
                        slot.store(None);
                    }
                }
            }
        }
    }

    /// Number of keys in memory that should have been dropped a minute ago.
    pub fn overdue_count(&self, now: Millis) -> usize {
        let overdue = |slot: &ArcSwapOption<DayKey>| {
            usize::from(
                slot.load()
                    .as_ref()
                    .is_some_and(|key| now >= key.span.end + GRACE_PERIOD + OVERDUE_AFTER),
            )
        };
        self.zone_keys
            .load()
            .iter()
            .map(|keys| overdue(&keys.today) + overdue(&keys.yesterday))
            .sum()
    }

    /// Number of keys in memory, to test that they are dropped.
    pub fn key_count(&self) -> usize {
        let alive = |slot: &ArcSwapOption<DayKey>| usize::from(slot.load().is_some());
        self.zone_keys
            .load()
            .iter()
            .map(|keys| alive(&keys.today) + alive(&keys.yesterday))
            .sum()
    }

    /// Extends the list to all zones up to this one.
    fn add_zones(&self, zone: ZoneId) -> Arc<ZoneKeys> {
        let _one_at_a_time = self
            .growth_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut keys = Vec::clone(&self.zone_keys.load());
        for number in keys.len()..=usize::from(zone.0) {
            let number = u16::try_from(number).expect("zones are numbered by 16 bits");
            keys.push(Arc::new(ZoneKeys::new(self.zones.get(ZoneId(number)))));
        }
        let asked = Arc::clone(&keys[usize::from(zone.0)]);
        self.zone_keys.store(Arc::new(keys));
        asked
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    const HOUR: Millis = 3_600_000;

    fn utc() -> Arc<ZoneTable> {
        let zones = Arc::new(ZoneTable::default());
        zones.intern_zone("UTC");
        zones
    }

    fn millis(text: &str) -> Millis {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn a_key_is_the_same_all_day_and_another_the_next_day_and_dies_within_a_minute() {
        let keys = DayKeys::with_system_random(utc());
        let noon = millis("2026-03-28T12:00:00Z");
        let first = keys.get_or_create(ZoneId(0), noon);
        assert!(Arc::ptr_eq(
            &first,
            &keys.get_or_create(ZoneId(0), noon + 11 * HOUR)
        ));
        let next = keys.get_or_create(ZoneId(0), noon + 12 * HOUR);
        assert_ne!(first.secret.as_bytes(), next.secret.as_bytes());
        assert!(
            Arc::ptr_eq(&first, &keys.get_or_create(ZoneId(0), noon)),
            "a late hit finds its day for some seconds"
        );
        assert_eq!(keys.key_count(), 2);
        assert_eq!(keys.overdue_count(first.span.end + 60_000), 0);
        assert_eq!(keys.overdue_count(first.span.end + 2 * 60_000), 1);
        assert_eq!(keys.overdue_count(next.span.end + 2 * 60_000), 2);
        keys.drop_expired(first.span.end + 60_000);
        assert_eq!(keys.key_count(), 1);
        keys.drop_expired(next.span.end + 60_000);
        assert_eq!(keys.key_count(), 0);
    }

    #[test]
    fn a_key_after_a_restart_is_another_key() {
        let noon = millis("2026-03-28T12:00:00Z");
        let key = || {
            *DayKeys::with_system_random(utc())
                .get_or_create(ZoneId(0), noon)
                .secret
                .as_bytes()
        };
        assert_ne!(key(), key());
    }
}
