//! The schedule of requests: for each period, the requests of the visits that start in it. The same
//! seed gives the same requests.
//!
//! What one browser sends at the same instant goes into one body: 5 syncs per hour instead of 20,
//! so that ninety days take half a minute.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::beacon::{Begins, Request};
use super::cast::CREATORS;
use super::creator::{Creator, Source};
use super::people::{Person, Places, SAYINGS, Said, counted_share};
use super::random::Random;
use super::rhythm::{lift, luck, ordinary};
use super::visit::{Stage, Visit};
use crate::event::Millis;

pub(super) const MINUTE: Millis = 60_000;
pub(super) const HOUR: Millis = 60 * MINUTE;

/// The probability that a visit is another one of a visitor of the same day.
const RETURNS: f64 = 0.09;
/// The minimum break before it; longer than the gap that ends a visit.
const AFTER: Millis = 40 * MINUTE;

/// The requests of one browser at one instant, in order.
pub(super) type Chain = Vec<Request>;

pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) stage: Stage,
    pub(super) places: Places,
    pub(super) sites: Vec<Site>,
}

/// A creator's days, and the visitors of the current day.
pub(super) struct Site {
    zone: TimeZone,
    first: Date,
    last: Date,
    today: Date,
    seen: Vec<(Arc<Person>, Millis)>,
    /// The address and user agent of each visitor: two people who share both would be one visitor.
    taken: HashSet<(IpAddr, &'static str)>,
}

impl Site {
    /// `now` is in the last of `days` days.
    pub(super) fn new(zone: TimeZone, now: Millis, days: u16) -> Site {
        let last = local(now, &zone).date();
        let first = last.saturating_sub(jiff::Span::new().days(i64::from(days) - 1));
        Site { zone, first, last, today: first, seen: Vec::new(), taken: HashSet::new() }
    }

    pub(super) fn begin(&self) -> Millis {
        self.first.to_zoned(self.zone.clone()).map_or(0, |midnight| midnight.timestamp().as_millisecond())
    }

    pub(super) fn days(&self) -> (Date, Date) {
        (self.first, self.last)
    }

    fn midnight_after(&self, date: Date) -> Millis {
        let next = date.tomorrow().ok().and_then(|next| next.to_zoned(self.zone.clone()).ok());
        next.map_or(Millis::MAX, |midnight| midnight.timestamp().as_millisecond())
    }

    /// The index of a visitor of today whose last request was long enough ago.
    fn again(&self, at: Millis, random: &mut Random) -> Option<usize> {
        if self.seen.is_empty() || !random.chance(RETURNS) {
            return None;
        }
        Some(random.below(self.seen.len())).filter(|place| self.seen[*place].1 + AFTER <= at)
    }
}

impl Plan {
    /// The requests of the visits that start within `length` from `start`, with their instants.
    /// Past visits all start at the full hour, because nothing is reported in more detail than by
    /// hour.
    pub(super) fn slot(&mut self, start: Millis, length: Millis) -> Vec<(Millis, Chain)> {
        let mut chains = Vec::new();
        for number in 0..self.sites.len() {
            self.site(number, start, length, &mut chains);
        }
        chains
    }

    fn site(&mut self, number: usize, start: Millis, length: Millis, chains: &mut Vec<(Millis, Chain)>) {
        let (creator, site) = (&CREATORS[number], &mut self.sites[number]);

        let time = local(start, &site.zone);
        if time.date() < site.first {
            return;
        }

        if time.date() != site.today {
            site.today = time.date();
            site.seen.clear();
            site.taken.clear();
        }

        let mut random = Random::of(&[self.seed, number as u64, start as u64, length as u64]);
        let before = (site.last - time.date()).get_days();
        let day = time.date().to_zoned(TimeZone::UTC).map_or(0, |day| day.timestamp().as_second());
        let luck = luck(&mut Random::of(&[self.seed, number as u64, day.unsigned_abs()]));
        let usual = ordinary(creator, &time, before) * luck * length as f64 / HOUR as f64 / counted_share();

        for _ in 0..random.count(usual) {
            let source = *random.pick(creator.sources);
            let landing = landing(creator, &mut random);
            self.visit(number, (start, length), (source, landing), &mut random, chains);
        }

        for surge in creator.surges {
            for _ in 0..random.count(usual * lift(surge, &time, before)) {
                self.visit(number, (start, length), (surge.source, surge.landing), &mut random, chains);
            }
        }
    }

    fn visit(
        &mut self,
        number: usize,
        (start, length): (Millis, Millis),
        (source, landing): (Source, usize),
        random: &mut Random,
        chains: &mut Vec<(Millis, Chain)>,
    ) {
        let exact = length < HOUR;
        let at = if exact { start + random.below(length as usize) as Millis } else { start };
        let (person, begins) = self.somebody(number, at, source, random);
        let (creator, stage) = (&CREATORS[number], &self.stage);
        let visit = Visit { stage, creator, number, person: Arc::clone(&person), source, landing, begins, exact };
        let site = &mut self.sites[number];
        // A visit ends with the day; later requests would belong to another visit.
        let end = site.midnight_after(site.today);
        let requests = visit.requests(random).into_iter().map(|(after, request)| (at + after, request));
        let mut last = at;
        for (at, request) in requests.filter(|(at, _)| *at < end) {
            match chains.last_mut() {
                Some((moment, chain)) if *moment == at && Arc::ptr_eq(&chain[0].person, &person) => {
                    let more = chain.last_mut().expect("a chain is never empty").take_in(request);
                    chain.extend(more);
                }
                _ => chains.push((at, vec![request])),
            }
            last = at;
        }
        match begins {
            // Visitors who were asked in this visit may have withdrawn at its end.
            Begins::VisitorsDay if person.said == Said::Yes => site.seen.push((person, last)),
            Begins::Visit => {
                let again = site.seen.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &person));
                again.expect("who comes back was here").1 = last;
            }
            Begins::VisitorsDay | Begins::Nothing => {}
        }
    }

    fn somebody(&mut self, number: usize, at: Millis, source: Source, random: &mut Random) -> (Arc<Person>, Begins) {
        let said = *random.pick(&SAYINGS);

        let counted = matches!(said, Said::Yes | Said::YesNow);

        let site = &mut self.sites[number];
        if said == Said::Yes
            && let Some(place) = site.again(at, random)
        {
            return (Arc::clone(&site.seen[place].0), Begins::Visit);
        }

        loop {
            let person = Person::new(&CREATORS[number], source, said, &self.places, &*self.stage.sign, random);
            if !counted {
                return (Arc::new(person), Begins::Nothing);
            }
            if site.taken.insert((person.address, person.agent.text)) {
                return (Arc::new(person), Begins::VisitorsDay);
            }
        }
    }
}

fn landing(creator: &Creator, random: &mut Random) -> usize {
    let pages: Vec<(usize, f64)> = creator.pages.iter().enumerate().map(|(at, page)| (at, page.landing)).collect();
    *random.pick(&pages)
}

fn local(at: Millis, zone: &TimeZone) -> Zoned {
    Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone.clone())
}

#[cfg(test)]
mod tests {
    use super::super::beacon::{Act, Kind};
    use super::*;

    const NOW: Millis = 1_773_260_000_000; // 2026-03-11T20:13:20Z

    fn plan(seed: u64) -> Plan {
        let stage = Stage {
            origin: "http://127.0.0.1:8080".into(),
            version: 1,
            tier: "analytics".into(),
            sign: Box::new(str::to_owned),
        };
        let sites = CREATORS.iter().map(|_| Site::new(TimeZone::get("Europe/Berlin").unwrap(), NOW, 2)).collect();
        Plan { seed, stage, places: Places::nowhere(), sites }
    }

    /// Everything of two days, by its moment.
    fn told(seed: u64) -> Vec<(Millis, Chain)> {
        let mut plan = plan(seed);
        let start = plan.sites[0].begin();
        let mut chains: Vec<_> = (0..48).flat_map(|hour| plan.slot(start + hour * HOUR, HOUR)).collect();
        chains.sort_by_key(|(at, _)| *at);
        chains
    }

    fn bodies(chains: &[(Millis, Chain)]) -> Vec<(Millis, &str)> {
        let all = chains.iter().flat_map(|(at, chain)| chain.iter().map(|request| (*at, request.body.as_str())));
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
        let (first, midnight) = (plan.sites[0].begin(), plan.sites[0].begin() + 24 * HOUR);
        assert!(plan.slot(first - HOUR, HOUR).is_empty());
        let late: Vec<_> = (0..30).flat_map(|n| plan.slot(midnight - (30 - n) * MINUTE, MINUTE)).collect();
        assert!(late.len() > 50 && late.iter().all(|(at, _)| *at < midnight), "{}", late.len());
    }

    #[test]
    fn a_visitor_begins_with_a_view_once_and_comes_back_after_the_gap() {
        let mut last: std::collections::HashMap<*const Person, (Millis, u32)> = Default::default();
        let mut returned = 0;
        let chains = told(3);
        for (at, request) in chains.iter().flat_map(|(at, chain)| chain.iter().map(move |request| (*at, request))) {
            let known = last.get(&Arc::as_ptr(&request.person)).copied();
            match request.begins {
                Begins::VisitorsDay => assert!(known.is_none_or(|(_, begun)| begun == 0)),
                Begins::Visit => {
                    assert!(at - known.unwrap().0 > 30 * MINUTE);
                    returned += 1;
                }
                Begins::Nothing => assert!(known.is_none_or(|(before, _)| at - before < 30 * MINUTE)),
            }
            let begun = known.map_or(0, |(_, begun)| begun) + u32::from(request.begins != Begins::Nothing);
            last.insert(Arc::as_ptr(&request.person), (at, begun));
            let first = request.holds.iter().find(|kind| **kind != Kind::Fault);
            assert!(request.begins == Begins::Nothing || first == Some(&Kind::View));
        }
        assert!(returned > 50, "{returned}");
    }

    #[test]
    fn who_withdraws_was_asked_on_the_same_visit() {
        let mut granted = HashSet::new();
        for request in told(4).iter().flat_map(|(_, chain)| chain) {
            let person = Arc::as_ptr(&request.person);
            match request.act {
                Act::Grant => assert!(granted.insert(person)),
                Act::Withdraw => assert!(granted.remove(&person)),
                Act::Refuse => assert!(!granted.contains(&person)),
                Act::Hit => {}
            }
        }
        assert!(granted.len() > 50, "{}", granted.len());
    }
}
