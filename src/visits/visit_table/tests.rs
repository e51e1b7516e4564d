use jiff::tz::TimeZone;

use super::*;
use crate::budget::SharedBudget;
use crate::calendar::ZoneId;

const MINUTE_MILLIS: Millis = 60_000;
const VALUES: VisitValues = VisitValues {
    source: 1,
    country: 2,
    campaign: 3,
};

fn visits(visitors: usize, touched: usize) -> VisitTable {
    let span = Arc::new(DaySpan::from_instant(ZoneId(0), &TimeZone::UTC, 0));
    VisitTable::new(
        span,
        VisitLimits {
            gap_secs: 1800,
            visitor_budget: SharedBudget::new(visitors).new_share(),
            item_budget: SharedBudget::new(touched).new_share(),
            visitors_per_grant: 10,
        },
    )
}

fn touch(visitor: &Visitor, at: Millis, kind: HitKind, item: u32) -> VisitHit<'_> {
    let interactive = kind == HitKind::Click;
    VisitHit {
        visitor,
        site: 0,
        at,
        kind,
        interactive,
        without_cookie: None,
        subject: Subject::Page,
        item,
    }
}

fn held(
    visits: &mut VisitTable,
    visitor: &Visitor,
    at: Millis,
    kind: HitKind,
    item: u32,
) -> VisitLookup {
    visits.record_hit(&touch(visitor, at, kind, item), || VALUES)
}

fn seen(
    visits: &mut VisitTable,
    visitor: u128,
    at: Millis,
    kind: HitKind,
    item: u32,
) -> Option<VisitUpdate> {
    let network = visitor as u64;
    match held(
        visits,
        &Visitor::for_tests(visitor, network, Some(network)),
        at,
        kind,
        item,
    ) {
        VisitLookup::Found(seen) => Some(seen),
        _ => None,
    }
}

#[test]
fn a_gap_of_29_59_continues_a_visit_and_one_of_30_00_starts_another() {
    let mut visits = visits(10, 10);
    assert!(seen(&mut visits, 1, 0, HitKind::View, 7).unwrap().new_visit);
    assert!(
        !seen(&mut visits, 1, 30 * MINUTE_MILLIS - 1, HitKind::View, 7)
            .unwrap()
            .new_visit
    );
    let next = seen(&mut visits, 1, 60 * MINUTE_MILLIS - 1, HitKind::View, 7).unwrap();
    assert!(next.new_visit && !next.new_visitor);
    assert!(next.item_new_in_visit && !next.item_new_visitor);
    let closed = ClosedVisit {
        site: 0,
        started: 0,
        seconds: 1799,
        bounced: false,
        last_page: Some(7),
    };
    assert_eq!(next.closed_visit, Some(closed));
}

#[test]
fn a_visit_closes_once_it_has_been_idle_for_the_gap_and_only_once() {
    let mut visits = visits(10, 10);
    seen(&mut visits, 1, 0, HitKind::View, 7);
    seen(&mut visits, 2, 0, HitKind::Click, 8);
    seen(&mut visits, 1, 20 * MINUTE_MILLIS, HitKind::View, 9);
    let mut closed = Vec::new();
    assert!(!visits.close_idle(30 * MINUTE_MILLIS - 1, 100, |visit| closed.push(visit)));
    assert_eq!(closed, []);
    visits.close_idle(30 * MINUTE_MILLIS, 100, |visit| closed.push(visit));
    assert_eq!(
        closed,
        [ClosedVisit {
            site: 0,
            started: 0,
            seconds: 0,
            bounced: false,
            last_page: None
        }]
    );
    visits.close_idle(50 * MINUTE_MILLIS, 100, |visit| closed.push(visit));
    assert_eq!(
        closed[1],
        ClosedVisit {
            site: 0,
            started: 0,
            seconds: 1200,
            bounced: false,
            last_page: Some(9)
        }
    );
    visits.close_idle(500 * MINUTE_MILLIS, 100, |visit| closed.push(visit));
    visits.close_all(100, |visit| closed.push(visit));
    assert_eq!(closed.len(), 2);
}

#[test]
fn a_leave_extends_a_visit_and_starts_none() {
    let mut visits = visits(10, 10);
    assert_eq!(seen(&mut visits, 1, 0, HitKind::Leave, 7), None);
    assert_eq!(visits.visitor_count(), 0);
    assert!(
        seen(&mut visits, 1, 0, HitKind::View, 7)
            .unwrap()
            .new_visitor
    );
    assert!(seen(&mut visits, 1, 29 * MINUTE_MILLIS, HitKind::Leave, 7).is_some());
    assert!(
        !seen(&mut visits, 1, 58 * MINUTE_MILLIS, HitKind::View, 7)
            .unwrap()
            .new_visit
    );
    assert_eq!(
        seen(&mut visits, 1, 88 * MINUTE_MILLIS, HitKind::Leave, 7),
        None
    );
}

#[test]
fn a_flood_of_visitors_and_items_is_held_at_the_caps() {
    let mut visits = visits(1000, 1500);
    let is_full = |n: &u128| {
        let visitor = Visitor::for_tests(*n, *n as u64, None);
        matches!(
            held(&mut visits, &visitor, 0, HitKind::View, 1),
            VisitLookup::LimitReached
        )
    };
    let full = (0..5000).filter(is_full).count();
    assert_eq!((visits.visitor_count(), full), (1000, 4000));
    for item in 0..5000 {
        seen(&mut visits, 1, 0, HitKind::View, item);
    }
    assert_eq!(visits.item_visits.len(), 1500);
    assert_eq!(visits.slab.len(), 1);
}

#[test]
fn the_first_visitor_of_a_network_stays_the_first_all_day_and_the_others_are_not() {
    let mut visits = visits(10, 100);
    let mut first_of = |visitor: u128, network: u64, at: Millis, item: u32| {
        let VisitLookup::Found(seen) = held(
            &mut visits,
            &Visitor::for_tests(visitor, network, None),
            at,
            HitKind::View,
            item,
        ) else {
            panic!("there is room")
        };
        (
            seen.first_of_network.network && seen.first_today,
            seen.first_of_network.network && seen.item_first_today,
        )
    };
    assert_eq!(first_of(1, 7, 0, 1), (true, true));
    assert_eq!(
        first_of(2, 7, 0, 1),
        (false, false),
        "the same network with another agent"
    );
    assert_eq!(first_of(3, 8, 0, 1), (true, true));
    assert_eq!(
        first_of(1, 7, 1, 2),
        (false, true),
        "its first touch of another page"
    );
    assert_eq!(first_of(1, 7, 60 * MINUTE_MILLIS, 2), (false, false));
    assert_eq!(
        first_of(1, 7, 60 * MINUTE_MILLIS, 3),
        (false, true),
        "in a later visit as well"
    );
}

#[test]
fn a_grant_makes_ten_visitors_a_day_and_those_go_on_being_known() {
    let mut visits = visits(100, 100);
    let mut touch = |visitor: u128, grant: Option<u64>, kind: HitKind| match held(
        &mut visits,
        &Visitor::for_tests(visitor, visitor as u64, grant),
        0,
        kind,
        1,
    ) {
        VisitLookup::Found(seen) => (1, u32::from(seen.new_visitor)),
        VisitLookup::GrantLimitReached => (0, 0),
        VisitLookup::NoVisitor | VisitLookup::LimitReached => (0, 100),
    };
    let sum = |all: Vec<(u32, u32)>| {
        all.into_iter()
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    };
    assert_eq!(
        sum((0..50).map(|n| touch(n, Some(5), HitKind::View)).collect()),
        (10, 10)
    );
    assert_eq!(
        sum((0..50).map(|n| touch(n, Some(5), HitKind::Click)).collect()),
        (10, 0)
    );
    assert_eq!(touch(50, Some(6), HitKind::View), (1, 1), "another grant");
    assert_eq!(
        sum((60..80).map(|n| touch(n, None, HitKind::View)).collect()),
        (20, 20),
        "no grant, no bound"
    );
}

#[test]
fn a_million_open_visitors_of_two_pages_each_are_held_in_less_than_220_megabytes() {
    let mut visits = visits(2_000_000, 4_000_000);
    for n in 0..1_000_000_u128 {
        // A spread key, as the keyed hash gives.
        let visitor = u128::from(xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes())) << 64 | n;
        let visitor = visitor.rotate_left(64);
        seen(&mut visits, visitor, n as Millis, HitKind::View, 1);
        seen(
            &mut visits,
            visitor,
            n as Millis,
            HitKind::View,
            (n % 500) as u32,
        );
    }
    let bytes: usize = visits.heap_bytes().iter().sum();
    assert_eq!(visits.visitor_count(), 1_000_000);
    assert!(bytes < 220_000_000, "{bytes} bytes");
}

proptest::proptest! {
    #[test]
    fn what_is_foreseen_is_what_a_view_then_adds_and_changes_nothing(
        hits in proptest::prelude::prop::collection::vec((0_u128..6, 0_i64..40, 0_u32..4, 0_u8..3), 1..60)
    ) {
        let (mut visits, mut at) = (visits(4, 9), 0);
        for (who, minutes, item, cookie) in hits {
            at += minutes * MINUTE_MILLIS;
            let visitor = Visitor::for_tests(who, who as u64, Some(who as u64 % 2));
            let without_cookie = [None, Some(true), Some(false)][usize::from(cookie)];
            let foresee = |visits: &VisitTable| visits.estimate_view(&visitor, at, without_cookie, Some(item));
            let (foreseen, again) = (foresee(&visits), foresee(&visits));
            proptest::prop_assert_eq!(foreseen, again);
            let view = VisitHit { without_cookie, ..touch(&visitor, at, HitKind::View, item) };
            let added = match visits.record_hit(&view, || VALUES) {
                VisitLookup::Found(seen) => VisitEstimate { site_counts: seen.site_counts(), item_counts: seen.item_counts(), known_today: !seen.first_today },
                _ => VisitEstimate::default(),
            };
            proptest::prop_assert_eq!(foreseen, added);
        }
    }
}
