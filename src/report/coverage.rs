//! Whether a response has the counts of all shards.

use serde::Serialize;

/// A response over all sites, and what it lacks.
#[derive(Serialize, Debug)]
pub struct CoveredResponse<T> {
    /// The response from the shards that responded.
    #[serde(flatten)]
    pub response: T,
    /// `true` where counts of a shard are missing; not serialised otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    /// The numbers, from 1, of the shards whose counts are missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing_shards: Vec<u32>,
}

impl<T> CoveredResponse<T> {
    /// A response without the counts of these shards.
    pub fn new(response: T, missing_shards: Vec<u32>) -> CoveredResponse<T> {
        CoveredResponse {
            response,
            partial: !missing_shards.is_empty(),
            missing_shards,
        }
    }
}
