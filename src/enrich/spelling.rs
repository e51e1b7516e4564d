//! Checks that the spelling of a value does not matter, for random combinations of the variants in
//! docs/understand/COUNTING.md.

use icu_normalizer::DecomposingNormalizerBorrowed;
use proptest::prelude::*;

use super::{PageUrl, PreferredLanguage, VisitSource, clean_event_name, clean_link};

/// Chooses the spelling of each part.
struct SpellingDice(u64);

impl SpellingDice {
    fn roll_die(&mut self, sides: u64) -> u64 {
        // xorshift64: any generator suffices.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn pick_one(&mut self, spellings: &[&'static str]) -> &'static str {
        spellings[self.roll_die(spellings.len() as u64) as usize]
    }

    fn vary_case(&mut self, text: &str) -> String {
        text.chars()
            .map(|c| {
                if self.roll_die(2) == 0 {
                    c.to_ascii_uppercase()
                } else {
                    c
                }
            })
            .collect()
    }

    /// With or without combining accents.
    fn vary_accents(&mut self, text: &str) -> String {
        match self.roll_die(2) {
            0 => text.to_owned(),
            _ => DecomposingNormalizerBorrowed::new_nfd()
                .normalize(text)
                .into_owned(),
        }
    }

    /// Some of it percent-encoded, in upper or lower case.
    fn vary_encoding(&mut self, text: &str) -> String {
        let mut out = String::new();
        for c in text.chars() {
            let encoded: String = c.to_string().bytes().map(|b| format!("%{b:02X}")).collect();
            match self.roll_die(3) {
                0 => out.push_str(&encoded),
                1 => out.push_str(&encoded.to_lowercase()),
                _ => out.push(c),
            }
        }
        out
    }

    fn vary_host(&mut self, host: &str) -> String {
        format!(
            "{}{}{}",
            self.vary_case(host),
            self.pick_one(&["", "."]),
            self.pick_one(&["", ":443"])
        )
    }

    fn vary_path(&mut self, segments: &[String]) -> String {
        let mut path = String::new();
        for segment in segments {
            path += self.pick_one(&["/", "//", "/./", "/%2e/", "/x/../", "/x/%2E%2e/"]);
            let spelled = self.vary_accents(segment);
            path += &self.vary_encoding(&spelled);
        }
        path + self.pick_one(&["", "/", "//", "/."])
    }

    fn vary_tag(&mut self, name: &str, value: &str) -> String {
        let name = match self.roll_die(3) {
            0 => name.replace('_', "%5F"),
            1 => name.replace('_', "%5f"),
            _ => name.to_owned(),
        };
        let escape = self.pick_one(&["&", "&amp;", "&amp;amp;", "?"]);
        let value = self.vary_case(value);
        let value = self.vary_accents(&value);
        let value = self.vary_encoding(&value);
        let blank = self.pick_one(&["", "+", "%20"]);
        format!(
            "{escape}{}={blank}{value}{}",
            self.vary_case(&name),
            self.pick_one(&["", "+", "%20"])
        )
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
        let mut dice = SpellingDice(seed);
        let plain = format!("https://shop.example/{}", segments.join("/"));
        let query = format!("?a=1&utm_source={source}&utm_campaign={campaign}");
        let url = format!(
            "{}://{}{}?a=1{}{}",
            dice.vary_case("https"),
            dice.vary_host("shop.example"),
            dice.vary_path(&segments),
            dice.vary_tag("utm_source", &source),
            dice.vary_tag("utm_campaign", &campaign)
        );
        let first = format!("{plain}{query}");
        let (one, other) = (PageUrl::parse(&first).unwrap(), PageUrl::parse(&url).unwrap());
        prop_assert_eq!((one.host(), one.clean_path_below("/")), (other.host(), other.clean_path_below("/")), "{}", url);
        prop_assert_eq!(one.lookup_path(), other.lookup_path(), "{}", url);
        let tags = |page: &PageUrl<'_>| {
            let campaign = page.campaign_tag().and_then(super::campaign::clean_campaign).map(String::from);
            (VisitSource::from_visit(page, "", None).name().to_owned(), campaign)
        };
        prop_assert_eq!(tags(&one), tags(&other), "{}", url);

        prop_assert_eq!(clean_link(&plain, |_, _| 0), clean_link(&url, |_, _| 0), "{}", url);
        let referred = |referrer: &str| VisitSource::from_visit(&PageUrl::parse("https://a.example/").unwrap(), referrer, None);
        prop_assert_eq!(referred(&plain), referred(&url.replacen("://", if dice.roll_die(2) == 0 { "://www." } else { "://" }, 1)));

        let spelled = format!("{}{}{}", dice.pick_one(&["", " "]), dice.vary_accents(&name), dice.pick_one(&["", " ", "\n"]));
        prop_assert_eq!(clean_event_name(&name), clean_event_name(&spelled));
        prop_assert_eq!(clean_link(&name, |_, _| 0), clean_link(&spelled, |_, _| 0));
    }

    #[test]
    fn a_language_is_one_however_it_is_spelled(code in "de|fr|he|id|yi|ro", seed in 1_u64..) {
        let mut dice = SpellingDice(seed);
        let former = [("he", "iw"), ("id", "in"), ("yi", "ji"), ("ro", "mo")];
        let old = former.into_iter().find(|(today, _)| *today == code && dice.roll_die(2) == 0).map(|(_, old)| old);
        let spelled = dice.vary_case(old.unwrap_or(&code));
        let tail = dice.pick_one(&["", "-AT", "_AT", "-Latn-AT", ";q=0.8", ",en;q=0.5", " , en", "-AT;q=1"]);
        let accept = format!("{}{spelled}{tail}", dice.pick_one(&["", " "]));
        prop_assert_eq!(PreferredLanguage::from_accept_language(Some(&accept)), PreferredLanguage::from_accept_language(Some(&code)), "{}", accept);
    }
}
