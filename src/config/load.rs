//! Loads the layers of the configuration into a validated [`Config`], or returns all errors.

use std::ffi::OsString;

use garde::Validate;
use serde::Deserialize;
use toml::{Table, Value};

use super::builtin::PRESETS;
use super::cross_checks;
use super::environment;
use super::error::{ConfigError, ConfigErrors, KeyLocations, is_within};
use super::layers::{ConfigLayers, ParsedToml};
use super::schema::{ConfigSchema, ValueKind, explain_serde_error, missing_field, parse_literal};
use super::{Config, Secret};

/// Upper bound of repairs; no configuration has more wrong values of the right type.
const MAX_REPAIRS: usize = 10_000;

/// The operator's input, not parsed yet. Later fields win.
#[derive(Default)]
pub struct ConfigSources {
    /// Name of a preset; overrides one in the other sources.
    pub preset: Option<String>,
    /// Name to show in errors, and the text.
    pub file: Option<(String, String)>,
    /// The whole environment. Names that begin with `FOOTFALL_` but are no key are errors; all
    /// others are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// `section.key` and its value, as TOML or a bare word.
    pub overrides: Vec<(String, String)>,
}

/// The configuration that was read, with defaults in place of wrong values, so that the rest can be
/// checked too.
pub struct LoadedConfig {
    /// Complete, but only valid if `errors` is empty.
    pub config: Config,
    /// Errors so far.
    pub errors: Vec<ConfigError>,
    locations: KeyLocations,
    broken_keys: Vec<String>,
}

impl LoadedConfig {
    /// Adds an error about a key, unless there is one already.
    pub fn add_error(&mut self, key: &str, reason: String) {
        if !self.has_error(key) {
            self.errors.push(self.locations.key_error(key, reason));
        }
    }

    /// Returns the configuration if it is valid.
    ///
    /// # Errors
    ///
    /// All errors that were found.
    pub fn into_result(self) -> Result<Config, ConfigErrors> {
        if self.errors.is_empty() {
            Ok(self.config)
        } else {
            Err(ConfigErrors(self.errors))
        }
    }

    fn has_error(&self, key: &str) -> bool {
        self.broken_keys
            .iter()
            .any(|broken| is_within(key, broken) || is_within(broken, key))
    }
}

/// Reads all layers and validates them. `read` opens the files of secrets; it is an argument so
/// that rules stay free of I/O.
///
/// # Errors
///
/// All errors that were found.
pub fn load_config(
    sources: ConfigSources,
    read: impl Fn(&str) -> std::io::Result<String>,
) -> Result<Config, ConfigErrors> {
    self::read_config(sources, read)?.into_result()
}

/// Like [`load_config`], for callers with further checks.
///
/// # Errors
///
/// A file or preset is not TOML, so there is nothing to check. All other errors are in the result.
pub fn read_config(
    sources: ConfigSources,
    open: impl Fn(&str) -> std::io::Result<String>,
) -> Result<LoadedConfig, ConfigErrors> {
    let schema = ConfigSchema::new();
    let mut errors = Vec::new();
    let ConfigLayers {
        mut table,
        locations: places,
    } = merge_layers(sources, &schema, &mut errors)?;

    let mut broken = Vec::new();
    schema.check_keys(&mut table, &mut |key, reason| {
        errors.push(places.key_error(&key, reason));
        broken.push(key);
    });
    let mut config = deserialize_config(&schema, table, |key, reason| {
        errors.push(places.key_error(&key, reason));
        broken.push(key);
    });

    read_secret_files(&mut config, open, |key, reason| {
        errors.push(places.key_error(&key, reason));
        broken.push(key.trim_end_matches("_file").to_owned());
    });
    let mut reading = LoadedConfig {
        config,
        errors,
        locations: places,
        broken_keys: broken,
    };
    validate_config(&mut reading);
    Ok(reading)
}

fn merge_layers(
    sources: ConfigSources,
    schema: &ConfigSchema,
    errors: &mut Vec<ConfigError>,
) -> Result<ConfigLayers, ConfigErrors> {
    let file = match &sources.file {
        Some((name, text)) => Some((name, ParsedToml::parse(name, text).map_err(ConfigErrors)?)),
        None => None,
    };
    let settings = environment::read_variables(&sources.environment, schema, errors);
    let places = KeyLocations::for_file(sources.file.as_ref().map_or("", |(name, _)| name));
    let mut layers = ConfigLayers {
        table: schema.defaults().clone(),
        locations: places,
    };

    let of_file = file.as_ref().and_then(|(_, read)| read.table.get("preset"));
    let of_variable = settings
        .iter()
        .find(|setting| setting.key == "preset")
        .map(|setting| &setting.value);
    let set = sources
        .overrides
        .iter()
        .rev()
        .find(|(key, _)| key == "preset");
    let set = set
        .map(|(_, name)| name.trim_matches('"').to_owned())
        .or(sources.preset);
    let name = set
        .or_else(|| {
            of_variable
                .or(of_file)
                .and_then(Value::as_str)
                .map(str::to_owned)
        })
        .unwrap_or_default();

    if let Some((known, text)) = PRESETS.iter().find(|(known, _)| *known == name) {
        let place = format!("preset {known}");
        layers.merge_file(
            &place,
            ParsedToml::parse(&place, text).map_err(ConfigErrors)?,
        );
    }
    if let Some((file, read)) = file {
        layers.merge_file(file, read);
    }
    for setting in settings {
        layers.set_key(&setting.key, setting.value, &setting.variable);
    }
    for (key, text) in &sources.overrides {
        let place = format!("--set {key}");
        match parse_override(key, text, schema) {
            Ok(value) => layers.set_key(key, value, &place),
            Err(reason) => errors.push(ConfigError {
                place,
                key: key.clone(),
                reason,
            }),
        }
    }
    if !name.is_empty() {
        if !PRESETS.iter().any(|(known, _)| *known == name) {
            let known = PRESETS.map(|(name, _)| name).join(", ");
            errors.push(layers.locations.key_error(
                "preset",
                format!("there is no such preset; accepted are: {known}"),
            ));
        }
        layers.table.insert("preset".into(), Value::String(name));
    }
    Ok(layers)
}

/// `--set` values are TOML if they parse as TOML (`8`, `true`, `["a"]`, `"text"`), or else a text
/// or a list of words.
fn parse_override(key: &str, text: &str, schema: &ConfigSchema) -> Result<Value, String> {
    match (schema.key_kind(key), parse_literal(text)) {
        (Some(ValueKind::Text), Some(value @ Value::String(_))) => Ok(value),
        (None, Some(value)) => Ok(value),
        _ => schema.parse_value(key, text),
    }
}

/// Deserializes values of the right type. A value that is not accepted is reported, and replaced by
/// a default.
fn deserialize_config(
    schema: &ConfigSchema,
    mut table: Table,
    mut say: impl FnMut(String, String),
) -> Config {
    for _ in 0..MAX_REPAIRS {
        let error = match serde_path_to_error::deserialize::<_, Config>(Value::Table(table.clone()))
        {
            Ok(config) => return config,
            Err(error) => error,
        };
        let (key, said) = (error.path().to_string(), error.inner().message());
        let reason = explain_serde_error(&key, said);
        let mended = schema.repair_value(&mut table, &key, missing_field(said));
        say(key, reason);
        if !mended {
            break;
        }
    }
    Config::deserialize(Value::Table(schema.defaults().clone()))
        .expect("the defaults are a configuration")
}

/// Reads the files of secrets. An empty one is an error, because it would disable what it protects.
fn read_secret_files(
    config: &mut Config,
    read: impl Fn(&str) -> std::io::Result<String>,
    mut refuse: impl FnMut(String, String),
) {
    let pairs = [
        (
            "store.password_file".to_owned(),
            &config.store.password_file,
            &mut config.store.password,
        ),
        (
            "report.token_file".to_owned(),
            &config.report.token_file,
            &mut config.report.token,
        ),
        (
            "platform.token_key_file".to_owned(),
            &config.platform.token_key_file,
            &mut config.platform.token_key,
        ),
        (
            "bi.secret_file".to_owned(),
            &config.bi.secret_file,
            &mut config.bi.secret,
        ),
        (
            "access.password_hash_file".to_owned(),
            &config.access.password_hash_file,
            &mut config.access.password_hash,
        ),
    ];
    let of_compatible = config.compatible.iter_mut().enumerate();
    let of_compatible = of_compatible.map(|(place, rule)| {
        (
            format!("compatible[{place}].token_file"),
            &rule.token_file,
            &mut rule.token,
        )
    });
    for (key, file, secret) in pairs.into_iter().chain(of_compatible) {
        if file.is_empty() {
            continue;
        }
        match read(file) {
            Ok(text) if text.trim().is_empty() => {
                refuse(
                    key,
                    format!("{file} is empty; it must hold the secret, or the key must not be set"),
                );
            }
            Ok(text) => *secret = Secret::new(text.trim_end().to_owned()),
            Err(error) => refuse(key, format!("{file}: {error}")),
        }
    }
}

/// Validates single values, then their combinations.
fn validate_config(reading: &mut LoadedConfig) {
    if let Err(report) = reading.config.validate() {
        for (path, error) in report.iter() {
            let (key, reason) = (path.to_string(), error.to_string());
            reading.add_error(
                &token_source_key(&key, &reading.config),
                explain_bound(&reason),
            );
            reading.broken_keys.push(key);
        }
    }
    let refused = cross_checks::find_violations(&reading.config);
    for refused in refused {
        if !refused.depends_on.iter().any(|key| reading.has_error(key)) {
            reading.add_error(&refused.key, refused.reason);
        }
    }
}

/// Errors of a token from a file name the file's key.
fn token_source_key(key: &str, config: &Config) -> String {
    let mut rules = config.compatible.iter().enumerate();
    match rules.any(|(place, rule)| {
        !rule.token_file.is_empty() && key == format!("compatible[{place}].token")
    }) {
        true => format!("{key}_file"),
        false => key.to_owned(),
    }
}

fn explain_bound(reason: &str) -> String {
    let is_number = |text: &&str| text.parse::<u64>().is_ok();
    let bound = (
        reason.strip_prefix("lower than "),
        reason.strip_prefix("greater than "),
    );
    match (bound.0.filter(is_number), bound.1.filter(is_number)) {
        (Some(least), _) => format!("must be at least {least}"),
        (_, Some(most)) => format!("must be at most {most}"),
        _ => reason.to_owned(),
    }
}
