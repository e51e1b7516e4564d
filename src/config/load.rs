//! Loads the layers of the configuration into a validated [`Config`], or returns all errors.

use std::ffi::OsString;

use garde::Validate;
use serde::Deserialize;
use toml::{Table, Value};

use super::builtin::PRESETS;
use super::environment;
use super::error::{ConfigError, ConfigErrors, Places, is_within};
use super::layers::{Layers, Read};
use super::rules;
use super::schema::{Kind, Schema, literal, missing_field, refusal};
use super::{Config, Secret};

/// Upper bound of repairs; no configuration has more wrong values of the right type.
const MOST_MENDED: usize = 10_000;

/// The operator's input, not parsed yet. Later fields win.
#[derive(Default)]
pub struct Sources {
    /// Name of a preset; overrides one in the other sources.
    pub preset: Option<String>,
    /// Name to show in errors, and the text.
    pub file: Option<(String, String)>,
    /// The whole environment. Names that begin with `FOOTFALL_` but are no key are errors; all
    /// others are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// `section.key` and its value, as TOML or a bare word.
    pub set: Vec<(String, String)>,
}

/// The configuration that was read, with defaults in place of wrong values, so that the rest can be
/// checked too.
pub struct Reading {
    /// Complete, but only valid if `errors` is empty.
    pub config: Config,
    /// Errors so far.
    pub errors: Vec<ConfigError>,
    places: Places,
    broken: Vec<String>,
}

impl Reading {
    /// Adds an error about a key, unless there is one already.
    pub fn refuse(&mut self, key: &str, reason: String) {
        if !self.is_broken(key) {
            self.errors.push(self.places.error(key, reason));
        }
    }

    /// Returns the configuration if it is valid.
    ///
    /// # Errors
    ///
    /// All errors that were found.
    pub fn finish(self) -> Result<Config, ConfigErrors> {
        if self.errors.is_empty() { Ok(self.config) } else { Err(ConfigErrors(self.errors)) }
    }

    fn is_broken(&self, key: &str) -> bool {
        self.broken.iter().any(|broken| is_within(key, broken) || is_within(broken, key))
    }
}

/// Reads all layers and validates them. `read` opens the files of secrets; it is an argument so
/// that rules stay free of I/O.
///
/// # Errors
///
/// All errors that were found.
pub fn load(sources: Sources, read: impl Fn(&str) -> std::io::Result<String>) -> Result<Config, ConfigErrors> {
    self::read(sources, read)?.finish()
}

/// Like [`load`], for callers that check more before they finish.
///
/// # Errors
///
/// A file or preset is not TOML, which leaves nothing to check. All other errors are in the result.
pub fn read(sources: Sources, open: impl Fn(&str) -> std::io::Result<String>) -> Result<Reading, ConfigErrors> {
    let schema = Schema::new();
    let mut errors = Vec::new();
    let Layers { mut table, places } = layers(sources, &schema, &mut errors)?;

    let mut broken = Vec::new();
    schema.check(&mut table, &mut |key, reason| {
        errors.push(places.error(&key, reason));
        broken.push(key);
    });
    let mut config = typed(&schema, table, |key, reason| {
        errors.push(places.error(&key, reason));
        broken.push(key);
    });

    secrets(&mut config, open, |key, reason| {
        errors.push(places.error(&key, reason));
        broken.push(key.trim_end_matches("_file").to_owned());
    });
    let mut reading = Reading { config, errors, places, broken };
    check(&mut reading);
    Ok(reading)
}

fn layers(sources: Sources, schema: &Schema, errors: &mut Vec<ConfigError>) -> Result<Layers, ConfigErrors> {
    let file = match &sources.file {
        Some((name, text)) => Some((name, Read::parse(name, text).map_err(ConfigErrors)?)),
        None => None,
    };
    let settings = environment::read(&sources.environment, schema, errors);
    let places = Places::in_file(sources.file.as_ref().map_or("", |(name, _)| name));
    let mut layers = Layers { table: schema.defaults().clone(), places };

    let of_file = file.as_ref().and_then(|(_, read)| read.table.get("preset"));
    let of_variable = settings.iter().find(|setting| setting.key == "preset").map(|setting| &setting.value);
    let set = sources.set.iter().rev().find(|(key, _)| key == "preset");
    let set = set.map(|(_, name)| name.trim_matches('"').to_owned()).or(sources.preset);
    let name = set.or_else(|| of_variable.or(of_file).and_then(Value::as_str).map(str::to_owned)).unwrap_or_default();

    if let Some((known, text)) = PRESETS.iter().find(|(known, _)| *known == name) {
        let place = format!("preset {known}");
        layers.lay_file(&place, Read::parse(&place, text).map_err(ConfigErrors)?);
    }
    if let Some((file, read)) = file {
        layers.lay_file(file, read);
    }
    for setting in settings {
        layers.set(&setting.key, setting.value, &setting.variable);
    }
    for (key, text) in &sources.set {
        let place = format!("--set {key}");
        match set_value(key, text, schema) {
            Ok(value) => layers.set(key, value, &place),
            Err(reason) => errors.push(ConfigError { place, key: key.clone(), reason }),
        }
    }
    if !name.is_empty() {
        if !PRESETS.iter().any(|(known, _)| *known == name) {
            let known = PRESETS.map(|(name, _)| name).join(", ");
            errors.push(layers.places.error("preset", format!("there is no such preset; accepted are: {known}")));
        }
        layers.table.insert("preset".into(), Value::String(name));
    }
    Ok(layers)
}

/// `--set` values are TOML if they parse as TOML (`8`, `true`, `["a"]`, `"text"`), or else a text
/// or a list of words.
fn set_value(key: &str, text: &str, schema: &Schema) -> Result<Value, String> {
    match (schema.kind(key), literal(text)) {
        (Some(Kind::Text), Some(value @ Value::String(_))) => Ok(value),
        (None, Some(value)) => Ok(value),
        _ => schema.value(key, text),
    }
}

/// Deserializes values of the right type. A value that is not accepted is reported, and replaced by
/// a default.
fn typed(schema: &Schema, mut table: Table, mut say: impl FnMut(String, String)) -> Config {
    for _ in 0..MOST_MENDED {
        let error = match serde_path_to_error::deserialize::<_, Config>(Value::Table(table.clone())) {
            Ok(config) => return config,
            Err(error) => error,
        };
        let (key, said) = (error.path().to_string(), error.inner().message());
        let reason = refusal(&key, said);
        let mended = schema.mend(&mut table, &key, missing_field(said));
        say(key, reason);
        if !mended {
            break;
        }
    }
    Config::deserialize(Value::Table(schema.defaults().clone())).expect("the defaults are a configuration")
}

/// Reads the files of secrets. An empty one is an error, because it would disable what it protects.
fn secrets(
    config: &mut Config,
    read: impl Fn(&str) -> std::io::Result<String>,
    mut refuse: impl FnMut(String, String),
) {
    let pairs = [
        ("store.password_file".to_owned(), &config.store.password_file, &mut config.store.password),
        ("report.token_file".to_owned(), &config.report.token_file, &mut config.report.token),
        ("platform.token_key_file".to_owned(), &config.platform.token_key_file, &mut config.platform.token_key),
        ("bi.secret_file".to_owned(), &config.bi.secret_file, &mut config.bi.secret),
        ("access.password_hash_file".to_owned(), &config.access.password_hash_file, &mut config.access.password_hash),
    ];
    let of_compatible = config.compatible.iter_mut().enumerate();
    let of_compatible = of_compatible
        .map(|(place, rule)| (format!("compatible[{place}].token_file"), &rule.token_file, &mut rule.token));
    for (key, file, secret) in pairs.into_iter().chain(of_compatible) {
        if file.is_empty() {
            continue;
        }
        match read(file) {
            Ok(text) if text.trim().is_empty() => {
                refuse(key, format!("{file} is empty; it must hold the secret, or the key must not be set"));
            }
            Ok(text) => *secret = Secret::new(text.trim_end().to_owned()),
            Err(error) => refuse(key, format!("{file}: {error}")),
        }
    }
}

/// Validates single values, then their combinations.
fn check(reading: &mut Reading) {
    if let Err(report) = reading.config.validate() {
        for (path, error) in report.iter() {
            let (key, reason) = (path.to_string(), error.to_string());
            reading.refuse(&of_file(&key, &reading.config), in_bounds(&reason));
            reading.broken.push(key);
        }
    }
    let refused = rules::refused(&reading.config);
    for refused in refused {
        if !refused.about.iter().any(|key| reading.is_broken(key)) {
            reading.refuse(&refused.key, refused.reason);
        }
    }
}

/// Errors of a token from a file name the file's key.
fn of_file(key: &str, config: &Config) -> String {
    let mut rules = config.compatible.iter().enumerate();
    match rules.any(|(place, rule)| !rule.token_file.is_empty() && key == format!("compatible[{place}].token")) {
        true => format!("{key}_file"),
        false => key.to_owned(),
    }
}

fn in_bounds(reason: &str) -> String {
    let is_number = |text: &&str| text.parse::<u64>().is_ok();
    let bound = (reason.strip_prefix("lower than "), reason.strip_prefix("greater than "));
    match (bound.0.filter(is_number), bound.1.filter(is_number)) {
        (Some(least), _) => format!("must be at least {least}"),
        (_, Some(most)) => format!("must be at most {most}"),
        _ => reason.to_owned(),
    }
}
