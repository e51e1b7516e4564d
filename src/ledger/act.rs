//! Acts: what a visitor decided about consent, before and after it is recorded.

use serde::Deserialize;

use super::Hash;
use super::error::LedgerError;
use crate::consent::ConsentId;
use crate::event::Millis;

/// The kind of an act.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// Consent to at least one purpose, under a new id.
    Grant,
    /// Carries no id and refers to nothing: all refusals are equal.
    Refuse,
    /// Ends the live grant of an id; purposes that remain granted narrow it instead.
    Withdraw,
}

impl Act {
    /// The name in records and in the API.
    pub const fn word(self) -> &'static str {
        match self {
            Act::Grant => "grant",
            Act::Refuse => "refuse",
            Act::Withdraw => "withdraw",
        }
    }
}

/// Where the visitor was asked.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// The banner itself.
    First,
    /// The panel behind "choose".
    Panel,
    /// A page of its own: settings, privacy notice, footer.
    Page,
}

impl Layer {
    /// The name in records and in the API.
    pub const fn word(self) -> &'static str {
        match self {
            Layer::First => "first",
            Layer::Panel => "panel",
            Layer::Page => "page",
        }
    }
}

/// Digests of everything the visitor could read at that moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// Of the text of the privacy notice, if the operator configured one.
    pub policy: Option<Hash>,
    /// Of the register of cookies and purposes.
    pub register: Hash,
    /// Of the texts of the consent prompt.
    pub banner: Hash,
}

/// An act to be recorded. Cannot be printed, because it holds the consent id.
pub struct NewAct {
    /// The id of a grant or a withdrawal; `None` for a refusal.
    pub id: Option<ConsentId>,
    /// The kind of act.
    pub act: Act,
    /// The platform's name, `consent.site`.
    pub site: String,
    /// The version of the consent prompt.
    pub version: u32,
    /// Digests of the texts shown.
    pub texts: Digests,
    /// The language of the texts, a BCP 47 tag.
    pub lang: String,
    /// Where the visitor was asked.
    pub layer: Layer,
    /// The purposes that can be refused, in the order shown, and whether each is granted.
    pub purposes: Vec<(String, bool)>,
    /// Whether the request carried `Sec-GPC: 1`.
    pub gpc: bool,
    /// Whether the request carried `DNT: 1`.
    pub dnt: bool,
    /// When it happened. Recorded rounded down to the hour.
    pub at: Millis,
}

/// A recorded act. Cannot be printed, because its line contains the consent id.
#[derive(Clone)]
pub struct Record {
    /// The number of the record, counted from 1.
    pub seq: u64,
    /// The kind of act.
    pub act: Act,
    /// The record of the grant that this one replaces or ends.
    pub refers: Option<u64>,
    /// The hash of the record.
    pub hash: Hash,
    /// The record's line without the newline. A receipt contains exactly these bytes, so that they
    /// can be hashed again.
    pub line: String,
}

const MOST_PURPOSES: usize = 16;

impl NewAct {
    /// Rejects texts that could carry personal data into the ledger, or that JSON would have to
    /// escape.
    pub(super) fn check(&self) -> Result<(), LedgerError> {
        let unfit = |field, accepted| Err(LedgerError::Unfit { field, accepted });
        if !is_word(&self.site, 64, b"._~-") {
            return unfit("site", "1 to 64 of letters, digits and . _ ~ -");
        }
        if !is_word(&self.lang, 35, b"-") {
            return unfit("lang", "a language tag: 1 to 35 of letters, digits and -");
        }

        let names = self.purposes.iter().all(|(name, _)| is_word(name, 64, b"_-"));
        if !names || self.purposes.is_empty() || self.purposes.len() > MOST_PURPOSES {
            return unfit("purposes", "1 to 16 names, each 1 to 64 of letters, digits, _ and -");
        }

        let twice =
            |(place, (name, _)): (usize, &(String, bool))| self.purposes[..place].iter().any(|(n, _)| n == name);
        if self.purposes.iter().enumerate().any(twice) {
            return unfit("purposes", "each name once");
        }

        let any = self.purposes.iter().any(|(_, granted)| *granted);
        match (self.act, self.id.is_some(), any) {
            (Act::Grant, true, true) | (Act::Refuse, false, false) | (Act::Withdraw, true, _) => Ok(()),
            (Act::Grant, ..) => unfit("act", "a grant with an id and at least one purpose"),
            (Act::Refuse, ..) => unfit("act", "a refusal without an id and without a purpose"),
            (Act::Withdraw, ..) => unfit("act", "a withdrawal with an id"),
        }
    }
}

fn is_word(text: &str, most: usize, marks: &[u8]) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || marks.contains(&b))
}
