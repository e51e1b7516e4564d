//! Reads loosely written JSON: unknown keys are ignored, since a later version of the product may
//! send them; a wrong type is an error that names the key.

use serde_json::{Map, Value};

use super::Complaint;
use crate::ingest::wire::{self, without_halves};

/// Deliberately without `Debug`: it may hold an address.
pub(super) struct Object(Map<String, Value>);

impl Object {
    pub(super) fn of(value: Value, field: &'static str) -> Result<Object, Complaint> {
        match value {
            Value::Object(map) => Ok(Object(map)),
            _ => Err(Complaint { field, rule: "must be an object" }),
        }
    }

    /// An object, or a text that holds one, as older scripts send it. Any other text is an empty
    /// object.
    pub(super) fn written(value: Option<Value>, field: &'static str) -> Result<Object, Complaint> {
        match value {
            None => Ok(Object(Map::new())),
            Some(Value::String(text)) => match serde_json::from_str(&text) {
                Ok(Value::Object(map)) => Ok(Object(map)),
                _ => Ok(Object(Map::new())),
            },
            Some(value) => Object::of(value, field),
        }
    }

    /// Removes the first of the keys that is present and not `null`.
    pub(super) fn take(&mut self, keys: &[&str]) -> Option<Value> {
        keys.iter().find_map(|key| self.0.remove(*key).filter(|value| !value.is_null()))
    }

    /// A text. Errors name the last of the keys, the long form.
    pub(super) fn text(&mut self, keys: &[&'static str]) -> Result<Option<String>, Complaint> {
        match self.take(keys) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Complaint { field: name(keys), rule: "must be a string" }),
        }
    }

    pub(super) fn flag(&mut self, keys: &[&'static str]) -> Result<Option<bool>, Complaint> {
        match self.take(keys) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(Complaint { field: name(keys), rule: "must be true or false" }),
        }
    }

    pub(super) fn number(&mut self, key: &'static str) -> Result<Option<f64>, Complaint> {
        match self.take(&[key]) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(number.as_f64()),
            Some(_) => Err(Complaint { field: key, rule: "must be a number" }),
        }
    }
}

pub(super) fn parse(body: &[u8], field: &'static str) -> Result<Value, Complaint> {
    let text = String::from_utf8_lossy(body);
    let whole = |_| without_halves(&text).and_then(|whole| serde_json::from_str(&whole).ok());
    serde_json::from_str(&text).or_else(|error| whole(error).ok_or(Complaint { field, rule: "must be JSON" }))
}

/// The first `most` bytes at most, cut at a character boundary.
pub(super) fn cut(text: String, most: usize) -> String {
    wire::cut(text.into(), most).into_owned()
}

fn name(keys: &[&'static str]) -> &'static str {
    keys.last().copied().unwrap_or("")
}
