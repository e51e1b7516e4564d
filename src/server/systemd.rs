//! Messages to systemd, if it started the process with `Type=notify`; otherwise nothing is sent.

use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::time::interval;

use crate::health::HealthMonitor;

/// The port is open and the writer runs.
pub(super) fn send_ready() {
    send_states(&[NotifyState::Ready, NotifyState::Status("accepting hits")]);
}

pub(super) fn send_stopping() {
    send_states(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// Sends the keep-alive message twice in each `WatchdogSec`, while the process is alive.
pub(super) async fn run_watchdog(health: Arc<HealthMonitor>) {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut tick = interval(patience / 2);
    loop {
        tick.tick().await;
        if health.is_alive() {
            send_states(&[NotifyState::Watchdog]);
        }
    }
}

fn send_states(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be notified");
    }
}
