//! Reads loosely written JSON: unknown keys are ignored, whatever their values, since a later
//! version of the product may send them; a wrong type is an error that names the key.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::ValidationError;
use crate::ingest::wire::{self, without_lone_surrogates};

/// The values are parsed when they are taken. Deliberately without `Debug`: it may hold an address.
#[derive(Default)]
pub(super) struct JsonObject(HashMap<String, Box<RawValue>>);

impl JsonObject {
    /// Parses a body.
    pub(super) fn parse(text: &str, field: &'static str) -> Result<JsonObject, ValidationError> {
        parse_body(text, field, "must be an object").map(JsonObject)
    }

    /// An object within a body.
    pub(super) fn from_raw(
        value: &RawValue,
        field: &'static str,
    ) -> Result<JsonObject, ValidationError> {
        serde_json::from_str(value.get())
            .map(JsonObject)
            .map_err(|_| ValidationError {
                field,
                rule: "must be an object",
            })
    }

    /// Removes an object. A key that is not present is an error.
    pub(super) fn take_object(&mut self, key: &'static str) -> Result<JsonObject, ValidationError> {
        let value = self.take_raw(&[key]);
        JsonObject::from_raw(value.as_deref().unwrap_or(RawValue::NULL), key)
    }

    /// Removes an object, or a text that holds one, as older scripts send it. Any other text is an
    /// empty object, and so is a key that is not present.
    pub(super) fn take_object_or_text(
        &mut self,
        keys: &[&str],
        field: &'static str,
    ) -> Result<JsonObject, ValidationError> {
        let Some(value) = self.take_raw(keys) else {
            return Ok(JsonObject::default());
        };
        match serde_json::from_str::<String>(value.get()) {
            Ok(text) => Ok(JsonObject::parse(&text, field).unwrap_or_default()),
            Err(_) => JsonObject::from_raw(&value, field),
        }
    }

    /// Removes the first of the keys that is present and not `null`.
    fn take_raw(&mut self, keys: &[&str]) -> Option<Box<RawValue>> {
        keys.iter()
            .find_map(|key| self.0.remove(*key).filter(|value| value.get() != "null"))
    }

    /// The same, parsed; `Value::Null` for a number or a depth that `Value` cannot hold, which is
    /// a wrong type for every key.
    pub(super) fn take_value(&mut self, keys: &[&str]) -> Option<Value> {
        let value = self.take_raw(keys)?;
        Some(serde_json::from_str(value.get()).unwrap_or(Value::Null))
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

/// The text of a body. Bytes that are no UTF-8 are replaced, escapes of unpaired surrogates removed.
pub(super) fn body_text(body: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(body);
    match without_lone_surrogates(&text) {
        Some(whole) => Cow::Owned(whole),
        None => text,
    }
}

/// The values of an array.
pub(super) fn parse_array(
    text: &str,
    field: &'static str,
) -> Result<Vec<Box<RawValue>>, ValidationError> {
    parse_body(text, field, "must be an array")
}

/// A body of the type that `rule` names.
fn parse_body<T: DeserializeOwned>(
    text: &str,
    field: &'static str,
    rule: &'static str,
) -> Result<T, ValidationError> {
    serde_json::from_str(text).map_err(|error| ValidationError {
        field,
        rule: match error.is_data() {
            true => rule,
            false => "must be JSON",
        },
    })
}

/// At most the first `most` bytes, cut at a character boundary.
pub(super) fn truncate_string(text: String, most: usize) -> String {
    wire::truncate_text(text.into(), most).into_owned()
}

fn long_key(keys: &[&'static str]) -> &'static str {
    keys.last().copied().unwrap_or("")
}
