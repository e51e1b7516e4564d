//! Umami's hits: an envelope `{type, payload}`, or an array of them to the batch endpoint.
//!
//! `website` does not select the site, because the page does; a server may put its token there. A
//! payload's time is ignored.

use std::net::IpAddr;
use std::rc::Rc;

use serde_json::Value;

use super::json::{Object, cut, parse};
use super::{Claims, Complaint, Read};
use crate::event::{Detail, Kind, Metric, Payload};
use crate::ingest::wire::URL_BYTES;

const MOST_HOST_CHARS: usize = 100;

const METRICS: [(&str, Metric, f64); 5] = [
    ("lcp", Metric::Lcp, 60_000.0),
    ("inp", Metric::Inp, 60_000.0),
    ("cls", Metric::Cls, 100.0),
    ("fcp", Metric::Fcp, 60_000.0),
    ("ttfb", Metric::Ttfb, 60_000.0),
];

pub(super) fn one(body: &[u8]) -> Result<Read, Complaint> {
    let mut read = Read::default();
    read.envelope(parse(body, "body")?)?;
    Ok(read)
}

pub(super) fn batch(body: &[u8], most: usize) -> Result<Read, Complaint> {
    let Value::Array(envelopes) = parse(body, "body")? else {
        return Err(Complaint { field: "body", rule: "must be an array" });
    };

    if envelopes.is_empty() || envelopes.len() > most {
        return Err(Complaint { field: "body", rule: "must hold at least one and at most limits.batch_hits hits" });
    }

    let mut read = Read::default();
    for (place, envelope) in envelopes.into_iter().enumerate() {
        if let Err(complaint) = read.envelope(envelope) {
            read.unreadable.push((place, complaint));
        }
    }
    Ok(read)
}

impl Read {
    fn envelope(&mut self, envelope: Value) -> Result<(), Complaint> {
        self.size += 1;
        let mut envelope = Object::of(envelope, "body")?;
        let kind = envelope.text(&["type"])?.unwrap_or_default();
        let payload = envelope.take(&["payload"]).unwrap_or(Value::Null);
        let mut payload = Object::of(payload, "payload")?;
        let claims = Rc::new(claims(&mut payload)?);
        match kind.as_str() {
            "event" => {
                self.hits.push(event(&mut payload)?);
                self.claims.push(claims);
                self.places.push(self.size - 1);
            }
            "performance" => {
                let vitals = vitals(&mut payload)?;
                self.claims.extend(std::iter::repeat_n(claims, vitals.len()));
                self.places.extend(std::iter::repeat_n(self.size - 1, vitals.len()));
                self.hits.extend(vitals);
            }
            // Identifies a visitor; ignored.
            "identify" => {}
            _ => return Err(Complaint { field: "type", rule: "must be event, performance or identify" }),
        }
        Ok(())
    }
}

/// A payload without a name is a page view.
fn event(payload: &mut Object) -> Result<Payload<'static>, Complaint> {
    let name = payload.text(&["name"])?.unwrap_or_default();
    let kind = if name.is_empty() { Kind::View } else { Kind::Event };
    let mut hit = Payload::new(kind, url(payload)?);
    hit.name = name.into();
    hit.referrer = cut(payload.text(&["referrer"])?.unwrap_or_default(), URL_BYTES).into();
    Ok(hit)
}

fn vitals(payload: &mut Object) -> Result<Vec<Payload<'static>>, Complaint> {
    let url = url(payload)?;
    let mut hits = Vec::new();
    for (key, metric, most) in METRICS {
        let Some(value) = payload.number(key)? else { continue };
        if !(0.0..=most).contains(&value) {
            return Err(Complaint { field: key, rule: "must be 0 to 60000 milliseconds, of cls 0 to 100" });
        }
        let detail = Detail::Vital(metric, metric.bucket(value));
        hits.push(Payload { detail, ..Payload::new(Kind::Vital, url.clone()) });
    }
    Ok(hits)
}

/// The page's URL: absolute, or a host name and a path.
fn url(payload: &mut Object) -> Result<String, Complaint> {
    let host = payload.text(&["hostname"])?.unwrap_or_default();
    let url = cut(payload.text(&["url"])?.unwrap_or_default(), URL_BYTES);
    if host.chars().count() > MOST_HOST_CHARS {
        return Err(Complaint { field: "hostname", rule: "must be at most 100 characters" });
    }
    if url.starts_with("http://") || url.starts_with("https://") {
        return Ok(url);
    }
    match (host.is_empty(), url.strip_prefix('/')) {
        (true, _) => Err(Complaint { field: "url", rule: "must be absolute, or hostname must be given" }),
        (false, path) => Ok(format!("https://{host}/{}", path.unwrap_or(&url))),
    }
}

fn claims(payload: &mut Object) -> Result<Claims, Complaint> {
    let token = payload.text(&["website"])?;
    let address = payload.text(&["ip"])?.and_then(|ip| ip.trim().parse::<IpAddr>().ok());
    let agent = payload.text(&["userAgent"])?.filter(|agent| !agent.trim().is_empty());
    Ok(Claims { token, address, agent })
}
