//! The step of migration 7 that needs code: every table is written anew under the ids of 128 bits.
//!
//! What must hold: a crash, or a second collector at the same time, leaves at each moment either the former table or the whole of the
//! new one, and running the step again ends the same. So the former tables are set aside first (`daily` becomes `daily_v6`; nobody
//! writes there any more), a new table is filled under a name of its own, its sums are compared with the former one's, and it takes
//! its place by a rename that fails where somebody else was quicker. The former tables go last. Each statement looks at one month at
//! a time, and of sites only at their ids, so memory does not grow with the counts.

use std::collections::HashMap;

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::{Table, run};
use crate::event::{OTHER, SiteId};
use crate::store::client::Client;
use crate::store::engine::quoted_name;
use crate::store::error::{StoreError, failed};

/// Tables whose former self has ids of 64 bits.
const FORMER: [&str; 7] = ["daily", "hourly", "money", "vitals", "faults", "activity", "names"];

/// Cells below this many visitors were folded by month, and are where late rows came after their month was folded.
const SMALL: u32 = 5;

/// Names that are looked at together.
const PAGE: usize = 20_000;

const UNKNOWN_TABLE: u32 = 60;
const TABLE_ALREADY_EXISTS: u32 = 57;

const STEP: &str = "the migration to ids of 128 bits";

/// A former row with the site's new id, or the former one where nobody knows its name.
const ID: &str = "if(ids.site = 0, toUInt128(old.site), ids.site)";

#[derive(Row, Serialize)]
struct IdRow {
    legacy: u64,
    site: u128,
}

/// A former id and what it was called; more than two names are not looked at.
#[derive(Row, Deserialize)]
struct Named {
    site: u64,
    names: Vec<String>,
}

#[derive(Row, Serialize)]
struct NameRow<'a> {
    site: u128,
    name: &'a str,
    revision: u64,
}

/// The id a site had in former versions.
fn former_id(name: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(name.as_bytes()).max(1)
}

fn aside(table: &str) -> String {
    format!("{table}_v6")
}

pub(super) struct Change<'a> {
    pub(super) client: &'a Client,
    pub(super) cluster: Option<&'a str>,
    /// The statements that make the tables.
    pub(super) statements: &'a [String],
    /// What sites are called that the configuration names.
    pub(super) names: &'a [String],
}

impl Change<'_> {
    pub(super) async fn run(&self) -> Result<(), StoreError> {
        for table in ["site_ids", "pending", "publications", "coin_keys"] {
            run(self.client, self.statement(table)?).await?;
        }
        for table in FORMER {
            self.set_aside(table).await?;
        }
        self.learn_ids().await?;

        for table in [Table::Hourly, Table::Money, Table::Vitals, Table::Faults, Table::Activity] {
            self.put(table.name(), async |side| self.copy(table, side).await).await?;
        }
        self.put("names", async |side| self.copy_names(side).await).await?;
        self.put("published", async |side| self.publish_folded(side).await).await?;
        self.put("unpublished", async |side| self.keep_unfolded(side).await).await?;
        self.put("daily", async |side| self.copy_totals(side).await).await?;

        self.say_unknown().await?;
        for table in FORMER.map(aside).into_iter().chain(["folds".to_owned()]) {
            run(self.client, &format!("DROP TABLE IF EXISTS {table}{} SYNC", self.on_cluster())).await?;
        }
        Ok(())
    }

    fn on_cluster(&self) -> String {
        self.cluster.map_or_else(String::new, |name| format!(" ON CLUSTER {}", quoted_name(name)))
    }

    fn statement(&self, table: &str) -> Result<&str, StoreError> {
        let head = format!("CREATE TABLE IF NOT EXISTS {table}");
        let is_of = |sql: &&String| sql.strip_prefix(&head).is_some_and(|rest| rest.starts_with([' ', '(']));
        let found = self.statements.iter().find(is_of);
        found.map(String::as_str).ok_or(StoreError::Answer { step: STEP, kind: "a table is not in its file" })
    }

    /// The type of a table's `site`; `None` where there is no such table.
    async fn id_type(&self, table: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT type FROM system.columns WHERE database = currentDatabase() AND table = ? AND name = 'site'";
        self.client.query(sql).bind(table).fetch_optional().await.map_err(failed(STEP))
    }

    async fn is_there(&self, table: &str) -> Result<bool, StoreError> {
        let sql = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = ?";
        let found: u64 = self.client.query(sql).bind(table).fetch_one().await.map_err(failed(STEP))?;
        Ok(found > 0)
    }

    async fn set_aside(&self, table: &str) -> Result<(), StoreError> {
        if self.id_type(table).await?.as_deref() != Some("UInt64") {
            return Ok(());
        }
        let rename = format!("RENAME TABLE {table} TO {}{}", aside(table), self.on_cluster());
        match run(self.client, &rename).await {
            // Another collector set it aside in the meantime.
            Err(error) if error.code() == Some(UNKNOWN_TABLE) => {}
            done => done?,
        }
        if self.cluster.is_some() {
            run(self.client, &format!("SYSTEM SYNC REPLICA {}", aside(table))).await?;
        }
        Ok(())
    }

    /// Fills a table beside, and puts it in place. Nothing to do where it is in place already.
    async fn put(&self, table: &str, fill: impl AsyncFnOnce(&str) -> Result<(), StoreError>) -> Result<(), StoreError> {
        if self.id_type(table).await?.is_some() {
            return Ok(());
        }
        let side = super::side_name(table);
        let create = self.statement(table)?.replacen(&format!("IF NOT EXISTS {table}"), &side, 1);
        run(self.client, &create).await?;
        fill(&side).await?;
        let rename = format!("RENAME TABLE {side} TO {table}{}", self.on_cluster());
        match run(self.client, &rename).await {
            // Another collector was quicker: its table is as whole as ours.
            Err(error) if error.code() == Some(TABLE_ALREADY_EXISTS) => {
                run(self.client, &format!("DROP TABLE IF EXISTS {side}{} SYNC", self.on_cluster())).await
            }
            done => done,
        }
    }

    /// The months a table has rows of.
    async fn months(&self, table: &str) -> Result<Vec<u32>, StoreError> {
        let sql = "SELECT DISTINCT toUInt32(partition_id) FROM system.parts WHERE database = currentDatabase() \
                   AND table = ? AND active AND rows > 0 ORDER BY 1";
        self.client.query(sql).bind(table).fetch_all().await.map_err(failed(STEP))
    }

    async fn copy(&self, table: Table, side: &str) -> Result<(), StoreError> {
        let from = aside(table.name());
        let time = if table == Table::Hourly { "hour" } else { "day" };
        let columns = table.columns();
        let old = columns.iter().map(|name| if *name == "site" { ID.to_owned() } else { format!("old.{name}") });
        let (into, old) = (columns.join(", "), old.collect::<Vec<_>>().join(", "));
        for month in self.months(&from).await? {
            self.fill(&format!(
                "INSERT INTO {side} ({into}) SELECT {old} FROM {} WHERE toYYYYMM(old.{time}) = {month}",
                joined(&from)
            ))
            .await?;
        }
        let sums = sums_of(&table.counters());
        self.same(&format!("SELECT {sums} FROM {from}"), &format!("SELECT {sums} FROM {side}")).await
    }

    async fn copy_totals(&self, side: &str) -> Result<(), StoreError> {
        let from = aside("daily");
        let counters = Table::Daily.counters();
        let old = counters.iter().map(|name| format!("old.{name}")).collect::<Vec<_>>().join(", ");
        for month in self.months(&from).await? {
            self.fill(&format!(
                "INSERT INTO {side} (site, day, subject, item, {}) SELECT {ID}, old.day, old.subject, old.item, {old} \
                 FROM {} WHERE toYYYYMM(old.day) = {month} AND old.dim = ''",
                counters.join(", "),
                joined(&from)
            ))
            .await?;
        }
        let sums = sums_of(&counters);
        let former = format!("SELECT {sums} FROM {from} WHERE dim = ''");
        self.same(&former, &format!("SELECT {sums} FROM {side}")).await
    }

    /// Attributes of months that were folded are published as their months.
    async fn publish_folded(&self, side: &str) -> Result<(), StoreError> {
        let from = aside("daily");
        let (folded, _) = self.months_by_fold(&from).await?;
        for month in &folded {
            let (year, number) = (month / 100, month % 100);
            // As the fold did it: rows that came later than the last fold stand by day, and their cells may be small.
            self.fill(&format!(
                "INSERT INTO {side} (site, day, subject, item, dim, value, lot, visitors, visits) \
                 SELECT {ID}, toLastDayOfMonth(toDate('{year:04}-{number:02}-01')), old.subject, old.item, old.dim, old.kept, 0, \
                 old.n, old.m FROM (SELECT site, subject, item, dim, kept, sum(visitors) AS n, sum(visits) AS m FROM ( \
                     SELECT site, subject, item, dim, if(sum(n) < {SMALL}, '{OTHER}', toString(value)) AS kept, \
                     sum(n) AS visitors, sum(m) AS visits FROM (SELECT site, subject, item, dim, value, visitors AS n, \
                     visits AS m FROM {from} WHERE toYYYYMM(day) = {month} AND dim != '') \
                     GROUP BY site, subject, dim, item, value \
                 ) GROUP BY site, subject, dim, item, kept) AS old \
                 LEFT ANY JOIN site_ids AS ids ON ids.legacy = old.site",
            ))
            .await?;
        }
        self.same_people(&from, &folded, side).await
    }

    /// Attributes of other months wait by day for their publication.
    async fn keep_unfolded(&self, side: &str) -> Result<(), StoreError> {
        let from = aside("daily");
        let (_, unfolded) = self.months_by_fold(&from).await?;
        for month in &unfolded {
            self.fill(&format!(
                "INSERT INTO {side} (site, zone, day, subject, item, dim, value, segment, visitors, visits, networks) \
                 SELECT {ID}, '', old.day, old.subject, old.item, old.dim, old.value, 0, old.visitors, old.visits, \
                 old.visitors FROM {} WHERE toYYYYMM(old.day) = {month} AND old.dim != ''",
                joined(&from)
            ))
            .await?;
        }
        self.same_people(&from, &unfolded, side).await
    }

    async fn same_people(&self, from: &str, months: &[u32], side: &str) -> Result<(), StoreError> {
        let sums = sums_of(&["visitors", "visits"]);
        // Not a list of SQL: of no month at all it would be an error.
        let of = format!("SELECT {sums} FROM {from} WHERE dim != '' AND has({months:?}, toYYYYMM(day))");
        self.same(&of, &format!("SELECT {sums} FROM {side}")).await
    }

    /// The months of `daily` that were folded, and the others.
    async fn months_by_fold(&self, from: &str) -> Result<(Vec<u32>, Vec<u32>), StoreError> {
        let sql = "SELECT DISTINCT month FROM folds WHERE counts = 'daily'";
        let folded: Vec<u32> = match self.is_there("folds").await? {
            true => self.client.query(sql).fetch_all().await.map_err(failed(STEP))?,
            false => Vec::new(),
        };
        Ok(self.months(from).await?.into_iter().partition(|month| folded.contains(month)))
    }

    /// Takes down which new id each former one became, of all sites whose names are known.
    async fn learn_ids(&self) -> Result<(), StoreError> {
        let mut known: HashMap<u64, Option<String>> = HashMap::new();
        for name in self.named_one_by_one().await? {
            let one = known.entry(former_id(&name)).or_insert_with(|| Some(name.clone()));
            if one.as_ref().is_some_and(|one| *one != name) {
                *one = None;
            }
        }
        let mut clashes = known.values().filter(|name| name.is_none()).count();
        let rows = |(legacy, name): (&u64, &Option<String>)| Some((*legacy, SiteId::of(name.as_deref()?)));
        self.put_ids(known.iter().filter_map(rows).collect()).await?;

        let names = aside("names");
        let mut after = 0;
        while self.is_there(&names).await? {
            let page = self.page_of_names(&names, after).await?;
            let Some(last) = page.last() else { break };
            after = last.site;
            let mut ids = Vec::with_capacity(page.len());
            for Named { site: legacy, names } in &page {
                // A name that stands in the configuration or the registry is the site's, whatever else has its former id.
                match (known.get(legacy), names.as_slice()) {
                    (None, [name]) => ids.push((*legacy, SiteId::of(name))),
                    (Some(Some(own)), [name]) if own == name => {}
                    _ => clashes += 1,
                }
            }
            self.put_ids(ids).await?;
        }
        if clashes > 0 {
            tracing::error!(
                clashes,
                "former ids of sites stood for two names each; what was counted under such an id stays with the name that is \
                 configured or registered, or with none"
            );
        }
        Ok(())
    }

    /// The names of the configuration and of the registry, removed entries too: they were counted once.
    async fn named_one_by_one(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT name FROM (SELECT name FROM sites UNION ALL SELECT arrayJoin([alias, site]) AS name \
                   FROM aliases) WHERE name != ''";
        let mut names: Vec<String> = self.client.query(sql).fetch_all().await.map_err(failed(STEP))?;
        names.extend(self.names.iter().cloned());
        Ok(names)
    }

    async fn page_of_names(&self, table: &str, after: u64) -> Result<Vec<Named>, StoreError> {
        let sql = format!(
            "SELECT site, groupUniqArray(2)(name) AS names FROM {table} WHERE site > ? GROUP BY site ORDER BY site LIMIT {PAGE}"
        );
        self.client.query(&sql).bind(after).fetch_all().await.map_err(failed(STEP))
    }

    async fn put_ids(&self, ids: Vec<(u64, SiteId)>) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut insert = self.client.insert::<IdRow>("site_ids").await.map_err(failed(STEP))?;
        for (legacy, site) in ids {
            insert.write(&IdRow { legacy, site: site.as_u128() }).await.map_err(failed(STEP))?;
        }
        insert.end().await.map_err(failed(STEP))
    }

    async fn copy_names(&self, side: &str) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            let page = self.page_of_names(&aside("names"), after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.site;
            let mut insert = self.client.insert::<NameRow<'_>>(side).await.map_err(failed(STEP))?;
            for name in page.iter().flat_map(|named| &named.names) {
                let row = NameRow { site: SiteId::of(name).as_u128(), name, revision: 0 };
                insert.write(&row).await.map_err(failed(STEP))?;
            }
            insert.end().await.map_err(failed(STEP))?;
        }
    }

    async fn say_unknown(&self) -> Result<(), StoreError> {
        let sql =
            "SELECT count() FROM (SELECT site FROM daily WHERE site BETWEEN 1 AND 18446744073709551615 GROUP BY site)";
        let unknown: u64 = self.client.query(sql).fetch_one().await.map_err(failed(STEP))?;
        if unknown > 0 {
            tracing::warn!(
                sites = unknown,
                "sites whose names nobody knows keep their former ids; no report shows them"
            );
        }
        Ok(())
    }

    async fn fill(&self, sql: &str) -> Result<(), StoreError> {
        let query = self
            .client
            .query_raw(sql)
            .with_setting("max_execution_time", "0")
            // Equal blocks are two blocks: under a token that nobody else has, whatever the server deduplicates by itself.
            .with_setting("insert_deduplication_token", super::side_name("fill"))
            .with_setting("max_partitions_per_insert_block", "0")
            .with_setting("max_threads", "1")
            .with_setting("max_insert_threads", "1")
            .with_setting("join_use_nulls", "0")
            .with_setting("optimize_aggregation_in_order", "1")
            .with_setting("max_bytes_before_external_group_by", "134217728")
            .with_setting("max_bytes_before_external_sort", "134217728");
        query.execute().await.map_err(failed(STEP))
    }

    async fn same(&self, former: &str, new: &str) -> Result<(), StoreError> {
        let sums = async |sql: &str| {
            let query = self.client.query_raw(sql).with_setting("max_execution_time", "0");
            query.fetch_one::<String>().await.map_err(failed(STEP))
        };
        if sums(former).await? == sums(new).await? { Ok(()) } else { Err(StoreError::Moving) }
    }
}

fn joined(from: &str) -> String {
    format!("{from} AS old LEFT ANY JOIN site_ids AS ids ON ids.legacy = old.site")
}

/// As one text.
fn sums_of(counters: &[&str]) -> String {
    let sums: Vec<String> = counters.iter().map(|name| format!("sum({name})")).collect();
    format!("toString(tuple({}))", sums.join(", "))
}
