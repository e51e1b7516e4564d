//! What a collector is to the others, for as long as it knows who was counted.

use crate::calendar::Millis;
use crate::random::random_bytes;
use crate::state_codec::{StateError, StateReader, StateWriter};

/// A collector's identity: kept over `footfall upgrade`, new after any other start.
#[derive(Clone, Copy, Debug)]
pub struct ClusterIdentity {
    /// A random number: another one means that the visitors of before were forgotten.
    pub(super) process: u64,
    /// Since when it knows who was counted.
    pub(super) joined_at: Millis,
}

impl ClusterIdentity {
    /// The identity of a collector that starts now.
    pub(super) fn new(now: Millis) -> ClusterIdentity {
        ClusterIdentity {
            process: u64::from_le_bytes(random_bytes()),
            joined_at: now,
        }
    }

    /// Writes the identity, if there is one, for the process that takes over.
    pub fn write_state(identity: Option<ClusterIdentity>, out: &mut StateWriter<'_>) {
        out.put_u8(u8::from(identity.is_some()));
        if let Some(identity) = identity {
            out.put_u64(identity.process);
            out.put_i64(identity.joined_at);
        }
    }

    /// Reads what [`ClusterIdentity::write_state`] wrote.
    ///
    /// # Errors
    ///
    /// The state ends too early.
    pub fn read_state(input: &mut StateReader<'_>) -> Result<Option<ClusterIdentity>, StateError> {
        if input.read_u8()? == 0 {
            return Ok(None);
        }
        Ok(Some(ClusterIdentity {
            process: input.read_u64()?,
            joined_at: input.read_i64()?,
        }))
    }
}
