//! The state on its way from one process to the other: a file in memory, encrypted, and sealed so
//! that nothing changes it while it is read.
//!
//! Pages of such a file can be swapped out like any memory, so they hold only ciphertext. The key is
//! random, used once, and never in the file. Chunks are AES-256-GCM with their number as the nonce;
//! the last one says so, so that a file that ends early is not taken for a whole one.
//!
//! ```text
//! chunk*   each 1 MiB of the state and a tag of 16 bytes; the last one is shorter, or empty
//! ```

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use zeroize::Zeroizing;

use crate::random::fill_random;

const CHUNK_BYTES: usize = 1 << 20;
const TAG_BYTES: usize = 16;

/// The key of one file.
pub struct StateFileKey(Box<Zeroizing<[u8; 32]>>);

impl StateFileKey {
    /// A key that is filled by the caller, such as from a socket.
    pub fn zeroed() -> StateFileKey {
        StateFileKey(Box::new(Zeroizing::new([0; 32])))
    }

    /// The bytes, to be sent.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The bytes, to be filled.
    pub fn as_bytes_mut(&mut self) -> &mut [u8; 32] {
        &mut self.0
    }

    fn cipher(&self) -> LessSafeKey {
        let key = UnboundKey::new(&AES_256_GCM, &self.0[..]);
        LessSafeKey::new(key.expect("32 bytes are a key of AES-256"))
    }
}

/// A file that is written.
pub struct StateFile {
    file: File,
    key: StateFileKey,
    cipher: LessSafeKey,
    chunk: Zeroizing<Vec<u8>>,
    chunks: u64,
    bytes: u64,
}

/// A file that is complete.
pub struct SealedState {
    /// The file.
    pub file: OwnedFd,
    /// Its key.
    pub key: StateFileKey,
    /// Bytes of the state.
    pub bytes: u64,
}

impl StateFile {
    /// An empty file under a new key.
    ///
    /// # Errors
    ///
    /// The kernel makes no file in memory.
    pub fn create() -> io::Result<StateFile> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut key = StateFileKey::zeroed();
        fill_random(key.as_bytes_mut());
        Ok(StateFile {
            file: memfd_create("footfall-state", flags)?.into(),
            cipher: key.cipher(),
            key,
            chunk: Zeroizing::new(Vec::with_capacity(CHUNK_BYTES + TAG_BYTES)),
            chunks: 0,
            bytes: 0,
        })
    }

    /// Writes the last chunk and seals the file.
    ///
    /// # Errors
    ///
    /// There is no memory for it.
    pub fn seal(mut self) -> io::Result<SealedState> {
        if self.chunk.len() == CHUNK_BYTES {
            self.write_chunk(false)?;
        }
        self.write_chunk(true)?;
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&self.file, seals)?;
        Ok(SealedState {
            file: self.file.into(),
            key: self.key,
            bytes: self.bytes,
        })
    }

    fn write_chunk(&mut self, is_last: bool) -> io::Result<()> {
        let tag = self.cipher.seal_in_place_separate_tag(
            chunk_nonce(self.chunks),
            chunk_label(is_last),
            &mut self.chunk,
        );
        let tag = tag.map_err(|_| io::Error::other("the state could not be encrypted"))?;
        self.chunks += 1;
        self.file.write_all(&self.chunk)?;
        self.file.write_all(tag.as_ref())?;
        self.chunk.clear();
        Ok(())
    }
}

impl Write for StateFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() == CHUNK_BYTES {
            self.write_chunk(false)?;
        }
        let room = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..room]);
        self.bytes += room as u64;
        Ok(room)
    }

    /// Does nothing: [`StateFile::seal`] writes the rest.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SealedState {
    /// Reads the state from its beginning.
    ///
    /// # Errors
    ///
    /// The file could still be changed by its writer.
    pub fn open(self) -> io::Result<impl Read> {
        let needed = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK;
        if !fcntl_get_seals(&self.file)?.contains(needed) {
            return Err(io::Error::other("the state is not sealed"));
        }
        let mut file = File::from(self.file);
        io::Seek::rewind(&mut file)?;
        Ok(StateFileReader {
            file,
            cipher: self.key.cipher(),
            chunk: Zeroizing::new(vec![0; CHUNK_BYTES + TAG_BYTES]),
            place: 0,
            length: 0,
            chunks: 0,
            is_last: false,
        })
    }
}

struct StateFileReader {
    file: File,
    cipher: LessSafeKey,
    chunk: Zeroizing<Vec<u8>>,
    /// The part of the chunk that was not read yet.
    place: usize,
    length: usize,
    chunks: u64,
    is_last: bool,
}

impl StateFileReader {
    fn read_chunk(&mut self) -> io::Result<()> {
        let mut filled = 0;
        while filled < self.chunk.len() {
            match self.file.read(&mut self.chunk[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        // Only the last chunk is shorter; a file of whole chunks ends with an empty one.
        self.is_last = filled < self.chunk.len();
        let opened = self.cipher.open_in_place(
            chunk_nonce(self.chunks),
            chunk_label(self.is_last),
            &mut self.chunk[..filled],
        );
        let opened = opened.map_err(|_| io::Error::other("the state is damaged"))?;
        (self.place, self.length) = (0, opened.len());
        self.chunks += 1;
        Ok(())
    }
}

impl Read for StateFileReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.place == self.length && !self.is_last {
            self.read_chunk()?;
        }
        let length = out.len().min(self.length - self.place);
        out[..length].copy_from_slice(&self.chunk[self.place..self.place + length]);
        self.place += length;
        Ok(length)
    }
}

fn chunk_nonce(number: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

fn chunk_label(is_last: bool) -> Aad<[u8; 1]> {
    Aad::from([u8::from(is_last)])
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;

    use super::*;

    fn sealed(state: &[u8]) -> SealedState {
        let mut file = StateFile::create().unwrap();
        file.write_all(state).unwrap();
        file.seal().unwrap()
    }

    fn read(sealed: SealedState) -> io::Result<Vec<u8>> {
        let mut state = Vec::new();
        sealed.open()?.read_to_end(&mut state)?;
        Ok(state)
    }

    #[test]
    fn a_state_of_any_length_is_read_as_it_was_written() {
        for length in [
            0,
            1,
            1000,
            CHUNK_BYTES - 1,
            CHUNK_BYTES,
            CHUNK_BYTES + 1,
            3 * CHUNK_BYTES,
        ] {
            let state: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let sealed = sealed(&state);
            assert_eq!(sealed.bytes, length as u64);
            assert!(read(sealed).unwrap() == state, "{length}");
        }
    }

    #[test]
    fn the_file_has_none_of_the_state_in_clear_and_nobody_can_change_it() {
        let sealed = sealed(&b"the key of the day ".repeat(100));
        let file = File::from(sealed.file.as_fd().try_clone_to_owned().unwrap());
        let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"the key"));
        assert!(file.write_at(b"x", 0).is_err() && file.set_len(0).is_err());
    }

    #[test]
    fn a_file_that_is_not_sealed_or_shortened_or_of_another_key_is_rejected() {
        let copy_of = |sealed: &SealedState, length: u64, seal: bool| {
            let from = File::from(sealed.file.as_fd().try_clone_to_owned().unwrap());
            let mut bytes = vec![0; usize::try_from(length).unwrap()];
            from.read_exact_at(&mut bytes, 0).unwrap();
            let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
            let mut file = File::from(memfd_create("copy", flags).unwrap());
            file.write_all(&bytes).unwrap();
            if seal {
                let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK;
                fcntl_add_seals(&file, seals).unwrap();
            }
            let mut key = StateFileKey::zeroed();
            key.as_bytes_mut().copy_from_slice(sealed.key.as_bytes());
            SealedState {
                file: file.into(),
                key,
                bytes: sealed.bytes,
            }
        };
        let state = vec![7; 2 * CHUNK_BYTES];
        let whole = sealed(&state);
        let length = (2 * (CHUNK_BYTES + TAG_BYTES) + TAG_BYTES) as u64;
        assert!(read(copy_of(&whole, length, true)).unwrap() == state);
        assert!(read(copy_of(&whole, length, false)).is_err());
        for cut in [1, TAG_BYTES as u64, (CHUNK_BYTES + 2 * TAG_BYTES) as u64] {
            assert!(read(copy_of(&whole, length - cut, true)).is_err(), "{cut}");
        }
        let mut other = copy_of(&whole, length, true);
        other.key.as_bytes_mut()[0] ^= 1;
        assert!(read(other).is_err());
    }
}
