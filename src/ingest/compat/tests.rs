use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ValidationError, goatcounter, plausible, umami};
use crate::enrich::PageUrl;
use crate::event::{CurrencyCode, FaultKind, HitDetail, HitKind, HitPayload, Money};

fn plausible(body: &Value) -> Result<HitPayload<'static>, ValidationError> {
    plausible::parse_hit(body.to_string().as_bytes())
}

fn amount(minor: u64, currency: &str) -> HitDetail {
    let currency = CurrencyCode::parse(currency).unwrap();
    HitDetail::Money(Money { minor, currency })
}

#[test]
fn plausibles_short_keys_win_over_long_ones_and_either_is_enough() {
    let short = json!({"n": "pageview", "u": "https://a.test/x", "d": "evil.test", "r": null, "v": 36, "sd": 40, "w": 1280, "new": [1]});
    let long = json!({"name": "pageview", "url": "https://a.test/x", "domain": "a.test", "referrer": "https://b.test/"});
    let both = json!({"n": "signup", "name": "pageview", "u": "https://a.test/x", "url": "https://b.test/"});
    let read = |body| {
        plausible(body)
            .map(|hit| (hit.kind, hit.url, hit.referrer, hit.name))
            .unwrap()
    };
    assert_eq!(
        read(&short),
        (
            HitKind::View,
            "https://a.test/x".into(),
            "".into(),
            "".into()
        )
    );
    assert_eq!(
        read(&long),
        (
            HitKind::View,
            "https://a.test/x".into(),
            "https://b.test/".into(),
            "".into()
        )
    );
    assert_eq!(
        read(&both),
        (
            HitKind::Event,
            "https://a.test/x".into(),
            "".into(),
            "signup".into()
        )
    );
}

#[test]
fn plausibles_automatic_events_become_our_kinds() {
    let hit = |more: Value| {
        let mut body = json!({"u": "https://a.test/x"});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let hit = plausible(&body).unwrap();
        (
            hit.kind,
            hit.name.into_owned(),
            hit.detail,
            hit.engaged_ms,
            hit.passive,
        )
    };
    let click = |target: &str| {
        (
            HitKind::Click,
            target.to_owned(),
            HitDetail::Empty,
            0,
            false,
        )
    };
    let event = |name: &str, detail, passive| (HitKind::Event, name.to_owned(), detail, 0, passive);
    let leave = |engaged| {
        (
            HitKind::Leave,
            String::new(),
            HitDetail::Empty,
            engaged,
            false,
        )
    };
    let target = "https://shop.test/mug";
    assert_eq!(
        hit(json!({"n": "Outbound Link: Click", "p": {"url": target}})),
        click(target)
    );
    assert_eq!(
        hit(json!({"n": "File Download", "p": format!(r#"{{"url":"{target}"}}"#)})),
        click(target)
    );
    assert_eq!(
        hit(json!({"n": "File Download", "m": {"url": target}})),
        click(target)
    );
    assert_eq!(
        hit(json!({"n": "File Download", "p": {"url": 7}})),
        event("File Download", HitDetail::Empty, false)
    );
    assert_eq!(
        hit(json!({"n": "File Download", "p": "[nonsense"})),
        event("File Download", HitDetail::Empty, false)
    );
    assert_eq!(
        hit(json!({"n": "engagement", "sd": 50, "e": 3000})),
        leave(3000)
    );
    assert_eq!(hit(json!({"n": "engagement", "e": "4000"})), leave(4000));
    assert_eq!(
        hit(json!({"n": "engagement", "e": 86_400_001_i64})),
        leave(0)
    );
    assert_eq!(hit(json!({"n": "engagement", "e": -5})), leave(0));
    let missing = HitDetail::Fault(FaultKind::NotFound, "".into());
    assert_eq!(
        hit(json!({"n": 404})),
        (HitKind::Fault, String::new(), missing.clone(), 0, false)
    );
    assert_eq!(
        hit(json!({"n": "404", "p": {"path": "/x"}})),
        (HitKind::Fault, String::new(), missing, 0, false)
    );
    assert_eq!(
        hit(json!({"n": "seen", "i": false})),
        event("seen", HitDetail::Empty, true)
    );
    for (revenue, detail) in [
        (
            json!({"amount": 19.99, "currency": "EUR"}),
            amount(1999, "EUR"),
        ),
        (
            json!({"amount": "1500", "currency": "JPY"}),
            amount(1500, "JPY"),
        ),
        (
            json!(r#"{"amount":1,"currency":"USD"}"#),
            amount(100, "USD"),
        ),
        (json!({}), HitDetail::Empty),
        (json!({"amount": -1, "currency": "EUR"}), HitDetail::Empty),
        (
            json!({"amount": "much", "currency": "EUR"}),
            HitDetail::Empty,
        ),
        (
            json!({"amount": "NaN", "currency": "EUR"}),
            HitDetail::Empty,
        ),
        (json!({"amount": 1, "currency": "euro"}), HitDetail::Empty),
        (json!({"amount": [1], "currency": 5}), HitDetail::Empty),
    ] {
        assert_eq!(
            hit(json!({"n": "buy", "$": revenue})),
            event("buy", detail, false),
            "{revenue}"
        );
    }
}

#[test]
fn umamis_page_is_an_absolute_url_or_a_host_and_a_path() {
    let url = |more: Value| {
        let read = umami::parse_single(
            json!({"type": "event", "payload": more})
                .to_string()
                .as_bytes(),
        );
        read.map(|read| read.hits[0].url.to_string())
            .map_err(|complaint| complaint.field)
    };
    let absolute = json!({"url": "https://a.test/x?y=1", "hostname": "evil.test"});
    assert_eq!(url(absolute).unwrap(), "https://a.test/x?y=1");
    assert_eq!(
        url(json!({"url": "/x", "hostname": "a.test"})).unwrap(),
        "https://a.test/x"
    );
    assert_eq!(
        url(json!({"url": "x", "hostname": "a.test"})).unwrap(),
        "https://a.test/x"
    );
    assert_eq!(
        url(json!({"hostname": "a.test"})).unwrap(),
        "https://a.test/"
    );
    assert_eq!(url(json!({"url": "/x"})), Err("url"));
}

#[test]
fn umamis_measurements_are_a_hit_each_and_an_identity_is_none() {
    let performance = json!({"type": "performance", "payload": {"url": "https://a.test/", "lcp": 2000, "cls": 0.05, "duration": 9}});
    let read = umami::parse_single(performance.to_string().as_bytes()).unwrap();
    assert_eq!((read.hits.len(), read.claims.len(), read.size), (2, 2, 1));
    assert!(read.hits.iter().all(|hit| hit.kind == HitKind::Vital));
    let identify = json!({"type": "identify", "payload": {"website": "w", "data": {"mail": "ann@mail.example"}}});
    let read = umami::parse_single(identify.to_string().as_bytes()).unwrap();
    assert_eq!((read.hits.len(), read.size), (0, 1));
}

#[test]
fn goatcounters_view_takes_its_query_and_an_event_its_profile() {
    let read = |query: &str, below: &str| {
        let hit = goatcounter::parse_hit(query, "a.test:8080", below).unwrap();
        (
            hit.kind,
            hit.url.into_owned(),
            hit.name.into_owned(),
            hit.webdriver,
        )
    };
    let view = |url: &str| (HitKind::View, url.to_owned(), String::new(), false);
    assert_eq!(
        read("p=%2Fu%2Fmia&s=390,844,3&rnd=x", ""),
        view("https://a.test:8080/u/mia?")
    );
    assert_eq!(
        read("p=u%2Fmia%3Fx%3D1", ""),
        view("https://a.test:8080/u/mia?x=1")
    );
    assert_eq!(
        read("p=/x?y=1&q=?utm_campaign%3Dtour", ""),
        view("https://a.test:8080/x?utm_campaign=tour")
    );
    let event = (
        HitKind::Event,
        "https://a.test:8080/u/mia".to_owned(),
        "signup".to_owned(),
        false,
    );
    assert_eq!(read("p=signup&e=true", "u/mia"), event);
    assert!(read("p=/x&b=150", "").3);
    assert!(!read("p=/x&b=0&e=off", "").3);
}

/// JSON that resembles a hit: the keys are right, the values are arbitrary.
fn near_miss() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "(https://a.test)?.{0,40}".prop_map(Value::from),
        prop::sample::select(vec![
            "event",
            "performance",
            "identify",
            "pageview",
            "engagement",
            "404",
            "File Download"
        ])
        .prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "n",
        "u",
        "d",
        "r",
        "p",
        "m",
        "i",
        "$",
        "e",
        "type",
        "payload",
        "website",
        "hostname",
        "url",
        "referrer",
        "name",
        "ip",
        "userAgent",
        "timestamp",
        "lcp",
        "cls",
        "amount",
        "currency",
    ]);
    leaf.prop_recursive(4, 64, 8, move |inner| {
        let object =
            prop::collection::hash_map(keys.clone().prop_map(str::to_owned), inner.clone(), 0..8);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            object.prop_map(|map| json!(map))
        ]
    })
}

fn read_everywhere(body: &[u8]) {
    let _ = plausible::parse_hit(body).map(|hit| PageUrl::parse(&hit.url).is_ok());
    let _ = umami::parse_batch(body, 20);
    let _ = umami::parse_single(body)
        .map(|read| read.hits.iter().all(|hit| PageUrl::parse(&hit.url).is_ok()));
}

proptest! {
    #[test]
    fn no_body_makes_a_parser_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        read_everywhere(&body);
    }

    #[test]
    fn no_json_makes_a_parser_panic(body in near_miss()) {
        read_everywhere(body.to_string().as_bytes());
        read_everywhere(json!([{"type": "event", "payload": body}]).to_string().as_bytes());
        read_everywhere(json!({"type": "performance", "payload": body}).to_string().as_bytes());
    }

    #[test]
    fn no_query_host_or_path_makes_a_parser_panic(
        query in "([a-z]{1,3}=[ -~]{0,20}&?){0,6}|.{0,80}", host in ".{0,30}", below in ".{0,30}",
    ) {
        if let Ok(hit) = goatcounter::parse_hit(&query, &host, &below) {
            let _ = PageUrl::parse(&hit.url).is_ok();
        }
    }

    #[test]
    fn a_brackets_depth_is_an_error_and_no_overflow(depth in 100_usize..8000) {
        read_everywhere("[".repeat(depth).as_bytes());
        read_everywhere("{\"payload\":".repeat(depth).as_bytes());
        read_everywhere(json!({"n": "x", "u": "https://a.test/", "p": "[".repeat(depth)}).to_string().as_bytes());
    }
}
