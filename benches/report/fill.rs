//! A platform of some 13 000 sites over 90 days: most are small, a few have thousands of rows a
//! day. A shard holds those that are its own.
//!
//! A site's day has a *shape*: how many pages, links and events it counts, and how many values each
//! of its attributes has. The engine makes the rows itself, a class of sites after the other.

use std::path::{Path, PathBuf};

use footfall::event::{SiteId, Subject};
use footfall::store::{EngineLimits, Store, StoreOptions};

use crate::{LAST_DAY, Outcome, Shard};

struct Class {
    /// Its first site has this name: the one that is measured.
    name: &'static str,
    sites: u32,
    pages: u32,
    links: u32,
    events: u32,
    /// Values of source, country and campaign; of a site's other attributes an eighth of the first.
    values: [u32; 3],
}

const CLASSES: [Class; 3] = [
    Class {
        name: "large",
        sites: 74,
        pages: 130,
        links: 60,
        events: 20,
        values: [14, 7, 3],
    },
    Class {
        name: "median",
        sites: 1_300,
        pages: 6,
        links: 9,
        events: 1,
        values: [4, 4, 1],
    },
    Class {
        name: "small",
        sites: 11_800,
        pages: 1,
        links: 3,
        events: 0,
        values: [2, 1, 0],
    },
];

pub fn fill(dir: &Path, shard: Shard, days: u32, library: &Path) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    // The embedded engine, which fills the tables, is not a shard: it cannot open them again.
    let marker = shard.data_dir(dir).with_extension("filled");
    if marker.exists() {
        return Ok(());
    }
    runtime.block_on(async {
        let store = Store::connect(&options(dir, shard, library)).await?;
        if rows(&store, "faults").await? > 0 {
            println!("rows of daily: {}", rows(&store, "daily").await?);
            return Ok(());
        }
        for (number, class) in CLASSES.iter().enumerate() {
            sites(&store, (shard, days), number, class).await?;
            println!(
                "{}: {} sites, rows of daily so far {}",
                class.name,
                class.sites,
                rows(&store, "daily").await?
            );
        }
        beside(&store, days).await?;
        for table in [
            "daily",
            "published",
            "hourly",
            "activity",
            "vitals",
            "faults",
        ] {
            run(&store, &format!("OPTIMIZE TABLE {table} FINAL")).await?;
        }
        println!(
            "rows of daily: {}, {:.0} MB in all",
            rows(&store, "daily").await?,
            store.disk_bytes().await? as f64 / 1e6
        );
        if shard.count > 1 {
            record_place(&store, shard).await?;
            std::fs::write(&marker, "")?;
        }
        Ok(())
    })
}

/// Makes the database the shard, as `store/shard.rs` does for one without counts.
async fn record_place(store: &Store, shard: Shard) -> Outcome<()> {
    let create = "CREATE TABLE shard_places (number UInt32, shards UInt32, at DateTime('UTC') \
                  DEFAULT now('UTC')) ENGINE = MergeTree ORDER BY (number, shards)";
    run(store, create).await?;
    let (number, count) = (shard.index + 1, shard.count);
    let insert = format!("INSERT INTO shard_places (number, shards) SELECT {number}, {count}");
    run(store, &insert).await
}

fn options(dir: &Path, shard: Shard, library: &Path) -> StoreOptions {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_footfall"));
    StoreOptions {
        limits: EngineLimits {
            server_memory: 6 << 30,
            query_memory: 4 << 30,
            query_seconds: 3600,
            ..EngineLimits::default()
        },
        ..StoreOptions::embedded(shard.data_dir(dir), program, library.to_owned())
    }
}

/// The rows of one day of a site of the class: subject, item, attribute, value.
fn shape(class: &Class) -> String {
    let [sources, countries, campaigns] = class.values;
    let mut parts = vec!["SELECT 'site' AS subject, '' AS item, '' AS dim, '' AS value".to_owned()];
    // A new dimension that is missing here does not compile.
    let of_site: [(&str, u32); Subject::Site.dimensions().len()] = [
        ("source", sources * 4),
        ("channel", sources.min(9)),
        ("country", countries * 6),
        ("campaign", campaigns * 4),
        ("device", sources.min(4)),
        ("browser", sources),
        ("os", sources.min(7)),
        ("language", countries * 2),
    ];
    for (dim, values) in of_site {
        parts.push(attribute("site", 0, "", dim, values));
    }
    for (subject, items, prefix, dims) in [
        (
            "page",
            class.pages,
            "/u/p/page-",
            &[("source", sources), ("country", countries)][..],
        ),
        (
            "link",
            class.links,
            "link-",
            &[
                ("source", sources),
                ("country", countries),
                ("campaign", campaigns),
            ],
        ),
        (
            "event",
            class.events,
            "event-",
            &[
                ("source", sources),
                ("country", countries),
                ("campaign", campaigns),
            ],
        ),
    ] {
        if items > 0 {
            parts.extend(
                dims.iter()
                    .map(|(dim, values)| attribute(subject, items, prefix, dim, *values)),
            );
            parts.push(format!(
                "SELECT '{subject}', concat('{prefix}', toString(number)), '', '' FROM numbers({items})"
            ));
        }
    }
    parts.join(" UNION ALL ")
}

/// The attribute rows of some items; of the subject itself where it has none.
fn attribute(subject: &str, items: u32, prefix: &str, dim: &str, values: u32) -> String {
    format!(
        "SELECT '{subject}', if({items} = 0, '', concat('{prefix}', toString(i.number))), '{dim}', \
         concat('{dim}-', toString(v.number)) FROM numbers({}) AS i CROSS JOIN numbers({values}) AS v",
        items.max(1)
    )
}

async fn sites(
    store: &Store,
    (shard, days): (Shard, u32),
    number: usize,
    class: &Class,
) -> Outcome<()> {
    let first = SiteId::from_key(class.name).as_u128();
    let id = format!(
        "if(s.number = 0, toUInt128('{first}'), reinterpretAsUInt128(sipHash128(s.number, {number})))"
    );
    let weight = class.values[0] * 3;
    // One month and some hundred sites at a time: an insert of one partition, in the table's order.
    let step = (class.sites / 8).max(20);
    for from in (0..class.sites).step_by(step as usize) {
        let many = step.min(class.sites - from);
        let rows = |columns: &str, only: &str| {
            format!(
                "SELECT {id}, toDate('{LAST_DAY}') - d.number, subject, item, {columns} \
                 FROM (SELECT number FROM numbers({from}, {many})) AS s CROSS JOIN numbers({days}) AS d \
                 CROSS JOIN (SELECT *, 1 + rand(cityHash64(item, value)) % {weight} AS n FROM ({}) WHERE {only}) AS shape \
                 WHERE {id} % {} = {}",
                shape(class),
                shard.count,
                shard.index
            )
        };
        let totals = "n * 2, n, n + n % 2, n % 3, n * 31, if(subject = 'page', n % 4, 0), if(subject = 'page', n % 5, 0)";
        run(
            store,
            &format!("INSERT INTO daily {}", rows(totals, "dim = ''")),
        )
        .await?;
        let sql = format!(
            "INSERT INTO published {}",
            rows("dim, value, 1, n, n + n % 2", "dim != ''")
        );
        run(store, &sql).await?;
    }
    let named = format!("SELECT toUInt128('{first}'), '{}', 0", class.name);
    run(
        store,
        &format!("INSERT INTO names (site, name, revision) {named}"),
    )
    .await
}

/// What is derived from `daily`, and what stands beside it.
async fn beside(store: &Store, days: u32) -> Outcome<()> {
    let of_sites = "FROM daily WHERE subject = 'site'";
    run(store, &format!("INSERT INTO activity SELECT day, site, hits, visitors, visits, bounces, seconds {of_sites}"))
        .await?;
    run(
        store,
        &format!(
            "INSERT INTO hourly SELECT site, toDateTime(day, 'UTC') + h.number * 3600, 1 + hits % 5, 1 + visitors % 4, \
             1 + visits % 4, bounces % 2, seconds % 900 \
             FROM (SELECT * {of_sites}) AS totals CROSS JOIN numbers(24) AS h"
        ),
    )
    .await?;
    let of_platform = format!("subject = 'site' AND day > toDate('{LAST_DAY}') - {days}");
    run(
        store,
        &format!(
            "INSERT INTO daily SELECT 0, day, subject, '', sum(hits), sum(visitors), sum(visits), sum(bounces), \
             sum(seconds), 0, 0 FROM daily WHERE {of_platform} GROUP BY day, subject"
        ),
    )
    .await?;
    run(
        store,
        &format!(
            "INSERT INTO published SELECT 0, day, subject, '', dim, value, 1, sum(visitors), sum(visits) FROM published \
             WHERE {of_platform} GROUP BY day, subject, dim, value"
        ),
    )
    .await?;
    run(
        store,
        "INSERT INTO vitals SELECT site, day, item, device, metric, 20 + rand(bucket) % 40, 1 + hits % 7 FROM \
         (SELECT site, day, item, hits FROM daily WHERE subject = 'page' AND (hits % 3 = 0 OR site % 4 = 0)) AS pages \
         ARRAY JOIN ['phone', 'desktop'] AS device ARRAY JOIN ['LCP', 'INP', 'CLS', 'FCP', 'TTFB'] AS metric \
         ARRAY JOIN [1, 2] AS bucket",
    )
    .await?;
    run(
        store,
        "INSERT INTO faults SELECT site, day, item, 'script', concat('TypeError /app.js:', toString(hits % 9)), 1 FROM daily \
         WHERE subject = 'page' AND hits % 11 = 0",
    )
    .await
}

async fn rows(store: &Store, table: &str) -> Outcome<u64> {
    Ok(store
        .raw_client()
        .query_raw(&format!("SELECT count() FROM {table}"))
        .fetch_one()
        .await?)
}

async fn run(store: &Store, sql: &str) -> Outcome<()> {
    let query = store
        .raw_client()
        .query_raw(sql)
        .with_setting("max_execution_time", "0")
        .with_setting("max_insert_threads", "2");
    let query = query
        .with_setting("max_memory_usage", "0")
        .with_setting("join_algorithm", "default");
    query
        .execute()
        .await
        .map_err(|error| format!("{error}\n{sql}").into())
}
