//! GoatCounter's pixel: all fields are in the query string, and the site is the host of the
//! request.
//!
//! A GoatCounter event has no page of its own. It is counted on the profile whose path precedes the
//! pixel's, or on the front page.

use std::borrow::Cow;

use super::ValidationError;
use super::json::truncate_string;
use crate::event::{HitKind, HitPayload};
use crate::ingest::wire::MAX_URL_BYTES;

/// Codes from 150 on mean that the script detected a robot; smaller ones are not valid in requests.
const MIN_ROBOT_CODE: u32 = 150;

/// `below` is the part of the path before the collector's prefix, without its leading slash.
pub(super) fn parse_hit(
    query: &str,
    host: &str,
    below: &str,
) -> Result<HitPayload<'static>, ValidationError> {
    let keys: Vec<(Cow<'_, str>, Cow<'_, str>)> =
        url::form_urlencoded::parse(query.as_bytes()).collect();
    let key = |name: &str| {
        keys.iter()
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value)
    };
    let path = key("p");
    if path.is_empty() {
        return Err(ValidationError {
            field: "p",
            rule: "must not be empty",
        });
    }
    let is_event = parse_flag(key("e")).ok_or(ValidationError {
        field: "e",
        rule: "must be true or false",
    })?;
    let robot = parse_robot_code(key("b"))?;
    if !key("s")
        .split(',')
        .all(|part| part.is_empty() || part.trim().parse::<f64>().is_ok())
    {
        return Err(ValidationError {
            field: "s",
            rule: "must be a width, or width, height and scale",
        });
    }
    let mut hit = match is_event {
        true => event_payload(path, &format!("https://{host}/{below}")),
        false => HitPayload::new(
            HitKind::View,
            truncate_string(page_url(host, path, key("q")), MAX_URL_BYTES),
        ),
    };
    hit.referrer = truncate_string(key("r").to_owned(), MAX_URL_BYTES).into();
    hit.webdriver = robot;
    Ok(hit)
}

fn event_payload(name: &str, page: &str) -> HitPayload<'static> {
    HitPayload {
        name: name.to_owned().into(),
        ..HitPayload::new(HitKind::Event, page.to_owned())
    }
}

/// The URL of a page. A query in a field of its own overrides the one in the path.
fn page_url(host: &str, path: &str, query: &str) -> String {
    let (path, of_path) = path.split_once('?').unwrap_or((path, ""));
    let query = match query.trim_start_matches('?') {
        "" => of_path,
        query => query,
    };
    format!(
        "https://{host}/{}?{query}",
        path.strip_prefix('/').unwrap_or(path)
    )
}

fn parse_flag(value: &str) -> Option<bool> {
    match value {
        "" | "false" | "0" | "off" => Some(false),
        "true" | "1" | "on" => Some(true),
        _ => None,
    }
}

fn parse_robot_code(value: &str) -> Result<bool, ValidationError> {
    match value {
        "" => Ok(false),
        value => match value.parse::<u32>() {
            Ok(0) => Ok(false),
            Ok(code) if code >= MIN_ROBOT_CODE => Ok(true),
            _ => Err(ValidationError {
                field: "b",
                rule: "must be 0 or 150 and above",
            }),
        },
    }
}
