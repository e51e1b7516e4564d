//! The tables, and the migrations that create them.
//!
//! A migration is a numbered file of statements, each safe to repeat, because a crash may happen
//! between two of them. Migrations run when a store is connected. A database with a later number
//! than this binary knows is refused, since its tables may mean something else. The SQL is the same
//! everywhere except for the engine clause and ON CLUSTER. What SQL alone cannot do is a step in
//! Rust.

mod site_ids;

use super::client::Client;
use super::error::{StoreError, failed};
use crate::event::Counter;

/// The number of inserts for which ClickHouse remembers a token. Only publication still sends one,
/// as a lock between collectors.
const DEDUPLICATION_WINDOW: u32 = 100_000;

struct Migration {
    number: u32,
    name: &'static str,
    sql: &'static str,
    step: Step,
}

/// How the statements of a migration are executed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// One after the other.
    Sql,
    /// By [`site_ids`].
    SiteIds,
}

/// All migrations, numbered from 1 without gaps.
const MIGRATIONS: [Migration; 12] = [
    Migration { number: 1, name: "counts", sql: include_str!("schema/0001_counts.sql"), step: Step::Sql },
    Migration { number: 2, name: "registry", sql: include_str!("schema/0002_registry.sql"), step: Step::Sql },
    Migration { number: 3, name: "pages", sql: include_str!("schema/0003_pages.sql"), step: Step::Sql },
    Migration { number: 4, name: "platform", sql: include_str!("schema/0004_platform.sql"), step: Step::Sql },
    Migration { number: 5, name: "access", sql: include_str!("schema/0005_access.sql"), step: Step::Sql },
    Migration { number: 6, name: "mail", sql: include_str!("schema/0006_mail.sql"), step: Step::Sql },
    Migration { number: 7, name: "site ids", sql: include_str!("schema/0007_site_ids.sql"), step: Step::SiteIds },
    Migration { number: 8, name: "withdrawals", sql: include_str!("schema/0008_withdrawals.sql"), step: Step::Sql },
    Migration { number: 9, name: "shares", sql: include_str!("schema/0009_shares.sql"), step: Step::Sql },
    Migration { number: 10, name: "money", sql: include_str!("schema/0010_money.sql"), step: Step::Sql },
    Migration { number: 11, name: "markers", sql: include_str!("schema/0011_markers.sql"), step: Step::Sql },
    Migration { number: 12, name: "share names", sql: include_str!("schema/0012_share_names.sql"), step: Step::Sql },
];

/// The statement that creates the table of completed migrations.
const LEDGER: &str = include_str!("schema/migrations.sql");

/// The number of the schema that this binary writes and reads.
pub const NEWEST: u32 = MIGRATIONS[MIGRATIONS.len() - 1].number;

/// Age in hours from which a side table is considered left by a crash rather than in use by another
/// collector.
const ABANDONED_AFTER_HOURS: u32 = 24;

/// A table that receives the counts of segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Table {
    /// Totals by site, day and item.
    Daily,
    /// Attributes of visitors until they are published.
    Unpublished,
    /// Totals by site and UTC hour.
    Hourly,
    /// Revenue by site, day, event and currency.
    Money,
    /// Hits that were not counted, by UTC hour and reason.
    Drops,
    /// Histograms of web vitals by site, day, page and class of device.
    Vitals,
    /// Faults by site, day and page.
    Faults,
    /// The totals of sites in `daily` once more, ordered by day first.
    Activity,
    /// Opens and clicks of mails by day, template and mail batch.
    Mail,
}

impl Table {
    /// All tables, in the order in which a segment is sent to them.
    pub const ALL: [Table; 9] = [
        Table::Daily,
        Table::Unpublished,
        Table::Hourly,
        Table::Money,
        Table::Drops,
        Table::Vitals,
        Table::Faults,
        Table::Activity,
        Table::Mail,
    ];

    /// The table's name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Daily => "daily",
            Table::Unpublished => "unpublished",
            Table::Hourly => "hourly",
            Table::Money => "money",
            Table::Drops => "drops",
            Table::Vitals => "vitals",
            Table::Faults => "faults",
            Table::Activity => "activity",
            Table::Mail => "mail",
        }
    }

    /// The columns that identify a row.
    pub const fn keys(self) -> &'static [&'static str] {
        match self {
            Table::Daily => &["site", "day", "subject", "item"],
            Table::Unpublished => &["site", "zone", "day", "subject", "item", "dim", "value", "segment"],
            Table::Hourly => &["site", "hour"],
            Table::Money => &["site", "day", "event", "currency"],
            Table::Drops => &["hour", "reason"],
            Table::Vitals => &["site", "day", "path", "device", "metric", "bucket"],
            Table::Faults => &["site", "day", "path", "kind", "fault"],
            Table::Activity => &["day", "site"],
            Table::Mail => &["day", "template", "batch", "action", "link", "reader"],
        }
    }

    /// The columns that are summed. An hour has no exits and entries, which belong to pages.
    pub fn counters(self) -> Vec<&'static str> {
        let counters = Counter::ALL.into_iter();
        match self {
            Table::Daily => counters.map(Counter::name).collect(),
            Table::Hourly | Table::Activity => counters.filter(|c| !c.is_of_pages()).map(Counter::name).collect(),
            Table::Unpublished => vec!["visitors", "visits", "networks"],
            Table::Money => vec!["hits", "minor"],
            Table::Mail => vec!["hits", "visitors"],
            Table::Drops | Table::Vitals | Table::Faults => vec!["hits"],
        }
    }

    /// All columns, in the order of an insert: keys, then counters.
    pub fn columns(self) -> Vec<&'static str> {
        [self.keys(), &self.counters()].concat()
    }

    /// The definitions of the counters in a CREATE TABLE statement.
    fn definitions(self) -> String {
        let columns = self.counters().into_iter().map(|name| format!("{name} UInt64 CODEC(ZSTD(1))"));
        columns.collect::<Vec<_>>().join(",\n    ")
    }

    /// The engine clause on a single machine.
    pub fn engine(self) -> String {
        format!("SummingMergeTree(({}))", self.counters().join(", "))
    }

    /// The engine clause on a cluster.
    fn replicated_engine(self) -> String {
        format!("ReplicatedSummingMergeTree({REPLICA}, ({}))", self.counters().join(", "))
    }
}

/// Path and name of a replica, in the server's own macros: the text is the same on every node.
const REPLICA: &str = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'";

/// The same, for tables that every node holds completely.
const EVERYWHERE: &str = "'/clickhouse/tables/all/{database}/{table}', '{shard}-{replica}'";

/// Settings with which acknowledged inserts survive a power cut, not only a crash.
const SYNCED: &str = "fsync_after_insert = 1, fsync_part_directory = 1";

/// Settings that sync merged parts, and remove their source parts within a minute: source parts
/// show which counts arrived together.
const SHORT_LIVED: &str = "old_parts_lifetime = 30, min_rows_to_fsync_after_merge = 1";

/// Replaces the placeholders in braces.
fn render(sql: &str, cluster: Option<&str>) -> String {
    let replicated = cluster.is_some();
    let on_cluster = cluster.map_or_else(String::new, |name| format!(" ON CLUSTER {}", quoted_name(name)));
    let plain = if replicated { format!("ReplicatedMergeTree({REPLICA})") } else { "MergeTree".to_owned() };
    let settings = format!(
        "non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}, \
         replicated_deduplication_window = {DEDUPLICATION_WINDOW}, replicated_deduplication_window_seconds = 604800"
    );

    let mut sql = sql.replace("{on_cluster}", &on_cluster).replace("{settings}", &settings);
    for table in Table::ALL {
        let engine = if replicated { table.replicated_engine() } else { table.engine() };
        sql = sql
            .replace(&format!("{{{}.columns}}", table.name()), &table.definitions())
            .replace(&format!("{{{}.engine}}", table.name()), &engine);
    }

    for (word, everywhere, version) in [
        ("{registry.engine}", true, "revision"),
        ("{replacing.everywhere}", true, ""),
        ("{replacing}", false, ""),
        ("{replacing.lot}", false, "lot"),
        ("{replacing.done}", true, "done"),
    ] {
        let place = if everywhere { EVERYWHERE } else { REPLICA };
        let engine = match (replicated, version) {
            (true, "") => format!("ReplicatedReplacingMergeTree({place})"),
            (true, version) => format!("ReplicatedReplacingMergeTree({place}, {version})"),
            (false, version) => format!("ReplacingMergeTree({version})"),
        };
        sql = sql.replace(word, &engine);
    }
    sql.replace("{plain.engine}", &plain).replace("{synced}", SYNCED).replace("{short_lived}", SHORT_LIVED)
}

/// The statements of a file, without its comments: a `;` or `?` in a comment neither ends a
/// statement nor is a parameter.
fn statements(sql: &str) -> Vec<String> {
    let code: Vec<&str> = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    code.join("\n").split(';').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

/// Brings the database to [`NEWEST`]. Two collectors may do so at the same time. `client` has the
/// deadline of long calls, `calls` that of short ones. `names` are the configured sites; `alone`
/// says that no other process uses the database.
///
/// # Errors
///
/// The database has a later schema, or a statement fails. Completed migrations stay, and the next
/// call continues with the rest.
pub async fn migrate(
    (client, calls): (&Client, &Client),
    database: &str,
    cluster: Option<&str>,
    names: &[String],
    alone: bool,
) -> Result<(), StoreError> {
    // This call has the short deadline, so that a server that hangs is detected before the
    // statements that may take long. The database need not exist yet.
    let create = render(&format!("CREATE DATABASE IF NOT EXISTS {}{{on_cluster}}", quoted_name(database)), cluster);
    run(&calls.with_database("default"), &create).await?;
    run(client, &statements(&render(LEDGER, cluster))[0]).await?;

    let found: u32 =
        client.query("SELECT max(number) FROM migrations").fetch_one().await.map_err(failed("reading migrations"))?;
    if found > NEWEST {
        return Err(StoreError::Newer { found, known: NEWEST });
    }

    drop_abandoned(client, cluster, alone).await?;

    for migration in MIGRATIONS.iter().filter(|migration| migration.number > found) {
        let statements = statements(&render(migration.sql, cluster));
        match migration.step {
            Step::Sql => {
                for statement in &statements {
                    run(client, statement).await?;
                }
            }
            Step::SiteIds => site_ids::Change { client, cluster, statements: &statements, names }.run().await?,
        }

        let done = client.query("INSERT INTO migrations (number, name) SELECT ?, ?");
        done.bind(migration.number).bind(migration.name).execute().await.map_err(failed("recording a migration"))?;
        tracing::info!(number = migration.number, name = migration.name, "the database's schema was changed");
    }
    Ok(())
}

/// A unique name under which a table is filled before it takes its place.
fn side_name(table: &str) -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    format!("{table}_side_{:016x}", u64::from_le_bytes(bytes))
}

/// Drops side tables that a crash left, and those of former versions that folded months.
async fn drop_abandoned(client: &Client, cluster: Option<&str>, alone: bool) -> Result<(), StoreError> {
    let sql = "SELECT name FROM system.tables WHERE database = currentDatabase() \
               AND match(name, '^[a-z]+_(side|fold)_[0-9a-f]{16}$') \
               AND metadata_modification_time <= now() - toIntervalHour(?)";

    let hours = if alone { 0 } else { ABANDONED_AFTER_HOURS };
    let names: Vec<String> =
        client.query(sql).bind(hours).fetch_all().await.map_err(failed("looking for side tables"))?;

    for name in names {
        let on_cluster = cluster.map_or_else(String::new, |name| format!(" ON CLUSTER {}", quoted_name(name)));
        run(client, &format!("DROP TABLE IF EXISTS {name}{on_cluster} SYNC")).await?;
    }
    Ok(())
}

async fn run(client: &Client, sql: &str) -> Result<(), StoreError> {
    client.query_raw(sql).execute().await.map_err(failed("a migration"))
}

/// A name in backticks.
pub(super) fn quoted_name(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_from_one_without_gaps() {
        for (at, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.number as usize, at + 1, "{}", migration.name);
        }
    }

    #[test]
    fn a_cluster_changes_the_engine_clause_and_on_cluster_and_nothing_else() {
        let single = statements(&render(MIGRATIONS[0].sql, None));
        let cluster = statements(&render(MIGRATIONS[0].sql, Some("prod")));
        assert_eq!((single.len(), cluster.len()), (5, 5));
        for (single, cluster) in single.iter().zip(cluster) {
            let back = cluster
                .replace(" ON CLUSTER `prod`", "")
                .replace(&format!("ReplicatedSummingMergeTree({REPLICA}, "), "SummingMergeTree(")
                .replace(&format!("ReplicatedMergeTree({REPLICA})"), "MergeTree");
            assert_eq!(&back, single);
            assert!(cluster.contains("ON CLUSTER `prod`") && cluster.contains("ENGINE = Replicated"));
        }
    }

    #[test]
    fn every_word_in_braces_is_filled() {
        for sql in MIGRATIONS.iter().map(|migration| migration.sql).chain([LEDGER]) {
            assert!(!render(sql, None).contains('{'));
        }
    }
}
