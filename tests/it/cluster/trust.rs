//! Who may call a collector, and which configurations are accepted.

use super::{Addresses, fixture, wait_for_collectors, wait_for_visitors};
use crate::support::{Port, SITES, Server, hit, program, until, view};

/// A collector without a database: hits do not wait for one.
fn collector(addresses: &Addresses, name: &str, certificate: &str) -> Server {
    let mut settings = addresses.settings(name, certificate);
    settings.push(format!("store.url=http://{}", Port::hold().address()));
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    Server::start_with(SITES, &settings)
}

/// Whether a collector has refused a connection, and counts all hits itself.
fn stands_alone(server: &Server, refused: bool) {
    if refused {
        until(
            || server.metric("footfall_cluster_refused_connections_total") > 0,
            "a connection is refused",
        );
    }
    wait_for_collectors(server, 1);
    let mut client = server.client();
    for network in 0..20 {
        let address = format!("20.0.{network}.7");
        let answer = hit(
            &mut client,
            &view("/u/mia"),
            &[("X-Forwarded-For", &address)],
        );
        assert_eq!(answer.status, 202);
    }
    wait_for_visitors(server, 20);
    assert_eq!(server.metric("footfall_cluster_received_calls_total"), 0);
}

#[test]
fn a_certificate_of_another_authority_or_of_an_unlisted_collector_is_refused() {
    let addresses = Addresses::hold(&["a", "b"]);
    let honest = collector(&addresses, "b", "b.pem");
    // It has the name of a collector, from another authority.
    let forged = collector(&addresses, "a", "foreign.pem");
    stands_alone(&honest, true);
    stands_alone(&forged, false);
    assert!(
        honest
            .log()
            .contains("its certificate is not that of another collector"),
        "{}",
        honest.log()
    );
    drop(forged);

    // It has a certificate of the authority, and the collectors do not know it.
    let before = honest.metric("footfall_cluster_refused_connections_total");
    let known = addresses
        .0
        .into_iter()
        .find(|(name, _)| *name == "b")
        .unwrap();
    let wider = Addresses(vec![known, ("d", Port::hold())]);
    let unlisted = collector(&wider, "d", "d.pem");
    until(
        || honest.metric("footfall_cluster_refused_connections_total") > before,
        "a connection is refused",
    );
    stands_alone(&unlisted, false);
    assert_eq!(honest.metric("footfall_cluster_collectors"), 1);
}

#[test]
fn check_config_names_what_is_missing_or_wrong() {
    let server = Server::start(SITES);
    let addresses = Addresses::hold(&["a", "b"]);
    let valid = addresses.settings("a", "a.pem");
    let store = "store.url=http://127.0.0.1:1".to_owned();
    let check = |settings: &[String]| {
        let pairs = [&store]
            .into_iter()
            .chain(settings)
            .flat_map(|pair| ["--set", pair]);
        let arguments: Vec<&str> = std::iter::once("check-config").chain(pairs).collect();
        program::run(&server, &arguments)
    };
    assert!(check(&valid).status.success());

    let with = |key: &str, value: &str| {
        let pair = format!("{key}={value}");
        let other = |kept: &&String| !kept.starts_with(&format!("{key}="));
        let kept = valid.iter().filter(other).cloned();
        kept.chain([pair]).collect::<Vec<String>>()
    };
    for (settings, key, reason) in [
        (
            with("cluster.name", "c"),
            "cluster.name",
            "must be one of cluster.collectors",
        ),
        (with("cluster.listen", ""), "cluster.listen", "must be set"),
        (with("cluster.name", ""), "cluster.name", "counts alone"),
        (
            with("access.key_file", ""),
            "access.key_file",
            "must be set",
        ),
        (
            with("cluster.collectors", "a=x:1,b=x:1"),
            "cluster.collectors",
            "an address of its own",
        ),
        (
            with("cluster.key_file", ""),
            "cluster.key_file",
            "must be set",
        ),
        (
            with("cluster.collectors", "a=x:1,a=y:1"),
            "cluster.collectors",
            "each collector once",
        ),
        (
            with("cluster.collectors", "a=x:1,B=y:1"),
            "cluster.collectors[1]",
            "name=host:port",
        ),
        (
            with("cluster.cert_file", &fixture("b.pem")),
            "cluster.cert_file",
            "DNS name a",
        ),
        (
            with("cluster.ca_file", &fixture("key.pem")),
            "cluster.ca_file",
            "no certificate",
        ),
        (
            with("cluster.ca_file", "/nowhere"),
            "cluster.ca_file",
            "No such file",
        ),
        (with("store.url", ""), "store.url", "one ClickHouse server"),
    ] {
        let output = check(&settings);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{key} {reason}: {errors}");
        assert!(
            errors.contains(key) && errors.contains(reason),
            "{key} {reason}: {errors}"
        );
    }
}
