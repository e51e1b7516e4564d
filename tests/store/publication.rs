//! Publication in lots: each visitor is once in `unpublished`, `pending` or `published`, whenever
//! the process ends and however many collectors publish. The rules themselves have unit tests in
//! `src/publication`.

use std::time::Duration;

use footfall::calendar::Day;
use footfall::publication::{ClosedPeriod, CoinKey, LotPolicy};
use footfall::store::{PublicationUnit, Store};

use crate::support::{Process, Tested, at, day, number, texts};

const FIRST: &str = "2026-03-02";
const K: u64 = 5;

fn policy() -> LotPolicy {
    LotPolicy::new(K, CoinKey::new([3; 32]))
}

/// The unit of a UTC day.
fn unit(date: &str) -> PublicationUnit {
    let day = day(date);
    PublicationUnit {
        zone: "UTC".into(),
        day,
        ended_at: end_of(day),
        occasion: ClosedPeriod::Day,
    }
}

fn end_of(day: Day) -> u32 {
    (u32::from(day.as_number()) + 1) * 86_400
}

/// The attribute counts of one segment: this number of sites, each with seven sources of up to
/// eleven visitors, and a page that most of them opened.
async fn count(store: &Store, segment: u64, date: &str, sites: u64) {
    count_in("UTC", store, segment, date, sites).await;
}

async fn count_in(zone: &str, store: &Store, segment: u64, date: &str, sites: u64) {
    // In one block, like a segment's counts.
    let sql = format!(
        "INSERT INTO unpublished (site, zone, day, subject, item, dim, value, segment, visitors, visits, networks) \
         SELECT reinterpretAsUInt128(sipHash128(intDiv(number, 7))) AS site, '{zone}', toDate('{date}'), of, \
         if(of = 'site', '', '/a'), 'source', concat('s', toString(number % 7)), {segment}, \
         if(of = 'site', n, greatest(n, 1) - 1) AS seen, n + 1, seen \
         FROM (SELECT number, cityHash64(number, {segment}) % 12 AS n, arrayJoin(['site', 'page']) AS of FROM numbers({}))",
        sites * 7
    );
    store.raw_client().query(&sql).execute().await.unwrap();
}

const UNPUBLISHED: &str = "SELECT sum(visitors) FROM unpublished";
const PENDING: &str = "SELECT sum(v) FROM (SELECT argMax(visitors, lot) AS v FROM pending GROUP BY site, subject, item, dim, value)";
const PUBLISHED: &str = "SELECT sum(v) FROM (SELECT any(visitors) AS v FROM published \
                         GROUP BY site, day, subject, item, dim, value, lot)";

/// Visitors in `unpublished`, `pending` and `published`.
async fn sums(store: &Store) -> [u64; 3] {
    [
        number(store, UNPUBLISHED).await,
        number(store, PENDING).await,
        number(store, PUBLISHED).await,
    ]
}

pub async fn total(store: &Store) -> u64 {
    sums(store).await.iter().sum()
}

/// Every published row, once, and the present state of every cell.
async fn contents(store: &Store) -> Vec<String> {
    let published = "SELECT toString((site, day, subject, item, dim, value, any(visitors), any(visits))) AS row FROM published \
                     GROUP BY site, day, subject, item, dim, value, lot ORDER BY row";
    let pending = "SELECT toString((site, subject, item, dim, value, argMax(visitors, lot), argMax(counted, lot))) AS row \
                   FROM pending GROUP BY site, subject, item, dim, value ORDER BY row";
    [texts(store, published).await, texts(store, pending).await].concat()
}

pub async fn a_day_is_published_once_and_again_changes_nothing(store: &Tested) {
    count(store, 1, FIRST, 50).await;
    let counted = total(store).await;

    let first = store.publish_unit(&unit(FIRST), &policy()).await.unwrap();
    let [unpublished, pending, published] = sums(store).await;
    assert!(
        first.lots > 100 && published > 500,
        "{first:?}, {published}"
    );
    assert_eq!((unpublished, pending + published), (0, counted));
    let before = contents(store).await;

    let again = store.publish_unit(&unit(FIRST), &policy()).await.unwrap();
    assert_eq!((again.lots, again.cells), (0, 0));
    assert_eq!(contents(store).await, before);
}

pub async fn no_published_lot_is_under_k_and_no_pending_cell_has_a_day(store: &Tested) {
    for (segment, date) in [(1, FIRST), (2, "2026-03-03"), (3, "2026-03-04")] {
        count(store, segment, date, 40).await;
        store.publish_unit(&unit(date), &policy()).await.unwrap();
    }
    let smallest = number(store, "SELECT min(visitors) FROM published").await;
    assert!(smallest >= K, "{smallest}");
    // 2026-03-02 is a Monday: all three days are of its week.
    assert_eq!(
        texts(store, "SELECT DISTINCT toString(since) FROM pending").await,
        [FIRST]
    );
}

pub async fn counts_that_come_late_join_the_next_day(store: &Tested) {
    count(store, 1, FIRST, 10).await;
    store.publish_unit(&unit(FIRST), &policy()).await.unwrap();
    count(store, 2, FIRST, 10).await;
    let counted = total(store).await;

    store
        .publish_unit(&unit("2026-03-03"), &policy())
        .await
        .unwrap();
    let [unpublished, pending, published] = sums(store).await;
    assert_eq!((unpublished, pending + published), (0, counted));
    let days = "SELECT DISTINCT toString(day) FROM published ORDER BY 1";
    assert_eq!(texts(store, days).await, [FIRST, "2026-03-03"]);
}

pub async fn segments_that_arrive_during_a_publication_are_kept_for_the_next(store: &Tested) {
    count(store, 1, FIRST, 2_000).await;
    let before = total(store).await;

    let (unit, policy) = (unit(FIRST), policy());
    let publishing = store.publish_unit(&unit, &policy);
    let arriving = async {
        for segment in 100..112 {
            count(store, segment, FIRST, 20).await;
        }
    };
    let (published, ()) = tokio::join!(publishing, arriving);
    published.unwrap();

    let mut alone = 0;
    for segment in 100..112 {
        let sql =
            format!("SELECT toUInt64(sum(cityHash64(number, {segment}) % 12)) FROM numbers(140)");
        let page = format!(
            "SELECT toUInt64(sum(greatest(cityHash64(number, {segment}) % 12, 1) - 1)) FROM numbers(140)"
        );
        alone += number(store, &sql).await + number(store, &page).await;
    }
    assert_eq!(total(store).await, before + alone);

    store
        .publish_unit(
            &PublicationUnit {
                ended_at: end_of(day("2026-03-03")),
                day: day("2026-03-03"),
                ..unit
            },
            &policy,
        )
        .await
        .unwrap();
    let [unpublished, pending, published] = sums(store).await;
    assert_eq!((unpublished, pending + published), (0, before + alone));
}

pub async fn two_collectors_that_publish_one_day_at_once_publish_it_once(store: &Tested) {
    count(store, 1, FIRST, 2_000).await;
    let counted = total(store).await;
    let other = store.again().await.unwrap();

    let (unit, one, two) = (unit(FIRST), policy(), policy());
    let (here, there) = tokio::join!(
        store.publish_unit(&unit, &one),
        other.publish_unit(&unit, &two)
    );
    here.unwrap();
    there.unwrap();

    let [unpublished, pending, published] = sums(store).await;
    assert_eq!((unpublished, pending + published), (0, counted));
    let begun = "SELECT count() FROM (SELECT DISTINCT lot FROM publications)";
    assert_eq!(number(store, begun).await, 1);
}

/// On both sides of a full hour, two collectors may find different units due. The second unit is
/// begun once the first is finished, or the call ends with an error and is repeated.
pub async fn two_collectors_that_publish_different_units_at_once_publish_no_count_twice(
    store: &Tested,
) {
    let other = store.again().await.unwrap();
    for round in 0..4 {
        let date = format!("2026-03-0{}", 2 + round);
        count(store, 1 + round, &date, 500).await;
        let counted = total(store).await;
        let day = unit(&date);
        let next = PublicationUnit {
            ended_at: day.ended_at + 3600,
            day: Day::from_number(day.day.as_number() + 1),
            occasion: ClosedPeriod::Hour { open_lot: K },
            ..day.clone()
        };

        let (one, two) = (policy(), policy());
        let (here, there) = tokio::join!(
            store.publish_unit(&day, &one),
            other.publish_unit(&next, &two)
        );
        assert!(here.is_ok() || there.is_ok(), "{here:?} {there:?}");
        store.publish_unit(&day, &one).await.unwrap();
        other.publish_unit(&next, &two).await.unwrap();

        let [unpublished, pending, published] = sums(store).await;
        assert_eq!((unpublished, pending + published), (0, counted), "{date}");
    }
}

/// The engine is killed repeatedly at arbitrary moments of a publication. In the end every visitor
/// is there once, and the rows are those of an undisturbed publication.
#[tokio::test]
async fn a_publication_that_is_killed_at_any_moment_publishes_every_visitor_once() {
    let undisturbed = tempfile::tempdir().unwrap();
    let process = Process::start(undisturbed.path());
    let store = at(&process.url, "footfall").await;
    count(&store, 1, FIRST, 8_000).await;
    let counted = total(&store).await;
    store.publish_unit(&unit(FIRST), &policy()).await.unwrap();
    let expected = contents(&store).await;
    process.kill();

    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let store = at(&process.url, "footfall").await;
    count(&store, 1, FIRST, 8_000).await;
    process.kill();

    let mut kills = 0;
    for pause in [5, 20, 45, 80, 130, 200, 300, 450, 700, 1_000] {
        let process = Process::start(dir.path());
        let store = at(&process.url, "footfall").await;
        let (unit, policy) = (unit(FIRST), policy());
        let ended = tokio::time::timeout(
            Duration::from_millis(pause),
            store.publish_unit(&unit, &policy),
        )
        .await;
        kills += u32::from(ended.is_err());
        process.kill();
    }
    assert!(
        kills >= 4,
        "{kills} of 10 runs were killed before their end"
    );

    let process = Process::start(dir.path());
    let store = at(&process.url, "footfall").await;
    store.publish_unit(&unit(FIRST), &policy()).await.unwrap();
    let [unpublished, pending, published] = sums(&store).await;
    assert_eq!((unpublished, pending + published), (0, counted));
    assert_eq!(contents(&store).await, expected);
}

/// Units of several zones that are published together give the same rows as one after the other,
/// and one statement deletes the counts they took.
pub async fn zones_that_are_published_together_give_the_same_rows(store: &Tested) {
    let zones = ["Asia/Tokyo", "Europe/Berlin", "UTC", "America/Lima"];
    let units = zones.map(|zone| PublicationUnit {
        zone: zone.into(),
        ..unit(FIRST)
    });
    let fill = async || {
        for (segment, zone) in (1..).zip(&zones[..3]) {
            count_in(zone, store, segment * 10, FIRST, 30 + segment).await;
            count_in(zone, store, segment * 10 + 1, "2026-03-01", 20).await;
        }
    };
    fill().await;
    let counted = total(store).await;
    for unit in &units {
        store.publish_unit(unit, &policy()).await.unwrap();
    }
    let apart = contents(store).await;
    for table in ["published", "pending", "publications"] {
        store
            .raw_client()
            .query(&format!("TRUNCATE TABLE {table}"))
            .execute()
            .await
            .unwrap();
    }

    fill().await;
    let mutations = "SELECT uniqExact(mutation_id) FROM system.mutations WHERE database = currentDatabase() AND table = 'unpublished'";
    let before = number(store, mutations).await;
    assert_eq!(PublicationUnit::leading_group(&units).len(), 4);
    store.publish_units(&units, &policy()).await.unwrap();
    assert_eq!(number(store, mutations).await - before, 1);
    assert_eq!(
        (number(store, UNPUBLISHED).await, total(store).await),
        (0, counted)
    );
    assert_eq!(contents(store).await, apart);
    store.publish_units(&units, &policy()).await.unwrap();
    assert_eq!(contents(store).await, apart, "again");
    // A zone's next day waits until the counts that the first one took are deleted.
    assert_eq!(
        PublicationUnit::leading_group(&[unit(FIRST), unit("2026-03-03")]).len(),
        1
    );
}
