//! The calculator against numbers worked out by hand.

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use serde_json::{Value, json};

use super::report::{Question, folded};
use super::{Attributes, Book, Counts, Deed, Hit, Reference, Row};

const DAY: Date = date(2026, 3, 28);
const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;

/// Milliseconds since the epoch of a local time in Berlin, on the eve of its shortest night.
fn berlin(hour: i8, minute: i8) -> i64 {
    DAY.at(hour, minute, 0, 0).in_tz("Europe/Berlin").expect("no time the clock skips").timestamp().as_millisecond()
}

fn hit(at: i64, who: &str, deed: Deed) -> Hit {
    let attributes: Attributes = [("source", "Google".to_owned()), ("country", "DE".to_owned())].into();
    let (site, address, agent) = ("mia".to_owned(), who.to_owned(), "Firefox".to_owned());
    Hit { at, site, address, agent, deed, id: None, attributes, against: Vec::new() }
}

fn view(at: i64, who: &str, page: &str) -> Hit {
    hit(at, who, Deed::View { page: page.to_owned() })
}

fn click(at: i64, who: &str, engaged: u64) -> Hit {
    hit(at, who, Deed::Click { link: "shop".to_owned(), engaged })
}

fn event(at: i64, who: &str, passive: bool) -> Hit {
    hit(at, who, Deed::Event { name: "tip".to_owned(), passive, money: Some((1999, "EUR")) })
}

fn leave(at: i64, who: &str, page: &str, engaged: u64) -> Hit {
    hit(at, who, Deed::Leave { page: page.to_owned(), engaged })
}

fn with_id(id: &str, hit: Hit) -> Hit {
    Hit { id: Some(id.to_owned()), ..hit }
}

fn from(source: &str, mut hit: Hit) -> Hit {
    hit.attributes.insert("source", source.to_owned());
    hit
}

fn book(hits: &[Hit]) -> Book {
    let mut reference = Reference::of(&[("mia", "Europe/Berlin")], hits);
    reference.books.remove("mia").expect("the one site")
}

/// Counters in the order hits, visitors, visits, bounces, seconds, exits.
fn of(book: &Book, day: Date, subject: &'static str, item: &str, dim: &'static str, value: &str) -> [u64; 6] {
    let row = Row { day, subject, item: item.to_owned(), dim, value: value.to_owned() };
    numbers(book.rows.get(&row).copied().unwrap_or_default())
}

fn numbers(c: Counts) -> [u64; 6] {
    [c.hits, c.visitors, c.visits, c.bounces, c.seconds, c.exits]
}

fn site(book: &Book) -> [u64; 6] {
    of(book, DAY, "site", "", "", "")
}

#[test]
fn a_gap_one_second_short_of_thirty_minutes_continues_the_visit() {
    let noon = berlin(12, 0);
    let book = book(&[view(noon, "a", "/"), view(noon + 30 * MINUTE - SECOND, "a", "/")]);
    assert_eq!(site(&book), [2, 1, 1, 0, 1799, 0]);
    assert_eq!(of(&book, DAY, "page", "/", "", ""), [2, 1, 1, 0, 0, 1]);
}

#[test]
fn a_gap_of_thirty_minutes_starts_another_visit_of_the_same_visitor() {
    let noon = berlin(12, 0);
    let book = book(&[view(noon, "a", "/"), view(noon + 30 * MINUTE, "a", "/")]);
    assert_eq!(site(&book), [2, 1, 2, 2, 0, 0]);
    assert_eq!(of(&book, DAY, "page", "/", "", ""), [2, 1, 2, 2, 0, 2]);
    assert_eq!(of(&book, DAY, "site", "", "source", "Google"), [0, 1, 2, 0, 0, 0]);
}

#[test]
fn one_view_is_a_bounce_unless_the_visitor_did_something() {
    let noon = berlin(12, 0);
    assert_eq!(site(&book(&[view(noon, "a", "/")])), [1, 1, 1, 1, 0, 0]);
    assert_eq!(site(&book(&[view(noon, "a", "/"), event(noon + 2_999, "a", true)])), [1, 1, 1, 1, 2, 0]);
    assert_eq!(site(&book(&[view(noon, "a", "/"), event(noon + 2_999, "a", false)])), [1, 1, 1, 0, 2, 0]);
    assert_eq!(site(&book(&[view(noon, "a", "/"), click(noon, "a", 0)])), [1, 1, 1, 0, 0, 0]);
    assert_eq!(site(&book(&[view(noon, "a", "/"), leave(noon + 9_000, "a", "/", 8_500)])), [1, 1, 1, 1, 9, 0]);
}

#[test]
fn a_visit_without_a_page_bounces_off_the_site_and_leaves_no_page() {
    let book = book(&[event(berlin(12, 0), "a", true)]);
    assert_eq!(site(&book), [0, 1, 1, 1, 0, 0]);
    assert_eq!(of(&book, DAY, "event", "tip", "", ""), [1, 1, 1, 0, 0, 0]);
    assert!(book.rows.keys().all(|row| row.subject != "page"));
    assert_eq!(book.money[&(DAY, "tip".to_owned(), "EUR")], (1, 1999));
}

#[test]
fn midnight_ends_the_visit_and_makes_another_visitor() {
    let midnight = berlin(0, 0) + 24 * 60 * MINUTE;
    let book = book(&[view(midnight - 1, "a", "/"), view(midnight, "a", "/"), view(midnight + 5_000, "a", "/x")]);
    assert_eq!(site(&book), [1, 1, 1, 1, 0, 0]);
    assert_eq!(of(&book, date(2026, 3, 29), "site", "", "", ""), [2, 1, 1, 0, 5, 0]);
    assert_eq!(of(&book, date(2026, 3, 29), "page", "/", "", ""), [1, 1, 1, 0, 0, 0]);
    assert_eq!(of(&book, date(2026, 3, 29), "page", "/x", "", ""), [1, 1, 1, 0, 0, 1]);
}

#[test]
fn a_leave_brings_rounded_seconds_continues_a_visit_and_never_starts_one() {
    let noon = berlin(12, 0);
    let book = book(&[
        leave(noon - MINUTE, "a", "/", 60_000),
        view(noon, "a", "/"),
        leave(noon + 29 * MINUTE, "a", "/", 1_500),
        view(noon + 58 * MINUTE, "a", "/"),
        leave(noon + 58 * MINUTE, "a", "/y", 1_499),
        leave(noon + 88 * MINUTE, "a", "/", 60_000),
    ]);
    assert_eq!(site(&book), [2, 1, 1, 0, 58 * 60, 0]);
    // The first and the last leave came without a visit: their minutes are the page's all the same.
    assert_eq!(of(&book, DAY, "page", "/", "", ""), [2, 1, 1, 0, 2 + 60 + 60, 1]);
    assert_eq!(of(&book, DAY, "page", "/y", "", ""), [0, 0, 0, 0, 1, 0]);
}

#[test]
fn the_same_id_counts_once_within_two_minutes_and_again_after_three() {
    let noon = berlin(12, 0);
    let repeated = |after: i64| {
        let hits = [with_id("0a", view(noon, "a", "/")), with_id("0a", view(noon + after, "a", "/"))];
        site(&book(&hits))
    };
    assert_eq!(repeated(0), [1, 1, 1, 1, 0, 0]);
    assert_eq!(repeated(2 * MINUTE - 1), [1, 1, 1, 1, 0, 0]);
    assert_eq!(repeated(3 * MINUTE + 1), [2, 1, 1, 0, 180, 0]);
}

#[test]
#[should_panic(expected = "unspecified")]
fn an_id_repeated_between_two_and_three_minutes_is_no_part_of_a_plan() {
    let noon = berlin(12, 0);
    book(&[with_id("0a", view(noon, "a", "/")), with_id("0a", view(noon + 150_000, "a", "/"))]);
}

#[test]
fn a_refused_hit_raises_the_first_reason_in_the_order_of_the_gate_and_nothing_else() {
    let noon = berlin(12, 0);
    let refused = |against: &[&'static str]| Hit { against: against.to_vec(), ..with_id("0a", view(noon, "a", "/")) };
    let hits = [
        refused(&["no_consent", "dnt", "gpc"]),
        refused(&["dnt", "not_a_view"]),
        refused(&["not_a_view"]),
        with_id("0a", view(noon, "a", "/")),
    ];
    let reference = Reference::of(&[("mia", "Europe/Berlin")], &hits);
    assert_eq!(reference.drops, BTreeMap::from([("gpc", 1), ("not_a_view", 2)]));
    assert_eq!(site(&reference.books["mia"]), [1, 1, 1, 1, 0, 0]);
}

#[test]
fn a_visitor_is_counted_once_a_day_under_the_attributes_of_the_visit_that_touched_first() {
    let noon = berlin(12, 0);
    let book = book(&[
        from("Google", view(noon, "a", "/")),
        from("Instagram", view(noon + MINUTE, "a", "/")),
        from("Instagram", view(noon + 60 * MINUTE, "a", "/")),
        from("(direct)", click(noon + 61 * MINUTE, "a", 2_500)),
    ]);
    assert_eq!(of(&book, DAY, "site", "", "source", "Google"), [0, 1, 1, 0, 0, 0]);
    assert_eq!(of(&book, DAY, "site", "", "source", "Instagram"), [0, 0, 1, 0, 0, 0]);
    assert_eq!(of(&book, DAY, "page", "/", "source", "Instagram"), [0, 0, 1, 0, 0, 0]);
    assert_eq!(of(&book, DAY, "link", "shop", "source", "Instagram"), [0, 1, 1, 0, 0, 0]);
    assert_eq!(of(&book, DAY, "link", "shop", "", ""), [1, 1, 1, 0, 3, 0]);
    assert_eq!(of(&book, DAY, "page", "/", "", ""), [3, 1, 2, 0, 0, 2]);
    assert!(book.rows.keys().all(|row| row.dim != "campaign" && row.value != "(direct)"));
}

#[test]
fn a_visit_closes_into_the_hour_it_began_in_and_hours_follow_the_local_clock() {
    let book = book(&[view(berlin(12, 59), "a", "/"), view(berlin(13, 1) + 999, "a", "/")]);
    let hours: Vec<_> = book.hours.iter().map(|(start, counts)| (*start, numbers(*counts))).collect();
    let noon = berlin(12, 0) / 1000;
    assert_eq!(hours, [(noon, [1, 1, 1, 0, 120, 0]), (noon + 3600, [1, 0, 0, 0, 0, 0])]);

    let mut half_hour_zone = Reference::of(&[("mia", "Asia/Kolkata")], &[view(berlin(12, 10), "a", "/")]);
    let book = half_hour_zone.books.remove("mia").unwrap();
    // 12:10 in Berlin is 16:40 in Kolkata, whose hour began at 11:30 in Berlin.
    assert_eq!(book.hours.into_keys().collect::<Vec<_>>(), [berlin(11, 30) / 1000]);
}

fn ask(book: &Book, filter: Option<(&str, &str)>, limit: usize) -> Value {
    let filter = filter.map(|(by, value)| (by.to_owned(), value.to_owned()));
    book.answer(&Question { from: DAY, to: date(2026, 3, 29), limit, filter })
}

#[test]
fn a_report_lists_every_day_and_every_local_hour_of_the_night_that_lacks_one() {
    let report = ask(&book(&[view(berlin(12, 0), "a", "/")]), None, 10);
    let hours = report["series"].as_array().unwrap();
    assert_eq!(hours.len(), 24 + 23);
    assert_eq!(hours[25]["at"], "2026-03-29T01:00:00+01:00");
    assert_eq!(hours[26]["at"], "2026-03-29T03:00:00+02:00");
    let totals = json!({"hits": 1, "visitors": 1, "visits": 1, "bounces": 1, "seconds": 0});
    assert_eq!(report["totals"], totals);
    let zeros =
        json!({"at": "2026-03-29T03:00:00+02:00", "hits": 0, "visitors": 0, "visits": 0, "bounces": 0, "seconds": 0});
    assert_eq!(hours[26], zeros);
    let page = json!({"item": "/", "hits": 1, "visitors": 1, "visits": 1, "bounces": 1, "seconds": 0, "exits": 1, "entries": 1});
    let none = json!({"hits": 0, "rows": []});
    assert_eq!(report["subjects"], json!({"page": {"hits": 1, "rows": [page]}, "link": none, "event": none}));
    assert_eq!(report["dimensions"]["source"], json!({"fewer_than": 5}));
    assert_eq!(report["dimensions"]["campaign"], json!({"rows": []}));
}

#[test]
fn a_filter_by_item_shows_its_attributes_and_a_filter_by_attribute_its_items() {
    let noon = berlin(12, 0);
    let five: Vec<Hit> = ["a", "b", "c", "d", "e"].map(|who| view(noon, who, "/")).into();
    let book = book(&[five, vec![click(noon, "a", 0)]].concat());
    let of_page = ask(&book, Some(("page", "/")), 10);
    assert_eq!(of_page["totals"]["exits"], 5);
    assert_eq!(of_page["subjects"], json!({}));
    let google = json!({"rows": [{"value": "Google", "visitors": 5, "visits": 5}]});
    let germany = json!({"rows": [{"value": "DE", "visitors": 5, "visits": 5}]});
    assert_eq!(of_page["dimensions"], json!({"source": google, "country": germany}));
    assert_eq!(of_page["interval"], "day");

    let of_source = ask(&book, Some(("source", "Google")), 10);
    assert_eq!(of_source["totals"], json!({"visitors": 5, "visits": 5}));
    let pages = json!({"rows": [{"item": "/", "visitors": 5, "visits": 5}]});
    let subjects = json!({"page": pages, "link": {"rows": []}, "event": {"rows": []}});
    assert_eq!(of_source["subjects"], subjects);

    let of_link = ask(&book, Some(("link", "shop")), 10);
    assert_eq!(of_link["fewer_than"], 5);
    assert_eq!(of_link.as_object().unwrap().len(), 8);
}

/// Value, visitors, visits.
fn fold(rows: &[(&str, u64, u64)], limit: usize) -> Value {
    let counts = |&(value, visitors, visits): &(&str, u64, u64)| {
        (value.to_owned(), Counts { visitors, visits, ..Counts::default() })
    };
    folded(rows.iter().map(counts).collect(), "value", limit)
}

fn rows(rows: &[(&str, u64, u64)]) -> Value {
    let row =
        |(value, visitors, visits): &(&str, u64, u64)| json!({"value": value, "visitors": visitors, "visits": visits});
    json!({"rows": rows.iter().map(row).collect::<Vec<_>>()})
}

#[test]
fn small_values_fold_into_other_until_it_holds_five_visitors() {
    assert_eq!(fold(&[], 10), rows(&[]));
    assert_eq!(fold(&[("a", 5, 6), ("b", 9, 9)], 10), rows(&[("b", 9, 9), ("a", 5, 6)]));
    assert_eq!(fold(&[("a", 9, 9), ("b", 3, 4), ("c", 2, 2)], 10), rows(&[("a", 9, 9), ("(other)", 5, 6)]));
    let joined = fold(&[("a", 9, 9), ("b", 4, 4), ("c", 6, 6), ("d", 6, 8)], 10);
    assert_eq!(joined, rows(&[("a", 9, 9), ("d", 6, 8), ("(other)", 10, 10)]));
    let greatest_name_first = fold(&[("a", 5, 5), ("b", 5, 5), ("c", 1, 1)], 10);
    assert_eq!(greatest_name_first, rows(&[("a", 5, 5), ("(other)", 6, 6)]));
    assert_eq!(fold(&[("a", 2, 2), ("b", 2, 3)], 10), json!({"fewer_than": 5}));
    assert_eq!(fold(&[("a", 7, 7), ("b", 0, 1)], 10), rows(&[("(other)", 7, 8)]));
    assert_eq!(fold(&[("(other)", 40, 50), ("a", 9, 9)], 10), rows(&[("a", 9, 9), ("(other)", 40, 50)]));
    let cut = fold(&[("a", 9, 9), ("b", 8, 8), ("c", 7, 7), ("d", 4, 4), ("e", 3, 3)], 2);
    assert_eq!(cut, rows(&[("a", 9, 9), ("b", 8, 8), ("(other)", 7, 7)]));
}
