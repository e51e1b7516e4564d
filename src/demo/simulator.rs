//! Simulates the past step by step as fast as possible, and then the present in real time.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Method;
use tokio::task::JoinHandle;

use super::counts::SentCounts;
use super::schedule::{HOUR, MINUTE, RequestChain, VisitSchedule};
use super::sender::RequestSender;
use crate::calendar::{Millis, TimeSpan};
use crate::clock::Clock;

/// The end of the past is simulated by the minute, so that there are current visitors.
const MINUTE_STEPS: TimeSpan = TimeSpan::from_secs(2 * 3600);
/// The last hour of a UTC day. Drops are assigned to the hour in which their segment is closed, so
/// each day is flushed before it ends.
const FLUSH_HOUR: i64 = 23;

pub(super) struct VisitSimulator {
    pub(super) schedule: VisitSchedule,
    pub(super) sender: RequestSender,
    pub(super) counts: SentCounts,
    /// Requests of visits that have started, by the instant they are due.
    pending_requests: BTreeMap<Millis, Vec<RequestChain>>,
    flush_task: Option<JoinHandle<anyhow::Result<String>>>,
}

impl VisitSimulator {
    pub(super) fn new(plan: VisitSchedule, sender: RequestSender) -> VisitSimulator {
        VisitSimulator {
            schedule: plan,
            sender,
            counts: SentCounts::default(),
            pending_requests: BTreeMap::new(),
            flush_task: None,
        }
    }

    /// Simulates from the full hour `from` to `until`, inclusive. Everything is readable
    /// afterwards.
    pub(super) async fn simulate_past(
        &mut self,
        from: Millis,
        until: Millis,
        progress: &mut dyn FnMut(u64, u64),
    ) -> anyhow::Result<()> {
        let mut start = from;
        while start <= until {
            let length = if start < until - until % HOUR.as_millis() - MINUTE_STEPS {
                HOUR
            } else {
                MINUTE
            };
            if length == HOUR && start / HOUR.as_millis() % 24 == FLUSH_HOUR {
                self.start_flush(start).await?;
            }
            self.schedule_visits(start, length);
            start += length;
            while let Some((at, chains)) = self.next_due(until.min(start - 1)) {
                self.sender.send_step(at, chains).await?;
            }
            progress(
                (start.min(until) - from).unsigned_abs(),
                (until - from).unsigned_abs(),
            );
        }
        self.start_flush(until).await?;
        self.finish_flush().await?;
        self.sender
            .fetch_text(Method::POST, "/test/retention", Some(until))
            .await
            .map(drop)
    }

    /// Simulates the present until the future is dropped.
    pub(super) async fn simulate_present(&mut self, mut start: Millis) -> anyhow::Result<()> {
        loop {
            let now = Clock::System.now();
            if start <= now {
                // With a test clock nothing is published automatically.
                self.sender
                    .fetch_text(Method::POST, "/test/publish", Some(now))
                    .await?;
            }
            while start <= now {
                self.schedule_visits(start, MINUTE);
                start += MINUTE;
            }
            while let Some((_, chains)) = self.next_due(now) {
                self.sender.send_step(now, chains).await?;
            }
            // The clock must advance even if there are no requests.
            self.sender
                .fetch_text(Method::GET, "/healthz", Some(now))
                .await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn schedule_visits(&mut self, start: Millis, length: TimeSpan) {
        for (at, chain) in self.schedule.plan_period(start, length) {
            self.pending_requests.entry(at).or_default().push(chain);
        }
    }

    fn next_due(&mut self, until: Millis) -> Option<(Millis, Vec<RequestChain>)> {
        let first = self
            .pending_requests
            .first_entry()
            .filter(|entry| *entry.key() <= until)?;
        let (at, chains) = first.remove_entry();
        chains
            .iter()
            .flatten()
            .for_each(|request| self.counts.count_request(request));
        Some((at, chains))
    }

    /// Flushes to the store and publishes finished days while the next hours are simulated; one
    /// such task at a time.
    async fn start_flush(&mut self, now: Millis) -> anyhow::Result<()> {
        self.finish_flush().await?;
        let sender = self.sender.clone();
        self.flush_task = Some(tokio::spawn(async move {
            flush_and_publish(&sender, now).await
        }));
        Ok(())
    }

    async fn finish_flush(&mut self) -> anyhow::Result<()> {
        match self.flush_task.take() {
            Some(sealing) => sealing.await?.map(drop),
            None => Ok(()),
        }
    }
}

async fn flush_and_publish(sender: &RequestSender, now: Millis) -> anyhow::Result<String> {
    sender
        .fetch_text(Method::POST, "/test/flush", Some(now))
        .await?;
    sender
        .fetch_text(Method::POST, "/test/publish", Some(now))
        .await
}
