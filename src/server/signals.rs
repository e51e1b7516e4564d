//! Handlers of the process's signals.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a supervisor sends.
pub(super) const SIGTERM: &str = "SIGTERM";

/// Signals that stop the collector. Those that arrive before [`Ends::next`] are kept.
pub(super) struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    /// Installs the handlers: from here on the signals do not kill the process.
    pub(super) fn listen() -> std::io::Result<Ends> {
        Ok(Ends { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => SIGTERM,
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Signals that do not stop the collector.
pub(super) struct Others {
    hangup: Signal,
    user: [Signal; 2],
}

impl Others {
    pub(super) fn listen() -> std::io::Result<Others> {
        let user = [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?];
        Ok(Others { hangup: signal(SignalKind::hangup())?, user })
    }

    /// Waits for SIGHUP, which reloads files. SIGUSR1 and SIGUSR2 have no meaning here and are
    /// logged, because the default action would be to exit.
    pub(super) async fn hangup(&mut self) {
        let [first, second] = &mut self.user;
        loop {
            let name = tokio::select! {
                _ = self.hangup.recv() => return,
                _ = first.recv() => "SIGUSR1",
                _ = second.recv() => "SIGUSR2",
            };
            tracing::info!(signal = name, "this signal means nothing here; SIGHUP reads files again, SIGTERM stops");
        }
    }
}
