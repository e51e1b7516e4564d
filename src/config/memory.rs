//! Divides the collector's memory. Limits that are not set follow from one budget,
//! `limits.memory_bytes`.
//!
//! Bytes of an entry are those of the worst case: hash tables have a power of two of slots and are
//! filled to 7/8, so a table that has just grown takes twice the bytes of a full one for each
//! entry. `tests/it/budget.rs` fills all of it and reads the resident memory.

use serde::Serialize;

use super::Config;

/// The program itself: code, lists of robots and sources, the country database, threads, batches
/// in progress. Measured: 81 to 113 MiB before the first hit, the most on a machine that is busy.
const PROGRAM_BYTES: u64 = 144 << 20;
/// A connection and its task, without the buffer of its request; and the factor by which that
/// buffer may have grown beyond the header.
const CONNECTION_BYTES: u64 = 9 << 10;
const HEADER_BUFFER_GROWTH: u64 = 2;
/// A hit that waits for the journal, with its texts. While a batch is written, the next one is
/// collected, so there can be two batches.
const QUEUED_HIT_BYTES: u64 = 2 * 1200;
/// How often the bytes of a segment are in memory: the open one and one that is being closed, each
/// with totals and attributes.
const SEGMENT_COPIES: u64 = 4;
/// A site's entry in its day, its number of live visitors, its name until the store has it.
const SITE_BYTES: u64 = 2 * 16 + 36 + 96;
/// A visitor's state, and the entry of its visit in the timing wheel.
const VISITOR_BYTES: u64 = 40 + 8;
/// Overhead of a text: its entry, its slots in the index and in its scope's count, the allocator's
/// share.
pub const TEXT_OVERHEAD_BYTES: usize = 112;

const MIN_ENTRIES: usize = 1000;
const MIN_CONNECTIONS: usize = 100;
const MIN_TEXT_BYTES: usize = 1 << 20;
const MAX_VISITORS: usize = 1 << 30;

/// The limits, and the share of the budget of each.
#[derive(Serialize, Clone, PartialEq, Debug)]
pub struct MemoryBudget {
    #[serde(rename = "limits.memory_bytes")]
    budget: u64,
    /// All parts together.
    divided: u64,
    parts: Vec<BudgetPart>,
    /// The limits that follow from the budget.
    #[serde(skip)]
    pub caps: MemoryCaps,
}

/// Maximum numbers of entries, over all current days.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryCaps {
    /// Visitors (`limits.visitors`).
    pub visitors: usize,
    /// Pairs of a visitor and an item (`limits.visitor_items`).
    pub visitor_items: usize,
    /// Sites with a hit (`limits.sites`).
    pub sites: usize,
    /// Distinct texts (`limits.texts`).
    pub texts: usize,
    /// Bytes of the distinct texts (`limits.text_bytes`).
    pub text_bytes: usize,
    /// Hit ids of one minute (`limits.hit_ids`).
    pub hit_ids: usize,
    /// Networks that the rate limits track (`limits.networks`).
    pub networks: usize,
    /// Hits that wait for the journal (`limits.queued_hits`).
    pub queued_hits: usize,
    /// Open connections (`server.max_connections`).
    pub connections: usize,
}

#[derive(Serialize, Clone, PartialEq, Debug)]
struct BudgetPart {
    of: &'static str,
    /// Number of entries, if the part has a limit of entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    most: Option<usize>,
    bytes: u64,
}

impl MemoryBudget {
    /// Divides the budget. Limits that exceed it are divided too, see
    /// [`MemoryBudget::excess_reason`].
    pub fn from_config(config: &Config) -> MemoryBudget {
        let (mut fits, mut too_many) = (MIN_ENTRIES, MAX_VISITORS);
        while too_many - fits > MIN_ENTRIES {
            let visitors = fits + (too_many - fits) / 2;
            match MemoryBudget::for_visitors(config, visitors).excess_reason() {
                None => fits = visitors,
                Some(_) => too_many = visitors,
            }
        }
        MemoryBudget::for_visitors(config, fits)
    }

    /// Why the limits exceed the budget; `None` if they do not.
    pub fn excess_reason(&self) -> Option<String> {
        if self.divided <= self.budget {
            return None;
        }
        let mut largest: Vec<&BudgetPart> = self.parts.iter().collect();
        largest.sort_unstable_by_key(|part| std::cmp::Reverse(part.bytes));
        let of = |part: &&BudgetPart| format!("{} {}", part.of, format_mebibytes(part.bytes));
        let largest: Vec<String> = largest.iter().take(4).map(of).collect();
        Some(format!(
            "must be at least {} for the caps that are set: most of it is {}",
            self.divided,
            largest.join(", ")
        ))
    }

    /// The division for a number of visitors, where `limits.visitors` is not set, and all other
    /// limits in proportion to it.
    fn for_visitors(config: &Config, visitors: usize) -> MemoryBudget {
        let limits = &config.limits;
        let cap = |set: usize, percent: usize| {
            if set > 0 {
                set
            } else {
                (visitors / 100 * percent).max(MIN_ENTRIES)
            }
        };
        let set_bytes = usize::try_from(limits.text_bytes).unwrap_or(usize::MAX);
        let text_bytes = if set_bytes > 0 {
            set_bytes
        } else {
            (visitors * 96).max(MIN_TEXT_BYTES)
        };
        let caps = MemoryCaps {
            visitors: if limits.visitors > 0 {
                limits.visitors
            } else {
                visitors
            },
            visitor_items: cap(limits.visitor_items, 300),
            sites: cap(limits.sites, 20),
            texts: if limits.texts > 0 {
                limits.texts
            } else {
                (text_bytes / TEXT_OVERHEAD_BYTES).max(MIN_ENTRIES)
            },
            text_bytes,
            hit_ids: cap(limits.hit_ids, 75),
            networks: cap(limits.networks, 25),
            queued_hits: cap(limits.queued_hits, 4),
            connections: if config.server.max_connections > 0 {
                config.server.max_connections
            } else {
                (visitors / 100).max(MIN_CONNECTIONS)
            },
        };

        let tables = |entries: usize, bytes: &[u64]| {
            bytes
                .iter()
                .map(|bytes| table_bytes(entries, *bytes))
                .sum::<u64>()
        };
        // The index, the networks of sites and of the platform, the grants; and the grants that at
        // least two visitors share.
        let visitors = caps.visitors as u64 * VISITOR_BYTES
            + tables(caps.visitors, &[4, 6, 6, 6])
            + table_bytes(caps.visitors / 2, 12);
        let sites = caps.sites as u64 * SITE_BYTES + tables(caps.sites, &[4, 16, 32]);
        let texts = (caps.texts as u64)
            .saturating_mul(1 << 20)
            .min(caps.text_bytes as u64);
        // One table at a time grows. Meanwhile, it has its old slots and the new ones.
        let growing = [
            table_bytes(caps.visitors, 16),
            table_bytes(caps.visitor_items, 12),
            table_bytes(caps.hit_ids, 8),
        ];
        let growing = growing.into_iter().max().unwrap_or(0) / 2;
        let entry = |of, most: usize, bytes| BudgetPart {
            of,
            most: Some(most),
            bytes,
        };
        let part = |of, bytes| BudgetPart {
            of,
            most: None,
            bytes,
        };
        let connection = CONNECTION_BYTES
            + HEADER_BUFFER_GROWTH * (limits.header_bytes.max(limits.body_bytes) as u64);
        let parts = vec![
            part("the program", PROGRAM_BYTES),
            entry(
                "server.max_connections",
                caps.connections,
                caps.connections as u64 * connection,
            ),
            entry(
                "limits.queued_hits",
                caps.queued_hits,
                caps.queued_hits as u64 * QUEUED_HIT_BYTES,
            ),
            part(
                "journal.segment_bytes",
                config.journal.segment_bytes as u64 * SEGMENT_COPIES,
            ),
            entry("limits.visitors", caps.visitors, visitors),
            entry(
                "limits.visitor_items",
                caps.visitor_items,
                table_bytes(caps.visitor_items, 12),
            ),
            entry("limits.sites", caps.sites, sites),
            entry("limits.texts", caps.texts, 0),
            part("limits.text_bytes", texts),
            entry(
                "limits.hit_ids",
                caps.hit_ids,
                3 * table_bytes(caps.hit_ids, 8),
            ),
            entry(
                "limits.networks",
                caps.networks,
                3 * table_bytes(caps.networks, 16),
            ),
            part("tables that grow", growing),
        ];
        let divided = parts.iter().map(|part| part.bytes).sum();
        MemoryBudget {
            budget: limits.memory_bytes,
            divided,
            parts,
            caps,
        }
    }
}

/// Bytes of a hash table that has grown to hold `entries`: one byte more than the entry's for each
/// slot, and 7/8 of the slots are used.
fn table_bytes(entries: usize, bytes: u64) -> u64 {
    let places = (entries as u64)
        .saturating_mul(8)
        .div_ceil(7)
        .next_power_of_two();
    places.saturating_mul(bytes + 1)
}

fn format_mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
