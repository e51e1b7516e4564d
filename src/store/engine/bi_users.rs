//! The ClickHouse users of the BI port, and the one that owns its views.
//!
//! The embedded engine reads users from its configuration only, so a fixed number of them is made
//! at its start and each token in use gets one (`src/bi_port`). They may read the views and nothing
//! else. The views run with the rights of [`BI_VIEWS_OWNER`], whose row policies let through the
//! rows of the site that `bi_access` names for the user who asks; ClickHouse applies them in the
//! read of the table, before any condition of the statement.

use std::fmt::Write as _;

/// Prefix of the users' names; a number from 1 follows.
pub const BI_USER_PREFIX: &str = "bi_";

/// The user with whose rights the views run. No login exists for it.
pub const BI_VIEWS_OWNER: &str = "bi_views";

/// Tables with a site and a day that the views read.
const DAY_TABLES: [&str; 6] = [
    "daily",
    "activity",
    "published",
    "money",
    "vitals",
    "faults",
];
/// Tables of the platform without a site, with the expression of their day.
const PLATFORM_TABLES: [(&str, &str); 2] = [("mail", "day"), ("drops", "toDate(hour)")];

/// Settings that no statement may change, with their values. The first group holds limits; the
/// second keeps memory off the disk; the third keeps results from being shared between users; the
/// fourth holds texts that ClickHouse parses as expressions or as another language.
const FIXED_SETTINGS: [(&str, &str); 27] = [
    ("allow_ddl", "0"),
    ("allow_introspection_functions", "0"),
    ("allow_get_client_http_header", "0"),
    ("implicit_select", "0"),
    ("queue_max_wait_ms", "5000"),
    ("priority", "0"),
    ("cancel_http_readonly_queries_on_client_close", "1"),
    ("function_sleep_max_microseconds_per_block", "1000000"),
    ("function_range_max_elements_in_block", "10000000"),
    ("storage_file_read_method", "pread"),
    ("send_logs_level", "none"),
    ("max_sessions_for_user", "64"),
    ("max_bytes_before_external_group_by", "0"),
    ("max_bytes_ratio_before_external_group_by", "0"),
    ("max_bytes_before_external_sort", "0"),
    ("max_bytes_ratio_before_external_sort", "0"),
    ("max_temporary_data_on_disk_size_for_query", "1"),
    ("max_temporary_data_on_disk_size_for_user", "1"),
    ("use_query_cache", "0"),
    ("use_query_condition_cache", "0"),
    ("additional_table_filters", "{}"),
    ("additional_result_filter", ""),
    ("parallel_replicas_custom_key", ""),
    ("dialect", "clickhouse"),
    ("compatibility", ""),
    ("enable_parallel_replicas", "0"),
    ("timeout_overflow_mode", "throw"),
];

/// The users of the BI port and their limits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BiUsers {
    /// How many there are: tokens that are in use at the same time.
    pub count: u32,
    /// The collector's database. The views are in the one with `_bi` after its name.
    pub database: String,
    /// Bytes for the statements of a user together.
    pub query_memory: u64,
    /// Longest run time of a statement.
    pub query_seconds: u32,
    /// Rows of one result.
    pub result_rows: u64,
    /// Statements of a user that run at the same time. Those of all users may be as many when the
    /// collector's connections are busy.
    pub queries: usize,
}

impl BiUsers {
    /// The database of the views.
    pub fn views_database(&self) -> String {
        format!("{}_bi", self.database)
    }

    /// The number of statements, the collector's included, at which no further one of these users
    /// begins. One is always running, the one that waits for the end of the engine's input.
    pub(super) fn all_queries(&self, connections: usize) -> usize {
        self.queries + connections + 1
    }

    /// The profile, in XML.
    pub(super) fn render_profile(&self, threads: u32, connections: usize) -> String {
        let memory = self.query_memory.to_string();
        let (seconds, rows) = (self.query_seconds.to_string(), self.result_rows.to_string());
        let (threads, queries) = (threads.max(1).to_string(), self.queries.to_string());
        let all_queries = self.all_queries(connections).to_string();
        // Zero means no limit, so there is a minimum as well.
        let bounded = [
            ("max_memory_usage", memory.as_str()),
            ("max_execution_time", &seconds),
            ("max_result_rows", &rows),
            ("max_result_bytes", &memory),
            ("max_threads", &threads),
        ];
        let mut fixed = FIXED_SETTINGS.to_vec();
        fixed.push(("max_memory_usage_for_user", &memory));
        fixed.push(("max_concurrent_queries_for_user", &queries));
        fixed.push(("max_concurrent_queries_for_all_users", &all_queries));

        let mut xml = String::from("<bi><readonly>2</readonly>");
        for (name, value) in bounded.iter().chain(&fixed) {
            let _ = write!(xml, "<{name}>{value}</{name}>");
        }
        xml.push_str("<constraints>");
        for (name, value) in bounded {
            let _ = write!(xml, "<{name}><min>1</min><max>{value}</max></{name}>");
        }
        for (name, _) in fixed {
            let _ = write!(xml, "<{name}><readonly/></{name}>");
        }
        xml.push_str("</constraints></bi>\n");
        xml
    }

    /// The users, in XML. `digest` is of their password, `unknown` of one that was thrown away.
    pub(super) fn render_users(&self, digest: &str, unknown: &str) -> String {
        let mut xml = String::new();
        let views = self.views_database();
        for number in 1..=self.count {
            let name = format!("{BI_USER_PREFIX}{number}");
            let _ = writeln!(
                xml,
                "<{name}><password_sha256_hex>{digest}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks>\
                 <profile>bi</profile><quota>default</quota><default_database>{views}</default_database>\
                 <grants><query>GRANT SELECT ON {views}.*</query></grants></{name}>"
            );
        }
        let _ = writeln!(
            xml,
            "<{BI_VIEWS_OWNER}><password_sha256_hex>{unknown}</password_sha256_hex><networks><ip>255.255.255.255</ip></networks>\
             <profile>collector</profile><quota>default</quota><grants>{}</grants><databases><{db}>{}</{db}></databases></{BI_VIEWS_OWNER}>",
            self.render_grants(),
            self.render_policies(),
            db = self.database,
        );
        xml
    }

    fn render_grants(&self) -> String {
        let tables = DAY_TABLES
            .into_iter()
            .chain(["hourly", "money_voids", "names"]);
        let tables = tables.chain(PLATFORM_TABLES.map(|(table, _)| table));
        let mut xml = String::new();
        // Of `activity_months`, a view reads only which months there are.
        for table in tables.chain(["activity_months", "bi_access"]) {
            let _ = write!(
                xml,
                "<query>GRANT SELECT ON {}.{table}</query>",
                self.database
            );
        }
        xml
    }

    /// A user without a row in `bi_access` gets an error instead of nothing: after a restart of the
    /// engine a statement could otherwise find no rows and look answered.
    fn render_policies(&self) -> String {
        let latest = |column: &str| {
            format!(
                "(SELECT if(throwIf(count() = 0, \
                 'the token is not registered with the engine') = 0, \
                 argMax({column}, revision), 0) FROM {}.bi_access WHERE user = currentUser())",
                self.database
            )
        };
        let (site, platform) = (latest("site"), latest("platform"));
        let first_day = latest("toUInt32(first_day)");
        let of_site = format!("({platform} = 1 OR site = {site})");
        let kept = |day: &str| format!("toUInt32({day}) &gt;= {first_day}");

        let mut filters: Vec<(&str, String)> = Vec::new();
        for table in DAY_TABLES {
            filters.push((table, format!("{of_site} AND {}", kept("day"))));
        }
        filters.push(("hourly", format!("{of_site} AND {}", kept("toDate(hour)"))));
        filters.push(("money_voids", of_site.clone()));
        filters.push(("names", of_site));
        for (table, day) in PLATFORM_TABLES {
            filters.push((table, format!("{platform} = 1 AND {}", kept(day))));
        }

        let mut xml = String::new();
        for (table, filter) in filters {
            let _ = write!(xml, "<{table}><filter>{filter}</filter></{table}>");
        }
        xml
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_cannot_be_lifted_and_each_table_of_a_site_has_a_policy() {
        let users = BiUsers {
            count: 2,
            database: "footfall".to_owned(),
            query_memory: 1 << 26,
            query_seconds: 60,
            result_rows: 1000,
            queries: 4,
        };
        let profile = users.render_profile(2, 4);
        // A limit of 0 would be none.
        assert!(profile.contains("<max_execution_time><min>1</min><max>60</max>"));
        assert!(profile.contains("<max_memory_usage><min>1</min><max>67108864</max>"));
        assert!(profile.contains(
            "<max_concurrent_queries_for_all_users>9</max_concurrent_queries_for_all_users>"
        ));
        for (name, _) in FIXED_SETTINGS {
            assert!(
                profile.contains(&format!("<{name}><readonly/></{name}>")),
                "{name}"
            );
        }

        let xml = users.render_users("digest", "unknown");
        assert_eq!(xml.matches("GRANT SELECT ON footfall_bi.*").count(), 2);
        let tables = DAY_TABLES
            .into_iter()
            .chain(["hourly", "money_voids", "names"]);
        for table in tables {
            assert!(
                xml.contains(&format!("<{table}><filter>((SELECT if(")),
                "{table}"
            );
        }
    }
}
