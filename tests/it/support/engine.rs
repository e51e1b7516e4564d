//! The embedded engine in a process of its own, as a ClickHouse server that a test can kill or make
//! refuse.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Body, Client, Port};

pub struct Engine {
    child: Option<Child>,
    /// Held, so that the engine restarts at the address where collectors look for it.
    port: Port,
    data: PathBuf,
}

impl Engine {
    pub fn start(data: &Path) -> Engine {
        let mut engine = Engine { child: None, port: Port::hold(), data: data.to_owned() };
        engine.restart();
        engine
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// The answer to a statement on the collector's database.
    pub fn sql(&self, statement: &str) -> String {
        let host = self.port.address().to_string();
        let mut client = Client::connect(self.port.address()).expect("the engine takes connections");
        let target = "/?database=footfall";
        let answer = client.ask("POST", target, &[("Host", &host)], Body::Sized(statement.as_bytes()));
        let answer = answer.expect("a statement is answered");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    }

    /// Stops it: the kernel still accepts connections, and nothing answers.
    pub fn hang(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    pub fn wake(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let child = self.child.as_ref().expect("a child to signal");
        rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).expect("a child to signal");
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a child to kill");
            child.wait().expect("a child to wait for");
        }
    }

    pub fn restart(&mut self) {
        let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules/@chdb/lib-linux-x64-gnu/libchdb.so");
        let mut child = Command::new(env!("CARGO_BIN_EXE_footfall"))
            .args(["engine", "--listen", &self.port.address().to_string(), "--data"])
            .arg(&self.data)
            .arg("--library")
            .arg(library)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the engine starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a piped output");
        BufReader::new(stdout).read_line(&mut line).expect("the engine says its address");
        assert_eq!(
            line.trim(),
            self.port.address().to_string(),
            "the engine did not start: is libchdb installed? (make test does)"
        );
        self.child = Some(child);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}
