//! The calculator itself, against numbers worked out by hand.

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use serde_json::{Value, json};

use super::lots::{Publishing, Slip};
use super::report::Question;
use super::{Attributes, Book, Counts, Deed, Hit, Reference, Row};

const DAY: Date = date(2026, 3, 28);
const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;

/// Milliseconds since the epoch of a local time in Berlin, on the eve of its shortest night.
fn berlin(hour: i8, minute: i8) -> i64 {
    DAY.at(hour, minute, 0, 0)
        .in_tz("Europe/Berlin")
        .expect("no time the clock skips")
        .timestamp()
        .as_millisecond()
}

fn hit(at: i64, who: &str, deed: Deed) -> Hit {
    let attributes: Attributes = [
        ("source", "Google".to_owned()),
        ("country", "DE".to_owned()),
    ]
    .into();
    // A letter is a visitor with a network of their own.
    let address = if let [letter] = who.as_bytes() {
        format!("203.0.{letter}.1")
    } else {
        who.to_owned()
    };
    let (site, agent) = ("mia".to_owned(), "Firefox".to_owned());
    Hit {
        at,
        site,
        address,
        agent,
        deed,
        id: None,
        attributes,
        against: Vec::new(),
    }
}

fn view(at: i64, who: &str, page: &str) -> Hit {
    hit(
        at,
        who,
        Deed::View {
            page: page.to_owned(),
        },
    )
}

fn click(at: i64, who: &str, engaged: u64) -> Hit {
    hit(
        at,
        who,
        Deed::Click {
            link: "shop".to_owned(),
            engaged,
        },
    )
}

fn event(at: i64, who: &str, passive: bool) -> Hit {
    hit(
        at,
        who,
        Deed::Event {
            name: "tip".to_owned(),
            passive,
            money: Some((1999, "EUR")),
        },
    )
}

fn leave(at: i64, who: &str, page: &str, engaged: u64) -> Hit {
    hit(
        at,
        who,
        Deed::Leave {
            page: page.to_owned(),
            engaged,
        },
    )
}

fn with_id(id: &str, hit: Hit) -> Hit {
    Hit {
        id: Some(id.to_owned()),
        ..hit
    }
}

fn from(source: &str, mut hit: Hit) -> Hit {
    hit.attributes.insert("source", source.to_owned());
    hit
}

/// Published until the end of the day after [`DAY`], in whole lots.
fn rules() -> Publishing {
    let at = berlin(0, 0) + 3 * 24 * 60 * MINUTE;
    Publishing {
        coin_key: [7; 32],
        remainders: false,
        at,
        slip: None,
    }
}

fn book(hits: &[Hit]) -> Book {
    let mut reference = Reference::of(&[("mia", "Europe/Berlin")], hits, &rules());
    reference.books.remove("mia").expect("the one site")
}

/// A visitor with a network of their own.
fn who(n: usize) -> String {
    format!("198.51.{n}.7")
}

/// Counters in the order hits, visitors, visits, bounces, seconds, exits.
fn of(
    book: &Book,
    day: Date,
    subject: &'static str,
    item: &str,
    dim: &'static str,
    value: &str,
) -> [u64; 6] {
    let row = Row {
        day,
        subject,
        item: item.to_owned(),
        dim,
        value: value.to_owned(),
    };
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
    let book = book(&[
        view(noon, "a", "/"),
        view(noon + 30 * MINUTE - SECOND, "a", "/"),
    ]);
    assert_eq!(site(&book), [2, 1, 1, 0, 1799, 0]);
    assert_eq!(of(&book, DAY, "page", "/", "", ""), [2, 1, 1, 0, 0, 1]);
}

#[test]
fn a_gap_of_thirty_minutes_starts_another_visit_of_the_same_visitor() {
    let noon = berlin(12, 0);
    let book = book(&[view(noon, "a", "/"), view(noon + 30 * MINUTE, "a", "/")]);
    assert_eq!(site(&book), [2, 1, 2, 2, 0, 0]);
    assert_eq!(of(&book, DAY, "page", "/", "", ""), [2, 1, 2, 2, 0, 2]);
    assert_eq!(
        of(&book, DAY, "site", "", "source", "Google"),
        [0, 1, 2, 0, 0, 0]
    );
}

#[test]
fn one_view_is_a_bounce_unless_the_visitor_did_something() {
    let noon = berlin(12, 0);
    assert_eq!(site(&book(&[view(noon, "a", "/")])), [1, 1, 1, 1, 0, 0]);
    assert_eq!(
        site(&book(&[
            view(noon, "a", "/"),
            event(noon + 2_999, "a", true)
        ])),
        [1, 1, 1, 1, 2, 0]
    );
    assert_eq!(
        site(&book(&[
            view(noon, "a", "/"),
            event(noon + 2_999, "a", false)
        ])),
        [1, 1, 1, 0, 2, 0]
    );
    assert_eq!(
        site(&book(&[view(noon, "a", "/"), click(noon, "a", 0)])),
        [1, 1, 1, 0, 0, 0]
    );
    assert_eq!(
        site(&book(&[
            view(noon, "a", "/"),
            leave(noon + 9_000, "a", "/", 8_500)
        ])),
        [1, 1, 1, 1, 9, 0]
    );
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
    let book = book(&[
        view(midnight - 1, "a", "/"),
        view(midnight, "a", "/"),
        view(midnight + 5_000, "a", "/x"),
    ]);
    assert_eq!(site(&book), [1, 1, 1, 1, 0, 0]);
    assert_eq!(
        of(&book, date(2026, 3, 29), "site", "", "", ""),
        [2, 1, 1, 0, 5, 0]
    );
    assert_eq!(
        of(&book, date(2026, 3, 29), "page", "/", "", ""),
        [1, 1, 1, 0, 0, 0]
    );
    assert_eq!(
        of(&book, date(2026, 3, 29), "page", "/x", "", ""),
        [1, 1, 1, 0, 0, 1]
    );
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
    // The first and the last leave came without a visit: their seconds count for the page
    // nevertheless.
    assert_eq!(
        of(&book, DAY, "page", "/", "", ""),
        [2, 1, 1, 0, 2 + 60 + 60, 1]
    );
    assert_eq!(of(&book, DAY, "page", "/y", "", ""), [0, 0, 0, 0, 1, 0]);
}

#[test]
fn the_same_id_counts_once_within_two_minutes_and_again_after_three() {
    let noon = berlin(12, 0);
    let repeated = |after: i64| {
        let hits = [
            with_id("0a", view(noon, "a", "/")),
            with_id("0a", view(noon + after, "a", "/")),
        ];
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
    book(&[
        with_id("0a", view(noon, "a", "/")),
        with_id("0a", view(noon + 150_000, "a", "/")),
    ]);
}

#[test]
fn a_refused_hit_raises_the_first_reason_in_the_order_of_the_gate_and_nothing_else() {
    let noon = berlin(12, 0);
    let refused = |against: &[&'static str]| Hit {
        against: against.to_vec(),
        ..with_id("0a", view(noon, "a", "/"))
    };
    let hits = [
        refused(&["no_consent", "dnt", "gpc"]),
        refused(&["dnt", "not_a_view"]),
        refused(&["not_a_view"]),
        with_id("0a", view(noon, "a", "/")),
    ];
    let reference = Reference::of(&[("mia", "Europe/Berlin")], &hits, &rules());
    assert_eq!(
        reference.drops,
        BTreeMap::from([("gpc", 1), ("not_a_view", 2)])
    );
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
    assert_eq!(
        of(&book, DAY, "site", "", "source", "Google"),
        [0, 1, 1, 0, 0, 0]
    );
    assert_eq!(
        of(&book, DAY, "site", "", "source", "Instagram"),
        [0, 0, 1, 0, 0, 0]
    );
    assert_eq!(
        of(&book, DAY, "page", "/", "source", "Instagram"),
        [0, 0, 1, 0, 0, 0]
    );
    assert_eq!(
        of(&book, DAY, "link", "shop", "source", "Instagram"),
        [0, 1, 1, 0, 0, 0]
    );
    assert_eq!(of(&book, DAY, "link", "shop", "", ""), [1, 1, 1, 0, 3, 0]);
    assert_eq!(of(&book, DAY, "page", "/", "", ""), [3, 1, 2, 0, 0, 2]);
    assert_eq!(
        of(&book, DAY, "site", "", "campaign", "(none)"),
        [0, 1, 2, 0, 0, 0]
    );
    assert!(book.rows.keys().all(|row| row.value != "(direct)"));
}

#[test]
fn a_visit_closes_into_the_hour_it_began_in_and_hours_follow_the_local_clock() {
    let book = book(&[
        view(berlin(12, 59), "a", "/"),
        view(berlin(13, 1) + 999, "a", "/"),
    ]);
    let hours: Vec<_> = book
        .hours
        .iter()
        .map(|(start, counts)| (*start, numbers(*counts)))
        .collect();
    let noon = berlin(12, 0) / 1000;
    assert_eq!(
        hours,
        [
            (noon, [1, 1, 1, 0, 120, 0]),
            (noon + 3600, [1, 0, 0, 0, 0, 0])
        ]
    );

    let mut half_hour_zone = Reference::of(
        &[("mia", "Asia/Kolkata")],
        &[view(berlin(12, 10), "a", "/")],
        &rules(),
    );
    let book = half_hour_zone.books.remove("mia").unwrap();
    // 12:10 in Berlin is 16:40 in Kolkata, whose hour began at 11:30 in Berlin.
    assert_eq!(
        book.hours.into_keys().collect::<Vec<_>>(),
        [berlin(11, 30) / 1000]
    );
}

fn ask(book: &Book, filter: Option<(&str, &str)>, limit: usize) -> Value {
    let filter = filter.map(|(by, value)| (by.to_owned(), value.to_owned()));
    book.answer(&Question {
        from: DAY,
        to: date(2026, 3, 29),
        limit,
        filter,
    })
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
    let zeros = json!({"at": "2026-03-29T03:00:00+02:00", "hits": 0, "visitors": 0, "visits": 0, "bounces": 0, "seconds": 0});
    assert_eq!(hours[26], zeros);
    let page = json!({"item": "/", "hits": 1, "visitors": 1, "visits": 1, "bounces": 1, "seconds": 0, "exits": 1, "entries": 1});
    let none = json!({"hits": 0, "rows": []});
    assert_eq!(
        report["subjects"],
        json!({"page": {"hits": 1, "rows": [page]}, "link": none, "event": none})
    );
    assert_eq!(
        report["dimensions"]["source"],
        json!({"published": 0, "pending": 1, "rows": []})
    );
    assert_eq!(
        report["attributes"],
        json!({"through": "2026-03-29", "hour": null})
    );
}

#[test]
fn a_filter_by_item_shows_its_attributes_and_a_filter_by_attribute_its_items() {
    let noon = berlin(12, 0);
    let ten: Vec<Hit> = (0..10).map(|n| view(noon, &who(n), "/")).collect();
    let book = book(&[ten, vec![click(noon, &who(0), 0)]].concat());
    let of_page = ask(&book, Some(("page", "/")), 10);
    assert_eq!(of_page["totals"]["exits"], 10);
    assert_eq!(of_page["subjects"], json!({}));
    let all = |value: &str| json!({"published": 10, "pending": 0, "rows": [{"value": value, "visitors": 10, "visits": 10}]});
    assert_eq!(
        of_page["dimensions"],
        json!({"source": all("Google"), "country": all("DE")})
    );
    assert_eq!(of_page["interval"], "day");

    let of_source = ask(&book, Some(("source", "Google")), 10);
    assert_eq!(of_source["totals"], json!({"visitors": 10, "visits": 10}));
    let pages = json!({"rows": [{"item": "/", "visitors": 10, "visits": 10}]});
    let subjects = json!({"page": pages, "link": {"rows": []}, "event": {"rows": []}});
    assert_eq!(of_source["subjects"], subjects);

    let of_link = ask(&book, Some(("link", "shop")), 10);
    assert_eq!(
        (
            &of_link["totals"]["visitors"],
            &of_link["dimensions"]["source"]["pending"]
        ),
        (&json!(1), &json!(1))
    );
}

/// Visitors: day after [`DAY`], source, people, networks.
type Came = (i64, &'static str, usize, usize);

fn came(came: &[Came]) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (group, (day, source, people, networks)) in came.iter().enumerate() {
        for n in 0..*people {
            let address = format!("10.{group}.{}.{n}", n.min(networks - 1));
            let at = berlin(12, 0) + day * 24 * 60 * MINUTE;
            hits.push(from(
                source,
                hit(
                    at,
                    &address,
                    Deed::View {
                        page: "/".to_owned(),
                    },
                ),
            ));
        }
    }
    hits.sort_by_key(|hit| hit.at);
    hits
}

/// The lots of a dimension of the site: days after [`DAY`], value, visitors.
fn lots(book: &Book, dim: &str) -> Vec<(i32, String, u64)> {
    let of = book
        .lots
        .iter()
        .filter(|(row, _)| row.subject == "site" && row.dim == dim);
    of.map(|(row, counts)| {
        (
            (row.day - DAY).get_days(),
            row.value.clone(),
            counts.visitors,
        )
    })
    .collect()
}

fn own(lots: &[(i32, &str, u64)]) -> Vec<(i32, String, u64)> {
    lots.iter()
        .map(|(day, value, n)| (*day, (*value).to_owned(), *n))
        .collect()
}

/// Published over this number of days, with a deliberate mistake.
fn published(hits: &[Hit], days: i64, slip: Option<Slip>) -> Book {
    let at = berlin(0, 0) + (days + 1) * 24 * 60 * MINUTE + 60 * MINUTE;
    let rules = Publishing {
        at,
        slip,
        ..rules()
    };
    Reference::of(&[("mia", "Europe/Berlin")], hits, &rules)
        .books
        .remove("mia")
        .expect("the one site")
}

#[test]
fn ten_are_a_lot_four_wait_for_others_and_are_booked_with_them() {
    let hits = came(&[
        (0, "Google", 12, 12),
        (0, "Bing", 4, 4),
        (0, "Blog", 3, 1),
        (1, "Bing", 8, 8),
        (1, "Blog", 3, 1),
    ]);
    assert_eq!(
        lots(&published(&hits, 1, None), "source"),
        own(&[(0, "Google", 12), (1, "Bing", 12)])
    );
    assert_eq!(
        lots(&published(&hits, 1, Some(Slip::FirstDay)), "source"),
        own(&[(0, "Bing", 12), (0, "Google", 12)])
    );
}

#[test]
fn a_day_is_published_two_minutes_after_its_end() {
    let hits = came(&[(0, "Google", 12, 12)]);
    let until = |at| {
        let rules = Publishing {
            at: berlin(0, 0) + 24 * 60 * MINUTE + at,
            ..rules()
        };
        Reference::of(&[("mia", "Europe/Berlin")], &hits, &rules).books["mia"]
            .lots
            .is_empty()
    };
    assert_eq!(
        [until(0), until(119_999), until(120_000)],
        [true, true, false]
    );
}

#[test]
fn one_network_is_no_lot_however_many_come_from_it() {
    let hits = came(&[(0, "Google", 40, 4)]);
    assert_eq!(lots(&published(&hits, 0, None), "source"), []);
    assert_eq!(
        lots(&published(&hits, 0, Some(Slip::NoNetworks)), "source"),
        own(&[(0, "Google", 40)])
    );
}

#[test]
fn between_five_and_nine_a_coin_decides_each_day_anew() {
    let hits = came(&[(0, "Google", 7, 7)]);
    let days: Vec<i32> = (0..6)
        .map(|seed| {
            let at = berlin(0, 0) + 900 * 60 * MINUTE * 24;
            let rules = Publishing {
                coin_key: [seed; 32],
                at,
                ..rules()
            };
            let book = Reference::of(&[("mia", "Europe/Berlin")], &hits, &rules)
                .books
                .remove("mia")
                .unwrap();
            lots(&book, "source")[0].0
        })
        .collect();
    assert!(
        days.contains(&0) && days.iter().any(|day| *day > 0),
        "{days:?}"
    );
    assert_eq!(
        lots(&published(&hits, 0, Some(Slip::NoCoin)), "source"),
        own(&[(0, "Google", 7)])
    );
}

#[test]
fn up_to_eight_of_a_lot_stay_behind_and_come_with_the_next() {
    let hits = came(&[(0, "Google", 40, 40), (1, "Google", 40, 40)]);
    let mut left: Vec<u64> = Vec::new();
    for seed in 0..30 {
        let rules = Publishing {
            coin_key: [seed; 32],
            remainders: true,
            ..rules()
        };
        let book = Reference::of(&[("mia", "Europe/Berlin")], &hits, &rules)
            .books
            .remove("mia")
            .unwrap();
        let [(0, _, first), (1, _, second)] = lots(&book, "source")[..] else {
            continue;
        };
        assert!((72..=80).contains(&(first + second)), "{first} {second}");
        left.push(40 - first);
    }
    left.sort_unstable();
    left.dedup();
    // One to four alone would be fewer than k.
    assert_eq!(left, [0, 5, 6, 7, 8]);
}

#[test]
fn what_stays_behind_is_nobody_or_five() {
    let hits = came(&[
        (0, "Google", 20, 20),
        (0, "Bing", 12, 12),
        (0, "Blog", 1, 1),
    ]);
    assert_eq!(
        lots(&published(&hits, 0, None), "source"),
        own(&[(0, "Google", 20)])
    );
    let slip = published(&hits, 0, Some(Slip::NoSecondarySuppression));
    assert_eq!(
        lots(&slip, "source"),
        own(&[(0, "Bing", 12), (0, "Google", 20)])
    );
    // No campaign is a campaign like any other.
    assert_eq!(
        lots(&published(&hits, 0, None), "campaign"),
        own(&[(0, "(none)", 33)])
    );
}

#[test]
fn a_page_that_all_but_one_saw_waits() {
    let mut hits = came(&[(0, "Google", 20, 20)]);
    let shop: Vec<Hit> = hits[..19]
        .iter()
        .map(|hit| Hit {
            deed: Deed::View {
                page: "/shop".to_owned(),
            },
            ..hit.clone()
        })
        .collect();
    hits.extend(shop);
    let of_page = |book: &Book| {
        let row = |row: &&Row| row.item == "/shop" && row.dim == "source";
        book.lots.keys().filter(row).count()
    };
    assert_eq!(of_page(&published(&hits, 0, None)), 0);
    assert_eq!(of_page(&published(&hits, 0, Some(Slip::NoComplement))), 1);
}

#[test]
fn what_waits_for_five_weeks_goes_on_as_other() {
    let hits = came(&[(0, "Blog", 3, 3), (41, "(other)", 8, 8)]);
    // 28 March 2026 is a Saturday, its Monday the 23rd: 41 days later it is the 3rd of May, 36 days
    // after the 28th.
    assert_eq!(
        lots(&published(&hits, 41, None), "source"),
        own(&[(41, "(other)", 11)])
    );
    assert_eq!(lots(&published(&hits, 41, Some(Slip::NoEnd)), "source"), []);
}
