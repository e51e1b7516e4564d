//! The schedule of requests: for each period, the requests of the visits that start in it. The same
//! seed gives the same requests.
//!
//! All hits of one browser at the same instant are sent in one body: 5 syncs per hour instead of
//! 20, so that ninety days take half a minute.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::creator_profile::{CreatorProfile, TrafficSource};
use super::creators::CREATORS;
use super::random::SeededRandom;
use super::request::{SimulatedRequest, VisitStart};
use super::traffic::{daily_factor, hourly_visits, surge_factor};
use super::visit::{PageContext, PlannedVisit};
use super::visitors::{
    CHOICE_WEIGHTS, CountryNetworks, SimulatedVisitor, VisitorChoice, counted_share,
};
use crate::calendar::{DateRange, Millis, TimeSpan};

pub(super) const MINUTE: TimeSpan = TimeSpan::from_secs(60);
pub(super) const HOUR: TimeSpan = TimeSpan::from_secs(3600);

/// The probability that a visit is another one of a visitor of the same day.
const RETURN_PROBABILITY: f64 = 0.09;
/// The minimum break before it; longer than the gap that ends a visit.
const MIN_RETURN_GAP: TimeSpan = TimeSpan::from_secs(40 * 60);

/// The requests of one browser at one instant, in order.
pub(super) type RequestChain = Vec<SimulatedRequest>;

pub(super) struct VisitSchedule {
    pub(super) seed: u64,
    pub(super) context: PageContext,
    pub(super) networks: CountryNetworks,
    pub(super) sites: Vec<DemoSite>,
}

/// A creator's days, and the visitors of the current day.
pub(super) struct DemoSite {
    zone: TimeZone,
    first: Date,
    last: Date,
    today: Date,
    visitors_today: Vec<(Arc<SimulatedVisitor>, Millis)>,
    /// The address and user agent of each visitor: two people with the same pair would be one
    /// visitor.
    taken_identities: HashSet<(IpAddr, &'static str)>,
}

impl DemoSite {
    /// `now` is in the last of `days` days.
    pub(super) fn new(zone: TimeZone, now: Millis, days: u16) -> DemoSite {
        let last = local_time(now, &zone).date();
        let first = last.saturating_sub(jiff::Span::new().days(i64::from(days) - 1));
        DemoSite {
            zone,
            first,
            last,
            today: first,
            visitors_today: Vec::new(),
            taken_identities: HashSet::new(),
        }
    }

    pub(super) fn start_millis(&self) -> Millis {
        self.first
            .to_zoned(self.zone.clone())
            .map_or(0, |midnight| midnight.timestamp().as_millisecond())
    }

    pub(super) fn day_range(&self) -> DateRange {
        DateRange {
            first: self.first,
            last: self.last,
        }
    }

    fn midnight_after(&self, date: Date) -> Millis {
        let next = date
            .tomorrow()
            .ok()
            .and_then(|next| next.to_zoned(self.zone.clone()).ok());
        next.map_or(Millis::MAX, |midnight| {
            midnight.timestamp().as_millisecond()
        })
    }

    /// The index of a visitor of today whose last request was long enough ago.
    fn pick_returning(&self, at: Millis, random: &mut SeededRandom) -> Option<usize> {
        if self.visitors_today.is_empty() || !random.random_bool(RETURN_PROBABILITY) {
            return None;
        }
        Some(random.random_index(self.visitors_today.len()))
            .filter(|place| self.visitors_today[*place].1 + MIN_RETURN_GAP <= at)
    }
}

impl VisitSchedule {
    /// The requests of the visits that start within `length` from `start`, with their instants.
    /// Past visits all start at the full hour, because nothing is reported in more detail than by
    /// hour.
    pub(super) fn plan_period(
        &mut self,
        start: Millis,
        length: TimeSpan,
    ) -> Vec<(Millis, RequestChain)> {
        let mut chains = Vec::new();
        for number in 0..self.sites.len() {
            self.plan_site(number, start, length, &mut chains);
        }
        chains
    }

    fn plan_site(
        &mut self,
        number: usize,
        start: Millis,
        length: TimeSpan,
        chains: &mut Vec<(Millis, RequestChain)>,
    ) {
        let (creator, site) = (&CREATORS[number], &mut self.sites[number]);

        let time = local_time(start, &site.zone);
        if time.date() < site.first {
            return;
        }

        if time.date() != site.today {
            site.today = time.date();
            site.visitors_today.clear();
            site.taken_identities.clear();
        }

        let mut random = SeededRandom::from_parts(&[
            self.seed,
            number as u64,
            start as u64,
            length.as_millis() as u64,
        ]);
        let before = (site.last - time.date()).get_days();
        let day = time
            .date()
            .to_zoned(TimeZone::UTC)
            .map_or(0, |day| day.timestamp().as_second());
        let luck = daily_factor(&mut SeededRandom::from_parts(&[
            self.seed,
            number as u64,
            day.unsigned_abs(),
        ]));
        let usual = hourly_visits(creator, &time, before) * luck * length.as_millis() as f64
            / HOUR.as_millis() as f64
            / counted_share();

        for _ in 0..random.poisson_count(usual) {
            let source = *random.pick_weighted(creator.sources);
            let landing = pick_landing(creator, &mut random);
            self.plan_visit(
                number,
                (start, length),
                (source, landing),
                &mut random,
                chains,
            );
        }

        for surge in creator.surges {
            for _ in 0..random.poisson_count(usual * surge_factor(surge, &time, before)) {
                self.plan_visit(
                    number,
                    (start, length),
                    (surge.source, surge.landing),
                    &mut random,
                    chains,
                );
            }
        }
    }

    fn plan_visit(
        &mut self,
        number: usize,
        (start, length): (Millis, TimeSpan),
        (source, landing): (TrafficSource, usize),
        random: &mut SeededRandom,
        chains: &mut Vec<(Millis, RequestChain)>,
    ) {
        let exact = length < HOUR;
        let at = if exact {
            start + random.random_index(length.as_millis() as usize) as Millis
        } else {
            start
        };
        let (person, begins) = self.pick_visitor(number, at, source, random);
        let (creator, stage) = (&CREATORS[number], &self.context);
        let visit = PlannedVisit {
            context: stage,
            creator,
            creator_index: number,
            visitor: Arc::clone(&person),
            source,
            landing,
            visit_start: begins,
            is_exact: exact,
        };
        let site = &mut self.sites[number];
        // A visit ends with the day; later requests would belong to another visit.
        let end = site.midnight_after(site.today);
        let requests = visit
            .build_requests(random)
            .into_iter()
            .map(|(after, request)| (at + after, request));
        let mut last = at;
        for (at, request) in requests.filter(|(at, _)| *at < end) {
            match chains.last_mut() {
                Some((moment, chain))
                    if *moment == at && Arc::ptr_eq(&chain[0].visitor, &person) =>
                {
                    let more = chain
                        .last_mut()
                        .expect("a chain is never empty")
                        .try_merge(request);
                    chain.extend(more);
                }
                _ => chains.push((at, vec![request])),
            }
            last = at;
        }
        match begins {
            // Visitors who saw the prompt in this visit may have withdrawn at its end.
            VisitStart::FirstOfDay if person.choice == VisitorChoice::ConsentedBefore => {
                site.visitors_today.push((person, last))
            }
            VisitStart::AnotherOfDay => {
                let again = site
                    .visitors_today
                    .iter_mut()
                    .find(|(known, _)| Arc::ptr_eq(known, &person));
                again.expect("who comes back was here").1 = last;
            }
            VisitStart::FirstOfDay | VisitStart::NotFirst => {}
        }
    }

    fn pick_visitor(
        &mut self,
        number: usize,
        at: Millis,
        source: TrafficSource,
        random: &mut SeededRandom,
    ) -> (Arc<SimulatedVisitor>, VisitStart) {
        let said = *random.pick_weighted(&CHOICE_WEIGHTS);

        let counted = matches!(
            said,
            VisitorChoice::ConsentedBefore | VisitorChoice::ConsentsNow
        );

        let site = &mut self.sites[number];
        if said == VisitorChoice::ConsentedBefore
            && let Some(place) = site.pick_returning(at, random)
        {
            return (
                Arc::clone(&site.visitors_today[place].0),
                VisitStart::AnotherOfDay,
            );
        }

        loop {
            let person = SimulatedVisitor::new(
                &CREATORS[number],
                source,
                said,
                &self.networks,
                &*self.context.sign,
                random,
            );
            if !counted {
                return (Arc::new(person), VisitStart::NotFirst);
            }
            if site
                .taken_identities
                .insert((person.address, person.agent.text))
            {
                return (Arc::new(person), VisitStart::FirstOfDay);
            }
        }
    }
}

fn pick_landing(creator: &CreatorProfile, random: &mut SeededRandom) -> usize {
    let pages: Vec<(usize, f64)> = creator
        .pages
        .iter()
        .enumerate()
        .map(|(at, page)| (at, page.landing))
        .collect();
    *random.pick_weighted(&pages)
}

fn local_time(at: Millis, zone: &TimeZone) -> Zoned {
    Timestamp::from_millisecond(at)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_zoned(zone.clone())
}

#[cfg(test)]
mod tests {
    use super::super::request::{RequestPurpose, SimulatedHitKind};
    use super::*;

    const NOW: Millis = 1_773_260_000_000; // 2026-03-11T20:13:20Z

    fn plan(seed: u64) -> VisitSchedule {
        let stage = PageContext {
            origin: "http://127.0.0.1:8080".into(),
            version: 1,
            tier: "analytics".into(),
            sign: Box::new(str::to_owned),
        };
        let sites = CREATORS
            .iter()
            .map(|_| DemoSite::new(TimeZone::get("Europe/Berlin").unwrap(), NOW, 2))
            .collect();
        VisitSchedule {
            seed,
            context: stage,
            networks: CountryNetworks::without_networks(),
            sites,
        }
    }

    /// All requests of two days, by instant.
    fn told(seed: u64) -> Vec<(Millis, RequestChain)> {
        let mut plan = plan(seed);
        let start = plan.sites[0].start_millis();
        let mut chains: Vec<_> = (0..48)
            .flat_map(|hour| plan.plan_period(start + hour * HOUR, HOUR))
            .collect();
        chains.sort_by_key(|(at, _)| *at);
        chains
    }

    fn bodies(chains: &[(Millis, RequestChain)]) -> Vec<(Millis, &str)> {
        let all = chains
            .iter()
            .flat_map(|(at, chain)| chain.iter().map(|request| (*at, request.body.as_str())));
        all.collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_bodies_at_the_same_moments() {
        let (first, again, other) = (told(1), told(1), told(2));
        assert!(bodies(&first).len() > 2000, "{}", bodies(&first).len());
        assert_eq!(bodies(&first), bodies(&again));
        assert_ne!(bodies(&first), bodies(&other));
    }

    #[test]
    fn nobody_comes_before_the_first_day_or_stays_past_midnight() {
        let mut plan = plan(1);
        let (first, midnight) = (
            plan.sites[0].start_millis(),
            plan.sites[0].start_millis() + 24 * HOUR,
        );
        assert!(plan.plan_period(first - HOUR, HOUR).is_empty());
        let late: Vec<_> = (0..30)
            .flat_map(|n| plan.plan_period(midnight - (30 - n) * MINUTE, MINUTE))
            .collect();
        assert!(
            late.len() > 50 && late.iter().all(|(at, _)| *at < midnight),
            "{}",
            late.len()
        );
    }

    #[test]
    fn a_visitor_begins_with_a_view_once_and_comes_back_after_the_gap() {
        let mut last: std::collections::HashMap<*const SimulatedVisitor, (Millis, u32)> =
            Default::default();
        let mut returned = 0;
        let chains = told(3);
        for (at, request) in chains
            .iter()
            .flat_map(|(at, chain)| chain.iter().map(move |request| (*at, request)))
        {
            let known = last.get(&Arc::as_ptr(&request.visitor)).copied();
            match request.visit_start {
                VisitStart::FirstOfDay => assert!(known.is_none_or(|(_, begun)| begun == 0)),
                VisitStart::AnotherOfDay => {
                    assert!(at > known.unwrap().0 + 30 * MINUTE);
                    returned += 1;
                }
                VisitStart::NotFirst => {
                    assert!(known.is_none_or(|(before, _)| at < before + 30 * MINUTE))
                }
            }
            let begun = known.map_or(0, |(_, begun)| begun)
                + u32::from(request.visit_start != VisitStart::NotFirst);
            last.insert(Arc::as_ptr(&request.visitor), (at, begun));
            let first = request
                .hit_kinds
                .iter()
                .find(|kind| **kind != SimulatedHitKind::Fault);
            assert!(
                request.visit_start == VisitStart::NotFirst
                    || first == Some(&SimulatedHitKind::View)
            );
        }
        assert!(returned > 50, "{returned}");
    }

    #[test]
    fn who_withdraws_was_asked_on_the_same_visit() {
        let mut granted = HashSet::new();
        for request in told(4).iter().flat_map(|(_, chain)| chain) {
            let person = Arc::as_ptr(&request.visitor);
            match request.purpose {
                RequestPurpose::Grant => assert!(granted.insert(person)),
                RequestPurpose::Withdraw => assert!(granted.remove(&person)),
                RequestPurpose::Refuse => assert!(!granted.contains(&person)),
                RequestPurpose::Hit => {}
            }
        }
        assert!(granted.len() > 50, "{}", granted.len());
    }
}
