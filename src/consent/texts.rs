//! The texts of the consent prompt and of the visitor's page, per language.
//!
//! Built-in files and the operator's files have the same format; an operator's file replaces the
//! built-in one of its language or adds a language. All files must have the same keys, so that no
//! visitor sees an incomplete prompt.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::config::line_of;

const BUILT_IN_FILES: [(&str, &str); 5] = [
    ("en.toml", include_str!("../../config/texts/en.toml")),
    ("de.toml", include_str!("../../config/texts/de.toml")),
    ("fr.toml", include_str!("../../config/texts/fr.toml")),
    ("es.toml", include_str!("../../config/texts/es.toml")),
    ("ar.toml", include_str!("../../config/texts/ar.toml")),
];

/// The texts of one tier.
#[derive(Deserialize, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct TierTexts {
    /// The tier's name as shown.
    pub title: String,
    /// What the tier is for, in a sentence or two.
    pub text: String,
}

/// The texts of one language.
#[derive(Deserialize, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct LanguageTexts {
    /// The BCP 47 language tag.
    pub lang: String,
    /// The writing direction: `ltr` or `rtl`.
    pub dir: String,
    /// The texts of the consent prompt by key.
    pub banner: BTreeMap<String, String>,
    /// The texts of each tier by the tier's name.
    pub tiers: BTreeMap<String, TierTexts>,
    /// The texts of the visitor's page by key.
    pub me: BTreeMap<String, String>,
}

/// All languages; the first is the fallback.
pub struct TextCatalog {
    languages: Vec<LanguageTexts>,
    /// The concatenated text of every file, input of the digest of the displayed texts.
    pub source: String,
}

/// A text file that is rejected.
#[derive(thiserror::Error, Debug)]
#[error("{file}: {reason}")]
pub struct TextFileError {
    /// The name of the file.
    pub file: String,
    /// What is wrong with it.
    pub reason: String,
}

impl TextCatalog {
    /// Loads the built-in files and then `own`, the operator's files as name and text. Every one of
    /// `tiers` must have texts in each file.
    ///
    /// # Errors
    ///
    /// A file is not TOML of this form, lacks a key or a tier, or has a key that is not used.
    pub fn from_files(
        own: &[(String, String)],
        tiers: &[String],
    ) -> Result<TextCatalog, TextFileError> {
        let mut texts = TextCatalog {
            languages: Vec::new(),
            source: String::new(),
        };
        let built_in = BUILT_IN_FILES.map(|(name, text)| (name.to_owned(), text.to_owned()));
        for (file, text) in built_in.iter().chain(own) {
            let fail = |reason: String| TextFileError {
                file: file.clone(),
                reason,
            };
            let language: LanguageTexts =
                toml::from_str(text).map_err(|error| fail(describe_toml_error(&error, text)))?;
            texts.check_language(&language, tiers).map_err(fail)?;

            texts.source.push_str(text);
            match texts
                .languages
                .iter_mut()
                .find(|known| known.lang == language.lang)
            {
                Some(known) => *known = language,
                None => texts.languages.push(language),
            }
        }
        Ok(texts)
    }

    /// The language for a requested tag, or else for an `Accept-Language` field, or else the
    /// fallback. Quality values are ignored; the order of the field decides.
    pub fn negotiate_language(&self, tag: &str, accept: &str) -> &LanguageTexts {
        let wanted = std::iter::once(tag).chain(
            accept
                .split(',')
                .map(|part| part.split(';').next().unwrap_or("")),
        );
        wanted
            .filter_map(|tag| self.find_language(tag))
            .next()
            .unwrap_or(&self.languages[0])
    }

    /// The language with exactly this tag, or with its primary subtag.
    pub fn find_language(&self, tag: &str) -> Option<&LanguageTexts> {
        let tag = tag.trim();
        let named = |name: &str| {
            self.languages
                .iter()
                .find(|language| language.lang.eq_ignore_ascii_case(name))
        };
        named(tag).or_else(|| named(tag.split('-').next().unwrap_or("")))
    }

    fn check_language(&self, language: &LanguageTexts, tiers: &[String]) -> Result<(), String> {
        if !matches!(language.dir.as_str(), "ltr" | "rtl") {
            return Err("dir must be ltr or rtl".into());
        }
        if let Some(tier) = tiers
            .iter()
            .find(|tier| !language.tiers.contains_key(*tier))
        {
            return Err(format!(
                "[tiers.{tier}] is missing: it is one of consent.tiers"
            ));
        }

        let Some(model) = self.languages.first() else {
            return Ok(());
        };
        for (section, mine, model) in [
            ("banner", &language.banner, &model.banner),
            ("me", &language.me, &model.me),
        ] {
            let missing = model.keys().find(|key| !mine.contains_key(*key));
            let unknown = mine.keys().find(|key| !model.contains_key(*key));
            match (missing, unknown) {
                (Some(key), _) => return Err(format!("[{section}] lacks {key}")),
                (_, Some(key)) => {
                    return Err(format!("[{section}] holds {key}, which nothing shows"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A TOML error as one line.
fn describe_toml_error(error: &toml::de::Error, text: &str) -> String {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    format!("line {line}: {}", error.message())
}

impl LanguageTexts {
    /// A text of the consent prompt; empty if the key is unknown.
    pub fn banner_text(&self, key: &str) -> &str {
        self.banner.get(key).map_or("", String::as_str)
    }

    /// A text of the visitor's page; empty if the key is unknown.
    pub fn visitor_page_text(&self, key: &str) -> &str {
        self.me.get(key).map_or("", String::as_str)
    }

    /// The displayed name of a tier; empty if the tier is unknown.
    pub fn tier_title(&self, tier: &str) -> &str {
        self.tiers.get(tier).map_or("", |of| of.title.as_str())
    }

    /// The description of a tier; empty if the tier is unknown.
    pub fn tier_text(&self, tier: &str) -> &str {
        self.tiers.get(tier).map_or("", |of| of.text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Subject;

    fn tiers() -> Vec<String> {
        [
            "necessary",
            "preferences",
            "analytics",
            "embeds",
            "marketing",
        ]
        .map(String::from)
        .to_vec()
    }

    #[test]
    fn five_languages_say_everything_the_presets_ask() {
        let texts = TextCatalog::from_files(&[], &tiers()).unwrap();
        let found: Vec<(&str, &str)> = texts
            .languages
            .iter()
            .map(|l| (&*l.lang, &*l.dir))
            .collect();
        assert_eq!(
            found,
            [
                ("en", "ltr"),
                ("de", "ltr"),
                ("fr", "ltr"),
                ("es", "ltr"),
                ("ar", "rtl")
            ]
        );
        assert!(
            texts
                .languages
                .iter()
                .flat_map(|l| l.banner.values().chain(l.me.values()))
                .all(|text| !text.is_empty())
        );
    }

    #[test]
    fn each_dimension_has_a_name_on_the_visitors_page() {
        let texts = TextCatalog::from_files(&[], &tiers()).unwrap();
        for dimension in Subject::Site.dimensions() {
            let key = format!("dim_{}", dimension.name());
            for language in &texts.languages {
                assert_ne!(
                    language.visitor_page_text(&key),
                    "",
                    "{key} of {}.toml",
                    language.lang
                );
            }
        }
    }

    #[test]
    fn the_pages_language_wins_over_the_browsers_and_english_is_for_the_rest() {
        let texts = TextCatalog::from_files(&[], &tiers()).unwrap();
        for (tag, accept, expected) in [
            ("de-AT", "fr", "de"),
            ("", "pt-BR, fr;q=0.8, en;q=0.5", "fr"),
            ("xx", "", "en"),
            ("", "*", "en"),
            ("AR", "", "ar"),
        ] {
            assert_eq!(
                texts.negotiate_language(tag, accept).lang,
                expected,
                "{tag} {accept}"
            );
        }
    }

    #[test]
    fn an_operators_file_replaces_a_language_and_one_with_a_gap_is_refused_by_name() {
        let mine = BUILT_IN_FILES[1].1.replace("Annehmen", "Ja, gern");
        let texts = TextCatalog::from_files(&[("de.toml".into(), mine.clone())], &tiers()).unwrap();
        assert_eq!(
            (
                texts.languages.len(),
                texts.find_language("de").unwrap().banner_text("accept")
            ),
            (5, "Ja, gern")
        );
        let without: String = mine
            .lines()
            .filter(|line| !line.starts_with("reject "))
            .collect::<Vec<_>>()
            .join("\n");
        let error = TextCatalog::from_files(&[("de.toml".into(), without)], &tiers())
            .err()
            .unwrap()
            .to_string();
        assert_eq!(error, "de.toml: [banner] lacks reject");
        let error = TextCatalog::from_files(&[], &["ads".to_owned()])
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("[tiers.ads] is missing"), "{error}");
    }
}
