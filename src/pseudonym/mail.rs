//! Pseudonymises opens and clicks of mails. Nothing of the reader is kept, except for an open by a
//! person's own program: a value that is wiped with the day.

use std::sync::Arc;

use hashbrown::HashTable;
use zeroize::Zeroize;

use super::cap::Portion;
use super::day::{DayKey, DaySpan};
use super::seal::{VisitorKey, value_of, write_address};
use crate::config::VisitorMode;
use crate::consent::AdmittedMail;
use crate::event::{Address, Agent, Day, MailAction, Reader};

/// An open or a click that may be counted. No field for an address, an agent, a token or a
/// recipient.
pub struct MailEvent {
    /// The day it counts on; without its key.
    pub span: Arc<DaySpan>,
    /// Name of the template.
    pub template: Box<str>,
    /// Batch day, the day the mail was sent.
    pub batch: Day,
    /// Open or click.
    pub action: MailAction,
    /// Name of the link; empty for an open.
    pub link: Box<str>,
    /// Class of the reader.
    pub reader: Reader,
    /// Only of opens by a person's own program: behind a proxy, people cannot be told apart.
    pub opener: Option<VisitorKey>,
}

/// An open or a click before pseudonymisation.
pub struct Done<'a> {
    /// Name of the template.
    pub template: &'a str,
    /// Batch day.
    pub batch: Day,
    /// Open or click.
    pub action: MailAction,
    /// Name of the link; empty for an open.
    pub link: &'a str,
    /// Class of the reader.
    pub reader: Reader,
    /// Client address.
    pub address: &'a Address,
    /// User agent.
    pub agent: &'a Agent<'a>,
}

/// The only constructor of [`MailEvent`]. Requires the gate's admission, so nothing is hashed
/// without it.
pub fn seal_mail(_admitted: AdmittedMail, done: &Done<'_>, key: &DayKey, mode: VisitorMode) -> MailEvent {
    let by_a_person = done.action == MailAction::Open && done.reader == Reader::Direct;
    let told_apart = by_a_person && mode != VisitorMode::None;
    MailEvent {
        span: Arc::clone(&key.span),
        template: done.template.into(),
        batch: done.batch,
        action: done.action,
        link: done.link.into(),
        reader: done.reader,
        opener: told_apart.then(|| opener(key, done.template, done.batch, done.address, done.agent)),
    }
}

/// An opener's value covers template and batch day, so the same person has another value in the
/// next mail.
fn opener(key: &DayKey, template: &str, batch: Day, address: &Address, agent: &Agent<'_>) -> VisitorKey {
    let mut head = [0_u8; 30];
    head[..7].copy_from_slice(b"mail/v1");
    head[7..9].copy_from_slice(&batch.number().to_le_bytes());
    let length = u8::try_from(template.len()).unwrap_or(u8::MAX);
    head[9] = length;
    write_address(&mut head[10..27], address.expose());
    let mut hasher = blake3::Hasher::new_keyed(key.salt.key());
    hasher.update(&head).update(template.as_bytes()).update(agent.expose().as_bytes());
    let value = value_of(&hasher);
    hasher.zeroize();
    value
}

/// Today's openers, in bounded memory.
pub struct Openers {
    known: HashTable<VisitorKey>,
    /// Of the same cap as visitors, which take more.
    room: Portion,
}

/// Whether an opener was seen before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opening {
    First,
    Again,
    /// The limit is reached: the open counts, its opener does not.
    Full,
}

impl Openers {
    /// An empty set with the room of its day.
    pub fn new(room: Portion) -> Openers {
        Openers { known: HashTable::new(), room }
    }

    /// Records an opener.
    pub fn opened(&mut self, opener: &VisitorKey) -> Opening {
        if self.known.find(opener.bucket(), |known| known == opener).is_some() {
            return Opening::Again;
        }
        if !self.room.take(1) {
            return Opening::Full;
        }
        self.known.insert_unique(opener.bucket(), opener.to_keep(), VisitorKey::bucket);
        Opening::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Zone;
    use crate::pseudonym::cap::Cap;
    use crate::pseudonym::salt::Salt;

    fn value(key: u8, template: &str, batch: u16, address: &str, agent: &str) -> VisitorKey {
        let source = [|key: &mut [u8; 32]| key.fill(1), |key: &mut [u8; 32]| key.fill(2)][usize::from(key)];
        let span = Arc::new(DaySpan::of(Zone(0), &jiff::tz::TimeZone::UTC, 0));
        let key = DayKey { span, salt: Salt::new(source) };
        let address = Address::new(address.parse().unwrap());
        opener(&key, template, Day::from_number(batch), &address, &Agent::new(agent))
    }

    #[test]
    fn the_same_person_is_another_value_in_another_mail_on_another_day_and_by_another_program() {
        let one = value(0, "welcome", 7, "198.51.100.7", "Thunderbird");
        assert!(one == value(0, "welcome", 7, "198.51.100.7", "Thunderbird"));
        for other in [
            value(1, "welcome", 7, "198.51.100.7", "Thunderbird"),
            value(0, "welcom", 7, "198.51.100.7", "eThunderbird"),
            value(0, "welcome", 8, "198.51.100.7", "Thunderbird"),
            value(0, "welcome", 7, "198.51.100.8", "Thunderbird"),
            value(0, "welcome", 7, "2001:db8::7", "Thunderbird"),
            value(0, "welcome", 7, "198.51.100.7", "Thunderbir"),
        ] {
            assert!(one != other);
        }
    }

    #[test]
    fn an_opener_is_first_once_and_beyond_the_cap_is_not_held() {
        let mut openers = Openers::new(Cap::new(2).portion());
        let opened: Vec<Opening> = [1, 1, 2, 3, 2].map(|n| openers.opened(&VisitorKey::for_tests(n))).to_vec();
        use Opening::{Again, First, Full};
        assert_eq!(opened, [First, Again, First, Full, Again]);
    }
}
