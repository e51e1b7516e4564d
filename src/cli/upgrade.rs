//! `footfall upgrade`: takes over from the running collector, without a request that fails.
//!
//! Exit codes: 0 after an orderly stop, or with `--background` once the new process serves; 1 the
//! running collector continues, or there is none, or this one failed later; 2 the command line or the
//! configuration is wrong.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;
use clap::Args;

use super::{StartArgs, report_usage_error};
use crate::config::Config;
use crate::upgrade::{PacketSocket, PredecessorMessage, SuccessorMessage, Supervisor};

/// The line on standard output once the new process serves.
const SERVING: &str = "footfall: this process has taken over";

/// What `footfall upgrade` takes.
#[derive(Args)]
pub struct UpgradeArgs {
    #[command(flatten)]
    start: StartArgs,
    /// Start the new process, and return once it serves. For service managers: see
    /// `ExecReload=` of the systemd unit.
    #[arg(long)]
    background: bool,
}

impl UpgradeArgs {
    /// Runs the command.
    pub fn run(self) -> ExitCode {
        let config = match self.start.load_config() {
            Ok(config) => config,
            Err(error) => return report_usage_error(&error),
        };
        if self.background {
            return match run_in_background(&config) {
                Ok(code) => code,
                Err(error) => {
                    eprintln!("footfall: {error:#}");
                    ExitCode::FAILURE
                }
            };
        }
        super::run_collector(config, async |config, progress| {
            let tell = || {
                // The reader may have ended.
                let _ = writeln!(std::io::stdout(), "{SERVING}");
            };
            crate::server::upgrade(config, progress, tell).await
        })
    }
}

/// Starts this command again without `--background`, in the environment of the running collector's
/// service manager, and waits until it serves.
fn run_in_background(config: &Config) -> anyhow::Result<ExitCode> {
    let supervisor = ask_supervisor(config)?;
    let arguments = std::env::args_os().skip(1);
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(arguments.filter(|argument| argument != "--background"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // Ctrl-C at the terminal is for this command.
        .process_group(0)
        .env_remove("WATCHDOG_PID");
    let variables = [
        ("NOTIFY_SOCKET", supervisor.notify_socket),
        ("WATCHDOG_USEC", supervisor.watchdog_usec),
    ];
    for (name, value) in variables {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }

    let mut process = command
        .spawn()
        .context("the new process cannot be started")?;
    let output = process.stdout.take().context("its output is not read")?;
    let serves = BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .any(|line| line == SERVING);
    if serves {
        println!("{SERVING} (process {})", process.id());
        return Ok(ExitCode::SUCCESS);
    }
    // It has said why.
    let code = process
        .wait()?
        .code()
        .and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

fn ask_supervisor(config: &Config) -> anyhow::Result<Supervisor> {
    let socket = PacketSocket::connect(&config.journal.dir)?;
    socket.send(&SuccessorMessage::AskSupervisor, &[])?;
    let packet = socket.receive(std::time::Duration::from_secs(10))?;
    match packet.map(|packet| packet.message) {
        Some(PredecessorMessage::Supervisor(supervisor)) => Ok(supervisor),
        _ => anyhow::bail!("the running collector does not answer"),
    }
}
