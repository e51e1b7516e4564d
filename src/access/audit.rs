//! The record of who changed what. An entry holds names of sites, tokens and share links, words of closed
//! lists, and a time; never an address or a user agent.

use super::rights::Who;
use super::secret::new_id;
use crate::event::Millis;

/// An action that is recorded in the audit log.
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
    /// The name in the log and in the API. It is stored, so it must not change.
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

/// One row of the audit log.
#[derive(Clone)]
pub struct Entry {
    /// A random id. It makes a retried write recognisable as the same entry.
    pub id: String,
    /// When it happened, in milliseconds since the Unix epoch.
    pub at: Millis,
    /// Who did it, as [`Who::name`] spells it.
    pub who: String,
    /// What was done.
    pub act: Act,
    /// The name of the site, token or share link it was done to; empty if the action has no object.
    pub what: String,
}

impl Entry {
    /// An entry with a new id. `what` names the object of the action.
    pub fn new(at: Millis, who: &Who, act: Act, what: impl Into<String>) -> Entry {
        Entry { id: new_id(), at, who: who.name(), act, what: what.into() }
    }
}
