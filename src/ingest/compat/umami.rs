//! Umami's hits: an envelope `{type, payload}`, or an array of them to the batch endpoint.
//!
//! `website` does not select the site, because the page does; a server may put its token there. A
//! payload's time is ignored.

use std::net::IpAddr;
use std::rc::Rc;

use super::json::{JsonObject, body_text, parse_array, truncate_string};
use super::{ParsedHits, ValidationError};
use crate::event::{HitDetail, HitKind, HitPayload, WebVital};
use crate::ingest::sender::SenderClaims;
use crate::ingest::wire::MAX_URL_BYTES;

const MAX_HOST_CHARS: usize = 100;

const VITAL_RANGES: [(&str, WebVital, f64); 5] = [
    ("lcp", WebVital::Lcp, 60_000.0),
    ("inp", WebVital::Inp, 60_000.0),
    ("cls", WebVital::Cls, 100.0),
    ("fcp", WebVital::Fcp, 60_000.0),
    ("ttfb", WebVital::Ttfb, 60_000.0),
];

pub(super) fn parse_single(body: &[u8]) -> Result<ParsedHits, ValidationError> {
    let mut read = ParsedHits::default();
    read.push_envelope(JsonObject::parse(&body_text(body), "body"))?;
    Ok(read)
}

pub(super) fn parse_batch(body: &[u8], most: usize) -> Result<ParsedHits, ValidationError> {
    let envelopes = parse_array(&body_text(body), "body")?;
    if envelopes.is_empty() || envelopes.len() > most {
        return Err(ValidationError {
            field: "body",
            rule: "must hold at least one and at most limits.hits_per_beacon hits",
        });
    }

    let mut read = ParsedHits::default();
    for (place, envelope) in envelopes.into_iter().enumerate() {
        if let Err(complaint) = read.push_envelope(JsonObject::from_raw(&envelope, "body")) {
            read.unreadable.push((place, complaint));
        }
    }
    Ok(read)
}

impl ParsedHits {
    fn push_envelope(
        &mut self,
        envelope: Result<JsonObject, ValidationError>,
    ) -> Result<(), ValidationError> {
        self.size += 1;
        let mut envelope = envelope?;
        let kind = envelope.take_string(&["type"])?.unwrap_or_default();
        let mut payload = envelope.take_object("payload")?;
        let claims = Rc::new(parse_claims(&mut payload)?);
        match kind.as_str() {
            "event" => {
                self.hits.push(parse_event(&mut payload)?);
                self.claims.push(claims);
                self.places.push(self.size - 1);
            }
            "performance" => {
                let vitals = parse_vitals(&mut payload)?;
                self.claims
                    .extend(std::iter::repeat_n(claims, vitals.len()));
                self.places
                    .extend(std::iter::repeat_n(self.size - 1, vitals.len()));
                self.hits.extend(vitals);
            }
            // Identifies a visitor; ignored.
            "identify" => {}
            _ => {
                return Err(ValidationError {
                    field: "type",
                    rule: "must be event, performance or identify",
                });
            }
        }
        Ok(())
    }
}

/// A payload without a name is a page view.
fn parse_event(payload: &mut JsonObject) -> Result<HitPayload<'static>, ValidationError> {
    let name = payload.take_string(&["name"])?.unwrap_or_default();
    let kind = if name.is_empty() {
        HitKind::View
    } else {
        HitKind::Event
    };
    let mut hit = HitPayload::new(kind, parse_url(payload)?);
    hit.name = name.into();
    hit.referrer = truncate_string(
        payload.take_string(&["referrer"])?.unwrap_or_default(),
        MAX_URL_BYTES,
    )
    .into();
    Ok(hit)
}

fn parse_vitals(payload: &mut JsonObject) -> Result<Vec<HitPayload<'static>>, ValidationError> {
    let url = parse_url(payload)?;
    let mut hits = Vec::new();
    for (key, metric, most) in VITAL_RANGES {
        let Some(value) = payload.take_number(key)? else {
            continue;
        };
        if !(0.0..=most).contains(&value) {
            return Err(ValidationError {
                field: key,
                rule: "must be 0 to 60000 milliseconds, of cls 0 to 100",
            });
        }
        let detail = HitDetail::Vital(metric, metric.bucket_for(value));
        hits.push(HitPayload {
            detail,
            ..HitPayload::new(HitKind::Vital, url.clone())
        });
    }
    Ok(hits)
}

/// The page's URL: absolute, or a host name and a path.
fn parse_url(payload: &mut JsonObject) -> Result<String, ValidationError> {
    let host = payload.take_string(&["hostname"])?.unwrap_or_default();
    let url = truncate_string(
        payload.take_string(&["url"])?.unwrap_or_default(),
        MAX_URL_BYTES,
    );
    if host.chars().count() > MAX_HOST_CHARS {
        return Err(ValidationError {
            field: "hostname",
            rule: "must be at most 100 characters",
        });
    }
    if url.starts_with("http://") || url.starts_with("https://") {
        return Ok(url);
    }
    match (host.is_empty(), url.strip_prefix('/')) {
        (true, _) => Err(ValidationError {
            field: "url",
            rule: "must be absolute, or hostname must be given",
        }),
        (false, path) => Ok(format!("https://{host}/{}", path.unwrap_or(&url))),
    }
}

fn parse_claims(payload: &mut JsonObject) -> Result<SenderClaims, ValidationError> {
    let token = payload.take_string(&["website"])?;
    let address = payload
        .take_string(&["ip"])?
        .and_then(|ip| ip.trim().parse::<IpAddr>().ok());
    let agent = payload
        .take_string(&["userAgent"])?
        .filter(|agent| !agent.trim().is_empty());
    Ok(SenderClaims {
        token,
        address,
        agent,
    })
}
