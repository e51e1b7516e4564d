//! The audit log: who changed what. An entry contains names of sites, tokens and share links, words
//! of closed lists, and a time; never an address or a user agent.

use super::permissions::Principal;
use super::secret::random_id;
use crate::calendar::Millis;

/// An action that is recorded in the audit log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuditAction {
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
    EraseSite,
}

impl AuditAction {
    /// The name in the log and in the API. It is stored, so it must not change.
    pub const fn name(self) -> &'static str {
        match self {
            AuditAction::SignIn => "sign_in",
            AuditAction::SignOut => "sign_out",
            AuditAction::PutSite => "put_site",
            AuditAction::RemoveSite => "remove_site",

            AuditAction::PutAlias => "put_alias",
            AuditAction::RemoveAlias => "remove_alias",
            AuditAction::MakeToken => "make_token",
            AuditAction::RevokeToken => "revoke_token",
            AuditAction::MakeShare => "make_share",
            AuditAction::RevokeShare => "revoke_share",

            AuditAction::VoidMoney => "void_money",
            AuditAction::EraseSite => "erase_site",
        }
    }
}

/// One row of the audit log.
#[derive(Clone)]
pub struct AuditEntry {
    /// A random id. It makes a retried write recognisable as the same entry.
    pub id: String,
    /// When it happened, in milliseconds since the Unix epoch.
    pub at: Millis,
    /// Who did it, as spelled by [`Principal::audit_name`](super::Principal::audit_name).
    pub principal: String,
    /// What was done.
    pub action: AuditAction,
    /// The name of the site, token or share link it was done to; empty if the action has no object.
    pub object: String,
}

impl AuditEntry {
    /// An entry with a new id. `what` is the name of the action's object.
    pub fn new(
        at: Millis,
        who: &Principal,
        act: AuditAction,
        what: impl Into<String>,
    ) -> AuditEntry {
        AuditEntry {
            id: random_id(),
            at,
            principal: who.audit_name(),
            action: act,
            object: what.into(),
        }
    }
}
