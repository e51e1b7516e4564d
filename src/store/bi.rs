//! The views of the BI port, and which rows each of its users may see.

use super::Store;
use super::engine::BI_VIEWS_OWNER;
use super::error::{StoreError, error_during};
use super::marker::{exclude_marker_sites, exclude_marker_texts};
use crate::calendar::Day;
use crate::event::{LOADS_PER_OPENER, SiteId};

const STEP: &str = "the BI port's views";
const VIEWS_SQL: &str = include_str!("bi_views.sql");

/// What a user of the BI port may see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BiReach {
    /// The only site; `None` for the platform.
    pub site: Option<SiteId>,
    /// The first day that is shown.
    pub first_day: Day,
}

impl Store {
    /// Makes the views, and the table that says what each user may see, which is in memory and
    /// empty at first. `k` is the threshold of mails. Safe to repeat.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a statement.
    pub async fn prepare_bi(&self, k: u32) -> Result<(), StoreError> {
        let db = &self.database;
        let access = format!(
            "CREATE TABLE IF NOT EXISTS {db}.bi_access (user String, platform UInt8, site UInt128, \
             first_day Date, \
             revision UInt64) ENGINE = Memory"
        );
        let database = format!("CREATE DATABASE IF NOT EXISTS {db}_bi");
        let views = render_views(db, k);
        let views = super::schema::split_statements(&views);

        for statement in [database, access].into_iter().chain(views) {
            self.short_client
                .query_raw(&statement)
                .execute()
                .await
                .map_err(error_during(STEP))?;
        }
        Ok(())
    }

    /// Sets what a user of the BI port may see from now on.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the insert.
    pub async fn set_bi_reach(&self, user: &str, reach: &BiReach) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO {db}.bi_access SELECT ?, ?, ?, toDate(?), \
             assumeNotNull((SELECT max(revision) FROM {db}.bi_access)) + 1",
            db = self.database
        );
        let site = reach.site.map_or(0, SiteId::as_u128);
        self.short_client
            .query(&sql)
            .bind(user)
            .bind(u8::from(reach.site.is_none()))
            .bind(site)
            .bind(reach.first_day.as_number())
            .execute()
            .await
            .map_err(error_during(STEP))
    }

    /// Ends the statements of a user of the BI port.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the statement.
    pub async fn kill_bi_queries(&self, user: &str) -> Result<(), StoreError> {
        self.short_client
            .query("KILL QUERY WHERE user = ? SYNC")
            .bind(user)
            .execute()
            .await
            .map_err(error_during(STEP))
    }
}

fn render_views(db: &str, k: u32) -> String {
    let join_names = format!(
        "LEFT JOIN (SELECT site AS named, any(name) AS known_name FROM {db}.names GROUP BY site \
         HAVING uniqExact(name) = 1) AS n ON t.id = n.named"
    );
    VIEWS_SQL
        .replace("{join_names}", &join_names)
        .replace(
            "{site_name}",
            "if(n.known_name = '', lower(hex(t.id)), n.known_name)",
        )
        .replace(
            "{owner}",
            &format!("DEFINER = {BI_VIEWS_OWNER} SQL SECURITY DEFINER"),
        )
        .replace(
            "{real_site}",
            &format!("site != 0 AND {}", exclude_marker_sites()),
        )
        .replace("{real_template}", &exclude_marker_texts("mail.template"))
        .replace("{real_reason}", &exclude_marker_texts("drops.reason"))
        .replace("{k_loads}", &(u64::from(k) * LOADS_PER_OPENER).to_string())
        .replace("{db}", db)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_belongs_to_the_owner_and_no_placeholder_is_left() {
        let sql = render_views("footfall", 5);
        let views = super::super::schema::split_statements(&sql);
        assert_eq!(views.len(), 13);
        for view in &views {
            assert!(
                view.contains("DEFINER = bi_views SQL SECURITY DEFINER"),
                "{view}"
            );
            assert!(!view.contains('{'), "{view}");
        }
        for table in [
            "pending",
            "unpublished",
            "tokens",
            "shares",
            "withdrawals",
            "sign_outs",
            "messages",
        ] {
            assert!(!sql.contains(&format!("footfall.{table}")), "{table}");
        }
    }
}
