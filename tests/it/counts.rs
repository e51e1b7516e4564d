//! Exact counts: days of traffic are sent over HTTP, and every answer of the report API is compared
//! completely with an independent calculation from the same hits.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde_json::Value;

use crate::reference::lots::{Publishing, Slip};
use crate::reference::report::Question;
use crate::reference::{Book, Counts, Hit, REASONS, Reference, Row};
use crate::support::{Body, Client, Server, Upgrade};
use crate::traffic::{self, Plan, SITES, Sent, Site};

/// The number of connections over which the hits of one moment are spread.
const LANES: usize = 16;
/// The largest number of rows that the API returns.
const ALL: usize = 1000;
/// The coin's key.
const COIN_KEY: [u8; 32] = *b"the coin of the independent test";
/// The time from a day's end until it is published, and a second more.
const PUBLISHED_AFTER: i64 = 121_000;

#[test]
fn five_days_across_a_short_night_are_counted_to_the_last_digit() {
    agree(&Plan::SPRING, 0, 1);
}

#[test]
fn five_days_across_a_long_night_are_counted_to_the_last_digit() {
    agree(&Plan::AUTUMN, 0, 3);
}

/// Lots that wait longer than five weeks are moved to `(other)`.
#[test]
fn six_weeks_of_a_few_visitors_are_counted_to_the_last_digit() {
    agree(&Plan::WEEKS, 0, 3);
}

/// Sends the traffic and compares the reports with those of the calculator, while other processes
/// take over from the server, one after the other, without a pause. Of each site's questions one in
/// `every` is asked, and all with `COUNTS_IN_FULL=1`: each figure is in many answers, and the engine
/// takes minutes to answer all of a plan.
pub fn agree(plan: &Plan, upgrades: usize, every: usize) {
    let sent = traffic::generate(plan);
    let reference = reference_of(plan, &sent, None);
    let coin_key: String = COIN_KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    let coin_key = format!("test.coin_key={coin_key}");
    // The senders' connections are idle while a day is published.
    let settings = [
        &*coin_key,
        "test.whole_lots=false",
        "report.open_lot=0",
        "server.keep_alive_secs=600",
    ];
    let server = Server::start_with(&profiles(), &settings);
    let mut successions = Successions::new(&server, upgrades, &sent);
    send_all(&server, plan, &sent, &mut successions);
    successions.finish();
    server.publish(settled(plan));
    let every = std::env::var_os("COUNTS_IN_FULL").map_or(every, |_| 1);
    let mut client = server.client();
    for (number, book) in reference.books.values().enumerate() {
        let asked = questions(book, plan).into_iter().skip(number % every);
        for question in asked.step_by(every) {
            compare(&mut client, book, &question, &server);
        }
    }
    compare_drops(&mut client, &reference);
}

/// Processes that take over from each other during the traffic.
struct Successions<'a> {
    server: &'a Server,
    /// The hits between two upgrades.
    every: usize,
    hits: usize,
    left: usize,
    /// The process that serves, after the first upgrade.
    serving: Option<Upgrade>,
    /// The one that is taking over.
    coming: Option<Upgrade>,
}

impl<'a> Successions<'a> {
    fn new(server: &'a Server, upgrades: usize, sent: &[Sent]) -> Successions<'a> {
        Successions {
            server,
            every: sent.len() / (upgrades + 1),
            hits: 0,
            left: upgrades,
            serving: None,
            coming: None,
        }
    }

    /// Begins an upgrade where one is due; it goes on while the next hits are sent.
    fn record_hits(&mut self, hits: usize) {
        self.hits += hits;
        if self.left > 0 && self.hits >= self.every {
            self.finish();
            self.hits = 0;
            self.left -= 1;
            self.coming = Some(self.server.begin_upgrade(&[]));
        }
    }

    /// Waits for the end of the upgrade under way.
    fn finish(&mut self) {
        let Some(mut coming) = self.coming.take() else {
            return;
        };
        assert!(coming.serves(), "{}", self.server.log());
        if let Some(mut former) = self.serving.replace(coming) {
            assert_eq!(former.ended(), Some(0), "{}", self.server.log());
        }
    }
}

fn reference_of(plan: &Plan, sent: &[Sent], slip: Option<Slip>) -> Reference {
    let hits: Vec<Hit> = sent.iter().flat_map(|sent| sent.hits.clone()).collect();
    let ids = SITES.each_ref().map(Site::id);
    let sites: Vec<(&str, &str)> = ids
        .iter()
        .zip(&SITES)
        .map(|(id, site)| (id.as_str(), site.zone))
        .collect();
    Reference::of(
        &sites,
        &hits,
        &Publishing {
            coin_key: COIN_KEY,
            remainders: true,
            at: settled(plan),
            slip,
        },
    )
}

/// One rule for each host; sites are made by their first visit.
fn profiles() -> String {
    let hosts: BTreeSet<(&str, &str)> = SITES.iter().map(|site| (site.host, site.zone)).collect();
    let rule = |(host, zone): (&str, &str)| {
        let site = format!("{}-{{profile}}", traffic::platform(host));
        format!(
            "\n[[profiles]]\nhost = \"{host}\"\npath = \"/u/{{profile}}\"\nsite = \"{site}\"\nzone = \"{zone}\"\n"
        )
    };
    hosts.into_iter().map(rule).collect()
}

/// Sends all hits in the order of time. Within a moment, only the hits of one network need their
/// order, so each address keeps to one connection. A day that is over in a zone is published before
/// anything later is sent.
fn send_all(server: &Server, plan: &Plan, sent: &[Sent], successions: &mut Successions<'_>) {
    let mut clients: Vec<Client> = (0..LANES).map(|_| server.client()).collect();
    let mut ends = ends_of_days(plan).into_iter().peekable();
    for moment in sent.chunk_by(|a, b| a.at == b.at) {
        successions.record_hits(moment.len());
        while let Some(end) = ends.next_if(|end| *end <= moment[0].at) {
            server.publish(end);
        }
        let mut lanes: Vec<Vec<&Sent>> = vec![Vec::new(); LANES];
        for sent in moment {
            lanes[lane(sent)].push(sent);
        }
        let longest = lanes.iter().map(Vec::len).max().unwrap_or(0);
        for round in 0..longest {
            let of_round = || {
                lanes
                    .iter()
                    .enumerate()
                    .filter_map(|(n, lane)| Some((n, *lane.get(round)?)))
            };
            for (n, sent) in of_round() {
                post(&mut clients[n], sent);
            }
            for (n, sent) in of_round() {
                let answer = clients[n].receive().expect("an answer");
                let seen = (answer.status, answer.body.as_slice());
                assert_eq!(
                    seen,
                    (202, &b""[..]),
                    "{} to {:?}",
                    answer.text(),
                    sent.body
                );
            }
        }
    }
}

fn lane(sent: &Sent) -> usize {
    let address = sent
        .headers
        .iter()
        .find(|(name, _)| *name == "X-Forwarded-For")
        .expect("each has an address");
    let network = address
        .1
        .rsplit_once(['.', ':'])
        .map_or("", |(network, _)| network);
    network.bytes().map(usize::from).sum::<usize>() % LANES
}

fn post(client: &mut Client, sent: &Sent) {
    let now = sent.at.to_string();
    let mut headers: Vec<(&str, &str)> = sent
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    headers.push(("X-Footfall-Now", &now));
    client
        .send(
            "POST",
            "/ff/hit",
            &headers,
            Body::Sized(sent.body.as_bytes()),
        )
        .expect("the server reads");
}

/// The moments at which a day of a zone can be published.
fn ends_of_days(plan: &Plan) -> BTreeSet<i64> {
    let days = plan
        .first_day
        .series(jiff::Span::new().days(1))
        .take(plan.days as usize);
    let ends = days.flat_map(|day| {
        let next = day.tomorrow().expect("not the last day of the calendar");
        SITES
            .iter()
            .map(move |site| traffic::midnight(next, site) + PUBLISHED_AFTER)
    });
    ends.collect()
}

/// When every visit has ended in every zone: a visit that began on the last evening continues into
/// the next day and ends there at the latest.
fn settled(plan: &Plan) -> i64 {
    let after = plan.last_day().saturating_add(jiff::Span::new().days(2));
    let last_midnight = SITES
        .iter()
        .map(|site| traffic::midnight(after, site))
        .max()
        .expect("there are sites");
    last_midnight + 31 * 60_000
}

/// The whole range, each day, several limits, and each value both ways.
fn questions(book: &Book, plan: &Plan) -> Vec<Question> {
    // A day without data before the range, and the day after it, into which the last visits extend.
    let from = plan
        .first_day
        .yesterday()
        .expect("not the first day of the calendar");
    let to = plan
        .last_day()
        .tomorrow()
        .expect("not the last day of the calendar");
    let whole = |limit, filter| Question {
        from,
        to,
        limit,
        filter,
    };
    let single = |day, filter| Question {
        from: day,
        to: day,
        limit: ALL,
        filter,
    };
    let days: Vec<Date> = from
        .series(jiff::Span::new().days(1))
        .take_while(|day| *day <= to)
        .collect();

    let mut questions = vec![
        whole(ALL, None),
        whole(1, None),
        whole(3, None),
        whole(10, None),
    ];
    questions.extend(days.iter().map(|day| single(*day, None)));
    for (n, filter) in filters(book).into_iter().enumerate() {
        questions.push(whole(ALL, Some(filter.clone())));
        match n % 5 {
            0 => questions.push(whole(2, Some(filter))),
            1 | 3 => questions.push(single(days[n % days.len()], Some(filter))),
            _ => {}
        }
    }
    questions
}

/// Every item and every value the site has, and a few it has not.
fn filters(book: &Book) -> Vec<(String, String)> {
    let mut filters: BTreeSet<(String, String)> = BTreeSet::new();
    for row in book.rows.keys() {
        if row.subject != "site" && row.dim.is_empty() {
            filters.insert((row.subject.to_owned(), row.item.clone()));
        }
        if row.subject == "site" && ["source", "campaign", "country"].contains(&row.dim) {
            filters.insert((row.dim.to_owned(), row.value.clone()));
        }
    }
    filters.extend(
        ["page", "link", "source", "country"]
            .map(|by| (by.to_owned(), "/nobody & nothing".to_owned())),
    );
    filters.into_iter().collect()
}

fn compare(client: &mut Client, book: &Book, question: &Question, server: &Server) {
    let Question {
        from,
        to,
        limit,
        filter,
    } = question;
    let mut target = format!("/api/v1/sites/{}/report?from={from}&to={to}", book.name);
    // Ten rows is the default.
    if *limit != 10 {
        target += &format!("&limit={limit}");
    }
    if let Some((by, value)) = filter {
        target += &format!("&filter={}", percent_encoded(&format!("{by}:{value}")));
    }
    let answer = client.get(&target).expect("an answer");
    assert_eq!(
        answer.status,
        200,
        "{target}: {}\n{}",
        answer.text(),
        server.log()
    );
    let product: Value = serde_json::from_slice(&answer.body).expect("JSON");
    if let Some(difference) = first_difference("", &product, &book.answer(question)) {
        panic!("{target}\n{difference}");
    }
}

fn compare_drops(client: &mut Client, reference: &Reference) {
    let metrics = client.get("/metrics").expect("an answer").text();
    let expected: BTreeMap<&str, u64> = reference
        .drops
        .iter()
        .map(|(reason, n)| (*reason, *n))
        .collect();
    assert_eq!(refusals(&metrics), expected);
}

/// `footfall_drops_total{reason="dnt"} 3` as `dnt` -> 3; counters that are zero may be absent.
fn refusals(metrics: &str) -> BTreeMap<&str, u64> {
    let counters = metrics.lines().filter_map(|line| {
        line.strip_prefix("footfall_drops_total{reason=\"")?
            .split_once("\"} ")
    });
    let numbers = counters.map(|(reason, n)| (reason, n.trim().parse().expect("a whole number")));
    numbers.filter(|(_, n)| *n > 0).collect()
}

fn percent_encoded(text: &str) -> String {
    let byte = |b: u8| match b {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(b).to_string()
        }
        _ => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// The first difference between two answers, with both sides.
fn first_difference(path: &str, product: &Value, reference: &Value) -> Option<String> {
    let nothing = Value::String("(nothing)".to_owned());
    match (product, reference) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let side = |of: &'_ serde_json::Map<String, Value>, key: &str| {
                of.get(key).cloned().unwrap_or(nothing.clone())
            };
            keys.into_iter().find_map(|key| {
                first_difference(&format!("{path}.{key}"), &side(a, key), &side(b, key))
            })
        }
        (Value::Array(a), Value::Array(b)) => {
            let side = |of: &[Value], n: usize| of.get(n).cloned().unwrap_or(nothing.clone());
            (0..a.len().max(b.len()))
                .find_map(|n| first_difference(&format!("{path}[{n}]"), &side(a, n), &side(b, n)))
        }
        _ if product == reference => None,
        _ => Some(format!(
            "at {path}\n  product:   {product}\n  reference: {reference}"
        )),
    }
}

#[test]
fn a_difference_is_named_by_its_place() {
    let (a, b) = (
        serde_json::json!({"x": [1, {"y": 2}]}),
        serde_json::json!({"x": [1, {"y": 3}]}),
    );
    assert_eq!(first_difference("", &a, &a), None);
    assert_eq!(
        first_difference("", &a, &b).unwrap(),
        "at .x[1].y\n  product:   2\n  reference: 3"
    );
}

#[test]
fn refusals_are_read_from_the_metrics_text() {
    let text = "# TYPE footfall_drops_total counter\nfootfall_drops_total{reason=\"dnt\"} 3\n\
                footfall_drops_total{reason=\"gpc\"} 0\nother{reason=\"x\"} 1\n";
    assert_eq!(refusals(text), BTreeMap::from([("dnt", 3)]));
}

#[test]
fn the_traffic_holds_what_the_proof_needs() {
    let sent = traffic::generate(&Plan::SPRING);
    assert!(
        (60_000..=80_000).contains(&sent.len()),
        "{} requests",
        sent.len()
    );
    assert!(sent.is_sorted_by_key(|sent| sent.at));
    assert!(
        sent.iter()
            .all(|sent| sent.body.len() <= 8 * 1024 && sent.hits.len() <= 20)
    );
    let moments = sent.chunk_by(|a, b| a.at == b.at).count();
    assert!(
        moments * 3 < sent.len() * 2,
        "{moments} moments: too few requests share one"
    );

    let reference = reference_of(&Plan::SPRING, &sent, None);
    let sum = |dim: &str, value: &str| -> [u64; 2] {
        let rows = reference.books.values().flat_map(|book| &book.rows);
        let rows = rows.filter(|(row, _)| {
            row.subject == "site" && row.dim == dim && (value.is_empty() || row.value == value)
        });
        rows.fold([0, 0], |[visitors, visits], (_, counts)| {
            [visitors + counts.visitors, visits + counts.visits]
        })
    };
    let [visitors, visits] = sum("", "");
    assert!(visits >= 20_000, "{visits} visits");
    assert!(
        visitors < visits * 9 / 10,
        "{visitors} visitors of {visits} visits: too few come back"
    );
    assert!(sum("country", "(unknown)")[1] > 100);
    for reason in REASONS {
        assert!(
            reference.drops[reason] > 500,
            "{reason}: {}",
            reference.drops[reason]
        );
    }
    let rows = || reference.books.values().flat_map(|book| book.rows.keys());
    let countries: BTreeSet<&str> = rows()
        .filter(|row| row.dim == "country")
        .map(|row| row.value.as_str())
        .collect();
    assert!(countries.len() >= 7, "{countries:?}");
    let days: BTreeSet<Date> = rows().map(|row| row.day).collect();
    assert_eq!(
        days.len(),
        6,
        "five days and what goes on after the last midnight"
    );
    assert!(sent.iter().any(|sent| sent.hits.len() == 20));

    let answers = answers(&reference, &Plan::SPRING);
    let with = |what: &str| {
        answers
            .iter()
            .filter(|answer| answer.contains(what))
            .count()
    };
    assert!(
        with("\"pending\":0") > 100,
        "of {} answers too few have nothing pending",
        answers.len()
    );
    let books = || reference.books.values();
    let items = books()
        .flat_map(|book| book.lots.keys())
        .filter(|row| row.subject != "site")
        .count();
    let waited = |book: &Book| {
        let more = |(row, lot): &(&Row, &Counts)| {
            book.rows
                .get(*row)
                .is_none_or(|of_day| of_day.visitors < lot.visitors)
        };
        book.lots.iter().filter(more).count()
    };
    let late: usize = books().map(waited).sum();
    assert!(
        items > 200 && late > 200,
        "{items} lots of items, {late} with visitors of earlier days"
    );
}

fn answers(reference: &Reference, plan: &Plan) -> Vec<String> {
    let books = reference.books.values();
    books
        .flat_map(|book| {
            questions(book, plan)
                .into_iter()
                .map(|question| book.answer(&question).to_string())
        })
        .collect()
}

/// The comparison detects a mistake in any single rule: with it, the calculator's answers differ.
#[test]
fn every_rule_of_publication_shows_in_the_answers() {
    for (plan, slips) in [
        (
            &Plan::SPRING,
            &[
                Slip::NoCoin,
                Slip::NoNetworks,
                Slip::NoRemainder,
                Slip::NoSecondarySuppression,
                Slip::NoComplement,
                Slip::NoStep,
                Slip::FirstDay,
            ][..],
        ),
        (&Plan::WEEKS, &[Slip::NoEnd]),
    ] {
        let sent = traffic::generate(plan);
        let right = answers(&reference_of(plan, &sent, None), plan);
        for slip in slips {
            let wrong = answers(&reference_of(plan, &sent, Some(*slip)), plan);
            let differ = right
                .iter()
                .zip(&wrong)
                .filter(|(right, wrong)| right != wrong)
                .count();
            assert!(
                differ > 0,
                "{slip:?} shows in none of {} answers",
                right.len()
            );
        }
    }
}
