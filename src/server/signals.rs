//! What the process does when it is signalled.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that end the collector. Those that come before anybody waits for them are kept.
pub(super) struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    /// From here on they end nothing by themselves.
    pub(super) fn listen() -> std::io::Result<Ends> {
        Ok(Ends { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Signals it goes on after.
pub(super) struct Others {
    hangup: Signal,
    user: [Signal; 2],
}

impl Others {
    pub(super) fn listen() -> std::io::Result<Others> {
        let user = [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?];
        Ok(Others { hangup: signal(SignalKind::hangup())?, user })
    }

    /// Until it is asked to read its files again. What has no meaning here is told and does nothing: to end would be the system's default.
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
