//! The states of the current days, for the process that takes over.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashTable;

use super::{DayBudgets, DayState, DayStates, FORGOTTEN_SITE, RandomState, StringInterner};
use crate::aggregate::limits::AggregatorLimits;
use crate::calendar::{DaySpan, ZoneTable};
use crate::event::SiteId;
use crate::state_codec::{StateError, StateReader, StateWriter};
use crate::visits::{KnownNumbers, OpenerSet, VisitTable};

/// Name of the zone and its length, start of the day.
const MIN_DAY_BYTES: usize = 8 + 8;

impl DayStates {
    /// Writes all days. No batch may be open.
    pub(in crate::aggregate) fn write_state(&self, out: &mut StateWriter<'_>) {
        out.put_count(self.iter().count());
        for day in self.iter() {
            out.put_text(&day.span.zone_name);
            out.put_i64(day.span.start);
            day.write_state(out);
        }
    }

    /// Reads the days of the process before. Zones that are new here are added to `zones`.
    pub(in crate::aggregate) fn read_state(
        input: &mut StateReader<'_>,
        zones: &ZoneTable,
        limits: &AggregatorLimits,
    ) -> Result<DayStates, StateError> {
        let mut days = DayStates::new(limits);
        for _ in 0..input.read_count(MIN_DAY_BYTES)? {
            let (zone_name, start) = (input.read_text()?, input.read_i64()?);
            let span = DaySpan::from_start(zones, &zone_name, start).ok_or(StateError::Invalid(
                "a day is another one in the tz database",
            ))?;
            if days.get_day(&span).is_some() {
                return Err(StateError::Invalid("a day has two states"));
            }
            let day = DayState::read_state(input, Arc::new(span), limits, &days.budgets)?;
            days.insert_day(day);
        }
        Ok(days)
    }
}

impl DayState {
    fn write_state(&self, out: &mut StateWriter<'_>) {
        out.put_u32(self.zone_text);
        self.texts.write_state(out);
        out.put_count(self.sites.len());
        for site in &self.sites {
            out.put_bytes(&site.as_u128().to_le_bytes());
        }
        self.visits.write_state(out);
        self.openers.write_state(out);
    }

    fn read_state(
        input: &mut StateReader<'_>,
        span: Arc<DaySpan>,
        limits: &AggregatorLimits,
        room: &DayBudgets,
    ) -> Result<DayState, StateError> {
        let zone_text = input.read_u32()?;
        let texts =
            StringInterner::read_state(input, room.texts.new_share(), room.text_bytes.new_share())?;
        if zone_text as usize >= texts.text_count() {
            return Err(StateError::Invalid("a day without the name of its zone"));
        }
        let site_count = input.read_count(16)?;
        let mut sites = Vec::with_capacity(site_count);
        for _ in 0..site_count {
            sites.push(SiteId::from_u128(u128::from_le_bytes(input.read_array()?)));
        }

        let known = KnownNumbers {
            sites: site_count,
            texts: texts.text_count(),
        };
        let mut day = DayState {
            visits: VisitTable::read_state(
                input,
                Arc::clone(&span),
                room.visit_limits(limits),
                &known,
            )?,
            openers: OpenerSet::read_state(input, room.visitors.new_share())?,
            span,
            texts,
            zone_text,
            site_numbers: HashTable::with_capacity(site_count),
            sites,
            site_hash_state: RandomState::default(),
            site_budget: room.sites.new_share(),
        };
        day.number_sites();
        Ok(day)
    }

    /// Rebuilds the index of the sites. A forgotten site keeps its number and its share of the
    /// limit, and is not found.
    fn number_sites(&mut self) {
        let (sites, state) = (&self.sites, &self.site_hash_state);
        let hash = |number: &u32| state.hash_one(sites[*number as usize]);
        for (number, site) in (0..).zip(sites) {
            if *site != FORGOTTEN_SITE {
                self.site_numbers.insert_unique(hash(&number), number, hash);
            }
        }
        let overflow = SiteId::overflow_site();
        let limited = sites.iter().filter(|site| **site != overflow).count();
        self.site_budget.reserve_existing(limited);
    }
}
