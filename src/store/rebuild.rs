//! Fills the database of a lost replica from a sibling.
//!
//! Rows go through this process, partition by partition, as for a move (transfer.rs). Collectors may
//! run: the sibling is read and gets further segments. Each block of a segment is copied with its
//! marker or not at all, and the journal keeps the segments that the replica does not have yet, so
//! that afterwards it is sent exactly what it lacks. While a replica is away nothing is published
//! and no site is registered, so these tables do not change meanwhile; that is checked.

use super::StoreOptions;
use super::error::StoreError;
use super::transfer::{PassTotals, TransferEnd, copy_changed_partitions};
use super::transfer_state::TransferState;

/// How often the tables are copied again because something was published meanwhile.
const MAX_PASSES: usize = 5;

/// Why a replica was not filled.
#[derive(thiserror::Error, Debug)]
pub enum RebuildError {
    /// The configuration does not have it as one of several replicas.
    #[error("{url} is not one of several URLs of a shard in store.shards")]
    NotReplica {
        /// The URL.
        url: String,
    },
    /// It holds rows.
    #[error(
        "{place} holds rows, and only an empty database is filled; if it is the lost one, drop it first: DROP DATABASE \
         {database} SYNC"
    )]
    NotEmpty {
        /// Where the database is.
        place: String,
        /// Its name.
        database: String,
    },
    /// No sibling holds counts that are known to be whole.
    #[error(
        "no other replica of the shard can be copied: at least one must respond, and the collectors must have been \
         started with all of its URLs, {url} too, in store.shards, so that their journals keep what it lacks"
    )]
    NoSource {
        /// The URL.
        url: String,
    },
    /// Publication does not pause.
    #[error(
        "attributes were published while the tables were copied: a collector runs without {url} in store.shards; \
         restart it with the same store.shards as the others"
    )]
    Published {
        /// The URL.
        url: String,
    },
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was copied.
#[derive(Debug)]
pub struct RebuildSummary {
    /// The replica that was read.
    pub source: String,
    /// The partitions and bytes that were copied.
    pub totals: PassTotals,
}

/// Fills the replica at `url` from a sibling. `replicas` are all of all shards. `show` is called
/// with the number of partitions that are done, and of all.
///
/// # Errors
///
/// See [`RebuildError`]. What was copied stays, and the same call continues.
pub async fn rebuild_replica(
    replicas: &[StoreOptions],
    url: &str,
    show: &mut dyn FnMut(u64, u64),
) -> Result<RebuildSummary, RebuildError> {
    let options = find_replica(replicas, url);
    let options = options.filter(|options| options.replica_urls.len() > 1);
    let options = options.ok_or_else(|| RebuildError::NotReplica {
        url: url.to_owned(),
    })?;

    let mut target = TransferEnd::open_replica(options).await?;
    let state = target.read_state().await?;
    let is_begun = matches!(state, TransferState::Receiving { .. });
    if !is_begun && target.read_replica_record().await?.is_filled {
        return Err(RebuildError::NotEmpty {
            place: options.place(),
            database: options.database.clone(),
        });
    }

    let siblings = replicas
        .iter()
        .filter(|other| {
            options
                .replica_urls
                .iter()
                .any(|url| other.url.as_ref() == Some(url))
        })
        .filter(|other| other.url != options.url);
    let (source, set) = choose_source(siblings, url).await?;
    let receiving = TransferState::Receiving {
        other: source.id().to_owned(),
        place: source.place().to_owned(),
    };
    target.prepare_replica(options, &receiving).await?;
    target.kill_former_inserts().await?;

    // Before the tables: what is copied is at least that.
    let progress = source.read_progress().await?;
    let copied = copy_until_settled((&source, &target), url, show).await;
    if copied.is_err() {
        // A later command ends the inserts of this one.
        target.check_claim().await?;
    }
    let totals = copied?;
    target
        .become_replica(&set, &options.replica_urls, &progress)
        .await?;
    target.write_state(&TransferState::Unmoved).await?;
    Ok(RebuildSummary {
        source: source.place().to_owned(),
        totals,
    })
}

/// The replica with this URL.
pub(super) fn find_replica<'o>(
    replicas: &'o [StoreOptions],
    url: &str,
) -> Option<&'o StoreOptions> {
    let replica = replicas
        .iter()
        .find(|options| options.url.as_deref() == Some(url));
    replica.filter(|options| !options.replica_urls.is_empty())
}

/// The sibling that is behind no other, and its set. Its collectors must know of the replica.
async fn choose_source(
    siblings: impl Iterator<Item = &StoreOptions>,
    url: &str,
) -> Result<(TransferEnd, String), RebuildError> {
    let mut best: Option<(TransferEnd, String)> = None;
    let mut furthest = None;
    for options in siblings {
        let Ok(end) = TransferEnd::open_replica(options).await else {
            continue;
        };
        let record = end.read_replica_record().await?;
        let knows_it = record.urls.iter().any(|known| known == url);
        let Some(set) = record.set.filter(|_| knows_it) else {
            continue;
        };
        if end.read_state().await?.check_usable().is_err() {
            continue;
        }
        let progress = end.read_progress().await?;
        if furthest
            .as_ref()
            .is_none_or(|known: &super::ReplicaProgress| known.is_behind(&progress))
        {
            furthest = Some(progress);
            best = Some((end, set));
        }
    }
    best.ok_or_else(|| RebuildError::NoSource {
        url: url.to_owned(),
    })
}

/// Copies the tables, again if something was published meanwhile: then they do not belong together.
async fn copy_until_settled(
    (source, target): (&TransferEnd, &TransferEnd),
    url: &str,
    show: &mut dyn FnMut(u64, u64),
) -> Result<PassTotals, RebuildError> {
    let mut totals = PassTotals::default();
    for _ in 0..MAX_PASSES {
        let before = source.count_units().await?;
        let oldest_audit = source.oldest_audit_entry().await?;
        let pass = copy_changed_partitions(source, target, oldest_audit, show).await?;
        totals.partitions += pass.partitions;
        totals.bytes += pass.bytes;
        let after = source.count_units().await?;
        let (begun, finished, _) = after;
        if before == after && begun == finished {
            return Ok(totals);
        }
    }
    Err(RebuildError::Published {
        url: url.to_owned(),
    })
}
