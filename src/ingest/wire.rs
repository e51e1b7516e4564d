//! The native format: a JSON object, or an array of up to 20. Strict: what we do not know is an error, so that a typo is found on the
//! first try and not in the numbers.

use std::borrow::Cow;

use serde::Deserialize;

use crate::enrich::script_error;
use crate::event::{Detail, FaultKind, Kind, Metric, Payload, Problem, minor_digits};

const URL_BYTES: usize = 2048;
pub(super) const NAME_BYTES: usize = 512;
pub(super) const ENGAGED_MILLIS: u32 = 86_400_000;
const MOST_MONEY: f64 = 9e12;
/// Ten minutes; a layout shift of 100 is a page that moved out of sight a hundred times.
const MOST_VITAL: f64 = 600_000.0;
const MOST_SHIFT: f64 = 100.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hit<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow, default)]
    referrer: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(default)]
    value: Option<f64>,
    #[serde(borrow, default)]
    currency: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(default)]
    engaged: Option<u32>,
    #[serde(default)]
    passive: Option<bool>,
    #[serde(default)]
    webdriver: bool,
    #[serde(borrow, default)]
    metric: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    fault: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    source: Option<Cow<'a, str>>,
    #[serde(default)]
    line: Option<u32>,
}

/// All hits of a body, or what is wrong with it: then none of them counts.
pub fn parse(body: &[u8], most: usize) -> Result<Vec<Payload<'_>>, Problem> {
    let text = std::str::from_utf8(body).map_err(|_| bad("bad_json", "the body must be UTF-8"))?;
    let hits: Vec<Hit<'_>> = if text.trim_ascii_start().starts_with('[') {
        serde_json::from_str(text).map_err(json)?
    } else {
        vec![serde_json::from_str(text).map_err(json)?]
    };
    if hits.is_empty() || hits.len() > most {
        return Err(bad("bad_batch", format!("a body holds 1 to {most} hits")));
    }
    let one = hits.len() == 1;
    hits.into_iter()
        .enumerate()
        .map(|(place, hit)| {
            hit.check().map_err(|problem| {
                if one {
                    return problem;
                }
                let detail = format!("hit {place}: {}", problem.detail);
                problem.detail(detail)
            })
        })
        .collect()
}

impl<'a> Hit<'a> {
    fn check(self) -> Result<Payload<'a>, Problem> {
        let kind = match &*self.kind {
            "view" => Kind::View,
            "click" => Kind::Click,
            "event" => Kind::Event,
            "leave" => Kind::Leave,
            "vital" => Kind::Vital,
            "fault" => Kind::Fault,
            _ => return Err(field("kind", "must be view, click, event, leave, vital or fault")),
        };
        if self.url.is_empty() || self.url.len() > URL_BYTES {
            return Err(field("url", "must be 1 to 2048 bytes"));
        }
        if self.referrer.len() > URL_BYTES {
            return Err(field("referrer", "must be at most 2048 bytes"));
        }
        let detail = self.detail(kind)?;
        let named = matches!(kind, Kind::Click | Kind::Event);
        let name = match self.name {
            Some(name) if named && (1..=NAME_BYTES).contains(&name.len()) => name,
            None if !named => Cow::Borrowed(""),
            Some(_) if kind == Kind::Fault => Cow::Borrowed(""),
            _ => {
                return Err(field(
                    "name",
                    "must be 1 to 512 bytes for click, event and script faults, and absent for others",
                ));
            }
        };
        let engaged = self.engaged.unwrap_or(0);
        if engaged > ENGAGED_MILLIS {
            return Err(field("engaged", "must be 0 to 86400000 milliseconds"));
        }
        if kind != Kind::Event && self.passive.is_some() {
            return Err(field("passive", "belongs to kind event"));
        }
        Ok(Payload {
            kind,
            url: self.url,
            referrer: self.referrer,
            name,
            detail,
            id: self.id.as_deref().map(id).transpose()?,
            engaged_ms: engaged,
            passive: self.passive.unwrap_or(false),
            webdriver: self.webdriver,
        })
    }
}

impl Hit<'_> {
    /// What only some kinds bring, and that the others do not.
    fn detail(&self, kind: Kind) -> Result<Detail, Problem> {
        if kind != Kind::Vital && self.metric.is_some() {
            return Err(field("metric", "belongs to kind vital"));
        }
        if kind != Kind::Fault && (self.fault.is_some() || self.source.is_some() || self.line.is_some()) {
            return Err(field("fault", "source and line belong to kind fault"));
        }
        match kind {
            Kind::Vital => self.vital(),
            Kind::Fault => self.fault(),
            _ => money(kind, self.value, self.currency.as_deref()),
        }
    }

    fn vital(&self) -> Result<Detail, Problem> {
        let metric = self.metric.as_deref().and_then(Metric::from_name);
        let metric = metric.ok_or_else(|| field("metric", "must be LCP, INP, CLS, FCP or TTFB"))?;
        let most = if metric == Metric::Cls { MOST_SHIFT } else { MOST_VITAL };
        match self.value {
            Some(value) if (0.0..=most).contains(&value) && self.currency.is_none() => {
                Ok(Detail::Vital(metric, metric.bucket(value)))
            }
            _ => Err(field("value", "must be 0 to 600000 milliseconds, of CLS 0 to 100, without a currency")),
        }
    }

    fn fault(&self) -> Result<Detail, Problem> {
        if self.value.is_some() || self.currency.is_some() {
            return Err(field("value", "and currency do not belong to kind fault"));
        }
        let kind = self.fault.as_deref().and_then(FaultKind::from_name);
        let kind = kind.ok_or_else(|| field("fault", "must be script or not_found"))?;
        let source = self.source.as_deref().unwrap_or("");
        match (kind, self.name.as_deref()) {
            (FaultKind::Script, Some(name)) if (1..=NAME_BYTES).contains(&name.len()) && source.len() <= URL_BYTES => {
                Ok(Detail::Fault(kind, script_error(name, source, self.line.unwrap_or(0)).into()))
            }
            (FaultKind::NotFound, None) if self.source.is_none() && self.line.is_none() => {
                Ok(Detail::Fault(kind, "".into()))
            }
            _ => Err(field(
                "fault",
                "script has a name of 1 to 512 bytes, a source of at most 2048 bytes and a line; not_found has none",
            )),
        }
    }
}

fn id(text: &str) -> Result<u128, Problem> {
    // By hand: from_str_radix multiplies 128 bits for each digit, and this is on every hit.
    let digits = text.chars().try_fold(0_u128, |id, c| Some(id << 4 | u128::from(c.to_digit(16)?)));
    digits.filter(|_| (8..=32).contains(&text.len())).ok_or_else(|| field("id", "must be 8 to 32 hex digits"))
}

pub(super) fn money(kind: Kind, value: Option<f64>, currency: Option<&str>) -> Result<Detail, Problem> {
    if kind != Kind::Event && (value.is_some() || currency.is_some()) {
        return Err(field("value", "and currency belong to kind event"));
    }
    let value = match value {
        Some(value) if (0.0..=MOST_MONEY).contains(&value) => value,
        Some(_) => return Err(field("value", "must be 0 to 9000000000000")),
        None if currency.is_some() => return Err(field("currency", "needs a value")),
        None => return Ok(Detail::Nothing),
    };
    let Some(currency) = currency else { return Ok(Detail::Nothing) };
    let code: [u8; 3] = currency.as_bytes().try_into().unwrap_or_default();
    if !code.iter().all(u8::is_ascii_uppercase) {
        return Err(field("currency", "must be three capital letters (ISO 4217)"));
    }
    let minor = (value * f64::from(10_u32.pow(minor_digits(&code)))).round();
    Ok(Detail::Money(minor as u64, code))
}

fn bad(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(400, code, "The hit cannot be read").detail(detail)
}

fn field(name: &'static str, rule: &'static str) -> Problem {
    bad("bad_value", format!("{name} {rule}"))
}

/// The parser's own words name the key and the place; they go back to the sender and nowhere else.
fn json(error: serde_json::Error) -> Problem {
    let mut detail = error.to_string();
    detail.truncate(detail.floor_char_boundary(200));
    bad(if error.is_data() { "bad_value" } else { "bad_json" }, detail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(body: &str) -> (&'static str, String) {
        let problem = parse(body.as_bytes(), 20).err().expect("an error");
        (problem.code, problem.detail.into_owned())
    }

    #[test]
    fn a_view_an_event_and_a_click_are_read() {
        let body = r#"[{"kind":"view","url":"https://a.test/x","referrer":"https://b.test/","id":"00ff00ff"},
            {"kind":"event","url":"https://a.test/x","name":"buy","value":19.99,"currency":"EUR","passive":true},
            {"kind":"click","url":"https://a.test/x","name":"shop","engaged":1500}]"#;
        let hits = parse(body.as_bytes(), 20).unwrap();
        assert_eq!(hits.iter().map(|hit| hit.kind).collect::<Vec<_>>(), [Kind::View, Kind::Event, Kind::Click]);
        assert_eq!(hits[0].id, Some(0x00ff_00ff));
        assert_eq!(hits[1].detail, Detail::Money(1999, *b"EUR"));
        assert_eq!(hits[2].engaged_ms, 1500);
        assert!(matches!(hits[0].url, Cow::Borrowed(_)), "plain text is not copied");
    }

    #[test]
    fn amounts_become_minor_units_of_their_currency() {
        for (value, currency, minor) in [(0.29, "USD", 29), (1500.0, "JPY", 1500), (1.234, "KWD", 1234)] {
            let code = currency.as_bytes().try_into().unwrap();
            assert_eq!(money(Kind::Event, Some(value), Some(currency)).unwrap(), Detail::Money(minor, code));
        }
    }

    #[test]
    fn bad_input_says_what_where_and_what_is_accepted() {
        for (body, expected, word) in [
            ("", "bad_json", "EOF"),
            ("{", "bad_json", "EOF"),
            (r#"{"kind":"view"}"#, "bad_value", "url"),
            (r#"{"kind":"view","url":"https://a.test/","visitor":1}"#, "bad_value", "visitor"),
            (r#"{"kind":"look","url":"https://a.test/"}"#, "bad_value", "view, click"),
            (r#"{"kind":"view","url":"https://a.test/","name":"x"}"#, "bad_value", "name"),
            (r#"{"kind":"click","url":"https://a.test/"}"#, "bad_value", "name"),
            (r#"{"kind":"event","url":"https://a.test/","name":"x","value":-1}"#, "bad_value", "value"),
            (r#"{"kind":"event","url":"https://a.test/","name":"x","currency":"EUR"}"#, "bad_value", "needs a value"),
            (
                r#"{"kind":"event","url":"https://a.test/","name":"x","value":1,"currency":"eur"}"#,
                "bad_value",
                "currency",
            ),
            (r#"{"kind":"view","url":"https://a.test/","id":"xyz"}"#, "bad_value", "hex"),
            (r#"{"kind":"view","url":"https://a.test/","engaged":-5}"#, "bad_value", "-5"),
            ("[]", "bad_batch", "1 to 20"),
        ] {
            let (code, detail) = code(body);
            assert_eq!(code, expected, "{body}");
            assert!(detail.contains(word), "{body}: {detail}");
        }
    }

    #[test]
    fn twenty_one_hits_are_too_many_and_a_bad_one_is_named_by_its_place() {
        let view = r#"{"kind":"view","url":"https://a.test/"}"#;
        assert_eq!(code(&format!("[{}]", [view; 21].join(","))).0, "bad_batch");
        assert!(code(&format!(r#"[{view},{{"kind":"leave","url":""}}]"#)).1.starts_with("hit 1: url"));
    }

    #[test]
    fn a_thousand_brackets_are_refused_without_recursing() {
        assert_eq!(code(&"[".repeat(1000)).0, "bad_value");
        assert_eq!(code(&format!("{{\"kind\":{}", "[".repeat(1000))).0, "bad_value");
    }

    proptest! {
        #[test]
        fn no_body_makes_the_parser_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&body, 20);
        }
    }
}
