//! Acts: a visitor's decision about consent, before and after it is recorded.

use super::Sha256Digest;
use super::error::LedgerError;
use crate::calendar::Millis;
use crate::consent::ConsentId;

string_enum! {
    /// The kind of an act.
    pub enum ActKind {
        /// Consent to at least one purpose, under a new id.
        Grant = "grant",
        /// Has no id and refers to nothing: all refusals are equal.
        Refuse = "refuse",
        /// Ends the live grant of an id; purposes that remain granted narrow it instead.
        Withdraw = "withdraw",
    }
}

string_enum! {
    /// Where the consent prompt was shown.
    pub enum PromptLayer {
        /// The banner itself.
        First = "first",
        /// The panel behind "choose".
        Panel = "panel",
        /// A page of its own: settings, privacy notice, footer.
        Page = "page",
    }
}

/// Digests of all texts that the visitor could read at that moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PromptDigests {
    /// Of the text of the privacy notice, if the operator configured one.
    pub policy: Option<Sha256Digest>,
    /// Of the register of cookies and purposes.
    pub register: Sha256Digest,
    /// Of the texts of the consent prompt.
    pub banner: Sha256Digest,
}

/// An act to be recorded. It cannot be printed, because it contains the consent id.
pub struct NewAct {
    /// The id of a grant or a withdrawal; `None` for a refusal.
    pub id: Option<ConsentId>,
    /// The kind of act.
    pub act: ActKind,
    /// The platform's name, `consent.site`.
    pub site: String,
    /// The version of the consent prompt.
    pub version: u32,
    /// Digests of the texts shown.
    pub digests: PromptDigests,
    /// The language of the texts, a BCP 47 tag.
    pub lang: String,
    /// Where the consent prompt was shown.
    pub layer: PromptLayer,
    /// The purposes that can be refused, in the order shown, and whether each is granted.
    pub purposes: Vec<(String, bool)>,
    /// Whether the request carried `Sec-GPC: 1`.
    pub gpc: bool,
    /// Whether the request carried `DNT: 1`.
    pub dnt: bool,
    /// When it happened. Recorded rounded down to the hour.
    pub at: Millis,
}

/// A recorded act. It cannot be printed, because its line contains the consent id.
#[derive(Clone)]
pub struct LedgerRecord {
    /// The number of the record, counted from 1.
    pub seq: u64,
    /// The kind of act.
    pub act: ActKind,
    /// The record of the grant that this one replaces or ends.
    pub refers: Option<u64>,
    /// The hash of the record.
    pub hash: Sha256Digest,
    /// The record's line without the newline. A receipt contains exactly these bytes, so that they
    /// can be hashed again.
    pub line: String,
}

const MAX_PURPOSES: usize = 16;

impl NewAct {
    /// Rejects texts that could carry personal data into the ledger, or that JSON would have to
    /// escape.
    pub(super) fn validate_fields(&self) -> Result<(), LedgerError> {
        let unfit = |field, accepted| Err(LedgerError::InvalidField { field, accepted });
        if !is_ascii_name(&self.site, 64, b"._~-") {
            return unfit("site", "1 to 64 of letters, digits and . _ ~ -");
        }
        if !is_ascii_name(&self.lang, 35, b"-") {
            return unfit("lang", "a language tag: 1 to 35 of letters, digits and -");
        }

        let names = self
            .purposes
            .iter()
            .all(|(name, _)| is_ascii_name(name, 64, b"_-"));
        if !names || self.purposes.is_empty() || self.purposes.len() > MAX_PURPOSES {
            return unfit(
                "purposes",
                "1 to 16 names, each 1 to 64 of letters, digits, _ and -",
            );
        }

        let twice = |(place, (name, _)): (usize, &(String, bool))| {
            self.purposes[..place].iter().any(|(n, _)| n == name)
        };
        if self.purposes.iter().enumerate().any(twice) {
            return unfit("purposes", "each name once");
        }

        let any = self.purposes.iter().any(|(_, granted)| *granted);
        match (self.act, self.id.is_some(), any) {
            (ActKind::Grant, true, true)
            | (ActKind::Refuse, false, false)
            | (ActKind::Withdraw, true, _) => Ok(()),
            (ActKind::Grant, ..) => unfit("act", "a grant with an id and at least one purpose"),
            (ActKind::Refuse, ..) => unfit("act", "a refusal without an id and without a purpose"),
            (ActKind::Withdraw, ..) => unfit("act", "a withdrawal with an id"),
        }
    }
}

fn is_ascii_name(text: &str, most: usize, marks: &[u8]) -> bool {
    (1..=most).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || marks.contains(&b))
}
