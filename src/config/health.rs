use garde::Validate;
use serde::{Deserialize, Serialize};

/// When `/readyz` answers 503.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct HealthConfig {
    /// Seconds between health checks of the store.
    #[garde(range(min = 1, max = 300))]
    pub store_check_secs: u64,
    /// Seconds that the store may be away. Meanwhile, the journal keeps the counts.
    #[garde(range(min = 1, max = 604_800))]
    pub store_unavailable_secs: u64,
    /// Seconds that a day or hour that is due may wait for its publication.
    #[garde(range(min = 60, max = 604_800))]
    pub publication_overdue_secs: u64,
    /// Seconds that the deletion of old counts, which is due every hour, may be late.
    #[garde(range(min = 3600, max = 2_678_400))]
    pub retention_overdue_secs: u64,
}
