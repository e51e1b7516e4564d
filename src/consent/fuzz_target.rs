//! The check of consent cookies that `make fuzz` runs.

use std::sync::{Arc, OnceLock};

use super::choice::{CookieClaim, StoredChoice, refusal_value};
use super::id::ConsentId;
use super::keys::GrantKeys;
use super::policy::{ConsentPolicy, GrantEvidence, GrantLookup};
use crate::config::{ConfigSources, Secret, load_config};
use crate::event::RequestCookies;

const SITE: &str = "fuzz";
const COOKIE: &str = "ff_consent";
const VERSION: u32 = 2;
/// A value that ends with it gets its MAC instead, which no input can guess.
const MAC_PLACEHOLDER: &str = ".MAC";

/// Every id whose last digit is 0 has an unsigned grant of the current version.
struct EvenLedger;

impl GrantLookup for EvenLedger {
    fn is_live(&self, id: &ConsentId, version: u32, _: &mut dyn Iterator<Item = &str>) -> bool {
        version == VERSION && id.to_bytes()[0] & 15 == 0
    }
}

fn parse_keys() -> GrantKeys {
    let file = "one AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\n";
    let keys = GrantKeys::parse_file(&Secret::new(file.into()), SITE);
    keys.expect("a key file as `footfall consent new-key` prints it")
}

fn grant_keys() -> &'static GrantKeys {
    static KEYS: OnceLock<GrantKeys> = OnceLock::new();
    KEYS.get_or_init(parse_keys)
}

fn policy() -> &'static ConsentPolicy {
    static POLICY: OnceLock<ConsentPolicy> = OnceLock::new();
    POLICY.get_or_init(|| {
        let set = [("consent.version", "2"), ("consent.site", SITE)];
        let set = set.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let sources = ConfigSources {
            overrides: set.into(),
            ..ConfigSources::default()
        };
        let config = load_config(sources, |_| unreachable!("no file is read"));
        let evidence = GrantEvidence {
            keys: parse_keys(),
            withdrawn: Arc::default(),
            grant_lookup: Box::new(EvenLedger),
        };
        ConsentPolicy::new(
            &config.expect("the built-in configuration is valid"),
            |_| 1,
            evidence,
        )
    })
}

/// Reads the `Cookie` lines of a request, one per line of `header`. Whatever parses is the same
/// when printed and parsed again, a grant is believed only as its key signs it, and a refusal of
/// the current version wins. Returns whether a choice was believed.
pub(crate) fn check_consent_cookie(header: &[u8]) -> bool {
    let signed = sign_placeholders(header);
    let mut cookies = RequestCookies::default();
    signed
        .split(|byte| *byte == b'\n')
        .for_each(|line| cookies.push_line(line));

    let values: Vec<&str> = cookies.get_all(COOKIE).collect();
    values.iter().for_each(|value| check_value(value));
    let Some(choice) = policy().stored_choice(&cookies) else {
        return false;
    };

    let current = values
        .iter()
        .filter_map(|value| policy().choice_from_value(value))
        .filter(|choice| choice.version == VERSION)
        .collect::<Vec<_>>();
    assert!(
        current.is_empty() || choice.version == VERSION,
        "another version hides the current one"
    );
    if current.iter().any(|choice| choice.id.is_none()) {
        assert!(choice.id.is_none(), "a grant hides a refusal");
    }
    true
}

/// The header, with the MAC of what precedes it for each placeholder at the end of a cookie.
fn sign_placeholders(header: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(header) else {
        return header.to_vec();
    };
    let mut signed = String::new();
    for part in text.split_inclusive([';', '\n']) {
        let bare = part.trim_end_matches([';', '\n']);
        let body = bare
            .strip_suffix(MAC_PLACEHOLDER)
            .and_then(|body| Some((body, body.trim_start().strip_prefix(COOKIE)?)))
            .and_then(|(body, value)| Some((body, value.strip_prefix('=')?)));
        match body {
            Some((body, value)) => {
                let mac = grant_keys().sign_text(value);
                signed.push_str(&format!("{body}.{mac}"));
                signed.push_str(&part[bare.len()..]);
            }
            None => signed.push_str(part),
        }
    }
    signed.into_bytes()
}

fn check_value(value: &str) {
    let Some((stored, claim)) = StoredChoice::parse(value) else {
        assert!(policy().choice_from_value(value).is_none(), "no choice");
        return;
    };
    check_printed_again(&stored, &claim);

    let believed = policy().choice_from_value(value).is_some();
    match claim {
        CookieClaim::Refusal => assert!(believed && stored.tiers().next().is_none(), "refusal"),
        CookieClaim::Unsigned => {}
        CookieClaim::Signed { text, key_id, mac } => {
            assert!(value == format!("{text}.{mac}"), "the signed text");
            assert!(text.ends_with(&format!(".{key_id}")), "the key's id");
            let expected = grant_keys().sign_text(text);
            assert_eq!(believed, key_id == "one" && mac == expected, "the MAC");
        }
    }

    // What is signed for this choice is believed, and says the same.
    if let Some(id) = &stored.id {
        let tiers: Vec<&str> = stored.tiers().collect();
        let grant = grant_keys().sign_grant(stored.version, &tiers, id);
        let again = policy().choice_from_value(&grant);
        assert!(
            again.is_some_and(|again| is_same(&again, &stored)),
            "a signed grant"
        );
    }
}

fn check_printed_again(stored: &StoredChoice<'_>, claim: &CookieClaim<'_>) {
    let tiers: Vec<&str> = stored.tiers().collect();
    let printed = match (&stored.id, claim) {
        (None, _) => refusal_value(stored.version),
        (Some(id), CookieClaim::Signed { key_id, mac, .. }) => {
            let (version, tiers, id) = (stored.version, tiers.join("+"), id.to_hex());
            format!("{version}.{tiers}.{id}.{key_id}.{mac}")
        }
        (Some(id), _) => format!("{}.{}.{}", stored.version, tiers.join("+"), id.to_hex()),
    };

    let again = StoredChoice::parse(&printed);
    let Some((again, again_claim)) = again else {
        panic!("printed again it is no choice");
    };
    assert!(
        is_same(&again, stored),
        "printed again it is another choice"
    );
    assert!(
        std::mem::discriminant(&again_claim) == std::mem::discriminant(claim),
        "printed again it claims something else"
    );
}

fn is_same(one: &StoredChoice<'_>, other: &StoredChoice<'_>) -> bool {
    one.version == other.version && one.id == other.id && one.tiers().eq(other.tiers())
}
