//! Limits of the state in memory, and how often each was exceeded.

use crate::config::{Config, MemoryBudget};

/// Limits of the state in memory, from `visitor`, `limits` and `mail` of the configuration. Per
/// time zone and day, unless noted.
#[derive(Clone, Debug)]
pub struct AggregatorLimits {
    /// A visit ends after this many seconds without a hit.
    pub visit_gap_secs: u32,
    /// Visitors.
    pub visitors: usize,
    /// Visitors of one site that may share one grant.
    pub visitors_per_grant: u32,
    /// Pairs of a visitor and an item.
    pub visitor_items: usize,
    /// Sites.
    pub sites: usize,
    /// Distinct paths, and likewise links, events and script errors, of one site.
    pub items_per_site: usize,
    /// Distinct sources, and likewise campaigns, of one site.
    pub values_per_site: usize,
    /// Distinct texts.
    pub texts: usize,
    /// Bytes of all texts, including the memory overhead of each.
    pub text_bytes: usize,
    /// Hit ids per minute, over all sites and zones.
    pub hit_ids: usize,
    /// Distinct link names of one template and batch day.
    pub mail_links: usize,
}

impl AggregatorLimits {
    /// Reads the limits from the configuration.
    pub fn from_config(config: &Config) -> AggregatorLimits {
        let (limits, memory) = (&config.limits, MemoryBudget::from_config(config).caps);

        AggregatorLimits {
            visit_gap_secs: config.visitor.visit_gap_secs,
            visitors: memory.visitors,
            visitors_per_grant: limits.visitors_per_grant,
            visitor_items: memory.visitor_items,
            sites: memory.sites,
            items_per_site: limits.items_per_site,
            values_per_site: limits.values_per_site,
            texts: memory.texts,
            text_bytes: memory.text_bytes,
            hit_ids: memory.hit_ids,
            mail_links: config.mail.links_per_template as usize,
        }
    }
}

/// How often each limit was exceeded since the process started.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
pub struct OverflowCounts {
    /// Hits counted without their visitor, because the day's limit of visitors was reached.
    pub visitors: u64,
    /// Hits counted without their visitor, because their grant's limit of visitors was reached.
    pub grants: u64,
    /// Texts counted as `(other)`.
    pub texts: u64,
    /// Hits counted under the site `(other)`, because the limit of sites was reached.
    pub sites: u64,
    /// Hits counted under the site `(other)`, because their network was the first of too many sites.
    pub new_sites: u64,
    /// Hit ids that were not recorded, so their retries would count again.
    pub ids: u64,
}
