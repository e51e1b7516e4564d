use argon2::Params;
use argon2::password_hash::phc::PasswordHash;
use garde::Validate;
use serde::{Deserialize, Serialize};

use super::Secret;

/// Who may see what, and for how long.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The operator's name at the password login.
    #[garde(length(min = 1, max = 256))]
    pub user: String,
    /// argon2id, as `footfall access hash-password` prints it. Empty: nobody signs in with a password.
    #[garde(skip)]
    pub password_hash: Secret,
    #[garde(skip)]
    pub password_hash_file: String,
    /// A session that was not used for so long is over.
    #[garde(range(min = 60, max = 86_400))]
    pub idle_secs: u32,
    /// A session is over after so long, however busy.
    #[garde(range(min = 300, max = 604_800))]
    pub longest_secs: u32,
    #[garde(range(min = 1))]
    pub sessions: usize,
    /// A handover token with `role: "operator"` makes an operator's session.
    #[garde(skip)]
    pub handover_operator: bool,
}

/// Below what is recommended today a hash is guessed too fast; far above it one login holds the machine.
pub(super) fn is_strong_hash(hash: &Secret) -> bool {
    PasswordHash::new(hash.expose()).is_ok_and(|hash| {
        let costs = Params::try_from(&hash);
        hash.algorithm.as_str() == "argon2id"
            && hash.hash.is_some()
            && costs
                .is_ok_and(|costs| (19_456..=262_144).contains(&costs.m_cost()) && (2..=16).contains(&costs.t_cost()))
    })
}
