//! The thread that starts the engine's process, watches it, and starts it again.
//!
//! One thread for its whole life, because the kernel ends the engine with the thread that started it (`PR_SET_PDEATHSIG`).

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;
use tokio::sync::oneshot;

use super::child::Failure;
use super::plan::Plan;
use super::{EngineError, leftovers, locked};
use crate::outage::Outage;
use crate::store::error::{code, name};

/// How often it is looked at while it starts, and later.
const STARTING: Duration = Duration::from_millis(5);
const RUNNING: Duration = Duration::from_millis(50);

/// A large folder takes its time; beyond this it hangs, and is started anew.
const LISTENS_WITHIN: Duration = Duration::from_secs(300);
/// It is asked for a sign of life this often. Without an answer for so long it is started anew: nothing is lost by that, and readers
/// would wait for ever.
const ASKED_EVERY: Duration = Duration::from_secs(5);
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// From the end of its input to a kill.
const STOPS_WITHIN: Duration = Duration::from_secs(2);

const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest for one that died, and for one that said why it does not start.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE_REFUSED: Duration = Duration::from_secs(10);
/// An engine that listened for so long was well: the next pause is the first again.
const WELL: Duration = Duration::from_secs(3);

/// Whoever opens the engine waits for this: that it listens for the first time, or why it never will.
type First = oneshot::Sender<Result<(), EngineError>>;

pub(super) struct Supervisor {
    program: PathBuf,
    plan: Plan,
    /// Kept, so that the port stays ours.
    _held: TcpSocket,
    address: SocketAddr,
    /// Its other end goes when the engine is to end.
    stop: Receiver<()>,
    first: Option<First>,
    away: Outage,
}

/// How a process ended.
enum End {
    Stopped,
    /// It says why, and would say so again.
    Refused(EngineError),
    Died {
        status: ExitStatus,
        listened: Option<Instant>,
    },
}

impl Supervisor {
    pub(super) fn new(
        program: PathBuf,
        plan: Plan,
        held: TcpSocket,
        address: SocketAddr,
        stop: Receiver<()>,
        first: First,
    ) -> Supervisor {
        Supervisor { program, plan, _held: held, address, stop, first: Some(first), away: Outage::default() }
    }

    pub(super) fn start(mut self) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("engine".into()).spawn(move || self.run())
    }

    fn run(&mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let longest = match self.live() {
                End::Stopped => return,
                End::Refused(error) => {
                    if let Some(first) = self.first.take() {
                        let _ = first.send(Err(error));
                        return;
                    }
                    if self.away.begins() {
                        tracing::error!(%error, "the embedded engine does not start; hits are kept in the journal, and it is tried again");
                    }
                    LONGEST_PAUSE_REFUSED
                }
                End::Died { status, listened } => {
                    if listened.is_some_and(|since| since.elapsed() > WELL) {
                        pause = FIRST_PAUSE;
                    }
                    if self.away.begins() {
                        let (code, signal) = (status.code(), status.signal());
                        tracing::warn!(
                            code,
                            signal,
                            "the embedded engine ended; hits are kept in the journal, and it is started again"
                        );
                    }
                    LONGEST_PAUSE
                }
            };

            pause = pause.min(longest);
            if self.stops_within(pause) {
                return;
            }
            pause *= 2;
        }
    }

    fn stops_within(&self, pause: Duration) -> bool {
        !matches!(self.stop.recv_timeout(pause), Err(RecvTimeoutError::Timeout))
    }

    /// One process, from its start to its end.
    fn live(&mut self) -> End {
        // What the last one left half made would keep this one from opening the folder.
        if let Err(error) = leftovers::mend(&self.plan.dir) {
            return End::Refused(error);
        }
        let mut child = match self.spawn() {
            Ok(child) => child,
            Err(error) => return End::Refused(EngineError::Start(error)),
        };
        let said = child.stderr.take().map(hear);

        let (started, mut listened, mut probe) = (Instant::now(), None, Probe::new(self.address));
        let status = loop {
            if self.stops_within(if listened.is_some() { RUNNING } else { STARTING }) {
                stop(&mut child);
                return End::Stopped;
            }
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => {}
                Err(error) => return End::Refused(EngineError::Start(error)),
            }
            if listened.is_none() && probe.listens() {
                listened = Some(Instant::now());
                if let Some(first) = self.first.take() {
                    let _ = first.send(Ok(()));
                }
            }
            let hangs = match listened {
                Some(_) => probe.unanswered() > ANSWERS_WITHIN,
                None => started.elapsed() > LISTENS_WITHIN,
            };
            if hangs {
                tracing::warn!("the embedded engine answers nothing; it is killed and started again");
                let _ = child.kill();
            }
            if listened.is_some_and(|since| since.elapsed() > WELL)
                && let Some(failures) = self.away.is_over()
            {
                tracing::info!(failures, "the embedded engine runs again");
            }
        };

        let last_error = said.and_then(|said| said.join().ok()).flatten();
        match listened {
            None if status.signal().is_none() => End::Refused(self.refused(&mut child, last_error)),
            _ => End::Died { status, listened },
        }
    }

    /// In a process group of its own, so that Ctrl-C in a terminal is the collector's alone; without our environment, which may hold
    /// passwords.
    fn spawn(&self) -> io::Result<Child> {
        let plan = serde_json::to_string(&self.plan)?;
        let mut command = Command::new(&self.program);
        command.arg0("footfall").arg("engine").env_clear().process_group(0);
        if let Some(path) = std::env::var_os("LD_LIBRARY_PATH") {
            command.env("LD_LIBRARY_PATH", path);
        }

        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let told = child.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(format!("{plan}\n").as_bytes()));
        if told.is_err() {
            // It is dead already; how it ended says more.
            tracing::debug!("the embedded engine did not read its plan");
        }
        Ok(child)
    }

    fn refused(&self, child: &mut Child, last_error: Option<String>) -> EngineError {
        let (path, library) = (self.plan.dir.clone(), self.plan.library.clone());
        let mut told = String::new();
        if let Some(mut stdout) = child.stdout.take() {
            let _ = stdout.read_to_string(&mut told);
        }
        match told.lines().find_map(|line| serde_json::from_str(line).ok()) {
            Some(Failure::Load { reason }) => EngineError::Load { path: library, reason },
            Some(Failure::Lacks { symbol }) => EngineError::TooOld { path: library, symbol },
            None if locked(&path) => EngineError::InUse(path),
            None => {
                let reason = last_error.unwrap_or_else(|| "it ended without a reason".to_owned());
                EngineError::Refused { path, reason }
            }
        }
    }
}

/// Closes its input and waits; kills it where that is not enough.
fn stop(child: &mut Child) {
    drop(child.stdin.take());
    let deadline = Instant::now() + STOPS_WITHIN;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        std::thread::sleep(STARTING);
    }
}

/// Reads what the engine writes to its standard error, and answers the last error in it. Its texts quote data, so that they are not kept: an
/// error is told by its number and name.
fn hear(stderr: ChildStderr) -> JoinHandle<Option<String>> {
    std::thread::spawn(move || {
        let (mut last, mut lines) = (None, 0_u64);
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            lines += 1;
            let line = String::from_utf8_lossy(&line);
            if let Some(code) = code(&line) {
                let error = format!("code {code} {}", name(&line)).trim_end().to_owned();
                tracing::debug!(error, "the embedded engine wrote to its standard error");
                last = Some(error);
            }
        }
        tracing::debug!(lines, "the embedded engine's standard error ended");
        last
    })
}

/// Asks the port for a sign of life without waiting for it.
struct Probe {
    address: SocketAddr,
    asked: Option<TcpStream>,
    answered: Instant,
}

impl Probe {
    fn new(address: SocketAddr) -> Probe {
        Probe { address, asked: None, answered: Instant::now() }
    }

    fn listens(&mut self) -> bool {
        let listens = self.connect().is_ok();
        self.answered = Instant::now();
        listens
    }

    fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect_timeout(&self.address, Duration::from_millis(100))
    }

    /// How long ago it was when it last answered.
    fn unanswered(&mut self) -> Duration {
        let since = self.answered.elapsed();
        match &mut self.asked {
            None if since > ASKED_EVERY => self.asked = self.ask().ok(),
            None => {}
            Some(stream) => match stream.read(&mut [0; 64]) {
                Ok(1..) => (self.asked, self.answered) = (None, Instant::now()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // It closed the connection instead: asked again.
                _ => self.asked = None,
            },
        }
        since
    }

    fn ask(&self) -> io::Result<TcpStream> {
        let mut stream = self.connect()?;
        stream.write_all(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }
}
