//! Plausible's events: one JSON object of any content type, with short or long keys.
//!
//! `domain` is ignored; the site is the page's. Props are read only for the target of the two
//! automatic link events.

use serde_json::Value;

use super::ValidationError;
use super::json::{JsonObject, body_text, truncate_string};
use crate::event::{FaultKind, HitDetail, HitKind, HitPayload};
use crate::ingest::wire::{MAX_ENGAGED_MILLIS, MAX_URL_BYTES, money_detail};

pub(super) fn parse_hit(body: &[u8]) -> Result<HitPayload<'static>, ValidationError> {
    let mut event = JsonObject::parse(&body_text(body), "request")?;
    let name = parse_name(event.take_value(&["n", "name"]))?;
    let url = event
        .take_string(&["u", "url"])?
        .filter(|url| !url.is_empty());
    let url = url.ok_or(ValidationError {
        field: "url",
        rule: "must not be empty",
    })?;
    event.take_string(&["d", "domain"])?;
    let mut props = event.take_object_or_text(&["p", "m", "props", "meta"], "props")?;
    let passive = event.take_bool(&["i", "interactive"])? == Some(false);
    let engaged = parse_engaged_millis(event.take_value(&["e"]))?;
    let revenue = event.take_object_or_text(&["$", "revenue"], "revenue")?;

    let mut hit = HitPayload::new(HitKind::View, truncate_string(url, MAX_URL_BYTES));
    hit.referrer = truncate_string(
        event.take_string(&["r", "referrer"])?.unwrap_or_default(),
        MAX_URL_BYTES,
    )
    .into();
    match name.as_str() {
        "pageview" => {}
        "engagement" => (hit.kind, hit.engaged_ms) = (HitKind::Leave, engaged),
        "404" => {
            (hit.kind, hit.detail) = (
                HitKind::Fault,
                HitDetail::Fault(FaultKind::NotFound, "".into()),
            )
        }
        _ => match link_target(&name, &mut props) {
            Some(target) => (hit.kind, hit.name) = (HitKind::Click, target.into()),
            None => {
                (hit.kind, hit.name, hit.passive) = (HitKind::Event, name.into(), passive);
                hit.detail = parse_amount(revenue);
            }
        },
    }
    Ok(hit)
}

fn parse_name(value: Option<Value>) -> Result<String, ValidationError> {
    let name = match value {
        Some(Value::String(name)) => name,
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => number.to_string(),
        _ => {
            return Err(ValidationError {
                field: "name",
                rule: "must be a string or an integer",
            });
        }
    };
    if name.trim().is_empty() {
        return Err(ValidationError {
            field: "name",
            rule: "must not be empty",
        });
    }
    Ok(name)
}

/// The target of a followed link. Without a target, the hit is an ordinary event.
fn link_target(name: &str, props: &mut JsonObject) -> Option<String> {
    if name != "Outbound Link: Click" && name != "File Download" {
        return None;
    }
    let target = props.take_string(&["url"]).ok().flatten()?;
    Some(target).filter(|target| !target.is_empty())
}

/// Milliseconds of engagement; 0 for a value out of bounds, which does not invalidate the hit.
fn parse_engaged_millis(value: Option<Value>) -> Result<u32, ValidationError> {
    let millis = match value {
        None => Some(0),
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => number.as_u64(),
        Some(Value::String(digits)) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok()
        }
        Some(_) => {
            return Err(ValidationError {
                field: "e",
                rule: "must be an integer",
            });
        }
    };
    let believed = millis
        .and_then(|millis| u32::try_from(millis).ok())
        .filter(|millis| *millis <= MAX_ENGAGED_MILLIS);
    Ok(believed.unwrap_or(0))
}

/// An unreadable amount is ignored and the event counted, because scripts send `{}` where an
/// element has no revenue.
fn parse_amount(mut revenue: JsonObject) -> HitDetail {
    let value = match revenue.take_value(&["amount"]) {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    let currency = revenue.take_string(&["currency"]).ok().flatten();
    money_detail(HitKind::Event, value, currency.as_deref()).unwrap_or(HitDetail::Empty)
}
