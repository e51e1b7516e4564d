//! The keys of the current days, for the process that takes over. They go from memory to memory.

use std::sync::Arc;

use super::{DayKey, DayKeys, LockedKey};
use crate::calendar::DaySpan;
use crate::state_codec::{StateError, StateReader, StateWriter};

/// A zone's name and its length, start and end of the day, the key.
const MIN_KEY_BYTES: usize = 8 + 8 + 8 + 32;

impl DayKeys {
    /// Writes all keys: of each zone yesterday's before today's. `out` must not lead to a disk.
    pub fn write_state(&self, out: &mut StateWriter<'_>) {
        let zones = self.zone_keys.load();
        let slots = zones.iter().flat_map(|zone| [&zone.yesterday, &zone.today]);
        let keys: Vec<Arc<DayKey>> = slots.filter_map(|slot| slot.load_full()).collect();
        out.put_count(keys.len());
        for key in &keys {
            out.put_text(&key.span.zone_name);
            out.put_i64(key.span.start);
            out.put_i64(key.span.end);
            out.put_bytes(key.secret.as_bytes());
        }
    }

    /// Reads the keys of the process before. To be called before the first hit.
    ///
    /// # Errors
    ///
    /// The state ends too early, or by this build's tz database a day is another span of time.
    pub fn read_state(&self, input: &mut StateReader<'_>) -> Result<(), StateError> {
        for _ in 0..input.read_count(MIN_KEY_BYTES)? {
            let (zone_name, start, end) =
                (input.read_text()?, input.read_i64()?, input.read_i64()?);
            let span = DaySpan::from_start(&self.zones, &zone_name, start);
            let span = span
                .filter(|span| span.end == end)
                .ok_or(StateError::Invalid(
                    "a day is another one in the tz database",
                ))?;
            let key = DayKey {
                secret: LockedKey::try_new(|key| input.read_into(key))?,
                span: Arc::new(span),
            };
            let zone = self.add_zones(key.span.zone);
            zone.yesterday.store(zone.today.swap(Some(Arc::new(key))));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::{ZoneId, ZoneTable};

    const NOON: i64 = 1_774_699_200_000;

    fn keys(zones: &[&str]) -> DayKeys {
        let table = Arc::new(ZoneTable::default());
        for zone in zones {
            table.intern_zone(zone);
        }
        DayKeys::with_system_random(table)
    }

    #[test]
    fn a_day_has_the_same_key_in_the_next_process_though_its_zone_has_another_number() {
        let before = keys(&["UTC", "Europe/Berlin"]);
        for (zone, at) in [(0, NOON), (1, NOON), (1, NOON + 86_400_000)] {
            before.get_or_create(ZoneId(zone), at);
        }
        let mut bytes = Vec::new();
        let mut out = StateWriter::new(&mut bytes);
        before.write_state(&mut out);
        out.finish().unwrap();

        let after = keys(&["Europe/Berlin"]);
        let (mut source, length) = (bytes.as_slice(), bytes.len() as u64);
        after
            .read_state(&mut StateReader::new(&mut source, length))
            .unwrap();
        assert_eq!(after.key_count(), 3);
        for (old, new, at) in [(0, 1, NOON), (1, 0, NOON), (1, 0, NOON + 86_400_000)] {
            let (old, new) = (
                before.get_or_create(ZoneId(old), at),
                after.get_or_create(ZoneId(new), at),
            );
            assert_eq!(old.secret.as_bytes(), new.secret.as_bytes());
            assert_eq!(
                (old.span.day, new.span.zone.0 == 0),
                (new.span.day, old.span.zone.0 == 1)
            );
        }
        assert_eq!(after.key_count(), 3);
    }

    #[test]
    fn a_day_that_does_not_begin_then_is_rejected() {
        let mut bytes = Vec::new();
        let mut out = StateWriter::new(&mut bytes);
        out.put_count(1);
        out.put_text("UTC");
        out.put_i64(NOON);
        out.put_i64(NOON + 86_400_000);
        out.put_bytes(&[7; 32]);
        out.finish().unwrap();
        let (mut source, length) = (bytes.as_slice(), bytes.len() as u64);
        let read = keys(&[]).read_state(&mut StateReader::new(&mut source, length));
        assert!(matches!(read, Err(StateError::Invalid(_))));
    }
}
