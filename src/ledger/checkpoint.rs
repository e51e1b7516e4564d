//! A checkpoint: the signed position of the chain at one moment, so that others can prove a later
//! change.
//!
//! ```text
//! footfall/alllinks                               a signed note of C2SP's tlog-checkpoint
//! 41                                              the number of records
//! 5Qy…=                                           base64 of the hash of record 41
//! cut before 2024-01-01                           only if the records up to this one were dropped
//!
//! — footfall/alllinks Az3…=                       base64 of four bytes of the key's hash and the
//!                                                 Ed25519 signature
//! ```
//!
//! **The third line is the head of a chain, not the root of a Merkle tree.** Tools for signed notes
//! can verify the signature; tools that need inclusion or consistency proofs find none. To prove
//! that a ledger contains a checkpoint, follow the chain up to it, as `footfall ledger verify
//! --checkpoint FILE` does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::chain_head::ChainHead;
use super::signing_key::{PublicKey, SigningKey};

const CUT_PREFIX: &str = "cut before ";

/// A checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The name of the ledger, `footfall/<site>`.
    pub origin: String,
    /// The position it signs for.
    pub head: ChainHead,
    /// The UTC day before which records were dropped; the last of them is that of `head`.
    pub cut: Option<String>,
}

impl Checkpoint {
    /// The text of the signed note.
    pub fn to_signed_note(&self, key: &SigningKey) -> String {
        let Checkpoint { origin, head, cut } = self;
        let cut = cut
            .as_ref()
            .map(|before| format!("{CUT_PREFIX}{before}\n"))
            .unwrap_or_default();
        let text = format!(
            "{origin}\n{}\n{}\n{cut}",
            head.size,
            BASE64.encode(head.hash)
        );
        let signature = [
            key.public_key().key_id(origin).as_slice(),
            &key.sign_text(&text),
        ]
        .concat();
        format!("{text}\n\u{2014} {origin} {}\n", BASE64.encode(signature))
    }

    /// Parses a note and verifies its signature by `key`.
    ///
    /// # Errors
    ///
    /// The reason why the note is invalid.
    pub fn from_signed_note(note: &str, key: &PublicKey) -> Result<Checkpoint, &'static str> {
        let (text, signatures) = note
            .split_once("\n\n")
            .ok_or("it is no signed note: an empty line is missing")?;
        let read = parse_checkpoint(text)
            .ok_or("it is no checkpoint: origin, size and hash, a line each, are expected")?;
        let text = format!("{text}\n");
        let marks = [key.key_id(&read.origin).as_slice()].concat();
        // Other keys may have signed it too; only the signature by `key` is verified.
        let ours = signatures.lines().filter_map(|line| {
            let (name, signature) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
            let signature = BASE64.decode(signature).ok()?;
            (name == read.origin)
                .then(|| signature.strip_prefix(marks.as_slice()).map(<[u8]>::to_vec))?
        });

        let mut ours = ours.peekable();
        if ours.peek().is_none() {
            return Err("it is not signed with this ledger's key");
        }

        match ours.any(|signature| key.has_signed(&text, &signature)) {
            true => Ok(read),
            false => Err("its signature is wrong: it was changed after it was signed"),
        }
    }
}

fn parse_checkpoint(text: &str) -> Option<Checkpoint> {
    let mut lines = text.split('\n');
    let origin = lines
        .next()
        .filter(|origin| origin.starts_with("footfall/"))?
        .to_owned();
    let size: u64 = lines.next()?.parse().ok()?;
    let hash = BASE64.decode(lines.next()?).ok()?.try_into().ok()?;
    let cut = lines
        .find_map(|line| line.strip_prefix(CUT_PREFIX))
        .map(str::to_owned);
    Some(Checkpoint {
        origin,
        head: ChainHead { size, hash },
        cut,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::folder::LedgerFolder;

    fn key() -> SigningKey {
        let dir = tempfile::tempdir().unwrap();
        SigningKey::open(&LedgerFolder::new(dir.path()), "").unwrap()
    }

    fn note(cut: Option<&str>) -> Checkpoint {
        Checkpoint {
            origin: "footfall/ally".into(),
            head: ChainHead {
                size: 41,
                hash: [7; 32],
            },
            cut: cut.map(str::to_owned),
        }
    }

    #[test]
    fn a_signed_note_opens_with_its_key_and_no_other() {
        let (key, other) = (key(), key());
        for cut in [None, Some("2024-01-01")] {
            let signed = note(cut).to_signed_note(&key);
            assert_eq!(
                Checkpoint::from_signed_note(&signed, &key.public_key()),
                Ok(note(cut))
            );
            assert_eq!(
                Checkpoint::from_signed_note(&signed, &other.public_key()),
                Err("it is not signed with this ledger's key")
            );
        }
        let signed = note(None).to_signed_note(&key);
        let lines: Vec<&str> = signed.lines().collect();
        assert_eq!(
            lines[..4],
            ["footfall/ally", "41", &BASE64.encode([7; 32]), ""]
        );
        assert_eq!(
            BASE64
                .decode(lines[4].strip_prefix("\u{2014} footfall/ally ").unwrap())
                .unwrap()
                .len(),
            68
        );
    }

    #[test]
    fn a_note_changed_at_any_byte_does_not_open() {
        let key = key();
        let signed = note(Some("2024-01-01")).to_signed_note(&key);
        // The final newline is not part of the signed text.
        for at in 0..signed.len() - 1 {
            let mut bytes = signed.clone().into_bytes();
            bytes[at] ^= 1;
            let opened = String::from_utf8(bytes)
                .ok()
                .and_then(|text| Checkpoint::from_signed_note(&text, &key.public_key()).ok());
            assert_eq!(opened, None, "byte {at}");
        }
    }

    #[test]
    fn a_public_key_reads_back_and_must_fit_its_name() {
        let public = key().public_key();
        let text = public.to_verifier_key("footfall/ally");
        assert!(PublicKey::from_verifier_key(&text).is_some_and(|read| read == public));
        for other in [
            "",
            "footfall/ally",
            &text.replace("ally", "alli"),
            &text[..text.len() - 4],
        ] {
            assert!(PublicKey::from_verifier_key(other).is_none(), "{other}");
        }
    }
}
