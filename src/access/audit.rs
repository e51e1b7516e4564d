//! The audit log: who changed what. An entry contains names of sites, tokens and share links, words
//! of closed lists, and a time; never an address or a user agent.

use super::permissions::Principal;
use super::secret::random_id;
use crate::calendar::Millis;
use crate::state_codec::{StateError, StateReader, StateWriter};

string_enum! {
    /// An action that is recorded in the audit log.
    pub enum AuditAction {
        SignIn = "sign_in",
        SignOut = "sign_out",
        PutSite = "put_site",
        RemoveSite = "remove_site",
        PutAlias = "put_alias",
        RemoveAlias = "remove_alias",
        MakeToken = "make_token",
        RevokeToken = "revoke_token",
        MakeShare = "make_share",
        RevokeShare = "revoke_share",
        VoidMoney = "void_money",
        EraseSite = "erase_site",
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

    /// Writes the entry for the process that takes over.
    pub fn write_state(&self, out: &mut StateWriter<'_>) {
        out.put_text(&self.id);
        out.put_i64(self.at);
        out.put_text(&self.principal);
        out.put_text(self.action.name());
        out.put_text(&self.object);
    }

    /// Reads an entry of the process before.
    ///
    /// # Errors
    ///
    /// The state ends too early, or it is another build's.
    pub fn read_state(input: &mut StateReader<'_>) -> Result<AuditEntry, StateError> {
        Ok(AuditEntry {
            id: input.read_text()?.into(),
            at: input.read_i64()?,
            principal: input.read_text()?.into(),
            action: AuditAction::from_name(&input.read_text()?)
                .ok_or(StateError::Invalid("it has an unknown action"))?,
            object: input.read_text()?.into(),
        })
    }
}
