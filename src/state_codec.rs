//! How the state of a running collector is written for the process that takes over from it
//! (`footfall upgrade`). Numbers are little endian and of fixed size; lists and texts begin with
//! their length.
//!
//! Each module writes and reads its own state. What is read comes from a process of the same user,
//! and is validated nevertheless: another build may have written it. No list allocates more than
//! the bytes that are left could fill.

use std::io::{self, Read, Write};

/// Longest text that is read: a path has at most 512 bytes, a name fewer.
const MAX_TEXT_BYTES: usize = 1 << 16;

/// Why a state cannot be used.
#[derive(thiserror::Error, Debug)]
pub enum StateError {
    /// It cannot be read.
    #[error("the state cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It contradicts itself, or belongs to another build.
    #[error("the state is not one that this build can use: {0}")]
    Invalid(&'static str),
}

/// Writes values. The first failure is kept for [`StateWriter::finish`]; what follows it is dropped.
pub struct StateWriter<'a> {
    sink: &'a mut dyn Write,
    failure: Option<io::Error>,
}

impl<'a> StateWriter<'a> {
    /// Writes to `sink`, which should be buffered.
    pub fn new(sink: &'a mut dyn Write) -> StateWriter<'a> {
        StateWriter {
            sink,
            failure: None,
        }
    }

    /// Writes the bytes without their length.
    pub fn put_bytes(&mut self, bytes: &[u8]) {
        if self.failure.is_none()
            && let Err(error) = self.sink.write_all(bytes)
        {
            self.failure = Some(error);
        }
    }

    /// Writes a byte.
    pub fn put_u8(&mut self, value: u8) {
        self.put_bytes(&[value]);
    }

    /// Writes a number.
    pub fn put_u32(&mut self, value: u32) {
        self.put_bytes(&value.to_le_bytes());
    }

    /// Writes a number.
    pub fn put_u64(&mut self, value: u64) {
        self.put_bytes(&value.to_le_bytes());
    }

    /// Writes a number.
    pub fn put_i64(&mut self, value: i64) {
        self.put_bytes(&value.to_le_bytes());
    }

    /// Writes the length of a list.
    pub fn put_count(&mut self, count: usize) {
        self.put_u64(count as u64);
    }

    /// Writes a text and its length.
    pub fn put_text(&mut self, text: &str) {
        self.put_count(text.len());
        self.put_bytes(text.as_bytes());
    }

    /// The outcome of all writes.
    ///
    /// # Errors
    ///
    /// The first failure of the sink.
    pub fn finish(self) -> io::Result<()> {
        self.failure.map_or(Ok(()), Err)
    }
}

/// Reads values in the order in which they were written.
pub struct StateReader<'a> {
    source: &'a mut dyn Read,
    remaining: u64,
}

impl<'a> StateReader<'a> {
    /// Reads at most `length` bytes of `source`, which should be buffered.
    pub fn new(source: &'a mut dyn Read, length: u64) -> StateReader<'a> {
        StateReader {
            source,
            remaining: length,
        }
    }

    /// Fills `bytes`.
    ///
    /// # Errors
    ///
    /// Fewer bytes are left, or the source failed.
    pub fn read_into(&mut self, bytes: &mut [u8]) -> Result<(), StateError> {
        let left = self.remaining.checked_sub(bytes.len() as u64);
        self.remaining = left.ok_or(StateError::Invalid("it ends too early"))?;
        Ok(self.source.read_exact(bytes)?)
    }

    /// Reads an array of bytes.
    ///
    /// # Errors
    ///
    /// As for [`StateReader::read_into`].
    pub fn read_array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let mut bytes = [0; N];
        self.read_into(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a byte.
    ///
    /// # Errors
    ///
    /// As for [`StateReader::read_into`].
    pub fn read_u8(&mut self) -> Result<u8, StateError> {
        self.read_array::<1>().map(|[byte]| byte)
    }

    /// Reads a number.
    ///
    /// # Errors
    ///
    /// As for [`StateReader::read_into`].
    pub fn read_u32(&mut self) -> Result<u32, StateError> {
        self.read_array().map(u32::from_le_bytes)
    }

    /// Reads a number.
    ///
    /// # Errors
    ///
    /// As for [`StateReader::read_into`].
    pub fn read_u64(&mut self) -> Result<u64, StateError> {
        self.read_array().map(u64::from_le_bytes)
    }

    /// Reads a number.
    ///
    /// # Errors
    ///
    /// As for [`StateReader::read_into`].
    pub fn read_i64(&mut self) -> Result<i64, StateError> {
        self.read_array().map(i64::from_le_bytes)
    }

    /// Reads the length of a list whose items have at least `item_bytes` bytes each, so that a
    /// table of that size may be allocated.
    ///
    /// # Errors
    ///
    /// The rest of the state has no room for as many, or the source failed.
    pub fn read_count(&mut self, item_bytes: usize) -> Result<usize, StateError> {
        let count = self.read_u64()?;
        let fits = count
            .checked_mul(item_bytes as u64)
            .is_some_and(|bytes| bytes <= self.remaining);
        match usize::try_from(count) {
            Ok(count) if fits => Ok(count),
            _ => Err(StateError::Invalid("a list is longer than the state")),
        }
    }

    /// Reads a text.
    ///
    /// # Errors
    ///
    /// It is longer than any text of a collector or not UTF-8, or as for
    /// [`StateReader::read_into`].
    pub fn read_text(&mut self) -> Result<Box<str>, StateError> {
        let length = self.read_count(1)?;
        if length > MAX_TEXT_BYTES {
            return Err(StateError::Invalid("a text is too long"));
        }
        let mut bytes = vec![0; length];
        self.read_into(&mut bytes)?;
        let text = String::from_utf8(bytes).map_err(|_| StateError::Invalid("a text is not UTF-8"));
        text.map(String::into_boxed_str)
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// Something is left that no module read.
    pub fn finish(self) -> Result<(), StateError> {
        match self.remaining {
            0 => Ok(()),
            _ => Err(StateError::Invalid("it has more than this build knows")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_the_order_they_were_written() {
        let mut bytes = Vec::new();
        let mut out = StateWriter::new(&mut bytes);
        out.put_u8(7);
        out.put_u32(u32::MAX);
        out.put_u64(u64::MAX - 1);
        out.put_i64(-5);
        out.put_text("/äpfel");
        out.put_bytes(&[1, 2, 3]);
        out.finish().unwrap();

        let (mut source, length) = (bytes.as_slice(), bytes.len() as u64);
        let mut input = StateReader::new(&mut source, length);
        assert_eq!(input.read_u8().unwrap(), 7);
        assert_eq!(input.read_u32().unwrap(), u32::MAX);
        assert_eq!(input.read_u64().unwrap(), u64::MAX - 1);
        assert_eq!(input.read_i64().unwrap(), -5);
        assert_eq!(&*input.read_text().unwrap(), "/äpfel");
        assert_eq!(input.read_array().unwrap(), [1, 2, 3]);
        input.finish().unwrap();
    }

    #[test]
    fn a_list_that_claims_more_than_is_there_allocates_nothing() {
        for (count, item_bytes, fits) in [
            (2, 8, true),
            (3, 8, false),
            (u64::MAX, 1, false),
            (u64::MAX, 0, cfg!(target_pointer_width = "64")),
        ] {
            let mut bytes = u64::to_le_bytes(count).to_vec();
            bytes.extend([0; 16]);
            let (mut source, length) = (bytes.as_slice(), bytes.len() as u64);
            let mut input = StateReader::new(&mut source, length);
            assert_eq!(input.read_count(item_bytes).is_ok(), fits, "{count}");
        }
    }

    #[test]
    fn a_state_that_ends_early_or_late_is_rejected() {
        let mut source: &[u8] = &[1, 2, 3];
        let mut input = StateReader::new(&mut source, 3);
        assert!(input.read_u32().is_err());
        let mut source: &[u8] = &[1, 2, 3];
        assert!(StateReader::new(&mut source, 3).finish().is_err());
    }
}
