//! The record of who changed what. Names of sites and tokens, words of closed lists, a time: no address, no agent, no text of anybody's.

use super::rights::Who;
use super::secret::new_id;
use crate::event::Millis;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    SignIn,
    SignOut,
    PutSite,
    RemoveSite,
    PutAlias,
    RemoveAlias,
    MakeToken,
    RevokeToken,
    MakeShare,
    RevokeShare,
    VoidMoney,
}

impl Act {
    pub const fn name(self) -> &'static str {
        match self {
            Act::SignIn => "sign_in",
            Act::SignOut => "sign_out",
            Act::PutSite => "put_site",
            Act::RemoveSite => "remove_site",
            Act::PutAlias => "put_alias",
            Act::RemoveAlias => "remove_alias",
            Act::MakeToken => "make_token",
            Act::RevokeToken => "revoke_token",
            Act::MakeShare => "make_share",
            Act::RevokeShare => "revoke_share",
            Act::VoidMoney => "void_money",
        }
    }
}

#[derive(Clone)]
pub struct Entry {
    /// Tells a second try of writing an entry from another entry.
    pub id: String,
    pub at: Millis,
    pub who: String,
    pub act: Act,
    pub what: String,
}

impl Entry {
    pub fn new(at: Millis, who: &Who, act: Act, what: impl Into<String>) -> Entry {
        Entry { id: new_id(), at, who: who.name(), act, what: what.into() }
    }
}
