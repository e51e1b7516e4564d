//! The classifier against the user agents of people.txt.

use proptest::prelude::*;

use super::*;

fn classifier() -> &'static AgentClassifier {
    static CLASSIFIER: std::sync::LazyLock<AgentClassifier> =
        std::sync::LazyLock::new(|| AgentClassifier::new([7; 32]));
    &CLASSIFIER
}

fn client(agent: &str, hints: &ClientHints<'_>) -> ClientClass {
    classifier().classify(&UserAgent::new(agent), hints)
}

/// The table: browser, system, device, app, user agent.
fn people() -> Vec<[&'static str; 5]> {
    let lines = include_str!("people.txt")
        .lines()
        .filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            line.splitn(5, " | ")
                .collect::<Vec<_>>()
                .try_into()
                .unwrap()
        })
        .collect()
}

#[test]
fn people_are_no_bots_and_are_counted_as_the_table_says() {
    let people = people();
    assert!(people.len() >= 60, "{}", people.len());
    let mut wrong = Vec::new();
    for [browser, os, device, app, agent] in people {
        let found = client(agent, &ClientHints::default());
        let names = [
            found.browser.name(),
            found.os.name(),
            found.device.name(),
            found.app.map_or("-", ListedSource::name),
        ];
        if names != [browser, os, device, app] || found.bot {
            wrong.push(format!(
                "{names:?} bot: {} instead of {:?}: {agent}",
                found.bot,
                [browser, os, device, app]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_second_look_gives_the_same_answer() {
    let agent = people()[0][4];
    assert_eq!(
        client(agent, &ClientHints::default()),
        client(agent, &ClientHints::default())
    );
}

#[test]
fn hints_lie_over_the_agent() {
    let frozen = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
        Chrome/142.0.0.0 Safari/537.36";
    let brave = r#""Chromium";v="142", "Brave";v="142", "Not_A Brand";v="99""#;
    let found = client(
        frozen,
        &ClientHints {
            brands: Some(brave),
            mobile: Some("?0"),
            platform: Some(r#""macOS""#),
        },
    );
    assert_eq!(
        (found.browser, found.os, found.device),
        (Browser::Brave, Os::MacOs, Device::Desktop)
    );

    let android = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
        Chrome/142.0.0.0 Mobile Safari/537.36";
    let found = client(
        android,
        &ClientHints {
            brands: None,
            mobile: Some("?0"),
            platform: Some(r#""Android""#),
        },
    );
    assert_eq!((found.os, found.device), (Os::Android, Device::Tablet));

    let headless = r#""HeadlessChrome";v="142", "Chromium";v="142""#;
    assert!(
        client(
            frozen,
            &ClientHints {
                brands: Some(headless),
                ..ClientHints::default()
            }
        )
        .bot
    );
}

#[test]
fn an_apps_browser_keeps_the_apps_name_under_hints() {
    let people = people();
    let agent = people
        .iter()
        .find(|row| row[0] == "Instagram" && row[1] == "Android")
        .unwrap()[4];
    let brands = r#""Android WebView";v="131", "Chromium";v="131", "Google Chrome";v="131""#;
    let found = client(
        agent,
        &ClientHints {
            brands: Some(brands),
            mobile: Some("?1"),
            platform: Some(r#""Android""#),
        },
    );
    assert_eq!(
        (found.browser, found.device),
        (Browser::Instagram, Device::Phone)
    );
}

#[test]
fn a_set_stays_a_set_under_hints() {
    let people = people();
    let agent = people.iter().find(|row| row[1] == "Tizen").unwrap()[4];
    let found = client(
        agent,
        &ClientHints {
            brands: None,
            mobile: Some("?0"),
            platform: Some(r#""Linux""#),
        },
    );
    assert_eq!((found.os, found.device), (Os::Tizen, Device::Tv));
}

#[test]
fn a_client_is_eight_bytes_at_most() {
    assert!(
        size_of::<ClientClass>() <= 8,
        "{}",
        size_of::<ClientClass>()
    );
}

proptest! {
    #[test]
    fn no_agent_brings_it_down(agent in ".{0,200}|Mozilla/5\\.0 [ -~]{0,200}", brands in ".{0,60}") {
        client(&agent, &ClientHints { brands: Some(&brands), mobile: Some("?1"), platform: Some(&agent) });
    }
}
