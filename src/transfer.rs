//! `footfall migrate`: moves the tables to another store.
//!
//! ```text
//! 1  copy all partitions                           the collector may run and write
//! 2  hold the source                               segments wait in the journal from here on
//! 3  copy what changed since, compare all sums
//! 4  mark the source as moved                      a start with it is refused from here on
//! 5  mark the target as complete                   a start with it is refused up to here
//! ```
//!
//! Each segment is in all tables of the source or waits in the journal, because step 2 lets a
//! running insert end. After the restart the journal's segments go to the target; markers, which
//! are copied with the counts, tell which of their blocks it has. So each segment is counted once,
//! and the collector answers hits throughout, except while it restarts.
//!
//! A kill before step 4 leaves the source in use and a target that must not be used; after it,
//! neither may be written. The same command again continues in both cases: partitions that are
//! recorded as copied and have not changed are not copied again. An insert of the killed attempt
//! that may still run is ended before.
//!
//! The target must be empty, be what a former attempt of the same move left, or be the store from
//! which the source was moved: that one's tables are all in the source.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::backup::BackupProgress;
use crate::backup::control_client::{ControlClient, JournalHolder};
use crate::backup::handover::{HandoverReply, HandoverRequest};
use crate::journal::JournalFolder;
use crate::store::transfer::{EngineLogin, PartitionSums, TransferEnd, copy_changed_partitions};
use crate::store::{NEWEST_SCHEMA, StoreOptions, TransferState};

/// A pass that took longer than this is repeated before the source is held.
const LONG_PASS: Duration = Duration::from_secs(10);
/// How often at most.
const MAX_PASSES: u32 = 3;

/// What is moved, and where to.
pub struct TransferOptions {
    /// The folder of the collector's journal.
    pub journal_dir: PathBuf,
    /// The store that the collector uses.
    pub source: StoreOptions,
    /// The store that it will use.
    pub target: StoreOptions,
}

/// What was moved.
pub struct TransferSummary {
    /// Tables that hold rows.
    pub tables: usize,
    /// Their partitions.
    pub partitions: usize,
    /// Rows with different keys.
    pub rows: u64,
    /// Where the tables are now.
    pub place: String,
    /// Whether a running collector waits for a restart.
    pub collector_waits: bool,
}

/// Moves the tables. See the module's documentation.
///
/// # Errors
///
/// A store cannot be reached, the target holds other data, the collector does not answer, or the
/// sums differ. The same call again continues.
pub async fn transfer_tables(
    options: &TransferOptions,
    progress: &mut dyn BackupProgress,
) -> anyhow::Result<TransferSummary> {
    let mut session = HandoverSession::open(options).await?;
    let target = TransferEnd::open_target(&options.target)
        .await
        .context("the new store")?;
    let source = open_source(options, &session).await;
    let source = match source {
        Ok(source) => source,
        Err(error) => {
            target.close().await;
            return Err(error);
        }
    };
    let mut ends = (source, target);
    let moved = run_transfer(options, &mut session, &mut ends, progress).await;
    let (source, target) = ends;
    source.close().await;
    target.close().await;
    moved
}

/// Allows the use of a source whose tables were moved. What was counted in the target is not in it.
///
/// # Errors
///
/// A collector runs, the store cannot be reached, or its tables were not moved.
pub async fn cancel_transfer(options: &TransferOptions) -> anyhow::Result<String> {
    let _journal = JournalFolder::open(&options.journal_dir)
        .context("the collector must be stopped to give a move up")?;
    let source = TransferEnd::open_source(&options.source, None, true).await?;
    let cancelled = async {
        match source.read_state().await? {
            TransferState::Moved { place, .. } => {
                source.write_state(&TransferState::Unmoved).await?;
                Ok(place)
            }
            _ => anyhow::bail!("the tables of {} were not moved", source.place()),
        }
    };
    let cancelled = cancelled.await;
    source.close().await;
    cancelled
}

async fn open_source(
    options: &TransferOptions,
    session: &HandoverSession,
) -> anyhow::Result<TransferEnd> {
    let login = session.engine_login();
    let is_shared = session.is_collector();
    let source = TransferEnd::open_source(&options.source, login, is_shared)
        .await
        .context("the present store")?;
    let schema = source.schema_number().await?;
    anyhow::ensure!(
        schema == NEWEST_SCHEMA,
        "the running collector is of another version than this program (schema {schema}, not \
         {NEWEST_SCHEMA})"
    );
    if let Some(id) = session.source_id().filter(|id| *id != source.id()) {
        anyhow::bail!(
            "the running collector uses another database ({id}) than this configuration ({}): \
             give this command the collector's configuration",
            source.place()
        );
    }
    Ok(source)
}

async fn run_transfer(
    options: &TransferOptions,
    session: &mut HandoverSession,
    (source, target): &mut (TransferEnd, TransferEnd),
    progress: &mut dyn BackupProgress,
) -> anyhow::Result<TransferSummary> {
    let state = check_ends(source, target).await?;
    if state == EndsState::Complete {
        progress.show_step(&format!("the tables are in {} already", target.place()));
        session.request(HandoverRequest::Finish).await?;
        let sums = target
            .sum_partitions(target.oldest_audit_entry().await?)
            .await?;
        return Ok(summarize(&sums, target, session));
    }

    if state == EndsState::New {
        let receiving = TransferState::Receiving {
            other: source.id().to_owned(),
            place: source.place().to_owned(),
        };
        let prepared = target.prepare_target(&options.target, &receiving).await;
        prepared.context("the new store")?;
    } else {
        progress.show_step("a former attempt is continued");
        target.kill_former_inserts().await?;
    }
    let oldest_audit = source.oldest_audit_entry().await?;

    for _ in 0..MAX_PASSES {
        if !session.is_collector() {
            break;
        }
        progress.show_step("the tables are copied while the collector runs");
        let started = Instant::now();
        copy_pass(source, target, oldest_audit, progress).await?;
        if started.elapsed() < LONG_PASS {
            break;
        }
    }

    progress.show_step(match session.is_collector() {
        true => "hits wait in the collector's journal; what changed meanwhile is copied",
        false => "the tables are copied",
    });
    session.request(HandoverRequest::Hold).await?;
    source.wait_for_writers().await?;
    copy_pass(source, target, oldest_audit, progress).await?;

    progress.show_step("the sums of all tables are compared");
    let sums = source.sum_partitions(oldest_audit).await?;
    let differing = differing_partitions(&sums, &target.sum_partitions(oldest_audit).await?);
    anyhow::ensure!(
        differing.is_empty(),
        "the new store differs from the present one in {}: does another collector or program \
         write to one of them? Stop it, and run this command again",
        differing.join(", ")
    );

    let moved = TransferState::Moved {
        other: target.id().to_owned(),
        place: target.place().to_owned(),
    };
    source.write_state(&moved).await?;
    let received = TransferState::Received {
        other: source.id().to_owned(),
        place: source.place().to_owned(),
    };
    target.write_state(&received).await?;
    session.request(HandoverRequest::Finish).await?;
    Ok(summarize(&sums, target, session))
}

/// How far the move is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EndsState {
    New,
    Begun,
    Complete,
}

/// Refuses a source that must not be used, and a target that holds what is not in the source.
async fn check_ends(source: &TransferEnd, target: &TransferEnd) -> anyhow::Result<EndsState> {
    anyhow::ensure!(
        source.id() != target.id(),
        "{} and {} are the same database",
        source.place(),
        target.place()
    );
    let is_moved_here = match source.read_state().await? {
        TransferState::Unmoved | TransferState::Received { .. } => false,
        TransferState::Moved { other, .. } if other == target.id() => true,
        TransferState::Moved { place, .. } => {
            anyhow::bail!("{} was moved to {place} already", source.place())
        }
        TransferState::Receiving { place, .. } => anyhow::bail!(
            "{} is not complete: it is being filled from {place}",
            source.place()
        ),
    };

    let state = target.read_state().await.context("the new store")?;
    match &state {
        TransferState::Receiving { other, .. } if other == source.id() => Ok(EndsState::Begun),
        TransferState::Received { other, .. } if is_moved_here && other == source.id() => {
            Ok(EndsState::Complete)
        }
        // The source's tables came from there, and nothing was written to it since.
        TransferState::Moved { other, .. } if other == source.id() => Ok(EndsState::New),
        TransferState::Receiving { place, .. } => anyhow::bail!(
            "{} is being filled from another store ({place}): drop that database, or choose \
             another one",
            target.place()
        ),
        _ => match target.find_filled_table().await.context("the new store")? {
            None => Ok(EndsState::New),
            Some(table) => anyhow::bail!(
                "{} holds other data (table {table}) and was left as it is: drop that database, \
                 or choose another one",
                target.place()
            ),
        },
    }
}

async fn copy_pass(
    source: &TransferEnd,
    target: &TransferEnd,
    oldest_audit: u32,
    progress: &mut dyn BackupProgress,
) -> anyhow::Result<()> {
    let totals = copy_changed_partitions(source, target, oldest_audit, &mut |done, of| {
        progress.show_bytes(done, of)
    })
    .await?;
    progress.show_step(&format!(
        "{} partitions were copied, {:.1} MB",
        totals.partitions,
        totals.bytes as f64 / 1e6
    ));
    Ok(())
}

/// The partitions whose sums differ, or that only one side has: `daily (202603)`.
fn differing_partitions(one: &PartitionSums, other: &PartitionSums) -> Vec<String> {
    let all = one.keys().chain(other.keys());
    let mut differing: Vec<String> = all
        .filter(|name| one.get(*name) != other.get(*name))
        .map(|(table, partition)| format!("{table} ({partition})"))
        .collect();
    differing.sort();
    differing.dedup();
    differing
}

fn summarize(
    sums: &PartitionSums,
    target: &TransferEnd,
    session: &HandoverSession,
) -> TransferSummary {
    let mut tables: Vec<&str> = sums.keys().map(|(table, _)| table.as_str()).collect();
    tables.dedup();
    TransferSummary {
        tables: tables.len(),
        partitions: sums.len(),
        rows: sums.values().map(|sum| sum.rows).sum(),
        place: target.place().to_owned(),
        collector_waits: session.is_collector(),
    }
}

/// The right to read the store: from the running collector, or by the journal's lock.
enum HandoverSession {
    Collector {
        client: ControlClient,
        id: String,
        engine: Option<EngineLogin>,
    },
    Own {
        _journal: JournalFolder,
    },
}

impl HandoverSession {
    async fn open(options: &TransferOptions) -> anyhow::Result<HandoverSession> {
        let mut client = match JournalHolder::find(&options.journal_dir).await? {
            JournalHolder::Own(journal) => return Ok(HandoverSession::Own { _journal: journal }),
            JournalHolder::Collector(client) => client,
        };
        match send_request(&mut client, HandoverRequest::Begin).await? {
            HandoverReply::Source { id, engine } => {
                Ok(HandoverSession::Collector { client, id, engine })
            }
            _ => anyhow::bail!("the collector's answer is not the expected one"),
        }
    }

    fn is_collector(&self) -> bool {
        matches!(self, HandoverSession::Collector { .. })
    }

    fn engine_login(&self) -> Option<&EngineLogin> {
        match self {
            HandoverSession::Collector { engine, .. } => engine.as_ref(),
            HandoverSession::Own { .. } => None,
        }
    }

    fn source_id(&self) -> Option<&str> {
        match self {
            HandoverSession::Collector { id, .. } => Some(id),
            HandoverSession::Own { .. } => None,
        }
    }

    /// Does nothing where no collector runs.
    async fn request(&mut self, request: HandoverRequest) -> anyhow::Result<()> {
        if let HandoverSession::Collector { client, .. } = self {
            send_request(client, request).await?;
        }
        Ok(())
    }
}

async fn send_request(
    client: &mut ControlClient,
    request: HandoverRequest,
) -> anyhow::Result<HandoverReply> {
    match client.request(&request).await? {
        HandoverReply::Failed(reason) => anyhow::bail!("the collector: {reason}"),
        reply => Ok(reply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::archive::TableSum;

    #[test]
    fn differing_partitions_are_named_once_and_on_either_side() {
        let sum = |rows| TableSum {
            rows,
            digest: String::new(),
            sums: Default::default(),
        };
        let key = |table: &str, partition: &str| (table.to_owned(), partition.to_owned());
        let one = PartitionSums::from([
            (key("daily", "202603"), sum(1)),
            (key("daily", "202604"), sum(2)),
            (key("names", "all"), sum(3)),
        ]);
        let other = PartitionSums::from([
            (key("daily", "202603"), sum(1)),
            (key("daily", "202604"), sum(9)),
            (key("pending", "all"), sum(4)),
        ]);
        assert_eq!(
            differing_partitions(&one, &other),
            ["daily (202604)", "names (all)", "pending (all)"]
        );
        assert!(differing_partitions(&one, &one).is_empty());
    }
}
