//! What waits to be stored, and goes to the process that takes over. While the store is away, the
//! process before cannot store it.

use crate::access::AuditEntry;
use crate::mail::OpenedQueue;
use crate::state_codec::{StateError, StateReader, StateWriter};

use super::Registry;

/// Least bytes of an audit entry: three texts, a name and a time.
const MIN_ENTRY_BYTES: usize = 40;

/// What the process before had not stored. It may store some of it: to store an audit entry or an
/// opened message twice changes nothing.
#[derive(Default)]
pub struct InheritedQueues {
    pub(super) audit_entries: Vec<AuditEntry>,
    pub(super) opened_messages: OpenedQueue,
}

impl InheritedQueues {
    /// Reads what [`Registry::write_state`] wrote.
    ///
    /// # Errors
    ///
    /// The state ends too early, or it is another build's.
    pub fn read_state(input: &mut StateReader<'_>) -> Result<InheritedQueues, StateError> {
        Ok(InheritedQueues {
            audit_entries: read_entries(input)?,
            opened_messages: OpenedQueue::read_state(input)?,
        })
    }
}

impl Registry {
    /// Writes what waits to be stored for the process that takes over.
    pub fn write_state(&self, out: &mut StateWriter<'_>) {
        write_entries(&self.lock_audit_queue(), out);
        self.opened_messages.write_state(out);
    }
}

pub(super) fn write_entries(entries: &[AuditEntry], out: &mut StateWriter<'_>) {
    out.put_count(entries.len());
    entries.iter().for_each(|entry| entry.write_state(out));
}

pub(super) fn read_entries(input: &mut StateReader<'_>) -> Result<Vec<AuditEntry>, StateError> {
    let count = input.read_count(MIN_ENTRY_BYTES)?;
    (0..count).map(|_| AuditEntry::read_state(input)).collect()
}
