//! Accepts a replica that lacks segments which the journal no longer holds. It is for a shard without
//! a complete replica, as after a restored backup: what is missing is lost, and every replica would be
//! refused for ever.

use super::StoreOptions;
use super::error::StoreError;
use super::rebuild::find_replica;
use super::transfer::TransferEnd;

/// Why a replica was not accepted.
#[derive(thiserror::Error, Debug)]
pub enum AcceptError {
    /// The configuration does not have it as a replica.
    #[error("{url} is not a URL of store.shards with store.replication = \"collector\"")]
    NotReplica {
        /// The URL.
        url: String,
    },
    /// It was never a replica, or is only partly filled.
    #[error("{place} is not a whole replica: fill it with `footfall store rebuild-replica URL`")]
    NotWhole {
        /// Where the database is.
        place: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Records that the replica at `url` has all segments of a collector up to a place, although it
/// lacks some. `false` if it has them. `replicas` are all of all shards.
///
/// # Errors
///
/// See [`AcceptError`].
pub async fn accept_replica(
    replicas: &[StoreOptions],
    url: &str,
    (collector, place): (&str, u64),
) -> Result<bool, AcceptError> {
    let options = find_replica(replicas, url).ok_or_else(|| AcceptError::NotReplica {
        url: url.to_owned(),
    })?;
    let replica = TransferEnd::open_replica(options).await?;
    let is_member = replica.read_replica_record().await?.set.is_some();
    if !is_member || replica.read_state().await?.check_usable().is_err() {
        return Err(AcceptError::NotWhole {
            place: options.place(),
        });
    }
    if replica.read_progress().await?.place_of(collector) >= place {
        return Ok(false);
    }
    replica.record_progress(collector, place).await?;
    Ok(true)
}
