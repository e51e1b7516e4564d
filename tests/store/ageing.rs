//! Retention: expired months are dropped from every table, and a wrong clock drops nothing.

use footfall::config::RetentionPolicy;
use footfall::event::{
    CounterValues, Dimension, FaultKind, MailAction, ReaderKind, Subject, WebVital,
};

use crate::support::{Builder, Tested, counts_of, day, hits, number, people};

const TABLES: [&str; 8] = [
    "daily", "hourly", "money", "drops", "vitals", "faults", "activity", "mail",
];

/// A month of every table; attributes that wait for their publication are stored by day.
fn dropped(month: u32, day: u32) -> Vec<(&'static str, u32)> {
    let mut dropped = TABLES.map(|table| (table, month)).to_vec();
    dropped.insert(1, ("unpublished", day));
    dropped.push(("published", month));
    dropped
}

pub async fn months_past_keeping_are_dropped_from_every_table(store: &Tested) {
    let mut builder = Builder::default();
    for (date, hour) in [
        ("2025-11-30", 1_764_460_800),
        ("2025-12-31", 1_767_139_200),
        ("2026-02-01", 1_769_904_000),
    ] {
        builder = builder
            .daily(1, date, Subject::Site, "", Dimension::Total, "", hits(1))
            .daily(
                1,
                date,
                Subject::Site,
                "",
                Dimension::Country,
                "DE",
                people(1, 1),
            )
            .hourly(1, hour, hits(1))
            .money(1, day(date), "buy", *b"EUR", 1, 1)
            .drop(hour, footfall::event::DropReason::Gpc, 1)
            .vital(1, day(date), WebVital::Cls, ("/a", "tv", 1), 1)
            .fault(1, day(date), FaultKind::NotFound, "/a", "", 1)
            .mail(
                day(date),
                ("welcome", day(date)),
                MailAction::Open,
                "",
                ReaderKind::Direct,
                (1, 1),
            );
    }
    store
        .insert_segment("c-1-1", &builder.build())
        .await
        .unwrap();
    // 2026-02-02 minus 31 days, and one for the time zones, is 2026-01-01: November and December are
    // completely older. On the day before, only November is.
    let published = format!(
        "INSERT INTO published SELECT 1, day, 'site', '', 'country', 'DE', 1, 5, 5 FROM {}",
        counts_of("daily")
    );
    store
        .raw_client()
        .query(&published)
        .execute()
        .await
        .unwrap();
    let aged = store
        .apply_retention(day("2026-02-01"), &RetentionPolicy::uniform(31))
        .await
        .unwrap();
    assert_eq!(aged.dropped, dropped(202_511, 20_251_130));
    let aged = store
        .apply_retention(day("2026-02-02"), &RetentionPolicy::uniform(31))
        .await
        .unwrap();
    assert_eq!(aged.dropped, dropped(202_512, 20_251_231));
    for table in ["unpublished", "published"] {
        assert_eq!(
            number(store, &format!("SELECT count() FROM {}", counts_of(table))).await,
            1,
            "{table}"
        );
    }
    for table in TABLES {
        assert_eq!(
            number(
                store,
                &format!("SELECT sum(hits) FROM {}", counts_of(table))
            )
            .await,
            1,
            "{table}"
        );
    }
}

/// A month of vitals keeps its days, and a class of devices its name: permissions are checked when
/// a class is shown.
pub async fn an_old_month_keeps_its_days(store: &Tested) {
    let mut builder = Builder::default();
    for (date, device) in [("2026-01-02", "phone"), ("2026-01-31", "tv")] {
        builder = builder.vital(1, day(date), WebVital::Lcp, ("/a", device, 40), 1);
        builder = builder.daily(
            1,
            date,
            Subject::Page,
            "/a",
            Dimension::Total,
            "",
            CounterValues([9, 8, 7, 6, 5, 4, 3]),
        );
    }
    store
        .insert_segment("c-1-1", &builder.build())
        .await
        .unwrap();
    assert_eq!(
        store
            .apply_retention(day("2026-06-01"), &RetentionPolicy::uniform(400))
            .await
            .unwrap()
            .dropped,
        []
    );
    assert_eq!(
        number(
            store,
            &format!("SELECT uniqExact(day, device) FROM {}", counts_of("vitals"))
        )
        .await,
        2
    );
    assert_eq!(
        number(
            store,
            &format!("SELECT uniqExact(day) FROM {}", counts_of("daily"))
        )
        .await,
        2
    );
}

/// The markers of a collector are removed when no segment that needs them can come. Its counts
/// stay, and so do the markers of another collector.
pub async fn markers_of_months_that_are_over_are_removed_and_a_segment_of_yesterday_still_counts_once(
    store: &Tested,
) {
    let sums = |date: &str, hour| {
        Builder::default()
            .daily(1, date, Subject::Site, "", Dimension::Total, "", hits(1))
            .daily(
                1,
                date,
                Subject::Site,
                "",
                Dimension::Country,
                "DE",
                people(1, 1),
            )
            .hourly(1, hour, hits(1))
            .drop(hour, footfall::event::DropReason::Gpc, 1)
            .mail(
                day(date),
                ("welcome", day(date)),
                MailAction::Open,
                "",
                ReaderKind::Direct,
                (1, 1),
            )
            .build()
    };
    let (old, new) = (
        sums("2026-01-31", 1_769_817_600),
        sums("2026-04-01", 1_775_001_600),
    );
    store.insert_segment("c-1-1", &old).await.unwrap();
    store.insert_segment("d-1-1", &old).await.unwrap();
    store.insert_segment("c-1-2", &new).await.unwrap();

    // January ended seven days before 2026-02-07. A day later, a segment that was closed the day
    // before may still contain counts of January.
    let markers = async |table: &str| {
        let all = number(
            store,
            &format!("SELECT count() FROM (SELECT * FROM {table} LIMIT 1000)"),
        )
        .await;
        all - number(store, &format!("SELECT count() FROM {}", counts_of(table))).await
    };
    for (today, oldest_days, expected) in [
        ("2026-02-03", 0, 3),
        ("2026-02-04", 1, 3),
        ("2026-02-04", 0, 2),
    ] {
        store
            .delete_old_markers("c-0-0", day(today), oldest_days)
            .await
            .unwrap();
        for table in [
            "daily",
            "unpublished",
            "hourly",
            "drops",
            "activity",
            "mail",
        ] {
            assert_eq!(
                markers(table).await,
                expected,
                "{table} on {today} beside a segment of {oldest_days} days"
            );
        }
    }
    store.insert_segment("d-1-1", &old).await.unwrap();
    store.insert_segment("c-1-2", &new).await.unwrap();
    for table in ["daily", "hourly", "drops", "activity", "mail"] {
        assert_eq!(
            number(
                store,
                &format!("SELECT sum(hits) FROM {}", counts_of(table))
            )
            .await,
            3,
            "{table}"
        );
    }
}

/// The clock alone drops nothing: neither a start 800 days ahead nor a single day counted there is
/// proof that the years between are over.
pub async fn a_clock_far_ahead_drops_no_month(store: &Tested) {
    let mut builder = Builder::default();
    for date in ["2026-01-28", "2026-01-29", "2026-01-30", "2026-01-31"] {
        builder = builder.daily(1, date, Subject::Site, "", Dimension::Total, "", hits(1));
    }
    store
        .insert_segment("c-1-1", &builder.build())
        .await
        .unwrap();
    let aged = store
        .apply_retention(day("2028-04-10"), &RetentionPolicy::uniform(400))
        .await
        .unwrap();
    assert_eq!(
        (aged.dropped, aged.plausible_today),
        (vec![], Some(day("2026-03-30")))
    );

    // Counted on a day in the future: one such day, and another one.
    let mut builder = Builder::default();
    for date in ["2028-04-10", "2028-04-11"] {
        builder = builder.daily(1, date, Subject::Site, "", Dimension::Total, "", hits(1));
    }
    store
        .insert_segment("c-1-2", &builder.build())
        .await
        .unwrap();
    let aged = store
        .apply_retention(day("2028-04-11"), &RetentionPolicy::uniform(400))
        .await
        .unwrap();
    assert_eq!(
        (aged.dropped, aged.plausible_today),
        (vec![], Some(day("2026-04-01")))
    );
    assert_eq!(number(store, "SELECT sum(hits) FROM daily").await, 6);
}
