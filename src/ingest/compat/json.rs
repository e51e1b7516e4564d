//! Reads loosely written JSON: unknown keys are ignored, since a later version of the product may
//! send them; a wrong type is an error that names the key.

use serde_json::{Map, Value};

use super::ValidationError;
use crate::ingest::wire::{self, without_lone_surrogates};

/// Deliberately without `Debug`: it may hold an address.
pub(super) struct JsonObject(Map<String, Value>);

impl JsonObject {
    pub(super) fn from_value(
        value: Value,
        field: &'static str,
    ) -> Result<JsonObject, ValidationError> {
        match value {
            Value::Object(map) => Ok(JsonObject(map)),
            _ => Err(ValidationError {
                field,
                rule: "must be an object",
            }),
        }
    }

    /// An object, or a text that holds one, as older scripts send it. Any other text is an empty
    /// object.
    pub(super) fn from_value_or_text(
        value: Option<Value>,
        field: &'static str,
    ) -> Result<JsonObject, ValidationError> {
        match value {
            None => Ok(JsonObject(Map::new())),
            Some(Value::String(text)) => match serde_json::from_str(&text) {
                Ok(Value::Object(map)) => Ok(JsonObject(map)),
                _ => Ok(JsonObject(Map::new())),
            },
            Some(value) => JsonObject::from_value(value, field),
        }
    }

    /// Removes the first of the keys that is present and not `null`.
    pub(super) fn take_value(&mut self, keys: &[&str]) -> Option<Value> {
        keys.iter()
            .find_map(|key| self.0.remove(*key).filter(|value| !value.is_null()))
    }

    /// A text. Errors name the last of the keys, the long form.
    pub(super) fn take_string(
        &mut self,
        keys: &[&'static str],
    ) -> Result<Option<String>, ValidationError> {
        match self.take_value(keys) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(ValidationError {
                field: long_key(keys),
                rule: "must be a string",
            }),
        }
    }

    pub(super) fn take_bool(
        &mut self,
        keys: &[&'static str],
    ) -> Result<Option<bool>, ValidationError> {
        match self.take_value(keys) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(ValidationError {
                field: long_key(keys),
                rule: "must be true or false",
            }),
        }
    }

    pub(super) fn take_number(
        &mut self,
        key: &'static str,
    ) -> Result<Option<f64>, ValidationError> {
        match self.take_value(&[key]) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(number.as_f64()),
            Some(_) => Err(ValidationError {
                field: key,
                rule: "must be a number",
            }),
        }
    }
}

pub(super) fn parse_json(body: &[u8], field: &'static str) -> Result<Value, ValidationError> {
    let text = String::from_utf8_lossy(body);
    let whole =
        |_| without_lone_surrogates(&text).and_then(|whole| serde_json::from_str(&whole).ok());
    serde_json::from_str(&text).or_else(|error| {
        whole(error).ok_or(ValidationError {
            field,
            rule: "must be JSON",
        })
    })
}

/// At most the first `most` bytes, cut at a character boundary.
pub(super) fn truncate_string(text: String, most: usize) -> String {
    wire::truncate_text(text.into(), most).into_owned()
}

fn long_key(keys: &[&'static str]) -> &'static str {
    keys.last().copied().unwrap_or("")
}
