//! GoatCounter's pixel: all fields are in the query string, and the site is the host that was asked
//! for.
//!
//! A GoatCounter event has no page of its own. Here it is counted on the profile below whose path
//! the pixel lies, or on the front page.

use std::borrow::Cow;

use super::Complaint;
use super::json::cut;
use crate::event::{Kind, Payload};
use crate::ingest::wire::URL_BYTES;

/// Codes from 150 on say that the script found a robot; smaller ones are not valid in requests.
const ROBOT: u32 = 150;

/// `below` is the part of the path before our prefix, without its leading slash.
pub(super) fn read(query: &str, host: &str, below: &str) -> Result<Payload<'static>, Complaint> {
    let keys: Vec<(Cow<'_, str>, Cow<'_, str>)> = url::form_urlencoded::parse(query.as_bytes()).collect();
    let key = |name: &str| keys.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value);
    let path = key("p");
    if path.is_empty() {
        return Err(Complaint { field: "p", rule: "must not be empty" });
    }
    let is_event = flag(key("e")).ok_or(Complaint { field: "e", rule: "must be true or false" })?;
    let robot = robot(key("b"))?;
    if !key("s").split(',').all(|part| part.is_empty() || part.trim().parse::<f64>().is_ok()) {
        return Err(Complaint { field: "s", rule: "must be a width, or width, height and scale" });
    }
    let mut hit = match is_event {
        true => event(path, &format!("https://{host}/{below}")),
        false => Payload::new(Kind::View, cut(page(host, path, key("q")), URL_BYTES)),
    };
    hit.referrer = cut(key("r").to_owned(), URL_BYTES).into();
    hit.webdriver = robot;
    Ok(hit)
}

fn event(name: &str, page: &str) -> Payload<'static> {
    Payload { name: name.to_owned().into(), ..Payload::new(Kind::Event, page.to_owned()) }
}

/// The URL of a page. A query that is sent apart overrides the one in the path.
fn page(host: &str, path: &str, query: &str) -> String {
    let (path, of_path) = path.split_once('?').unwrap_or((path, ""));
    let query = match query.trim_start_matches('?') {
        "" => of_path,
        query => query,
    };
    format!("https://{host}/{}?{query}", path.strip_prefix('/').unwrap_or(path))
}

fn flag(value: &str) -> Option<bool> {
    match value {
        "" | "false" | "0" | "off" => Some(false),
        "true" | "1" | "on" => Some(true),
        _ => None,
    }
}

fn robot(value: &str) -> Result<bool, Complaint> {
    match value {
        "" => Ok(false),
        value => match value.parse::<u32>() {
            Ok(0) => Ok(false),
            Ok(code) if code >= ROBOT => Ok(true),
            _ => Err(Complaint { field: "b", rule: "must be 0 or 150 and above" }),
        },
    }
}
