//! The language a browser prefers most. Only its ISO 639-1 code is kept: regions and the order of
//! the list would distinguish visitors.

use super::codes::CodeTable;
use crate::event::{OTHER_VALUE, UNKNOWN_VALUE};

/// ISO 639-1, in order.
static LANGUAGE_CODES: CodeTable = CodeTable::new(
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da \
     de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy \
     hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg \
     li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or \
     os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta \
     te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu",
    b'a',
);

/// Codes that were replaced by others but are still sent.
const REPLACED_CODES: [(&str, &str); 6] = [
    ("in", "id"),
    ("iw", "he"),
    ("ji", "yi"),
    ("jw", "jv"),
    ("mo", "ro"),
    ("sh", "sr"),
];

/// A language, "unknown" or "other".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PreferredLanguage(&'static str);

impl PreferredLanguage {
    /// No language was sent.
    pub const UNKNOWN: PreferredLanguage = PreferredLanguage(UNKNOWN_VALUE);
    const OTHER: PreferredLanguage = PreferredLanguage(OTHER_VALUE);

    /// The language of the first element of an `Accept-Language` field.
    /// [`PreferredLanguage::UNKNOWN`] without a field, `(other)` for a code that is not listed.
    pub fn from_accept_language(accept: Option<&str>) -> PreferredLanguage {
        let Some(accept) = accept.map(str::trim).filter(|accept| !accept.is_empty()) else {
            return PreferredLanguage::UNKNOWN;
        };
        let primary = accept
            .split([',', ';', '-', '_', ' ', '\t'])
            .next()
            .unwrap_or("");
        let found = LANGUAGE_CODES.find_code(primary).or_else(|| {
            let lower = primary.to_ascii_lowercase();
            LANGUAGE_CODES.find_code(
                REPLACED_CODES
                    .iter()
                    .find(|(former, _)| *former == lower)
                    .map_or(&lower, |(_, today)| today),
            )
        });
        found.map_or(PreferredLanguage::OTHER, PreferredLanguage)
    }

    /// The ISO 639-1 code, `(unknown)` or `(other)`; stored and shown.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_every_code_is_found() {
        let codes = LANGUAGE_CODES.all();
        assert_eq!(codes.len(), 183);
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(
            codes
                .iter()
                .all(|code| PreferredLanguage::from_accept_language(Some(code)).name() == *code)
        );
    }

    #[test]
    fn the_first_tag_names_the_language() {
        let cases = [
            (Some("de-DE,de;q=0.9,en;q=0.8"), "de"),
            (Some("EN-us"), "en"),
            (Some("de_AT"), "de"),
            (Some("iw-IL"), "he"),
            (Some("IN"), "id"),
            (Some("ja;q=0.5, en"), "ja"),
            (Some(" fr , en"), "fr"),
            (Some("fil-PH,fil;q=0.9,en;q=0.8"), "(other)"),
            (Some("zz,en"), "(other)"),
            (Some("*"), "(other)"),
            (Some("\u{e9}"), "(other)"),
            (Some(""), "(unknown)"),
            (None, "(unknown)"),
        ];
        for (accept, expected) in cases {
            assert_eq!(
                PreferredLanguage::from_accept_language(accept).name(),
                expected,
                "{accept:?}"
            );
        }
    }
}
