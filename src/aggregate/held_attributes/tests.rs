use super::*;

const RULE: ReleasePolicy = ReleasePolicy {
    min_visits: 5,
    max_rows: 20_000,
    max_bytes: 1 << 24,
};
const DAY_MILLIS: Millis = 86_400_000;

/// Visits of a site on a day of UTC: a row of its sources, one of its countries and one of a page.
fn visits(held: &mut HeldAttributes, site: u128, day: u16, visits: u32, source: &str) {
    let base = held.next_string_id();
    let sums = AttributeSums {
        strings: ["UTC", source, "FR", "/shop"].map(Into::into).to_vec(),
        rows: [
            (Subject::Site, Dimension::Source, 0, 1),
            (Subject::Site, Dimension::Country, 0, 2),
            (Subject::Page, Dimension::Country, 3, 2),
        ]
        .map(|(subject, dim, item, value)| {
            let sym = |place: u32| StringId(base + place);
            let item = if item == 0 {
                StringId::EMPTY
            } else {
                sym(item)
            };
            let key = AttributeKey {
                site: SiteId::from_u128(site),
                zone: sym(0),
                day: Day::from_number(day),
                subject,
                dim,
                item,
                value: sym(value),
            };
            (
                key,
                AttributeCounts {
                    visitors: visits,
                    visits,
                    networks: visits,
                    platform_networks: 1,
                },
            )
        })
        .to_vec(),
    };
    held.add_batch(base, &sums);
}

/// Site, day and visits.
type Visits = Vec<(u128, u16, u32)>;

/// The visits that are released, and those that are carried.
fn split(
    held: HeldAttributes,
    rule: ReleasePolicy,
    wanted: ReleaseScope,
    now: Millis,
) -> (Visits, Visits) {
    let carried = held.collect_carried(rule, wanted, now);
    let listed = |sums: &AttributeSums| {
        let of_sources = sums
            .rows
            .iter()
            .filter(|(key, _)| key.subject == Subject::Site && key.dim == Dimension::Source);
        let of_sites = of_sources.filter(|(key, _)| key.site != SiteId::PLATFORM);
        of_sites
            .map(|(key, counts)| (key.site.as_u128(), key.day.as_number(), counts.visits))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        held.would_release(rule, wanted, now),
        held.rows.len() > carried.rows.len()
    );
    let sealed = held.into_released(&carried);
    (listed(&sealed), listed(&carried))
}

#[test]
fn a_site_waits_until_it_has_k_visits_and_texts_of_what_waits_are_in_nothing_that_goes() {
    let mut held = HeldAttributes::default();
    visits(&mut held, 1, 0, 4, "Alice's letter");
    visits(&mut held, 2, 0, 5, "Google");
    let carried = held.collect_carried(RULE, ReleaseScope::EnoughVisits, 0);
    assert_eq!(
        carried
            .strings
            .iter()
            .map(|text| &**text)
            .collect::<Vec<_>>(),
        ["", "/shop", "Alice's letter", "FR", "UTC"]
    );
    let sealed = held.into_released(&carried);
    assert_eq!(
        sealed
            .strings
            .iter()
            .map(|text| &**text)
            .collect::<Vec<_>>(),
        ["", "/shop", "FR", "Google", "UTC"]
    );
    assert!(
        sealed
            .rows
            .iter()
            .all(|(key, counts)| key.site != SiteId::from_u128(1) && counts.visits == 5)
    );
}

#[test]
fn what_is_carried_counts_with_what_comes_later_though_its_texts_have_other_numbers() {
    let mut held = HeldAttributes::default();
    visits(&mut held, 1, 0, 3, "Google");
    for _ in 0..3 {
        let carried = held.collect_carried(RULE, ReleaseScope::EnoughVisits, 0);
        assert_eq!(carried.rows.len(), 3);
        held = HeldAttributes::default();
        held.add_batch(0, &carried);
    }
    visits(&mut held, 1, 0, 2, "Google");
    assert_eq!(held.rows.len(), 3);
    assert_eq!(
        split(held, RULE, ReleaseScope::EnoughVisits, 0),
        (vec![(1, 0, 5)], vec![])
    );
}

#[test]
fn a_day_that_is_over_goes_with_as_few_visits_as_it_has_and_five_seconds_later_than_its_end() {
    let two_days = || {
        let mut held = HeldAttributes::default();
        visits(&mut held, 1, 0, 1, "Google");
        visits(&mut held, 1, 1, 2, "Google");
        held
    };
    let end = DAY_MILLIS + 5_000;
    assert!(!two_days().has_closed_days(end - 1) && two_days().has_closed_days(end));
    assert_eq!(
        split(two_days(), RULE, ReleaseScope::EnoughVisits, end - 1),
        (vec![], vec![(1, 0, 1), (1, 1, 2)])
    );
    for wanted in [ReleaseScope::ClosedDays, ReleaseScope::EnoughVisits] {
        assert_eq!(
            split(two_days(), RULE, wanted, end),
            (vec![(1, 0, 1)], vec![(1, 1, 2)])
        );
    }
    assert_eq!(
        split(two_days(), RULE, ReleaseScope::All, 0),
        (vec![(1, 0, 1), (1, 1, 2)], vec![])
    );
}

#[test]
fn beyond_the_rows_that_may_be_carried_sites_with_enough_visits_go_first_and_then_all_do() {
    let sites = |many: u128| {
        let mut held = HeldAttributes::default();
        (1..=many)
            .for_each(|site| visits(&mut held, site, 0, if site == 1 { 5 } else { 1 }, "Google"));
        held
    };
    let rule = ReleasePolicy {
        max_rows: 30,
        ..RULE
    };
    // Three rows a site.
    assert_eq!(split(sites(10), rule, ReleaseScope::ClosedDays, 0).0, []);
    assert_eq!(
        split(sites(11), rule, ReleaseScope::ClosedDays, 0).0,
        [(1, 0, 5)]
    );
    assert_eq!(
        split(sites(12), rule, ReleaseScope::ClosedDays, 0).0.len(),
        12
    );
}

#[test]
fn the_platform_is_the_sum_of_the_released_sites_with_the_networks_of_the_platform() {
    let mut held = HeldAttributes::default();
    visits(&mut held, 1, 0, 5, "Google");
    visits(&mut held, 2, 0, 6, "Google");
    visits(&mut held, 3, 0, 1, "Google");
    let carried = held.collect_carried(RULE, ReleaseScope::EnoughVisits, 0);
    let sums = held.into_released(&carried);
    let of_platform: Vec<_> = sums
        .rows
        .iter()
        .filter(|(key, _)| key.site == SiteId::PLATFORM)
        .collect();
    assert_eq!(of_platform.len(), 2);
    for (key, counts) in of_platform {
        assert_eq!(
            (key.subject, sums.resolve_string(key.zone)),
            (Subject::Site, "UTC")
        );
        let expected = AttributeCounts {
            visitors: 11,
            visits: 11,
            networks: 2,
            platform_networks: 0,
        };
        assert_eq!(*counts, expected);
    }
}
