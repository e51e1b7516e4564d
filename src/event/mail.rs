//! What happens to a mail, and what kind of client did it.

/// Weight of loads without distinguishable openers: this many count as one opener, because they may
/// all come from one person.
pub const LOADS_PER_OPENER: u64 = 4;

/// What was done with a mail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum MailAction {
    /// Its pixel was loaded.
    Open = 0,
    /// One of its links was followed.
    Click = 1,
}

impl MailAction {
    /// All actions, by number.
    pub const ALL: [MailAction; 2] = [MailAction::Open, MailAction::Click];

    /// The name in the API and in the tables.
    pub const fn name(self) -> &'static str {
        match self {
            MailAction::Open => "open",
            MailAction::Click => "click",
        }
    }

    /// The action with this number, as the journal stores it; `None` if there is none.
    pub fn from_u8(n: u8) -> Option<MailAction> {
        MailAction::ALL.get(usize::from(n)).copied()
    }
}

/// The kind of client that loaded or followed something in a mail, as far as the request shows. The
/// three counts are never added up, because they measure different things.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum ReaderKind {
    /// A person's mail program or browser.
    Direct = 0,
    /// A mail service's image proxy, on behalf of a person it hides.
    Proxied = 1,
    /// Software that loads or follows everything it finds. A person may never have read the mail.
    Machine = 2,
}

impl ReaderKind {
    /// All kinds, by number.
    pub const ALL: [ReaderKind; 3] = [ReaderKind::Direct, ReaderKind::Proxied, ReaderKind::Machine];

    /// The name in the API and in the tables.
    pub const fn name(self) -> &'static str {
        match self {
            ReaderKind::Direct => "direct",
            ReaderKind::Proxied => "proxied",
            ReaderKind::Machine => "machine",
        }
    }

    /// The kind with this number, as the journal stores it; `None` if there is none.
    pub fn from_u8(n: u8) -> Option<ReaderKind> {
        ReaderKind::ALL.get(usize::from(n)).copied()
    }
}
