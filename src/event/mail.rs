//! What happens to a mail, and what kind of client did it.

/// Weight of loads without distinguishable openers: this many count as one opener, because they may
/// all come from one person.
pub const LOADS_PER_OPENER: u64 = 4;

string_enum! {
    /// What was done with a mail.
    pub enum MailAction {
        /// Its pixel was loaded.
        Open = "open",
        /// One of its links was followed.
        Click = "click",
    }
}

string_enum! {
    /// The kind of client that loaded or followed something in a mail, as far as the request shows.
    /// The three counts are never added up, because they measure different things.
    pub enum ReaderKind {
        /// A person's mail program or browser.
        Direct = "direct",
        /// A mail service's image proxy, on behalf of a person it hides.
        Proxied = "proxied",
        /// Software that loads or follows everything it finds. A person may never have read the
        /// mail.
        Machine = "machine",
    }
}
