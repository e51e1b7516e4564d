//! A ClickHouse server for tests, which can be killed and can hang.

use std::path::{Path, PathBuf};
use std::process::Child;

use super::{Body, Client, Port, open_server};

pub struct Engine {
    child: Option<Child>,
    /// Held, so that the engine restarts at the address where collectors look for it.
    port: Port,
    data: PathBuf,
}

impl Engine {
    pub fn start(data: &Path) -> Engine {
        let mut engine = Engine {
            child: None,
            port: Port::hold(),
            data: data.to_owned(),
        };
        engine.restart();
        engine
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.port.address()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// The answer to a statement on the collector's database.
    pub fn sql(&self, statement: &str) -> String {
        self.sql_in("footfall", statement)
    }

    /// The answer to a statement on another database.
    pub fn sql_in(&self, database: &str, statement: &str) -> String {
        let host = self.port.address().to_string();
        let mut client =
            Client::connect(self.port.address()).expect("the engine takes connections");
        let target = format!("/?database={database}");
        let answer = client.ask(
            "POST",
            &target,
            &[("Host", &host)],
            Body::Sized(statement.as_bytes()),
        );
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
        rustix::process::kill_process(rustix::process::Pid::from_child(child), signal)
            .expect("a child to signal");
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a child to kill");
            child.wait().expect("a child to wait for");
        }
    }

    pub fn restart(&mut self) {
        self.child = Some(open_server::start(&self.data, self.port.address(), &[]));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}
