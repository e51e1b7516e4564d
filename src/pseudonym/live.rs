//! Counts the visitors of a site who did something in the last five minutes: one counter per minute
//! of a visitor's last hit, without any reference to visitors.

/// Minutes that count as now, including the current one.
const NOW: u32 = 5;
const KEPT: usize = 8;

#[derive(Clone, Copy)]
struct Ring {
    /// Visitors by the minute of their last hit, at that minute modulo the length.
    minutes: [u32; KEPT],
    newest: u32,
}

/// By the site's number within its day.
#[derive(Default)]
pub(super) struct Live(Vec<Ring>);

impl Live {
    /// Records a hit of a visitor. `before` is the minute of their last hit, if they had one today.
    pub(super) fn seen(&mut self, site: u32, before: Option<u32>, minute: u32) {
        let place = site as usize;
        if self.0.len() <= place {
            self.0.resize(place + 1, Ring { minutes: [0; KEPT], newest: 0 });
        }
        let ring = &mut self.0[place];
        ring.advance(minute);
        if let Some(before) = before
            && ring.newest - before.min(ring.newest) < KEPT as u32
        {
            let last = &mut ring.minutes[before as usize % KEPT];
            *last = last.saturating_sub(1);
        }
        // A late hit counts as of now.
        ring.minutes[ring.newest as usize % KEPT] += 1;
    }

    pub(super) fn now(&self, site: u32, minute: u32) -> u32 {
        let Some(ring) = self.0.get(site as usize) else { return 0 };
        let recent = (0..NOW).filter_map(|ago| minute.checked_sub(ago));
        let held = recent.filter(|at| *at <= ring.newest && ring.newest - at < KEPT as u32);
        held.map(|at| ring.minutes[at as usize % KEPT]).sum()
    }
}

impl Ring {
    fn advance(&mut self, minute: u32) {
        if minute <= self.newest {
            return;
        }
        for at in (self.newest + 1..=minute).take(KEPT) {
            self.minutes[at as usize % KEPT] = 0;
        }
        if minute - self.newest > KEPT as u32 {
            self.minutes = [0; KEPT];
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
        let mut live = Live::default();
        live.seen(0, None, 10);
        live.seen(3, None, 11);
        assert_eq!([10, 14, 15].map(|minute| live.now(0, minute)), [1, 1, 0]);
        live.seen(0, Some(10), 13);
        assert_eq!([13, 17, 18].map(|minute| live.now(0, minute)), [1, 1, 0]);
        assert_eq!([live.now(3, 11), live.now(1, 11), live.now(9, 11)], [1, 0, 0]);
    }

    proptest! {
        #[test]
        fn it_is_the_number_of_visitors_whose_last_hit_is_recent(hits in prop::collection::vec((0_usize..6, 0_u32..4), 1..200)) {
            let mut live = Live::default();
            let (mut last, mut minute) = ([None; 6], 0);
            for (who, passed) in hits {
                minute += passed * passed;
                live.seen(0, last[who], minute);
                last[who] = Some(minute);
                let recent = last.iter().flatten().filter(|at| minute - **at < NOW).count();
                prop_assert_eq!(live.now(0, minute) as usize, recent);
            }
        }
    }
}
