//! What the question and the visitor's page say, in each language.
//!
//! Built-in files and an operator's own have one form; the operator's replace those of the same language or add another. All hold the same
//! keys, so that nobody is shown half a question.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::config::line_of;

const BUILT_IN: [(&str, &str); 5] = [
    ("en.toml", include_str!("../../config/texts/en.toml")),
    ("de.toml", include_str!("../../config/texts/de.toml")),
    ("fr.toml", include_str!("../../config/texts/fr.toml")),
    ("es.toml", include_str!("../../config/texts/es.toml")),
    ("ar.toml", include_str!("../../config/texts/ar.toml")),
];

#[derive(Deserialize, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct OfTier {
    pub title: String,
    pub text: String,
}

/// One language.
#[derive(Deserialize, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Language {
    pub lang: String,
    pub dir: String,
    pub banner: BTreeMap<String, String>,
    pub tiers: BTreeMap<String, OfTier>,
    pub me: BTreeMap<String, String>,
}

/// All languages; the first is for those who understand none.
pub struct Texts {
    languages: Vec<Language>,
    /// Every file's text, for the digest of what was shown.
    pub source: String,
}

#[derive(thiserror::Error, Debug)]
#[error("{file}: {reason}")]
pub struct TextsError {
    pub file: String,
    pub reason: String,
}

impl Texts {
    /// `own` are the operator's files: name and text. `tiers` must all have words.
    pub fn load(own: &[(String, String)], tiers: &[String]) -> Result<Texts, TextsError> {
        let mut texts = Texts { languages: Vec::new(), source: String::new() };
        let built_in = BUILT_IN.map(|(name, text)| (name.to_owned(), text.to_owned()));
        for (file, text) in built_in.iter().chain(own) {
            let fail = |reason: String| TextsError { file: file.clone(), reason };
            let language: Language = toml::from_str(text).map_err(|error| fail(said(&error, text)))?;
            texts.check(&language, tiers).map_err(fail)?;
            texts.source.push_str(text);
            match texts.languages.iter_mut().find(|known| known.lang == language.lang) {
                Some(known) => *known = language,
                None => texts.languages.push(language),
            }
        }
        Ok(texts)
    }

    /// By a language tag, or else by an `Accept-Language` field.
    pub fn pick(&self, tag: &str, accept: &str) -> &Language {
        let wanted = std::iter::once(tag).chain(accept.split(',').map(|part| part.split(';').next().unwrap_or("")));
        wanted.filter_map(|tag| self.of(tag)).next().unwrap_or(&self.languages[0])
    }

    /// The exact language, or that of the primary subtag.
    pub fn of(&self, tag: &str) -> Option<&Language> {
        let tag = tag.trim();
        let named = |name: &str| self.languages.iter().find(|language| language.lang.eq_ignore_ascii_case(name));
        named(tag).or_else(|| named(tag.split('-').next().unwrap_or("")))
    }

    fn check(&self, language: &Language, tiers: &[String]) -> Result<(), String> {
        if !matches!(language.dir.as_str(), "ltr" | "rtl") {
            return Err("dir must be ltr or rtl".into());
        }
        if let Some(tier) = tiers.iter().find(|tier| !language.tiers.contains_key(*tier)) {
            return Err(format!("[tiers.{tier}] is missing: it is one of consent.tiers"));
        }
        let Some(model) = self.languages.first() else { return Ok(()) };
        for (section, mine, model) in [("banner", &language.banner, &model.banner), ("me", &language.me, &model.me)] {
            let missing = model.keys().find(|key| !mine.contains_key(*key));
            let unknown = mine.keys().find(|key| !model.contains_key(*key));
            match (missing, unknown) {
                (Some(key), _) => return Err(format!("[{section}] lacks {key}")),
                (_, Some(key)) => return Err(format!("[{section}] holds {key}, which nothing shows")),
                _ => {}
            }
        }
        Ok(())
    }
}

/// In one line.
fn said(error: &toml::de::Error, text: &str) -> String {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    format!("line {line}: {}", error.message())
}

impl Language {
    pub fn banner(&self, key: &str) -> &str {
        self.banner.get(key).map_or("", String::as_str)
    }

    pub fn me(&self, key: &str) -> &str {
        self.me.get(key).map_or("", String::as_str)
    }

    pub fn title(&self, tier: &str) -> &str {
        self.tiers.get(tier).map_or("", |of| of.title.as_str())
    }

    pub fn text(&self, tier: &str) -> &str {
        self.tiers.get(tier).map_or("", |of| of.text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiers() -> Vec<String> {
        ["necessary", "preferences", "analytics", "embeds", "marketing"].map(String::from).to_vec()
    }

    #[test]
    fn five_languages_say_everything_the_presets_ask() {
        let texts = Texts::load(&[], &tiers()).unwrap();
        let found: Vec<(&str, &str)> = texts.languages.iter().map(|l| (&*l.lang, &*l.dir)).collect();
        assert_eq!(found, [("en", "ltr"), ("de", "ltr"), ("fr", "ltr"), ("es", "ltr"), ("ar", "rtl")]);
        assert!(
            texts.languages.iter().flat_map(|l| l.banner.values().chain(l.me.values())).all(|text| !text.is_empty())
        );
    }

    #[test]
    fn the_pages_language_wins_over_the_browsers_and_english_is_for_the_rest() {
        let texts = Texts::load(&[], &tiers()).unwrap();
        for (tag, accept, expected) in [
            ("de-AT", "fr", "de"),
            ("", "pt-BR, fr;q=0.8, en;q=0.5", "fr"),
            ("xx", "", "en"),
            ("", "*", "en"),
            ("AR", "", "ar"),
        ] {
            assert_eq!(texts.pick(tag, accept).lang, expected, "{tag} {accept}");
        }
    }

    #[test]
    fn an_operators_file_replaces_a_language_and_one_with_a_gap_is_refused_by_name() {
        let mine = BUILT_IN[1].1.replace("Annehmen", "Ja, gern");
        let texts = Texts::load(&[("de.toml".into(), mine.clone())], &tiers()).unwrap();
        assert_eq!((texts.languages.len(), texts.of("de").unwrap().banner("accept")), (5, "Ja, gern"));
        let without: String = mine.lines().filter(|line| !line.starts_with("reject ")).collect::<Vec<_>>().join("\n");
        let error = Texts::load(&[("de.toml".into(), without)], &tiers()).err().unwrap().to_string();
        assert_eq!(error, "de.toml: [banner] lacks reject");
        let error = Texts::load(&[], &["ads".to_owned()]).err().unwrap().to_string();
        assert!(error.contains("[tiers.ads] is missing"), "{error}");
    }
}
