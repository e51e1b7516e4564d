//! Segments that need more memory than the engine has by default, and segments that are stored in
//! part, are stored completely and once.

use footfall::event::{Dimension, SiteId, Subject};
use footfall::publication::{ClosedPeriod, CoinKey, LotPolicy};
use footfall::store::schema::CountsTable;
use footfall::store::{PublicationUnit, native};

use crate::support::{Builder, Process, Tested, at, counts_of, day, hits, number, people};

/// 115 000 forged views of paths of 500 bytes, each with a row of totals and one of each dimension
/// of a page: the engine refuses them as one block.
#[tokio::test]
async fn a_segment_too_large_for_the_engine_is_stored_in_halves_and_once() {
    const VIEWS: u32 = 115_000;
    let long = "x".repeat(490);
    let mut builder = Builder::default();
    let date = day("2026-03-01");
    for view in 0..VIEWS {
        let path = format!("/{view:06}{long}");
        let site = u64::from(view / 2000) + 1;
        builder.add_daily(
            site,
            date,
            Subject::Page,
            &path,
            Dimension::Total,
            "",
            hits(1),
        );
        for (dim, value) in [
            (Dimension::Source, "direct"),
            (Dimension::Country, "DE"),
            (Dimension::Campaign, ""),
        ] {
            builder.add_daily(site, date, Subject::Page, &path, dim, value, people(1, 1));
        }
    }
    let sums = builder.build();

    // A process of its own, because the memory it needs would affect other tests.
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let store = at(&process.url, "footfall").await;
    store.insert_new_segment("c-1-1", &sums).await.unwrap();
    store.insert_segment("c-1-1", &sums).await.unwrap();
    let blocks = |table: &str| {
        let markers = SiteId::MIN_MARKER_ID.as_u128();
        format!("SELECT count() FROM {table} WHERE site >= toUInt128('{markers}')")
    };
    assert!(
        number(&store, &blocks("unpublished")).await > 1,
        "it was too large for one block"
    );
    assert_eq!(
        number(&store, "SELECT sum(hits) FROM daily").await,
        u64::from(VIEWS)
    );
    assert_eq!(
        number(&store, "SELECT sum(visitors) FROM unpublished").await,
        u64::from(VIEWS) * 3
    );
    process.kill();
}

/// However the earlier attempt ended, only the missing blocks are sent: of three months and both
/// halves of a split block.
pub async fn a_segment_of_which_some_is_there_is_completed(store: &Tested) {
    let mut builder = Builder::default();
    for (site, date) in ["2026-01-31", "2026-02-01", "2026-03-01", "2026-03-02"]
        .into_iter()
        .enumerate()
    {
        builder = builder.daily(
            site as u64 + 1,
            date,
            Subject::Site,
            "",
            Dimension::Total,
            "",
            hits(1),
        );
        builder = builder.daily(
            site as u64 + 1,
            date,
            Subject::Site,
            "",
            Dimension::Country,
            "DE",
            people(1, 1),
        );
    }
    let sums = builder.build();
    store.insert_new_segment("c-1-1", &sums).await.unwrap();
    let sums_of = "SELECT toString(groupArray((site, hits))) FROM (SELECT site, sum(hits) AS hits FROM {} GROUP BY site ORDER BY site)";
    let whole = crate::support::texts(store, &sums_of.replace("{}", &counts_of("daily"))).await;

    // As if February and all of `unpublished` had not arrived.
    for gone in [
        "daily DROP PARTITION ID '202602'",
        "unpublished DROP PARTITION ALL",
    ] {
        store
            .raw_client()
            .query(&format!("ALTER TABLE {gone}"))
            .with_setting("max_partition_size_to_drop", "0")
            .execute()
            .await
            .unwrap();
    }
    assert_eq!(number(store, "SELECT sum(hits) FROM daily").await, 3);
    for _ in 0..2 {
        store.insert_segment("c-1-1", &sums).await.unwrap();
        assert_eq!(
            crate::support::texts(store, &sums_of.replace("{}", &counts_of("daily"))).await,
            whole
        );
        assert_eq!(
            number(store, "SELECT sum(visitors) FROM unpublished").await,
            4
        );
    }

    // As if March had arrived in halves and the second was lost: its marker says that it is the
    // first half.
    let march = "site >= 3 AND toYYYYMM(day) = 202603";
    let first_half = "site + toUInt128(1)";
    for change in [
        "CREATE TABLE kept AS daily ENGINE = MergeTree ORDER BY site".to_owned(),
        format!("INSERT INTO kept SELECT * FROM daily WHERE {march} AND site != 4"),
        "ALTER TABLE daily DROP PARTITION ID '202603'".to_owned(),
        format!(
            "INSERT INTO daily SELECT * REPLACE (if(site > 1000, {first_half}, site) AS site) FROM kept"
        ),
    ] {
        let query = store.raw_client().query(&change);
        let query = query.with_setting("max_partition_size_to_drop", "0");
        query.execute().await.unwrap();
    }
    assert_eq!(number(store, "SELECT sum(hits) FROM daily").await, 3);
    store.insert_segment("c-1-1", &sums).await.unwrap();
    assert_eq!(
        crate::support::texts(store, &sums_of.replace("{}", &counts_of("daily"))).await,
        whole
    );
}

/// A segment is sent in halves, and its day is published between them: the second half waits for
/// the next publication.
pub async fn halves_that_come_before_and_after_a_publication_count_once(store: &Tested) {
    let date = day("2026-03-01");
    let (mut whole, mut first) = (Builder::default(), Builder::default());
    for site in 1..=4 {
        whole = whole.daily(
            site,
            "2026-03-01",
            Subject::Site,
            "",
            Dimension::Country,
            "DE",
            people(7, 7),
        );
    }
    for site in 1..=2 {
        first = first.daily(
            site,
            "2026-03-01",
            Subject::Site,
            "",
            Dimension::Country,
            "DE",
            people(7, 7),
        );
    }
    // The first half as the store would have sent it: with its marker and its number.
    let half = native::encode_block(
        &first.build(),
        CountsTable::Unpublished,
        20_260_301,
        &[0, 1],
        ("c-1-1", 2),
    );
    let sql = format!(
        "INSERT INTO unpublished ({}) FORMAT Native",
        CountsTable::Unpublished.all_columns().join(", ")
    );
    let mut insert = store.raw_client().insert_formatted_with(sql);
    insert.send(half.into()).await.unwrap();
    insert.end().await.unwrap();

    let policy = LotPolicy::new(5, CoinKey::new([3; 32]));
    let unit = |days: u32, day| PublicationUnit {
        zone: "UTC".into(),
        day,
        ended_at: (u32::from(date.as_number()) + days) * 86_400,
        occasion: ClosedPeriod::Day,
    };
    store.publish_unit(&unit(1, date), &policy).await.unwrap();
    assert_eq!(crate::publication::total(store).await, 14);
    let whole = whole.build();
    for _ in 0..2 {
        store.insert_segment("c-1-1", &whole).await.unwrap();
        assert_eq!(
            crate::publication::total(store).await,
            28,
            "before the next publication"
        );
    }
    store
        .publish_unit(&unit(2, day("2026-03-02")), &policy)
        .await
        .unwrap();
    store.insert_segment("c-1-1", &whole).await.unwrap();
    assert_eq!(crate::publication::total(store).await, 28);
    assert_eq!(
        number(
            store,
            &format!("SELECT count() FROM {}", counts_of("unpublished"))
        )
        .await,
        0
    );
}
