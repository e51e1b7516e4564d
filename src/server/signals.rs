//! Handlers of the process's signals.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signal that a supervisor sends.
pub(super) const SIGTERM: &str = "SIGTERM";

/// All signals that do not end the process.
pub(super) struct Signals {
    pub(super) stop: StopSignals,
    pub(super) other: OtherSignals,
}

impl Signals {
    /// Installs the handlers: from here on the signals do not kill the process.
    pub(super) fn install_handlers() -> std::io::Result<Signals> {
        Ok(Signals {
            stop: StopSignals::install_handlers()?,
            other: OtherSignals::install_handlers()?,
        })
    }
}

/// Signals that stop the collector. Those that arrive before it waits for one are kept.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn install_handlers() -> std::io::Result<StopSignals> {
        Ok(StopSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(super) async fn next_signal(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => SIGTERM,
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Signals that do not stop the collector.
pub(super) struct OtherSignals {
    hangup: Signal,
    user: [Signal; 2],
}

impl OtherSignals {
    fn install_handlers() -> std::io::Result<OtherSignals> {
        let user = [
            signal(SignalKind::user_defined1())?,
            signal(SignalKind::user_defined2())?,
        ];
        Ok(OtherSignals {
            hangup: signal(SignalKind::hangup())?,
            user,
        })
    }

    /// Waits for SIGHUP, which reloads files. SIGUSR1 and SIGUSR2 have no meaning here and are
    /// logged, because the default action would be to exit.
    pub(super) async fn wait_for_hangup(&mut self) {
        let [first, second] = &mut self.user;
        loop {
            let name = tokio::select! {
                _ = self.hangup.recv() => return,
                _ = first.recv() => "SIGUSR1",
                _ = second.recv() => "SIGUSR2",
            };
            tracing::info!(
                signal = name,
                "this signal has no effect; SIGHUP reloads files, SIGTERM stops"
            );
        }
    }
}
