//! Settings in the environment: `FOOTFALL__SECTION__KEY`, in capitals, with two underscores between
//! the parts.
//!
//! Every other name that begins with `FOOTFALL_` is an error, so that a misspelt setting is not
//! ignored.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use toml::Value;

use super::error::ConfigError;
use super::renamed_keys::RENAMED_KEYS;
use super::schema::{ConfigSchema, find_similar};

const VARIABLE_PREFIX: &str = "FOOTFALL_";
/// Read by the command line and by this project's tests.
const NON_SETTING_VARIABLES: [&str; 4] = [
    "FOOTFALL_CONFIG",
    "FOOTFALL_BIN",
    "FOOTFALL_LIBCHDB",
    "FOOTFALL_TEST_CLICKHOUSE_URL",
];
/// Kubernetes sets these in every container if a service is named `footfall`.
const KUBERNETES_PREFIXES: [&str; 3] = [
    "FOOTFALL_SERVICE_HOST",
    "FOOTFALL_SERVICE_PORT",
    "FOOTFALL_PORT",
];

/// A key that a variable sets.
#[derive(PartialEq, Debug)]
pub(super) struct EnvironmentSetting {
    /// Dotted name of the key.
    pub key: String,
    /// Its value, already of the key's type.
    pub value: Value,
    /// Name of the variable, for errors.
    pub variable: String,
}

pub(super) fn read_variables(
    variables: &[(OsString, OsString)],
    schema: &ConfigSchema,
    errors: &mut Vec<ConfigError>,
) -> Vec<EnvironmentSetting> {
    let known: BTreeMap<String, String> = schema
        .all_keys()
        .into_iter()
        .map(|key| (variable_name(&key), key))
        .collect();
    let in_kubernetes = variables
        .iter()
        .any(|(name, _)| name == "KUBERNETES_SERVICE_HOST");
    let mut settings = Vec::new();
    for (name, text) in variables {
        let shown = name.to_string_lossy();
        if !has_prefix(&shown)
            || NON_SETTING_VARIABLES.contains(&&*shown)
            || (in_kubernetes && is_kubernetes_variable(&shown))
        {
            continue;
        }

        let mut fail = |key: &str, reason: String| {
            errors.push(ConfigError {
                place: shown.clone().into_owned(),
                key: key.to_owned(),
                reason,
            });
        };
        let Some(key) = name.to_str().and_then(|name| known.get(name)) else {
            let reason = match find_renamed_variable(&shown) {
                Some(present) => format!("is now {present}"),
                None => format!(
                    "there is no such variable; did you mean {}?",
                    suggest_variable(&shown, &known)
                ),
            };
            fail("", reason);
            continue;
        };
        match parse_variable(text, key, schema) {
            Ok(value) => settings.push(EnvironmentSetting {
                key: key.clone(),
                value,
                variable: shown.into_owned(),
            }),
            Err(reason) => fail(key, reason),
        }
    }
    settings
}

/// Whether a variable of this name sets a key.
pub fn is_variable(name: &OsStr) -> bool {
    ConfigSchema::new()
        .all_keys()
        .iter()
        .any(|key| name == OsStr::new(&variable_name(key)))
}

fn parse_variable(text: &OsStr, key: &str, schema: &ConfigSchema) -> Result<Value, String> {
    let text = text.to_str().ok_or("must be UTF-8")?;
    schema.parse_value(key, text)
}

fn variable_name(key: &str) -> String {
    format!(
        "{VARIABLE_PREFIX}_{}",
        key.to_ascii_uppercase().replace('.', "__")
    )
}

/// The variable of the present name, if `variable` is that of a former one.
fn find_renamed_variable(variable: &str) -> Option<String> {
    RENAMED_KEYS
        .iter()
        .find(|(former, _)| variable_name(former) == variable)
        .map(|(_, present)| variable_name(present))
}

/// Ignores case, because `footfall__mail__enabled` is probably meant as a setting too.
fn has_prefix(name: &str) -> bool {
    name.get(..VARIABLE_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(VARIABLE_PREFIX))
}

fn is_kubernetes_variable(name: &str) -> bool {
    KUBERNETES_PREFIXES.iter().any(|of| {
        name.strip_prefix(of)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    })
}

/// The variable that was probably meant: with the same letters, or else the same ending, or else
/// the most similar name.
fn suggest_variable<'a>(name: &str, known: &'a BTreeMap<String, String>) -> &'a str {
    let letters = |name: &str| {
        name[VARIABLE_PREFIX.len()..]
            .replace('_', "")
            .to_ascii_lowercase()
    };
    let wanted = letters(name);
    let candidates = || {
        known
            .keys()
            .map(|variable| (letters(variable), variable.as_str()))
    };
    let same = candidates().find(|(of, _)| *of == wanted);
    let ends = || {
        candidates()
            .filter(|(of, _)| of.ends_with(&wanted))
            .min_by_key(|(of, _)| of.len())
    };
    if let Some((_, variable)) = same.or_else(|| ends().filter(|_| wanted.len() > 2)) {
        return variable;
    }
    let all: Vec<(String, &str)> = candidates().collect();
    let near = find_similar(&wanted, all.iter().map(|(of, _)| of.as_str()));
    let variable = near
        .and_then(|near| all.iter().find(|(of, _)| of == near))
        .map(|(_, variable)| *variable);
    variable.unwrap_or("FOOTFALL__SECTION__KEY, as in config/default.toml")
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn told(variables: &[(&str, &str)]) -> (Vec<EnvironmentSetting>, Vec<String>) {
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let mut errors = Vec::new();
        let settings = read_variables(&variables, &ConfigSchema::new(), &mut errors);
        (settings, errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_misspelt_name_is_an_error_that_names_the_right_one() {
        for (name, right) in [
            ("FOOTFALL_SERVER_WORKERS", "FOOTFALL__SERVER__WORKERS"),
            ("FOOTFALL__SERVER_WORKERS", "FOOTFALL__SERVER__WORKERS"),
            ("footfall__server__workers", "FOOTFALL__SERVER__WORKERS"),
            ("Footfall__Server__Workers", "FOOTFALL__SERVER__WORKERS"),
            ("FOOTFALL_WORKERS", "FOOTFALL__SERVER__WORKERS"),
            ("FOOTFALL__SERVER__WORKER", "FOOTFALL__SERVER__WORKERS"),
            ("FOOTFALL_PRESET", "FOOTFALL__PRESET"),
            (
                "FOOTFALL__CONSENT__COOKIE_NAME",
                "FOOTFALL__CONSENT__COOKIE__NAME",
            ),
            ("FOOTFALL_STORE_URL", "FOOTFALL__STORE__URL"),
        ] {
            let (settings, errors) = told(&[(name, "2")]);
            assert!(settings.is_empty());
            assert_eq!(
                errors,
                [format!(
                    "{name}: there is no such variable; did you mean {right}?"
                )]
            );
        }
        assert_eq!(
            told(&[
                ("FOOTFALL_", "x"),
                ("FOOTFALL__", "x"),
                ("FOOTFALL__QQQ", "x")
            ])
            .1
            .len(),
            3
        );
    }

    #[test]
    fn names_of_others_are_theirs() {
        let of_others = [
            ("HOME", "x"),
            ("FOOTFALLS", "x"),
            ("FOOTFALL_CONFIG", "x"),
            ("MY_FOOTFALL_X", "x"),
        ];
        assert_eq!(told(&of_others), (Vec::new(), Vec::new()));
        let linked = [
            ("FOOTFALL_SERVICE_HOST", "x"),
            ("FOOTFALL_PORT_8080_TCP_ADDR", "x"),
            ("FOOTFALL_PORT", "x"),
        ];
        assert_eq!(told(&linked).1.len(), 3);
        let kubernetes = [&linked[..], &[("KUBERNETES_SERVICE_HOST", "x")]].concat();
        assert_eq!(told(&kubernetes), (Vec::new(), Vec::new()));
    }

    #[test]
    fn what_is_no_text_is_an_error_where_it_is_ours_and_nothing_where_it_is_not() {
        let bad = || OsString::from_vec(vec![0xff, b'x']);
        let mut bad_name = b"FOOTFALL__MAIL__ENABLED".to_vec();
        bad_name.push(0xff);
        let variables = [
            ("FOREIGN".into(), bad()),
            (bad(), "x".into()),
            ("FOOTFALL__STORE__PASSWORD".into(), bad()),
            (OsString::from_vec(bad_name), "true".into()),
        ];
        let mut errors = Vec::new();
        assert_eq!(
            read_variables(&variables, &ConfigSchema::new(), &mut errors),
            []
        );
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            errors[0],
            "FOOTFALL__STORE__PASSWORD: store.password: must be UTF-8"
        );
        assert!(
            errors.len() == 2 && errors[1].contains("did you mean FOOTFALL__MAIL__ENABLED?"),
            "{errors:?}"
        );
    }
}
