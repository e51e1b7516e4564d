//! Recent loads by sender, kept in memory for a minute or two: enough to count a resend once, and
//! to recognise software that follows every link.
//!
//! A sender is a hash of mail, address and agent under a key of this process; it is never written.
//! Clicks are held for the two seconds in which software would follow more links, so that the first
//! one is classified with the others. The person is redirected at once. A crash loses the clicks of
//! two seconds.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::token::{MailFields, TRAP_LINK};
use crate::calendar::{Millis, TimeSpan};
use crate::event::{ClientAddress, ReaderKind, UserAgent};
use crate::pseudonym::MailEvent;

/// The same load by the same sender within this time is a repetition.
const RESEND_WINDOW: TimeSpan = TimeSpan::from_secs(5);
/// A sender who follows [`BURST_LINKS`] links of one mail within this time is software.
const BURST_WINDOW: TimeSpan = TimeSpan::from_secs(2);
const BURST_LINKS: usize = 3;
/// A sender classified as software keeps that class for this long, not longer: an office's scanner
/// may use the agent of its people from their address.
const SOFTWARE_PERIOD: TimeSpan = TimeSpan::from_secs(60);
/// A sender is remembered for at least this long and at most twice as long.
const GENERATION: TimeSpan = TimeSpan::from_secs(60);
/// Beyond this number, new senders are not remembered: they are counted, and their resends again.
const MAX_SENDERS: usize = 500_000;

/// A keyed hash of mail, address and agent.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SenderHash(u64);

#[derive(Clone, Copy, Default)]
struct SenderHistory {
    /// Last open by a person, and by software: after a prefetch, a person's open is not a
    /// repetition, nor the other way round.
    opened: [Option<Millis>; 2],
    /// The last links followed: hash and time.
    links: [Option<(u64, Millis)>; BURST_LINKS],
    /// The same, hashed with the class that was counted: a person's click does not repeat one by
    /// software.
    clicked: [Option<(u64, Millis)>; BURST_LINKS],
    /// `None` for a person.
    software_until: Option<Millis>,
}

struct HeldClick {
    due: Millis,
    sender: SenderHash,
    event: MailEvent,
}

#[derive(Default)]
struct ClickBufferState {
    young: HashMap<SenderHash, SenderHistory>,
    old: HashMap<SenderHash, SenderHistory>,
    generation_began: Millis,
    held: VecDeque<HeldClick>,
}

/// Recent loads by sender, and the held clicks.
pub struct ClickBuffer {
    key: [u8; 32],
    state: Mutex<ClickBufferState>,
}

impl ClickBuffer {
    /// `key` must be random and not outlive the process.
    pub fn new(key: [u8; 32]) -> ClickBuffer {
        ClickBuffer {
            key,
            state: Mutex::default(),
        }
    }

    /// The sender of a request for `mail`.
    pub fn hash_sender(
        &self,
        mail: &MailFields<'_>,
        address: &ClientAddress,
        agent: &UserAgent<'_>,
    ) -> SenderHash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        let address = match address.expose() {
            std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            std::net::IpAddr::V6(v6) => v6.octets(),
        };
        hasher
            .update(&address)
            .update(&mail.batch.as_number().to_le_bytes())
            .update(&[mail.template.len() as u8]);
        hasher
            .update(mail.template.as_bytes())
            .update(agent.expose().as_bytes());
        SenderHash(first_bytes(&hasher.finalize()))
    }

    /// The reader's class, given the sender's recent loads; `None` for a repetition. Behind a proxy
    /// many people are one sender, so no load there counts as a repetition.
    pub fn record_open(
        &self,
        sender: SenderHash,
        reader: ReaderKind,
        at: Millis,
    ) -> Option<ReaderKind> {
        if reader == ReaderKind::Proxied {
            return Some(reader);
        }
        let mut state = self.lock();
        let Some(trace) = state.sender_history(sender, at) else {
            return Some(reader);
        };
        let reader = if trace.is_software(at) {
            ReaderKind::Machine
        } else {
            reader
        };
        let before = trace.opened[usize::from(reader == ReaderKind::Machine)].replace(at);
        let again = before.is_some_and(|before| at < before + RESEND_WINDOW);
        (!again).then_some(reader)
    }

    /// Holds a click until it is known whether others follow. The same link again is the same
    /// click, except through a proxy.
    pub fn hold_click(&self, sender: SenderHash, mut event: MailEvent, at: Millis) {
        let link = first_bytes(&blake3::keyed_hash(&self.key, event.link.as_bytes()));
        let is_machine = u64::from(event.reader == ReaderKind::Machine);
        let mut state = self.lock();

        let mut found_out = false;
        if let Some(trace) = state.sender_history(sender, at) {
            let before = trace.is_software(at);
            record_link(&mut trace.links, link, at);
            let again = record_link(&mut trace.clicked, link ^ is_machine, at)
                .is_some_and(|last| at < last + RESEND_WINDOW);
            if again && event.reader != ReaderKind::Proxied {
                return;
            }

            if *event.link == *TRAP_LINK || trace.is_burst(at) {
                trace.software_until = Some(at + SOFTWARE_PERIOD);
            }
            if trace.is_software(at) {
                event.reader = ReaderKind::Machine;
                found_out = !before;
            }
        }
        // Only the detection changes held clicks. A single request by software does not reclassify
        // the others: a program may send a HEAD request before a person continues.
        if found_out {
            let mine = state.held.iter_mut().filter(|held| held.sender == sender);
            mine.for_each(|held| held.event.reader = ReaderKind::Machine);
        }
        state.held.push_back(HeldClick {
            due: at + BURST_WINDOW,
            sender,
            event,
        });
    }

    /// Removes and returns the clicks whose two seconds are over.
    pub fn drain_due(&self, now: Millis) -> Vec<MailEvent> {
        let mut state = self.lock();
        let due = state.held.iter().take_while(|held| held.due <= now).count();
        state.held.drain(..due).map(|held| held.event).collect()
    }

    fn lock(&self) -> MutexGuard<'_, ClickBufferState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SenderHistory {
    fn is_software(&self, at: Millis) -> bool {
        self.software_until.is_some_and(|until| at < until)
    }

    fn is_burst(&self, at: Millis) -> bool {
        self.links
            .iter()
            .all(|slot| slot.is_some_and(|(_, followed)| at <= followed + BURST_WINDOW))
    }
}

/// Puts a link in its own slot or in the oldest one. Returns when it was there before, if it was.
fn record_link(
    slots: &mut [Option<(u64, Millis)>; BURST_LINKS],
    link: u64,
    at: Millis,
) -> Option<Millis> {
    let oldest = |slot: &Option<(u64, Millis)>| slot.map_or(Millis::MIN, |(_, at)| at);
    let place = slots
        .iter()
        .position(|slot| slot.is_some_and(|(other, _)| other == link));
    let place = place
        .or_else(|| (0..BURST_LINKS).min_by_key(|place| oldest(&slots[*place])))
        .unwrap_or(0);
    let before = slots[place].replace((link, at));
    before.filter(|(other, _)| *other == link).map(|(_, at)| at)
}

impl ClickBufferState {
    /// The history of a sender, created if missing; `None` beyond the limit.
    fn sender_history(&mut self, sender: SenderHash, at: Millis) -> Option<&mut SenderHistory> {
        let passed = TimeSpan::between(self.generation_began, at);
        if passed >= GENERATION {
            let young = std::mem::take(&mut self.young);
            self.old = if passed < 2 * GENERATION {
                young
            } else {
                HashMap::new()
            };
            self.generation_began = at;
        }
        if self.young.len() >= MAX_SENDERS && !self.young.contains_key(&sender) {
            return None;
        }
        let before = self.old.get(&sender).copied().unwrap_or_default();
        Some(self.young.entry(sender).or_insert(before))
    }
}

fn first_bytes(hash: &blake3::Hash) -> u64 {
    u64::from_le_bytes(
        hash.as_bytes()[..8]
            .try_into()
            .expect("8 of 32 bytes are 8"),
    )
}
