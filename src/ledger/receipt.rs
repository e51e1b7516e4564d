//! A receipt: the records of one consent id, signed by the ledger's key, for the holder of the
//! cookie.
//!
//! ```text
//! {
//! "receipt": "footfall/alllinks",              the name of the ledger in its checkpoints
//! "records": [
//! {"seq":41,…,"hash":"…"}                      the ledger's lines, byte for byte, to hash again
//! ],
//! "key": "footfall/alllinks+4f1c0a2b+Ab…",     the public key, as `ledger checkpoint` prints it
//! "signature": "5Qy…="                         base64 of Ed25519 over the line `<receipt> receipt`
//! }                                            and the records, each with a newline
//! ```
//!
//! The receipt's own key proves nothing. To verify a receipt, one must know the key or have a
//! checkpoint of this ledger, which the same key signed.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::act::ActKind;
use super::checkpoint::Checkpoint;
use super::line::{self, LedgerLine};
use super::signing_key::{PublicKey, SigningKey};
use crate::hex;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedReceipt<'a> {
    receipt: &'a str,
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
    key: &'a str,
    signature: &'a str,
}

/// What the signature of a receipt is verified against.
pub enum TrustAnchor<'a> {
    /// The public key, as published by the operator.
    Key(PublicKey),
    /// The text of a checkpoint that is known to be authentic.
    Checkpoint(&'a str),
}

/// The content of a valid receipt.
pub struct VerifiedReceipt {
    /// The name of the ledger, `footfall/<site>`.
    pub origin: String,
    /// The verifier key of the ledger.
    pub key: String,
    /// The recorded acts, oldest first.
    pub acts: Vec<ReceiptAct>,
    /// The number of records of the checkpoint; `None` if a key was given instead.
    pub checkpoint_size: Option<u64>,
}

/// A recorded act.
pub struct ReceiptAct {
    /// The number of the record.
    pub seq: u64,
    /// The kind of act.
    pub act: ActKind,
    /// The time as written: `2026-03-10T12:00Z`.
    pub at: String,
    /// The purposes that were granted after this act.
    pub granted: Vec<String>,
}

/// Writes a receipt. `lines` are the records of one id, oldest first.
pub fn write_receipt(origin: &str, key: &SigningKey, lines: &[String]) -> String {
    let signature =
        BASE64.encode(key.sign_text(&signed_text(origin, lines.iter().map(String::as_str))));
    let key = key.public_key().to_verifier_key(origin);
    let records = lines.join(",\n");
    format!(
        "{{\n\"receipt\": \"{origin}\",\n\"records\": [\n{records}\n],\n\"key\": \"{key}\",\n\"signature\": \"{signature}\"\n}}\n"
    )
}

/// Verifies a receipt and returns its content.
///
/// # Errors
///
/// Why the receipt is invalid, without quoting its content.
pub fn verify_receipt(text: &str, trust: &TrustAnchor<'_>) -> Result<VerifiedReceipt, String> {
    let receipt: SignedReceipt<'_> = serde_json::from_str(text).map_err(|error| {
        format!(
            "it is not a receipt, at line {} column {}",
            error.line(),
            error.column()
        )
    })?;

    let origin = receipt.receipt;
    let key = PublicKey::from_verifier_key(receipt.key)
        .filter(|key| key.to_verifier_key(origin) == receipt.key);
    let key = key.ok_or("the key it names is no key of the ledger it names")?;

    let note = match trust {
        TrustAnchor::Key(known) if *known == key => None,
        TrustAnchor::Key(_) => {
            return Err("it is signed with another key than the one given".into());
        }
        TrustAnchor::Checkpoint(note) => {
            let note = Checkpoint::from_signed_note(note, &key)
                .map_err(|what| format!("the checkpoint does not vouch for its key: {what}"))?;
            Some(note).filter(|note| note.origin == origin)
        }
    };

    if matches!(trust, TrustAnchor::Checkpoint(_)) && note.is_none() {
        return Err("the checkpoint is of another ledger".into());
    }

    let acts = verify_records(&receipt.records, note.as_ref())?;
    let lines = receipt.records.iter().map(|record| record.get());
    let signature = BASE64
        .decode(receipt.signature)
        .map_err(|_| "its signature is no base64")?;
    if !key.has_signed(&signed_text(origin, lines), &signature) {
        return Err(
            "its signature is wrong: a record was added, taken away, moved or written anew after \
             it was signed"
                .into(),
        );
    }

    Ok(VerifiedReceipt {
        origin: origin.to_owned(),
        key: receipt.key.to_owned(),
        acts,
        checkpoint_size: note.map(|note| note.head.size),
    })
}

/// The acts, after verifying that each record is intact, that all have the same id, and that they
/// are in order.
fn verify_records(
    records: &[&RawValue],
    note: Option<&Checkpoint>,
) -> Result<Vec<ReceiptAct>, String> {
    let mut acts: Vec<ReceiptAct> = Vec::new();
    let mut id = None;
    for (place, record) in records.iter().enumerate() {
        let nth = place + 1;
        let bytes = record.get().as_bytes();
        let hash = line::verified_chain_digest(bytes).ok_or_else(|| {
            format!("its record {nth} was changed: its bytes do not give the hash it ends with")
        })?;
        let fields: LedgerLine<'_> = serde_json::from_slice(bytes).map_err(|error| {
            format!(
                "its record {nth} is no record as this version knows it, at column {}",
                error.column()
            )
        })?;

        if fields.id.is_none() || *id.get_or_insert(fields.id) != fields.id {
            return Err(format!("its record {nth} is of another consent id"));
        }

        if acts.last().is_some_and(|before| before.seq >= fields.seq) {
            return Err(format!("its record {nth} is out of order"));
        }

        if note.is_some_and(|note| note.head.size == fields.seq && note.head.hash != hash) {
            let signed = note.map_or(String::new(), |note| hex::encode_lower(&note.head.hash));
            return Err(format!(
                "its record {nth} is not what the checkpoint signed, which has the hash {signed}"
            ));
        }

        let granted = fields.purposes.0.iter().filter(|(_, granted)| *granted);
        let granted = granted.map(|(name, _)| (*name).to_owned()).collect();
        acts.push(ReceiptAct {
            seq: fields.seq,
            act: fields.act,
            at: fields.at.to_owned(),
            granted,
        });
    }
    if acts.is_empty() {
        Err("it holds no record".into())
    } else {
        Ok(acts)
    }
}

/// The signed text. Its first line cannot start a checkpoint, so a signature of one is never valid
/// for the other.
fn signed_text<'a>(origin: &str, lines: impl Iterator<Item = &'a str>) -> String {
    let mut text = format!("{origin} receipt\n");
    lines.for_each(|line| writeln!(text, "{line}").expect("writing to a string"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::chain_head::ChainHead;
    use crate::ledger::folder::LedgerFolder;

    const ORIGIN: &str = "footfall/ally";

    fn key() -> SigningKey {
        let dir = tempfile::tempdir().unwrap();
        SigningKey::open(&LedgerFolder::new(dir.path()), "").unwrap()
    }

    /// A grant and its withdrawal, with the key that signs both.
    fn lines() -> Vec<String> {
        let digest = "ab".repeat(32);
        let record = |seq: u64, act: &str, refers: &str, yes: bool| {
            let body = format!(
                r#"{{"seq":{seq},"prev":"{digest}","id":"00112233445566778899aabbccddeeff","act":"{act}","refers":{refers},"site":"ally","version":3,"policy":null,"register":"{digest}","banner":"{digest}","lang":"de","layer":"first","purposes":{{"analytics":{yes}}},"gpc":false,"dnt":false,"at":"2026-03-10T12:00Z""#
            );
            format!(
                r#"{body},"hash":"{}"}}"#,
                hex::encode_lower(&line::sha256_digest(body.as_bytes()))
            )
        };
        vec![
            record(41, "grant", "null", true),
            record(57, "withdraw", "41", false),
        ]
    }

    fn wrong(text: &str, trust: &TrustAnchor<'_>) -> String {
        verify_receipt(text, trust).err().expect("it is wrong")
    }

    #[test]
    fn a_receipt_reads_back_with_its_key_or_a_checkpoint_and_says_its_acts() {
        let key = key();
        let receipt = write_receipt(ORIGIN, &key, &lines());
        let head = ChainHead {
            size: 60,
            hash: [7; 32],
        };
        let note = Checkpoint {
            origin: ORIGIN.into(),
            head,
            cut: None,
        }
        .to_signed_note(&key);
        for (trust, size) in [
            (TrustAnchor::Key(key.public_key()), None),
            (TrustAnchor::Checkpoint(&note), Some(60)),
        ] {
            let told = verify_receipt(&receipt, &trust).unwrap();
            let acts: Vec<(u64, &str, String)> = told
                .acts
                .iter()
                .map(|act| (act.seq, act.act.name(), act.granted.join("+")))
                .collect();
            assert_eq!(
                acts,
                [
                    (41, "grant", "analytics".into()),
                    (57, "withdraw", String::new())
                ]
            );
            assert_eq!((told.origin.as_str(), told.checkpoint_size), (ORIGIN, size));
        }
    }

    #[test]
    fn what_is_wrong_with_a_receipt_is_said() {
        let (key, other) = (key(), key());
        let known = TrustAnchor::Key(key.public_key());
        let (lines, receipt) = (lines(), write_receipt(ORIGIN, &key, &lines()));
        let changed = receipt.replacen("\"version\":3", "\"version\":4", 1);
        assert!(
            wrong(&changed, &known).starts_with("its record 1 was changed"),
            "{}",
            wrong(&changed, &known)
        );
        let shorter = receipt.replace(&format!(",\n{}", lines[1]), "");
        assert!(
            wrong(&shorter, &known).starts_with("its signature is wrong"),
            "{}",
            wrong(&shorter, &known)
        );
        let turned = write_receipt(ORIGIN, &key, &[lines[1].clone(), lines[0].clone()]);
        assert_eq!(wrong(&turned, &known), "its record 2 is out of order");
        assert_eq!(
            wrong(&receipt, &TrustAnchor::Key(other.public_key())),
            "it is signed with another key than the one given"
        );
        assert_eq!(
            wrong(&write_receipt(ORIGIN, &key, &[]), &known),
            "it holds no record"
        );
        assert_eq!(
            wrong("{", &known),
            "it is not a receipt, at line 1 column 1"
        );
        let renamed = receipt.replace(
            "\"receipt\": \"footfall/ally\"",
            "\"receipt\": \"footfall/alli\"",
        );
        assert_eq!(
            wrong(&renamed, &known),
            "the key it names is no key of the ledger it names"
        );

        let note = |origin: &str, size, hash, key| {
            Checkpoint {
                origin: origin.into(),
                head: ChainHead { size, hash },
                cut: None,
            }
            .to_signed_note(key)
        };
        let of_others = note(ORIGIN, 60, [7; 32], &other);
        assert!(
            wrong(&receipt, &TrustAnchor::Checkpoint(&of_others))
                .ends_with("it is not signed with this ledger's key")
        );
        let elsewhere = note("footfall/alli", 60, [7; 32], &key);
        assert_eq!(
            wrong(&receipt, &TrustAnchor::Checkpoint(&elsewhere)),
            "the checkpoint is of another ledger"
        );
        let contradicts = note(ORIGIN, 57, [7; 32], &key);
        assert!(
            wrong(&receipt, &TrustAnchor::Checkpoint(&contradicts))
                .starts_with("its record 2 is not what the checkpoint")
        );
    }

    #[test]
    fn a_receipt_changed_at_any_byte_of_a_record_or_its_key_does_not_verify() {
        let key = key();
        let receipt = write_receipt(ORIGIN, &key, &lines());
        let end = receipt.find("\"signature\"").unwrap();
        for at in (receipt.find("\"records\"").unwrap()..end).step_by(7) {
            let mut bytes = receipt.clone().into_bytes();
            bytes[at] ^= 1;
            let opened = String::from_utf8(bytes)
                .ok()
                .map(|text| verify_receipt(&text, &TrustAnchor::Key(key.public_key())).is_ok());
            // Whitespace between the parts is not signed.
            assert!(
                opened != Some(true) || receipt.as_bytes()[at].is_ascii_whitespace(),
                "byte {at}"
            );
        }
    }
}
