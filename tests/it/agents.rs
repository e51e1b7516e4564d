//! Robots, browsers, in-app browsers and channels over HTTP, up to the published lists.

use std::collections::BTreeMap;

use crate::support::{DAY, NOON, SITES, Server, hit, view};

/// Visitors of each value: twice k, so that its lot is published whatever the coin says.
const EACH: usize = 10;
/// Ten minutes into the day after.
const NEXT_DAY: i64 = NOON + (12 * 60 + 10) * 60_000;

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)";
const ANDROID: &str = "Mozilla/5.0 (Linux; Android 16; SM-S931B Build/BP2A.250605.031; wv) AppleWebKit/537.36 (KHTML, like Gecko) \
                       Version/4.0 Chrome/142.0.7444.102 Mobile Safari/537.36";

fn server() -> Server {
    Server::start_with(SITES, &["limits.visitors_per_grant=1000000"])
}

/// Ten visitors for each case, each in a network of their own.
fn address(case: usize, person: usize) -> String {
    format!("198.{}.{}.7", 20 + case, person)
}

/// Visitors of each value of a list.
fn shown(server: &Server, dimension: &str) -> BTreeMap<String, u64> {
    let report = server.report("mia", DAY);
    let rows = report["dimensions"][dimension]["rows"]
        .as_array()
        .unwrap_or_else(|| panic!("{dimension}: {report}"));
    rows.iter()
        .map(|row| {
            (
                row["value"].as_str().unwrap().to_owned(),
                row["visitors"].as_u64().unwrap(),
            )
        })
        .collect()
}

fn expected(all: &[(&str, u64)]) -> BTreeMap<String, u64> {
    all.iter()
        .map(|(value, visitors)| ((*value).to_owned(), *visitors))
        .collect()
}

#[test]
fn people_in_the_browsers_of_apps_are_counted_under_the_app_and_its_preview_is_not() {
    let facebook = |carrier: &str| {
        format!(
            "[FBAN/FB4A;FBAV/540.0.0.30.70;FBBV/700000001;FBDM/{{density=3.0,width=1080,height=2340}};FBLC/de_DE;FBRV/0;\
             FBCR/{carrier};FBMF/samsung;FBBD/samsung;FBPN/com.facebook.katana;FBDV/SM-S911B;FBSV/15;FBOP/1;FBCA/arm64-v8a:;]"
        )
    };
    // Agent, browser.
    let people = [
        (
            format!("{IPHONE} Mobile/22G100 Safari/604.1 MetaIAB Facebook"),
            "Facebook",
        ),
        (facebook("Telekom"), "Facebook"),
        (facebook("o2 de"), "Facebook"),
        (
            format!("{IPHONE} Mobile/22G100 Safari/604.1 MetaIAB Threads"),
            "Threads",
        ),
        (format!("{ANDROID} MetaIAB"), "Meta apps"),
        (format!("{ANDROID} [WA4A/2.25.33.76;]"), "WhatsApp"),
        (
            format!("{IPHONE} Mobile/22G100 [WAiOS/2.25.33.77]"),
            "WhatsApp",
        ),
        (format!("{ANDROID} Viber/23.6.0.3"), "Viber"),
        (
            format!("{IPHONE} Version/26.1 Mobile/15E148 Safari/604.1 Brave"),
            "Brave",
        ),
        (
            format!("{IPHONE} Version/18.7 FxiOS/145.0 Mobile/15E148 Safari/604.1"),
            "Firefox",
        ),
        (
            format!("{ANDROID} AWP/2.0 SogouMSE,SogouMobileBrowser/14.1.0"),
            "Sogou Explorer",
        ),
        (
            format!("{ANDROID} YaApp_Android/25.113.1 YaSearchBrowser/25.113.1"),
            "Yandex",
        ),
    ];
    let robots = [
        "Viber".to_owned(),
        "WhatsApp/2.23.20.0".to_owned(),
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)".to_owned(),
        format!("{ANDROID} CloudflareObservatory/1.0"),
        "Mozilla/5.0 (compatible; SomethingNew/1.0)".to_owned(),
        "some-library/2.1 (a comment)".to_owned(),
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Agent-NovaAct/1.0"
            .to_owned(),
    ];
    let server = server();
    let mut client = server.client();

    for (case, agent) in people
        .iter()
        .map(|(agent, _)| agent)
        .chain(&robots)
        .enumerate()
    {
        for person in 0..EACH {
            let more = [
                ("User-Agent", agent.as_str()),
                ("X-Forwarded-For", &address(case, person)),
            ];
            assert_eq!(hit(&mut client, &view("/u/mia"), &more).status, 202);
        }
    }
    server.flush();
    server.publish(NEXT_DAY);

    assert_eq!(
        server.report("mia", DAY)["totals"]["visitors"],
        people.len() * EACH
    );
    assert_eq!(
        server.metric(r#"footfall_drops_total{reason="not_a_view"}"#),
        (robots.len() * EACH) as u64
    );
    let mut browsers: BTreeMap<String, u64> = BTreeMap::new();
    for (_, browser) in &people {
        *browsers.entry((*browser).to_owned()).or_default() += EACH as u64;
    }
    assert_eq!(shown(&server, "browser"), browsers);
    let sources = [
        ("(direct)", 30),
        ("Facebook", 30),
        ("Meta apps", 10),
        ("Threads", 10),
        ("Viber", 10),
        ("WhatsApp", 20),
        ("Yandex", 10),
    ];
    assert_eq!(shown(&server, "source"), expected(&sources));
    assert_eq!(
        shown(&server, "channel"),
        expected(&[
            ("direct", 30),
            ("messenger", 30),
            ("search", 10),
            ("social", 50)
        ])
    );
}

#[test]
fn channels_are_published_beside_sources_and_exported() {
    // Query, referrer.
    let visits = [
        ("", ""),
        ("", "https://www.google.com/"),
        ("", "https://duckduckgo.com/"),
        ("", "https://l.wl.co/x"),
        ("", "https://urldefense.com/v3/x"),
        ("", "https://googleads.g.doubleclick.net/x"),
        ("gclid=abc", "https://www.google.com/"),
        ("utm_source=ig&utm_medium=Paid-Social", ""),
        ("utm_source=ig", ""),
        ("utm_source=letters&utm_medium=email", ""),
        ("", "https://chatgpt.com/"),
        ("", "https://www.youtube.com/"),
        ("", "https://fern-blog.example/"),
        ("", "https://pages.example/u/tom"),
    ];
    let server = server();
    let mut client = server.client();

    for (case, (query, referrer)) in visits.iter().enumerate() {
        for person in 0..EACH {
            let body = format!(
                r#"{{"kind":"view","url":"https://pages.example/u/mia?{query}","referrer":"{referrer}"}}"#
            );
            assert_eq!(
                hit(
                    &mut client,
                    &body,
                    &[("X-Forwarded-For", &address(case, person))]
                )
                .status,
                202
            );
        }
    }
    server.flush();
    server.publish(NEXT_DAY);

    let channels = [
        ("AI assistant", 10),
        ("direct", 10),
        ("mail", 20),
        ("messenger", 10),
        ("own", 10),
        ("paid", 30),
        ("referral", 10),
        ("search", 20),
        ("social", 10),
        ("video", 10),
    ];
    assert_eq!(shown(&server, "channel"), expected(&channels));
    let sources = shown(&server, "source");
    for (source, visitors) in [
        ("WhatsApp", 10),
        ("Mail gateway", 10),
        ("Google Ads", 10),
        ("Google", 20),
        ("Instagram", 20),
    ] {
        assert_eq!(sources.get(source), Some(&visitors), "{source}");
    }
    let csv = server
        .client()
        .get(&format!(
            "/api/v1/sites/mia/export?table=channel&format=csv&{DAY}"
        ))
        .unwrap();
    assert_eq!(csv.text().lines().next(), Some("value,visitors,visits"));
    assert!(
        csv.text().lines().any(|line| line == "paid,30,30"),
        "{}",
        csv.text()
    );
}

/// The list is the operator's: nothing is dropped for its network unless a file says so.
#[test]
fn hits_from_networks_of_data_centres_are_dropped_where_a_file_names_them() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = dir.path().join("networks.txt");
    std::fs::write(&file, "# made up\n203.0.113.0/25\n2001:db8:77::/48\n").unwrap();
    let named = format!("data.datacenter_networks={}", file.display());
    let (with, without) = (
        Server::start_with(SITES, &[named.as_str()]),
        Server::start(SITES),
    );
    let dropped = |server: &Server| server.metric("footfall_drops_total{reason=\"not_a_view\"}");
    let from = |server: &Server, address: &str| {
        let before = dropped(server);
        assert_eq!(
            hit(
                &mut server.client(),
                &view("/u/mia"),
                &[("X-Forwarded-For", address)]
            )
            .status,
            202
        );
        dropped(server) - before
    };
    let addresses = [
        ("203.0.113.1", 1),
        ("203.0.113.127", 1),
        ("203.0.113.128", 0),
        ("203.0.112.255", 0),
        ("2001:db8:77:1::5", 1),
        ("2001:db8:78::5", 0),
        ("::ffff:203.0.113.9", 1),
    ];
    for (address, expected) in addresses {
        assert_eq!(
            (from(&with, address), from(&without, address)),
            (expected, 0),
            "{address}"
        );
    }
    let me = crate::support::ask(
        &mut with.client(),
        "GET",
        "/ff/me?page=/u/mia&lang=en",
        "",
        &[("X-Forwarded-For", "203.0.113.1")],
    );
    assert!(me.text().contains("This looks like a robot"));

    // Read again on a signal; a broken file is named by its line, quotes nothing, and leaves the
    // old networks in use.
    std::fs::write(&file, "203.0.113.128/25\n").unwrap();
    with.signal(rustix::process::Signal::HUP);
    crate::support::until(
        || with.log().contains("datacenter_networks=\"read again\""),
        "the file is read again",
    );
    assert_eq!(
        (from(&with, "203.0.113.1"), from(&with, "203.0.113.200")),
        (0, 1)
    );
    std::fs::write(&file, "203.0.113.0/25\n203.0.113.77 is mine\n").unwrap();
    with.signal(rustix::process::Signal::HUP);
    crate::support::until(
        || {
            with.log()
                .contains("networks.txt: line 2: must be a network")
        },
        "the line is named",
    );
    assert_eq!(
        (from(&with, "203.0.113.1"), from(&with, "203.0.113.200")),
        (0, 1)
    );
    with.flush();
    assert_eq!(with.report("mia", crate::support::DAY)["totals"]["hits"], 5);
    assert!(!with.log().contains("203.0.113"), "{}", with.log());

    let refused = crate::config::check("", &[], &["--set", &named]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.err.contains("data.datacenter_networks: ") && refused.err.contains("line 2"),
        "{}",
        refused.err
    );
}
