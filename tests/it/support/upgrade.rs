//! `footfall upgrade`: processes that take over from a test's server.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{COMES_WITHIN, Server, run_command, stat};

/// A process that takes over from the server, or tries to. It is killed when it goes out of scope.
pub struct Upgrade {
    child: Child,
}

impl Upgrade {
    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says that it serves; `false` if it ended before.
    pub fn serves(&mut self) -> bool {
        let output = self.child.stdout.take().expect("its output was not read");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        lines.any(|line| line.contains("has taken over"))
    }

    /// Waits until the process stops itself at the step that its settings name.
    pub fn stops(&self) {
        wait_for_state(self.pid(), "T");
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        let ended = self.child.try_wait().expect("a child to wait for");
        ended.is_some()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("a child to signal");
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child to kill");
        self.child.wait().expect("a child to wait for");
    }

    /// The exit code, once it has ended; `None` after a signal.
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.child.wait().expect("a child to wait for");
        assert_ne!(status.signal(), Some(6), "it aborted");
        status.code()
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a process has this state: `T` stopped, `Z` ended.
pub fn wait_for_state(pid: u32, state: &str) {
    let deadline = Instant::now() + COMES_WITHIN;
    while stat(pid).is_none_or(|stat| stat[0] != state) {
        assert!(Instant::now() < deadline, "process {pid} is not {state}");
        sleep(Duration::from_millis(5));
    }
}

impl Server {
    /// Starts a process that takes over, with further settings.
    pub fn begin_upgrade(&self, more: &[&str]) -> Upgrade {
        let settings: Vec<String> = self
            .settings
            .iter()
            .cloned()
            .chain(more.iter().map(|pair| (*pair).to_owned()))
            .collect();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_footfall"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        run_command(&mut command, "upgrade", self.dir(), &settings);
        let child = command.stdout(Stdio::piped()).spawn();
        Upgrade {
            child: child.expect("the program starts"),
        }
    }

    /// Continues with the process that takes over; returns the exit code of the one before, once it
    /// has ended.
    pub fn adopt(&mut self, mut upgrade: Upgrade) -> Option<i32> {
        assert!(upgrade.serves(), "it did not take over:\n{}", self.log());
        self.replace(upgrade)
    }

    /// The same with a process that serves.
    pub fn replace(&mut self, mut upgrade: Upgrade) -> Option<i32> {
        std::mem::swap(&mut self.child, &mut upgrade.child);
        upgrade.ended()
    }

    /// `kill -9`, while another process takes over: the port stays open.
    pub fn kill_without_closing(&mut self) {
        self.child.kill().expect("a child to kill");
    }

    /// Another process takes over from the server.
    pub fn upgrade(&mut self) {
        let upgrade = self.begin_upgrade(&[]);
        assert_eq!(self.adopt(upgrade), Some(0), "{}", self.log());
    }
}
