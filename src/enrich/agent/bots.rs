//! Detection of bots.
//!
//! Bots are recognised in three ways: by two public lists (nearly all patterns are plain words,
//! found by one automaton per list; the rest is a set of expressions), by what bots call
//! themselves, and by what every browser names and a program does not: a system or a device.
//!
//! Taking a person for a bot is worse than taking a bot for a person. Therefore each pattern of the
//! lists is tried on the user agents of `data/people.txt` at the start, and a pattern that matches
//! one of them is not used.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Not;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex::{Regex, RegexSet, RegexSetBuilder};
use serde::Deserialize;

use super::names::{NAMES, PLATFORMS};

/// The public lists, and whether their patterns ignore case.
const LISTS: [(&str, bool); 2] =
    [(include_str!("../../../data/bots.json"), false), (include_str!("../../../data/crawlers.json"), true)];

/// User agents of people's browsers. Lines with `#` state the source and the date of those below.
const PEOPLE: &str = include_str!("../../../data/people.txt");

/// Patterns of the lists that are excluded in advance. `what_is_left_out_...` fails if one is
/// missing here or no longer needed.
const LEFT_OUT: [&str; 25] = [
    r"RED\/",            // the reader app of WIRED
    r"008\/",            // Opera Mini's build numbers
    "MetaIAB Facebook",  // Facebook's own in-app browser
    "Viber",             // Viber's in-app browser; its preview calls itself `Viber` alone and names no system
    r"Slack\/",          // Slack's desktop app
    "Sonic",             // the same, on a Mac
    "Mastodon",          // in-app browsers of Mastodon apps; its servers name their URL
    r"Tumblr\/",         // Tumblr's in-app browser
    "Sogou",             // Sogou's browsers; its crawler is a spider
    r"PayPal\/",         // PayPal's in-app browser
    "Outlook-iOS",       // Outlook's in-app browser
    "Microsoft Outlook", // a page shown inside of Outlook
    "Microsoft Office",  // a page shown inside of Office
    r"Word\/",           // the same
    r"Excel\/",          // the same
    r"PowerPoint\/",     // the same
    "Fluid",             // sites as apps on a Mac
    r"Code\/1\.",        // a page shown inside of an editor
    "libwww",            // Lynx
    r"voyager\/",        // AmigaVoyager
    "QQDownload",        // a mark of QQ's downloader in Internet Explorer
    "Webster",           // Webster Pro, a browser
    "speedy",            // phones called Speedy
    "Demon",             // sets in a shop: Demonstration
    CATCH_ALL,           // hits Cronet, readers and bank names; `NAMES` has its words with their borders
];
const CATCH_ALL: &str = r"[a-z0-9\-_]*(bot|crawl|headless|archiver|transcoder|spider|uptime|validator|fetcher|cron|checker|reader|extractor|monitoring|analyzer|scraper)";

const CONSTANT: &str = "a constant, compiled by every test";

/// The compiled rules.
pub struct Bots {
    lists: Vec<Patterns>,
    names: Regex,
    platforms: Regex,
    /// Patterns that match people and are not in [`LEFT_OUT`].
    refused: Vec<String>,
}

impl Bots {
    /// Compiles the embedded lists, without the patterns that match people.
    pub fn load() -> Bots {
        Bots::of(LISTS.iter().map(|(json, ignore_case)| (patterns(json), *ignore_case)))
    }

    fn of(lists: impl Iterator<Item = (Vec<String>, bool)>) -> Bots {
        let (mut usable, mut refused) = (Vec::new(), Vec::new());

        for (mut patterns, ignore_case) in lists {
            patterns.retain(|pattern| !LEFT_OUT.contains(&pattern.as_str()));
            let (list, more) = Patterns::without_people(patterns, ignore_case);
            usable.push(list);
            refused.extend(more);
        }

        Bots {
            lists: usable,
            names: Regex::new(NAMES).expect(CONSTANT),
            platforms: Regex::new(PLATFORMS).expect(CONSTANT),
            refused,
        }
    }

    /// Patterns of the lists that are not used because they match people. For the log at the start.
    pub fn refused(&self) -> &[String] {
        &self.refused
    }

    /// Whether a user agent is a bot's. An empty one is, too.
    pub fn caught(&self, agent: &str) -> bool {
        let agent = &*without_model(agent);
        agent.trim().is_empty()
            || !self.platforms.is_match(agent)
            || self.names.is_match(agent)
            || self.lists.iter().any(|list| list.is_match(agent))
    }
}

/// The patterns of one list.
struct Patterns {
    words: AhoCorasick,
    expressions: RegexSet,
    /// For each word and for each expression, the index of its pattern.
    word_of: Vec<usize>,
    expression_of: Vec<usize>,
}

impl Patterns {
    /// The list without the patterns that match people, and those patterns.
    fn without_people(patterns: Vec<String>, ignore_case: bool) -> (Patterns, Vec<String>) {
        let all = Patterns::compile(&patterns, ignore_case);
        let hits: BTreeSet<usize> = people().flat_map(|person| all.hits(&without_model(person))).collect();
        if hits.is_empty() {
            return (all, Vec::new());
        }

        let (refused, kept): (Vec<_>, Vec<_>) =
            patterns.into_iter().enumerate().partition(|(number, _)| hits.contains(number));
        let texts =
            |numbered: Vec<(usize, String)>| numbered.into_iter().map(|(_, pattern)| pattern).collect::<Vec<_>>();
        (Patterns::compile(&texts(kept), ignore_case), texts(refused))
    }

    fn compile(patterns: &[String], ignore_case: bool) -> Patterns {
        let (mut words, mut word_of, mut expressions, mut expression_of) = (vec![], vec![], vec![], vec![]);
        for (number, pattern) in patterns.iter().enumerate() {
            match literal(pattern) {
                Some(word) => {
                    words.push(word);
                    word_of.push(number);
                }
                None => {
                    expressions.push(pattern);
                    expression_of.push(number);
                }
            }
        }

        Patterns {
            words: AhoCorasick::builder()
                .ascii_case_insensitive(ignore_case)
                .build(words)
                .expect("the lists are of a fixed size, far below the automaton's limits"),
            expressions: RegexSetBuilder::new(expressions)
                .case_insensitive(ignore_case)
                .build()
                .expect("the lists are part of the binary and a test compiles them"),
            word_of,
            expression_of,
        }
    }

    fn is_match(&self, agent: &str) -> bool {
        self.words.is_match(agent) || self.expressions.is_match(agent)
    }

    /// The indices of the patterns that match.
    fn hits(&self, agent: &str) -> Vec<usize> {
        let words = self.words.find_overlapping_iter(agent).map(|found| self.word_of[found.pattern().as_usize()]);
        let mut hits: Vec<usize> = words.collect();
        if self.expressions.is_match(agent) {
            hits.extend(self.expressions.matches(agent).into_iter().map(|number| self.expression_of[number]));
        }
        hits
    }
}

fn people() -> impl Iterator<Item = &'static str> {
    PEOPLE.lines().filter(|line| !line.starts_with('#'))
}

fn patterns(json: &str) -> Vec<String> {
    #[derive(Deserialize)]
    struct File {
        patterns: Vec<String>,
    }
    let file: File = serde_json::from_str(json).expect("the lists are part of the binary and a test reads them");
    file.patterns
}

/// The user agent without the model of an Android device, because manufacturers name phones Spider,
/// B BOT and Expanse. If a bot's name is in the place of the model, there is also a URL or the word
/// "compatible".
fn without_model(agent: &str) -> Cow<'_, str> {
    static MODEL: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?i)\bandroid [\w.]+((?:;[^;()]*(?:\([^()]*\)[^;()]*)?)+)\).*(?:webkit|gecko)/").expect(CONSTANT)
    });
    static ROBOT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?i)://|compatible|bot/|@|-google").expect(CONSTANT));
    let Some(model) = MODEL.captures(agent).and_then(|found| found.get(1)) else { return agent.into() };
    if ROBOT.is_match(model.as_str()) {
        return agent.into();
    }
    format!("{}{}", &agent[..model.start()], &agent[model.end()..]).into()
}

/// The pattern as plain text, if it has no special characters.
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
mod tests;
