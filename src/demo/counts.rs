//! Counts the simulated hits, to compare them with the collector's counts.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::ensure;

use super::creators::CREATORS;
use super::request::{RequestPurpose, SimulatedHitKind, SimulatedRequest, VisitStart};
use super::visitors::VisitorChoice;
use crate::calendar::DateRange;

#[derive(Default)]
pub(super) struct SentCounts {
    sites: [SiteCounts; CREATORS.len()],
    requests: u64,
    counted: u64,
    /// Dropped hits by reason.
    dropped: BTreeMap<&'static str, u64>,
    grants: u64,
    refusals: u64,
    withdrawals: u64,
}

#[derive(Default, Clone, Copy)]
struct SiteCounts {
    views: u64,
    visits: u64,
    visitors: u64,
}

impl SentCounts {
    pub(super) fn count_request(&mut self, request: &SimulatedRequest) {
        self.requests += 1;

        let holds = request.hit_kinds.len() as u64;
        match (request.purpose, request.visitor.choice) {
            (RequestPurpose::Grant, _) => self.grants += 1,
            (RequestPurpose::Refuse, _) => self.refusals += 1,
            (RequestPurpose::Withdraw, _) => self.withdrawals += 1,
            (RequestPurpose::Hit, VisitorChoice::Dropped(reason)) => {
                *self.dropped.entry(reason.name()).or_default() += holds
            }
            (RequestPurpose::Hit, _) => {
                self.counted += holds;
                let site = &mut self.sites[request.creator_index];
                site.views += request
                    .hit_kinds
                    .iter()
                    .filter(|kind| **kind == SimulatedHitKind::View)
                    .count() as u64;
                site.visits += u64::from(request.visit_start != VisitStart::NotFirst);
                site.visitors += u64::from(request.visit_start == VisitStart::FirstOfDay);
            }
        }
    }

    /// Compares with `metrics`, the collector's metrics page. It must show exactly what was sent.
    pub(super) fn ensure_metrics_match(&self, metrics: &str) -> anyhow::Result<()> {
        let counted = read_metric(metrics, "footfall_hits_total");
        ensure!(
            counted == self.counted,
            "{} beacons should have counted, the collector counted {counted}",
            self.counted
        );
        for (reason, sent) in &self.dropped {
            let dropped = read_metric(
                metrics,
                &format!("footfall_drops_total{{reason=\"{reason}\"}}"),
            );
            ensure!(
                dropped == *sent,
                "{sent} beacons should have been dropped as {reason}, the collector dropped \
                 {dropped}"
            );
        }
        Ok(())
    }
}

fn read_metric(metrics: &str, name: &str) -> u64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// The summary that is printed after the past is simulated.
pub struct DemoSummary {
    pub(super) counts: SentCounts,
    /// The days of the first creator.
    pub(super) days: DateRange,
    pub(super) seconds: f64,
    pub(super) origin: String,
}

impl fmt::Display for DemoSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DemoSummary {
            counts: tally,
            days,
            seconds,
            origin,
        } = self;
        let dropped: u64 = tally.dropped.values().sum();

        writeln!(
            f,
            "days         {} to {}, in {seconds:.1} s",
            days.first, days.last
        )?;
        writeln!(
            f,
            "sent         {} beacons in {} requests",
            tally.counted + dropped,
            tally.requests
        )?;
        writeln!(f, "counted      {}", tally.counted)?;
        writeln!(f, "dropped      {dropped}")?;
        for (reason, beacons) in &tally.dropped {
            writeln!(f, "  {reason:<12} {beacons}")?;
        }

        let SentCounts {
            grants,
            refusals,
            withdrawals,
            ..
        } = tally;
        writeln!(
            f,
            "consent      {grants} grants, {refusals} refusals, {withdrawals} withdrawals"
        )?;
        writeln!(f)?;

        for (creator, of) in CREATORS.iter().zip(&tally.sites) {
            let SiteCounts {
                views,
                visits,
                visitors,
            } = of;
            writeln!(
                f,
                "{}: {views} views, {visits} visits, {visitors} visitor-days",
                creator.about
            )?;
            writeln!(f, "  {origin}/?site={}", creator.id)?;
        }

        writeln!(f, "All of them, for operators\n  {origin}/platform")?;
        writeln!(
            f,
            "A page that counts you, if you let it\n  {origin}/u/demo"
        )?;
        write!(f, "\nStop with Ctrl-C")
    }
}
