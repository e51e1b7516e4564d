//! Thread that starts, monitors and restarts the engine's process.
//!
//! It is one thread for the whole lifetime, because the kernel ends the engine together with the
//! thread that started it (`PR_SET_PDEATHSIG`).

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;
use tokio::sync::oneshot;

use super::failure::EngineFailure;
use super::launch::LaunchConfig;
use super::{EngineError, is_directory_locked, repair};
use crate::outage::Outage;
use crate::store::error_text::{parse_error_code, parse_error_name};

/// Interval of the checks during the start, and later.
const STARTUP_POLL_INTERVAL: Duration = Duration::from_millis(5);
const RUNNING_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Opening a large directory takes long; an engine that does not listen after this time hangs and
/// is restarted.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(300);
/// Interval of the pings. An engine without a response for `PING_TIMEOUT` is restarted; nothing is
/// lost by that, and readers would otherwise wait for ever.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(60);
/// Time from closing its input to a kill.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

const MIN_RESTART_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause after a crash, and after a start that failed with a reason.
const MAX_RESTART_PAUSE: Duration = Duration::from_secs(1);
const MAX_START_FAILURE_PAUSE: Duration = Duration::from_secs(10);
/// An engine that listened for this long was healthy: the next pause is the shortest again.
const HEALTHY_AFTER: Duration = Duration::from_secs(3);

/// Receives whether the engine listens for the first time, or why it never will.
type StartupNotifier = oneshot::Sender<Result<(), EngineError>>;

pub(super) struct EngineSupervisor {
    program: PathBuf,
    plan: LaunchConfig,
    /// Kept, so that the port stays reserved.
    _reserved_port: TcpSocket,
    /// Number of processes that were started.
    starts: Arc<AtomicU64>,
    address: SocketAddr,
    /// The other end is dropped when the engine is to stop.
    stop: Receiver<()>,
    startup: Option<StartupNotifier>,
    outage: Outage,
}

/// How a process ended.
enum ProcessEnd {
    Stopped,
    /// It reported a reason that a restart does not change.
    StartFailed(EngineError),
    Died {
        status: ExitStatus,
        listened: Option<Instant>,
    },
}

impl EngineSupervisor {
    pub(super) fn new(
        program: PathBuf,
        plan: LaunchConfig,
        held: TcpSocket,
        starts: Arc<AtomicU64>,
        address: SocketAddr,
        stop: Receiver<()>,
        first: StartupNotifier,
    ) -> EngineSupervisor {
        EngineSupervisor {
            program,
            plan,
            _reserved_port: held,
            starts,
            address,
            stop,
            startup: Some(first),
            outage: Outage::default(),
        }
    }

    pub(super) fn spawn_thread(mut self) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || self.run())
    }

    fn run(&mut self) {
        let mut pause = MIN_RESTART_PAUSE;
        loop {
            let longest = match self.run_process() {
                ProcessEnd::Stopped => return,
                ProcessEnd::StartFailed(error) => {
                    if let Some(first) = self.startup.take() {
                        let _ = first.send(Err(error));
                        return;
                    }
                    if self.outage.record_failure() {
                        tracing::error!(%error, "the embedded engine does not start; hits are kept \
                            in the journal, and the start is retried");
                    }
                    MAX_START_FAILURE_PAUSE
                }
                ProcessEnd::Died { status, listened } => {
                    if listened.is_some_and(|since| since.elapsed() > HEALTHY_AFTER) {
                        pause = MIN_RESTART_PAUSE;
                    }
                    if self.outage.record_failure() {
                        let (code, signal) = (status.code(), status.signal());
                        tracing::warn!(
                            code,
                            signal,
                            "the embedded engine ended; hits are kept in the journal, and it is \
                             started again"
                        );
                    }
                    MAX_RESTART_PAUSE
                }
            };

            pause = pause.min(longest);
            if self.is_stopped_within(pause) {
                return;
            }
            pause *= 2;
        }
    }

    fn is_stopped_within(&self, pause: Duration) -> bool {
        !matches!(
            self.stop.recv_timeout(pause),
            Err(RecvTimeoutError::Timeout)
        )
    }

    /// One process, from its start to its end.
    fn run_process(&mut self) -> ProcessEnd {
        // Files left incomplete by the last process would keep this one from opening the directory.
        if let Err(error) = repair::repair_directory(&self.plan.dir) {
            return ProcessEnd::StartFailed(error);
        }
        self.starts.fetch_add(1, Ordering::Release);
        let mut child = match self.spawn_process() {
            Ok(child) => child,
            Err(error) => return ProcessEnd::StartFailed(EngineError::StartProcess(error)),
        };
        let said = child.stderr.take().map(collect_last_error);

        let (started, mut listened, mut probe) =
            (Instant::now(), None, LivenessProbe::new(self.address));
        let status = loop {
            if self.is_stopped_within(if listened.is_some() {
                RUNNING_POLL_INTERVAL
            } else {
                STARTUP_POLL_INTERVAL
            }) {
                stop_process(&mut child);
                return ProcessEnd::Stopped;
            }
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => {}
                Err(error) => return ProcessEnd::StartFailed(EngineError::StartProcess(error)),
            }
            if listened.is_none() && probe.is_listening() {
                listened = Some(Instant::now());
                if let Some(first) = self.startup.take() {
                    let _ = first.send(Ok(()));
                }
            }
            let hangs = match listened {
                Some(_) => probe.time_since_response() > PING_TIMEOUT,
                None => started.elapsed() > LISTEN_TIMEOUT,
            };
            if hangs {
                tracing::warn!("the embedded engine does not respond; it is killed and restarted");
                let _ = child.kill();
            }
            if listened.is_some_and(|since| since.elapsed() > HEALTHY_AFTER)
                && let Some(failures) = self.outage.record_success()
            {
                tracing::info!(failures, "the embedded engine runs again");
            }
        };

        let last_error = said.and_then(|said| said.join().ok()).flatten();
        match listened {
            None if status.signal().is_none() => {
                ProcessEnd::StartFailed(self.explain_start_failure(&mut child, last_error))
            }
            _ => ProcessEnd::Died { status, listened },
        }
    }

    /// In a process group of its own, so that Ctrl-C in a terminal reaches only the collector;
    /// without the collector's environment, which may contain passwords.
    fn spawn_process(&self) -> io::Result<Child> {
        let plan = serde_json::to_string(&self.plan)?;
        let mut command = Command::new(&self.program);
        command
            .arg0("footfall")
            .arg("engine")
            .env_clear()
            .process_group(0);
        if let Some(path) = std::env::var_os("LD_LIBRARY_PATH") {
            command.env("LD_LIBRARY_PATH", path);
        }

        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let told = child.stdin.as_mut().map_or(Ok(()), |stdin| {
            stdin.write_all(format!("{plan}\n").as_bytes())
        });
        if told.is_err() {
            // It ended already, and its exit status tells more.
            tracing::debug!("the embedded engine did not read its plan");
        }
        Ok(child)
    }

    fn explain_start_failure(&self, child: &mut Child, last_error: Option<String>) -> EngineError {
        let (path, library) = (self.plan.dir.clone(), self.plan.library.clone());
        let mut told = String::new();
        if let Some(mut stdout) = child.stdout.take() {
            let _ = stdout.read_to_string(&mut told);
        }
        match told
            .lines()
            .find_map(|line| serde_json::from_str(line).ok())
        {
            Some(EngineFailure::Load { reason }) => EngineError::LoadLibrary {
                path: library,
                reason,
            },
            Some(EngineFailure::Lacks { symbol }) => EngineError::MissingSymbol {
                path: library,
                symbol,
            },
            None if is_directory_locked(&path) => EngineError::InUse(path),
            None => {
                let reason = last_error.unwrap_or_else(|| "it ended without a reason".to_owned());
                EngineError::OpenFailed { path, reason }
            }
        }
    }
}

/// Closes its input and waits; kills it if it does not end in time.
fn stop_process(child: &mut Child) {
    drop(child.stdin.take());
    let deadline = Instant::now() + STOP_TIMEOUT;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        std::thread::sleep(STARTUP_POLL_INTERVAL);
    }
}

/// Reads the engine's standard error; returns the last error in it, as code and name only, because
/// the texts quote data.
fn collect_last_error(stderr: ChildStderr) -> JoinHandle<Option<String>> {
    std::thread::spawn(move || {
        let (mut last, mut lines) = (None, 0_u64);
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            lines += 1;
            let line = String::from_utf8_lossy(&line);
            if let Some(code) = parse_error_code(&line) {
                let error = format!("code {code} {}", parse_error_name(&line))
                    .trim_end()
                    .to_owned();
                tracing::debug!(error, "the embedded engine wrote to its standard error");
                last = Some(error);
            }
        }
        tracing::debug!(lines, "the embedded engine's standard error ended");
        last
    })
}

/// Pings the port without blocking.
struct LivenessProbe {
    address: SocketAddr,
    pending_ping: Option<TcpStream>,
    last_response: Instant,
}

impl LivenessProbe {
    fn new(address: SocketAddr) -> LivenessProbe {
        LivenessProbe {
            address,
            pending_ping: None,
            last_response: Instant::now(),
        }
    }

    fn is_listening(&mut self) -> bool {
        let listens = self.open_connection().is_ok();
        self.last_response = Instant::now();
        listens
    }

    fn open_connection(&self) -> io::Result<TcpStream> {
        TcpStream::connect_timeout(&self.address, Duration::from_millis(100))
    }

    /// Time since the last response.
    fn time_since_response(&mut self) -> Duration {
        let since = self.last_response.elapsed();
        match &mut self.pending_ping {
            None if since > PING_INTERVAL => self.pending_ping = self.send_ping().ok(),
            None => {}
            Some(stream) => match stream.read(&mut [0; 64]) {
                Ok(1..) => (self.pending_ping, self.last_response) = (None, Instant::now()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // It closed the connection instead: ping again.
                _ => self.pending_ping = None,
            },
        }
        since
    }

    fn send_ping(&self) -> io::Result<TcpStream> {
        let mut stream = self.open_connection()?;
        stream.write_all(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }
}
