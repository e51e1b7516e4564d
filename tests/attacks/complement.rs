//! P3: twenty visitors, nineteen of whom see /shop. The lists of the page are taken from the lists
//! of the site; what is left is one person.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::crowd::{Crowd, Person};
use crate::people::Dice;
use crate::stage::{DAY, FIRST, HOUR, Sent, Stage, date, range, rows, visitors};
use crate::{Figure, found};

const SITE: &str = "shopkeeper";
const DAYS: usize = 10;
const SEE_THE_SHOP: usize = 19;
const DIMENSIONS: [&str; 2] = ["source", "country"];
const K: u64 = 5;

/// Who does not see the shop; nobody else comes from Google or from France.
fn is_odd(person: &Person) -> bool {
    person.vector[0] == "Google" || person.vector[2] == "FR"
}

/// Counts how many groups of one to four a subtraction names, over every range.
pub fn attack(_: bool) -> Vec<Figure> {
    let mut stage = Stage::start(&[]);
    let mut dice = Dice::new(3);
    let mut crowd = Crowd::new(&mut dice, 40);
    for day in 0..DAYS {
        let mut pick = |odd: bool| loop {
            let person = crowd.person(&mut dice);
            if is_odd(&person) == odd {
                return person;
            }
        };
        let mut bodies: Vec<(Person, String)> = Vec::new();
        for n in 0..=SEE_THE_SHOP {
            let person = pick(n == SEE_THE_SHOP);
            let mut views = vec![person.beacon("view", "/u/shopkeeper", None)];
            views.extend(
                (n < SEE_THE_SHOP).then(|| person.beacon("view", "/u/shopkeeper/shop", None)),
            );
            let body = Value::from(views).to_string();
            bodies.push((person, body));
        }
        let all: Vec<Sent<'_>> = bodies
            .iter()
            .map(
                |(
                    Person {
                        address,
                        agent,
                        language,
                        ..
                    },
                    body,
                )| Sent {
                    body,
                    address,
                    agent: agent.header,
                    language,
                },
            )
            .collect();
        stage.send(FIRST + DAY * day as i64 + 12 * HOUR, &all);
        crowd.new_day();
        stage.end(day);
    }

    let mut named = 0;
    for (from, to) in (0..DAYS).flat_map(|from| (from..DAYS).map(move |to| (from, to))) {
        let of_site = stage.report(SITE, &range(from, to));
        let of_shop = stage.report(SITE, &(range(from, to) + "&filter=page:/u/shopkeeper/shop"));
        for dim in DIMENSIONS {
            named += groups(&of_site, &of_shop, dim)
                .inspect(|(value, n)| {
                    println!(
                        "complement: {n} of {value} on {} to {} did not see the shop",
                        date(from),
                        date(to)
                    );
                })
                .count();
        }
    }
    vec![found("complements_named", named as f64, 0.0)]
}

/// Values of which the page lacks one to four of the site's visitors, where both lists are
/// complete.
fn groups<'a>(
    of_site: &Value,
    of_shop: &Value,
    dim: &'a str,
) -> impl Iterator<Item = (String, u64)> + use<'a> {
    let complete = [of_site, of_shop].iter().all(|answer| {
        rows(answer, dim).iter().map(|(_, n)| n).sum::<u64>() == visitors(&answer["totals"])
    });
    let shop: BTreeMap<String, u64> = rows(of_shop, dim).into_iter().collect();
    let site = rows(of_site, dim).into_iter().filter(move |_| complete);
    let left = site.map(move |(value, n)| {
        let left = n.saturating_sub(shop.get(&value).copied().unwrap_or(0));
        (value, left)
    });
    left.filter(|(_, left)| (1..K).contains(left))
}
