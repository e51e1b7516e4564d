//! Which stored choices are valid, and which one of several takes precedence.

use super::super::keys::tests::{ONE, keys};
use super::*;
use crate::calendar::Day;
use crate::config::{ConfigSources, load_config};

const ID: &str = "00112233445566778899aabbccddeeff";
const OTHER: &str = "ff112233445566778899aabbccddeeff";

/// A ledger with one unsigned grant: version 2, analytics.
struct Ledger;

impl GrantLookup for Ledger {
    fn is_live(&self, id: &ConsentId, version: u32, tiers: &mut dyn Iterator<Item = &str>) -> bool {
        id.to_hex() == ID && version == 2 && tiers.eq(["analytics"])
    }
}

fn terms(basis: &str) -> ConsentPolicy {
    let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let set = vec![
        set("consent.version", "2"),
        set("consent.basis", basis),
        set("consent.tiers", r#"["necessary", "analytics", "embeds"]"#),
    ];
    let config = load_config(
        ConfigSources {
            overrides: set,
            ..ConfigSources::default()
        },
        |_| unreachable!(),
    )
    .unwrap();
    let keys = keys(ONE, &config.consent.site).unwrap();
    ConsentPolicy::new(
        &config,
        |_| 1,
        GrantEvidence {
            keys,
            withdrawn: Arc::default(),
            grant_lookup: Box::new(Ledger),
        },
    )
}

fn grant_by(file: &str, version: u32, tiers: &[&str], id: &str) -> String {
    format!(
        "ff_consent={}",
        keys(file, "footfall")
            .unwrap()
            .sign_grant_with_hex_id(version, tiers, id)
            .unwrap()
    )
}

fn grant(version: u32, tiers: &[&str]) -> String {
    grant_by(ONE, version, tiers, ID)
}

fn cookies(line: &str) -> RequestCookies<'_> {
    let mut cookies = RequestCookies::default();
    cookies.push_line(line.as_bytes());
    cookies
}

/// The version and the tiers of a stored choice.
fn stored(terms: &ConsentPolicy, line: &str) -> Option<(u32, String)> {
    let stored = terms.stored_choice(&cookies(line))?;
    Some((stored.version, stored.tiers().collect::<Vec<_>>().join("+")))
}

#[test]
fn what_each_ground_needs_of_a_stored_choice() {
    use LegalBasis::{ConsentCookie, Declared, VisitorChoice};
    const NO: Option<DropReason> = Some(DropReason::NoConsent);
    const OBJECTED: Option<DropReason> = Some(DropReason::Objected);
    let [today, before, of_another] = [
        grant(2, &["analytics"]),
        grant(1, &["analytics"]),
        grant(2, &["embeds"]),
    ];
    let lines = [
        "",
        &today,
        &before,
        "ff_consent=1.none",
        "ff_consent=2.none",
        &of_another,
    ];
    for (basis, ground, expected) in [
        ("opt_in", VisitorChoice, [NO, None, NO, NO, NO, NO]),
        ("opt_in", ConsentCookie, [NO, None, NO, NO, NO, NO]),
        ("opt_in", Declared, [None, None, None, NO, NO, NO]),
        (
            "exempt_opt_out",
            VisitorChoice,
            [None, None, None, OBJECTED, OBJECTED, OBJECTED],
        ),
        ("exempt_opt_out", ConsentCookie, [NO, None, NO, NO, NO, NO]),
        (
            "exempt_opt_out",
            Declared,
            [None, None, None, OBJECTED, OBJECTED, OBJECTED],
        ),
    ] {
        let terms = terms(basis);
        let judged = lines.map(|line| {
            terms.choice_drop_reason(terms.stored_choice(&cookies(line)).as_ref(), ground)
        });
        assert_eq!(judged, expected, "{basis} {ground:?}");
    }
}

#[test]
fn a_grant_that_was_withdrawn_is_a_no_to_what_is_declared_too() {
    let terms = terms("opt_in");
    let line = grant(2, &["analytics"]);
    let id = terms
        .stored_choice(&cookies(&line))
        .and_then(|stored| stored.id)
        .unwrap();
    terms.withdrawn.insert(&id, Day::from_number(20_000));
    assert_eq!(
        terms.choice_drop_reason(
            terms.stored_choice(&cookies(&line)).as_ref(),
            LegalBasis::Declared
        ),
        Some(DropReason::NoConsent)
    );
}

#[test]
fn a_grant_that_was_not_given_here_is_not_there() {
    let terms = terms("opt_in");
    let real = grant(2, &["analytics"]);
    assert_eq!(stored(&terms, &real), Some((2, "analytics".into())));
    let other_key = grant_by(
        "one AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI",
        2,
        &["analytics"],
        ID,
    );
    let mut last = real.clone();
    let digit = if last.ends_with('0') { '1' } else { '0' };
    last.replace_range(last.len() - 1.., &digit.to_string());
    for made_up in [
        other_key,
        last,
        real.replace("analytics", "analytics+embeds"),
        real.replace("00112", "00113"),
    ] {
        assert_eq!(stored(&terms, &made_up), None, "{made_up}");
    }
}

#[test]
fn a_grant_of_before_counts_as_far_as_the_ledger_knows_it() {
    let terms = terms("opt_in");
    let line = |text: &str| stored(&terms, &format!("ff_consent={text}"));
    assert_eq!(
        line(&format!("2.analytics.{ID}")),
        Some((2, "analytics".into()))
    );
    for other in [
        format!("2.analytics.{OTHER}"),
        format!("1.analytics.{ID}"),
        format!("2.embeds.{ID}"),
        format!("2.analytics+embeds.{ID}"),
    ] {
        assert_eq!(line(&other), None, "{other}");
    }
}

#[test]
fn of_several_cookies_of_our_name_any_no_wins_and_what_is_no_answer_hides_none() {
    let terms = terms("opt_in");
    let (yes, no) = (grant(2, &["analytics"]), "ff_consent=2.none");
    let [old_yes, other_tier, of_nobody] = [
        grant(1, &["embeds"]),
        grant(2, &["embeds"]),
        format!("{yes}0"),
    ];
    let (granted, refused) = (Some((2, "analytics".to_owned())), Some((2, String::new())));
    for (lines, expected) in [
        (vec![&*yes, no], &refused),
        (vec!["ff_consent=accepted", &yes], &granted),
        (vec!["ff_consent=0.none", &yes], &granted),
        (vec!["ff_consent=1.none", &yes], &granted),
        (vec!["ff_consent=9.none", &yes], &granted),
        (vec![&*old_yes, &yes], &granted),
        (vec![&*of_nobody, no], &refused),
        (vec![&*of_nobody, &yes], &granted),
        (vec![&*of_nobody, "ff_consent=garbage"], &None),
        (vec![&*yes, &other_tier], &Some((2, "embeds".to_owned()))),
        (
            vec!["ff_consent=1.none", &old_yes],
            &Some((1, String::new())),
        ),
    ] {
        let (there, back) = (
            lines.join("; "),
            lines.iter().rev().copied().collect::<Vec<_>>().join("; "),
        );
        assert_eq!(
            (&stored(&terms, &there), &stored(&terms, &back)),
            (expected, expected),
            "{there}"
        );
    }
}

#[test]
fn a_withdrawn_grant_does_not_hide_one_that_was_given_after_it() {
    let terms = terms("opt_in");
    let (gone, live) = (
        grant(2, &["analytics"]),
        grant_by(ONE, 2, &["analytics"], OTHER),
    );
    terms
        .withdrawn
        .insert(&ConsentId::from_hex(ID).unwrap(), Day::from_number(20_000));
    assert_eq!(stored(&terms, &gone), Some((2, String::new())));
    assert_eq!(
        stored(&terms, &format!("{gone}; {live}")),
        Some((2, "analytics".into()))
    );
}

#[test]
fn new_keys_are_taken_while_it_runs() {
    let terms = terms("opt_in");
    let two = "two AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI\n";
    let (old, new) = (
        grant(2, &["analytics"]),
        grant_by(two, 2, &["analytics"], OTHER),
    );
    assert!(stored(&terms, &old).is_some() && stored(&terms, &new).is_none());
    terms.replace_keys(keys(&format!("{two}{ONE}"), "footfall").unwrap());
    assert!(stored(&terms, &old).is_some() && stored(&terms, &new).is_some());
    assert_eq!(
        terms.cookie_value(Some((&["analytics"], &ConsentId::from_hex(OTHER).unwrap()))),
        new["ff_consent=".len()..]
    );
    terms.replace_keys(keys(two, "footfall").unwrap());
    assert!(stored(&terms, &old).is_none(), "an old key that is gone");
}
