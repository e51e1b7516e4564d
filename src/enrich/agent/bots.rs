//! Detection of bots.
//!
//! Bots are recognised in three ways: by two public lists (nearly all patterns are plain words,
//! found by one automaton per list; the rest is a set of expressions), by the names that bots use,
//! and by a missing system or device, which every browser names.
//!
//! Classifying a person as a bot is worse than the opposite. Therefore each pattern of the lists is
//! matched against the user agents of `data/people.txt` at the start, and a pattern that matches
//! one of them is not used.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Not;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex::{Regex, RegexSet, RegexSetBuilder};
use serde::Deserialize;

use super::agent_patterns::{BOT_NAME_PATTERN, PLATFORM_PATTERN};

/// The public lists, and whether their patterns ignore case.
const BOT_LISTS: [(&str, bool); 2] = [
    (include_str!("../../../data/bots.json"), false),
    (include_str!("../../../data/crawlers.json"), true),
];

/// User agents of people's browsers. Lines with `#` state the source and the date of those below.
const HUMAN_AGENTS: &str = include_str!("../../../data/people.txt");

/// Patterns of the lists that are excluded in advance. `what_is_left_out_...` fails if one is
/// missing here or no longer needed.
const EXCLUDED_PATTERNS: [&str; 25] = [
    r"RED\/",            // the reader app of WIRED
    r"008\/",            // Opera Mini's build numbers
    "MetaIAB Facebook",  // Facebook's own in-app browser
    "Viber",     // Viber's in-app browser; its preview sends `Viber` alone, without a system
    r"Slack\/",  // Slack's desktop app
    "Sonic",     // the same, on a Mac
    "Mastodon",  // in-app browsers of Mastodon apps; its servers name their URL
    r"Tumblr\/", // Tumblr's in-app browser
    "Sogou",     // Sogou's browsers; its crawler is a spider
    r"PayPal\/", // PayPal's in-app browser
    "Outlook-iOS", // Outlook's in-app browser
    "Microsoft Outlook", // a page shown inside of Outlook
    "Microsoft Office", // a page shown inside of Office
    r"Word\/",   // the same
    r"Excel\/",  // the same
    r"PowerPoint\/", // the same
    "Fluid",     // sites as apps on a Mac
    r"Code\/1\.", // a page shown inside of an editor
    "libwww",    // Lynx
    r"voyager\/", // AmigaVoyager
    "QQDownload", // added by QQ's downloader in Internet Explorer
    "Webster",   // Webster Pro, a browser
    "speedy",    // phones called Speedy
    "Demon",     // sets in a shop: Demonstration
    CATCH_ALL_PATTERN, // matches Cronet, readers and bank names; BOT_NAME_PATTERN has its words with their borders
];
const CATCH_ALL_PATTERN: &str = r"[a-z0-9\-_]*(bot|crawl|headless|archiver|transcoder|spider|uptime|validator|fetcher|cron|checker|reader|extractor|monitoring|analyzer|scraper)";

const CONSTANT_COMPILES: &str = "a constant, compiled by every test";

/// The compiled rules.
pub struct BotDetector {
    lists: Vec<PatternList>,
    names: Regex,
    platforms: Regex,
    /// Patterns that match people and are not in [`EXCLUDED_PATTERNS`].
    refused: Vec<String>,
}

impl BotDetector {
    /// Compiles the embedded lists, without the patterns that match people.
    pub fn load_lists() -> BotDetector {
        BotDetector::from_lists(
            BOT_LISTS
                .iter()
                .map(|(json, ignore_case)| (parse_patterns(json), *ignore_case)),
        )
    }

    fn from_lists(lists: impl Iterator<Item = (Vec<String>, bool)>) -> BotDetector {
        let (mut usable, mut refused) = (Vec::new(), Vec::new());

        for (mut patterns, ignore_case) in lists {
            patterns.retain(|pattern| !EXCLUDED_PATTERNS.contains(&pattern.as_str()));
            let (list, more) = PatternList::excluding_human_agents(patterns, ignore_case);
            usable.push(list);
            refused.extend(more);
        }

        BotDetector {
            lists: usable,
            names: Regex::new(BOT_NAME_PATTERN).expect(CONSTANT_COMPILES),
            platforms: Regex::new(PLATFORM_PATTERN).expect(CONSTANT_COMPILES),
            refused,
        }
    }

    /// Patterns of the lists that are not used because they match people. For the log at the start.
    pub fn rejected_patterns(&self) -> &[String] {
        &self.refused
    }

    /// Whether a user agent is a bot's. An empty one is a bot's too.
    pub fn is_bot(&self, agent: &str) -> bool {
        let agent = &*without_model(agent);
        agent.trim().is_empty()
            || !self.platforms.is_match(agent)
            || self.names.is_match(agent)
            || self.lists.iter().any(|list| list.is_match(agent))
    }
}

/// The patterns of one list.
struct PatternList {
    words: AhoCorasick,
    expressions: RegexSet,
    /// For each word and for each expression, the index of its pattern.
    word_of: Vec<usize>,
    expression_of: Vec<usize>,
}

impl PatternList {
    /// The list without the patterns that match people, and those patterns.
    fn excluding_human_agents(
        patterns: Vec<String>,
        ignore_case: bool,
    ) -> (PatternList, Vec<String>) {
        let all = PatternList::compile_patterns(&patterns, ignore_case);
        let hits: BTreeSet<usize> = human_agents()
            .flat_map(|person| all.matching_patterns(&without_model(person)))
            .collect();
        if hits.is_empty() {
            return (all, Vec::new());
        }

        let (refused, kept): (Vec<_>, Vec<_>) = patterns
            .into_iter()
            .enumerate()
            .partition(|(number, _)| hits.contains(number));
        let texts = |numbered: Vec<(usize, String)>| {
            numbered
                .into_iter()
                .map(|(_, pattern)| pattern)
                .collect::<Vec<_>>()
        };
        (
            PatternList::compile_patterns(&texts(kept), ignore_case),
            texts(refused),
        )
    }

    fn compile_patterns(patterns: &[String], ignore_case: bool) -> PatternList {
        let (mut words, mut word_of, mut expressions, mut expression_of) =
            (vec![], vec![], vec![], vec![]);
        for (number, pattern) in patterns.iter().enumerate() {
            match literal_word(pattern) {
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

        PatternList {
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
    fn matching_patterns(&self, agent: &str) -> Vec<usize> {
        let words = self
            .words
            .find_overlapping_iter(agent)
            .map(|found| self.word_of[found.pattern().as_usize()]);
        let mut hits: Vec<usize> = words.collect();
        if self.expressions.is_match(agent) {
            hits.extend(
                self.expressions
                    .matches(agent)
                    .into_iter()
                    .map(|number| self.expression_of[number]),
            );
        }
        hits
    }
}

fn human_agents() -> impl Iterator<Item = &'static str> {
    HUMAN_AGENTS.lines().filter(|line| !line.starts_with('#'))
}

fn parse_patterns(json: &str) -> Vec<String> {
    #[derive(Deserialize)]
    struct BotListFile {
        patterns: Vec<String>,
    }
    let file: BotListFile =
        serde_json::from_str(json).expect("the lists are part of the binary and a test reads them");
    file.patterns
}

/// The user agent without the model of an Android device, because manufacturers name phones Spider,
/// B BOT and Expanse. If a bot's name is in the place of the model, there is also a URL or the word
/// "compatible".
fn without_model(agent: &str) -> Cow<'_, str> {
    static MODEL: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"(?i)\bandroid [\w.]+((?:;[^;()]*(?:\([^()]*\)[^;()]*)?)+)\).*(?:webkit|gecko)/",
        )
        .expect(CONSTANT_COMPILES)
    });
    static BOT_MARK: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?i)://|compatible|bot/|@|-google").expect(CONSTANT_COMPILES)
    });
    let Some(model) = MODEL.captures(agent).and_then(|found| found.get(1)) else {
        return agent.into();
    };
    if BOT_MARK.is_match(model.as_str()) {
        return agent.into();
    }
    format!("{}{}", &agent[..model.start()], &agent[model.end()..]).into()
}

/// The pattern as plain text, if it has no special characters.
fn literal_word(pattern: &str) -> Option<String> {
    let mut word = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.push(chars.next().filter(|c| c.is_ascii_punctuation())?),
            '^' | '$' | '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' => {
                return None;
            }
            c => word.push(c),
        }
    }
    word.is_empty().not().then_some(word)
}

#[cfg(test)]
mod tests;
