//! Attributes of people are published in lots: the rules, without I/O and without a clock.
//!
//! An attribute count (so many visitors of a site came from France) is *pending* until its cell holds enough visitors from enough
//! networks; then the whole lot is published at once and never changes again. A cell is one value of one dimension of a site or of
//! one of its pages, links or events. What is fewer waits, without its day, for a later lot; a random few of each lot wait with it.
//!
//! Why lots and not a threshold at read: whoever can ask for two ranges can subtract them. A lot is one number for a set of visitors
//! that no later answer divides. docs/understand/PRIVACY.md has the measured effect, docs/understand/COUNTING.md the rules as a contract.

mod coin;
mod rules;

pub use coin::CoinKey;
pub use rules::{Cell, CellKey, Lot, LotPolicy, Occasion, Outcome, Released, Rules};
