//! Counts what was sent, to compare it with what the collector counted.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::ensure;
use jiff::civil::Date;

use super::beacon::{Act, Begins, Kind, Request};
use super::cast::CREATORS;
use super::people::Said;

#[derive(Default)]
pub(super) struct Tally {
    sites: [OfSite; CREATORS.len()],
    requests: u64,
    counted: u64,
    /// Dropped hits by reason.
    dropped: BTreeMap<&'static str, u64>,
    grants: u64,
    refusals: u64,
    withdrawals: u64,
}

#[derive(Default, Clone, Copy)]
struct OfSite {
    views: u64,
    visits: u64,
    visitors: u64,
}

impl Tally {
    pub(super) fn add(&mut self, request: &Request) {
        self.requests += 1;

        let holds = request.holds.len() as u64;
        match (request.act, request.person.said) {
            (Act::Grant, _) => self.grants += 1,
            (Act::Refuse, _) => self.refusals += 1,
            (Act::Withdraw, _) => self.withdrawals += 1,
            (Act::Hit, Said::Refused(reason)) => *self.dropped.entry(reason.name()).or_default() += holds,
            (Act::Hit, _) => {
                self.counted += holds;
                let site = &mut self.sites[request.creator];
                site.views += request.holds.iter().filter(|kind| **kind == Kind::View).count() as u64;
                site.visits += u64::from(request.begins != Begins::Nothing);
                site.visitors += u64::from(request.begins == Begins::VisitorsDay);
            }
        }
    }

    /// Compares with `metrics`, the collector's metrics page. It must show exactly what was sent.
    pub(super) fn must_agree(&self, metrics: &str) -> anyhow::Result<()> {
        let counted = figure(metrics, "footfall_hits_total");
        ensure!(
            counted == self.counted,
            "{} beacons should have counted, the collector counted {counted}",
            self.counted
        );
        for (reason, sent) in &self.dropped {
            let dropped = figure(metrics, &format!("footfall_refusals_total{{reason=\"{reason}\"}}"));
            ensure!(
                dropped == *sent,
                "{sent} beacons should have been dropped as {reason}, the collector dropped {dropped}"
            );
        }
        Ok(())
    }
}

fn figure(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// The summary that is printed when the past has been simulated.
pub struct Told {
    pub(super) tally: Tally,
    /// The first and the last day of the first creator, both inclusive.
    pub(super) days: (Date, Date),
    pub(super) seconds: f64,
    pub(super) origin: String,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { tally, days, seconds, origin } = self;
        let dropped: u64 = tally.dropped.values().sum();

        writeln!(f, "days         {} to {}, in {seconds:.1} s", days.0, days.1)?;
        writeln!(f, "sent         {} beacons in {} requests", tally.counted + dropped, tally.requests)?;
        writeln!(f, "counted      {}", tally.counted)?;
        writeln!(f, "dropped      {dropped}")?;
        for (reason, beacons) in &tally.dropped {
            writeln!(f, "  {reason:<12} {beacons}")?;
        }

        let Tally { grants, refusals, withdrawals, .. } = tally;
        writeln!(f, "consent      {grants} grants, {refusals} refusals, {withdrawals} withdrawals")?;
        writeln!(f)?;

        for (creator, of) in CREATORS.iter().zip(&tally.sites) {
            let OfSite { views, visits, visitors } = of;
            writeln!(f, "{}: {views} views, {visits} visits, {visitors} visitor-days", creator.about)?;
            writeln!(f, "  {origin}/?site={}", creator.id)?;
        }

        writeln!(f, "All of them, for operators\n  {origin}/platform")?;
        writeln!(f, "A page that counts you, if you let it\n  {origin}/u/demo")?;
        write!(f, "\nStop with Ctrl-C")
    }
}
