//! The native wire format: one JSON object, or an array of at most `limits.hits_per_beacon`. Unknown
//! keys are errors, so that a typo is noticed at the first attempt. An error concerns one hit; the
//! others of its body are accepted.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::enrich::format_script_error;
use crate::event::{
    CurrencyCode, FaultKind, HitDetail, HitKind, HitPayload, Money, Problem, ProblemCode, WebVital,
};

/// Maximum length of a URL in bytes; longer ones are cut at a character boundary, so a page loses
/// at most two keys of its query.
pub(super) const MAX_URL_BYTES: usize = 2048;
pub(super) const MAX_ENGAGED_MILLIS: u32 = 86_400_000;
/// Higher than every site's bound, in major units.
const MAX_AMOUNT: f64 = 9e12;
/// Ten minutes. A layout shift of 100 is a page that moved out of view a hundred times.
const MAX_VITAL_MILLIS: f64 = 600_000.0;
const MAX_LAYOUT_SHIFT: f64 = 100.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireHit<'a> {
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
    engaged: Option<f64>,
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

/// A hit from a JSON object. serde also reads a struct from an array of its values in their order,
/// which is no format of ours: there, keys could not be unknown.
struct HitObject<'a>(WireHit<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for HitObject<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<HitObject<'a>, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = WireHit<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a hit, which is an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                WireHit::deserialize(MapAccessDeserializer::new(map))
            }
        }
        from.deserialize_map(ObjectVisitor).map(HitObject)
    }
}

/// The hits of a body.
pub struct ParsedBody<'a> {
    /// Hits that were parsed, in their order.
    pub hits: Vec<HitPayload<'a>>,
    /// Position in the body of each of `hits`, from 0.
    pub places: Vec<usize>,
    /// Positions of the hits that could not be parsed, and what is wrong with each.
    pub unreadable: Vec<(usize, Problem)>,
}

/// Parses a body of 1 to `most` hits. A hit with an error is in [`ParsedBody::unreadable`].
///
/// # Errors
///
/// The body is not JSON, or has no hit or more than `most`. Then no hit of it is accepted.
pub fn parse_body(text: &str, most: usize) -> Result<ParsedBody<'_>, Problem> {
    let is_list = text.trim_ascii_start().starts_with('[');
    // Nearly all bodies parse as a whole. Only a body that does not is parsed hit by hit.
    let hits: Result<Vec<HitObject<'_>>, _> = if is_list {
        serde_json::from_str(text)
    } else {
        serde_json::from_str(text).map(|hit| vec![hit])
    };
    let read: Vec<Result<HitPayload<'_>, Problem>> = match hits {
        Ok(hits) => {
            check_hit_count(hits.len(), most)?;
            hits.into_iter().map(|hit| hit.0.into_payload()).collect()
        }
        Err(_) => {
            let parts: Vec<&RawValue> = if is_list {
                serde_json::from_str(text)
            } else {
                serde_json::from_str(text).map(|part| vec![part])
            }
            .map_err(json_problem)?;
            check_hit_count(parts.len(), most)?;
            parts
                .into_iter()
                .map(|part| parse_single_hit(part.get()))
                .collect()
        }
    };

    let mut found = ParsedBody {
        hits: Vec::with_capacity(read.len()),
        places: Vec::new(),
        unreadable: Vec::new(),
    };
    for (place, hit) in read.into_iter().enumerate() {
        match hit {
            Ok(hit) => {
                found.hits.push(hit);
                found.places.push(place);
            }
            Err(problem) => found.unreadable.push((place, problem)),
        }
    }
    Ok(found)
}

fn check_hit_count(hits: usize, most: usize) -> Result<(), Problem> {
    if (1..=most).contains(&hits) {
        Ok(())
    } else {
        Err(Problem::new(ProblemCode::InvalidBeacon)
            .with_detail(format!("a body holds 1 to {most} hits")))
    }
}

/// One hit of a body, also if a text in it was cut inside a character.
fn parse_single_hit(text: &str) -> Result<HitPayload<'_>, Problem> {
    let error = match serde_json::from_str::<HitObject<'_>>(text) {
        Ok(hit) => return hit.0.into_payload(),
        Err(error) => error,
    };
    match without_lone_surrogates(text) {
        Some(whole) => serde_json::from_str::<HitObject<'_>>(&whole)
            .map_err(json_problem)?
            .0
            .into_payload()
            .map(HitPayload::into_owned),
        None => Err(json_problem(error)),
    }
}

/// JSON without escapes of unpaired surrogates (`\ud83c` alone), as `"🎉".slice(0, 1)` makes them.
/// `None` if there are none.
pub(super) fn without_lone_surrogates(json: &str) -> Option<String> {
    let unit = |at: usize| {
        let digits = json.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let (mut out, mut at) = (String::with_capacity(json.len()), 0);
    while let Some(found) = json[at..].find('\\') {
        let escape = at + found;
        out.push_str(&json[at..escape]);
        let length = match (unit(escape), unit(escape + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                at = escape + 6;
                continue;
            }
            // The escaped character may have several bytes. Then this is not JSON, and parsing
            // fails.
            _ => 1 + json[escape + 1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&json[escape..escape + length]);
        at = escape + length;
    }
    out.push_str(&json[at..]);
    (out.len() < json.len()).then_some(out)
}

/// At most the first `most` bytes, cut at a character boundary.
pub(super) fn truncate_text(text: Cow<'_, str>, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text;
    }
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..text.floor_char_boundary(most)]),
        Cow::Owned(mut text) => {
            text.truncate(text.floor_char_boundary(most));
            Cow::Owned(text)
        }
    }
}

/// Milliseconds of engagement; 0 for a value out of bounds, which does not invalidate the hit.
pub(super) fn bounded_engagement(millis: f64) -> u32 {
    if (0.0..=f64::from(MAX_ENGAGED_MILLIS)).contains(&millis) {
        millis as u32
    } else {
        0
    }
}

impl<'a> WireHit<'a> {
    fn into_payload(self) -> Result<HitPayload<'a>, Problem> {
        let kind = HitKind::from_name(&self.kind).ok_or_else(|| {
            field_problem("kind", "must be view, click, event, leave, vital or fault")
        })?;
        if self.url.is_empty() {
            return Err(field_problem("url", "must not be empty"));
        }
        let detail = self.parse_detail(kind)?;
        let named = matches!(kind, HitKind::Click | HitKind::Event);
        let name = match self.name {
            // A name that is too long for a row is counted under (other).
            Some(name) if named && !name.is_empty() => name,
            None if !named => Cow::Borrowed(""),
            Some(_) if kind == HitKind::Fault => Cow::Borrowed(""),
            _ => {
                return Err(field_problem(
                    "name",
                    "must not be empty for click, event and script faults, and absent for others",
                ));
            }
        };
        if kind != HitKind::Event && self.passive.is_some() {
            return Err(field_problem("passive", "belongs to kind event"));
        }
        Ok(HitPayload {
            kind,
            url: truncate_text(self.url, MAX_URL_BYTES),
            referrer: truncate_text(self.referrer, MAX_URL_BYTES),
            name,
            detail,
            id: self.id.as_deref().map(parse_hit_id).transpose()?,
            engaged_ms: self.engaged.map_or(0, bounded_engagement),
            passive: self.passive.unwrap_or(false),
            webdriver: self.webdriver,
        })
    }
}

impl WireHit<'_> {
    /// The fields that only some kinds of hits have.
    fn parse_detail(&self, kind: HitKind) -> Result<HitDetail, Problem> {
        if kind != HitKind::Vital && self.metric.is_some() {
            return Err(field_problem("metric", "belongs to kind vital"));
        }
        if kind != HitKind::Fault
            && (self.fault.is_some() || self.source.is_some() || self.line.is_some())
        {
            return Err(field_problem(
                "fault",
                "source and line belong to kind fault",
            ));
        }
        match kind {
            HitKind::Vital => self.vital_detail(),
            HitKind::Fault => self.fault_detail(),
            _ => money_detail(kind, self.value, self.currency.as_deref()),
        }
    }

    fn vital_detail(&self) -> Result<HitDetail, Problem> {
        let metric = self.metric.as_deref().and_then(WebVital::from_name);
        let metric =
            metric.ok_or_else(|| field_problem("metric", "must be LCP, INP, CLS, FCP or TTFB"))?;
        let most = if metric == WebVital::Cls {
            MAX_LAYOUT_SHIFT
        } else {
            MAX_VITAL_MILLIS
        };
        match self.value {
            Some(value) if (0.0..=most).contains(&value) && self.currency.is_none() => {
                Ok(HitDetail::Vital(metric, metric.bucket_for(value)))
            }
            _ => Err(field_problem(
                "value",
                "must be 0 to 600000 milliseconds, of CLS 0 to 100, without a currency",
            )),
        }
    }

    fn fault_detail(&self) -> Result<HitDetail, Problem> {
        if self.value.is_some() || self.currency.is_some() {
            return Err(field_problem(
                "value",
                "and currency do not belong to kind fault",
            ));
        }

        let kind = self.fault.as_deref().and_then(FaultKind::from_name);
        let kind = kind.ok_or_else(|| field_problem("fault", "must be script or not_found"))?;
        let source = self.source.as_deref().unwrap_or("");

        match (kind, self.name.as_deref()) {
            (FaultKind::Script, Some(name)) if !name.is_empty() => Ok(HitDetail::Fault(
                kind,
                format_script_error(name, source, self.line.unwrap_or(0)).into(),
            )),
            (FaultKind::NotFound, None) if self.source.is_none() && self.line.is_none() => {
                Ok(HitDetail::Fault(kind, "".into()))
            }
            _ => Err(field_problem(
                "fault",
                "script has a name, a source and a line; not_found has none",
            )),
        }
    }
}

fn parse_hit_id(text: &str) -> Result<u128, Problem> {
    // Not `from_str_radix`: it multiplies 128 bits for each digit, and every hit has an id.
    let digits = text
        .chars()
        .try_fold(0_u128, |id, c| Some(id << 4 | u128::from(c.to_digit(16)?)));
    digits
        .filter(|_| (8..=32).contains(&text.len()))
        .ok_or_else(|| field_problem("id", "must be 8 to 32 hex digits"))
}

pub(super) fn money_detail(
    kind: HitKind,
    value: Option<f64>,
    currency: Option<&str>,
) -> Result<HitDetail, Problem> {
    if kind != HitKind::Event && (value.is_some() || currency.is_some()) {
        return Err(field_problem("value", "and currency belong to kind event"));
    }

    let value = match value {
        Some(value) if value >= 0.0 => value,
        Some(_) => return Err(field_problem("value", "must not be negative")),
        None if currency.is_some() => return Err(field_problem("currency", "needs a value")),
        None => return Ok(HitDetail::Empty),
    };

    let Some(currency) = currency else {
        return Ok(HitDetail::Empty);
    };
    let currency = CurrencyCode::parse(currency)
        .ok_or_else(|| field_problem("currency", "must be three capital letters (ISO 4217)"))?;

    if value > MAX_AMOUNT {
        Ok(HitDetail::MoneyOverLimit(currency))
    } else {
        Ok(HitDetail::Money(Money::from_units(value, currency)))
    }
}

fn field_problem(name: &'static str, rule: &'static str) -> Problem {
    Problem::new(ProblemCode::InvalidValue).with_detail(format!("{name} {rule}"))
}

/// The parser's message names key and position. It is returned to the sender and not logged.
fn json_problem(error: serde_json::Error) -> Problem {
    let mut problem = Problem::from_json_error(&error);
    let detail = problem.detail.to_mut();
    detail.truncate(detail.floor_char_boundary(200));
    problem
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(body: &str) -> (&'static str, String) {
        let problem = match parse_body(body, 20) {
            Ok(mut read) => read.unreadable.swap_remove(0).1,
            Err(problem) => problem,
        };
        (problem.code.name(), problem.detail.into_owned())
    }

    #[test]
    fn a_view_an_event_and_a_click_are_read() {
        let body = r#"[{"kind":"view","url":"https://a.test/x","referrer":"https://b.test/","id":"00ff00ff"},
            {"kind":"event","url":"https://a.test/x","name":"buy","value":19.99,"currency":"EUR","passive":true},
            {"kind":"click","url":"https://a.test/x","name":"shop","engaged":1500}]"#;
        let hits = parse_body(body, 20).unwrap().hits;
        assert_eq!(
            hits.iter().map(|hit| hit.kind).collect::<Vec<_>>(),
            [HitKind::View, HitKind::Event, HitKind::Click]
        );
        assert_eq!(hits[0].id, Some(0x00ff_00ff));
        let euros = CurrencyCode::parse("EUR").unwrap();
        assert_eq!(
            hits[1].detail,
            HitDetail::Money(Money {
                minor: 1999,
                currency: euros
            })
        );
        assert_eq!(hits[2].engaged_ms, 1500);
        assert!(
            matches!(hits[0].url, Cow::Borrowed(_)),
            "plain text is not copied"
        );
    }

    #[test]
    fn amounts_become_minor_units_of_their_currency() {
        assert_eq!(
            money_detail(HitKind::Event, Some(9.1e12), Some("EUR")).unwrap(),
            HitDetail::MoneyOverLimit(CurrencyCode::parse("EUR").unwrap())
        );
        for (value, currency, minor) in [
            (0.29, "USD", 29),
            (1500.0, "JPY", 1500),
            (1.234, "KWD", 1234),
        ] {
            let amount = Money {
                minor,
                currency: CurrencyCode::parse(currency).unwrap(),
            };
            assert_eq!(
                money_detail(HitKind::Event, Some(value), Some(currency)).unwrap(),
                HitDetail::Money(amount)
            );
        }
    }

    #[test]
    fn bad_input_says_what_where_and_what_is_accepted() {
        for (body, expected, word) in [
            ("", "bad_json", "EOF"),
            ("{", "bad_json", "EOF"),
            (r#"{"kind":"view"}"#, "bad_value", "url"),
            // serde reads a struct from an array too.
            (r#"[["view","https://a.test/"]]"#, "bad_value", "object"),
            (
                r#"{"kind":"view","url":"https://a.test/","visitor":1}"#,
                "bad_value",
                "visitor",
            ),
            (
                r#"{"kind":"look","url":"https://a.test/"}"#,
                "bad_value",
                "view, click",
            ),
            (
                r#"{"kind":"view","url":"https://a.test/","name":"x"}"#,
                "bad_value",
                "name",
            ),
            (
                r#"{"kind":"click","url":"https://a.test/"}"#,
                "bad_value",
                "name",
            ),
            (
                r#"{"kind":"event","url":"https://a.test/","name":"x","value":-1}"#,
                "bad_value",
                "value",
            ),
            (
                r#"{"kind":"event","url":"https://a.test/","name":"x","currency":"EUR"}"#,
                "bad_value",
                "needs a value",
            ),
            (
                r#"{"kind":"event","url":"https://a.test/","name":"x","value":1,"currency":"eur"}"#,
                "bad_value",
                "currency",
            ),
            (
                r#"{"kind":"view","url":"https://a.test/","id":"xyz"}"#,
                "bad_value",
                "hex",
            ),
            (
                r#"{"kind":"view","url":"https://a.test/","engaged":"long"}"#,
                "bad_value",
                "long",
            ),
            ("[]", "bad_beacon", "1 to 20"),
        ] {
            let (code, detail) = code(body);
            assert_eq!(code, expected, "{body}");
            assert!(detail.contains(word), "{body}: {detail}");
        }
    }

    #[test]
    fn twenty_one_hits_are_too_many() {
        let view = r#"{"kind":"view","url":"https://a.test/"}"#;
        assert_eq!(code(&format!("[{}]", [view; 21].join(","))).0, "bad_beacon");
    }

    #[test]
    fn a_bad_hit_is_named_by_its_place_and_loses_no_other() {
        let view = r#"{"kind":"view","url":"https://a.test/"}"#;
        for bad in [
            r#"{"kind":"leave","url":""}"#,
            r#"{"kind":"leave"}"#,
            r#"{"kind":"view","url":"https://a.test/","visitor":1}"#,
            r#"{"kind":"view","kind":"view","url":"https://a.test/"}"#,
            "7",
            "[]",
            "null",
        ] {
            let body = format!("[{view},{bad},{view}]");
            let read = parse_body(&body, 20).unwrap();
            assert_eq!((read.hits.len(), &*read.places), (2, &[0, 2][..]), "{bad}");
            assert_eq!(
                read.unreadable
                    .iter()
                    .map(|(place, _)| *place)
                    .collect::<Vec<_>>(),
                [1],
                "{bad}"
            );
        }
    }

    #[test]
    fn half_a_character_goes_and_its_text_stays() {
        let event =
            |name: &str| format!(r#"{{"kind":"event","url":"https://a.test/","name":"{name}"}}"#);
        for (name, expected) in [
            (r"share \ud83c", "share "),
            (r"\udf89 share", " share"),
            (r"\ud83c\ud83c\udf89", "🎉"),
            (r"\uD83C\u0041", "A"),
            (r"\\ud83c", r"\ud83c"),
        ] {
            let body = format!("[{}]", event(name));
            let read = parse_body(&body, 20).unwrap();
            assert_eq!(read.hits[0].name, expected, "{name}");
        }
        assert!(parse_body(&event(r"\u12"), 20).is_err());
    }

    #[test]
    fn what_is_too_long_is_cut_or_left_to_be_counted_as_other() {
        let long = "ä".repeat(3000);
        let body = format!(
            r#"{{"kind":"click","url":"https://a.test/?q={long}","referrer":"https://b.test/{long}","name":"{long}","engaged":-2048566316}}"#
        );
        let hit = parse_body(&body, 20).unwrap().hits.swap_remove(0);
        assert_eq!(
            (
                hit.url.len(),
                hit.referrer.len(),
                hit.name.len(),
                hit.engaged_ms
            ),
            (2048, 2047, 6000, 0)
        );
        assert!(hit.url.ends_with('ä'));
    }

    #[test]
    fn a_thousand_brackets_are_refused_without_recursing() {
        assert_eq!(code(&"[".repeat(1000)).0, "bad_json");
        assert_eq!(
            code(&format!("{{\"kind\":{}", "[".repeat(1000))).0,
            "bad_json"
        );
        assert_eq!(
            code(&format!("{}{}", "[".repeat(1000), "]".repeat(1000))).0,
            "bad_value"
        );
    }

    proptest! {
        #[test]
        fn no_body_makes_the_parser_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_body(&String::from_utf8_lossy(&body), 20);
        }

        #[test]
        fn no_escapes_make_it_panic(name in "([a-zä]|\\\\u[dD][89a-fA-F][0-9a-f]{2}|\\\\){0,20}") {
            if let Some(whole) = without_lone_surrogates(&name) {
                prop_assert!(whole.len() < name.len());
                prop_assert_eq!(without_lone_surrogates(&whole).map_or(whole.clone(), |again| again).len() <= whole.len(), true);
            }
        }
    }
}
