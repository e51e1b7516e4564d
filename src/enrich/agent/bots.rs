//! Which agents are nobody.
//!
//! Known crawlers by the patterns of crawler-user-agents: nearly all are plain words, found by one automaton; the rest are
//! one set of expressions. What the list does not know is caught by what crawlers call themselves. A person taken for a bot is
//! worse than a bot taken for a person, so patterns that meet people are left out, from the first day, with their reason.

use std::ops::Not;

use aho_corasick::AhoCorasick;
use regex::{Regex, RegexSet};
use serde::Deserialize;

const LIST: &str = include_str!("../../../data/bots.json");

/// Patterns of the list that meet people.
const LEFT_OUT: [&str; 3] = [
    r"RED\/",             // the reader app of WIRED
    r"008\/",             // Opera Mini's build numbers
    r"AP3A\.240617\.008", // an Android 15 build on many phones
];

/// What crawlers and programs call themselves. `bot` must end a word, and a phone maker is called CUBOT. `008` is a crawler
/// only where it is all there is; an agent of one word is a program. Umami's client for servers says Mozilla and itself.
const GENERIC: &str = r"(?xi)
    (?:^|[^u]|[^c]u) bots? (?:[^a-z]|$)
  | crawl | spider | headless | http-?_?client | scrap(?:er|ing|y) | phantomjs | selenium | puppeteer | playwright | webdriver
  | slurp | fetcher | prerender | libwww | pagespeed | lighthouse | archiver | link-?check | uptime | validator | \+https?://
  | ^mozilla/5\.0\ umami/
  | ^[^\ (]*$
  | ^(?: 008/ | python | java/ | ruby | perl | php | curl | wget | go-http | okhttp | axios | node | undici | dart/ | httpie | postman )
";

pub struct Bots {
    words: AhoCorasick,
    expressions: RegexSet,
    generic: Regex,
}

#[derive(Deserialize)]
struct File {
    patterns: Vec<String>,
}

impl Bots {
    pub fn load() -> Bots {
        let file: File = serde_json::from_str(LIST).expect("bots.json is part of the binary and a test reads it");
        let (mut words, mut expressions) = (Vec::new(), Vec::new());
        for pattern in file.patterns.iter().filter(|pattern| !LEFT_OUT.contains(&pattern.as_str())) {
            match literal(pattern) {
                Some(word) => words.push(word),
                None => expressions.push(pattern),
            }
        }
        Bots {
            words: AhoCorasick::new(words).expect("the list is of a fixed size, far below the automaton's limits"),
            expressions: RegexSet::new(expressions).expect("bots.json is part of the binary and a test compiles it"),
            generic: Regex::new(GENERIC).expect("a constant, compiled by every test"),
        }
    }

    /// Nothing but spaces is nobody, too.
    pub fn caught(&self, agent: &str) -> bool {
        agent.trim().is_empty()
            || self.words.is_match(agent)
            || self.expressions.is_match(agent)
            || self.generic.is_match(agent)
    }
}

/// The pattern as plain text, if it is nothing else.
fn literal(pattern: &str) -> Option<String> {
    let mut word = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.push(chars.next().filter(|c| c.is_ascii_punctuation())?),
            '^' | '$' | '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' => return None,
            c => word.push(c),
        }
    }
    word.is_empty().not().then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Samples {
        samples: Vec<String>,
    }

    #[test]
    fn every_sample_of_the_list_is_caught() {
        let bots = Bots::load();
        let file: Samples = serde_json::from_str(include_str!("../../../data/bot-samples.json")).unwrap();
        assert_eq!(file.samples.len(), 2118);
        // A person: the list gives the agent of Instagram on an ordinary Android 15 phone as a sample.
        let person = |sample: &&String| sample.contains("Build/AP3A.240617.008; wv") && sample.contains("Instagram");
        let missed: Vec<&String> = file.samples.iter().filter(|sample| !bots.caught(sample)).collect();
        assert_eq!(missed.iter().filter(|sample| person(sample)).count(), 1);
        assert_eq!(missed.len(), 1, "{missed:?}");
    }

    #[test]
    fn what_is_left_out_is_still_in_the_list() {
        let file: File = serde_json::from_str(LIST).unwrap();
        for pattern in LEFT_OUT {
            assert!(file.patterns.iter().any(|other| other == pattern), "{pattern}: no longer needed");
        }
    }

    #[test]
    fn unknown_crawlers_are_caught_by_what_they_call_themselves() {
        let bots = Bots::load();
        let nobody = [
            "",
            "  ",
            "-",
            "Mozilla/5.0",
            "NewThing-Bot/1.0 (x)",
            "Mozilla/5.0 (compatible; SomethingNew; +https://example.com/x)",
            "my crawler",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/134.0.0.0 Safari/537.36",
            "python-requests/2.31.0",
            "Apache-HttpClient/4.5.13 (Java/17.0.2)",
            "okhttp/4.12.0",
            "Mozilla/5.0 Umami/v22.4.0",
        ];
        for agent in nobody {
            assert!(bots.caught(agent), "{agent}");
        }
        let phone = "Mozilla/5.0 (Linux; Android 14; CUBOT X90) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Mobile Safari/537.36";
        assert!(!bots.caught(phone));
    }

    #[test]
    fn plain_patterns_become_words() {
        assert_eq!(literal(r"Googlebot\/"), Some("Googlebot/".to_owned()));
        assert_eq!(literal(r"AP3A\.240617"), Some("AP3A.240617".to_owned()));
        for expression in ["^curl", "[wW]get", r"\d", "a|b", ""] {
            assert_eq!(literal(expression), None, "{expression}");
        }
    }
}
