//! Publication of visitor attributes in lots: the rules, without I/O and without a clock.
//!
//! An attribute count (the number of visitors of a site who came from France) is *pending* until
//! its cell holds enough visitors from enough networks. Then the whole lot is published at once and
//! never changes again. A cell is one value of one dimension of a site or of one of its pages,
//! links or events. Smaller counts wait, without their day, for a later lot; a small random part of
//! each lot waits with them.
//!
//! Lots are used, rather than a threshold at read time, because a client that can query two ranges
//! can subtract them. A lot is one number for a set of visitors that no later response divides.
//! docs/understand/PRIVACY.md has the measured effect, docs/understand/COUNTING.md the rules as a
//! contract.

mod coin;
mod rules;

pub use coin::CoinKey;
pub use rules::{
    CellKey, CellState, ClosedPeriod, Lot, LotPolicy, PublicationOutcome, PublicationRules,
    PublishedLot,
};
