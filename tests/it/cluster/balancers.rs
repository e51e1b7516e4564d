//! The balancers of docs/operate/CLUSTER.md, run as they stand there: what they send to the owner of
//! its network is not passed on.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Cluster;
use crate::support::{Body, Client, DAY, Port, grant_of, until, view};

const GUIDE: &str = "docs/operate/CLUSTER.md";
const PEOPLE: usize = 60;

/// A balancer in front of a cluster; it ends with the test, together with the processes it started.
struct Balancer {
    process: Child,
    port: Port,
    _dir: tempfile::TempDir,
}

impl Balancer {
    /// Starts `program` with a configuration. `None` where it is not installed, which is said.
    fn start(
        program: &str,
        option: &str,
        configuration: impl Fn(SocketAddr) -> String,
    ) -> Option<Balancer> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let port = Port::hold();
        let file = dir.path().join("balancer.conf");
        fs::write(&file, configuration(port.address())).unwrap();
        let process = Command::new(program)
            .arg(option)
            .arg(&file)
            .current_dir(dir.path())
            .process_group(0)
            .stdout(Stdio::null())
            .spawn();
        let Ok(process) = process else {
            println!("{program} is not installed: skipped");
            return None;
        };
        Some(Balancer {
            process,
            port,
            _dir: dir,
        })
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // A worker of nginx outlives its master, and would keep the test's standard error open.
        let group = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.process.wait();
    }
}

/// The guide's sample for a balancer, with the addresses of this cluster.
fn sample(language: &str, cluster: &Cluster) -> String {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join(GUIDE);
    let guide = fs::read_to_string(guide).unwrap();
    let (_, rest) = guide.split_once(&format!("```{language}\n")).unwrap();
    let (sample, _) = rest.split_once("```").unwrap();
    let [a, b] = [0, 1].map(|place| cluster.servers[place].address().to_string());
    sample
        .replace("10.0.0.1:8080", &a)
        .replace("10.0.0.2:8080", &b)
}

/// Each person views a page through the balancer. None of the hits is passed on.
fn assert_no_hop(cluster: &Cluster, balancer: &Balancer) {
    let address = balancer.port.address();
    until(
        || {
            let answer = Client::connect(address).and_then(|mut client| client.get("/healthz"));
            answer.is_ok_and(|answer| answer.status == 200)
        },
        "the balancer answers",
    );

    let mut client = Client::connect(address).unwrap();
    for person in 0..PEOPLE {
        let address = match person % 3 {
            0 => format!("2001:db8:{:x}:1::7", person + 1),
            _ => format!("20.{}.{}.7", person, person + 3),
        };
        let cookie = grant_of(person as u128 + 7);
        let headers = [
            ("Host", "pages.example"),
            ("Origin", "https://pages.example"),
            ("User-Agent", crate::support::AGENT),
            ("X-Client", &address),
            ("Cookie", &cookie),
        ];
        let body = view("/u/mia");
        let answer = client.ask("POST", "/ff/hit", &headers, Body::Sized(body.as_bytes()));
        assert_eq!(answer.unwrap().status, 202);
    }

    cluster.flush();
    let totals = cluster.servers[0].report("mia", DAY)["totals"].clone();
    assert_eq!(totals["visitors"], PEOPLE);
    assert_eq!(cluster.sum("footfall_cluster_sent_calls_total"), 0);
    for server in &cluster.servers {
        let own = server.metric("footfall_visitors_in_memory");
        assert!((15..=45).contains(&own), "{own} of {PEOPLE}");
    }
}

#[test]
fn nginx_sends_each_hit_to_the_owner_of_its_network() {
    let cluster = Cluster::start(2, "", &[]);
    let upstream = sample("nginx", &cluster);
    let configuration = |listen: SocketAddr| {
        format!(
            "daemon off; pid nginx.pid; error_log stderr crit; events {{}}\n\
             http {{ access_log off; client_body_temp_path body; proxy_temp_path proxy;\n\
             set_real_ip_from 127.0.0.1; real_ip_header X-Client;\n\
             {upstream}\n\
             server {{ listen {listen}; location / {{ proxy_pass http://footfall; proxy_http_version 1.1;\n\
             proxy_set_header Connection \"\"; proxy_set_header Host $http_host;\n\
             proxy_set_header X-Forwarded-For $remote_addr; }} }} }}\n"
        )
    };
    if let Some(balancer) = Balancer::start("nginx", "-c", configuration) {
        assert_no_hop(&cluster, &balancer);
    }
}

#[test]
fn haproxy_sends_each_hit_to_the_owner_of_its_network() {
    let cluster = Cluster::start(2, "", &[]);
    let backend = sample("haproxy", &cluster);
    let configuration = |listen: SocketAddr| {
        format!(
            "defaults\n  mode http\n  timeout client 30s\n  timeout server 30s\n  timeout connect 5s\n\
             frontend pages\n  bind {listen}\n  http-request set-src hdr(x-client)\n\
             \x20 http-request set-header X-Forwarded-For %[src]\n  default_backend footfall\n\
             {backend}\n"
        )
    };
    if let Some(balancer) = Balancer::start("haproxy", "-f", configuration) {
        assert_no_hop(&cluster, &balancer);
    }
}
