//! Detection rates on user agents that were not used to write the rules, and the rules themselves.

use super::*;

const ROBOTS: &str = include_str!("../../../../data/robots.txt");

fn bots() -> &'static BotDetector {
    static BOTS: LazyLock<BotDetector> = LazyLock::new(BotDetector::load_lists);
    &BOTS
}

fn robots() -> impl Iterator<Item = &'static str> {
    ROBOTS.lines().filter(|line| !line.starts_with('#'))
}

fn percent(part: usize, of: usize) -> f64 {
    100.0 * part as f64 / of as f64
}

/// Neither list was used to make the lists of patterns. `make test` prints both rates.
#[test]
fn nearly_all_robots_are_found_and_no_person_is_called_one() {
    let (all_robots, all_people) = (robots().count(), human_agents().count());
    assert!(
        all_robots >= 400 && all_people >= 400,
        "{all_robots} robots, {all_people} people"
    );

    let missed: Vec<&str> = robots().filter(|agent| !bots().is_bot(agent)).collect();
    let called: Vec<&str> = human_agents()
        .filter(|agent| bots().is_bot(agent))
        .collect();
    let found = percent(all_robots - missed.len(), all_robots);
    let wrong = percent(called.len(), all_people);
    // Written to the stream itself: the test harness keeps what `println!` prints of a test that
    // passes.
    let rates =
        format!("\nrobots_found_percent={found:.2}\npeople_called_robots_percent={wrong:.2}\n");
    std::io::Write::write_all(&mut std::io::stdout(), rates.as_bytes()).unwrap();

    assert!(found >= 98.0, "{found}: {missed:#?}");
    assert!(called.is_empty(), "{called:#?}");
}

#[test]
fn the_lists_of_agents_have_a_month_and_a_source_above_each_group() {
    for list in [HUMAN_AGENTS, ROBOTS] {
        let heads: Vec<&str> = list
            .lines()
            .filter_map(|line| line.strip_prefix("## "))
            .collect();
        assert!(heads.len() >= 4);
        for head in heads {
            let (month, source) = head.split_once(" | ").unwrap();
            assert!(
                month.len() == 7 && month.starts_with("20") && !source.is_empty(),
                "{head}"
            );
        }
    }
}

#[test]
fn a_pattern_that_matches_a_person_is_not_used() {
    for (wrong, ignore_case) in [
        ("Safari/604", false),
        ("[Mm]eta(IAB)", false),
        ("fban/", true),
        ("CriOS|EdgiOS", true),
    ] {
        let list = vec![
            "Made-Up-Thing".to_owned(),
            wrong.to_owned(),
            "Further.Thing".to_owned(),
        ];
        let bots = BotDetector::from_lists([(list, ignore_case)].into_iter());
        assert_eq!(bots.rejected_patterns(), [wrong]);
        assert!(human_agents().all(|person| !bots.is_bot(person)), "{wrong}");
        let person = human_agents()
            .find(|agent| agent.contains("MetaIAB Facebook"))
            .unwrap();
        assert!(
            bots.is_bot(&format!("{person} Made-Up-Thing")),
            "the others of the list are used"
        );
        assert!(bots.is_bot(&format!("{person} Further-Thing")));
    }
}

#[test]
fn what_is_left_out_of_the_lists_is_what_matches_people() {
    assert_eq!(
        bots().rejected_patterns(),
        [""; 0],
        "these match people: list them in LEFT_OUT with the reason"
    );

    let known: BTreeSet<String> = BOT_LISTS
        .iter()
        .flat_map(|(json, _)| parse_patterns(json))
        .collect();
    let matching: BTreeSet<String> = BOT_LISTS
        .iter()
        .flat_map(|(json, ignore_case)| {
            PatternList::excluding_human_agents(parse_patterns(json), *ignore_case).1
        })
        .collect();
    for pattern in EXCLUDED_PATTERNS {
        assert!(
            known.contains(pattern),
            "{pattern}: in none of the lists any more"
        );
        assert!(
            matching.contains(pattern),
            "{pattern}: matches nobody of the list"
        );
    }
}

#[test]
fn samples_of_the_first_list_are_robots_but_for_those_that_are_people() {
    #[derive(Deserialize)]
    struct Samples {
        samples: Vec<String>,
    }
    let file: Samples =
        serde_json::from_str(include_str!("../../../../data/bot-samples.json")).unwrap();
    let missed: Vec<&String> = file
        .samples
        .iter()
        .filter(|sample| !bots().is_bot(sample))
        .collect();
    // Facebook's and Instagram's own browsers, an editor, an app made of a site.
    assert!(missed.len() <= 4, "{missed:#?}");
}

#[test]
fn unknown_robots_are_caught_by_what_they_call_themselves() {
    let nobody = [
        "",
        "  ",
        "-",
        "Mozilla/5.0",
        "NewThing-Bot/1.0 (x)",
        "Mozilla/5.0 (compatible; SomethingNew; +https://example.com/x)",
        "my crawler",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
         HeadlessChrome/134.0.0.0 Safari/537.36",
        "python-requests/2.31.0",
        "Apache-HttpClient/4.5.13 (Java/17.0.2)",
        "okhttp/4.12.0",
        "Mozilla/5.0 Umami/v22.4.0",
        "A library with a name/1.2 (and a comment)",
        "Viber",
        "Mozilla/5.0 (Linux; Android 9; SM-G973F; compatible; Somebody) AppleWebKit/537.36 (KHTML, \
         like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36 (ask ops@x.example)",
    ];
    for agent in nobody {
        assert!(bots().is_bot(agent), "{agent}");
    }
}

#[test]
fn the_model_of_a_phone_is_no_name() {
    let phone = |model: &str| {
        format!(
            "Mozilla/5.0 (Linux; Android 13; {model}) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/142.0.0.0 Mobile Safari/537.36"
        )
    };
    for model in [
        "Spider 8",
        "B BOT 550 Build/MRA58K; wv",
        "ID bot 53+ Build/NRD90M",
        "Expanse",
        "moto g power (2022)",
        "Scanner S1",
    ] {
        assert!(!bots().is_bot(&phone(model)), "{model}");
    }
    for model in [
        "Nexus 5X; Googlebot/2.1",
        "Pixel 2; Storebot-Google/1.0",
        "x; https://example.com/x",
        "compatible; Thing crawler",
    ] {
        assert!(bots().is_bot(&phone(model)), "{model}");
    }
    assert_eq!(
        without_model(&phone("Spider 8")),
        phone("").replace("; )", ")")
    );
}

#[test]
fn plain_patterns_become_words() {
    assert_eq!(literal_word(r"Googlebot\/"), Some("Googlebot/".to_owned()));
    assert_eq!(
        literal_word(r"AP3A\.240617"),
        Some("AP3A.240617".to_owned())
    );
    for expression in ["^curl", "[wW]get", r"\d", "a|b", ""] {
        assert_eq!(literal_word(expression), None, "{expression}");
    }
}
