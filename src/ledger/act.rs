//! What a person did, before and after it is on record.

use serde::Deserialize;

use super::Hash;
use super::error::LedgerError;
use crate::consent::ConsentId;
use crate::event::Millis;

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    Grant,
    /// Carries no id and refers to nothing: all refusals are the same.
    Refuse,
    /// Ends the id's live grant; with purposes still true it narrows it.
    Withdraw,
}

impl Act {
    pub const fn word(self) -> &'static str {
        match self {
            Act::Grant => "grant",
            Act::Refuse => "refuse",
            Act::Withdraw => "withdraw",
        }
    }
}

/// Where the person was asked.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// The banner itself.
    First,
    /// The panel behind "choose".
    Panel,
    /// A page of its own: settings, policy, footer.
    Page,
}

impl Layer {
    pub const fn word(self) -> &'static str {
        match self {
            Layer::First => "first",
            Layer::Panel => "panel",
            Layer::Page => "page",
        }
    }
}

/// What the person could read at that moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// Of the policy's text, where the operator gave one.
    pub policy: Option<Hash>,
    /// Of the register of cookies and purposes.
    pub register: Hash,
    pub banner: Hash,
}

/// An act to be recorded. Cannot be printed: it holds the id.
#[derive(Clone)]
pub struct NewAct {
    /// Of a grant or a withdrawal.
    pub id: Option<ConsentId>,
    pub act: Act,
    pub site: String,
    pub version: u32,
    pub texts: Digests,
    pub lang: String,
    pub layer: Layer,
    /// In the order they were shown, without what nobody can refuse.
    pub purposes: Vec<(String, bool)>,
    pub gpc: bool,
    pub dnt: bool,
    /// Recorded rounded down to the hour.
    pub at: Millis,
}

/// A record as it lies in the ledger. Cannot be printed: its line holds the id.
#[derive(Clone)]
pub struct Record {
    pub seq: u64,
    pub act: Act,
    pub refers: Option<u64>,
    pub hash: Hash,
    /// The bytes of the line without its newline: a receipt is these and nothing else, so that it can be hashed again.
    pub line: String,
}

const MOST_PURPOSES: usize = 16;

impl NewAct {
    /// Texts from outside must not carry anything of a person into the ledger, nor anything that JSON would have to escape.
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
