//! Frames: how they are written, and how they are found again when some are damaged.

const MAGIC: [u8; 4] = *b"FFR1";
/// Bytes of a frame beside its payload.
pub const OVERHEAD: usize = 12;

/// Appends a frame around what `payload` writes.
pub fn write(out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 8]);
    payload(out);
    let length = u32::try_from(out.len() - start - OVERHEAD).expect("a frame is far below 4 GiB");
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(length, &out[start + OVERHEAD..]);
    out[start + 8..start + 12].copy_from_slice(&checksum.to_le_bytes());
}

fn checksum(length: u32, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), payload)
}

/// A frame, or a part of a file that is not one.
#[derive(PartialEq, Debug)]
pub enum Found<'a> {
    Frame(&'a [u8]),
    /// The bytes from `at` up to `next` are damaged; whole frames follow.
    Damage {
        at: usize,
        next: usize,
    },
    /// The last write is incomplete, so it was not answered. `bytes` is its length, up to the zeros
    /// of the reserved space.
    Torn {
        at: usize,
        bytes: usize,
    },
}

/// Iterates over the frames of a segment file and what is between them.
pub struct Frames<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Frames<'a> {
    /// Starts at offset `at` of the file's bytes.
    pub fn new(file: &'a [u8], at: usize) -> Frames<'a> {
        Frames { file, at }
    }

    fn frame(&self, at: usize) -> Option<&'a [u8]> {
        let head = self.file.get(at..at + OVERHEAD)?;
        let number = |from: usize| u32::from_le_bytes(head[from..from + 4].try_into().expect("4 bytes are 4"));
        let length = number(4);
        let payload = self.file.get(at + OVERHEAD..(at + OVERHEAD).checked_add(length as usize)?)?;
        (head[..4] == MAGIC && number(8) == checksum(length, payload)).then_some(payload)
    }

    /// Offset of the next whole frame after damage at `from`. Tries each place with the magic
    /// bytes, because a damaged length cannot be used.
    fn resume(&self, from: usize) -> Option<usize> {
        let rest = &self.file[from..];
        rest.windows(MAGIC.len())
            .enumerate()
            .filter(|(_, window)| *window == MAGIC)
            .map(|(n, _)| from + n)
            .find(|&at| self.frame(at).is_some())
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Found<'a>;

    fn next(&mut self) -> Option<Found<'a>> {
        let at = self.at;
        if let Some(payload) = self.frame(at) {
            self.at += OVERHEAD + payload.len();
            return Some(Found::Frame(payload));
        }

        let written =
            self.file[at.min(self.file.len())..].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if written == 0 {
            return None;
        }

        match self.resume(at + 1) {
            Some(next) => {
                self.at = next;
                Some(Found::Damage { at, next })
            }
            None => {
                self.at = self.file.len();
                Some(Found::Torn { at, bytes: written })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(payloads: &[&[u8]]) -> Vec<u8> {
        let mut file = Vec::new();
        payloads.iter().for_each(|payload| write(&mut file, |out| out.extend_from_slice(payload)));
        file.extend_from_slice(&[0; 64]);
        file
    }

    fn read(file: &[u8]) -> Vec<Found<'_>> {
        Frames::new(file, 0).collect()
    }

    const THREE: [&[u8]; 3] = [b"one", b"two two", b"three"];

    #[test]
    fn frames_read_back_up_to_the_reserved_zeros() {
        assert_eq!(read(&file(&THREE)), THREE.map(Found::Frame));
        assert_eq!(read(&[]), []);
        assert_eq!(read(&[0; 100]), []);
    }

    #[test]
    fn every_byte_of_a_middle_frame_when_flipped_costs_that_frame_and_no_other() {
        let (start, end) = (OVERHEAD + 3, 2 * OVERHEAD + 10);
        for place in start..end {
            let mut file = file(&THREE);
            file[place] ^= 0x40;
            let found = read(&file);
            assert_eq!(found[0], Found::Frame(b"one"), "byte {place}");
            assert_eq!(found[1], Found::Damage { at: start, next: end }, "byte {place}");
            assert_eq!(found[2], Found::Frame(b"three"), "byte {place}");
        }
    }

    #[test]
    fn a_write_cut_at_any_byte_is_torn_and_costs_nothing_before_it() {
        let whole = file(&THREE);
        let (start, end) = (2 * OVERHEAD + 10, 3 * OVERHEAD + 15);
        for cut in start + 1..end {
            let found = read(&whole[..cut]);
            assert_eq!(found[..2], [Found::Frame(b"one" as &[u8]), Found::Frame(b"two two")], "cut at {cut}");
            assert!(matches!(found[2..], [Found::Torn { at, .. }] if at == start), "cut at {cut}");
        }
    }
}
