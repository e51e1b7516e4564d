//! Frames: how they are written, and how a scanner finds them after damage.

const MAGIC: [u8; 4] = *b"FFR1";
/// Bytes of a frame beside its payload.
pub const FRAME_OVERHEAD_BYTES: usize = 12;

/// Appends a frame around what `payload` writes.
pub fn write_frame(out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 8]);
    payload(out);
    let length = u32::try_from(out.len() - start - FRAME_OVERHEAD_BYTES)
        .expect("a frame is far below 4 GiB");
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    let checksum = frame_checksum(length, &out[start + FRAME_OVERHEAD_BYTES..]);
    out[start + 8..start + 12].copy_from_slice(&checksum.to_le_bytes());
}

fn frame_checksum(length: u32, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), payload)
}

/// A frame, or a part of a file that is not one.
#[derive(PartialEq, Debug)]
pub enum SegmentRegion<'a> {
    /// The payload of a whole frame.
    Frame(&'a [u8]),
    /// The bytes from `at` up to `next` are damaged; whole frames follow.
    Damage {
        /// First byte of the region, from the start of the file.
        at: usize,
        /// First byte after the region.
        next: usize,
    },
    /// The last write is incomplete, so its hits were not acknowledged. `bytes` is its length, up
    /// to the zeros of the reserved space.
    Torn {
        /// First byte of the region, from the start of the file.
        at: usize,
        /// Length of the region in bytes.
        bytes: usize,
    },
}

/// Iterates over the frames of a segment file and the damage between them.
pub struct FrameScanner<'a> {
    file: &'a [u8],
    /// First byte of the region, from the start of the file.
    at: usize,
}

impl<'a> FrameScanner<'a> {
    /// Starts at offset `at` of the file's bytes.
    pub fn new(file: &'a [u8], at: usize) -> FrameScanner<'a> {
        FrameScanner { file, at }
    }

    fn frame_at(&self, at: usize) -> Option<&'a [u8]> {
        let head = self.file.get(at..at + FRAME_OVERHEAD_BYTES)?;
        let number = |from: usize| {
            u32::from_le_bytes(head[from..from + 4].try_into().expect("4 bytes are 4"))
        };
        let length = number(4);
        let payload = self.file.get(
            at + FRAME_OVERHEAD_BYTES..(at + FRAME_OVERHEAD_BYTES).checked_add(length as usize)?,
        )?;
        (head[..4] == MAGIC && number(8) == frame_checksum(length, payload)).then_some(payload)
    }

    /// Offset of the next whole frame after damage at `from`. Tries each place with the magic
    /// bytes, because a damaged length cannot be used.
    fn next_frame_offset(&self, from: usize) -> Option<usize> {
        let rest = &self.file[from..];
        rest.windows(MAGIC.len())
            .enumerate()
            .filter(|(_, window)| *window == MAGIC)
            .map(|(n, _)| from + n)
            .find(|&at| self.frame_at(at).is_some())
    }
}

impl<'a> Iterator for FrameScanner<'a> {
    type Item = SegmentRegion<'a>;

    fn next(&mut self) -> Option<SegmentRegion<'a>> {
        let at = self.at;
        if let Some(payload) = self.frame_at(at) {
            self.at += FRAME_OVERHEAD_BYTES + payload.len();
            return Some(SegmentRegion::Frame(payload));
        }

        let written = self.file[at.min(self.file.len())..]
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        if written == 0 {
            return None;
        }

        match self.next_frame_offset(at + 1) {
            Some(next) => {
                self.at = next;
                Some(SegmentRegion::Damage { at, next })
            }
            None => {
                self.at = self.file.len();
                Some(SegmentRegion::Torn { at, bytes: written })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(payloads: &[&[u8]]) -> Vec<u8> {
        let mut file = Vec::new();
        payloads
            .iter()
            .for_each(|payload| write_frame(&mut file, |out| out.extend_from_slice(payload)));
        file.extend_from_slice(&[0; 64]);
        file
    }

    fn read(file: &[u8]) -> Vec<SegmentRegion<'_>> {
        FrameScanner::new(file, 0).collect()
    }

    const THREE: [&[u8]; 3] = [b"one", b"two two", b"three"];

    #[test]
    fn frames_read_back_up_to_the_reserved_zeros() {
        assert_eq!(read(&file(&THREE)), THREE.map(SegmentRegion::Frame));
        assert_eq!(read(&[]), []);
        assert_eq!(read(&[0; 100]), []);
    }

    #[test]
    fn every_byte_of_a_middle_frame_when_flipped_costs_that_frame_and_no_other() {
        let (start, end) = (FRAME_OVERHEAD_BYTES + 3, 2 * FRAME_OVERHEAD_BYTES + 10);
        for place in start..end {
            let mut file = file(&THREE);
            file[place] ^= 0x40;
            let found = read(&file);
            assert_eq!(found[0], SegmentRegion::Frame(b"one"), "byte {place}");
            assert_eq!(
                found[1],
                SegmentRegion::Damage {
                    at: start,
                    next: end
                },
                "byte {place}"
            );
            assert_eq!(found[2], SegmentRegion::Frame(b"three"), "byte {place}");
        }
    }

    #[test]
    fn a_write_cut_at_any_byte_is_torn_and_costs_nothing_before_it() {
        let whole = file(&THREE);
        let (start, end) = (2 * FRAME_OVERHEAD_BYTES + 10, 3 * FRAME_OVERHEAD_BYTES + 15);
        for cut in start + 1..end {
            let found = read(&whole[..cut]);
            assert_eq!(
                found[..2],
                [
                    SegmentRegion::Frame(b"one" as &[u8]),
                    SegmentRegion::Frame(b"two two")
                ],
                "cut at {cut}"
            );
            assert!(
                matches!(found[2..], [SegmentRegion::Torn { at, .. }] if at == start),
                "cut at {cut}"
            );
        }
    }
}
