//! Starts the real program as an operator does: with a configuration file, a folder on disk and a
//! port.

mod client;
mod disk;
mod engine;
mod hits;
mod open_server;
mod port;
pub mod program;
mod upgrade;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use client::Door;
pub use client::{Answer, Body, Client};
pub use disk::Disk;
pub use engine::Engine;
pub use hits::{
    ABSENT, AGENT, CONSENT_KEYS, DAY, NOON, SITES, ask, grant, grant_of, hit, send, signed, view,
    view_pages,
};
pub use port::Port;
pub use upgrade::{Upgrade, wait_for_state};

/// The version of a valid grant. Not 1, so that there is an older one.
pub const CONSENT_VERSION: u32 = 2;

const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// A machine that runs many tests may be slow.
const COMES_WITHIN: Duration = Duration::from_secs(60);

/// Waits for background work of the collector; `what` describes it.
pub fn until(mut holds: impl FnMut() -> bool, what: &str) {
    let deadline = Instant::now() + COMES_WITHIN;
    while !holds() {
        assert!(
            Instant::now() < deadline,
            "not within {COMES_WITHIN:?}: {what}"
        );
        sleep(Duration::from_millis(50));
    }
}

/// Two engines, with the folders `one` and `two` in a new one.
pub fn start_two_engines() -> ([Engine; 2], tempfile::TempDir) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for engines");
    let engines = ["one", "two"].map(|name| Engine::start(&dir.path().join(name)));
    (engines, dir)
}

/// Fields of `/proc/<pid>/stat` after the name: state, parent, process group and so on.
pub fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// The settings of every test's server; a test's own `--set` pairs win over them.
fn config(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        r#"
[server]
listen = "127.0.0.1:0"
workers = 2
drain_secs = 0

[proxy]
trusted = ["127.0.0.0/8"]

[journal]
dir = "{dir}/data/journal"
segment_secs = 1

[ledger]
dir = "{dir}/data/ledger"

[store]
dir = "{dir}/data/store"

[backup]
dir = "{dir}/backups"

[mail]
key_file = "{dir}/data/mail.keys"

[consent]
version = {CONSENT_VERSION}
key_file = "{dir}/consent.keys"

[limits]
response_timeout_millis = 15_000
visitors_per_grant = 1_000_000
network_hits_per_sec = 100_000_000
network_burst = 100_000_000
site_hits_per_sec = 100_000_000
site_burst = 100_000_000

[health]
retention_overdue_secs = 2_678_400

[test]
clock = true
whole_lots = true
"#
    )
}

/// A collector in a directory of its own. It can be killed and started again; both are removed when
/// it goes out of scope. Each start gets a port from the kernel and logs it.
pub struct Server {
    child: Child,
    door: Door,
    /// The length of the log before this start.
    logged: usize,
    dir: TempDir,
    settings: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Server {
    /// `more` is appended to the configuration: the profiles and sites of a test.
    pub fn start(more: &str) -> Server {
        Server::start_with(more, &[])
    }

    /// `settings` are `section.key=value` pairs.
    pub fn start_with(more: &str, settings: &[&str]) -> Server {
        Server::start_in(more, settings, &[])
    }

    /// With these variables in its environment.
    pub fn start_in(more: &str, settings: &[&str], environment: &[(&str, &str)]) -> Server {
        let (dir, settings) = (folder(more), owned(settings));
        let environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        let child = spawn(dir.path(), &settings, &environment);
        let mut server = Server::begun(child, dir, settings);
        server.environment = environment;
        server.healthy()
    }

    /// With a shell command before it.
    pub fn start_in_shell(more: &str, settings: &[&str], before: &str) -> Server {
        let (dir, settings) = (folder(more), owned(settings));
        let mut command = Command::new("sh");
        command.args([
            "-c",
            &format!("{before} && exec \"$@\""),
            "sh",
            env!("CARGO_BIN_EXE_footfall"),
        ]);
        let child = run(command, dir.path(), &settings);
        Server::begun(child, dir, settings).healthy()
    }

    /// With the data on a file system of `bytes` that only the collector sees; the test reaches it
    /// through [`Server::data`].
    pub fn start_on_small_disk(more: &str, settings: &[&str], bytes: usize) -> Server {
        let (dir, settings) = (folder(more), owned(settings));
        let data = dir.path().join("data");
        fs::create_dir(&data).expect("a place to mount");
        let script = format!(
            "mount -t tmpfs -o size={bytes} tmpfs '{}' && exec \"$@\"",
            data.display()
        );
        let child = run(with_mounts(&script), dir.path(), &settings);
        Server::begun(child, dir, settings).healthy()
    }

    /// With the data on a disk whose power can be cut.
    pub fn start_on_disk(more: &str, settings: &[&str]) -> (Server, Disk) {
        let (dir, settings) = (folder(more), owned(settings));
        let disk = Disk::mount(&dir.path().join("data"));
        let child = spawn(dir.path(), &settings, &[]);
        (Server::begun(child, dir, settings).healthy(), disk)
    }

    /// Starts twice on a file system of its own. The first time it has `bytes`, and ends by itself
    /// or after twenty seconds; the second time it has `then`.
    pub fn start_again_with_room(more: &str, bytes: usize, then: usize) -> Server {
        let dir = folder(more);
        let (data, again) = (dir.path().join("data"), dir.path().join("again"));
        fs::create_dir(&data).expect("a place to mount");
        let script = format!(
            "mount -t tmpfs -o size={bytes} tmpfs '{0}' && {{ timeout 20 \"$@\"; mount -o remount,size={then} '{0}' && touch '{1}' && exec \"$@\"; }}",
            data.display(),
            again.display()
        );
        let child = run(with_mounts(&script), dir.path(), &[]);
        let mut server = Server::begun(child, dir, Vec::new());
        until(|| again.exists(), "the first start is over");
        server.logged = server.log().len();
        server.healthy()
    }

    fn begun(child: Child, dir: TempDir, settings: Vec<String>) -> Server {
        Server {
            child,
            door: Door::closed(),
            logged: 0,
            dir,
            settings,
            environment: Vec::new(),
        }
    }

    fn healthy(mut self) -> Server {
        self.wait_until_healthy();
        self
    }

    /// The data directory as the collector sees it.
    pub fn data(&self) -> std::path::PathBuf {
        let inside = self.dir.path().join("data");
        Path::new("/proc")
            .join(self.pid().to_string())
            .join("root")
            .join(inside.strip_prefix("/").unwrap_or(&inside))
    }

    /// `kill -9`: nothing is flushed.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child to kill");
        self.child.wait().expect("a child to wait for");
        self.door.close();
    }

    /// Removes the key that a killed collector leaves in memory for the next one, outside the
    /// directory.
    pub fn forget_key(&self) {
        if let Ok(collector) = fs::read_to_string(self.dir.path().join("data/journal/collector")) {
            let _ = fs::remove_file(format!("/dev/shm/footfall-{}.key", collector.trim()));
        }
    }

    /// The same directory and settings again, at another port.
    pub fn restart(&mut self) {
        self.spawn_again();
        self.wait_until_healthy();
    }

    /// More settings for the next start.
    pub fn set(&mut self, settings: &[&str]) {
        self.settings.extend(owned(settings));
    }

    pub fn spawn_again(&mut self) {
        self.door.close();
        self.logged = self.log().len();
        self.child = spawn(self.dir.path(), &self.settings, &self.environment);
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("a child to signal");
    }

    /// Sends SIGTERM; returns the exit code once the program has ended.
    pub fn stop(&mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        let status = self.child.wait().expect("a child to wait for");
        self.door.close();
        status.code()
    }

    /// The exit code, if it ends in time without a signal.
    pub fn ended_within(&mut self, patience: Duration) -> Option<Option<i32>> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("a child to ask") {
                self.door.close();
                return Some(status.code());
            }
            sleep(Duration::from_millis(20));
        }
        None
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in bytes, with the embedded engine's process.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// Resident memory in bytes without pages of files, with the embedded engine's process.
    pub fn anonymous_memory(&self) -> u64 {
        self.memory("RssAnon:")
    }

    /// A value of the processes' status in bytes.
    fn memory(&self, field: &str) -> u64 {
        let kib = |pid: u32| -> Option<u64> {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let kib = status
                .lines()
                .find_map(|line| line.strip_prefix(field)?.trim().strip_suffix(" kB"))?;
            kib.trim().parse().ok()
        };
        let own = kib(self.pid()).expect("a child to ask about");
        (own + self.children().into_iter().filter_map(kib).sum::<u64>()) * 1024
    }

    /// The processes it started that have not ended: the embedded engine's.
    pub fn children(&self) -> Vec<u32> {
        let parent = self.pid().to_string();
        let pids = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|e| e.file_name().to_str()?.parse().ok());
        pids.filter(|pid| stat(*pid).is_some_and(|stat| stat[0] != "Z" && stat[1] == parent))
            .collect()
    }

    /// Of this start.
    pub fn address(&self) -> SocketAddr {
        self.door.address().expect("the server is up")
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn wait_until_healthy(&mut self) {
        let deadline = Instant::now() + STARTS_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child to ask") {
                panic!("the server ended with {status}:\n{}", self.log());
            }
            if let Some(address) = self.log().get(self.logged..).and_then(said_address) {
                self.door.open(address);
            }
            let answer =
                Client::at(self.door.clone()).and_then(|mut client| client.get("/healthz"));
            if answer.is_ok_and(|answer| answer.status == 200) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "no /healthz within {STARTS_WITHIN:?}:\n{}",
                self.log()
            );
            sleep(Duration::from_millis(20));
        }
    }

    pub fn client(&self) -> Client {
        Client::at(self.door.clone()).expect("the server takes connections")
    }

    /// Everything the server has written to its standard streams, over all its starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Waits for the end of a server that says that it is stopping: it logs why when it ends.
    fn wait_for_last_words(&self) {
        let (pid, deadline) = (self.child.id(), Instant::now() + COMES_WITHIN);
        while stat(pid).is_some_and(|stat| stat[0] != "Z") && Instant::now() < deadline {
            sleep(Duration::from_millis(50));
        }
    }

    /// A figure of `/metrics`; the whole name with its labels.
    pub fn metric(&self, name: &str) -> u64 {
        let page = self
            .client()
            .get("/metrics")
            .expect("the metrics are answered")
            .text();
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{page}"))
            .parse::<f64>()
            .expect("a number") as u64
    }

    /// Waits until all counts can be read.
    pub fn flush(&self) {
        let host = self.address().to_string();
        let answer = self
            .client()
            .ask("POST", "/test/flush", &[("Host", &host)], Body::None)
            .expect("a flush is answered");
        if answer.status == 503 {
            self.wait_for_last_words();
        }
        assert_eq!(answer.status, 200, "{}\n{}", answer.text(), self.log());
    }

    /// Publishes everything that is due at this moment.
    pub fn publish(&self, at: i64) {
        let (host, now) = (self.address().to_string(), at.to_string());
        let headers = [("Host", host.as_str()), ("X-Footfall-Now", now.as_str())];
        for hook in ["/test/flush", "/test/publish"] {
            let answer = self
                .client()
                .ask("POST", hook, &headers, Body::None)
                .expect("a hook is answered");
            assert_eq!(
                answer.status,
                200,
                "{hook}: {}\n{}",
                answer.text(),
                self.log()
            );
        }
    }

    pub fn report(&self, site: &str, query: &str) -> serde_json::Value {
        let answer = self
            .client()
            .get(&format!("/api/v1/sites/{site}/report?{query}"))
            .expect("a report is answered");
        assert_eq!(answer.status, 200, "{}\n{}", answer.text(), self.log());
        serde_json::from_slice(&answer.body).expect("a report is JSON")
    }
}

/// A directory with the configuration, which ends with `more`, and the keys that sign grants.
fn folder(more: &str) -> TempDir {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory for the test");
    fs::write(dir.path().join("footfall.toml"), config(dir.path()) + more)
        .expect("the configuration is written");
    fs::write(dir.path().join("consent.keys"), CONSENT_KEYS).expect("the keys are written");
    dir
}

fn owned(settings: &[&str]) -> Vec<String> {
    settings.iter().map(|pair| (*pair).to_owned()).collect()
}

/// The program, started by a shell that can mount. A mount namespace needs no root if the kernel
/// lets users create namespaces.
fn with_mounts(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        env!("CARGO_BIN_EXE_footfall"),
    ]);
    command
}

fn spawn(dir: &Path, settings: &[String], environment: &[(String, String)]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_footfall"));
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    run(command, dir, settings)
}

fn run(mut command: Command, dir: &Path, settings: &[String]) -> Child {
    run_command(&mut command, "serve", dir, settings);
    command.spawn().expect("the program starts")
}

/// Completes the command line, and sends what the program says to the log.
fn run_command(command: &mut Command, name: &str, dir: &Path, settings: &[String]) {
    let log = File::options()
        .create(true)
        .append(true)
        .open(dir.join("log"))
        .expect("a file for the log");
    command
        .args([name, "--config"])
        .arg(dir.join("footfall.toml"));
    for pair in settings {
        command.args(["--set", pair]);
    }
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the log twice"))
        .stderr(log);
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the server's log:\n{}", self.log());
        }
        // A child that has already ended needs nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.forget_key();
    }
}

/// The address a collector listens on, from its log.
fn said_address(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once(" listening address=")?;
    // An incomplete line may hold half of a port.
    let (line, _) = rest.split_once('\n')?;
    line.trim().parse().ok()
}

#[test]
fn a_client_of_a_server_that_is_down_reaches_nobody_and_finds_it_again() {
    let mut server = Server::start(SITES);
    let mut client = server.client();
    let first = server.address();
    assert_eq!(client.get("/healthz").unwrap().status, 200);
    assert_ne!(first.port(), 0);

    server.kill();
    // No request is sent to a process that gets the port now.
    let other = std::net::TcpListener::bind(first).unwrap();
    other.set_nonblocking(true).unwrap();
    assert!(client.get("/healthz").is_err());
    let refused = Client::at(server.door.clone())
        .err()
        .map(|error| error.kind());
    assert_eq!(refused, Some(std::io::ErrorKind::NotConnected));

    server.restart();
    assert_ne!(server.address(), first);
    client.reconnect().unwrap();
    assert_eq!(client.get("/healthz").unwrap().status, 200);
    assert!(other.accept().is_err(), "nobody came");
}
