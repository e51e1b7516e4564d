//! The state of the current days, for the process that takes over.

use super::{Aggregator, DayStates, DuplicateFilter, OverflowCounts, RowBatch};
use crate::aggregate::AggregatorLimits;
use crate::calendar::ZoneTable;
use crate::state_codec::{StateError, StateReader, StateWriter};

impl Aggregator {
    /// Writes the state: visitors, visits, texts, hit ids. The open batch must be empty: its rows
    /// belong to this process's segment.
    pub fn write_state(&self, out: &mut StateWriter<'_>) {
        debug_assert!(self.batch.is_empty(), "a batch is committed first");
        let OverflowCounts {
            visitors,
            grants,
            texts: _,
            sites,
            new_sites,
            ids: _,
        } = self.overflow;
        for count in [
            visitors,
            grants,
            sites,
            new_sites,
            self.closed_text_overflow,
        ] {
            out.put_u64(count);
        }
        self.duplicates.write_state(out);
        self.day_states.write_state(out);
    }

    /// Reads the state of the process before. What is beyond `limits` stays; nothing is added to it.
    ///
    /// # Errors
    ///
    /// The state ends too early, contradicts itself, or has a day that the tz database does not
    /// have.
    pub fn read_state(
        input: &mut StateReader<'_>,
        zones: &ZoneTable,
        limits: AggregatorLimits,
    ) -> Result<Aggregator, StateError> {
        let mut counts = [0; 5];
        for count in &mut counts {
            *count = input.read_u64()?;
        }
        let [visitors, grants, sites, new_sites, closed_text_overflow] = counts;
        Ok(Aggregator {
            duplicates: DuplicateFilter::read_state(input, limits.hit_ids)?,
            day_states: DayStates::read_state(input, zones, &limits)?,
            limits,
            batch: RowBatch::default(),
            segment: 1,
            overflow: OverflowCounts {
                visitors,
                grants,
                sites,
                new_sites,
                ..OverflowCounts::default()
            },
            closed_text_overflow,
        })
    }
}
