//! The check of the native wire format that `make fuzz` runs.

use serde_json::json;
use serde_json::value::RawValue;

use super::wire::{self, MAX_ENGAGED_MILLIS, MAX_URL_BYTES, ParsedBody};
use crate::event::{FaultKind, HitDetail, HitKind, HitPayload, Money, Problem, WebVital};

const MAX_HITS: usize = 20;
/// A problem quotes at most 200 bytes of the parser's message.
const MAX_DETAIL_BYTES: usize = 256;
/// Below it, an amount's minor units and its JSON number are the same number.
const EXACT_MINOR: u64 = 1 << 50;

/// Parses a body. What was parsed is within its bounds, reads the same alone as within its list,
/// and is the same once more after it was written as JSON. Returns whether a hit was parsed.
pub(crate) fn check_wire_hit(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let found = match wire::parse_body(&text, MAX_HITS) {
        Ok(found) => found,
        Err(problem) => {
            check_problem(&problem);
            return false;
        }
    };

    let all = found.hits.len() + found.unreadable.len();
    assert!((1..=MAX_HITS).contains(&all), "the number of hits");
    assert_eq!(found.hits.len(), found.places.len(), "a place for each hit");
    assert!(found.places.is_sorted(), "hits keep their order");

    found.hits.iter().for_each(check_bounds);
    found.hits.iter().for_each(check_written_again);
    found
        .unreadable
        .iter()
        .for_each(|(_, problem)| check_problem(problem));
    if let Ok(parts) = serde_json::from_str::<Vec<&RawValue>>(&text) {
        check_parts(&parts, &found);
    }
    !found.hits.is_empty()
}

fn check_problem(problem: &Problem) {
    assert_eq!(problem.code.status(), 400, "the sender's fault");
    assert!(problem.detail.len() <= MAX_DETAIL_BYTES, "a long problem");
    assert!(!problem.detail.is_empty(), "a problem without its reason");
}

fn check_bounds(hit: &HitPayload<'_>) {
    assert!((1..=MAX_URL_BYTES).contains(&hit.url.len()), "url");
    assert!(hit.referrer.len() <= MAX_URL_BYTES, "referrer");
    assert!(hit.engaged_ms <= MAX_ENGAGED_MILLIS, "engaged");

    let named = matches!(hit.kind, HitKind::Click | HitKind::Event);
    assert_eq!(named, !hit.name.is_empty(), "name");
    assert!(hit.kind == HitKind::Event || !hit.passive, "passive");

    let belongs = match &hit.detail {
        HitDetail::Empty => !matches!(hit.kind, HitKind::Vital | HitKind::Fault),
        HitDetail::Money(Money { currency, .. }) | HitDetail::MoneyOverLimit(currency) => {
            hit.kind == HitKind::Event && currency.as_bytes().iter().all(u8::is_ascii_uppercase)
        }
        HitDetail::Vital(..) => hit.kind == HitKind::Vital,
        HitDetail::Fault(_, text) => hit.kind == HitKind::Fault && text.len() <= MAX_URL_BYTES,
    };
    assert!(belongs, "a detail of another kind");
}

/// Each part of a list reads alone as it did in the list.
fn check_parts(parts: &[&RawValue], found: &ParsedBody<'_>) {
    for (place, part) in parts.iter().enumerate() {
        // Alone, an array is a list.
        if part.get().starts_with('[') {
            assert!(!found.places.contains(&place), "an array was read as a hit");
            continue;
        }

        let read = found.places.iter().position(|known| *known == place);
        match (wire::parse_body(part.get(), 1), read) {
            (Ok(alone), Some(read)) if alone.hits.len() == 1 => {
                assert_same(&alone.hits[0], &found.hits[read]);
            }
            (Ok(alone), None) => assert!(alone.hits.is_empty(), "alone it is a hit"),
            (Err(_), None) => {}
            _ => panic!("alone it is no hit"),
        }
    }
}

fn check_written_again(hit: &HitPayload<'_>) {
    if matches!(hit.detail, HitDetail::Money(amount) if amount.minor > EXACT_MINOR) {
        return;
    }
    let text = write_hit(hit).to_string();
    let Ok(again) = wire::parse_body(&text, 1) else {
        panic!("written again it is no body");
    };
    assert_eq!(again.hits.len(), 1, "written again it is no hit");
    assert_same(&again.hits[0], hit);
}

/// The JSON of a hit, as a sender would write it.
fn write_hit(hit: &HitPayload<'_>) -> serde_json::Value {
    let mut written = json!({
        "kind": hit.kind.name(),
        "url": hit.url,
        "referrer": hit.referrer,
        "engaged": hit.engaged_ms,
        "webdriver": hit.webdriver,
    });
    if !hit.name.is_empty() {
        written["name"] = json!(hit.name);
    }
    if hit.passive {
        written["passive"] = json!(true);
    }
    if let Some(id) = hit.id {
        written["id"] = json!(format!("{id:032x}"));
    }

    match &hit.detail {
        HitDetail::Empty => {}
        HitDetail::Money(Money { minor, currency }) => {
            written["value"] = json!(*minor as f64 / f64::from(currency.minor_per_unit()));
            written["currency"] = json!(currency.as_str());
        }
        HitDetail::MoneyOverLimit(currency) => {
            written["value"] = json!(9.1e12);
            written["currency"] = json!(currency.as_str());
        }
        HitDetail::Vital(metric, bucket) => {
            written["metric"] = json!(metric.name());
            written["value"] = json!(value_in_bucket(*metric, *bucket));
        }
        HitDetail::Fault(FaultKind::Script, _) => {
            written["fault"] = json!("script");
            written["name"] = json!("Error");
        }
        HitDetail::Fault(FaultKind::NotFound, _) => written["fault"] = json!("not_found"),
    }
    written
}

/// A value that counts in this bucket: its upper edge, which the last one does not have.
fn value_in_bucket(metric: WebVital, bucket: u8) -> f64 {
    let (low, high) = metric.bucket_range(bucket);
    if low < high { high } else { low * 1.01 }
}

/// Compares without printing: a panic is a log line.
fn assert_same(one: &HitPayload<'_>, other: &HitPayload<'_>) {
    assert!(one.kind == other.kind, "another kind");
    assert!(one.url == other.url, "another url");
    assert!(one.referrer == other.referrer, "another referrer");
    assert!(one.name == other.name, "another name");
    assert!(one.id == other.id, "another id");
    assert!(one.engaged_ms == other.engaged_ms, "another time");
    assert!(one.passive == other.passive, "another passive");
    assert!(one.webdriver == other.webdriver, "another webdriver");

    // The text of an error is cleaned, so it cannot be written again as it was sent.
    let same = match (&one.detail, &other.detail) {
        (HitDetail::Fault(kind, _), HitDetail::Fault(other, _)) => kind == other,
        (one, other) => one == other,
    };
    assert!(same, "another detail");
}
