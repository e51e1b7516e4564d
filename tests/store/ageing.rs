//! Old months: folded, then dropped.

use footfall::event::{Counts, Dimension, FaultKind, MailAction, Metric, Reader, Subject};

use crate::support::{Builder, Tested, daily, day, hits, number, people, texts};

const TABLES: [&str; 8] = ["daily", "hourly", "money", "drops", "vitals", "faults", "activity", "mail"];

const TOTALS: &str = "SELECT toString((day, item, hits, visitors, visits, bounces, seconds, exits, entries)) FROM daily \
                      WHERE dim = '' ORDER BY ALL";

fn january() -> Builder {
    let all = Counts([9, 8, 7, 6, 5, 4, 3]);
    let page = |builder: Builder, date, dim, value, n| {
        builder.daily(1, date, Subject::Page, "/a", dim, value, people(n, n + 1))
    };
    let mut builder = Builder::default()
        .daily(1, "2026-01-01", Subject::Page, "/a", Dimension::Total, "", all)
        .daily(1, "2026-01-31", Subject::Page, "/a", Dimension::Total, "", all)
        .daily(1, "2026-02-10", Subject::Page, "/a", Dimension::Total, "", all);
    // Five visitors over two days keep their value; four do not; (other) takes what folds.
    for (date, value, n) in [
        ("2026-01-02", "DE", 2),
        ("2026-01-31", "DE", 3),
        ("2026-01-02", "FR", 2),
        ("2026-01-03", "FR", 2),
        ("2026-01-04", "IT", 1),
        ("2026-01-05", "(other)", 1),
        ("2026-02-10", "FR", 1),
    ] {
        builder = page(builder, date, Dimension::Country, value, n);
    }
    // The same values of another dimension and another item fold by themselves.
    page(builder, "2026-01-02", Dimension::Source, "FR", 4).daily(
        1,
        "2026-01-02",
        Subject::Page,
        "/b",
        Dimension::Country,
        "DE",
        people(4, 4),
    )
}

const ATTRIBUTES: &str = "SELECT toString((day, item, dim, value, sum(visitors), sum(visits), sum(hits))) FROM daily \
                          WHERE dim != '' GROUP BY day, item, dim, value ORDER BY day, item, dim, value";

pub async fn small_cells_of_an_old_month_are_folded_and_totals_stay(store: &Tested) {
    store.insert("c-1-1", &january().build()).await.unwrap();
    let totals = texts(store, TOTALS).await;

    let early = store.age(day("2026-02-05"), 35, 400).await.unwrap();
    assert_eq!(early.folded, []);
    let aged = store.age(day("2026-02-11"), 35, 400).await.unwrap();
    assert_eq!((aged.folded, aged.postponed, aged.dropped), (vec![("daily", 202_601)], vec![], vec![]));

    assert_eq!(texts(store, TOTALS).await, totals);
    assert_eq!(
        texts(store, ATTRIBUTES).await,
        [
            "('2026-01-01','/a','country','(other)',6,10,0)",
            "('2026-01-01','/a','country','DE',5,7,0)",
            "('2026-01-01','/a','source','(other)',4,5,0)",
            "('2026-01-01','/b','country','(other)',4,4,0)",
            "('2026-02-10','/a','country','FR',1,2,0)",
        ]
    );
    // Not one row of a small cell is left to be read apart.
    assert_eq!(number(store, "SELECT count() FROM daily WHERE dim != '' AND toYYYYMM(day) = 202601").await, 4);
    assert_eq!(texts(store, "SHOW TABLES LIKE 'daily%'").await, ["daily"]);
}

pub async fn folding_again_changes_nothing_until_rows_arrive_late(store: &Tested) {
    store.insert("c-1-1", &january().build()).await.unwrap();
    let today = day("2026-02-11");
    assert_eq!(store.age(today, 35, 400).await.unwrap().folded, [("daily", 202_601)]);
    let folded = daily(store).await;
    assert_eq!(store.age(today, 35, 400).await.unwrap().folded, []);
    store.client().query("OPTIMIZE TABLE daily FINAL").execute().await.unwrap();
    assert_eq!(store.age(today, 35, 400).await.unwrap().folded, []);
    assert_eq!(daily(store).await, folded);

    // Late, on the very day that month rows carry.
    let late = Builder::default()
        .daily(1, "2026-01-01", Subject::Page, "/a", Dimension::Country, "DE", people(1, 1))
        .daily(1, "2026-01-01", Subject::Page, "/a", Dimension::Country, "ES", people(1, 1))
        .build();
    store.insert("c-1-2", &late).await.unwrap();
    // A side table that a crash left behind is in nobody's way.
    store.client().query("CREATE TABLE daily_fold_00ff AS daily").execute().await.unwrap();
    assert_eq!(store.age(today, 35, 400).await.unwrap().folded, [("daily", 202_601)]);
    assert_eq!(
        texts(store, ATTRIBUTES).await[..2],
        ["('2026-01-01','/a','country','(other)',7,11,0)", "('2026-01-01','/a','country','DE',6,8,0)"]
    );
    if store.engine().is_some() {
        assert_eq!(texts(store, "SHOW TABLES LIKE 'daily%'").await, ["daily"]);
    }
}

fn speed(builder: Builder, date: &str, path: &str, device: &str, bucket: u8, hits: u32) -> Builder {
    builder.vital(1, day(date), Metric::Lcp, (path, device, bucket), hits)
}

pub async fn devices_of_an_old_month_are_folded_and_histograms_stay(store: &Tested) {
    let mut builder = Builder::default();
    for (date, path, device, bucket, hits) in [
        ("2026-01-02", "/a", "phone", 40, 3),
        ("2026-01-31", "/a", "phone", 41, 2),
        ("2026-01-03", "/a", "tv", 40, 1),
        ("2026-01-04", "/a", "tv", 55, 3),
        ("2026-01-04", "/b", "phone", 40, 4),
        ("2026-02-10", "/a", "tv", 40, 1),
    ] {
        builder = speed(builder, date, path, device, bucket, hits);
    }
    store.insert("c-1-1", &builder.build()).await.unwrap();
    let sums = "SELECT toString((metric, bucket, sum(hits))) FROM vitals GROUP BY metric, bucket ORDER BY bucket";
    let before = texts(store, sums).await;
    let aged = store.age(day("2026-02-11"), 35, 400).await.unwrap();
    assert_eq!((aged.folded, aged.postponed), (vec![("vitals", 202_601)], vec![]));
    assert_eq!(store.age(day("2026-02-11"), 35, 400).await.unwrap().folded, []);

    assert_eq!(texts(store, sums).await, before);
    let rows = "SELECT toString((day, path, device, bucket, sum(hits))) FROM vitals \
                GROUP BY day, path, device, bucket ORDER BY day, path, device, bucket";
    assert_eq!(
        texts(store, rows).await,
        [
            "('2026-01-01','/a','(other)',40,1)",
            "('2026-01-01','/a','(other)',55,3)",
            "('2026-01-01','/a','phone',40,3)",
            "('2026-01-01','/a','phone',41,2)",
            "('2026-01-01','/b','(other)',40,4)",
            "('2026-02-10','/a','tv',40,1)",
        ]
    );
    assert_eq!(texts(store, "SHOW TABLES LIKE 'vitals%'").await, ["vitals"]);
}

pub async fn months_past_keeping_are_dropped_from_every_table(store: &Tested) {
    let mut builder = Builder::default();
    for (date, hour) in [("2025-11-30", 1_764_460_800), ("2025-12-31", 1_767_139_200), ("2026-02-01", 1_769_904_000)] {
        builder = builder
            .daily(1, date, Subject::Site, "", Dimension::Total, "", hits(1))
            .hourly(1, hour, hits(1))
            .money(1, day(date), "buy", *b"EUR", 1, 1)
            .drop(hour, footfall::event::Refusal::Gpc, 1)
            .vital(1, day(date), Metric::Cls, ("/a", "tv", 1), 1)
            .fault(1, day(date), FaultKind::NotFound, "/a", "", 1)
            .mail(day(date), ("welcome", day(date)), MailAction::Open, "", Reader::Direct, (1, 1));
    }
    store.insert("c-1-1", &builder.build()).await.unwrap();
    // 2026-02-01 minus 31 days is 2026-01-01: November and December are wholly older, and on the day before, November is.
    let aged = store.age(day("2026-01-31"), 35, 31).await.unwrap();
    assert_eq!(aged.dropped, TABLES.map(|table| (table, 202_511)));
    let aged = store.age(day("2026-02-01"), 35, 31).await.unwrap();
    assert_eq!(aged.dropped, TABLES.map(|table| (table, 202_512)));
    for table in TABLES {
        assert_eq!(number(store, &format!("SELECT sum(hits) FROM {table}")).await, 1, "{table}");
    }
}

pub async fn rows_the_collector_sends_while_it_folds_a_month_are_kept(store: &Tested) {
    const INSERTS: u32 = 40;
    store.insert("c-1-1", &january().build()).await.unwrap();
    let before = number(store, "SELECT sum(visitors) FROM daily").await;
    let inserting = async {
        for n in 0..INSERTS {
            let sums = Builder::default()
                .daily(1, "2026-01-20", Subject::Page, "/late", Dimension::Country, "DE", people(1, 1))
                .build();
            store.insert(&format!("c-2-{n}"), &sums).await.unwrap();
        }
    };
    let folding = async {
        for _ in 0..6 {
            store.age(day("2026-02-11"), 35, 400).await.unwrap();
        }
    };
    tokio::join!(inserting, folding);
    store.age(day("2026-02-11"), 35, 400).await.unwrap();
    assert_eq!(number(store, "SELECT sum(visitors) FROM daily").await, before + u64::from(INSERTS));
    // A fold that saw fewer than five of them put those under (other); none is lost, and all stand on the month's first day.
    let late = "SELECT toString((day, sum(visitors))) FROM daily WHERE item = '/late' GROUP BY day";
    assert_eq!(texts(store, late).await, ["('2026-01-01',40)"]);
}

pub async fn a_token_sent_again_after_its_month_was_folded_adds_nothing(store: &Tested) {
    store.insert("c-1-1", &january().build()).await.unwrap();
    let before = number(store, "SELECT sum(hits) FROM daily").await;
    store.age(day("2026-02-11"), 35, 400).await.unwrap();
    store.insert("c-1-1", &january().build()).await.unwrap();
    assert_eq!(number(store, "SELECT sum(hits) FROM daily").await, before);
}
