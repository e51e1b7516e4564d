//! A name constructed to have another site's former id reads nothing of that site and adds nothing
//! to it.

use serde_json::json;

use super::{REPORT_TOKEN, SECRET, creator, operator};
use crate::support::{DAY, NOON, SITES, Server, hit, view};

/// Found within three seconds on one core: ids were once xxh3 of the name, and this name's is the
/// same as `mia`'s.
const FORGED: &str = "xymhgijkrrygfbebhziilqafrzmgeuvisjsfiixkgjfqlpzlywfewoxcwqhwwmcb";

#[test]
fn a_name_with_the_xxh3_of_another_site_reads_nothing_of_it_and_raises_nothing() {
    assert_eq!(
        xxhash_rust::xxh3::xxh3_64(FORGED.as_bytes()),
        xxhash_rust::xxh3::xxh3_64(b"mia")
    );
    let key = format!("platform.token_key=\"{SECRET}\"");
    let start = format!("test.start_millis={NOON}");
    let server = Server::start_with(
        SITES,
        &[REPORT_TOKEN, "platform.token_algorithm=HS256", &key, &start],
    );
    server.flush();
    for (site, address) in [
        ("mia", "198.51.100.1"),
        ("mia", "198.51.100.2"),
        (FORGED, "203.0.113.3"),
    ] {
        let page = view(&format!("/u/{site}"));
        assert_eq!(
            hit(&mut server.client(), &page, &[("X-Forwarded-For", address)]).status,
            202
        );
    }
    server.flush();
    let hits = |site: &str| {
        operator().json(
            &server,
            "GET",
            &format!("/api/v1/sites/{site}/report?{DAY}"),
            "",
        )["totals"]["hits"]
            .clone()
    };
    assert_eq!((hits("mia"), hits(FORGED)), (json!(2), json!(1)));

    // A link needs published days.
    server.publish(0);
    let forger = creator(&server, &[FORGED]);
    let report = |name: &str| {
        forger
            .ask(
                &server,
                "GET",
                &format!("/api/v1/sites/{name}/report?{DAY}"),
                "",
            )
            .status
    };
    assert_eq!((report(FORGED), report("mia")), (200, 404));
    let link = json!({"from": "2026-03-01", "to": "2026-03-09"}).to_string();
    let share = |name: &str| {
        forger
            .ask(
                &server,
                "POST",
                &format!("/api/v1/sites/{name}/shares"),
                &link,
            )
            .status
    };
    assert_eq!((share(FORGED), share("mia")), (201, 404));
}
