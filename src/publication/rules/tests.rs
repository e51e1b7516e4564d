//! The rules of publication, case by case, and as properties of arbitrary counts.

use proptest::prelude::*;

use super::*;

const SITE: SiteId = SiteId::from_u128(7);

const K: u64 = 5;

fn rules(day: u16, occasion: ClosedPeriod, policy: &LotPolicy) -> PublicationRules<'_> {
    PublicationRules {
        policy,
        day: Day::from_number(day),
        period: occasion,
    }
}

fn source(value: &str) -> CellKey {
    CellKey::new(Subject::Site, "", Dimension::Source, value)
}

fn page(value: &str) -> CellKey {
    CellKey::new(Subject::Page, "/shop", Dimension::Source, value)
}

/// As many networks as visitors.
fn lot(visitors: u64) -> Lot {
    Lot {
        visitors,
        visits: visitors,
        networks: visitors,
    }
}

/// A site over several days, with its state as the store keeps it.
struct Site {
    policy: LotPolicy,
    cells: BTreeMap<CellKey, CellState>,
}

impl Site {
    /// With lots that leave nothing pending, to test the other rules alone.
    fn new() -> Site {
        Site {
            policy: LotPolicy::without_remainder(K, CoinKey::new([1; 32])),
            cells: BTreeMap::new(),
        }
    }

    fn with_remainders(seed: u8) -> Site {
        Site {
            policy: LotPolicy::new(K, CoinKey::new([seed; 32])),
            cells: BTreeMap::new(),
        }
    }

    fn over(
        &mut self,
        day: u16,
        occasion: ClosedPeriod,
        arrived: &[(CellKey, Lot)],
    ) -> Vec<(CellKey, u64)> {
        let cells = self.cells.values().cloned().collect();
        let outcome =
            rules(day, occasion, &self.policy).publish_lots(SITE, cells, arrived.to_vec());
        self.cells.extend(
            outcome
                .changed_cells
                .into_iter()
                .map(|cell| (cell.key.clone(), cell)),
        );
        outcome
            .lots
            .into_iter()
            .map(|released| (released.key, released.visitors))
            .collect()
    }

    fn day(&mut self, day: u16, arrived: &[(CellKey, Lot)]) -> Vec<(CellKey, u64)> {
        self.over(day, ClosedPeriod::Day, arrived)
    }

    fn pending(&self, key: &CellKey) -> u64 {
        self.cells.get(key).map_or(0, |cell| cell.pending.visitors)
    }
}

#[test]
fn a_lot_of_2k_is_published_and_one_under_k_waits_for_a_later_day() {
    let mut site = Site::new();
    let first = site.day(
        20_000,
        &[
            (source("Google"), lot(10)),
            (source("Bing"), lot(4)),
            (source("Direct"), lot(3)),
        ],
    );
    assert_eq!(first, [(source("Google"), 10)]);

    let second = site.day(
        20_001,
        &[(source("Bing"), lot(7)), (source("blog.example"), lot(2))],
    );
    assert_eq!(second, [(source("Bing"), 11)]);
    assert_eq!(
        ["Bing", "Direct", "blog.example"].map(|value| site.pending(&source(value))),
        [0, 3, 2]
    );
}

#[test]
fn between_k_and_2k_a_coin_decides_and_gives_the_same_for_the_same_day() {
    let outcome = |day| Site::new().day(day, &[(source("Google"), lot(7))]).len();
    let published: usize = (20_000..20_400).map(outcome).sum();
    assert!((160..240).contains(&published), "{published} of 400");
    assert_eq!(outcome(20_017), outcome(20_017));
}

#[test]
fn one_network_makes_no_lot_however_many_visitors_it_sends() {
    let mut site = Site::new();
    let forged = Lot {
        visitors: 50,
        visits: 50,
        networks: 1,
    };
    assert_eq!(site.day(20_000, &[(source("campaign"), forged)]), []);
}

#[test]
fn what_would_leave_one_to_k_minus_1_pending_keeps_the_smallest_lot_back() {
    let mut site = Site::new();
    let arrived = [
        (source("Google"), lot(20)),
        (source("Bing"), lot(12)),
        (source("Direct"), lot(1)),
    ];
    assert_eq!(site.day(20_000, &arrived), [(source("Google"), 20)]);
    assert_eq!(site.pending(&source("Bing")), 12);
}

#[test]
fn a_page_is_published_only_if_those_who_did_not_see_it_are_nobody_or_at_least_k() {
    let mut site = Site::new();
    let one_missing = site.day(
        20_000,
        &[(source("Google"), lot(20)), (page("Google"), lot(19))],
    );
    assert_eq!(one_missing, [(source("Google"), 20)]);

    let five_missing = site.day(
        20_001,
        &[(source("Google"), lot(14)), (page("Google"), lot(10))],
    );
    assert_eq!(five_missing, [(source("Google"), 14), (page("Google"), 29)]);

    let nobody_missing = site.day(
        20_002,
        &[(source("Google"), lot(14)), (page("Google"), lot(14))],
    );
    assert_eq!(
        nobody_missing,
        [(source("Google"), 14), (page("Google"), 14)]
    );
}

#[test]
fn a_lot_of_a_page_ends_only_where_one_of_its_site_ends() {
    let mut site = Site::new();
    // The page has enough after two days; the site's cell was published in between and has three
    // again.
    site.day(
        20_000,
        &[(source("Google"), lot(12)), (page("Google"), lot(11))],
    );
    site.day(20_001, &[(source("Google"), lot(4))]);
    assert_eq!(site.pending(&page("Google")), 11);
    assert_eq!(site.day(20_002, &[]), []);
}

#[test]
fn a_cell_that_waited_35_days_moves_to_other() {
    let mut site = Site::new();
    // 2024-10-07, a Monday.
    let monday = 20_003;
    site.day(monday, &[(source("blog.example"), lot(3))]);
    site.day(monday + 40, &[]);
    assert_eq!(site.pending(&source("blog.example")), 3);

    site.day(monday + 41, &[]);
    assert_eq!(
        [
            site.pending(&source("blog.example")),
            site.pending(&source(OTHER_VALUE))
        ],
        [0, 3]
    );
    assert_eq!(
        site.day(monday + 42, &[(source(OTHER_VALUE), lot(8))]),
        [(source(OTHER_VALUE), 11)]
    );
}

#[test]
fn a_lot_leaves_0_to_2k_minus_2_visitors_pending_and_publishes_at_least_k_visitors_and_k_networks()
{
    let mut left = [0_u32; 9];
    for seed in 0..=255 {
        let mut site = Site::with_remainders(seed);
        let twenty = Lot {
            visitors: 20,
            visits: 40,
            networks: 16,
        };
        let released = site.day(20_000, &[(source("Google"), twenty)]);

        let pending = site.cells[&source("Google")].pending;
        // With a single value, what stays pending must be 0 or at least k: 1 to 4 prevent the lot.
        if released.is_empty() {
            assert_eq!(pending, twenty);
            continue;
        }
        assert_eq!(released, [(source("Google"), 20 - pending.visitors)]);
        assert_eq!(pending.visits, 2 * pending.visitors);
        assert_eq!(
            pending.networks,
            16_u64.saturating_sub(20 - pending.visitors)
        );
        left[usize::try_from(pending.visitors).unwrap()] += 1;
    }
    assert_eq!(left[1..5], [0; 4]);
    assert!(
        [0, 5, 6, 7, 8]
            .iter()
            .all(|remainder| left[*remainder] > 10),
        "{left:?}"
    );
}

#[test]
fn a_lot_of_k_networks_is_published_whole() {
    for seed in 0..50 {
        let mut site = Site::with_remainders(seed);
        let shared = Lot {
            visitors: 40,
            visits: 40,
            networks: 5,
        };
        assert_eq!(
            site.day(20_000, &[(source("Google"), shared)]),
            [(source("Google"), 40)]
        );
    }
}

#[test]
fn a_page_that_the_same_visitors_saw_leaves_the_same_remainder_as_its_site() {
    for seed in 0..50 {
        let mut site = Site::with_remainders(seed);
        for day in 20_000..20_010 {
            let released = site.day(
                day,
                &[(source("Google"), lot(14)), (page("Google"), lot(14))],
            );
            let visitors: Vec<u64> = released.iter().map(|(_, visitors)| *visitors).collect();
            assert!(matches!(visitors[..], [] | [_, _]), "{visitors:?}");
            assert!(visitors.iter().all(|of| *of == visitors[0]), "{visitors:?}");
        }
    }
}

#[test]
fn no_cell_tells_its_day() {
    let mut site = Site::new();
    // 2024-10-10, a Thursday: the Monday before it is kept.
    site.day(20_006, &[(source("Google"), lot(2))]);
    assert_eq!(
        site.cells[&source("Google")].since,
        Day::from_number(20_003)
    );
}

#[test]
fn an_hour_publishes_busy_cells_only() {
    let mut site = Site::new();
    let hour = ClosedPeriod::Hour { open_lot: 50 };
    let arrived = [(source("Google"), lot(60)), (source("Bing"), lot(30))];
    assert_eq!(site.over(20_000, hour, &arrived), [(source("Google"), 60)]);
    assert_eq!(site.day(20_000, &[]), [(source("Bing"), 30)]);
}

const VALUES: [&str; 4] = ["Google", "Bing", "Direct", "blog.example"];

fn days() -> impl Strategy<Value = Vec<Vec<(u64, u64, u64)>>> {
    let cell = (0_u64..14, 0_u64..14, 0_u64..14);
    prop::collection::vec(prop::collection::vec(cell, VALUES.len()), 1..60)
}

/// A day's counts of the site and of its page, which only some of the site's visitors saw.
fn arrived(day: &[(u64, u64, u64)]) -> Vec<(CellKey, Lot)> {
    let cells = VALUES
        .iter()
        .zip(day)
        .flat_map(|(value, &(visitors, networks, seen))| {
            let networks = networks.min(visitors);
            let of_site = Lot {
                visitors,
                visits: visitors + 1,
                networks,
            };
            let seen = seen.min(visitors);
            let of_page = Lot {
                visitors: seen,
                visits: seen,
                networks: networks.min(seen),
            };
            [(source(value), of_site), (page(value), of_page)]
        });
    cells.filter(|(_, lot)| lot.visitors > 0).collect()
}

proptest! {
    #[test]
    fn published_and_pending_are_what_was_counted_and_no_lot_is_small(days in days()) {
        let mut site = Site::with_remainders(1);
        let (mut counted, mut published) = (0, 0);

        for (number, day) in (20_000..).zip(&days) {
            let arrived = arrived(day);
            counted += arrived.iter().map(|(_, lot)| lot.visitors).sum::<u64>();
            let released = site.day(number, &arrived);
            prop_assert!(released.iter().all(|(_, visitors)| *visitors >= 5));
            published += released.iter().map(|(_, visitors)| visitors).sum::<u64>();

            let pending: u64 = site.cells.values().map(|cell| cell.pending.visitors).sum();
            prop_assert_eq!(published + pending, counted);
        }
    }

    #[test]
    fn what_stays_pending_on_a_day_of_publication_is_nobody_or_at_least_k(days in days()) {
        let mut site = Site::with_remainders(1);

        for (number, day) in (20_000..).zip(&days) {
            let released = site.day(number, &arrived(day));
            for subject in [Subject::Site, Subject::Page] {
                let of = |key: &CellKey| key.subject == subject;
                let pending: u64 =
                    site.cells.values().filter(|cell| of(&cell.key)).map(|cell| cell.pending.visitors).sum();
                let any = released.iter().any(|(key, _)| of(key));
                prop_assert!(!any || pending == 0 || pending >= 5, "{subject:?} {pending}");
            }
        }
    }

    #[test]
    fn the_same_input_gives_the_same_outcome(day in prop::collection::vec((0_u64..14, 0_u64..14, 0_u64..14), VALUES.len())) {
        let policy = LotPolicy::new(K, CoinKey::new([9; 32]));
        let publish = || rules(20_000, ClosedPeriod::Day, &policy).publish_lots(SITE, Vec::new(), arrived(&day));
        prop_assert_eq!(publish(), publish());
    }
}
