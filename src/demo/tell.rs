//! The past in a hurry, step by step, and then the present at its own pace.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Method;
use tokio::task::JoinHandle;

use super::plan::{Chain, HOUR, MINUTE, Plan};
use super::sender::Sender;
use super::tally::Tally;
use crate::clock::Clock;
use crate::event::Millis;

/// The end of the past is told by the minute, so that somebody is there right now.
const BY_MINUTE: Millis = 2 * HOUR;
/// The last hour of a day in UTC. Drops take the hour their segment is sealed in, so each day is sealed before it ends.
const SEALED_AT: Millis = 23;

pub(super) struct Teller {
    pub(super) plan: Plan,
    pub(super) sender: Sender,
    pub(super) tally: Tally,
    /// What is still to be sent of visits that have begun.
    coming: BTreeMap<Millis, Vec<Chain>>,
    sealing: Option<JoinHandle<anyhow::Result<String>>>,
}

impl Teller {
    pub(super) fn new(plan: Plan, sender: Sender) -> Teller {
        Teller { plan, sender, tally: Tally::default(), coming: BTreeMap::new(), sealing: None }
    }

    /// Everything from the full hour `from` up to `until`, and nothing later. All of it can be read afterwards.
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

    /// The present, for as long as it is polled.
    pub(super) async fn present(&mut self, mut start: Millis) -> anyhow::Result<()> {
        loop {
            let now = Clock::System.now();
            if start <= now {
                // With a test clock nothing is published by itself.
                self.sender.ask(Method::POST, "/test/publish", Some(now)).await?;
            }
            while start <= now {
                self.begin(start, MINUTE);
                start += MINUTE;
            }
            while let Some((_, chains)) = self.next_until(now) {
                self.sender.step(now, chains).await?;
            }
            // Time goes on when nobody comes, too.
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

    /// Has what was counted sent to the store, and the days that are over published, while the next hours are told; one
    /// at a time.
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
