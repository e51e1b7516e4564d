//! Simulates the past step by step as fast as possible, and then the present in real time.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Method;
use tokio::task::JoinHandle;

use super::plan::{Chain, HOUR, MINUTE, Plan};
use super::sender::Sender;
use super::tally::Tally;
use crate::clock::Clock;
use crate::event::Millis;

/// The end of the past is simulated by the minute, so that there are current visitors.
const BY_MINUTE: Millis = 2 * HOUR;
/// The last hour of a UTC day. Drops are assigned to the hour in which their segment is sealed, so
/// each day is sealed before it ends.
const SEALED_AT: Millis = 23;

pub(super) struct Teller {
    pub(super) plan: Plan,
    pub(super) sender: Sender,
    pub(super) tally: Tally,
    /// Requests of visits that have started, by the instant they are due.
    coming: BTreeMap<Millis, Vec<Chain>>,
    sealing: Option<JoinHandle<anyhow::Result<String>>>,
}

impl Teller {
    pub(super) fn new(plan: Plan, sender: Sender) -> Teller {
        Teller { plan, sender, tally: Tally::default(), coming: BTreeMap::new(), sealing: None }
    }

    /// Simulates from the full hour `from` to `until`, inclusive. Everything is readable
    /// afterwards.
    pub(super) async fn past(
        &mut self,
        from: Millis,
        until: Millis,
        progress: &mut dyn FnMut(u64, u64),
    ) -> anyhow::Result<()> {
        let mut start = from;
        while start <= until {
            let length = if start < until - until % HOUR - BY_MINUTE { HOUR } else { MINUTE };
            if length == HOUR && start / HOUR % 24 == SEALED_AT {
                self.seal(start).await?;
            }
            self.begin(start, length);
            start += length;
            while let Some((at, chains)) = self.next_until(until.min(start - 1)) {
                self.sender.step(at, chains).await?;
            }
            progress((start.min(until) - from).unsigned_abs(), (until - from).unsigned_abs());
        }
        self.seal(until).await?;
        self.sealed().await
    }

    /// Simulates the present until the future is dropped.
    pub(super) async fn present(&mut self, mut start: Millis) -> anyhow::Result<()> {
        loop {
            let now = Clock::System.now();
            if start <= now {
                // With a test clock nothing is published automatically.
                self.sender.ask(Method::POST, "/test/publish", Some(now)).await?;
            }
            while start <= now {
                self.begin(start, MINUTE);
                start += MINUTE;
            }
            while let Some((_, chains)) = self.next_until(now) {
                self.sender.step(now, chains).await?;
            }
            // The clock must advance even if there are no requests.
            self.sender.ask(Method::GET, "/healthz", Some(now)).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn begin(&mut self, start: Millis, length: Millis) {
        for (at, chain) in self.plan.slot(start, length) {
            self.coming.entry(at).or_default().push(chain);
        }
    }

    fn next_until(&mut self, until: Millis) -> Option<(Millis, Vec<Chain>)> {
        let first = self.coming.first_entry().filter(|entry| *entry.key() <= until)?;
        let (at, chains) = first.remove_entry();
        chains.iter().flatten().for_each(|request| self.tally.add(request));
        Some((at, chains))
    }

    /// Flushes to the store and publishes finished days while the next hours are simulated; one
    /// such task at a time.
    async fn seal(&mut self, now: Millis) -> anyhow::Result<()> {
        self.sealed().await?;
        let sender = self.sender.clone();
        self.sealing = Some(tokio::spawn(async move { flush_and_publish(&sender, now).await }));
        Ok(())
    }

    async fn sealed(&mut self) -> anyhow::Result<()> {
        match self.sealing.take() {
            Some(sealing) => sealing.await?.map(drop),
            None => Ok(()),
        }
    }
}

async fn flush_and_publish(sender: &Sender, now: Millis) -> anyhow::Result<String> {
    sender.ask(Method::POST, "/test/flush", Some(now)).await?;
    sender.ask(Method::POST, "/test/publish", Some(now)).await
}
