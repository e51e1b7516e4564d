//! Ctrl-C in the middle of a run: targets asleep by SIGSTOP would outlive us, holding their ports
//! and their memory.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

static STARTED: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

pub fn started(pid: Pid) {
    STARTED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(pid);
}

/// Call before the child is waited for: afterwards its number may belong to somebody else.
pub fn ended(pid: Pid) {
    STARTED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .retain(|other| *other != pid);
}

/// From now on an interrupt ends the targets, removes the run's directory and then ends this
/// program.
pub fn clean_up(dir: PathBuf) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => (),
                _ = terminate.recv() => (),
            }
        });
        for pid in STARTED
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            let _ = kill_process(*pid, Signal::KILL);
        }
        let _ = std::fs::remove_dir_all(dir);
        std::process::exit(130);
    });
    Ok(())
}
