//! Visitors and visits, for the process that takes over.

use std::hash::BuildHasher;
use std::sync::Arc;

use super::{
    FIRST_OF_NETWORK, FIRST_OF_PLATFORM_NETWORK, GrantCounters, IN_WHEEL, INTERACTIVE, ItemVisit,
    LiveVisitors, NO_PAGE, NetworkSet, OPEN, VIEWED, VIEWED_AGAIN, VISITORS_PER_CHUNK, VisitLimits,
    VisitTable, VisitValues, VisitorState, expiry_minute,
};
use crate::calendar::DaySpan;
use crate::event::Subject;
use crate::pseudonym::StoredVisitorKey;
use crate::state_codec::{StateError, StateReader, StateWriter};

const VISITOR_BYTES: usize = 40;
const ITEM_BYTES: usize = 11;

/// The numbers that a table may refer to.
pub struct KnownNumbers {
    /// The day's sites.
    pub sites: usize,
    /// The day's texts.
    pub texts: usize,
}

impl KnownNumbers {
    fn has_text(&self, text: u32) -> bool {
        (text as usize) < self.texts
    }
}

impl VisitTable {
    /// Writes the visitors in the order of their slots. When visits end is not written: it follows
    /// from their last hit.
    pub fn write_state(&self, out: &mut StateWriter<'_>) {
        out.put_count(self.index.len());
        for state in self.slab.iter().flatten() {
            state.write_state(out);
        }
        out.put_count(self.item_visits.len());
        for visited in &self.item_visits {
            out.put_u32(visited.slot);
            out.put_u32(visited.item);
            out.put_bytes(&visited.visit_number.to_le_bytes());
            out.put_u8(visited.subject as u8);
        }
        self.networks.write_state(out);
        self.grants.write_state(out);
        self.live.write_state(out);
    }

    /// Reads the visitors of the process before. Those beyond the limits stay.
    ///
    /// # Errors
    ///
    /// The state ends too early or contradicts itself.
    pub fn read_state(
        input: &mut StateReader<'_>,
        span: Arc<DaySpan>,
        limits: VisitLimits,
        known: &KnownNumbers,
    ) -> Result<VisitTable, StateError> {
        let max_visitors_per_grant = limits.visitors_per_grant;
        let mut table = VisitTable::new(span, limits);
        let visitors = input.read_count(VISITOR_BYTES)?;
        table.visitor_budget.reserve_existing(visitors);
        for _ in 0..visitors {
            let state = VisitorState::read_state(input, known)?;
            table.insert_visitor(state)?;
        }

        let items = input.read_count(ITEM_BYTES)?;
        table.item_budget.reserve_existing(items);
        for _ in 0..items {
            let visited = ItemVisit {
                slot: input.read_u32()?,
                item: input.read_u32()?,
                visit_number: u16::from_le_bytes(input.read_array()?),
                subject: Subject::from_u8(input.read_u8()?)
                    .ok_or(StateError::Invalid("an item of no kind"))?,
            };
            if visited.slot as usize >= visitors || !known.has_text(visited.item) {
                return Err(StateError::Invalid("an item of no visitor"));
            }
            table.insert_item(visited);
        }

        table.networks = NetworkSet::read_state(input)?;
        table.grants = GrantCounters::read_state(input, max_visitors_per_grant)?;
        table.live = LiveVisitors::read_state(input, known.sites)?;
        Ok(table)
    }

    fn insert_item(&mut self, visited: ItemVisit) {
        let hash_state = &self.item_hash_state;
        let hash = hash_state.hash_one(visited.key());
        self.item_visits
            .insert_unique(hash, visited, |known| hash_state.hash_one(known.key()));
    }

    /// Adds a visitor in the next slot, and the end of its visit to the wheel.
    fn insert_visitor(&mut self, state: VisitorState) -> Result<(), StateError> {
        let slot = u32::try_from(self.index.len());
        let slot = slot.map_err(|_| StateError::Invalid("too many visitors"))?;
        let (hash, last, is_open) = (
            state.visitor.table_hash(),
            state.last,
            state.flags & OPEN != 0,
        );
        if (slot as usize).is_multiple_of(VISITORS_PER_CHUNK) {
            self.slab.push(Vec::with_capacity(VISITORS_PER_CHUNK));
        }
        let chunk = self.slab.last_mut();
        chunk
            .expect("a chunk was pushed for the first slot")
            .push(state);
        let slab = &self.slab;
        self.index.insert_unique(hash, slot, |&slot| {
            slab[slot as usize / VISITORS_PER_CHUNK][slot as usize % VISITORS_PER_CHUNK]
                .visitor
                .table_hash()
        });

        if is_open {
            self.state_mut(slot).flags |= IN_WHEEL;
            self.schedule_expiry(slot, expiry_minute(last, self.gap_millis));
        }
        Ok(())
    }
}

impl VisitorState {
    fn write_state(&self, out: &mut StateWriter<'_>) {
        self.visitor.write_state(out);
        let VisitValues {
            source,
            country,
            campaign,
        } = self.values;
        let numbers = [
            self.site,
            self.started,
            self.last,
            self.last_page,
            source,
            country,
            campaign,
        ];
        numbers.into_iter().for_each(|number| out.put_u32(number));
        out.put_bytes(&self.visit_number.to_le_bytes());
        out.put_u8(self.flags & !IN_WHEEL);
    }

    fn read_state(
        input: &mut StateReader<'_>,
        known: &KnownNumbers,
    ) -> Result<VisitorState, StateError> {
        const KNOWN_FLAGS: u8 = OPEN
            | INTERACTIVE
            | FIRST_OF_NETWORK
            | FIRST_OF_PLATFORM_NETWORK
            | VIEWED
            | VIEWED_AGAIN;
        let visitor = StoredVisitorKey::read_state(input)?;
        let mut numbers = [0; 7];
        for number in &mut numbers {
            *number = input.read_u32()?;
        }
        let [site, started, last, last_page, source, country, campaign] = numbers;
        let visit_number = u16::from_le_bytes(input.read_array()?);
        let flags = input.read_u8()?;

        let has_texts = [source, country, campaign]
            .into_iter()
            .chain((last_page != NO_PAGE).then_some(last_page))
            .all(|text| known.has_text(text));
        let is_valid = has_texts
            && (site as usize) < known.sites
            && started <= last
            && flags & !KNOWN_FLAGS == 0;
        if !is_valid {
            return Err(StateError::Invalid("a visitor that cannot be"));
        }
        Ok(VisitorState {
            visitor,
            site,
            started,
            last,
            last_page,
            values: VisitValues {
                source,
                country,
                campaign,
            },
            visit_number,
            flags,
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::budget::SharedBudget;
    use crate::calendar::{Millis, ZoneId};
    use crate::event::HitKind;
    use crate::pseudonym::Visitor;
    use crate::visits::{ClosedVisit, VisitHit, VisitLookup};

    const KNOWN: KnownNumbers = KnownNumbers {
        sites: 3,
        texts: 10,
    };

    fn span() -> Arc<DaySpan> {
        Arc::new(DaySpan::from_instant(ZoneId(0), &TimeZone::UTC, 0))
    }

    fn limits() -> VisitLimits {
        VisitLimits {
            gap_secs: 1800,
            visitor_budget: SharedBudget::new(6).new_share(),
            item_budget: SharedBudget::new(20).new_share(),
            visitors_per_grant: 2,
        }
    }

    fn written(table: &VisitTable) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut out = StateWriter::new(&mut bytes);
        table.write_state(&mut out);
        out.finish().unwrap();
        bytes
    }

    fn read(bytes: &[u8]) -> Result<VisitTable, StateError> {
        let (mut source, length) = (bytes, bytes.len() as u64);
        let mut input = StateReader::new(&mut source, length);
        let table = VisitTable::read_state(&mut input, span(), limits(), &KNOWN)?;
        input.finish()?;
        Ok(table)
    }

    /// One hit: who, minutes since the last one, whether it is a leave, the page.
    type Step = (u8, u8, bool, u8);

    fn record(table: &mut VisitTable, at: Millis, (who, _, leaves, page): Step) -> String {
        let network = u64::from(who / 2);
        let visitor = Visitor::for_tests(u128::from(who), network, Some(network));
        let hit = VisitHit {
            visitor: &visitor,
            site: u32::from(who % 3),
            at,
            kind: if leaves {
                HitKind::Leave
            } else {
                HitKind::View
            },
            interactive: page == 1,
            without_cookie: None,
            subject: if page > 7 {
                Subject::Link
            } else {
                Subject::Page
            },
            item: u32::from(page),
        };
        let values = VisitValues {
            source: 1,
            country: 2,
            campaign: 3,
        };
        match table.record_hit(&hit, || values) {
            VisitLookup::Found(update) => format!("{update:?}"),
            VisitLookup::NoVisitor => "no visitor".to_owned(),
            VisitLookup::LimitReached => "limit".to_owned(),
            VisitLookup::GrantLimitReached => "limit of the grant".to_owned(),
        }
    }

    fn closed(table: &mut VisitTable, at: Millis) -> Vec<String> {
        let mut visits = Vec::new();
        table.close_idle(at, 1000, |visit: ClosedVisit| {
            visits.push(format!("{visit:?}"))
        });
        visits.sort();
        visits
    }

    proptest! {
        #[test]
        fn a_table_that_was_written_and_read_counts_on_like_the_one_it_was(
            steps in prop::collection::vec((0_u8..12, 0_u8..20, any::<bool>(), 0_u8..10), 1..80),
            moved in 0_usize..80,
        ) {
            let (mut stays, mut moves) = (
                VisitTable::new(span(), limits()),
                VisitTable::new(span(), limits()),
            );
            let mut at = 0;
            for (number, step) in steps.into_iter().enumerate() {
                if number == moved {
                    moves = read(&written(&moves)).unwrap();
                }
                at += Millis::from(step.1) * 60_000;
                prop_assert_eq!(record(&mut stays, at, step), record(&mut moves, at, step));
                prop_assert_eq!(closed(&mut stays, at), closed(&mut moves, at));
                let live = |table: &VisitTable| [0, 1, 2].map(|site| table.live_visitors(site, at));
                prop_assert_eq!(live(&stays), live(&moves));
            }
            prop_assert_eq!(stays.visitor_count(), moves.visitor_count());
        }
    }

    #[test]
    fn a_state_with_any_byte_changed_or_missing_is_rejected_or_read_and_never_more() {
        let mut table = VisitTable::new(span(), limits());
        for who in 0..5 {
            record(&mut table, 60_000, (who, 0, false, who));
        }
        let whole = written(&table);
        assert!(read(&whole).is_ok());
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
        let mut rejected = 0;
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 0x80;
            match read(&changed) {
                Err(_) => rejected += 1,
                // Of another visitor or time, and nothing breaks by it.
                Ok(mut table) => {
                    for who in 0..6 {
                        record(&mut table, 40 * 60_000, (who, 0, false, who));
                    }
                    closed(&mut table, 80_000_000);
                }
            }
        }
        assert!(rejected > 50, "{rejected} of {}", whole.len());
    }
}
