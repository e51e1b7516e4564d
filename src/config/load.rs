//! The layers of the configuration become one checked [`Config`].

use config::{Environment, File, FileFormat};
use garde::Validate;

use super::access::is_strong_hash;
use super::{Basis, Config, Secret, TokenAlgorithm, compatible, with_one_id};
use crate::event::SiteId;

/// Of a secret that signs tokens: a shorter one than its hash can be guessed from one token (RFC 7518).
const FEWEST_SECRET_BYTES: usize = 32;
const FEWEST_TOKEN_BYTES: usize = 16;

/// Every key with its default and a line of why. The only place defaults live.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// The published policies the project keeps word for word.
pub const PRESETS: [(&str, &str); 3] = [
    ("alllinks", include_str!("../../config/alllinks.toml")),
    ("ally", include_str!("../../config/ally.toml")),
    ("openedlink", include_str!("../../config/openedlink.toml")),
];

/// What an operator gave, not yet read as configuration. Later fields win.
#[derive(Default)]
pub struct Sources {
    pub preset: Option<String>,
    /// The name to show in errors, and the text.
    pub file: Option<(String, String)>,
    pub environment: Vec<(String, String)>,
    /// `section.key` and its value, as TOML or a bare word.
    pub set: Vec<(String, String)>,
}

#[derive(thiserror::Error, Debug)]
pub enum ConfigError {
    #[error("{file}: {reason}")]
    Syntax { file: String, reason: String },
    #[error("{key}: {reason}")]
    Key { key: String, reason: String },
}

/// Reads all layers. `read` opens the secrets' files; it is an argument so that rules stay free of I/O.
pub fn load(sources: Sources, read: impl Fn(&str) -> std::io::Result<String>) -> Result<Config, ConfigError> {
    let preset = preset_name(&sources)?;
    let mut layers = config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
    if let Some(name) = &preset {
        let text = preset_text(name)?;
        layers = layers.add_source(File::from_str(text, FileFormat::Toml));
    }
    if let Some((name, text)) = &sources.file {
        syntax(name, text)?;
        layers = layers.add_source(File::from_str(text, FileFormat::Toml));
    }
    let environment = sources.environment.into_iter().collect();
    layers = layers.add_source(
        Environment::with_prefix("FOOTFALL")
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true)
            .source(Some(environment)),
    );
    for (key, value) in &sources.set {
        let value = literal(value);
        layers = layers
            .set_override(key, value)
            .map_err(|error| ConfigError::Key { key: key.clone(), reason: error.to_string() })?;
    }
    if let Some(name) = preset {
        layers = layers.set_override("preset", name).expect("`preset` is a plain key");
    }
    let merged = layers
        .build()
        .map_err(|error| ConfigError::Syntax { file: "configuration".into(), reason: error.to_string() })?;
    let mut config: Config = serde_path_to_error::deserialize(merged).map_err(|error| {
        let reason = error.inner().to_string();
        ConfigError::Key { key: error.path().to_string(), reason }
    })?;
    secrets(&mut config, read)?;
    check(&config)?;
    Ok(config)
}

fn preset_name(sources: &Sources) -> Result<Option<String>, ConfigError> {
    let set =
        sources.set.iter().rev().find(|(key, _)| key == "preset").map(|(_, name)| name.trim_matches('"').to_owned());
    if let Some(name) = set.or_else(|| sources.preset.clone()) {
        return Ok(Some(name));
    }
    let Some((name, text)) = &sources.file else { return Ok(None) };
    let table = syntax(name, text)?;
    match table.get("preset") {
        None => Ok(None),
        Some(value) => {
            let name = value
                .clone()
                .into_string()
                .map_err(|_| ConfigError::Key { key: "preset".into(), reason: "must be text".into() })?;
            Ok(Some(name).filter(|name| !name.is_empty()))
        }
    }
}

fn preset_text(name: &str) -> Result<&'static str, ConfigError> {
    PRESETS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text).ok_or_else(|| ConfigError::Key {
        key: "preset".into(),
        reason: format!("no preset `{name}`; there are {}", PRESETS.map(|(name, _)| name).join(", ")),
    })
}

fn syntax(name: &str, text: &str) -> Result<config::Map<String, config::Value>, ConfigError> {
    use config::Source;
    File::from_str(text, FileFormat::Toml)
        .collect()
        .map_err(|error| ConfigError::Syntax { file: name.to_owned(), reason: error.to_string() })
}

/// `--set` values are TOML where they parse as TOML (`8`, `true`, `["a"]`), else plain text.
fn literal(text: &str) -> config::Value {
    use config::Source;
    let wrapped = File::from_str(&format!("value = {text}"), FileFormat::Toml).collect();
    match wrapped {
        Ok(mut table) if table.len() == 1 => table.remove("value").unwrap_or_else(|| text.into()),
        _ => text.into(),
    }
}

fn secrets(config: &mut Config, read: impl Fn(&str) -> std::io::Result<String>) -> Result<(), ConfigError> {
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
        let text = read(file).map_err(|error| ConfigError::Key { key, reason: format!("{file}: {error}") })?;
        *secret = Secret::new(text.trim_end().to_owned());
    }
    Ok(())
}

fn twice(words: &[String]) -> Option<&String> {
    words.iter().enumerate().find(|(place, word)| words[..*place].contains(word)).map(|(_, word)| word)
}

fn check(config: &Config) -> Result<(), ConfigError> {
    let fail = |key: &str, reason: String| Err(ConfigError::Key { key: key.into(), reason });
    if let Err(report) = config.validate()
        && let Some((path, error)) = report.iter().next()
    {
        return fail(&path.to_string(), error.to_string());
    }
    if !config.consent.tiers.contains(&config.consent.analytics_tier) {
        return fail(
            "consent.analytics_tier",
            format!("must be one of consent.tiers: {}", config.consent.tiers.join(", ")),
        );
    }
    if config.consent.analytics_tier == config.consent.tiers[0] {
        return fail("consent.analytics_tier", "must not be the first tier, which nobody can refuse".into());
    }
    if let Some(tier) = twice(&config.consent.tiers) {
        return fail("consent.tiers", format!("holds {tier} twice"));
    }
    if let Some(tier) = config.consent.inert.iter().find(|tier| !config.consent.tiers[1..].contains(tier)) {
        return fail("consent.inert", format!("{tier} is no optional tier: {}", config.consent.tiers[1..].join(", ")));
    }
    for (place, entry) in config.register.iter().enumerate() {
        if !config.consent.tiers.contains(&entry.tier) {
            let known = config.consent.tiers.join(", ");
            return fail(&format!("register[{place}].tier"), format!("must be one of consent.tiers: {known}"));
        }
    }
    if !config.bi.url.is_empty() && config.bi.secret.is_empty() {
        return fail("bi.secret", "is needed where bi.url is set; bi.secret_file names a file with it".into());
    }
    if !config.bi.url.is_empty() && config.platform.token_key.is_empty() {
        return fail(
            "platform.token_key",
            "is needed where bi.url is set; platform.token_key_file names a file with it".into(),
        );
    }
    let key = config.platform.token_key.expose().len();
    if config.platform.token_algorithm == TokenAlgorithm::Hs256 && (1..FEWEST_SECRET_BYTES).contains(&key) {
        return fail("platform.token_key", format!("of HS256 must have at least {FEWEST_SECRET_BYTES} bytes"));
    }
    if !config.access.password_hash.is_empty() && !is_strong_hash(&config.access.password_hash) {
        return fail("access.password_hash", "must be what `footfall access hash-password` prints: $argon2id$…".into());
    }
    if (1..FEWEST_TOKEN_BYTES).contains(&config.report.token.expose().len()) {
        return fail(
            "report.token",
            format!("must have at least {FEWEST_TOKEN_BYTES} bytes: it is all that stands before every report"),
        );
    }
    if config.test.clock && !config.server.listen.ip().is_loopback() {
        return fail("test.clock", format!("needs server.listen on a loopback address, not {}", config.server.listen));
    }
    if config.test.whole_lots && !config.test.clock {
        return fail("test.whole_lots", "needs test.clock: lots without a remainder give rare values away".into());
    }
    // A name must mean one site in one zone: two rules may share a template only where they agree on the zone.
    for (place, rule) in config.profiles.iter().enumerate() {
        if config.profiles[..place].iter().any(|other| other.site == rule.site && other.zone != rule.zone) {
            return fail(
                &format!("profiles[{place}].site"),
                "must differ from that of rules in another zone, such as ally-{profile}".into(),
            );
        }
    }
    let names = config.sites.iter().map(|site| site.id.as_str());
    if let Some((first, second)) = with_one_id(names, SiteId::of) {
        return fail("sites", format!("{first} and {second} have one id; rename one of them"));
    }
    if let Some((key, reason)) = compatible::contradiction(&config.compatible) {
        return fail(&key, reason);
    }
    if config.consent.basis == Basis::ExemptOptOut {
        let longest = 395 * 86_400;
        if config.visitor.cookie.max_age_secs > longest {
            return fail(
                "visitor.cookie.max_age_secs",
                format!("at most {longest} (395 days) where consent.basis is exempt_opt_out"),
            );
        }
        if config.retention.keep_days > 761 {
            return fail("retention.keep_days", "at most 761 where consent.basis is exempt_opt_out".into());
        }
    }
    Ok(())
}
