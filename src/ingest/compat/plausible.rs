//! Plausible's events: one JSON object, whatever its content type, with short or long keys.
//!
//! `domain` is ignored; the site is the page's. Props are read for the target of the two automatic
//! link events and for nothing else.

use serde_json::Value;

use super::Complaint;
use super::json::{Object, cut, parse};
use crate::event::{Detail, FaultKind, Kind, Payload};
use crate::ingest::wire::{ENGAGED_MILLIS, URL_BYTES, money};

pub(super) fn read(body: &[u8]) -> Result<Payload<'static>, Complaint> {
    let mut event = Object::of(parse(body, "request")?, "request")?;
    let name = name(event.take(&["n", "name"]))?;
    let url = event.text(&["u", "url"])?.filter(|url| !url.is_empty());
    let url = url.ok_or(Complaint { field: "url", rule: "must not be empty" })?;
    event.text(&["d", "domain"])?;
    let mut props = Object::written(event.take(&["p", "m", "props", "meta"]), "props")?;
    let passive = event.flag(&["i", "interactive"])? == Some(false);
    let engaged = engaged(event.take(&["e"]))?;
    let revenue = Object::written(event.take(&["$", "revenue"]), "revenue")?;

    let mut hit = Payload::new(Kind::View, cut(url, URL_BYTES));
    hit.referrer = cut(event.text(&["r", "referrer"])?.unwrap_or_default(), URL_BYTES).into();
    match name.as_str() {
        "pageview" => {}
        "engagement" => (hit.kind, hit.engaged_ms) = (Kind::Leave, engaged),
        "404" => (hit.kind, hit.detail) = (Kind::Fault, Detail::Fault(FaultKind::NotFound, "".into())),
        _ => match target(&name, &mut props) {
            Some(target) => (hit.kind, hit.name) = (Kind::Click, target.into()),
            None => {
                (hit.kind, hit.name, hit.passive) = (Kind::Event, name.into(), passive);
                hit.detail = amount(revenue);
            }
        },
    }
    Ok(hit)
}

fn name(value: Option<Value>) -> Result<String, Complaint> {
    let name = match value {
        Some(Value::String(name)) => name,
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => number.to_string(),
        _ => return Err(Complaint { field: "name", rule: "must be a string or an integer" }),
    };
    if name.trim().is_empty() {
        return Err(Complaint { field: "name", rule: "must not be empty" });
    }
    Ok(name)
}

/// The target of a followed link. Without one it is an ordinary event.
fn target(name: &str, props: &mut Object) -> Option<String> {
    if name != "Outbound Link: Click" && name != "File Download" {
        return None;
    }
    let target = props.text(&["url"]).ok().flatten()?;
    Some(target).filter(|target| !target.is_empty())
}

/// Milliseconds of engagement; 0 for a value out of bounds, which does not invalidate the hit.
fn engaged(value: Option<Value>) -> Result<u32, Complaint> {
    let millis = match value {
        None => Some(0),
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => number.as_u64(),
        Some(Value::String(digits)) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok(),
        Some(_) => return Err(Complaint { field: "e", rule: "must be an integer" }),
    };
    let believed = millis.and_then(|millis| u32::try_from(millis).ok()).filter(|millis| *millis <= ENGAGED_MILLIS);
    Ok(believed.unwrap_or(0))
}

/// An unreadable amount is left out and the event kept: scripts send `{}` where an element has no
/// revenue.
fn amount(mut revenue: Object) -> Detail {
    let value = match revenue.take(&["amount"]) {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    let currency = revenue.text(&["currency"]).ok().flatten();
    money(Kind::Event, value, currency.as_deref()).unwrap_or(Detail::Nothing)
}
