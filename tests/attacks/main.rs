//! The attacks on the promises to visitors, as programs against the real collector. README.md says
//! which, and what they must not find.
//!
//! `cargo test --test attacks` runs each in a small size, `-- --full` as `make attack` does. Other
//! words choose attacks by their names.

mod complement;
mod crowd;
mod forger;
mod grants;
mod image;
mod linear;
mod model;
mod month;
mod preimage;
mod ranges;
mod share;
mod stage;
mod utility;
mod watcher;

#[path = "../it/traffic/people.rs"]
#[expect(dead_code, reason = "the attacks make people of their own with it")]
mod people;
#[path = "../it/support/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    reason = "shared with tests/it, which uses all of it"
)]
mod support;
#[path = "../it/traffic/values.rs"]
#[expect(dead_code, reason = "shared with tests/it, which uses all of it")]
mod values;

use std::process::ExitCode;
use std::time::Instant;

/// One line for machines: what an attack found, and what it may find at most.
pub struct Figure {
    name: String,
    value: f64,
    at_most: Option<f64>,
}

impl Figure {
    fn is_over(&self) -> bool {
        self.at_most.is_some_and(|most| self.value > most)
    }
}

/// What must stay within a bound.
pub fn found(name: &str, value: f64, at_most: f64) -> Figure {
    Figure {
        name: name.to_owned(),
        value,
        at_most: Some(at_most),
    }
}

/// What is said without a bound.
pub fn told(name: &str, value: f64) -> Figure {
    Figure {
        name: name.to_owned(),
        value,
        at_most: None,
    }
}

type Attack = fn(full: bool) -> Vec<Figure>;

/// The month is the last: its figures are the ones that README.md and PRIVACY.md quote.
const ATTACKS: [(&str, Attack); 7] = [
    ("image", image::attack),
    ("forged_name", preimage::attack),
    ("grants", grants::attack),
    ("forger", forger::attack),
    ("share", share::attack),
    ("complement", complement::attack),
    ("month", month),
];

/// The watcher, the ranges with the linear program, and the price of it all: of one month.
fn month(full: bool) -> Vec<Figure> {
    let sizes: &[(u64, usize)] = if full {
        &[(20, 10), (200, 3), (2000, 1)]
    } else {
        &[(20, 2), (60, 1)]
    };
    let mut month = month::Month::new(sizes, 11);
    month.begin();
    let utility = utility::measure(&mut month);

    // Shops and pages alone, of the sizes that have small cells.
    let attacked: &[usize] = if full { &[0, 1, 2, 3, 10, 11] } else { &[1] };
    let (mut control, mut findings) = (ranges::Tallies::new(), ranges::Findings::default());
    for site in attacked {
        ranges::control(&mut month, *site, &mut control);
        ranges::attack(&mut month, *site, full, &mut findings);
    }
    let ranges::Findings {
        alone,
        together,
        outside,
    } = findings;
    println!(
        "ranges, k in each asked range as it was: {}",
        ranges::sum(&control)
    );
    println!("ranges, each list by itself: {}", ranges::sum(&alone));
    println!(
        "ranges, all lists of a dimension: {}",
        ranges::sum(&together)
    );
    ranges::table(&together);
    println!(
        "ranges, all lists and what is known from outside: {}",
        ranges::sum(&outside)
    );
    ranges::table(&outside);
    assert!(
        ranges::sum(&control).exactly > 0,
        "a program that proves nothing of the rule before shows nothing of this one"
    );

    let watcher = watcher::Watcher::watch(&mut month);
    month.end();
    for (per_day, read) in &watcher.read {
        println!("watcher, {per_day} visitors a day: {read:?}");
    }
    let vectors: u64 = watcher.read.values().map(|read| read.vectors).sum();
    let advantage = watcher.advantage(&mut month);
    for (per_day, points) in &advantage {
        println!(
            "watcher, {per_day} visitors a day: {points:.1} points better than the commonest value"
        );
    }

    let mut figures = vec![
        told(
            "cells_proven_from_outside",
            ranges::sum(&outside).exactly as f64,
        ),
        found("vectors_read", vectors as f64, 0.0),
        found(
            "attribute_advantage_percent",
            advantage.values().copied().fold(0.0, f64::max),
            5.0,
        ),
    ];
    let (proven, presence) = (
        ranges::sum(&together).exactly as f64,
        ranges::presence_percent(&together),
    );
    figures.extend([
        found("cells_proven", proven, 0.0),
        found("presence_percent", presence, MAX_PRESENCE_PERCENT),
    ]);
    for ((per_day, days), utility::Utility { error, named }) in utility {
        println!(
            "published, {per_day} visitors a day, {days} days: \
             the five largest values are off by {error:.1} %, {named:.1} % of the visitors are under a name"
        );
        if days == CLOSED_DAYS {
            figures.push(told(&format!("published_error_percent_{per_day}"), error));
            figures.push(told(&format!("published_named_percent_{per_day}"), named));
        }
    }
    figures
}

/// Of the small day cells of the dimension that tells most, of how many it may be certain that
/// somebody came.
const MAX_PRESENCE_PERCENT: f64 = 20.0;

const CLOSED_DAYS: usize = month::CLOSED;

/// Runs the attacks, `at_once` at a time. `None` where one panicked; its message is printed
/// already.
fn run(attacks: &[(&str, Attack)], full: bool, at_once: usize) -> Vec<Option<Vec<Figure>>> {
    let mut outcomes = Vec::new();
    for group in attacks.chunks(at_once.max(1)) {
        std::thread::scope(|scope| {
            let threads: Vec<_> = group
                .iter()
                .map(|(name, attack)| scope.spawn(|| attempt(name, *attack, full)))
                .collect();
            for (thread, (name, _)) in threads.into_iter().zip(group) {
                let figures = thread.join().ok();
                if figures.is_none() {
                    println!("test {name} ... FAILED");
                }
                outcomes.push(figures);
            }
        });
    }
    outcomes
}

fn attempt(name: &str, attack: Attack, full: bool) -> Vec<Figure> {
    let begun = Instant::now();
    let figures = attack(full);
    for Figure {
        name,
        value,
        at_most,
    } in figures.iter().filter(|figure| figure.is_over())
    {
        println!(
            "{name} is {value:.1} and may be {}",
            at_most.unwrap_or_default()
        );
    }

    let verdict = if figures.iter().any(Figure::is_over) {
        "FAILED"
    } else {
        "ok"
    };
    println!(
        "test {name} ... {verdict} ({:.0} s)",
        begun.elapsed().as_secs_f64()
    );
    figures
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let full = words.iter().any(|word| word == "--full");
    let chosen: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let is_chosen =
        |name: &str| chosen.is_empty() || chosen.iter().any(|word| name.contains(*word));
    let attacks: Vec<(&str, Attack)> = ATTACKS
        .into_iter()
        .filter(|(name, _)| is_chosen(name))
        .collect();

    // The small sizes mostly wait. In full the figures are taken one attack at a time.
    let outcomes = run(&attacks, full, if full { 1 } else { ATTACKS.len() });

    let mut lines = Vec::new();
    let (mut passed, mut failed) = (0, 0);
    for figures in outcomes {
        let is_kept = figures
            .as_ref()
            .is_some_and(|figures| !figures.iter().any(Figure::is_over));
        passed += u32::from(is_kept);
        failed += u32::from(!is_kept);
        lines.extend(figures.unwrap_or_default());
    }
    println!(
        "\ntest result: {}. {passed} passed; {failed} failed;\n",
        if failed == 0 { "ok" } else { "FAILED" }
    );
    for Figure { name, value, .. } in lines {
        println!("{name}={}", (value * 10.0).round() / 10.0);
    }
    ExitCode::from(u8::from(failed > 0))
}
