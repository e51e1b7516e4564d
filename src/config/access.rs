//! `[access]`: the password login and its sessions.

use argon2::Params;
use argon2::password_hash::phc::PasswordHash;
use garde::Validate;
use serde::{Deserialize, Serialize};

use super::Secret;

/// The password login and its sessions.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct AccessConfig {
    /// The operator's user name at the password login.
    #[garde(length(min = 1, max = 256))]
    pub user: String,
    /// argon2id hash, as `footfall access hash-password` prints it. Empty: no password login.
    #[garde(skip)]
    pub password_hash: Secret,
    /// File that holds `password_hash`; empty for none.
    #[garde(skip)]
    pub password_hash_file: String,
    /// A session ends after this many seconds without use.
    #[garde(range(min = 60, max = 86_400))]
    pub idle_timeout_secs: u32,
    /// A session ends after this many seconds in any case.
    #[garde(range(min = 300, max = 604_800))]
    pub absolute_timeout_secs: u32,
    /// File of the keys that encrypt sessions and unlocked share links, made at the first start if
    /// missing; empty for `access.keys` in the ledger's folder.
    #[garde(skip)]
    pub key_file: String,
    /// Whether a handover token with `role: "operator"` opens an operator's session.
    #[garde(skip)]
    pub handover_operator: bool,
}

/// Whether a hash's costs are within bounds. Below today's recommendation, passwords could be
/// guessed too fast; far above it, one login would occupy the machine.
pub(super) fn is_strong_hash(hash: &Secret) -> bool {
    PasswordHash::new(hash.expose_secret()).is_ok_and(|hash| {
        let costs = Params::try_from(&hash);
        hash.algorithm.as_str() == "argon2id"
            && hash.hash.is_some()
            && costs.is_ok_and(|costs| {
                (19_456..=262_144).contains(&costs.m_cost()) && (2..=16).contains(&costs.t_cost())
            })
    })
}
