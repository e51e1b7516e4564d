//! A month of several creators, made once and attacked by all who need one: closed days, a day that
//! is watched while it is open, and a week more.

use crate::crowd::{Crowd, Person, count};
use crate::people::Dice;
use crate::stage::{DAY, FIRST, HOUR, Sent, Stage};

/// Days that are over when the watched one begins.
pub const CLOSED: usize = 28;
/// The rest of the week: what is published later must not tell of an earlier arrival either.
const AFTER: usize = 6;

/// Of a hundred visits; the demo's potter.
const HOURS: [u64; 24] = [
    1, 1, 0, 0, 0, 0, 1, 3, 4, 4, 4, 5, 6, 5, 5, 4, 5, 6, 7, 8, 9, 9, 7, 6,
];

pub struct Profile {
    pub name: String,
    pub per_day: u64,
    /// A page and nothing below it: whoever comes to the site comes to this page.
    pub one_page: bool,
}

impl Profile {
    pub fn page(&self) -> String {
        format!("/u/{}", self.name)
    }

    pub fn shop(&self) -> String {
        format!("/u/{}/shop", self.name)
    }

    /// Everything a visitor can touch, as filters name it.
    pub fn items(&self) -> Vec<(&'static str, String)> {
        let mut items = vec![
            ("page", self.page()),
            ("link", "video".to_owned()),
            ("event", "play".to_owned()),
        ];
        if !self.one_page {
            items.push(("page", self.shop()));
        }
        items
    }
}

/// One visitor's day: one visit, one body.
pub struct Arrival {
    pub site: usize,
    pub day: usize,
    pub at: i64,
    pub person: Person,
    /// Indexes of [`Profile::items`].
    pub touched: Vec<usize>,
    body: String,
}

impl Arrival {
    pub fn sent(&self) -> Sent<'_> {
        let Person {
            address,
            agent,
            language,
            ..
        } = &self.person;
        Sent {
            body: &self.body,
            address,
            agent: agent.header,
            language,
        }
    }
}

pub struct Month {
    pub stage: Stage,
    pub sites: Vec<Profile>,
    /// By time.
    pub arrivals: Vec<Arrival>,
    crowd: Crowd,
    pub dice: Dice,
}

impl Month {
    /// `sizes`: visitors a day, and how many creators have so many; every other one has one page
    /// only.
    pub fn new(sizes: &[(u64, usize)], seed: u64) -> Month {
        let mut sites = Vec::new();
        for (per_day, creators) in sizes {
            for n in 0..*creators {
                let letter = char::from(b'a' + u8::try_from(n).expect("few creators"));
                sites.push(Profile {
                    name: format!("m{per_day}{letter}"),
                    per_day: *per_day,
                    one_page: n % 2 == 1,
                });
            }
        }
        let mut dice = Dice::new(seed);
        let most = sizes.iter().map(|(per_day, _)| *per_day).max().unwrap_or(0);
        let crowd = Crowd::new(&mut dice, most);
        Month {
            stage: Stage::start(&[]),
            sites,
            arrivals: Vec::new(),
            crowd,
            dice,
        }
    }

    /// Sends the closed days; each is published when it is over.
    pub fn begin(&mut self) {
        (0..CLOSED).for_each(|day| self.pass(day));
    }

    /// Sends the days after the watched one.
    pub fn end(&mut self) {
        (CLOSED + 1..=CLOSED + AFTER).for_each(|day| self.pass(day));
    }

    fn pass(&mut self, day: usize) {
        let arrivals = self.plan(day);
        for hour in arrivals.chunk_by(|a, b| a.at / HOUR == b.at / HOUR) {
            let all: Vec<Sent<'_>> = hour.iter().map(Arrival::sent).collect();
            self.stage.send(hour[0].at, &all);
        }
        self.arrivals.extend(arrivals);
        self.stage.end(day);
    }

    /// Who comes on a day, by time.
    pub fn plan(&mut self, day: usize) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        for site in 0..self.sites.len() {
            self.crowd.new_day();
            let come = count(&mut self.dice, self.sites[site].per_day as f64);
            arrivals.extend((0..come).map(|_| self.arrival(site, day)));
        }
        arrivals.sort_by_key(|arrival| arrival.at);
        arrivals
    }

    fn arrival(&mut self, site: usize, day: usize) -> Arrival {
        let dice = &mut self.dice;
        let person = self.crowd.person(dice);
        let mut ticket = dice.below(HOURS.iter().sum());
        let hour = HOURS.iter().position(|weight| {
            let here = ticket < *weight;
            ticket = ticket.saturating_sub(*weight);
            here
        });
        let within = dice.below(HOUR.unsigned_abs()).cast_signed();
        let at = FIRST
            + DAY * day as i64
            + HOUR * hour.expect("a ticket of these hours") as i64
            + within;

        let profile = &self.sites[site];
        let items = profile.items();
        let mut touched = Vec::new();
        match dice.below(20) {
            _ if profile.one_page => touched.push(0),
            0..3 => touched.push(3),
            3..8 => touched.extend([0, 3]),
            _ => touched.push(0),
        }
        touched.extend((dice.below(9) == 0).then_some(1));
        touched.extend((dice.below(7) == 0).then_some(2));

        let landing = items[touched[0]].1.clone();
        let beacon = |item: &usize| match &items[*item] {
            ("page", path) => person.beacon("view", path, None),
            (kind, name) => person.beacon(
                if *kind == "link" { "click" } else { kind },
                &landing,
                Some(name),
            ),
        };
        let body =
            serde_json::Value::from(touched.iter().map(beacon).collect::<Vec<_>>()).to_string();
        Arrival {
            site,
            day,
            at,
            person,
            touched,
            body,
        }
    }
}
