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
    pub const ALL: [MailAction; 2] = [MailAction::Open, MailAction::Click];

    pub const fn name(self) -> &'static str {
        match self {
            MailAction::Open => "open",
            MailAction::Click => "click",
        }
    }

    pub fn from_u8(n: u8) -> Option<MailAction> {
        MailAction::ALL.get(usize::from(n)).copied()
    }
}

/// Who did it, as far as a request can tell. The three are never added up: they do not mean the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Reader {
    /// A person's mail program or browser.
    Direct = 0,
    /// A mail service's image proxy, on behalf of a person it hides.
    Proxied = 1,
    /// Software that loads or follows whatever it finds: nobody need have read anything.
    Machine = 2,
}

impl Reader {
    pub const ALL: [Reader; 3] = [Reader::Direct, Reader::Proxied, Reader::Machine];

    pub const fn name(self) -> &'static str {
        match self {
            Reader::Direct => "direct",
            Reader::Proxied => "proxied",
            Reader::Machine => "machine",
        }
    }

    pub fn from_u8(n: u8) -> Option<Reader> {
        Reader::ALL.get(usize::from(n)).copied()
    }
}
