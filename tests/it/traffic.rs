//! Traffic plans: days on nine profiles, what arrives at the collector, and the truth about each
//! hit.
//!
//! Everything comes from a fixed seed. Ordinary people share moments (one for each half minute, at
//! an odd millisecond), so that a test may send the hits of one moment over several connections and
//! still know every order that matters, which is that of one visitor's hits. Cases that depend on
//! an exact millisecond have a moment of their own.

mod cases;
mod people;
mod request;
mod values;

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;

use people::{Dice, Person, Registry};
use request::{Act, Entry, Oddity, What, request};
pub use request::{Sent, Site};
use values::{EVENTS, LINKS, PAGES};

const BERLIN: &str = "Europe/Berlin";
const KOLKATA: &str = "Asia/Kolkata";
const NEW_YORK: &str = "America/New_York";

const fn site(name: &'static str, host: &'static str, zone: &'static str) -> Site {
    Site { name, host, zone }
}

impl Site {
    /// The name in the site's addresses: profiles of two platforms may share it.
    pub fn id(&self) -> String {
        format!("{}-{}", platform(self.host), self.name)
    }
}

/// The first label of a platform's host.
pub fn platform(host: &str) -> &str {
    host.split('.').next().unwrap_or(host)
}

/// One host, one rule, one zone; three profiles on each.
pub const SITES: [Site; 9] = [
    site("mia", "alllinks.example", BERLIN),
    site("noor", "alllinks.example", BERLIN),
    site("jonas", "alllinks.example", BERLIN),
    site("asha", "ally.example", KOLKATA),
    site("dev", "ally.example", KOLKATA),
    site("priya-r", "ally.example", KOLKATA),
    site("zoe", "openedlink.example", NEW_YORK),
    site("max", "openedlink.example", NEW_YORK),
    site("ivy_2", "openedlink.example", NEW_YORK),
];

pub struct Plan {
    pub first_day: Date,
    pub days: i32,
    /// How often someone comes to a site on a day; slightly fewer become visits of their own.
    pub walks: u64,
    /// The size of the population.
    pub people: u64,
    pub seed: u64,
    /// The number of first days on which the edge cases are played too.
    pub days_of_cases: i32,
}

impl Plan {
    /// Across the night of 29 March 2026, 23 hours long in Berlin.
    pub const SPRING: Plan = Plan {
        first_day: date(2026, 3, 27),
        days: 5,
        walks: 430,
        people: 2_600,
        seed: 1,
        days_of_cases: 5,
    };
    /// Across the night of 25 October 2026, 25 hours long in Berlin.
    pub const AUTUMN: Plan = Plan {
        first_day: date(2026, 10, 23),
        days: 5,
        walks: 40,
        people: 400,
        seed: 2,
        days_of_cases: 5,
    };
    /// Long enough for lots that never fill.
    pub const WEEKS: Plan = Plan {
        first_day: date(2026, 5, 4),
        days: 44,
        walks: 9,
        people: 300,
        seed: 3,
        days_of_cases: 1,
    };

    pub fn last_day(&self) -> Date {
        self.first_day
            .saturating_add(jiff::Span::new().days(self.days - 1))
    }
}

/// All requests in the order of time.
pub fn generate(plan: &Plan) -> Vec<Sent> {
    let mut dice = Dice::new(plan.seed);
    let mut registry = Registry::open();
    let people = population(plan.people, &mut registry, &mut dice);
    let mut town = Town {
        dice,
        registry,
        people,
        sent: Vec::new(),
    };
    for (n, site) in SITES.iter().enumerate() {
        for (nth, day) in (0..plan.days).zip(plan.first_day.series(jiff::Span::new().days(1))) {
            let (start, end) = (
                midnight(day, site),
                midnight(day.tomorrow().expect("not the last day"), site),
            );
            // Sites differ in size: on small ones, more values stay below k.
            for _ in 0..plan.walks * (13 - n as u64) / 9 {
                town.walk(site, start, end);
            }
            if nth < plan.days_of_cases {
                cases::play(&mut town, n, start, end);
            }
        }
    }
    town.sent.sort_by_key(|sent| sent.at);
    town.sent
}

pub fn midnight(day: Date, site: &Site) -> i64 {
    let zone = TimeZone::get(site.zone).expect("a zone of the bundled database");
    day.to_zoned(zone)
        .expect("a day has a beginning")
        .timestamp()
        .as_millisecond()
}

/// Most people have an address of their own. Some share one with another browser, some cannot be
/// distinguished from another.
fn population(size: u64, registry: &mut Registry, dice: &mut Dice) -> Vec<Person> {
    let mut people: Vec<Person> = Vec::new();
    for _ in 0..size {
        let mut person = registry.person(dice);
        if !people.is_empty() && dice.permille(200) {
            let neighbour = dice.pick(&people);
            person.address = neighbour.address.clone();
            person.country = neighbour.country.clone();
            if dice.permille(300) {
                person.agent = neighbour.agent;
            }
        }
        people.push(person);
    }
    people
}

const HALF_MINUTE: i64 = 30_000;

/// The moment in a half minute that ordinary people share. Two moments `n` apart differ by less
/// than 19 s from `n` half minutes.
fn moment(half_minute: i64) -> i64 {
    let odd = Dice::new(half_minute.cast_unsigned()).below(19_000);
    half_minute * HALF_MINUTE + odd.cast_signed()
}

struct Town {
    dice: Dice,
    registry: Registry,
    people: Vec<Person>,
    sent: Vec<Sent>,
}

impl Town {
    /// Someone comes, looks around, clicks, pauses, leaves. Whether that is one visit is not
    /// decided here.
    fn walk(&mut self, site: &'static Site, start: i64, end: i64) {
        let person = self.dice.pick(&self.people).clone();
        let mut now = start / HALF_MINUTE
            + self
                .dice
                .below((end - start).cast_unsigned() / 30_000)
                .cast_signed();
        let manners = self.manners();
        let mut page = self.dice.pick_front(&PAGES);
        let entry = Entry::arrival(&mut self.dice, site, &person);
        let view = self.act(site, page, What::View, entry);
        self.send(now, &person, vec![view], &manners);

        for _ in 0..self.dice.below(6) {
            now += self.pause();
            let entry = Entry::within(site, &person);
            let mut acts = Vec::new();
            let what = self.something();
            if matches!(what, What::View) {
                if self.dice.permille(250) {
                    let leave = What::Leave(self.dice.below(90_000));
                    acts.push(self.act(site, page, leave, entry.clone()));
                }
                page = self.dice.pick_front(&PAGES);
            }
            acts.push(self.act(site, page, what, entry.clone()));
            while acts.len() < 5 && self.dice.permille(120) {
                let more = self.something();
                acts.push(self.act(site, page, more, entry.clone()));
            }
            // A signal enabled for a moment, in the middle of a visit.
            let odd = if self.dice.permille(15) {
                self.dice.pick::<&[Oddity]>(cases::ODD)
            } else {
                manners.as_slice()
            };
            self.send(now, &person, acts, odd);
        }
    }

    /// What is unusual about all requests of a walk: mostly nothing, often something harmless,
    /// sometimes a reason to drop them.
    fn manners(&mut self) -> Vec<Oddity> {
        match self.dice.below(100) {
            0..8 => self.dice.pick::<&[Oddity]>(cases::ODD).to_vec(),
            8..24 => self.dice.pick::<&[Oddity]>(cases::HARMLESS).to_vec(),
            _ => Vec::new(),
        }
    }

    /// Half minutes until the next action: a few, or about as many as end a visit.
    fn pause(&mut self) -> i64 {
        let n = if self.dice.permille(35) {
            56 + self.dice.below(9)
        } else {
            self.dice.below(8)
        };
        n.cast_signed()
    }

    fn something(&mut self) -> What {
        match self.dice.below(100) {
            0..45 => What::View,
            45..65 => {
                let engaged = if self.dice.permille(800) {
                    Some(self.dice.below(60_000))
                } else {
                    None
                };
                What::Click(self.dice.pick_front(&LINKS), engaged)
            }
            65..80 => What::Event(self.dice.pick_front(&EVENTS)),
            _ => What::Leave(self.dice.below(120_000)),
        }
    }

    fn act(
        &mut self,
        site: &'static Site,
        page: &'static (&'static str, &'static str),
        what: What,
        entry: Entry,
    ) -> Act {
        let id = if self.dice.permille(900) {
            Some(self.id())
        } else {
            None
        };
        Act {
            site,
            page,
            what,
            entry,
            id,
            webdriver: false,
        }
    }

    /// 8, 16 or 32 hex digits.
    fn id(&mut self) -> String {
        match self.dice.below(8) {
            0 => format!("{:08x}", self.dice.roll() >> 32),
            1 => format!("{:016x}", self.dice.roll()),
            _ => format!("{:016x}{:016x}", self.dice.roll(), self.dice.roll()),
        }
    }

    /// Sends a request, and sometimes repeats it: soon enough to be recognised, or late enough to
    /// be forgotten. A `leave` is not repeated, because it is not defined whether one that found no
    /// visit is remembered.
    fn send(&mut self, half_minute: i64, person: &Person, acts: Vec<Act>, odd: &[Oddity]) {
        let sent = request(moment(half_minute), person, &acts, odd);
        if !acts.iter().any(|act| matches!(act.what, What::Leave(_))) {
            match self.dice.below(100) {
                0..3 => self
                    .sent
                    .push(sent.again(moment(half_minute + 1 + self.dice.below(3).cast_signed()))),
                3 => self
                    .sent
                    .push(sent.again(moment(half_minute + 7 + self.dice.below(3).cast_signed()))),
                _ => {}
            }
        }
        self.sent.push(sent);
    }
}
