//! The schema of the configuration: keys and types, taken from the default file and from a sample
//! of each list of tables.

use toml::{Table, Value};

use super::builtin::DEFAULTS;
use super::error::is_within;
use super::renamed_keys::find_renamed_key;

/// An entry of each list of tables, with every key it can have.
const SAMPLE_ENTRIES: &str = r#"
profiles = [{ host = "pages.example", path = "/{profile}", site = "{profile}", zone = "UTC", keep_days = 36 }]
sites = [{ id = "sample", hosts = [], zone = "UTC", embed = [], max_amount = 1, keep_days = 36 }]
compatible = [{ sites = ["sample"], accept = ["plausible"], basis = "consent_cookie", declared = "", stored_refusals = "", token = "", token_file = "" }]
register = [{ tier = "analytics", name = "sample", provider = "sample", purpose = "sample", life_secs = 1 }]
"#;

/// Replaces messages of serde that do not help an operator.
const ACCEPTED_VALUES: [(&str, &str); 6] = [
    (
        "server.listen",
        "must be a socket address, such as 127.0.0.1:8080",
    ),
    (
        "bi_port.http_listen",
        "must be empty or a socket address, such as 127.0.0.1:8123",
    ),
    (
        "cluster.listen",
        "must be empty or a socket address, such as 10.0.0.1:8070",
    ),
    ("proxy.trusted", "must be networks, such as 10.0.0.0/8"),
    (
        "policy.effective_date",
        "must be a date, such as 2026-01-31",
    ),
    (
        "limits.max_amount",
        "must be a whole number from 1 to 1000000000",
    ),
];

/// The only key whose entries are lists.
const LISTS_KEY: &str = "store.shards";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ValueKind {
    Text,
    Integer,
    Boolean,
    /// A list of texts.
    List,
    /// A list of lists of texts.
    Lists,
    /// A list of tables.
    Tables,
    Section,
}

impl ValueKind {
    fn from_value(value: &Value) -> ValueKind {
        match value {
            Value::String(_) | Value::Datetime(_) | Value::Float(_) => ValueKind::Text,
            Value::Integer(_) => ValueKind::Integer,
            Value::Boolean(_) => ValueKind::Boolean,
            Value::Table(_) => ValueKind::Section,
            Value::Array(_) => ValueKind::List,
        }
    }

    /// What is accepted, for an error.
    fn must_be(self) -> &'static str {
        match self {
            ValueKind::Text => "must be text, in quotes",
            ValueKind::Integer => "must be an integer, without quotes",
            ValueKind::Boolean => "must be true or false, without quotes",
            ValueKind::List => "must be a list of texts, such as [\"a\", \"b\"]",
            ValueKind::Lists => {
                "must be a list of lists of texts, such as [[\"a\"], [\"b\", \"c\"]]"
            }
            ValueKind::Tables => "must be a list of tables, such as [{ key = \"value\" }]",
            ValueKind::Section => "must be a table of keys",
        }
    }
}

pub(super) struct ConfigSchema {
    defaults: Table,
    samples: Table,
}

impl ConfigSchema {
    pub(super) fn new() -> ConfigSchema {
        let table = |text: &str| {
            text.parse::<Table>()
                .expect("a table that is compiled in is TOML")
        };
        ConfigSchema {
            defaults: table(DEFAULTS),
            samples: table(SAMPLE_ENTRIES),
        }
    }

    pub(super) fn defaults(&self) -> &Table {
        &self.defaults
    }

    /// The type of a key outside lists, such as `limits.body_bytes`.
    pub(super) fn key_kind(&self, key: &str) -> Option<ValueKind> {
        if self.samples.contains_key(key) {
            return Some(ValueKind::Tables);
        }
        if key == LISTS_KEY {
            return Some(ValueKind::Lists);
        }
        let mut value = None;
        let mut table = Some(&self.defaults);
        for part in key.split('.') {
            value = table?.get(part);
            table = value.and_then(Value::as_table);
        }
        value.map(ValueKind::from_value)
    }

    /// Every key outside lists that holds a value.
    pub(super) fn all_keys(&self) -> Vec<String> {
        let keys_of = |(section, value): (&String, &Value)| match value {
            Value::Table(table) => table
                .iter()
                .flat_map(|(key, value)| match value {
                    Value::Table(below) => below
                        .keys()
                        .map(|last| format!("{section}.{key}.{last}"))
                        .collect(),
                    _ => vec![format!("{section}.{key}")],
                })
                .collect(),
            _ => vec![section.clone()],
        };
        self.defaults.iter().flat_map(keys_of).collect()
    }

    /// Parses a text from outside TOML as a value of the key: numbers, booleans and lists of tables
    /// as in TOML; a list of texts also separated by commas; a text as it is. An error names what
    /// is accepted.
    pub(super) fn parse_value(&self, key: &str, text: &str) -> Result<Value, String> {
        let kind = self.key_kind(key).unwrap_or(ValueKind::Text);
        match kind {
            ValueKind::Text => Ok(Value::String(text.to_owned())),
            ValueKind::List if !text.trim_start().starts_with('[') => {
                let words = text
                    .split(',')
                    .map(str::trim)
                    .filter(|word| !word.is_empty());
                Ok(Value::Array(words.map(Value::from).collect()))
            }
            ValueKind::Integer
            | ValueKind::Boolean
            | ValueKind::List
            | ValueKind::Lists
            | ValueKind::Tables
            | ValueKind::Section => match parse_literal(text) {
                Some(value)
                    if ValueKind::from_value(&value) == kind
                        || (matches!(kind, ValueKind::Tables | ValueKind::Lists)
                            && value.is_array()) =>
                {
                    Ok(value)
                }
                _ => Err(match kind {
                    ValueKind::Integer => "must be an integer".to_owned(),
                    ValueKind::Boolean => "must be true or false".to_owned(),
                    ValueKind::List => "must be a list of texts: a,b or [\"a\", \"b\"]".to_owned(),
                    _ => kind.must_be().to_owned(),
                }),
            },
        }
    }

    /// Removes unknown keys from `table`, replaces values of a wrong type by a default or a sample,
    /// and passes each key and the accepted values to `say`.
    pub(super) fn check_keys(&self, table: &mut Table, say: &mut impl FnMut(String, String)) {
        self.check_table(table, &self.defaults, "", say);
    }

    fn check_table(
        &self,
        table: &mut Table,
        model: &Table,
        around: &str,
        say: &mut impl FnMut(String, String),
    ) {
        let keys: Vec<String> = table.keys().cloned().collect();
        for name in keys {
            let key = if around.is_empty() {
                name.clone()
            } else {
                format!("{around}.{name}")
            };
            let Some(expected) = model.get(&name) else {
                table.remove(&name);
                let reason = unknown_key_reason(&key, &name, model);
                say(key, reason);
                continue;
            };

            let sample = self.samples.get(&key).filter(|_| around.is_empty());
            let value = &mut table[&name];
            if let (Value::Datetime(date), Value::String(_)) = (&*value, expected) {
                *value = Value::String(date.to_string());
            }

            if !value.same_type(expected) {
                let kind = match sample {
                    Some(_) => ValueKind::Tables,
                    None if key == LISTS_KEY => ValueKind::Lists,
                    None => ValueKind::from_value(expected),
                };
                *value = expected.clone();
                say(key, kind.must_be().to_owned());
            } else if let Value::Table(below) = value {
                self.check_table(
                    below,
                    expected.as_table().expect("of the same type"),
                    &key,
                    say,
                );
            } else if let (Value::Array(entries), Some(sample)) = (&mut *value, sample) {
                self.check_entries(entries, sample, &key, say);
            } else if key == LISTS_KEY {
                let is_list = |entry: &Value| {
                    let entries = entry.as_array();
                    entries.is_some_and(|entries| entries.iter().all(Value::is_str))
                };
                if !value.as_array().is_some_and(|all| all.iter().all(is_list)) {
                    *value = expected.clone();
                    say(key, ValueKind::Lists.must_be().to_owned());
                }
            } else if let Some(place) = value
                .as_array()
                .and_then(|all| all.iter().position(|entry| !entry.is_str()))
            {
                *value = expected.clone();
                say(
                    format!("{key}[{place}]"),
                    ValueKind::Text.must_be().to_owned(),
                );
            }
        }
    }

    fn check_entries(
        &self,
        entries: &mut [Value],
        sample: &Value,
        list: &str,
        say: &mut impl FnMut(String, String),
    ) {
        let sample = sample_table(sample);
        for (place, entry) in entries.iter_mut().enumerate() {
            let key = format!("{list}[{place}]");
            match entry {
                Value::Table(entry) => self.check_table(entry, sample, &key, say),
                other => {
                    *other = Value::Table(sample.clone());
                    say(key, ValueKind::Section.must_be().to_owned());
                }
            }
        }
    }

    /// Replaces a value of the right type that is not accepted by a default or a sample; `false` if
    /// there is none.
    pub(super) fn repair_value(&self, table: &mut Table, key: &str, missing: Option<&str>) -> bool {
        let list = self
            .samples
            .iter()
            .find(|(list, _)| is_within(key, list) && key.len() > list.len());
        if let Some((list, sample)) = list {
            let sample = sample_table(sample);
            let rest = key[list.len()..].trim_start_matches('[');
            let Some((place, rest)) = rest.split_once(']') else {
                return false;
            };
            let field = missing.unwrap_or_else(|| {
                rest.trim_start_matches('.')
                    .split(['.', '['])
                    .next()
                    .unwrap_or("")
            });
            let Ok(place) = place.parse::<usize>() else {
                return false;
            };
            let entry = table
                .get_mut(list)
                .and_then(Value::as_array_mut)
                .and_then(|entries| entries.get_mut(place));
            let (Some(Value::Table(entry)), Some(value)) = (entry, sample.get(field)) else {
                return false;
            };
            return entry.insert(field.to_owned(), value.clone()).as_ref() != Some(value);
        }

        let key = key.split('[').next().unwrap_or(key);
        let parts: Vec<&str> = key.split('.').collect();
        let Some((last, sections)) = parts.split_last() else {
            return false;
        };
        let (mut now, mut model) = (table, &self.defaults);
        for section in sections {
            let pair = (
                now.get_mut(*section).and_then(Value::as_table_mut),
                model.get(*section),
            );
            let (Some(below), Some(Value::Table(of))) = pair else {
                return false;
            };
            (now, model) = (below, of);
        }
        let Some(value) = model.get(*last) else {
            return false;
        };
        now.insert((*last).to_owned(), value.clone()).as_ref() != Some(value)
    }
}

/// Turns serde's message about a value of the right type into one for the operator. `said` never
/// quotes a secret, because secrets accept every text.
pub(super) fn explain_serde_error(key: &str, said: &str) -> String {
    if let Some((_, accepted)) = ACCEPTED_VALUES.iter().find(|(of, _)| is_within(key, of)) {
        return (*accepted).to_owned();
    }
    if said.starts_with("must ") {
        return said.to_owned();
    }
    if let Some(field) = missing_field(said) {
        return format!("lacks {field}");
    }
    match said.split_once("expected ") {
        Some((_, "u16" | "u32" | "u64" | "usize" | "i64")) => {
            "must be a whole number in range, from 0 up".to_owned()
        }
        _ => said.lines().next().unwrap_or_default().to_owned(),
    }
}

/// The name of the missing field, if that is serde's error.
pub(super) fn missing_field(said: &str) -> Option<&str> {
    said.strip_prefix("missing field `")?.split('`').next()
}

/// Parses a TOML value.
pub(super) fn parse_literal(text: &str) -> Option<Value> {
    let mut table: Table = format!("value = {text}").parse().ok()?;
    let value = table.remove("value")?;
    table.is_empty().then_some(value)
}

fn sample_table(sample: &Value) -> &Table {
    sample
        .as_array()
        .and_then(|of| of[0].as_table())
        .expect("a sample is one table")
}

/// Why `key` is not accepted. `name` is its last part, `model` the table it is in.
fn unknown_key_reason(key: &str, name: &str, model: &Table) -> String {
    if let Some(present) = find_renamed_key(key) {
        return format!("is now {present}");
    }

    let accepted = model
        .keys()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match find_similar(name, model.keys().map(String::as_str)) {
        Some(known) => {
            format!("there is no such key; did you mean {known}? Accepted are: {accepted}")
        }
        None => format!("there is no such key; accepted are: {accepted}"),
    }
}

/// The known word that was probably meant, if one is similar enough.
pub(super) fn find_similar<'a>(
    word: &str,
    known: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let close = known.map(|known| {
        (
            strsim::jaro_winkler(&word, &known.to_ascii_lowercase()),
            known,
        )
    });
    let best = close.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (best.0 > 0.7).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CompatibleRule, ProfileRule, RegisterRule, SiteRule};

    #[test]
    fn a_sample_has_every_key_its_entries_can_have() {
        fn keys<T: serde::de::DeserializeOwned + serde::Serialize>(
            schema: &ConfigSchema,
            list: &str,
        ) {
            let sample = schema.samples[list].as_array().unwrap()[0].clone();
            let of_sample: Vec<String> = sample.as_table().unwrap().keys().cloned().collect();
            let read: T = sample.try_into().unwrap();
            let of_type = serde_json::to_value(&read).unwrap();
            let mut of_type: Vec<&String> = of_type.as_object().unwrap().keys().collect();
            of_type.sort();
            assert_eq!(of_sample.iter().collect::<Vec<_>>(), of_type, "{list}");
        }
        let schema = ConfigSchema::new();
        keys::<ProfileRule>(&schema, "profiles");
        keys::<SiteRule>(&schema, "sites");
        keys::<CompatibleRule>(&schema, "compatible");
        keys::<RegisterRule>(&schema, "register");
    }

    #[test]
    fn every_list_outside_the_samples_is_of_texts_and_nothing_is_a_float() {
        let schema = ConfigSchema::new();
        assert!(!DEFAULTS.contains("= 0.") && schema.all_keys().len() > 100);
        let lists: Vec<String> = schema
            .all_keys()
            .into_iter()
            .filter(|key| schema.key_kind(key) == Some(ValueKind::List))
            .collect();
        assert_eq!(
            lists,
            [
                "cluster.collectors",
                "consent.inert",
                "consent.notices",
                "consent.tiers",
                "mail.templates",
                "proxy.trusted"
            ]
        );
    }

    #[test]
    fn text_stays_text_and_a_number_is_a_number() {
        let schema = ConfigSchema::new();
        for text in [
            "007",
            "1e5",
            "12e34567",
            "true",
            "\"quoted\"",
            "",
            " padded ",
            "[1]",
        ] {
            assert_eq!(
                schema.parse_value("store.password", text),
                Ok(Value::from(text))
            );
        }
        assert_eq!(
            schema.parse_value("server.workers", "2"),
            Ok(Value::from(2))
        );
        for text in ["1.5", "true", "\"2\"", "", "2 # two", "two", "007"] {
            assert!(
                schema.parse_value("server.workers", text).is_err() || text == "2 # two",
                "{text}"
            );
        }
        assert_eq!(
            schema.parse_value("mail.enabled", "true"),
            Ok(Value::from(true))
        );
        for text in ["1", "yes", "TRUE", "\"true\""] {
            assert!(schema.parse_value("mail.enabled", text).is_err(), "{text}");
        }
        let two = Value::from(vec!["a", "b"]);
        for text in ["a,b", " a , b ", "[\"a\", \"b\"]"] {
            assert_eq!(
                schema.parse_value("mail.templates", text),
                Ok(two.clone()),
                "{text}"
            );
        }
        assert_eq!(
            schema.parse_value("mail.templates", ""),
            Ok(Value::Array(Vec::new()))
        );
        assert!(schema.parse_value("profiles", "pages.example").is_err());
    }
}
