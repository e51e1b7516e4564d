//! Asks as a dashboard does, again and again, and says what the slowest twentieth took.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::port::Port;
use crate::{LAST_DAY, Outcome, Shard, open_server};

const WARM_UP: usize = 5;
const ROUNDS: usize = 40;
const SITES: [&str; 3] = ["large", "median", "small"];

/// A site's panels: what a dashboard asks when it opens, and what a click on a row asks.
const PANELS: [(&str, &str); 9] = [
    ("report, 28 days", "report?range=28d&compare=previous"),
    ("report, 90 days", "report?range=90d&compare=previous"),
    ("report, today", "report?range=today&compare=previous"),
    ("one page", "report?range=28d&filter=page:/u/p/page-0"),
    ("one link", "report?range=28d&filter=link:link-0"),
    ("one source", "report?range=28d&filter=source:source-0"),
    ("one country", "report?range=28d&filter=country:country-0"),
    ("speed", "vitals?range=28d"),
    ("faults", "faults?range=28d"),
];

const PLATFORM: [&str; 6] = [
    "/api/v1/platform/report?range=28d&compare=previous",
    "/api/v1/platform/sites?range=28d",
    "/api/v1/platform/pages?range=28d",
    "/api/v1/platform/health",
    "/api/v1/platform/consent",
    "/api/v1/drops?range=28d",
];

pub fn measure(dir: &Path, shards: Option<u32>) -> Outcome<()> {
    let collector = Collector::start(dir, shards)?;
    let (mut panels, mut dashboards) = (0.0_f64, 0.0_f64);
    for site in SITES {
        // Of this site: the collector closes a connection that idles while others are measured.
        let mut connection = collector.connect()?;
        for (name, question) in PANELS {
            let path = format!("/api/v1/sites/{site}/{question}");
            let millis = rounds(|| connection.ask(&path))?;
            println!(
                "{site:<8} {name:<18} p50 {:6.1} ms   p95 {:6.1} ms",
                millis.0, millis.1
            );
            panels = panels.max(millis.1);
        }
        let opened = [
            "report?range=28d&compare=previous",
            "vitals?range=28d",
            "faults?range=28d",
            "live",
        ]
        .map(|question| format!("/api/v1/sites/{site}/{question}"));
        let opened: Vec<String> = opened
            .into_iter()
            .chain(["/api/v1/drops?range=28d".to_owned()])
            .collect();
        let millis = together(&collector, &opened)?;
        println!(
            "{site:<8} whole dashboard    p50 {:6.1} ms   p95 {:6.1} ms",
            millis.0, millis.1
        );
        dashboards = dashboards.max(millis.1);
    }
    let millis = together(&collector, &PLATFORM.map(str::to_owned))?;
    println!(
        "platform view               p50 {:6.1} ms   p95 {:6.1} ms",
        millis.0, millis.1
    );
    // The first one idled for longer than the collector waits.
    let mut connection = collector.connect()?;
    for path in PLATFORM {
        let of_one = rounds(|| connection.ask(path))?;
        println!("  {path:<52} p95 {:6.1} ms", of_one.1);
    }
    println!("panel_p95_ms={panels:.1}");
    println!("dashboard_p95_ms={dashboards:.1}");
    println!("platform_p95_ms={:.1}", millis.1);
    Ok(())
}

/// Half and nineteen twentieths of the rounds took at most so many milliseconds.
fn rounds(mut round: impl FnMut() -> Outcome<()>) -> Outcome<(f64, f64)> {
    for _ in 0..WARM_UP {
        round()?;
    }
    let mut millis = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        round()?;
        millis.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    millis.sort_by(f64::total_cmp);
    Ok((millis[ROUNDS / 2], millis[ROUNDS * 95 / 100]))
}

/// All at once, each on a connection of its own, as a browser does.
fn together(collector: &Collector, paths: &[String]) -> Outcome<(f64, f64)> {
    let mut connections = paths
        .iter()
        .map(|_| collector.connect())
        .collect::<Outcome<Vec<_>>>()?;
    rounds(|| {
        std::thread::scope(|scope| {
            let asked: Vec<_> = connections
                .iter_mut()
                .zip(paths)
                .map(|(connection, path)| scope.spawn(|| connection.ask(path)))
                .collect();
            asked
                .into_iter()
                .try_for_each(|asked| asked.join().map_err(|_| "a thread failed")?)
        })
    })
}

struct Collector {
    child: Child,
    address: SocketAddr,
    engines: Vec<Child>,
    /// Those of the engines.
    _ports: Vec<Port>,
}

impl Collector {
    fn start(dir: &Path, shards: Option<u32>) -> Outcome<Collector> {
        let noon = format!("{LAST_DAY}T12:00:00Z")
            .parse::<jiff::Timestamp>()?
            .as_millisecond();
        let count = shards.unwrap_or(0);
        let ports: Vec<Port> = (0..count).map(|_| Port::hold()).collect();
        let engines = Shard::all(count).zip(&ports);
        let engines = engines
            .map(|(shard, port)| open_server::start(&shard.data_dir(dir), port.address(), &[]));
        let engines: Vec<Child> = engines.collect();
        let url = |port: &Port| format!("http://{}", port.address());
        let store = match &*ports {
            [] => format!("dir = \"{}/store\"", dir.display()),
            [only] => format!("url = \"{}\"", url(only)),
            several => {
                let urls: Vec<Vec<String>> = several.iter().map(|port| vec![url(port)]).collect();
                format!("shards = {urls:?}")
            }
        };
        let config = format!(
            "[[profiles]]\nhost = \"pages.example\"\npath = \"/u/{{profile}}\"\nzone = \"UTC\"\n\
             [server]\nlisten = \"127.0.0.1:0\"\n[journal]\ndir = \"{dir}/journal\"\n[ledger]\ndir = \"{dir}/ledger\"\n\
             [store]\n{store}\n[test]\nclock = true\nstart_millis = {noon}\n",
            dir = dir.display()
        );
        std::fs::write(dir.join("config.toml"), config)?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_footfall"))
            .args(["serve", "--config"])
            .arg(dir.join("config.toml"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(Stdio::piped())
            .spawn()?;
        let log = child.stderr.take().ok_or("no log")?;
        let address = said_address(BufReader::new(log))?;
        let collector = Collector {
            child,
            address,
            engines,
            _ports: ports,
        };
        for _ in 0..600 {
            std::thread::sleep(Duration::from_millis(100));
            if collector
                .connect()
                .and_then(|mut connection| connection.ask("/api/v1/sites/small/report"))
                .is_ok()
            {
                return Ok(collector);
            }
        }
        Err("the collector did not start within a minute".into())
    }

    fn connect(&self) -> Outcome<Connection> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            reader: BufReader::new(stream.try_clone()?),
            stream,
            address: self.address,
        })
    }
}

/// Where the collector says it listens. The rest of its log is read and dropped, so that it never
/// waits for a reader.
fn said_address(mut log: impl BufRead + Send + 'static) -> Outcome<SocketAddr> {
    let mut line = String::new();
    while log.read_line(&mut line)? > 0 {
        if let Some((_, address)) = line.split_once(" listening address=") {
            let address = address.trim().parse()?;
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return Ok(address);
        }
        line.clear();
    }
    Err("the collector ended before it listened".into())
}

impl Drop for Collector {
    fn drop(&mut self) {
        for process in std::iter::once(&mut self.child).chain(&mut self.engines) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

struct Connection {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    address: SocketAddr,
}

impl Connection {
    /// An answer other than 200 is an error.
    fn ask(&mut self, path: &str) -> Outcome<()> {
        write!(
            self.stream,
            "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.address
        )?;
        let (mut status, mut length) = (String::new(), 0);
        self.reader.read_line(&mut status)?;
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        if status.contains(" 200 ") {
            Ok(())
        } else {
            Err(format!("{path}: {status}{}", String::from_utf8_lossy(&body)).into())
        }
    }
}
