//! Checks that the spelling of a value does not matter, for random combinations of the variants in
//! docs/understand/COUNTING.md.

use icu_normalizer::DecomposingNormalizerBorrowed;
use proptest::prelude::*;

use super::{Language, Page, Source, event_name, link};

/// Decides how each piece is spelled.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // xorshift64: any generator will do.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn one_of(&mut self, spellings: &[&'static str]) -> &'static str {
        spellings[self.roll(spellings.len() as u64) as usize]
    }

    fn capitals(&mut self, text: &str) -> String {
        text.chars().map(|c| if self.roll(2) == 0 { c.to_ascii_uppercase() } else { c }).collect()
    }

    /// With combining accents or without.
    fn letters(&mut self, text: &str) -> String {
        match self.roll(2) {
            0 => text.to_owned(),
            _ => DecomposingNormalizerBorrowed::new_nfd().normalize(text).into_owned(),
        }
    }

    /// Some of it percent-encoded, in upper or lower case.
    fn encoded(&mut self, text: &str) -> String {
        let mut out = String::new();
        for c in text.chars() {
            let encoded: String = c.to_string().bytes().map(|b| format!("%{b:02X}")).collect();
            match self.roll(3) {
                0 => out.push_str(&encoded),
                1 => out.push_str(&encoded.to_lowercase()),
                _ => out.push(c),
            }
        }
        out
    }

    fn host(&mut self, host: &str) -> String {
        format!("{}{}{}", self.capitals(host), self.one_of(&["", "."]), self.one_of(&["", ":443"]))
    }

    fn path(&mut self, segments: &[String]) -> String {
        let mut path = String::new();
        for segment in segments {
            path += self.one_of(&["/", "//", "/./", "/%2e/", "/x/../", "/x/%2E%2e/"]);
            let spelled = self.letters(segment);
            path += &self.encoded(&spelled);
        }
        path + self.one_of(&["", "/", "//", "/."])
    }

    fn tag(&mut self, name: &str, value: &str) -> String {
        let name = match self.roll(3) {
            0 => name.replace('_', "%5F"),
            1 => name.replace('_', "%5f"),
            _ => name.to_owned(),
        };
        let escape = self.one_of(&["&", "&amp;", "&amp;amp;", "?"]);
        let value = self.capitals(value);
        let value = self.letters(&value);
        let value = self.encoded(&value);
        let blank = self.one_of(&["", "+", "%20"]);
        format!("{escape}{}={blank}{value}{}", self.capitals(&name), self.one_of(&["", "+", "%20"]))
    }
}

proptest! {
    #[test]
    fn spelling_never_makes_a_second_row(
        segments in prop::collection::vec("[a-z~é夏]{1,8}", 1..4),
        source in "[a-zé]{3,8}",
        campaign in "[a-z夏é]{1,8}",
        name in "[A-Za-zé夏]{1,8}( [a-zé]{1,8})?",
        seed in 1_u64..,
    ) {
        let mut dice = Dice(seed);
        let plain = format!("https://shop.example/{}", segments.join("/"));
        let query = format!("?a=1&utm_source={source}&utm_campaign={campaign}");
        let url = format!(
            "{}://{}{}?a=1{}{}",
            dice.capitals("https"),
            dice.host("shop.example"),
            dice.path(&segments),
            dice.tag("utm_source", &source),
            dice.tag("utm_campaign", &campaign)
        );
        let first = format!("{plain}{query}");
        let (one, other) = (Page::parse(&first).unwrap(), Page::parse(&url).unwrap());
        prop_assert_eq!((one.host(), one.path_below("/")), (other.host(), other.path_below("/")), "{}", url);
        prop_assert_eq!(one.lookup_path(), other.lookup_path(), "{}", url);
        let tags = |page: &Page<'_>| {
            let campaign = page.campaign_key().and_then(super::campaign::campaign).map(String::from);
            (Source::of(page, "", None).name().to_owned(), campaign)
        };
        prop_assert_eq!(tags(&one), tags(&other), "{}", url);

        prop_assert_eq!(link(&plain, |_, _| 0), link(&url, |_, _| 0), "{}", url);
        let referred = |referrer: &str| Source::of(&Page::parse("https://a.example/").unwrap(), referrer, None);
        prop_assert_eq!(referred(&plain), referred(&url.replacen("://", if dice.roll(2) == 0 { "://www." } else { "://" }, 1)));

        let spelled = format!("{}{}{}", dice.one_of(&["", " "]), dice.letters(&name), dice.one_of(&["", " ", "\n"]));
        prop_assert_eq!(event_name(&name), event_name(&spelled));
        prop_assert_eq!(link(&name, |_, _| 0), link(&spelled, |_, _| 0));
    }

    #[test]
    fn a_language_is_one_however_it_is_spelled(code in "de|fr|he|id|yi|ro", seed in 1_u64..) {
        let mut dice = Dice(seed);
        let former = [("he", "iw"), ("id", "in"), ("yi", "ji"), ("ro", "mo")];
        let old = former.into_iter().find(|(today, _)| *today == code && dice.roll(2) == 0).map(|(_, old)| old);
        let spelled = dice.capitals(old.unwrap_or(&code));
        let tail = dice.one_of(&["", "-AT", "_AT", "-Latn-AT", ";q=0.8", ",en;q=0.5", " , en", "-AT;q=1"]);
        let accept = format!("{}{spelled}{tail}", dice.one_of(&["", " "]));
        prop_assert_eq!(Language::of(Some(&accept)), Language::of(Some(&code)), "{}", accept);
    }
}
