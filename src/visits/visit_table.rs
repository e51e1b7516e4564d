//! The visitors of one zone's day and their visits, in bounded memory.
//!
//! A visitor takes 40 bytes in a slab, 5 in an index and 21 in the sets of networks and grants. Each
//! item a visitor touched takes 13 more. Free slots of the tables come on top: a table is filled to
//! between 7/16 and 7/8. The slab grows in chunks and nothing moves, so a million visitors are never
//! copied. Every open visit has exactly one entry in a timing wheel of minutes. An entry that comes
//! due while its visit continues is moved to its new minute, so hits do not touch the wheel.

mod state;

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

pub use state::KnownNumbers;

use super::live::LiveVisitors;
use super::networks::{FirstOfNetwork, GrantCounters, NetworkSet};
use crate::budget::BudgetShare;
use crate::calendar::{DaySpan, Millis};
use crate::event::{HitKind, Subject};
use crate::pseudonym::{StoredVisitorKey, Visitor, VisitorKey};

const VISITORS_PER_CHUNK: usize = 4096;
const MINUTE_MILLIS: u32 = 60_000;
const NO_PAGE: u32 = u32::MAX;

/// The attributes that a visit keeps from its first hit, as ids of the day's texts. Only those that
/// pages, links and events are broken down by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VisitValues {
    /// Referring source.
    pub source: u32,
    /// Country of the address.
    pub country: u32,
    /// Campaign of the landing page.
    pub campaign: u32,
}

/// The parts of a hit that visits need.
pub struct VisitHit<'a> {
    /// Pseudonymous visitor.
    pub visitor: &'a Visitor,
    /// The site's number within the day.
    pub site: u32,
    /// Time of the hit.
    pub at: Millis,
    /// A leave extends a visit but does not begin one.
    pub kind: HitKind,
    /// Whether it prevents a bounce.
    pub interactive: bool,
    /// Whether the visit cookie was absent; `None` in modes without one.
    pub without_cookie: Option<bool>,
    /// Whether the item is a page, a link or an event.
    pub subject: Subject,
    /// Id of the day's text for the path, link or event name.
    pub item: u32,
}

/// The result of looking up a hit's visit.
pub enum VisitLookup {
    /// The hit belongs to this visit.
    Found(VisitUpdate),
    /// No visitor: the mode has none, or a leave came without an open visit. Such a leave follows a
    /// long read; its seconds still count for the page.
    NoVisitor,
    /// A limit is reached: the hit counts, its visitor does not.
    LimitReached,
    /// The hit's grant has reached its limit of visitors of the site today: the hit counts, its
    /// visitor does not.
    GrantLimitReached,
}

/// What a hit with a known visitor is the first of.
#[derive(Debug, PartialEq)]
pub struct VisitUpdate {
    /// The site has a new visitor. In the mode with a cookie, the cookie decides, and a person can
    /// be new more than once a day.
    pub new_visitor: bool,
    /// The hit begins a visit.
    pub new_visit: bool,
    /// The item has a new visitor. In the mode with a cookie, the cookie decides.
    pub item_new_visitor: bool,
    /// First touch of the item in this visit.
    pub item_new_in_visit: bool,
    /// The visitor's first hit of the day, independent of the cookie.
    pub first_today: bool,
    /// The visitor's first touch of the item that day, independent of the cookie.
    pub item_first_today: bool,
    /// Whether the visitor was the first of its network that day.
    pub first_of_network: FirstOfNetwork,
    /// First page of its visit.
    pub is_entry: bool,
    /// Attributes of the visit that the hit belongs to.
    pub values: VisitValues,
    /// The visitor's previous visit, if this hit showed that it had ended.
    pub closed_visit: Option<ClosedVisit>,
}

/// What a page view would add, as (visitors, visits).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct VisitEstimate {
    /// Of the site.
    pub site_counts: (u32, u32),
    /// Of the page.
    pub item_counts: (u32, u32),
    /// The visitor has been counted on this day.
    pub known_today: bool,
}

/// A visit that has ended.
#[derive(Debug, PartialEq)]
pub struct ClosedVisit {
    /// The site's number within the day.
    pub site: u32,
    /// Time of its first hit.
    pub started: Millis,
    /// Seconds from the first to the last hit.
    pub seconds: u32,
    /// At most one page view and nothing interactive.
    pub bounced: bool,
    /// Id of the last viewed page's path; `None` for a visit without page views.
    pub last_page: Option<u32>,
}

struct VisitorState {
    visitor: StoredVisitorKey,
    flags: u8,
    /// Number of the visitor's visits today.
    visit_number: u16,
    site: u32,
    /// Milliseconds since the day's start, like `last`.
    started: u32,
    last: u32,
    last_page: u32,
    values: VisitValues,
}

const OPEN: u8 = 1;
const INTERACTIVE: u8 = 2;
const IN_WHEEL: u8 = 4;
/// First of its network on its site that day, and on the platform. Kept from visit to visit.
const FIRST_OF_NETWORK: u8 = 8;
const FIRST_OF_PLATFORM_NETWORK: u8 = 16;
/// At least one page view, and at least two.
const VIEWED: u8 = 32;
const VIEWED_AGAIN: u8 = 64;

/// The last visit in which a visitor touched an item.
struct ItemVisit {
    slot: u32,
    item: u32,
    visit_number: u16,
    subject: Subject,
}

impl ItemVisit {
    fn key(&self) -> ItemKey {
        (self.slot, self.subject, self.item)
    }
}

/// A visitor's slot, and the item.
type ItemKey = (u32, Subject, u32);

/// Limits of one day of one zone.
pub struct VisitLimits {
    /// A visit ends after this many seconds without a hit.
    pub gap_secs: u32,
    /// Budget of visitors.
    pub visitor_budget: BudgetShare,
    /// Budget of pairs of a visitor and an item.
    pub item_budget: BudgetShare,
    /// Maximum number of visitors of one site that share one grant.
    pub visitors_per_grant: u32,
}

/// Visitors and visits of one zone's day.
pub struct VisitTable {
    span: Arc<DaySpan>,
    gap_millis: u32,
    visitor_budget: BudgetShare,
    item_budget: BudgetShare,
    index: HashTable<u32>,
    slab: Vec<Vec<VisitorState>>,
    item_visits: HashTable<ItemVisit>,
    item_hash_state: RandomState,
    networks: NetworkSet,
    grants: GrantCounters,
    live: LiveVisitors,
    expiry_wheel: Vec<Vec<u32>>,
    /// First minute of the wheel that has not come due.
    next_due_minute: usize,
    /// The slot at which `close_all` continues.
    next_closing_slot: u32,
}

impl VisitTable {
    /// A table without visitors.
    pub fn new(span: Arc<DaySpan>, caps: VisitLimits) -> VisitTable {
        // The tables grow with the day's visitors, up to the limits.
        VisitTable {
            span,
            gap_millis: caps.gap_secs.saturating_mul(1000),
            visitor_budget: caps.visitor_budget,
            item_budget: caps.item_budget,
            index: HashTable::new(),
            slab: Vec::new(),
            item_visits: HashTable::new(),
            item_hash_state: RandomState::default(),
            networks: NetworkSet::new(),
            grants: GrantCounters::new(caps.visitors_per_grant),
            live: LiveVisitors::default(),
            expiry_wheel: Vec::new(),
            next_due_minute: 0,
            next_closing_slot: 0,
        }
    }

    /// Visitors of a site who did something in the last five minutes.
    pub fn live_visitors(&self, site: u32, now: Millis) -> u32 {
        u32::try_from(now - self.span.start)
            .map_or(0, |at| self.live.live_count(site, at / MINUTE_MILLIS))
    }

    /// Number of visitors today.
    pub fn visitor_count(&self) -> usize {
        self.index.len()
    }

    /// Assigns a hit to its visit. `values` is called only if the hit begins one.
    pub fn record_hit(
        &mut self,
        touch: &VisitHit<'_>,
        values: impl FnOnce() -> VisitValues,
    ) -> VisitLookup {
        let at = u32::try_from(touch.at - self.span.start).unwrap_or(0);
        let known = self.find_visitor(&touch.visitor.key);
        let slot = match known.map_or_else(|| self.admit_visitor(touch), Ok) {
            Ok(slot) => slot,
            Err(held) => return held,
        };

        let gap = self.gap_millis;
        let state = self.state_mut(slot);
        let running = state.flags & OPEN != 0 && at.saturating_sub(state.last) < gap;
        if touch.kind == HitKind::Leave && !running {
            return VisitLookup::NoVisitor;
        }

        let before = known.map(|_| state.last / MINUTE_MILLIS);
        if before.is_none_or(|before| before < at / MINUTE_MILLIS) {
            self.live.record_hit(touch.site, before, at / MINUTE_MILLIS);
        }
        if touch.kind == HitKind::Leave {
            let state = self.state_mut(slot);
            state.last = state.last.max(at);
            return VisitLookup::Found(VisitUpdate::without_firsts(state));
        }

        let closed = if running {
            None
        } else {
            self.begin_visit(slot, values(), at)
        };
        let state = self.state_mut(slot);
        state.last = state.last.max(at);
        let entry = touch.kind == HitKind::View && state.flags & VIEWED == 0;
        if touch.kind == HitKind::View {
            state.flags |= if entry { VIEWED } else { VIEWED_AGAIN };
            state.last_page = touch.item;
        }
        if touch.interactive {
            state.flags |= INTERACTIVE;
        }

        let (visit, values, first_of) =
            (state.visit_number, state.values, state.first_of_network());
        let first_today = known.is_none();
        let (item_first_today, item_new_in_visit) =
            self.record_item((slot, touch.subject, touch.item), visit);
        VisitLookup::Found(VisitUpdate {
            new_visitor: touch.without_cookie.unwrap_or(first_today),
            new_visit: !running,
            item_new_visitor: item_first_today || touch.without_cookie == Some(true),
            item_new_in_visit,
            first_today,
            item_first_today,
            first_of_network: first_of,
            is_entry: entry,
            values,
            closed_visit: closed,
        })
    }

    /// What [`VisitTable::record_hit`] would count for a page view, without changing anything.
    /// `item` is `None` if the day has not seen the page yet.
    pub fn estimate_view(
        &self,
        visitor: &Visitor,
        at: Millis,
        without_cookie: Option<bool>,
        item: Option<u32>,
    ) -> VisitEstimate {
        let at = u32::try_from(at - self.span.start).unwrap_or(0);
        let (first_today, running, touched) = match self.find_visitor(&visitor.key) {
            Some(slot) => {
                let state = &self.slab[slot as usize / VISITORS_PER_CHUNK]
                    [slot as usize % VISITORS_PER_CHUNK];
                let running =
                    state.flags & OPEN != 0 && at.saturating_sub(state.last) < self.gap_millis;
                let visit = if running {
                    state.visit_number
                } else {
                    state.visit_number.saturating_add(1)
                };
                let last = item.and_then(|item| self.find_item((slot, Subject::Page, item)));
                (false, running, last.map(|last| last.visit_number != visit))
            }
            None if !self.visitor_budget.has_capacity(1) => return VisitEstimate::default(),
            None if visitor
                .grant
                .is_some_and(|grant| !self.grants.can_admit(grant)) =>
            {
                return VisitEstimate::default();
            }
            None => (true, false, None),
        };
        let (item_first, item_new) = match touched {
            Some(new) => (false, new),
            None => [self.item_budget.has_capacity(1); 2].into(),
        };
        let visitors = u32::from(without_cookie.unwrap_or(first_today));
        let item_visitors = u32::from(item_first || without_cookie == Some(true));
        VisitEstimate {
            site_counts: (visitors, u32::from(!running)),
            item_counts: (item_visitors, u32::from(item_new)),
            known_today: !first_today,
        }
    }

    /// Closes visits that are idle for the gap, at most `most`. `true` if there may be more.
    pub fn close_idle(
        &mut self,
        now: Millis,
        most: usize,
        mut close: impl FnMut(ClosedVisit),
    ) -> bool {
        let now = u32::try_from(now - self.span.start).unwrap_or(0);
        let mut left = most;
        while self.next_due_minute < self.expiry_wheel.len()
            && (self.next_due_minute as u32).saturating_mul(MINUTE_MILLIS) <= now
        {
            while let Some(slot) = self.expiry_wheel[self.next_due_minute].pop() {
                let gap = self.gap_millis;
                let state = self.state_mut(slot);
                if now.saturating_sub(state.last) >= gap {
                    state.flags &= !IN_WHEEL;
                    if let Some(closed) = self.close_visit(slot) {
                        close(closed);
                    }
                    left -= 1;
                } else {
                    let minute = expiry_minute(state.last, gap);
                    self.schedule_expiry(slot, minute);
                }
                if left == 0 {
                    return true;
                }
            }
            self.expiry_wheel[self.next_due_minute] = Vec::new();
            self.next_due_minute += 1;
        }
        false
    }

    /// Closes every open visit, at most `most` per call. `true` if there are more.
    pub fn close_all(&mut self, most: usize, mut close: impl FnMut(ClosedVisit)) -> bool {
        let total = self.index.len() as u32;
        let until = total.min(
            self.next_closing_slot
                .saturating_add(u32::try_from(most).unwrap_or(u32::MAX)),
        );
        for slot in self.next_closing_slot..until {
            if let Some(closed) = self.close_visit(slot) {
                close(closed);
            }
        }
        self.next_closing_slot = until;
        until < total
    }

    /// The memory of visitors, visits and sites, in bytes: of visitors without their items, of items,
    /// and of the sites' live visitors.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> [usize; 3] {
        let slab: usize = self.slab.iter().map(Vec::capacity).sum();
        let wheel: usize = self.expiry_wheel.iter().map(Vec::capacity).sum();
        let visitors = slab * size_of::<VisitorState>()
            + wheel * size_of::<u32>()
            + self.index.allocation_size()
            + self.networks.bytes()
            + self.grants.bytes();
        [
            visitors,
            self.item_visits.allocation_size(),
            self.live.bytes(),
        ]
    }

    fn find_visitor(&self, visitor: &VisitorKey) -> Option<u32> {
        let (slab, visitor) = (&self.slab, visitor.to_stored());
        self.index
            .find(visitor.table_hash(), |&slot| {
                slab[slot as usize / VISITORS_PER_CHUNK][slot as usize % VISITORS_PER_CHUNK].visitor
                    == visitor
            })
            .copied()
    }

    fn find_item(&self, item: ItemKey) -> Option<&ItemVisit> {
        self.item_visits
            .find(self.item_hash_state.hash_one(item), |known| {
                known.key() == item
            })
    }

    /// Adds a new visitor. The error is the reason why there is none: a limit, or a leave, which
    /// makes no visitor.
    fn admit_visitor(&mut self, touch: &VisitHit<'_>) -> Result<u32, VisitLookup> {
        if touch.kind == HitKind::Leave {
            return Err(VisitLookup::NoVisitor);
        }
        let slot = u32::try_from(self.index.len()).map_err(|_| VisitLookup::LimitReached)?;
        if !self.visitor_budget.try_reserve(1) {
            return Err(VisitLookup::LimitReached);
        }
        let visitor = touch.visitor;
        if visitor
            .grant
            .is_some_and(|grant| !self.grants.admit_visitor(grant))
        {
            self.visitor_budget.return_units(1);
            return Err(VisitLookup::GrantLimitReached);
        }

        let first_of = self.networks.insert_visitor(visitor);
        if (slot as usize).is_multiple_of(VISITORS_PER_CHUNK) {
            self.slab.push(Vec::with_capacity(VISITORS_PER_CHUNK));
        }
        let chunk = self
            .slab
            .last_mut()
            .expect("a chunk was pushed for the first slot");
        chunk.push(VisitorState {
            visitor: visitor.key.to_stored(),
            flags: (u8::from(first_of.network) * FIRST_OF_NETWORK)
                | (u8::from(first_of.platform_network) * FIRST_OF_PLATFORM_NETWORK),
            visit_number: 0,
            site: touch.site,
            started: 0,
            last: 0,
            last_page: NO_PAGE,
            values: VisitValues {
                source: 0,
                country: 0,
                campaign: 0,
            },
        });
        let slab = &self.slab;
        self.index
            .insert_unique(visitor.key.table_hash(), slot, |&slot| {
                slab[slot as usize / VISITORS_PER_CHUNK][slot as usize % VISITORS_PER_CHUNK]
                    .visitor
                    .table_hash()
            });
        Ok(slot)
    }

    /// Begins a visit in the slot. A visit that was open there is closed and returned.
    fn begin_visit(&mut self, slot: u32, values: VisitValues, at: u32) -> Option<ClosedVisit> {
        let closed = self.close_visit(slot);
        let gap = self.gap_millis;
        let state = self.state_mut(slot);
        state.started = at;
        state.last = at;
        state.last_page = NO_PAGE;
        state.values = values;
        state.visit_number = state.visit_number.saturating_add(1);
        let scheduled = state.flags & IN_WHEEL != 0;
        state.flags =
            OPEN | IN_WHEEL | state.flags & (FIRST_OF_NETWORK | FIRST_OF_PLATFORM_NETWORK);
        if !scheduled {
            self.schedule_expiry(slot, expiry_minute(at, gap));
        }
        closed
    }

    fn close_visit(&mut self, slot: u32) -> Option<ClosedVisit> {
        let start = self.span.start;
        let state = self.state_mut(slot);
        if state.flags & OPEN == 0 {
            return None;
        }

        state.flags &= !OPEN;
        Some(ClosedVisit {
            site: state.site,
            started: start + Millis::from(state.started),
            seconds: (state.last - state.started) / 1000,
            bounced: state.flags & (VIEWED_AGAIN | INTERACTIVE) == 0,
            last_page: (state.last_page != NO_PAGE).then_some(state.last_page),
        })
    }

    /// Returns (first touch today, first touch in this visit).
    fn record_item(&mut self, item: ItemKey, visit: u16) -> (bool, bool) {
        let hash_state = &self.item_hash_state;
        let hash = hash_state.hash_one(item);
        if let Some(last) = self.item_visits.find_mut(hash, |known| known.key() == item) {
            let new = last.visit_number != visit;
            last.visit_number = visit;
            return (false, new);
        }
        if !self.item_budget.try_reserve(1) {
            return (false, false);
        }

        let (slot, subject, item) = item;
        let visited = ItemVisit {
            slot,
            item,
            visit_number: visit,
            subject,
        };
        self.item_visits
            .insert_unique(hash, visited, |known| hash_state.hash_one(known.key()));
        (true, true)
    }

    fn schedule_expiry(&mut self, slot: u32, minute: usize) {
        let minute = minute.max(self.next_due_minute);
        if self.expiry_wheel.len() <= minute {
            self.expiry_wheel.resize_with(minute + 1, Vec::new);
        }
        self.expiry_wheel[minute].push(slot);
    }

    fn state_mut(&mut self, slot: u32) -> &mut VisitorState {
        &mut self.slab[slot as usize / VISITORS_PER_CHUNK][slot as usize % VISITORS_PER_CHUNK]
    }
}

impl VisitorState {
    fn first_of_network(&self) -> FirstOfNetwork {
        FirstOfNetwork {
            network: self.flags & FIRST_OF_NETWORK != 0,
            platform_network: self.flags & FIRST_OF_PLATFORM_NETWORK != 0,
        }
    }
}

impl VisitUpdate {
    /// (visitors, visits) that the hit adds to its site.
    pub fn site_counts(&self) -> (u32, u32) {
        (u32::from(self.new_visitor), u32::from(self.new_visit))
    }

    /// (visitors, visits) that the hit adds to its item.
    pub fn item_counts(&self) -> (u32, u32) {
        (
            u32::from(self.item_new_visitor),
            u32::from(self.item_new_in_visit),
        )
    }

    fn without_firsts(state: &VisitorState) -> VisitUpdate {
        VisitUpdate {
            new_visitor: false,
            new_visit: false,
            item_new_visitor: false,
            item_new_in_visit: false,
            first_today: false,
            item_first_today: false,
            first_of_network: state.first_of_network(),
            is_entry: false,
            values: state.values,
            closed_visit: None,
        }
    }
}

/// The first whole minute by which a visit last seen at `last` is idle for `gap`; both in
/// milliseconds.
fn expiry_minute(last: u32, gap: u32) -> usize {
    (last.saturating_add(gap).div_ceil(MINUTE_MILLIS)) as usize
}

#[cfg(test)]
mod tests;
