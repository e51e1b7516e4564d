//! What the engine's process reports to the collector when it cannot start.

use serde::{Deserialize, Serialize};

/// Why the library could not be run; one JSON line on the standard output.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(rename_all = "snake_case")]
pub(super) enum EngineFailure {
    Load { reason: String },
    Lacks { symbol: String },
}
