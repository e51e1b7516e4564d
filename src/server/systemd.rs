//! Messages to systemd, if it started the process with `Type=notify`; otherwise nothing is sent.
//!
//! A thread of its own sends them: a supervisor that does not read its socket blocks the sender,
//! and must not block the collector.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::interval;

use crate::health::HealthMonitor;

enum Message {
    Ready,
    Stopping,
    KeepAlive,
    /// The process that took over is the service's main process from now on. The sender waits until
    /// systemd was told.
    MainProcess(i32, Sender<()>),
}

/// Whether a keep-alive message waits to be sent; a second one would say nothing new.
static KEEP_ALIVE_WAITS: AtomicBool = AtomicBool::new(false);

/// Time for systemd to take a message that the sender waits for.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(1);

/// `None` without systemd.
static SENDER: LazyLock<Option<Sender<Message>>> = LazyLock::new(|| {
    std::env::var_os("NOTIFY_SOCKET")?;
    let (sender, messages) = channel();
    let thread = std::thread::Builder::new().name("systemd".into());
    match thread.spawn(move || forward_messages(messages)) {
        Ok(_) => Some(sender),
        Err(error) => {
            tracing::warn!(%error, "systemd is not notified: no thread could be started");
            None
        }
    }
});

/// The port is open and the writer runs.
pub(super) fn send_ready() {
    send_message(Message::Ready);
}

pub(super) fn send_stopping() {
    send_message(Message::Stopping);
}

/// Tells systemd that another process is the main one, and waits for a moment until it was told: the
/// messages of that process count only afterwards.
pub(super) fn send_main_process(process: i32) {
    let (sender, told) = channel();
    send_message(Message::MainProcess(process, sender));
    let _ = told.recv_timeout(NOTIFY_TIMEOUT);
}

/// Sends the keep-alive message twice in each `WatchdogSec`, while the process is alive.
pub(super) async fn run_watchdog(health: Arc<HealthMonitor>) {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut tick = interval(patience / 2);
    loop {
        tick.tick().await;
        if health.is_alive() && !KEEP_ALIVE_WAITS.swap(true, Ordering::AcqRel) {
            send_message(Message::KeepAlive);
        }
    }
}

fn send_message(message: Message) {
    if let Some(sender) = &*SENDER {
        let _ = sender.send(message);
    }
}

fn forward_messages(messages: Receiver<Message>) {
    for message in messages {
        let main_process;
        let states: &[NotifyState<'_>] = match &message {
            Message::Ready => &[NotifyState::Ready, NotifyState::Status("accepting hits")],
            Message::Stopping => &[NotifyState::Stopping, NotifyState::Status("stopping")],
            Message::KeepAlive => {
                KEEP_ALIVE_WAITS.store(false, Ordering::Release);
                &[NotifyState::Watchdog]
            }
            Message::MainProcess(process, _) => {
                main_process = [NotifyState::MainPid(process.unsigned_abs())];
                &main_process
            }
        };
        if let Err(error) = sd_notify::notify(states) {
            tracing::warn!(%error, "systemd could not be notified");
        }
        if let Message::MainProcess(_, told) = message {
            let _ = told.send(());
        }
    }
}
