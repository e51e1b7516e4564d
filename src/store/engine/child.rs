//! `footfall engine`: the process that runs ClickHouse. Only the collector starts it.
//!
//! It never receives visitors' data, only rows of counts, as any ClickHouse server would. It runs
//! until its standard input is closed or its parent ends.

use std::ffi::CString;
use std::fs::File;
use std::io::{BufRead, Write, stdin};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};

use super::ffi;
use super::launch::{LaunchConfig, USERS_FILE_PLACEHOLDER};

/// Inserts, merges and queries yield the CPU to the threads that accept hits.
const ENGINE_NICENESS: i32 = 10;

/// If memory runs out, the kernel ends the engine first: it is started again, and what it was sent
/// is still in the journal.
const OOM_SCORE_ADJUSTMENT: &str = "500";

/// The second statement ends when the input is closed, and the server with it.
const STARTUP_STATEMENTS: &str = "SYSTEM START LISTEN HTTP; SELECT count() \
    FROM file('/proc/self/fd/0', 'LineAsString') FORMAT Null";

/// Reads its launch configuration from the standard input and runs the engine until that input is
/// closed. `harden` protects its memory from other processes.
pub fn main(harden: fn()) -> ExitCode {
    // The order matters: from here on the end of the parent is always noticed.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJUSTMENT);
    let _ = rustix::process::nice(ENGINE_NICENESS);
    harden();

    let mut line = String::new();
    let plan: LaunchConfig = match stdin()
        .lock()
        .read_line(&mut line)
        .map(|_| serde_json::from_str(&line))
    {
        Ok(Ok(plan)) => plan,
        _ => {
            eprintln!(
                "footfall: `engine` is started by `footfall serve` for the embedded engine; do not \
                 run it yourself"
            );
            return ExitCode::from(2);
        }
    };
    let _ignoring = ignore_signals();

    match create_config_files(&plan)
        .map(|files| ffi::run_engine(&plan.library, &build_arguments(&plan, &files)))
    {
        Ok(Ok(never)) => match never {},
        Ok(Err(failure)) => {
            let told = serde_json::to_string(&failure).expect("a failure is always JSON");
            let _ = writeln!(std::io::stdout(), "{told}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("footfall: the engine's configuration could not be made: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A service manager signals all processes of a service at once. The engine is needed until the
/// collector has sent its last segment and closes the pipe.
fn ignore_signals() -> Option<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .ok()?;
    let entered = runtime.enter();
    for kind in [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ] {
        let _ = signal(kind);
    }
    drop(entered);
    Some(runtime)
}

/// The two files of the configuration. They are in memory, so the engine starts even if the disk is
/// full, and leaves no files behind.
struct ConfigFiles {
    config: OwnedFd,
    _users: OwnedFd,
}

fn create_config_files(plan: &LaunchConfig) -> std::io::Result<ConfigFiles> {
    let users = create_memory_file("users", &plan.users)?;
    let config = create_memory_file(
        "config",
        &plan
            .config
            .replace(USERS_FILE_PLACEHOLDER, &fd_path(&users)),
    )?;
    Ok(ConfigFiles {
        config,
        _users: users,
    })
}

fn create_memory_file(name: &str, text: &str) -> std::io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    Ok(file.into())
}

fn fd_path(file: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn build_arguments(plan: &LaunchConfig, files: &ConfigFiles) -> Vec<CString> {
    [
        "clickhouse".to_owned(),
        format!("--config-file={}", fd_path(&files.config)),
        format!("--path={}", plan.dir.display()),
        format!("--query={STARTUP_STATEMENTS}"),
    ]
    .into_iter()
    .map(|argument| CString::new(argument.replace('\0', "")).expect("NUL was just removed"))
    .collect()
}
