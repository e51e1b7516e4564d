//! The day's texts, for the process that takes over.

use super::{SHARED_TEXT_BYTES, StringInterner, TextScope, allocated_bytes};
use crate::budget::BudgetShare;
use crate::event::OTHER_VALUE;
use crate::state_codec::{StateError, StateReader, StateWriter};

/// A scope, and the length of a text.
const MIN_TEXT_BYTES: usize = 8 + 8;
/// A scope, and the id of a text.
const SHARED_BYTES: usize = 8 + 4;

impl StringInterner {
    /// Writes the texts in the order of their ids. Their string ids belong to a segment, and the
    /// next process begins a new one.
    pub(in crate::aggregate) fn write_state(&self, out: &mut StateWriter<'_>) {
        out.put_u64(self.overflow_count);
        out.put_count(self.len);
        for known in self.texts.iter().flatten() {
            out.put_u64(known.scope.0);
            out.put_text(&known.text);
        }
        out.put_count(self.shared.len());
        for shared in &self.shared {
            out.put_u64(shared.scope.scope().0);
            out.put_u32(shared.text);
        }
    }

    /// Reads the texts of the process before. Those beyond the limits stay.
    pub(in crate::aggregate) fn read_state(
        input: &mut StateReader<'_>,
        room: BudgetShare,
        byte_room: BudgetShare,
    ) -> Result<StringInterner, StateError> {
        let mut texts = StringInterner::new(room, byte_room);
        texts.overflow_count = input.read_u64()?;
        for _ in 0..input.read_count(MIN_TEXT_BYTES)? {
            let (scope, text) = (TextScope(input.read_u64()?), input.read_text()?);
            // As it was when the text was added: `(other)` is outside of all limits.
            if *text != *OTHER_VALUE {
                texts.count_existing(scope, allocated_bytes(text.len()));
            }
            texts.insert_text(scope, &text);
        }

        for _ in 0..input.read_count(SHARED_BYTES)? {
            let (scope, text) = (TextScope(input.read_u64()?), input.read_u32()?);
            if text as usize >= texts.len {
                return Err(StateError::Invalid("a scope has an unknown text"));
            }
            texts.count_existing(scope, SHARED_TEXT_BYTES);
            texts.share_text(scope, text);
        }
        Ok(texts)
    }

    /// Counts a text that a scope has already, beyond the limits if need be.
    fn count_existing(&mut self, scope: TextScope, bytes: usize) {
        self.byte_budget.reserve_existing(bytes);
        self.text_budget.reserve_existing(1);
        self.count_text(scope);
    }

    /// The number of texts: ids are below it.
    pub(in crate::aggregate) fn text_count(&self) -> usize {
        self.len
    }
}
