//! The real program, started the way an operator starts it: a configuration file, a directory on disk, a port.

mod client;

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use client::{Body, Client};

/// The version a grant must be of. Not 1, so that there is an older one.
pub const CONSENT_VERSION: u32 = 2;

const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// What every test's server is told. The only place that knows the names of the keys.
fn config(listen: SocketAddr, dir: &Path) -> String {
    let data = dir.join("data");
    format!(
        r#"
[server]
listen = "{listen}"

[proxy]
trusted = ["127.0.0.0/8"]

[store]
path = "{data}"

[visitor]
mode = "keyed_hash"

[signals]
gpc = "deny"
dnt = "deny"

[consent]
basis = "opt_in"
cookie = "ff_consent"
version = {CONSENT_VERSION}

[limits]
hits_per_minute_per_network = 100_000_000
hits_per_minute_per_site = 100_000_000

[test]
clock = true
"#,
        data = data.display(),
    )
}

/// A running collector; killed and its directory removed when it goes out of scope.
pub struct Server {
    child: Child,
    address: SocketAddr,
    dir: TempDir,
}

impl Server {
    /// `more` is appended to the configuration: the profiles and sites of a test.
    pub fn start(more: &str) -> Server {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory for the test");
        let address = free_port();
        let config_file = dir.path().join("footfall.toml");
        fs::write(&config_file, config(address, dir.path()) + more).expect("the configuration is written");
        let log = File::create(dir.path().join("log")).expect("a file for the log");
        let child = Command::new(env!("CARGO_BIN_EXE_footfall"))
            .args(["serve", "--config"])
            .arg(&config_file)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log twice"))
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let mut server = Server { child, address, dir };
        server.wait_until_healthy();
        server
    }

    fn wait_until_healthy(&mut self) {
        let deadline = Instant::now() + STARTS_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child to ask") {
                panic!("the server ended with {status}:\n{}", self.log());
            }
            if Client::connect(self.address)
                .and_then(|mut client| client.get("/healthz"))
                .is_ok_and(|a| a.status == 200)
            {
                return;
            }
            assert!(Instant::now() < deadline, "no /healthz within {STARTS_WITHIN:?}:\n{}", self.log());
            sleep(Duration::from_millis(50));
        }
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address).expect("the server takes connections")
    }

    /// Everything the server has written to its standard streams so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing to do about a child that has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Free a moment ago, which is as much as can be known.
fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound listener has an address")
}
