//! The contract of every store, whether embedded or a server: counts are stored once, whatever they
//! contain, and errors contain no data.

use std::time::{Duration, Instant};

use bytes::Bytes;
use footfall::access::{SecretDigest, generate_message_secret};
use footfall::calendar::Day;
use footfall::config::{AliasRule, RegistryChange, RetentionPolicy, SiteRule};
use footfall::event::{
    CounterKind, CounterValues, Dimension, DropReason, FaultKind, MailAction, ReaderKind, SiteId,
    Subject, WebVital,
};
use footfall::store::schema::NEWEST_SCHEMA;
use footfall::store::{RegistryRevisions, Store, StoreError};

use crate::support::{Builder, Tested, counts_of, daily, day, hits, number, people, texts};

pub async fn counts_come_back_as_they_were_sent(store: &Tested) {
    let all = CounterValues([1, 2, 3, 4, 5, 6, u32::MAX]);
    let sums = Builder::default()
        .daily(
            7,
            "2026-03-01",
            Subject::Page,
            "/a",
            Dimension::Total,
            "",
            all,
        )
        .daily(
            7,
            "2026-03-01",
            Subject::Page,
            "/a",
            Dimension::Country,
            "DE",
            people(2, 3),
        )
        .hourly(7, 1_772_323_200, all)
        .money(7, day("2026-03-01"), "buy", *b"EUR", 2, u64::MAX / 2)
        .drop(1_772_323_200, DropReason::Gpc, 9)
        .vital(7, day("2026-03-01"), WebVital::Inp, ("/a", "phone", 255), 4)
        .fault(
            7,
            day("2026-03-01"),
            FaultKind::Script,
            "/a",
            "TypeError /app.js:12",
            3,
        )
        .mail(
            day("2026-03-02"),
            ("welcome", day("2026-03-01")),
            MailAction::Click,
            "start",
            ReaderKind::Proxied,
            (5, 2),
        )
        .build();
    store.insert_segment("one", &sums).await.unwrap();

    let rows = daily(store).await;
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].counts, [1, 2, 3, 4, 5, 6, u64::from(u32::MAX)]);
    assert_eq!(
        (rows[1].dim.as_str(), rows[1].value.as_str()),
        ("country", "DE")
    );
    assert_eq!(rows[1].counts, [0, 2, 3, 0, 0, 0, 0]);
    assert_eq!(rows[1].day, day("2026-03-01").as_number());
    assert_eq!(
        texts(
            store,
            &format!(
                "SELECT toString((site, hour, sum(seconds))) FROM {} GROUP BY site, hour",
                counts_of("hourly")
            )
        )
        .await,
        ["(7,'2026-03-01 00:00:00',5)"]
    );
    assert_eq!(
        texts(
            store,
            &format!(
                "SELECT toString((day, event, currency, sum(hits), sum(minor))) FROM {} GROUP BY ALL",
                counts_of("money")
            )
        )
        .await,
        [format!("('2026-03-01','buy','EUR',2,{})", u64::MAX / 2)]
    );
    assert_eq!(
        texts(
            store,
            &format!(
                "SELECT toString((reason, sum(hits))) FROM {} GROUP BY reason",
                counts_of("drops")
            )
        )
        .await,
        ["('gpc',9)"]
    );
    assert_eq!(
        texts(
            store,
            &format!(
                "SELECT toString((site, day, path, device, metric, bucket, hits)) FROM {}",
                counts_of("vitals")
            )
        )
        .await,
        ["(7,'2026-03-01','/a','phone','INP',255,4)"]
    );
    assert_eq!(
        texts(
            store,
            &format!(
                "SELECT toString((site, day, path, kind, fault, hits)) FROM {}",
                counts_of("faults")
            )
        )
        .await,
        ["(7,'2026-03-01','/a','script','TypeError /app.js:12',3)"]
    );
    assert_eq!(
        texts(
            store,
            &format!(
                "SELECT toString((day, template, batch, action, link, reader, hits, visitors)) FROM {}",
                counts_of("mail")
            )
        )
        .await,
        ["('2026-03-02','welcome','2026-03-01','click','start','proxied',5,2)"]
    );
}

pub async fn a_token_sent_again_adds_nothing(store: &Tested) {
    let sums = Builder::default()
        .daily(
            1,
            "2026-03-01",
            Subject::Site,
            "",
            Dimension::Total,
            "",
            hits(10),
        )
        .hourly(1, 1_772_323_200, hits(20))
        .money(1, day("2026-03-01"), "buy", *b"EUR", 30, 1)
        .drop(1_772_323_200, DropReason::Dnt, 40)
        .vital(1, day("2026-03-01"), WebVital::Lcp, ("/a", "tv", 1), 50)
        .fault(1, day("2026-03-01"), FaultKind::NotFound, "/a", "", 60)
        .mail(
            day("2026-03-01"),
            ("welcome", day("2026-03-01")),
            MailAction::Open,
            "",
            ReaderKind::Direct,
            (70, 7),
        )
        .build();
    for _ in 0..3 {
        store.insert_segment("c-1-1", &sums).await.unwrap();
    }
    store
        .again()
        .await
        .unwrap()
        .insert_segment("c-1-1", &sums)
        .await
        .unwrap();
    let tables = [
        ("daily", 10),
        ("hourly", 20),
        ("money", 30),
        ("drops", 40),
        ("vitals", 50),
        ("faults", 60),
        ("activity", 10),
        ("mail", 70),
    ];
    for (table, expected) in tables {
        assert_eq!(
            number(
                store,
                &format!("SELECT sum(hits) FROM {}", counts_of(table))
            )
            .await,
            expected,
            "{table}"
        );
    }
}

pub async fn a_token_sent_again_after_a_merge_adds_nothing(store: &Tested) {
    let sums = Builder::default()
        .daily(
            1,
            "2026-03-01",
            Subject::Site,
            "",
            Dimension::Total,
            "",
            hits(10),
        )
        .build();
    store.insert_segment("first", &sums).await.unwrap();
    store.insert_segment("second", &sums).await.unwrap();
    store
        .raw_client()
        .query("OPTIMIZE TABLE daily FINAL")
        .execute()
        .await
        .unwrap();
    store.insert_segment("first", &sums).await.unwrap();
    store.insert_segment("second", &sums).await.unwrap();
    assert_eq!(number(store, "SELECT sum(hits) FROM daily").await, 20);
}

pub async fn a_token_over_three_months_sent_again_adds_nothing(store: &Tested) {
    let mut builder = Builder::default();
    for date in ["2026-01-31", "2026-02-01", "2026-03-01"] {
        builder = builder.daily(1, date, Subject::Site, "", Dimension::Total, "", hits(1));
    }
    let sums = builder.build();
    for _ in 0..3 {
        store.insert_segment("c-1-1", &sums).await.unwrap();
    }
    assert_eq!(number(store, "SELECT sum(hits) FROM daily").await, 3);
    assert_eq!(
        number(
            store,
            "SELECT toUInt64(uniqExact(toYYYYMM(day))) FROM daily"
        )
        .await,
        3
    );
}

/// By default ClickHouse drops a block equal to an earlier one. Counts repeat, so it must never do
/// so.
pub async fn equal_counts_under_two_tokens_are_added(store: &Tested) {
    let sums = Builder::default()
        .daily(
            1,
            "2026-03-01",
            Subject::Site,
            "",
            Dimension::Total,
            "",
            hits(1),
        )
        .build();
    store.insert_segment("c-1-1", &sums).await.unwrap();
    store.insert_segment("c-1-2", &sums).await.unwrap();
    assert_eq!(number(store, "SELECT sum(hits) FROM daily").await, 2);
}

/// A block that ClickHouse splits is not stored as a unit. Fewer rows than a full segment's would
/// not show it.
pub async fn a_full_segment_is_one_part_of_each_table(store: &Tested) {
    const ROWS: u32 = 900_000;
    store
        .raw_client()
        .query("SYSTEM STOP MERGES daily")
        .execute()
        .await
        .unwrap();
    let mut builder = Builder::default();
    let date = day("2026-03-01");
    for row in 0..ROWS {
        let item = if row % 10 == 0 {
            format!("/path/{row}")
        } else {
            String::new()
        };
        builder.add_daily(
            u64::from(row),
            date,
            Subject::Page,
            &item,
            Dimension::Total,
            "",
            hits(1),
        );
    }
    let sums = builder.build();
    store.insert_segment("c-1-1", &sums).await.unwrap();
    store.insert_segment("c-1-1", &sums).await.unwrap();
    let parts = "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'daily' AND active";
    assert_eq!(number(store, parts).await, 1);
    assert_eq!(
        number(store, "SELECT sum(hits) FROM daily").await,
        u64::from(ROWS)
    );
}

/// The engine cuts inline data at the first 0A 0A and reports success; 2570 is 0A 0A. Inserts must
/// not send inline data.
pub async fn integers_of_two_line_ends_are_all_stored(store: &Tested) {
    let mut builder = Builder::default();
    for site in 0..30_000 {
        builder.add_daily(
            site,
            Day::from_number(2570),
            Subject::Site,
            "",
            Dimension::Total,
            "",
            hits(2570),
        );
    }
    store
        .insert_segment("c-1-1", &builder.build())
        .await
        .unwrap();
    assert_eq!(
        number(store, "SELECT sum(hits) FROM daily").await,
        30_000 * 2570
    );
    assert_eq!(
        number(
            store,
            &format!("SELECT uniqExact(site) FROM {}", counts_of("daily"))
        )
        .await,
        30_000
    );

    // The same with the crate's own inserts, with data in the body and inline after VALUES.
    store
        .raw_client()
        .query("CREATE TABLE plain (n UInt64) ENGINE = MergeTree ORDER BY n")
        .execute()
        .await
        .unwrap();
    let mut insert = store.raw_client().insert::<Number>("plain").await.unwrap();
    for n in 0..30_000 {
        insert.write(&Number { n }).await.unwrap();
    }
    insert.end().await.unwrap();
    store
        .raw_client()
        .query("INSERT INTO plain VALUES (30000),\n\n(30001)")
        .execute()
        .await
        .unwrap();
    assert_eq!(number(store, "SELECT count() FROM plain").await, 30_002);
    assert_eq!(
        number(store, "SELECT sum(n) FROM plain").await,
        (0..=30_001).sum::<u64>()
    );
}

#[derive(clickhouse::Row, serde::Serialize, serde::Deserialize)]
struct Number {
    n: u64,
}

pub async fn text_with_empty_lines_and_nul_is_stored(store: &Tested) {
    let texts = [
        "\n\n",
        "a\n\nb",
        "\0",
        "\r\n\r\n",
        "",
        "é\u{1f600}",
        "'\\'",
        "\u{202e}",
    ];
    let mut builder = Builder::default();
    for text in texts {
        let (subject, dim) = (Subject::Page, Dimension::Source);
        builder = builder.daily(1, "2026-03-01", subject, text, dim, text, people(1, 1));
    }
    let long = "\n".repeat(1 << 20);
    builder = builder.daily(
        1,
        "2026-03-01",
        Subject::Page,
        &long,
        Dimension::Total,
        "",
        hits(1),
    );
    store
        .insert_segment("c-1-1", &builder.build())
        .await
        .unwrap();

    let rows = daily(store).await;
    assert_eq!(rows.len(), texts.len() + 1);
    for text in texts {
        assert_eq!(
            rows.iter()
                .filter(|row| row.item == text && row.value == text)
                .count(),
            1,
            "{text:?}"
        );
    }
    assert_eq!(rows.iter().map(|row| row.item.len()).max(), Some(1 << 20));
}

/// The engine repeats the header of the format in each chunk; the second one would be read as rows.
pub async fn a_long_answer_has_one_header(store: &Tested) {
    let mut rows = store
        .raw_client()
        .query("SELECT number AS n FROM numbers(1000000)")
        .fetch::<Number>()
        .unwrap();
    let mut expected = 0;
    while let Some(row) = rows.next().await.unwrap() {
        assert_eq!(row.n, expected);
        expected += 1;
    }
    assert_eq!(expected, 1_000_000);
    let none: Vec<Number> = store
        .raw_client()
        .query("SELECT number AS n FROM numbers(0)")
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(none.len(), 0);
}

pub async fn an_error_in_the_middle_of_an_answer_is_an_error(store: &Tested) {
    let sql = "SELECT toUInt64(number + throwIf(number = 3000000)) AS n FROM numbers(10000000) SETTINGS max_threads = 1";
    let mut rows = store.raw_client().query_raw(sql).fetch::<Number>().unwrap();
    let mut read = 0_u64;
    let error = loop {
        match rows.next().await {
            Ok(Some(_)) => read += 1,
            Ok(None) => panic!("the answer ended after {read} rows as if it were whole"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("Code: 395"), "{error}");
    assert!(read > 1_000_000 && read < 3_000_000, "{read}");
}

pub async fn a_parameter_may_hold_anything(store: &Tested) {
    for text in [
        "",
        "a",
        "\n\n--boundary\r\n",
        "'; DROP TABLE daily; --",
        "\\N",
        "é\t",
    ] {
        let query = store
            .raw_client()
            .query_raw("SELECT {x:String}")
            .param("x", text);
        assert_eq!(query.fetch_one::<String>().await.unwrap(), text);
        let bound: String = store
            .raw_client()
            .query("SELECT ?")
            .bind(text)
            .fetch_one()
            .await
            .unwrap();
        assert_eq!(bound, text);
    }
}

pub async fn an_insert_that_is_dropped_adds_nothing(store: &Tested) {
    let mut insert = store
        .raw_client()
        .insert_formatted_with("INSERT INTO drops (hour, reason, hits) FORMAT TSV");
    insert
        .send(Bytes::from_static(b"2026-03-01 00:00:00\tgpc\t1\n"))
        .await
        .unwrap();
    drop(insert);
    // Long enough for the engine to notice the end of the connection.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(number(store, "SELECT count() FROM drops").await, 0);
}

pub async fn a_slow_query_holds_up_no_other(store: &Tested) {
    let slow = store
        .raw_client()
        .query("SELECT toUInt64(sleep(3))")
        .fetch_one::<u64>();
    let slow = async {
        slow.await.unwrap();
        Instant::now()
    };
    let quick = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(number(store, "SELECT toUInt64(1)").await, 1);
        Instant::now()
    };
    let (slow_ended, quick_ended) = tokio::join!(slow, quick);
    assert!(quick_ended < slow_ended, "the quick one waited");
}

pub async fn a_setting_of_one_query_is_gone_with_it(store: &Tested) {
    let client = store.raw_client().clone();
    let sql = "SELECT toUInt64(getSetting('max_block_size'))";
    let usual: u64 = client.query(sql).fetch_one().await.unwrap();
    let set: u64 = client
        .query(sql)
        .with_setting("max_block_size", "1234")
        .fetch_one()
        .await
        .unwrap();
    let inside: u64 = client
        .query(&format!("{sql} SETTINGS max_block_size = 4321"))
        .fetch_one()
        .await
        .unwrap();
    client
        .query("SET max_block_size = 777")
        .execute()
        .await
        .unwrap();
    for _ in 0..8 {
        assert_eq!(client.query(sql).fetch_one::<u64>().await.unwrap(), usual);
    }
    assert_eq!((set, inside), (1234, 4321));
    let unknown = client
        .query("SELECT 1")
        .with_setting("no_such_setting", "1")
        .execute()
        .await
        .unwrap_err();
    assert!(unknown.to_string().contains("Code: 115"), "{unknown}");
}

pub async fn errors_tell_the_code_and_never_the_data(store: &Tested) {
    store
        .raw_client()
        .query("ALTER TABLE drops DROP COLUMN hits")
        .execute()
        .await
        .unwrap_or_default();
    store
        .raw_client()
        .query("RENAME TABLE drops TO drops_away")
        .execute()
        .await
        .unwrap();
    let sums = Builder::default()
        .drop(1_772_323_200, DropReason::Dnt, 40)
        .build();
    let error = store.insert_new_segment("c-1-1", &sums).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ClickHouse refused an insert into drops: code 60 UNKNOWN_TABLE: a table is gone"
    );
    assert_eq!((error.error_code(), error.is_retryable()), (Some(60), true));

    // Once the table exists again, the same token succeeds.
    store
        .raw_client()
        .query("RENAME TABLE drops_away TO drops")
        .execute()
        .await
        .unwrap();
    store.insert_segment("c-1-1", &sums).await.unwrap();
    assert_eq!(
        number(
            store,
            &format!("SELECT sum(hits) FROM {}", counts_of("drops"))
        )
        .await,
        40
    );
}

/// The sum of two of these exceeds 64 bits. Whole rows are added by merges, which must not wrap
/// either.
pub async fn sums_of_money_do_not_wrap(store: &Tested) {
    for token in ["m-1", "m-2", "m-3"] {
        let sums = Builder::default()
            .money(7, day("2026-03-01"), "buy", *b"EUR", 1, u64::MAX)
            .build();
        store.insert_segment(token, &sums).await.unwrap();
    }
    let expected = [format!("('EUR',3,{})", 3 * u128::from(u64::MAX))];
    let sums = format!(
        "SELECT toString((currency, sum(hits), sum(minor))) FROM {} GROUP BY currency",
        counts_of("money")
    );
    assert_eq!(texts(store, &sums).await, expected);
    store
        .raw_client()
        .query("OPTIMIZE TABLE money FINAL")
        .execute()
        .await
        .unwrap();
    assert_eq!(texts(store, &sums).await, expected);
    assert_eq!(
        number(
            store,
            &format!("SELECT count() FROM {}", counts_of("money"))
        )
        .await,
        1
    );
}

pub async fn connecting_again_changes_nothing(store: &Tested) {
    let sums = Builder::default()
        .daily(
            1,
            "2026-03-01",
            Subject::Site,
            "",
            Dimension::Total,
            "",
            hits(10),
        )
        .build();
    store.insert_segment("c-1-1", &sums).await.unwrap();
    let again = store.again().await.unwrap();
    drop(again);
    assert_eq!(number(store, "SELECT sum(hits) FROM daily").await, 10);
    assert_eq!(
        texts(store, "SELECT toString((number, name)) FROM migrations").await,
        [
            "(1,'counts')",
            "(2,'registry')",
            "(3,'pages')",
            "(4,'platform')",
            "(5,'access')",
            "(6,'mail')",
            "(7,'site ids')",
            "(8,'withdrawals')",
            "(9,'shares')",
            "(10,'money')",
            "(11,'markers')",
            "(12,'share names')",
            "(13,'retention')",
            "(14,'registry index')",
            "(15,'activity months')",
            "(16,'sign-outs')"
        ]
    );
}

pub async fn a_database_of_a_later_version_is_refused(store: &Tested) {
    store
        .raw_client()
        .query("INSERT INTO migrations (number, name) SELECT 99, 'later'")
        .execute()
        .await
        .unwrap();
    let Err(error) = store.again().await else {
        panic!("it was opened")
    };
    assert!(
        matches!(
            error,
            StoreError::SchemaTooNew {
                found: 99,
                known: NEWEST_SCHEMA
            }
        ) && !error.is_retryable()
    );
    assert!(error.to_string().contains("has schema 99"), "{error}");
}

/// All entries of the registry, read in pages, without their revisions.
async fn registered(store: &Store) -> (Vec<SiteRule>, Vec<AliasRule>) {
    let (mut sites, mut aliases) = (Vec::new(), Vec::new());
    let mut after = String::new();
    loop {
        let page = store.read_registered_sites(&after).await.unwrap();
        if page.is_empty() {
            break;
        }
        for change in page {
            let RegistryChange::Site { rule, .. } = change else {
                panic!("{change:?} is no site");
            };
            after.clone_from(&rule.id);
            sites.push(rule);
        }
    }
    after.clear();
    loop {
        let page = store.read_registered_aliases(&after).await.unwrap();
        if page.is_empty() {
            return (sites, aliases);
        }
        for change in page {
            let RegistryChange::Alias { rule, .. } = change else {
                panic!("{change:?} is no alias");
            };
            after.clone_from(&rule.alias);
            aliases.push(rule);
        }
    }
}

pub async fn what_was_registered_last_holds_and_what_was_removed_is_gone(store: &Tested) {
    let site = |id: &str, hosts: &[&str]| SiteRule {
        id: id.to_owned(),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        zone: "Asia/Kolkata".to_owned(),
        embed: vec![format!("https://{id}.example")],
        max_amount: (id == "mia").then_some(50),
        keep_days: (id == "mia").then_some(90),
    };
    let alias = |site: &str| AliasRule {
        alias: "mia-new".to_owned(),
        site: site.to_owned(),
    };
    assert_eq!(registered(store).await, (vec![], vec![]));

    let mut known = store.registry_revisions().await.unwrap();
    assert_eq!(known, RegistryRevisions::default());
    let mut changes = Vec::new();
    for number in 0..6 {
        let next = store.next_registry_revisions(known).await.unwrap();
        let registered = |rule| RegistryChange::Site {
            rule,
            revision: next.sites,
        };
        let named = |rule| RegistryChange::Alias {
            rule,
            revision: next.aliases,
        };
        let change = match number {
            0 => registered(site("mia", &["mia.example"])),
            1 => registered(site("tom", &[])),
            2 => registered(site("mia", &["mia.example", "it's.example"])),
            3 => RegistryChange::RemovedSite {
                name: "tom".to_owned(),
                revision: next.sites,
            },
            4 => named(alias("mia")),
            _ => named(alias("tom")),
        };
        store.insert_registry_change(&change).await.unwrap();
        changes.push(store.read_registry_changes(known).await.unwrap().unwrap());
        known = store.registry_revisions().await.unwrap();
    }

    // Each change is the only one with a higher revision than those before.
    let mut revisions = RegistryRevisions::default();
    for change in &changes {
        assert_eq!(change.len(), 1, "{changes:?}");
        let after = revisions.after_changes(change);
        assert!(revisions.is_below(after), "{changes:?}");
        revisions = after;
    }
    assert_eq!(revisions, known);
    assert!(matches!(&changes[3][0], RegistryChange::RemovedSite { name, .. } if name == "tom"));
    let all = store.read_registry_changes(RegistryRevisions::default());
    let all = all.await.unwrap().unwrap();
    assert_eq!(all, [&changes[2][..], &changes[3], &changes[5]].concat());

    let expected = (
        vec![site("mia", &["mia.example", "it's.example"])],
        vec![alias("tom")],
    );
    assert_eq!(registered(store).await, expected);
    for table in ["sites", "aliases"] {
        store
            .raw_client()
            .query(&format!("OPTIMIZE TABLE {table} FINAL"))
            .execute()
            .await
            .unwrap();
    }
    assert_eq!(registered(&store.again().await.unwrap()).await, expected);
}

/// Such a name cannot be found in practice; if one existed, the sum would not be shown as either
/// site's.
pub async fn a_name_with_the_id_of_another_site_is_told(store: &Tested) {
    let (mia, tom) = (SiteId::from_key("mia"), SiteId::from_key("tom"));
    let names = |names: &[(SiteId, &str)]| {
        names
            .iter()
            .map(|(id, name)| (*id, (*name).to_owned()))
            .collect::<Vec<_>>()
    };
    for _ in 0..2 {
        assert_eq!(
            store
                .insert_site_names(&names(&[(mia, "mia"), (tom, "tom")]))
                .await
                .unwrap(),
            []
        );
    }
    assert_eq!(
        store
            .insert_site_names(&names(&[(mia, "forged"), (tom, "tom")]))
            .await
            .unwrap(),
        [mia]
    );
    store
        .raw_client()
        .query("OPTIMIZE TABLE names FINAL")
        .execute()
        .await
        .unwrap();
    assert_eq!(
        store
            .insert_site_names(&names(&[(mia, "mia")]))
            .await
            .unwrap(),
        [mia]
    );
    let known = store
        .read_site_names(&[mia.as_u128(), tom.as_u128()])
        .await
        .unwrap();
    assert_eq!(known, [(tom.as_u128(), "tom".to_owned())]);
}

async fn message(store: &Tested, digest: &SecretDigest) -> Option<(String, u16, bool)> {
    store
        .read_message_state(digest)
        .await
        .unwrap()
        .map(|row| (row.template, row.opened, row.revoked))
}

pub async fn a_message_is_opened_once_and_what_was_revoked_stays_revoked(store: &Tested) {
    let [one, two, unknown] = [(); 3].map(|()| generate_message_secret().0);
    let (first, second) = (day("2026-03-10"), day("2026-03-11"));
    let (listed, others) = (["welcome".to_owned()], ["billing_receipt".to_owned()]);
    store
        .register_messages(&[one, two], "welcome", day("2026-04-09"))
        .await
        .unwrap();
    assert_eq!(
        message(store, &one).await,
        Some(("welcome".into(), 0, false))
    );
    store
        .record_opened_messages(&[one, unknown], &listed, first)
        .await
        .unwrap();
    store
        .record_opened_messages(&[one, one], &listed, second)
        .await
        .unwrap();
    assert_eq!(
        message(store, &one).await,
        Some(("welcome".into(), first.as_number(), false))
    );
    assert_eq!(
        (message(store, &two).await, message(store, &unknown).await),
        (Some(("welcome".into(), 0, false)), None)
    );
    // Nothing is recorded after a message's last day, nor for a template that is no longer listed.
    store
        .record_opened_messages(&[two], &listed, day("2026-04-10"))
        .await
        .unwrap();
    store
        .record_opened_messages(&[two], &others, first)
        .await
        .unwrap();
    store
        .record_opened_messages(&[two], &[], first)
        .await
        .unwrap();
    assert_eq!(
        message(store, &two).await,
        Some(("welcome".into(), 0, false))
    );
    for digest in [&one, &two] {
        store.revoke_message(digest).await.unwrap();
    }
    store
        .record_opened_messages(&[one, two], &listed, first)
        .await
        .unwrap();
    store
        .raw_client()
        .query("OPTIMIZE TABLE messages FINAL")
        .execute()
        .await
        .unwrap();
    for digest in [&one, &two] {
        assert_eq!(
            message(store, digest).await,
            Some(("welcome".into(), 0, true))
        );
    }
    let opened = "SELECT count() FROM messages WHERE opened != toDate(0)";
    let until = Instant::now() + Duration::from_secs(100);
    while number(store, opened).await > 0 {
        assert!(
            Instant::now() < until,
            "what a revoked message told is still there"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub async fn messages_are_forgotten_after_their_last_day(store: &Tested) {
    let [short, long] = [(); 2].map(|()| generate_message_secret().0);
    store
        .register_messages(&[short], "welcome", day("2026-03-31"))
        .await
        .unwrap();
    store
        .register_messages(&[long], "welcome", day("2026-04-01"))
        .await
        .unwrap();
    store
        .apply_retention(day("2026-03-31"), &RetentionPolicy::uniform(400))
        .await
        .unwrap();
    assert!(message(store, &short).await.is_some());
    store
        .apply_retention(day("2026-04-01"), &RetentionPolicy::uniform(400))
        .await
        .unwrap();
    let until = Instant::now() + Duration::from_secs(100);
    while message(store, &short).await.is_some() {
        assert!(
            Instant::now() < until,
            "a message is there after its last day"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(message(store, &long).await.is_some());
}

/// A segment's file is removed once its inserts are acknowledged.
pub async fn what_is_acknowledged_is_synced(store: &Tested) {
    let unsynced = "SELECT name FROM system.tables WHERE database = currentDatabase() \
                    AND name IN ('daily', 'unpublished', 'pending', 'published', 'publications', 'site_ids', 'hourly', 'money', 'drops', 'vitals', 'faults', 'activity', 'activity_months', 'mail', 'messages', 'names', 'sites', 'aliases', \
                    'tokens', 'shares', 'audit', 'withdrawals', 'sign_outs', 'money_voids') \
                    AND NOT (create_table_query LIKE '%fsync_after_insert = 1%' \
                    AND create_table_query LIKE '%fsync_part_directory = 1%')";
    assert_eq!(texts(store, unsynced).await, Vec::<String>::new());
}

/// Sketches and states contain the hash of each visitor, and a column for a person invites its use.
pub async fn no_column_could_hold_a_person(store: &Tested) {
    const WORDS: [&str; 9] = [
        "ip",
        "addr",
        "agent",
        "ua",
        "visitor_id",
        "session",
        "fingerprint",
        "hash",
        "cookie",
    ];
    let columns: Vec<(String, String, String)> = store
        .raw_client()
        .query(
            "SELECT table, name, type FROM system.columns WHERE database = currentDatabase() ORDER BY table, position",
        )
        .fetch_all()
        .await
        .unwrap();
    let daily: Vec<&str> = columns
        .iter()
        .filter(|(table, ..)| table == "daily")
        .map(|(_, name, _)| name.as_str())
        .collect();
    assert_eq!(daily[4..], CounterKind::ALL.map(CounterKind::name));
    for (table, name, kind) in &columns {
        assert!(
            !kind.contains("AggregateFunction"),
            "{table}.{name} is a state: {kind}"
        );
        let padded = format!("_{}_", name.to_lowercase());
        for word in WORDS {
            assert!(
                !padded.contains(&format!("_{word}_")),
                "{table}.{name} is named after a person's {word}"
            );
        }
        assert!(
            (table == "sites" && ["hosts", "embed", "removed"].contains(&name.as_str()))
                || (table == "aliases" && name == "removed")
                || (table == "vitals" && name == "bucket")
                || (table == "tokens" && ["scopes", "revoked"].contains(&name.as_str()))
                || (table == "shares" && name == "revoked")
                || (table == "audit" && name == "at")
                || (table == "messages" && name == "revoked")
                || (table == "publications" && ["closes", "segments", "done"].contains(&name.as_str()))
                || (name == "site" && kind == "UInt128")
                || (table == "money" && name == "minor")
                || (table == "money_voids" && name == "booked")
                // Names of parts of a table of counts.
                || (table == "activity_months" && name == "parts")
                // The digest of a consent id or a session that is no longer valid.
                || (["withdrawals", "sign_outs"].contains(&table.as_str()) && name == "digest")
                || ["UInt64", "UInt32", "Int64", "Date", "DateTime('UTC')", "LowCardinality(String)", "String"]
                    .contains(&kind.as_str()),
            "{table}.{name} is a {kind}"
        );
    }
    let names: Vec<&str> = Dimension::ALL
        .map(Dimension::name)
        .into_iter()
        .filter(|name| !name.is_empty())
        .collect();
    let mut tables: Vec<&str> = columns.iter().map(|(table, ..)| table.as_str()).collect();
    tables.dedup();
    assert_eq!(
        tables,
        [
            "activity",
            "activity_months",
            "aliases",
            "audit",
            "coin_keys",
            "daily",
            "drops",
            "faults",
            "hourly",
            "mail",
            "messages",
            "migrations",
            "money",
            "money_voids",
            "names",
            "pending",
            "publications",
            "published",
            "shares",
            "sign_outs",
            "site_ids",
            "sites",
            "tokens",
            "unpublished",
            "vitals",
            "withdrawals"
        ]
    );
    for table in tables {
        let of_table = columns.iter().filter(|(t, ..)| t == table);
        let dimensions = of_table
            .filter(|(_, name, _)| name == "dim" || names.contains(&name.as_str()))
            .count();
        assert!(
            dimensions <= 1,
            "{table} joins {dimensions} attributes in one row"
        );
    }
}
