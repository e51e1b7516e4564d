//! Edge cases, each played once a day on every site by people who appear nowhere else.

use super::people::Person;
use super::request::{Act, Entry, Oddity, Sent, What, request};
use super::values::{BOTS, EVENTS, LINKS, PAGES};
use super::{SITES, Site, Town};

const MINUTE: i64 = 60_000;
/// The gap that ends a visit.
const GAP: i64 = 30 * MINUTE;

use Oddity::{Agent, Cookie, Header, Host, NoCookie, Path, Webdriver};

const DNT: Oddity = Header("DNT", "1", Some("dnt"));
const GPC: Oddity = Header("Sec-GPC", "1", Some("gpc"));

/// Reasons to drop a hit, alone and combined.
pub const ODD: &[&[Oddity]] = &[
    &[DNT],
    &[Header("DNT", "1xyz", Some("dnt"))],
    &[GPC],
    &[Header("Sec-GPC", "0", None), GPC],
    &[NoCookie],
    &[Cookie("theme=dark", Some("no_consent"))],
    &[Cookie("ff_consent=VERSION.none", Some("no_consent"))],
    &[Cookie("ff_consent=1.analytics.GRANT", Some("no_consent"))],
    &[Cookie(
        "ff_consent=VERSION.preferences.GRANT",
        Some("no_consent"),
    )],
    &[Cookie("ff_consent=yes", Some("no_consent"))],
    &[Header("Sec-Purpose", "prefetch", Some("not_a_view"))],
    &[Header(
        "Sec-Purpose",
        "prefetch;prerender",
        Some("not_a_view"),
    )],
    &[Header("Purpose", "prefetch", Some("not_a_view"))],
    &[Header("X-Moz", "prefetch", Some("not_a_view"))],
    &[Agent(BOTS[0])],
    &[Agent(BOTS[1])],
    &[Agent(BOTS[2])],
    &[Agent(BOTS[3])],
    &[Webdriver],
    &[Header(
        "Origin",
        "https://evil.example",
        Some("unknown_site"),
    )],
    &[Header("Sec-Fetch-Site", "cross-site", Some("unknown_site"))],
    &[Host("unknown.example")],
    &[Path("/imprint")],
    &[Path("/u")],
    // The first reason in the order of the gate is counted.
    &[GPC, DNT],
    &[DNT, NoCookie],
    &[GPC, NoCookie],
    &[Header("DNT", "0", None), NoCookie],
    &[Agent(BOTS[0]), DNT, NoCookie],
    &[Webdriver, GPC],
    &[Header("Purpose", "prefetch", Some("not_a_view")), GPC],
    &[Host("unknown.example"), Agent(BOTS[1])],
    &[
        Header("Origin", "https://evil.example", Some("unknown_site")),
        GPC,
        DNT,
    ],
];

/// Requests that look like a reason to drop and are not.
pub const HARMLESS: &[&[Oddity]] = &[
    &[Header("DNT", "0", None)],
    &[Header("DNT", "0", None), Header("Sec-GPC", "0", None)],
    &[Header("Sec-GPC", "true", None)],
    &[Header("Sec-GPC", "0", None)],
    &[Cookie(
        "ff_consent=VERSION.preferences+analytics.GRANT; a=b",
        None,
    )],
    &[Cookie(
        "xff_consent=VERSION.none; ff_consent=VERSION.analytics.GRANT",
        None,
    )],
];

pub fn play(town: &mut Town, site: usize, start: i64, end: i64) {
    let neighbour = &SITES[site / 3 * 3 + (site + 1) % 3];
    let mut stage = Stage {
        town,
        site: &SITES[site],
        neighbour,
        start,
        end,
    };
    stage.gaps();
    stage.leaves();
    stage.midnight();
    stage.lone_hits();
    stage.repeated_ids();
    stage.bodies();
    stage.shared_addresses();
    stage.returning();
    stage.refused();
}

struct Stage<'a> {
    town: &'a mut Town,
    site: &'static Site,
    /// Another profile of the same host.
    neighbour: &'static Site,
    start: i64,
    end: i64,
}

impl Stage<'_> {
    fn somebody(&mut self) -> Person {
        self.town.registry.person(&mut self.town.dice)
    }

    /// A moment that leaves three hours on each side of the day.
    fn sometime(&mut self) -> i64 {
        let margin = 180 * MINUTE;
        let room = (self.end - self.start - 2 * margin).cast_unsigned();
        self.start + margin + self.town.dice.below(room).cast_signed()
    }

    /// No page of this list is `/rare`: that one is for visitors who only leave.
    fn act(&mut self, person: &Person, what: What) -> Act {
        let page = &PAGES[usize::try_from(self.town.dice.below(5)).expect("an index")];
        let entry = Entry::within(self.site, person);
        let id = Some(self.town.id());
        Act {
            site: self.site,
            page,
            what,
            entry,
            id,
            webdriver: false,
        }
    }

    fn view(&mut self, person: &Person) -> Act {
        self.act(person, What::View)
    }

    fn send(&mut self, at: i64, person: &Person, acts: &[Act]) -> Sent {
        self.send_odd(at, person, acts, &[])
    }

    fn send_odd(&mut self, at: i64, person: &Person, acts: &[Act], odd: &[Oddity]) -> Sent {
        let sent = request(at, person, acts, odd);
        self.town.sent.push(sent.clone());
        sent
    }

    /// A new visitor does these things, each this long after the first.
    fn sequence(&mut self, at: i64, steps: &[(i64, What)]) {
        let person = self.somebody();
        for (after, what) in steps {
            let act = self.act(&person, *what);
            self.send(at + after, &person, &[act]);
        }
    }

    fn gaps(&mut self) {
        for gap in [GAP - 1000, GAP - 1, GAP, GAP + 1] {
            let at = self.sometime();
            self.sequence(at, &[(0, What::View), (gap, What::View)]);
            let at = self.sometime();
            self.sequence(
                at,
                &[
                    (0, What::View),
                    (gap, What::Event(&EVENTS[1])),
                    (gap + 5_999, What::View),
                ],
            );
        }
    }

    fn leaves(&mut self) {
        let almost = GAP - 1000;
        let at = self.sometime();
        self.sequence(
            at,
            &[
                (0, What::View),
                (almost, What::Leave(1_500)),
                (2 * almost, What::View),
            ],
        );
        // Too late to continue the visit, and it opens none: it adds its seconds to the page and
        // nothing else.
        let at = self.sometime();
        self.sequence(
            at,
            &[
                (0, What::View),
                (GAP, What::Leave(7_000)),
                (GAP + MINUTE, What::View),
            ],
        );
        let at = self.sometime();
        self.sequence(at, &[(0, What::Leave(9_000)), (MINUTE, What::Leave(9_000))]);
        // Rounding, on a page the visit had not used.
        for ms in [0, 499, 500, 1_499, 1_500, 86_400_000] {
            let (at, person) = (self.sometime(), self.somebody());
            let view = self.view(&person);
            let leave = Act {
                page: &PAGES[13],
                ..self.act(&person, What::Leave(ms))
            };
            self.send(at, &person, &[view]);
            let leave = self.send(at + 20_000, &person, &[leave]);
            self.town.sent.push(leave.again(at + 40_000));
        }
    }

    fn midnight(&mut self) {
        let midnight = self.end;
        self.sequence(midnight - 1, &[(0, What::View), (1, What::View)]);
        self.sequence(
            midnight - 5_000,
            &[
                (0, What::View),
                (10_000, What::Leave(4_000)),
                (15_000, What::View),
            ],
        );
        let steps = [
            (0, What::Click(&LINKS[0], Some(2_500))),
            (1_999, What::View),
            (120_000, What::View),
        ];
        self.sequence(midnight - 60_000, &steps);
        // The same hit on both sides of midnight is one hit.
        let person = self.somebody();
        let view = self.view(&person);
        let sent = self.send(midnight - 30_000, &person, &[view]);
        self.town.sent.push(sent.again(midnight + 30_000));
    }

    fn lone_hits(&mut self) {
        let clicks = [
            What::Click(&LINKS[1], Some(2_499)),
            What::Click(&LINKS[2], None),
        ];
        for what in EVENTS.iter().map(What::Event).chain(clicks) {
            let at = self.sometime();
            self.sequence(at, &[(0, what)]);
        }
        let at = self.sometime();
        self.sequence(
            at,
            &[
                (0, What::Event(&EVENTS[1])),
                (2_000, What::View),
                (3_999, What::Event(&EVENTS[1])),
            ],
        );
        let at = self.sometime();
        self.sequence(
            at,
            &[
                (0, What::Event(&EVENTS[1])),
                (2_000, What::Event(&EVENTS[0])),
            ],
        );
    }

    fn repeated_ids(&mut self) {
        for age in [0, 1, 119_999, 180_001, 600_000] {
            let (at, person) = (self.sometime(), self.somebody());
            let acts = [self.view(&person)];
            let sent = self.send(at, &person, &acts);
            self.town.sent.push(sent.again(at + age));
        }
        // A repetition does not keep a visit open, nor does a dropped hit.
        let (at, person) = (self.sometime(), self.somebody());
        let (first, second) = (self.view(&person), self.view(&person));
        let sent = self.send(at, &person, &[first]);
        self.town.sent.push(sent.again(at + 100_000));
        self.send(at + GAP + 50_000, &person, &[second]);
        // The same id is another hit on another site.
        let (at, person) = (self.sometime(), self.somebody());
        let here = self.view(&person);
        let there = Act {
            site: self.neighbour,
            ..here.clone()
        };
        self.send(at, &person, &[here]);
        self.send(at, &person, &[there]);
        // The id of a dropped hit is not remembered.
        let (at, person) = (self.sometime(), self.somebody());
        let view = self.view(&person);
        for odd in [&[DNT], &[GPC], &[NoCookie]] {
            self.send_odd(at, &person, std::slice::from_ref(&view), odd);
        }
        self.send(at + 30_000, &person, std::slice::from_ref(&view));
        // A dropped repetition counts as dropped.
        self.send_odd(at + 60_000, &person, &[view], &[DNT]);
    }

    fn bodies(&mut self) {
        let (at, person) = (self.sometime(), self.somebody());
        let view = self.view(&person);
        let click = self.act(&person, What::Click(&LINKS[3], Some(500)));
        self.send(at, &person, &[view.clone(), view.clone(), click]);

        let (at, person) = (self.sometime(), self.somebody());
        let twenty: Vec<Act> = (0..20)
            .map(|_| Act {
                id: None,
                ..self.view(&person)
            })
            .collect();
        self.send(at, &person, &twenty);

        // One body for two profiles, one of them automated.
        let (at, person) = (self.sometime(), self.somebody());
        let here = self.view(&person);
        let there = Act {
            site: self.neighbour,
            ..self.view(&person)
        };
        let automated = Act {
            webdriver: true,
            ..self.view(&person)
        };
        self.send(at, &person, &[here, automated, there]);
    }

    fn shared_addresses(&mut self) {
        let (at, one) = (self.sometime(), self.somebody());
        let mut other = self.somebody();
        other.address = one.address.clone();
        other.country = one.country.clone();
        for (n, person) in [one.clone(), other.clone()].iter().enumerate() {
            let view = self.view(person);
            self.send(at + n as i64 * 90_000, person, &[view]);
        }
        // The same browser on the same address is the same visitor, whatever the language and the
        // grant.
        other.agent = one.agent;
        let view = self.view(&other);
        self.send(at + 5 * MINUTE, &other, &[view]);
    }

    /// Two visits of a day with different sources: the visitor is counted under the first.
    fn returning(&mut self) {
        let (at, mut person) = (self.sometime(), self.somebody());
        person.agent = &super::values::AGENTS[1];
        for (n, source) in [1, 2, 1].into_iter().enumerate() {
            let view = Act {
                page: &PAGES[4],
                entry: Entry::from_referrer(source),
                ..self.view(&person)
            };
            self.send(at + n as i64 * 40 * MINUTE, &person, &[view]);
        }
    }

    fn refused(&mut self) {
        for odd in ODD {
            let (at, person) = (self.sometime(), self.somebody());
            let acts = [
                self.view(&person),
                self.act(&person, What::Event(&EVENTS[0])),
            ];
            self.send_odd(at, &person, &acts, odd);
        }
        for odd in HARMLESS {
            let (at, person) = (self.sometime(), self.somebody());
            let view = self.view(&person);
            self.send_odd(at, &person, &[view], odd);
        }
        // A dropped hit does not keep a visit open.
        let (at, person) = (self.sometime(), self.somebody());
        for (after, odd) in [(0, &[][..]), (GAP - MINUTE, &[DNT][..]), (GAP, &[][..])] {
            let view = self.view(&person);
            self.send_odd(at + after, &person, &[view], odd);
        }
    }
}
