//! The tables, and the migrations that create them.
//!
//! A migration is a numbered file of statements, each safe to repeat, because a crash may happen
//! between two of them. Migrations run when a store is connected. A database with a later number
//! than this binary knows is rejected, since its tables may have another meaning. The SQL is the
//! same everywhere except for the engine clause and ON CLUSTER. What SQL alone cannot do is a step
//! in Rust.

mod site_ids;

use super::client::StoreClient;
use super::error::{StoreError, error_during};
use crate::event::CounterKind;
use crate::random::random_u64;

/// The number of inserts for which ClickHouse remembers a token. Only publication sends tokens, as
/// a lock between collectors.
pub(super) const DEDUPLICATION_WINDOW: u32 = 100_000;

struct Migration {
    number: u32,
    name: &'static str,
    sql: &'static str,
    step: MigrationStep,
}

/// How the statements of a migration are executed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MigrationStep {
    /// One after the other.
    Sql,
    /// By [`site_ids`].
    SiteIds,
}

/// All migrations, numbered from 1 without gaps.
const MIGRATIONS: [Migration; 16] = [
    Migration {
        number: 1,
        name: "counts",
        sql: include_str!("schema/0001_counts.sql"),
        step: MigrationStep::Sql,
    },
    Migration {
        number: 2,
        name: "registry",
        sql: include_str!("schema/0002_registry.sql"),
        step: MigrationStep::Sql,
    },
    Migration {
        number: 3,
        name: "pages",
        sql: include_str!("schema/0003_pages.sql"),
        step: MigrationStep::Sql,
    },
    Migration {
        number: 4,
        name: "platform",
        sql: include_str!("schema/0004_platform.sql"),
        step: MigrationStep::Sql,
    },
    Migration {
        number: 5,
        name: "access",
        sql: include_str!("schema/0005_access.sql"),
        step: MigrationStep::Sql,
    },
    Migration {
        number: 6,
        name: "mail",
        sql: include_str!("schema/0006_mail.sql"),
        step: MigrationStep::Sql,
    },
    Migration {
        number: 7,
        name: "site ids",
        sql: include_str!("schema/0007_site_ids.sql"),
        step: MigrationStep::SiteIds,
    },
    Migration {
        number: 8,
        name: "withdrawals",
        sql: include_str!("schema/0008_withdrawals.sql"),
        step: MigrationStep::Sql,
    },
    Migration {
        number: 9,
        name: "shares",
        sql: include_str!("schema/0009_shares.sql"),
        step: MigrationStep::Sql,
    },
    Migration {
        number: 10,
        name: "money",
        sql: include_str!("schema/0010_money.sql"),
        step: MigrationStep::Sql,
    },
    Migration {
        number: 11,
        name: "markers",
        sql: include_str!("schema/0011_markers.sql"),
        step: MigrationStep::Sql,
    },
    Migration {
        number: 12,
        name: "share names",
        sql: include_str!("schema/0012_share_names.sql"),
        step: MigrationStep::Sql,
    },
    Migration {
        number: 13,
        name: "retention",
        sql: include_str!("schema/0013_retention.sql"),
        step: MigrationStep::Sql,
    },
    Migration {
        number: 14,
        name: "registry index",
        sql: include_str!("schema/0014_registry.sql"),
        step: MigrationStep::Sql,
    },
    Migration {
        number: 15,
        name: "activity months",
        sql: include_str!("schema/0015_activity_months.sql"),
        step: MigrationStep::Sql,
    },
    Migration {
        number: 16,
        name: "sign-outs",
        sql: include_str!("schema/0016_sign_outs.sql"),
        step: MigrationStep::Sql,
    },
];

/// The statement that creates the table of completed migrations.
const APPLIED_MIGRATIONS_SQL: &str = include_str!("schema/migrations.sql");

/// The number of the schema that this binary writes and reads.
pub const NEWEST_SCHEMA: u32 = MIGRATIONS[MIGRATIONS.len() - 1].number;

/// Age in hours from which a side table is considered abandoned by a crash, not in use by another
/// collector.
const ABANDONED_AFTER_HOURS: u32 = 24;

string_enum! {
    /// A table that receives the counts of segments, in the order in which a segment is sent to
    /// them.
    pub enum CountsTable {
        /// Totals by site, day and item.
        Daily = "daily",
        /// Attributes of visitors until they are published.
        Unpublished = "unpublished",
        /// Totals by site and UTC hour.
        Hourly = "hourly",
        /// Revenue by site, day, event and currency.
        Money = "money",
        /// Hits that were not counted, by UTC hour and reason.
        Drops = "drops",
        /// Histograms of web vitals by site, day, page and class of device.
        Vitals = "vitals",
        /// Faults by site, day and page.
        Faults = "faults",
        /// The totals of sites in `daily` once more, ordered by day first.
        Activity = "activity",
        /// Opens and clicks of mails by day, template and mail batch.
        Mail = "mail",
    }
}

impl CountsTable {
    /// The columns that identify a row.
    pub const fn key_columns(self) -> &'static [&'static str] {
        match self {
            CountsTable::Daily => &["site", "day", "subject", "item"],
            CountsTable::Unpublished => &[
                "site", "zone", "day", "subject", "item", "dim", "value", "segment",
            ],
            CountsTable::Hourly => &["site", "hour"],
            CountsTable::Money => &["site", "day", "event", "currency"],
            CountsTable::Drops => &["hour", "reason"],
            CountsTable::Vitals => &["site", "day", "path", "device", "metric", "bucket"],
            CountsTable::Faults => &["site", "day", "path", "kind", "fault"],
            CountsTable::Activity => &["day", "site"],
            CountsTable::Mail => &["day", "template", "batch", "action", "link", "reader"],
        }
    }

    /// The columns that are summed. Hours have no exits and entries, which belong to pages.
    pub fn counter_columns(self) -> Vec<&'static str> {
        let counters = CounterKind::ALL.into_iter();
        match self {
            CountsTable::Daily => counters.map(CounterKind::name).collect(),
            CountsTable::Hourly | CountsTable::Activity => counters
                .filter(|c| !c.is_page_only())
                .map(CounterKind::name)
                .collect(),
            CountsTable::Unpublished => vec!["visitors", "visits", "networks"],
            CountsTable::Money => vec!["hits", "minor"],
            CountsTable::Mail => vec!["hits", "visitors"],
            CountsTable::Drops | CountsTable::Vitals | CountsTable::Faults => vec!["hits"],
        }
    }

    /// All columns, in the order of an insert: keys, then counters.
    pub fn all_columns(self) -> Vec<&'static str> {
        [self.key_columns(), &self.counter_columns()].concat()
    }

    /// The definitions of the counters in a CREATE TABLE statement.
    fn counter_definitions(self) -> String {
        let columns = self
            .counter_columns()
            .into_iter()
            .map(|name| format!("{name} UInt64 CODEC(ZSTD(1))"));
        columns.collect::<Vec<_>>().join(",\n    ")
    }

    /// The engine clause on a single machine.
    pub fn engine_clause(self) -> String {
        format!("SummingMergeTree(({}))", self.counter_columns().join(", "))
    }

    /// The engine clause on a cluster.
    fn replicated_engine_clause(self) -> String {
        format!(
            "ReplicatedSummingMergeTree({REPLICA_PATH}, ({}))",
            self.counter_columns().join(", ")
        )
    }
}

/// Path and name of a replica, in the server's own macros: the text is the same on every node.
const REPLICA_PATH: &str = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'";

/// The same, for tables that every node holds completely.
const FULL_REPLICA_PATH: &str = "'/clickhouse/tables/all/{database}/{table}', '{shard}-{replica}'";

/// Settings with which acknowledged inserts survive a power cut, not only a crash.
pub(super) const SYNCED_SETTINGS: &str = "fsync_after_insert = 1, fsync_part_directory = 1";

/// Settings that sync merged parts, and remove their source parts within a minute, because source
/// parts show which counts were inserted together.
const SHORT_LIVED_SETTINGS: &str = "old_parts_lifetime = 30, min_rows_to_fsync_after_merge = 1";

/// Replaces the placeholders in braces.
fn render_sql(sql: &str, cluster: Option<&str>) -> String {
    let replicated = cluster.is_some();
    let on_cluster = cluster.map_or_else(String::new, |name| {
        format!(" ON CLUSTER {}", quote_name(name))
    });
    let plain = if replicated {
        format!("ReplicatedMergeTree({REPLICA_PATH})")
    } else {
        "MergeTree".to_owned()
    };
    let settings = format!(
        "non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}, \
         replicated_deduplication_window = {DEDUPLICATION_WINDOW}, \
         replicated_deduplication_window_seconds = 604800"
    );

    let mut sql = sql
        .replace("{on_cluster}", &on_cluster)
        .replace("{settings}", &settings);
    for table in CountsTable::ALL {
        let engine = if replicated {
            table.replicated_engine_clause()
        } else {
            table.engine_clause()
        };
        sql = sql
            .replace(
                &format!("{{{}.columns}}", table.name()),
                &table.counter_definitions(),
            )
            .replace(&format!("{{{}.engine}}", table.name()), &engine);
    }

    for (word, everywhere, version) in [
        ("{registry.engine}", true, "revision"),
        ("{replacing.everywhere}", true, ""),
        ("{replacing}", false, ""),
        ("{replacing.lot}", false, "lot"),
        ("{replacing.done}", true, "done"),
    ] {
        let place = if everywhere {
            FULL_REPLICA_PATH
        } else {
            REPLICA_PATH
        };
        let engine = match (replicated, version) {
            (true, "") => format!("ReplicatedReplacingMergeTree({place})"),
            (true, version) => format!("ReplicatedReplacingMergeTree({place}, {version})"),
            (false, version) => format!("ReplacingMergeTree({version})"),
        };
        sql = sql.replace(word, &engine);
    }
    sql.replace("{plain.engine}", &plain)
        .replace("{synced}", SYNCED_SETTINGS)
        .replace("{short_lived}", SHORT_LIVED_SETTINGS)
}

/// The statements of a file, without its comments: a `;` or `?` in a comment neither ends a
/// statement nor is a parameter.
pub(super) fn split_statements(sql: &str) -> Vec<String> {
    let code: Vec<&str> = sql
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"))
        .collect();
    code.join("\n")
        .split(';')
        .map(str::trim)
        .filter(|s| !s.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Brings the database to [`NEWEST_SCHEMA`]. Two collectors may do so at the same time. `client`
/// has the deadline of long calls, `calls` that of short ones. `names` are the configured sites;
/// `alone` says that no other process uses the database.
///
/// # Errors
///
/// The database has a later schema, or a statement fails. Completed migrations stay, and the next
/// call continues with the rest.
pub async fn apply_migrations(
    (client, calls): (&StoreClient, &StoreClient),
    database: &str,
    cluster: Option<&str>,
    names: &[String],
    alone: bool,
) -> Result<(), StoreError> {
    // This call has the short deadline, so that a server that hangs is detected before the
    // statements that may take long. The database may not exist yet.
    let create = render_sql(
        &format!(
            "CREATE DATABASE IF NOT EXISTS {}{{on_cluster}}",
            quote_name(database)
        ),
        cluster,
    );
    // A user may lack the right to create databases where an administrator made this one.
    if !has_database(calls, database).await? {
        run_statement(&calls.with_database("default"), &create).await?;
    }
    // Read first: while a node of a cluster is away, a statement for all nodes waits for it and
    // fails, also one that has nothing to do.
    if !has_table(calls, database, "migrations").await? {
        run_statement(
            client,
            &split_statements(&render_sql(APPLIED_MIGRATIONS_SQL, cluster))[0],
        )
        .await?;
    }

    let found: u32 = client
        .query("SELECT max(number) FROM migrations")
        .fetch_one()
        .await
        .map_err(error_during("reading migrations"))?;
    if found > NEWEST_SCHEMA {
        return Err(StoreError::SchemaTooNew {
            found,
            known: NEWEST_SCHEMA,
        });
    }

    drop_abandoned_tables(client, cluster, alone).await?;

    for migration in MIGRATIONS
        .iter()
        .filter(|migration| migration.number > found)
    {
        let statements = split_statements(&render_sql(migration.sql, cluster));
        match migration.step {
            MigrationStep::Sql => {
                for statement in &statements {
                    run_statement(client, statement).await?;
                }
            }
            MigrationStep::SiteIds => {
                site_ids::SiteIdMigration {
                    client,
                    cluster,
                    statements: &statements,
                    configured_names: names,
                }
                .run()
                .await?
            }
        }

        let done = client.query("INSERT INTO migrations (number, name) SELECT ?, ?");
        done.bind(migration.number)
            .bind(migration.name)
            .execute()
            .await
            .map_err(error_during("recording a migration"))?;
        tracing::info!(
            number = migration.number,
            name = migration.name,
            "the database's schema was changed"
        );
    }
    Ok(())
}

async fn has_database(calls: &StoreClient, database: &str) -> Result<bool, StoreError> {
    let sql = "SELECT toBool(count() > 0) FROM system.databases WHERE name = ?";
    let query = calls.with_database("default").query(sql).bind(database);
    query
        .fetch_one()
        .await
        .map_err(error_during("looking for the database"))
}

async fn has_table(calls: &StoreClient, database: &str, name: &str) -> Result<bool, StoreError> {
    let sql = "SELECT toBool(count() > 0) FROM system.tables WHERE database = ? AND name = ?";
    let query = calls.with_database("default").query(sql).bind(database);
    query
        .bind(name)
        .fetch_one()
        .await
        .map_err(error_during("looking for the migrations"))
}

/// The statements that create a table in its newest form: its last CREATE TABLE and what changed it
/// later.
pub(super) fn table_statements(table: &str, cluster: Option<&str>) -> Vec<String> {
    let mut statements = Vec::new();
    for migration in &MIGRATIONS {
        for statement in split_statements(&render_sql(migration.sql, cluster)) {
            let is_named = |before: &str| {
                let rest = statement.strip_prefix(before);
                rest.and_then(|rest| rest.split([' ', '\n']).next()) == Some(table)
            };
            if is_named("CREATE TABLE IF NOT EXISTS ") {
                statements.clear();
                statements.push(statement);
            } else if is_named("ALTER TABLE ") {
                statements.push(statement);
            }
        }
    }
    statements
}

/// The tables that the migrations leave behind, in order of their names.
pub(super) fn table_names() -> Vec<String> {
    let mut names: Vec<String> = MIGRATIONS
        .iter()
        .flat_map(|migration| split_statements(&render_sql(migration.sql, None)))
        .filter_map(|statement| {
            let rest = statement.strip_prefix("CREATE TABLE IF NOT EXISTS ")?;
            rest.split(' ').next().map(str::to_owned)
        })
        // Dropped by the step in Rust that gave sites ids of 128 bits.
        .filter(|name| name != "folds")
        .collect();
    names.sort();
    names.dedup();
    names
}

/// A unique name for a table that is filled and then renamed into place.
pub(super) fn side_table_name(table: &str) -> String {
    format!("{table}_side_{:016x}", random_u64())
}

/// Drops side tables left by a crash, and those of former versions that rolled up months.
async fn drop_abandoned_tables(
    client: &StoreClient,
    cluster: Option<&str>,
    alone: bool,
) -> Result<(), StoreError> {
    let sql = "SELECT name FROM system.tables WHERE database = currentDatabase() \
               AND match(name, '^[a-z]+_(side|fold)_[0-9a-f]{16}$') \
               AND metadata_modification_time <= now() - toIntervalHour(?)";

    let hours = if alone { 0 } else { ABANDONED_AFTER_HOURS };
    let names: Vec<String> = client
        .query(sql)
        .bind(hours)
        .fetch_all()
        .await
        .map_err(error_during("looking for side tables"))?;

    for name in names {
        let on_cluster = cluster.map_or_else(String::new, |name| {
            format!(" ON CLUSTER {}", quote_name(name))
        });
        run_statement(
            client,
            &format!("DROP TABLE IF EXISTS {name}{on_cluster} SYNC"),
        )
        .await?;
    }
    Ok(())
}

async fn run_statement(client: &StoreClient, sql: &str) -> Result<(), StoreError> {
    client
        .query_raw(sql)
        .execute()
        .await
        .map_err(error_during("a migration"))
}

/// Creates the database.
///
/// # Errors
///
/// The store cannot be reached in time, or ClickHouse refuses the statement.
pub(super) async fn create_database(
    client: &StoreClient,
    database: &str,
) -> Result<(), StoreError> {
    let sql = format!("CREATE DATABASE IF NOT EXISTS {}", quote_name(database));
    let query = client.with_database("default").query_raw(&sql).execute();
    query.await.map_err(error_during("creating a database"))
}

/// A name in backticks.
pub(super) fn quote_name(name: &str) -> String {
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
        let single = split_statements(&render_sql(MIGRATIONS[0].sql, None));
        let cluster = split_statements(&render_sql(MIGRATIONS[0].sql, Some("prod")));
        assert_eq!((single.len(), cluster.len()), (5, 5));
        for (single, cluster) in single.iter().zip(cluster) {
            let back = cluster
                .replace(" ON CLUSTER `prod`", "")
                .replace(
                    &format!("ReplicatedSummingMergeTree({REPLICA_PATH}, "),
                    "SummingMergeTree(",
                )
                .replace(&format!("ReplicatedMergeTree({REPLICA_PATH})"), "MergeTree");
            assert_eq!(&back, single);
            assert!(
                cluster.contains("ON CLUSTER `prod`") && cluster.contains("ENGINE = Replicated")
            );
        }
    }

    #[test]
    fn a_table_is_made_anew_in_its_newest_form() {
        let activity = table_statements("activity", None);
        assert_eq!(activity.len(), 2, "{activity:?}");
        assert!(activity[0].contains("site UInt128") && activity[1].contains("window = 0"));
        let shares = table_statements("shares", Some("prod"));
        assert!(
            shares[0].starts_with("CREATE") && shares.len() == 3,
            "{shares:?}"
        );
        let names = table_names();
        assert!(names.len() >= 20, "{names:?}");
        for name in &names {
            assert!(
                table_statements(name, None)[0].starts_with("CREATE"),
                "{name}"
            );
        }
        for table in CountsTable::ALL {
            assert!(names.iter().any(|name| name == table.name()));
        }
    }

    #[test]
    fn every_word_in_braces_is_filled() {
        for sql in MIGRATIONS
            .iter()
            .map(|migration| migration.sql)
            .chain([APPLIED_MIGRATIONS_SQL])
        {
            assert!(!render_sql(sql, None).contains('{'));
        }
    }
}
