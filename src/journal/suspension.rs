//! Stops the writer between two batches, so that another process can take over from it, and the
//! state that it is given.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::sync::oneshot;

use super::heartbeat::Heartbeat;
use super::journal_stats::JournalStats;
use super::segment_keys::ProcessKey;
use super::writer::WriterParts;
use crate::aggregate::{Aggregator, AggregatorLimits};
use crate::calendar::ZoneTable;
use crate::config::Config;
use crate::event::DropReason;
use crate::random::random_u64;
use crate::state_codec::{StateError, StateReader, StateWriter};

/// How often a suspended writer shows that it is alive.
const BEAT_INTERVAL: Duration = Duration::from_millis(200);

type DropTotals = [u64; DropReason::ALL.len()];

/// Whether a suspended writer continues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Decision {
    Continue,
    End,
}

/// Asks the writer to write its state and to wait.
pub(super) struct SuspendRequest {
    sink: Box<dyn Write + Send>,
    suspended: oneshot::Sender<io::Result<SuspendedWriter>>,
}

/// A writer that waits. It continues when this value is dropped.
pub struct SuspendedWriter(Sender<()>);

impl SuspendedWriter {
    /// Ends the writer: another process continues from the state. The open segment stays in the
    /// journal.
    pub fn end(self) {
        let _ = self.0.send(());
    }
}

impl SuspendRequest {
    pub(super) fn new(
        sink: Box<dyn Write + Send>,
    ) -> (
        SuspendRequest,
        oneshot::Receiver<io::Result<SuspendedWriter>>,
    ) {
        let (suspended, is_suspended) = oneshot::channel();
        (SuspendRequest { sink, suspended }, is_suspended)
    }

    /// Writes the state, then waits for the decision.
    pub(super) fn write_and_wait(
        self,
        heartbeat: &Heartbeat,
        write: impl FnOnce(&mut StateWriter<'_>),
    ) -> Decision {
        let SuspendRequest {
            mut sink,
            suspended,
        } = self;
        let mut out = StateWriter::new(&mut *sink);
        write(&mut out);
        if let Err(error) = out.finish() {
            let _ = suspended.send(Err(error));
            return Decision::Continue;
        }
        drop(sink);

        let (sender, decision) = channel();
        let _ = suspended.send(Ok(SuspendedWriter(sender)));
        wait_for_decision(&decision, heartbeat)
    }
}

fn wait_for_decision(decision: &Receiver<()>, heartbeat: &Heartbeat) -> Decision {
    loop {
        heartbeat.record_beat();
        match decision.recv_timeout(BEAT_INTERVAL) {
            Ok(()) => return Decision::End,
            Err(RecvTimeoutError::Disconnected) => return Decision::Continue,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// What a writer begins with: nothing, or the state of the process that it takes over from.
pub struct WriterState {
    pub(super) aggregator: Aggregator,
    /// The drops that former segments have.
    pub(super) reported_drops: DropTotals,
    /// Keys of segments that the process before left open.
    pub(super) process_keys: Vec<ProcessKey>,
    pub(super) stats: JournalStats,
}

impl WriterState {
    pub(super) fn empty(config: &Config) -> WriterState {
        let limits = AggregatorLimits::from_config(config);
        WriterState {
            aggregator: Aggregator::new(limits, random_u64()),
            reported_drops: [0; DropReason::ALL.len()],
            process_keys: Vec::new(),
            stats: JournalStats::default(),
        }
    }

    pub(super) fn write_drops(totals: DropTotals, reported: DropTotals, out: &mut StateWriter<'_>) {
        out.put_count(totals.len());
        for (total, reported) in totals.into_iter().zip(reported) {
            out.put_u64(total);
            out.put_u64(reported);
        }
    }

    /// Reads the state of the process before. The day keys and the totals of drops go to `parts`,
    /// zones that are new here to `zones`.
    ///
    /// # Errors
    ///
    /// The state ends too early, contradicts itself, or is of another build.
    pub fn read(
        input: &mut StateReader<'_>,
        config: &Config,
        parts: &WriterParts,
        zones: &ZoneTable,
    ) -> Result<WriterState, StateError> {
        parts.day_keys.read_state(input)?;
        let limits = AggregatorLimits::from_config(config);
        let aggregator = Aggregator::read_state(input, zones, limits)?;

        if input.read_count(16)? != DropReason::ALL.len() {
            return Err(StateError::Invalid("it has other reasons of drops"));
        }
        let (mut totals, mut reported_drops) =
            ([0; DropReason::ALL.len()], [0; DropReason::ALL.len()]);
        for (total, reported) in totals.iter_mut().zip(&mut reported_drops) {
            (*total, *reported) = (input.read_u64()?, input.read_u64()?);
            if *reported > *total {
                return Err(StateError::Invalid("more drops are reported than counted"));
            }
        }
        parts.drop_counters.add_totals(totals);

        Ok(WriterState {
            aggregator,
            reported_drops,
            process_keys: ProcessKey::read_state(input)?,
            stats: JournalStats::read_state(input)?,
        })
    }
}
