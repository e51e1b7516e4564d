//! Several collectors on one database: each network has one owner, whichever collector its hits
//! reach.

mod balancers;
mod beside;
mod counts;
mod death;
mod trust;
mod upgrades;

use std::path::Path;

use crate::support::{
    Body, Client, DAY, Engine, NOON, Port, SITES, Server, grant_of, hit, until, view,
};

/// The names of the certificates in tests/it/cluster.
const NAMES: [&str; 3] = ["a", "b", "c"];
/// The key of all certificates.
const KEY: &str = "key.pem";

/// A file of tests/it/cluster: certificates that are valid from 2020 to 2120, and keys.
fn fixture(name: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cluster");
    dir.join(name).display().to_string()
}

/// The internal addresses of some collectors, which no other process gets meanwhile.
struct Addresses(Vec<(&'static str, Port)>);

impl Addresses {
    fn hold(names: &[&'static str]) -> Addresses {
        Addresses(names.iter().map(|name| (*name, Port::hold())).collect())
    }

    /// The settings of the collector `name`, with this certificate.
    fn settings(&self, name: &str, certificate: &str) -> Vec<String> {
        let (_, own) = self.0.iter().find(|(one, _)| *one == name).unwrap();
        let all: Vec<String> = self
            .0
            .iter()
            .map(|(name, port)| format!("{name}={}", port.address()))
            .collect();
        vec![
            format!("cluster.name={name}"),
            format!("cluster.listen={}", own.address()),
            format!("cluster.collectors={}", all.join(",")),
            format!("cluster.ca_file={}", fixture("authority.pem")),
            format!("cluster.cert_file={}", fixture(certificate)),
            format!("cluster.key_file={}", fixture(KEY)),
            format!("access.key_file={}", fixture("access.keys")),
        ]
    }
}

/// Collectors on one database that know each other.
struct Cluster {
    servers: Vec<Server>,
    engine: Engine,
    _addresses: Addresses,
    _dir: tempfile::TempDir,
}

impl Cluster {
    /// The first `size` collectors of [`NAMES`]; `more` is appended to their configuration.
    fn start(size: usize, more: &str, settings: &[&str]) -> Cluster {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let engine = Engine::start(dir.path());
        let addresses = Addresses::hold(&NAMES[..size]);
        let store = format!("store.url={}", engine.url());
        let start = |name: &&str| {
            let mut own = addresses.settings(name, &format!("{name}.pem"));
            own.push(store.clone());
            own.push(format!("test.start_millis={NOON}"));
            // A machine that runs many tests may be slow.
            own.push("cluster.dead_after_millis=10000".to_owned());
            own.extend(settings.iter().map(|setting| (*setting).to_owned()));
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            Server::start_with(&format!("{SITES}{more}"), &own)
        };
        let cluster = Cluster {
            servers: NAMES[..size].iter().map(start).collect(),
            engine,
            _addresses: addresses,
            _dir: dir,
        };
        for server in &cluster.servers {
            wait_for_collectors(server, size as u64);
        }
        cluster
    }

    /// Waits until all counts can be read.
    fn flush(&self) {
        self.servers.iter().for_each(Server::flush);
    }

    /// Moves the clock of each collector.
    fn advance(&self, at: i64) {
        self.servers.iter().for_each(|server| advance(server, at));
    }

    /// The hits that were dropped for this reason.
    fn drops(&self, reason: &str) -> u64 {
        let name = format!("footfall_drops_total{{reason=\"{reason}\"}} ");
        let of = |server: &Server| {
            let page = server.client().get("/metrics").unwrap().text();
            let figure = page.lines().find_map(|line| line.strip_prefix(&name));
            figure.map_or(0, |figure| figure.parse::<f64>().unwrap() as u64)
        };
        self.servers.iter().map(of).sum()
    }

    fn sum(&self, metric: &str) -> u64 {
        self.servers
            .iter()
            .map(|server| server.metric(metric))
            .sum()
    }
}

/// Waits until a collector has this number of visitors in memory. The figure follows the answer to
/// a hit.
fn wait_for_visitors(server: &Server, many: u64) {
    until(
        || server.metric("footfall_visitors_in_memory") == many,
        "visitors are in memory",
    );
}

/// Waits until a collector reaches this number of collectors, itself included.
fn wait_for_collectors(server: &Server, many: u64) {
    until(
        || server.metric("footfall_cluster_collectors") == many,
        "the collectors find each other",
    );
}

fn advance(server: &Server, at: i64) {
    let (host, now) = (server.address().to_string(), at.to_string());
    let headers = [("Host", host.as_str()), ("X-Footfall-Now", now.as_str())];
    let answer = server.client().ask("GET", "/healthz", &headers, Body::None);
    assert_eq!(answer.unwrap().status, 200);
}

/// An address of a network of its own.
fn address(person: usize) -> String {
    format!("20.{}.{}.7", person / 250, person % 250)
}

/// A view by a person, and its status.
fn visit(client: &mut Client, person: usize, at: i64) -> u16 {
    let (address, cookie, now) = (
        address(person),
        grant_of(person as u128 + 7),
        at.to_string(),
    );
    let who = [
        ("X-Forwarded-For", address.as_str()),
        ("Cookie", &cookie),
        ("X-Footfall-Now", &now),
    ];
    hit(client, &view("/u/mia"), &who).status
}

/// Visitors and hits in a site's report.
fn totals(server: &Server, site: &str) -> (u64, u64) {
    let totals = server.report(site, DAY)["totals"].clone();
    let figure = |name: &str| totals[name].as_u64().unwrap();
    (figure("visitors"), figure("hits"))
}
