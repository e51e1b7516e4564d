//! A server under load: started pinned, measured from /proc, put to sleep while another has its
//! turn.
//!
//! CPU time is that of all its threads, user and kernel, by the kernel's own account. A sleeping
//! target is stopped with SIGSTOP: an idle engine's background threads would otherwise take their
//! share of the core from the one being measured.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::ask::ask;
use super::interrupt;
use super::port::Port;
use super::threads::ThreadTimes;

/// The targets' core and the generator's.
pub const TARGET_CPU: usize = 0;
pub const OWN_CPU: usize = 1;

const START_PATIENCE: Duration = Duration::from_secs(60);
const STOP_PATIENCE: Duration = Duration::from_secs(20);

pub struct Target {
    pub address: SocketAddr,
    child: Child,
    pid: Pid,
    log: PathBuf,
    _port: Option<Port>,
}

/// What a target listens on.
pub enum Listens {
    /// Port 0; its output says which one that became, as `listening address=127.0.0.1:PORT`.
    Said,
    /// It was told this one.
    On(Port),
}

/// Pins the calling thread; a child inherits it. `false` where the machine has no such core.
pub fn pin(cpu: usize) -> bool {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).is_ok()
}

impl Target {
    /// Starts the command on the targets' core and waits until it answers; its output goes to
    /// `log`.
    pub fn start(mut command: Command, listens: Listens, log: PathBuf) -> Result<Target> {
        let output = File::create(&log).context("creating the target's log")?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        pin(TARGET_CPU);
        let child = command.spawn();
        pin(OWN_CPU);
        let child = child
            .with_context(|| format!("starting {}", command.get_program().to_string_lossy()))?;
        let pid = Pid::from_child(&child);
        interrupt::started(pid);
        let (address, port) = match listens {
            Listens::Said => (SocketAddr::from(([127, 0, 0, 1], 0)), None),
            Listens::On(port) => (port.address(), Some(port)),
        };
        let mut target = Target {
            address,
            child,
            pid,
            log,
            _port: port,
        };
        target.wait_until_up()?;
        Ok(target)
    }

    fn wait_until_up(&mut self) -> Result<()> {
        let until = Instant::now() + START_PATIENCE;
        loop {
            if self.address.port() == 0
                && let Some(address) = self.said_address()
            {
                self.address = address;
            }
            if self.address.port() != 0
                && matches!(ask(self.address, "GET", "/healthz"), Ok((200..300, _)))
            {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("ended at once ({status}): {}", self.last_words());
            }
            if Instant::now() >= until {
                bail!(
                    "did not answer within {START_PATIENCE:?}: {}",
                    self.last_words()
                );
            }
            sleep(Duration::from_millis(50));
        }
    }

    fn said_address(&self) -> Option<SocketAddr> {
        let text = fs::read_to_string(&self.log).ok()?;
        let (_, rest) = text.split_once("listening address=")?;
        let (line, _) = rest.split_once('\n')?;
        line.trim().parse().ok()
    }

    /// The last line of what it printed.
    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines()
            .next_back()
            .unwrap_or("it printed nothing")
            .to_owned()
    }

    pub fn pause(&self) -> Result<()> {
        Ok(kill_process(self.pid, Signal::STOP)?)
    }

    pub fn resume(&self) -> Result<()> {
        Ok(kill_process(self.pid, Signal::CONT)?)
    }

    /// CPU time of all threads so far, those that have ended included, and of the embedded engine's
    /// process.
    pub fn cpu(&self) -> Result<Duration> {
        let mut time = Duration::ZERO;
        for process in self.family() {
            let stat = fs::read_to_string(process.join("stat")).context("the target is gone")?;
            time += cpu_time(&stat).context("/proc/PID/stat without its times")?;
        }
        Ok(time)
    }

    /// CPU time so far by kind of thread.
    pub fn thread_times(&self) -> Result<ThreadTimes> {
        let [own, started @ ..] = &self.family()[..] else {
            bail!("the target is gone");
        };
        let mut times = ThreadTimes::of_process(own);
        for process in started {
            let stat = fs::read_to_string(process.join("stat")).context("the engine is gone")?;
            times.engine += cpu_time(&stat).context("/proc/PID/stat without its times")?;
        }
        Ok(times)
    }

    /// The most memory it ever held at once, in MiB; with the embedded engine's process, the sum of
    /// both.
    pub fn peak_mib(&self) -> Result<f64> {
        self.memory_mib("VmHWM:")
    }

    /// The memory it holds now, in MiB, counted like [`Target::peak_mib`].
    pub fn resident_mib(&self) -> Result<f64> {
        self.memory_mib("VmRSS:")
    }

    /// The sum of a field of `/proc/PID/status`, in MiB.
    fn memory_mib(&self, field: &str) -> Result<f64> {
        let mut kib = 0.0;
        for process in self.family() {
            let status =
                fs::read_to_string(process.join("status")).context("the target is gone")?;
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(field))
                .with_context(|| format!("no {field} in /proc/PID/status"))?;
            kib += line.trim().trim_end_matches(" kB").parse::<f64>()?;
        }
        Ok(kib / 1024.0)
    }

    /// `/proc/PID` of the target and of the processes it started.
    fn family(&self) -> Vec<PathBuf> {
        let own = self.child.id().to_string();
        let all = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        let started = all.filter(|process| {
            let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
            stat.rsplit_once(')')
                .and_then(|(_, fields)| fields.split_whitespace().nth(1))
                == Some(&own)
        });
        std::iter::once(Path::new("/proc").join(&own))
            .chain(started)
            .collect()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        interrupt::ended(self.pid);
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = self.resume();
        let _ = kill_process(self.pid, Signal::TERM);
        let until = Instant::now() + STOP_PATIENCE;
        while Instant::now() < until {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The CPU time that a `stat` file of a process or a thread says.
pub fn cpu_time(stat: &str) -> Option<Duration> {
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    Some(Duration::from_secs_f64(
        cpu_ticks(stat)? as f64 / per_second,
    ))
}

/// utime + stime: the 14th and 15th field, counted after the command, which may hold spaces and
/// brackets itself.
pub fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// nginx with one worker in the foreground, answering `204` to everything.
pub fn nginx(address: SocketAddr, dir: &Path) -> Result<Command> {
    let text = format!(
        "daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr crit;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path body;\n\
         server {{ listen {address}; location / {{ return 204; }} }} }}\n"
    );
    let config = dir.join("nginx.conf");
    File::create(&config)?.write_all(text.as_bytes())?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(dir).arg("-c").arg(config);
    Ok(command)
}

/// Whether a program of this name is on PATH.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
