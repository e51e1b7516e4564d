//! Ageing: hours are dropped, days of `activity` become months, and no sum changes.

use std::time::Duration;

use footfall::calendar::{Day, DayRange};
use footfall::config::{AgeingLimits, RetentionPolicy};
use footfall::event::{CounterKind, CounterValues, Dimension, SiteId, Subject};
use footfall::store::{AgeingOutcome, Store};

use crate::support::{Builder, Tested, counts_of, day, number, other_process};

/// What the tests age by: months that ended before 2024-03-13.
const TODAY: &str = "2024-06-14";
const LIMITS: AgeingLimits = AgeingLimits {
    hourly_days: 36,
    activity_days: 93,
};
const NO_GRACE: Duration = Duration::ZERO;

/// Days with counts. The last three are proof that `TODAY` has come.
const DAYS: [&str; 9] = [
    "2024-01-01",
    "2024-01-31",
    "2024-02-01",
    "2024-02-15",
    "2024-02-29",
    "2024-03-01",
    "2024-06-12",
    "2024-06-13",
    "2024-06-14",
];

/// All counters of a site's day, different for each.
fn counts(site: u64, date: Day) -> CounterValues {
    let seed = u32::from(date.as_number() % 97) + u32::try_from(site).unwrap() * 1000;
    CounterValues([0, 1, 2, 3, 4, 5, 6].map(|n| seed + n * 7))
}

/// A day of five sites: totals of sites, pages beside them, and an hour of each site.
fn add_day(mut builder: Builder, date: &str) -> Builder {
    let noon = u32::from(day(date).as_number()) * 86_400 + 43_200;
    for site in 1..=5 {
        let counts = counts(site, day(date));
        builder = builder
            .daily(site, date, Subject::Site, "", Dimension::Total, "", counts)
            .daily(
                site,
                date,
                Subject::Page,
                "/a",
                Dimension::Total,
                "",
                counts,
            )
            .hourly(site, noon, counts);
    }
    builder
}

pub async fn fill(store: &Store) {
    let sums = DAYS.into_iter().fold(Builder::default(), add_day).build();
    store.insert_segment("c-1-1", &sums).await.unwrap();
}

/// Ranges with their comparisons: whole months, parts, one day, none, and all.
fn ranges() -> Vec<[DayRange; 2]> {
    let range = |from: &str, to: &str| DayRange::new(day(from), day(to)).unwrap();
    vec![
        [
            range("2024-02-01", "2024-02-29"),
            range("2024-01-01", "2024-01-31"),
        ],
        [
            range("2024-01-31", "2024-02-15"),
            range("2024-01-01", "2024-01-16"),
        ],
        [
            range("2024-02-01", "2024-06-14"),
            range("2023-09-01", "2024-01-31"),
        ],
        [
            range("2024-02-29", "2024-02-29"),
            range("2024-02-28", "2024-02-28"),
        ],
        [
            range("2024-01-01", "2024-06-14"),
            range("2023-01-01", "2023-06-14"),
        ],
        [
            range("2024-06-12", "2024-06-14"),
            range("2024-03-01", "2024-03-03"),
        ],
    ]
}

/// The answers to all queries over all sites.
async fn answers(store: &Store, keep_days: u32) -> Vec<String> {
    let (policy, today) = (RetentionPolicy::uniform(keep_days), day(TODAY));
    let some = [2, 4].map(|site: u64| SiteId::from_u128(u128::from(site)));
    let mut all = Vec::new();
    for [range, before] in ranges() {
        let first = |range: DayRange| DayRange::with_length(range.first(), 1);
        for (days, among) in [
            (None, None),
            (Some((first(range), first(before))), None),
            (None, Some(&some[..])),
        ] {
            let rows = store
                .most_active_sites([range, before], days, among, 4, (&policy, today))
                .await
                .unwrap();
            all.push(format!("{rows:?}"));
        }
    }
    all
}

/// The hits of all sites from a day to `TODAY`, by the queries over all sites.
pub async fn hits_since(store: &Store, from: &str) -> u64 {
    let policy = RetentionPolicy::uniform(4000);
    let range = DayRange::new(day(from), day(TODAY)).unwrap();
    let none = DayRange::with_length(day("2020-01-01"), 1);
    let rows = store
        .most_active_sites([range, none], None, None, 100, (&policy, day(TODAY)))
        .await
        .unwrap();
    rows.iter().map(|row| row.now.0).sum()
}

/// What [`answers`] must have for the first range: February and January.
fn expected_of_february(site: u64) -> (u64, u64) {
    let sum = |month: &str| {
        let days = DAYS.iter().filter(|date| date.starts_with(month));
        let hits = days.map(|date| counts(site, day(date)).get(CounterKind::Hits));
        hits.map(u64::from).sum()
    };
    (sum("2024-02"), sum("2024-01"))
}

async fn age(store: &Store) -> AgeingOutcome {
    store
        .age_counts(day(TODAY), &LIMITS, NO_GRACE)
        .await
        .unwrap()
}

/// Ages until nothing is left to do.
pub async fn age_all(store: &Store) {
    for _ in 0..20 {
        if age(store).await == AgeingOutcome::default() {
            return;
        }
    }
    panic!("ageing does not end");
}

/// Counts of `activity` before March, without those of segments.
async fn old_days(store: &Store) -> u64 {
    let sql = format!(
        "SELECT count() FROM {} AND day < toDate('2024-03-01')",
        counts_of("activity")
    );
    number(store, &sql).await
}

async fn hits_of_months(store: &Store) -> u64 {
    let sql = "SELECT sum(hits) FROM activity_months WHERE (month, revision) IN \
               (SELECT month, max(revision) FROM activity_months WHERE site = 0 GROUP BY month)";
    number(store, sql).await
}

pub async fn old_days_become_months_and_every_sum_stays(store: &Tested) {
    fill(store).await;
    // Kept for long, and since the middle of February.
    let limits = [400, 120];
    let mut before = Vec::new();
    for keep_days in limits {
        before.push(answers(store, keep_days).await);
    }
    let (now, then) = expected_of_february(5);
    let busiest = format!("[ActivityRow {{ site: 5, now: ({now}, ");
    assert!(before[0][0].starts_with(&busiest), "{}", before[0][0]);
    assert!(
        before[0][0].contains(&format!("before: ({then}, ")),
        "{}",
        before[0][0]
    );
    let held = store.held_since().await.unwrap().oldest_day;

    // A month is summed, then the next, and each is dropped by a later run: the sums are those of
    // before after each.
    let (mut summed, mut dropped, mut hours) = (vec![], vec![], vec![]);
    loop {
        let aged = age(store).await;
        for (keep_days, expected) in limits.iter().zip(&before) {
            assert_eq!(&answers(store, *keep_days).await, expected, "{aged:?}");
        }
        if aged == AgeingOutcome::default() {
            break;
        }
        summed.extend(aged.month_summed);
        dropped.extend(aged.days_dropped);
        hours.extend(aged.hours_dropped);
    }
    assert_eq!(summed, [202_401, 202_402]);
    assert_eq!(dropped, [202_401, 202_402]);
    assert_eq!(hours, [202_401, 202_402, 202_403]);
    assert_eq!(old_days(store).await, 0);
    assert_eq!(
        number(
            store,
            "SELECT count() FROM hourly WHERE hour < toDateTime('2024-04-01', 'UTC')"
        )
        .await,
        0
    );
    assert_eq!(store.held_since().await.unwrap().oldest_day, held);
    // The days of each site are where they were.
    let days = format!("SELECT uniqExact(site, day) FROM {}", counts_of("daily"));
    assert_eq!(number(store, &days).await, 45);
}

pub async fn counts_that_come_late_are_in_the_month_once(store: &Tested) {
    fill(store).await;
    let late = add_day(Builder::default(), "2024-01-17").build();
    let (mut tokens, mut expected) = (0, Vec::new());
    for run in 0..12 {
        let aged = age(store).await;
        // After each step, and sent twice: once before and once after the next run.
        if run < 5 {
            tokens += 1;
            for _ in 0..2 {
                store
                    .insert_segment(&format!("d-1-{run}"), &late)
                    .await
                    .unwrap();
            }
        } else if aged == AgeingOutcome::default() {
            expected = answers(store, 400).await;
            break;
        }
    }
    assert!(!expected.is_empty(), "ageing ends");
    for run in 0..5 {
        store
            .insert_segment(&format!("d-1-{run}"), &late)
            .await
            .unwrap();
    }
    age_all(store).await;
    assert_eq!(answers(store, 400).await, expected);
    assert_eq!(old_days(store).await, 0);

    let hits = |date: &str| u64::from(counts(5, day(date)).get(CounterKind::Hits));
    let january = expected_of_february(5).1 + tokens * hits("2024-01-17");
    assert!(
        expected[0].contains(&format!("before: ({january}, ")),
        "{january}: {}",
        expected[0]
    );
}

pub async fn two_collectors_that_sum_one_month_at_once_count_it_once(store: &Tested) {
    fill(store).await;
    let before = answers(store, 400).await;
    let other = store.again().await.unwrap();
    let today = day(TODAY);
    for _ in 0..6 {
        let (one, two) = tokio::join!(
            store.age_counts(today, &LIMITS, NO_GRACE),
            other.age_counts(today, &LIMITS, NO_GRACE)
        );
        one.unwrap();
        two.unwrap();
        assert_eq!(answers(store, 400).await, before);
    }
    age_all(store).await;
    assert_eq!(answers(store, 400).await, before);
    assert_eq!(old_days(store).await, 0);

    let hits = "SELECT sum(hits) FROM daily WHERE subject = 'site' AND day < '2024-03-01' \
                AND site BETWEEN 1 AND 5";
    assert_eq!(hits_of_months(store).await, number(store, hits).await);
}

/// A month of which a site keeps a part has its sums removed; the days are read instead.
pub async fn a_month_goes_with_its_first_day_and_its_other_days_stay(store: &Tested) {
    fill(store).await;
    age_all(store).await;
    // 2024-06-14 less 120 days is 2024-02-15, and a day more for the time zones.
    let before = answers(store, 120).await;
    let policy = RetentionPolicy::uniform(120);
    store.apply_retention(day(TODAY), &policy).await.unwrap();
    assert_eq!(hits_of_months(store).await, 0);
    assert_eq!(answers(store, 120).await, before);
    let february = format!(
        "SELECT uniqExact(day) FROM {} AND day < toDate('2024-03-01')",
        counts_of("daily")
    );
    assert_eq!(number(store, &february).await, 2);
    age_all(store).await;
    assert_eq!(answers(store, 120).await, before);
}

pub async fn the_table_of_months_is_made_again_from_the_days(store: &Tested) {
    fill(store).await;
    let before = answers(store, 400).await;
    age_all(store).await;
    let sql = "DROP TABLE activity_months SYNC";
    store.raw_client().query(sql).execute().await.unwrap();
    let again = store.again().await.unwrap();
    assert_eq!(answers(&again, 400).await, before);
    // The markers were restored too: the segment adds nothing.
    let sums = DAYS.into_iter().fold(Builder::default(), add_day).build();
    again.insert_segment("c-1-1", &sums).await.unwrap();
    assert_eq!(answers(&again, 400).await, before);
    age_all(&again).await;
    assert_eq!(answers(&again, 400).await, before);
    assert_eq!(old_days(&again).await, 0);
}

/// A server refuses to drop partitions over `max_partition_size_to_drop`, by default 50 GB. The
/// server of the tests has a limit of one byte.
#[tokio::test]
async fn partitions_over_the_servers_limit_are_dropped() {
    let store = other_process("partitions_over_the_limit").await;
    fill(&store).await;
    for statement in [
        "ALTER TABLE hourly DROP PARTITION ID '202401'",
        "ALTER TABLE activity DROP PARTITION ID '202401'",
    ] {
        let refused = store.raw_client().query(statement).execute().await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("Code: 359"), "{refused}");
    }
    age_all(&store).await;
    assert_eq!(old_days(&store).await, 0);

    let policy = RetentionPolicy::uniform(36);
    let dropped = store.apply_retention(day(TODAY), &policy).await.unwrap();
    let months: Vec<_> = dropped
        .dropped
        .iter()
        .filter(|(table, _)| *table == "daily")
        .collect();
    assert_eq!(months.len(), 3, "{dropped:?}");
}
