use garde::Validate;
use serde::{Deserialize, Serialize};

/// When `/readyz` says no.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct HealthConfig {
    /// How often the store is asked whether it answers.
    #[garde(range(min = 1, max = 300))]
    pub store_check_secs: u64,
    /// How long the store may be away: the journal keeps what is counted.
    #[garde(range(min = 1, max = 604_800))]
    pub store_away_secs: u64,
    /// How long a day or hour that is due may wait for its publication.
    #[garde(range(min = 60, max = 604_800))]
    pub publication_late_secs: u64,
}
