//! What is checked of a store before it is used: the server's version, and that no table is gone.

use std::collections::HashSet;

use super::client::StoreClient;
use super::error::{MIN_VERSION, StoreError, error_during};
use super::schema::{self, CountsTable};
use crate::event::{SiteId, Subject};

const STEP: &str = "creating tables that are gone";

/// The totals of sites by month.
const ACTIVITY_MONTHS: &str = "activity_months";

/// Refuses a server that lacks what the statements use. This statement works with every version.
///
/// # Errors
///
/// The server is too old, or it cannot be reached in time.
pub(super) async fn check_version(client: &StoreClient, place: &str) -> Result<(), StoreError> {
    const STEP: &str = "reading its version";

    let failed = error_during(STEP);
    let query = client.with_database("default").query("SELECT version()");
    let mut stream = query.fetch_bytes("TSV").map_err(&failed)?;
    let mut text = Vec::new();
    while let Some(chunk) = stream.next_chunk().await.map_err(&failed)? {
        text.extend_from_slice(&chunk[..chunk.len().min(64)]);
    }
    let text = String::from_utf8_lossy(&text);

    let Some(version) = parse_version(text.trim()) else {
        return Err(StoreError::UnexpectedResponse {
            step: STEP,
            kind: "not the expected bytes",
        });
    };
    if Some(version) < parse_version(MIN_VERSION) {
        return Err(StoreError::TooOld {
            version: format!("{}.{}", version.0, version.1),
            place: place.to_owned(),
        });
    }
    Ok(())
}

/// The first two numbers of a version such as `26.7.3.1`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Creates tables again that are gone, if nothing is lost by that: `activity` is filled from
/// `daily`. Without `activity_months`, `activity` is filled with all days again, and the months are
/// summed anew. Does nothing where no table is gone.
///
/// # Errors
///
/// What a table held is lost, the store cannot be reached in time, or ClickHouse rejects a
/// statement.
pub(super) async fn restore_missing_tables(
    client: &StoreClient,
    database: &str,
    cluster: Option<&str>,
) -> Result<(), StoreError> {
    let missing = list_missing_tables(client, database).await?;
    if missing.is_empty() {
        return Ok(());
    }

    let derived = [CountsTable::Activity.name(), ACTIVITY_MONTHS];
    let (gone, lost): (Vec<String>, Vec<String>) = missing
        .into_iter()
        .partition(|name| derived.contains(&name.as_str()));
    if !lost.is_empty() {
        return Err(StoreError::TablesMissing { tables: lost });
    }

    if cluster.is_some() || has_halves(client).await? {
        return Err(StoreError::TablesMissing { tables: gone });
    }
    let has_activity = !gone.iter().any(|name| name == derived[0]);
    restore_activity(client, has_activity).await?;
    if gone.iter().any(|name| name == ACTIVITY_MONTHS) {
        // The last step: until then `activity` is filled again.
        for statement in schema::table_statements(ACTIVITY_MONTHS, None) {
            let query = client.query_raw(&statement).execute();
            query.await.map_err(error_during(STEP))?;
        }
    }
    tracing::warn!(
        tables = ?gone,
        "a table was gone; it was created again from the table that holds the same counts"
    );
    Ok(())
}

async fn list_missing_tables(
    client: &StoreClient,
    database: &str,
) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT name FROM system.tables WHERE database = ?";
    let query = client.with_database("default").query(sql).bind(database);
    let present: Vec<String> = query.fetch_all().await.map_err(error_during(STEP))?;
    let present: HashSet<String> = present.into_iter().collect();
    let mut missing = schema::table_names();
    missing.retain(|name| !present.contains(name));
    Ok(missing)
}

/// Whether `daily` has blocks that were sent in halves. Without them `activity` can be filled from
/// it; the tables' halves differ.
async fn has_halves(client: &StoreClient) -> Result<bool, StoreError> {
    let first_marker = SiteId::MIN_MARKER_ID.as_u128();
    let sql = format!(
        "SELECT toBool(count() > 0) FROM daily WHERE site >= toUInt128('{first_marker}') AND site \
         % 65536 != 1"
    );
    let query = client.query_raw(&sql);
    query.fetch_one().await.map_err(error_during(STEP))
}

/// Fills `activity` from `daily`: the totals of sites, and the markers, so that segments which are
/// in `daily` are not added again. Under another name first: a crash leaves no half of a table.
/// `replaces`: `activity` exists, without the days of months that were summed.
async fn restore_activity(client: &StoreClient, replaces: bool) -> Result<(), StoreError> {
    let activity = CountsTable::Activity;
    let first_marker = SiteId::MIN_MARKER_ID.as_u128();
    let side = schema::side_table_name(activity.name());
    for statement in schema::table_statements(activity.name(), None) {
        let statement = statement.replacen(activity.name(), &side, 1);
        let query = client.query_raw(&statement).execute();
        query.await.map_err(error_during(STEP))?;
    }

    let columns = activity.all_columns().join(", ");
    let sums: Vec<String> = activity
        .counter_columns()
        .into_iter()
        .map(|name| format!("sum({name})"))
        .collect();
    let sql = format!(
        "INSERT INTO {side} ({columns}) SELECT day, site, {} FROM daily WHERE (subject = '{}' AND \
         site != toUInt128('{}')) OR site >= toUInt128('{first_marker}') GROUP BY day, site",
        sums.join(", "),
        Subject::Site.name(),
        SiteId::PLATFORM.as_u128(),
    );
    let query = client.query_raw(&sql).with_setting("async_insert", "0");
    query.execute().await.map_err(error_during(STEP))?;

    let name = activity.name();
    let statements = match replaces {
        false => vec![format!("RENAME TABLE {side} TO {name}")],
        true => vec![
            format!("EXCHANGE TABLES {side} AND {name}"),
            format!("DROP TABLE {side} SYNC"),
        ],
    };
    for sql in statements {
        let query = client.query_raw(&sql).execute();
        query.await.map_err(error_during(STEP))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(parse_version("18.16.1") < parse_version(MIN_VERSION));
        assert!(parse_version("24.10.1") > parse_version(MIN_VERSION));
        assert!(parse_version("26.7.3.1-stable") > parse_version(MIN_VERSION));
        assert_eq!(parse_version("24.8.4.13"), parse_version(MIN_VERSION));
        assert_eq!(parse_version("<html>"), None);
    }
}
