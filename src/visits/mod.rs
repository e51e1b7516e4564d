//! The visitors of the current days: their visits, their networks and grants, and the openers of
//! mails, in bounded memory. All of it is keyed by the values that `pseudonym` makes and is dropped
//! with its day.

mod live;
mod networks;
mod opener_set;
mod visit_table;

pub use networks::FirstOfNetwork;
pub use opener_set::{OpenerSet, OpenerStatus};
pub use visit_table::{
    ClosedVisit, KnownNumbers, VisitEstimate, VisitHit, VisitLimits, VisitLookup, VisitTable,
    VisitUpdate, VisitValues,
};

// They contain values that distinguish visitors.
crate::unprintable!(OpenerSet, VisitHit<'static>, VisitTable);
