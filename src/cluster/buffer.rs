//! Bytes on their way between collectors. They may hold an address and a user agent.

use zeroize::Zeroize;

/// A buffer that is overwritten before it is freed. It can be neither printed nor cloned, and only
/// `ingest/forward.rs` writes personal data into it and reads them out again.
#[derive(Default)]
pub struct CallBuffer(Vec<u8>);

crate::unprintable!(CallBuffer);

impl CallBuffer {
    /// An empty buffer with room for `bytes`. Within the room, nothing is moved.
    pub fn with_capacity(bytes: usize) -> CallBuffer {
        CallBuffer(Vec::with_capacity(bytes))
    }

    /// A buffer of zeroes, to be read into.
    pub(super) fn zeroed(bytes: usize) -> CallBuffer {
        CallBuffer(vec![0; bytes])
    }

    /// Appends bytes. A buffer that grows is moved, and the former place is overwritten.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Vec::with_capacity(needed.max(2 * self.0.capacity()));
            larger.extend_from_slice(&self.0);
            self.0.zeroize();
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    /// Appends a byte.
    pub fn push_byte(&mut self, byte: u8) {
        self.push_bytes(&[byte]);
    }

    /// Appends bytes after their length, a `u32`.
    pub fn push_field(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.push_bytes(&length.to_le_bytes());
        self.push_bytes(&bytes[..length as usize]);
    }

    /// The content.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn as_mut_bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Overwrites the content and keeps the room.
    pub(super) fn wipe(&mut self) {
        self.0.zeroize();
    }
}

impl Drop for CallBuffer {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Reads what [`CallBuffer`]'s methods wrote. Each method returns `None` at the end, and where the
/// bytes are no such value.
pub struct BufferReader<'a>(&'a [u8]);

impl<'a> BufferReader<'a> {
    /// Reads from the first byte on.
    pub fn new(bytes: &'a [u8]) -> BufferReader<'a> {
        BufferReader(bytes)
    }

    /// The next `N` bytes.
    pub fn read_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    /// The next byte.
    pub fn read_byte(&mut self) -> Option<u8> {
        self.read_array::<1>().map(|[byte]| byte)
    }

    /// The next bytes with their length before them.
    pub fn read_field(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.read_array()?) as usize;
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }

    /// The next field, as text.
    pub fn read_text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.read_field()?).ok()
    }

    /// What is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}
