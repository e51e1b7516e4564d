//! `footfall demo`: the reports count exactly what the demo says it sent.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Client, Port};

const CREATORS: [&str; 5] = ["demo", "noravale", "slowsignal", "kumo", "ivo"];
const PATIENCE: Duration = Duration::from_secs(180);

fn command(dir: &Path, listen: SocketAddr, days: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_footfall"));
    command.arg("demo").arg("--dir").arg(dir).args([
        "--listen",
        &listen.to_string(),
        "--days",
        days,
        "--seed",
        "7",
    ]);
    command
        .args(["--now", "2026-03-11T20:30:00Z"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null());
    command
}

struct Demo {
    child: Child,
    port: Port,
    log: PathBuf,
    said: String,
}

impl Demo {
    fn start(dir: &Path, days: &str) -> Demo {
        let (port, log) = (Port::hold(), dir.join("log"));
        let out = File::create(&log).unwrap();
        let mut command = command(&dir.join("demo"), port.address(), days);
        let child = command
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Demo {
            child,
            port,
            log,
            said: String::new(),
        }
    }

    /// Three days that end on a Wednesday evening. Returns once the demo has reported them.
    fn tell(dir: &Path) -> Demo {
        let mut demo = Demo::start(dir, "3");
        demo.wait(|demo| demo.said.contains("Stop with Ctrl-C"));
        demo
    }

    fn wait(&mut self, until: impl Fn(&Demo) -> bool) {
        let begun = Instant::now();
        while !until(self) {
            std::thread::sleep(Duration::from_millis(50));
            self.said = fs::read_to_string(&self.log).unwrap();
            let running = self.child.try_wait().unwrap().is_none();
            assert!(running && begun.elapsed() < PATIENCE, "{}", self.said);
        }
    }

    fn get(&self, path: &str) -> String {
        let answer = Client::connect(self.port.address())
            .unwrap()
            .get(path)
            .unwrap();
        assert_eq!(answer.status, 200, "{path}");
        answer.text()
    }

    fn read(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path)).unwrap()
    }

    /// The numbers of the line that begins or ends with `mark`, or of one before it.
    fn numbers(&self, mark: &str, before: usize) -> Vec<u64> {
        let lines: Vec<&str> = self.said.lines().collect();
        let place = lines
            .iter()
            .position(|line| line.starts_with(mark) || line.ends_with(mark))
            .unwrap_or_else(|| panic!("{mark}: {}", self.said));
        lines[place - before]
            .split([' ', ','])
            .filter_map(|word| word.parse().ok())
            .collect()
    }

    /// Sends SIGINT, as Ctrl-C does; returns the exit code.
    fn stop(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn three_days_are_told_twice_the_same_and_the_reports_say_what_the_demo_says() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut demo = Demo::tell(dir.path());
    assert!(
        demo.said
            .contains("days         2026-03-09 to 2026-03-11, in "),
        "{}",
        demo.said
    );
    assert_eq!(crate::private::open_to_others(&dir.path().join("demo")), []);

    let (sent, counted, dropped) = (
        demo.numbers("sent  ", 0),
        demo.numbers("counted  ", 0),
        demo.numbers("dropped  ", 0),
    );
    assert_eq!(sent[0], counted[0] + dropped[0]);
    assert!(counted[0] > 10_000 && dropped[0] > 1_000, "{}", demo.said);
    let drops = demo.read("/api/v1/drops?range=7d");
    let rows = drops["rows"].as_array().unwrap();
    assert_eq!(
        rows.iter()
            .map(|row| row["hits"].as_u64().unwrap())
            .sum::<u64>(),
        dropped[0]
    );
    for row in rows {
        let reason = row["reason"].as_str().unwrap();
        assert_eq!(
            demo.numbers(&format!("  {reason} "), 0),
            [row["hits"].as_u64().unwrap()],
            "{reason}"
        );
    }

    let mut live = 0;
    for creator in CREATORS {
        let said = demo.numbers(&format!("/?site={creator}"), 1);
        let report = demo.read(&format!("/api/v1/sites/{creator}/report?range=7d"));
        let totals =
            ["hits", "visits", "visitors"].map(|count| report["totals"][count].as_u64().unwrap());
        assert_eq!(said, totals, "{creator}");
        live += demo.read(&format!("/api/v1/sites/{creator}/live"))["visitors"]
            .as_u64()
            .unwrap();
        demo.get(&format!("/?site={creator}"));
    }
    assert!(live > 0, "somebody is there right now");
    demo.get("/platform");
    demo.get("/u/demo");

    let consent = &demo.read("/api/v1/platform/consent")["versions"][0];
    let acts = ["grants", "refusals", "withdrawals"].map(|act| consent[act].as_u64().unwrap());
    assert_eq!(demo.numbers("consent  ", 0), acts);

    let kumo = demo.read("/api/v1/sites/kumo/report?range=7d");
    let countries = kumo["dimensions"]["country"]["rows"].as_array().unwrap();
    assert_eq!(
        countries[0]["value"], "JP",
        "addresses lie in the countries they stand for"
    );
    let currencies: Vec<&Value> = kumo["money"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["currency"])
        .collect();
    assert_eq!(currencies, ["EUR", "JPY"]);
    assert_eq!(demo.stop(), Some(0));

    let again = Demo::tell(dir.path());
    let told = |demo: &Demo| -> Vec<String> {
        let port = demo.port.address().to_string();
        let lines = demo
            .said
            .lines()
            .filter(|line| !line.starts_with("days ") && !line.ends_with(" told"));
        lines.map(|line| line.replace(&port, "")).collect()
    };
    assert_eq!(told(&again), told(&demo));
}

#[test]
fn stopping_in_the_middle_is_no_failure() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut demo = Demo::start(dir.path(), "90");
    // Before the store is open, a stop would leave segments for the next start and say so.
    const STORED: &str = "footfall_segments_inserted_total ";
    demo.wait(|demo| {
        let metrics =
            Client::connect(demo.port.address()).and_then(|mut client| client.get("/metrics"));
        metrics.is_ok_and(|page| {
            page.text()
                .lines()
                .any(|line| line.starts_with(STORED) && !line.ends_with(" 0"))
        })
    });
    assert_eq!(demo.stop(), Some(0));
    assert_eq!(fs::read_to_string(&demo.log).unwrap(), "");
}

#[test]
fn a_folder_that_holds_something_else_is_refused_and_so_is_an_address_others_can_reach() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(dir.path().join("notes"), "mine").unwrap();
    let refused = |dir: &Path, listen: SocketAddr| {
        let output = command(dir, listen, "3").output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = refused(dir.path(), "127.0.0.1:8080".parse().unwrap());
    assert!(said.contains("is not empty, and no demo made it"), "{said}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let said = refused(&dir.path().join("new"), "0.0.0.0:0".parse().unwrap());
    assert!(
        said.contains("needs server.listen on a loopback address"),
        "{said}"
    );
    let said = refused(&dir.path().join("new"), "127.0.0.1:0".parse().unwrap());
    assert!(said.contains("must be 127.0.0.1 and a port"), "{said}");
    assert!(!dir.path().join("new").exists());
}
