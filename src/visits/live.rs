//! Counts the visitors of a site who did something in the last five minutes: one counter per minute
//! of a visitor's last hit, without any reference to visitors.

use crate::state_codec::{StateError, StateReader, StateWriter};

/// Number of minutes that count as live, including the current one.
const LIVE_MINUTES: u32 = 5;
const RING_MINUTES: usize = 8;

#[derive(Clone, Copy)]
struct MinuteRing {
    /// Visitors by the minute of their last hit, at that minute modulo the length.
    minutes: [u32; RING_MINUTES],
    newest: u32,
}

const SITES_PER_CHUNK: usize = 256;

/// By the site's number within its day. In chunks, so that nothing is copied when it grows.
#[derive(Default)]
pub(super) struct LiveVisitors(Vec<Box<[MinuteRing; SITES_PER_CHUNK]>>);

impl LiveVisitors {
    /// Records a hit of a visitor. `before` is the minute of their last hit, if they had one today.
    pub(super) fn record_hit(&mut self, site: u32, before: Option<u32>, minute: u32) {
        let ring = self.ring_mut(site as usize);
        ring.advance_to(minute);
        if let Some(before) = before
            && ring.newest - before.min(ring.newest) < RING_MINUTES as u32
        {
            let last = &mut ring.minutes[before as usize % RING_MINUTES];
            *last = last.saturating_sub(1);
        }
        // A late hit counts as of now.
        ring.minutes[ring.newest as usize % RING_MINUTES] += 1;
    }

    /// Writes the sites that had a visitor.
    pub(super) fn write_state(&self, out: &mut StateWriter<'_>) {
        let rings = || self.0.iter().flat_map(|chunk| chunk.iter()).zip(0_u32..);
        let used = || rings().filter(|(ring, _)| ring.newest > 0);
        out.put_count(used().count());
        for (ring, site) in used() {
            out.put_u32(site);
            out.put_u32(ring.newest);
            ring.minutes.iter().for_each(|count| out.put_u32(*count));
        }
    }

    /// Reads the counters of a day with this number of sites.
    pub(super) fn read_state(
        input: &mut StateReader<'_>,
        sites: usize,
    ) -> Result<LiveVisitors, StateError> {
        let mut live = LiveVisitors::default();
        for _ in 0..input.read_count(8 + 4 * RING_MINUTES)? {
            let site = input.read_u32()? as usize;
            if site >= sites {
                return Err(StateError::Invalid("live visitors of an unknown site"));
            }
            let ring = live.ring_mut(site);
            ring.newest = input.read_u32()?;
            for count in &mut ring.minutes {
                *count = input.read_u32()?;
            }
        }
        Ok(live)
    }

    fn ring_mut(&mut self, place: usize) -> &mut MinuteRing {
        let chunk = place / SITES_PER_CHUNK;
        if self.0.len() <= chunk {
            const EMPTY: MinuteRing = MinuteRing {
                minutes: [0; RING_MINUTES],
                newest: 0,
            };
            self.0
                .resize_with(chunk + 1, || Box::new([EMPTY; SITES_PER_CHUNK]));
        }
        &mut self.0[chunk][place % SITES_PER_CHUNK]
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<usize>()
            + self.0.len() * SITES_PER_CHUNK * size_of::<MinuteRing>()
    }

    pub(super) fn live_count(&self, site: u32, minute: u32) -> u32 {
        let place = site as usize;
        let Some(chunk) = self.0.get(place / SITES_PER_CHUNK) else {
            return 0;
        };
        let ring = &chunk[place % SITES_PER_CHUNK];
        let recent = (0..LIVE_MINUTES).filter_map(|ago| minute.checked_sub(ago));
        let held = recent.filter(|at| *at <= ring.newest && ring.newest - at < RING_MINUTES as u32);
        held.map(|at| ring.minutes[at as usize % RING_MINUTES])
            .sum()
    }
}

impl MinuteRing {
    fn advance_to(&mut self, minute: u32) {
        if minute <= self.newest {
            return;
        }
        for at in (self.newest + 1..=minute).take(RING_MINUTES) {
            self.minutes[at as usize % RING_MINUTES] = 0;
        }
        if minute - self.newest > RING_MINUTES as u32 {
            self.minutes = [0; RING_MINUTES];
        }
        self.newest = minute;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_visitor_is_here_for_five_minutes_after_the_last_hit() {
        let mut live = LiveVisitors::default();
        live.record_hit(0, None, 10);
        live.record_hit(3, None, 11);
        assert_eq!(
            [10, 14, 15].map(|minute| live.live_count(0, minute)),
            [1, 1, 0]
        );
        live.record_hit(0, Some(10), 13);
        assert_eq!(
            [13, 17, 18].map(|minute| live.live_count(0, minute)),
            [1, 1, 0]
        );
        assert_eq!(
            [
                live.live_count(3, 11),
                live.live_count(1, 11),
                live.live_count(9, 11)
            ],
            [1, 0, 0]
        );
    }

    proptest! {
        #[test]
        fn it_is_the_number_of_visitors_whose_last_hit_is_recent(hits in prop::collection::vec((0_usize..6, 0_u32..4), 1..200)) {
            let mut live = LiveVisitors::default();
            let (mut last, mut minute) = ([None; 6], 0);
            for (who, passed) in hits {
                minute += passed * passed;
                live.record_hit(0, last[who], minute);
                last[who] = Some(minute);
                let recent = last.iter().flatten().filter(|at| minute - **at < LIVE_MINUTES).count();
                prop_assert_eq!(live.live_count(0, minute) as usize, recent);
            }
        }
    }
}
