//! Dropping the oldest records.

use jiff::civil::{Date, date};

use super::*;

const DAY: i64 = 86_400_000;
/// 365 days.
const LIFE: u64 = 31_536_000;

/// Four days of records: 1 and 2, 3, 4, 5 and 6. The grant of record 1 is narrowed by record 5.
fn four_days(dir: &Path) -> (ConsentId, String) {
    let Opening { ledger, .. } = open(dir);
    let id = ConsentId::random();
    let on = |day: i64, act: NewAct| NewAct {
        at: AT + day * DAY,
        ..act
    };
    append(
        &ledger,
        on(
            0,
            act(ActKind::Grant, Some(&id), &["preferences", "analytics"]),
        ),
    );
    append(&ledger, on(0, refuse()));
    append(&ledger, on(1, refuse()));
    append(&ledger, on(2, refuse()));
    append(
        &ledger,
        on(3, act(ActKind::Withdraw, Some(&id), &["preferences"])),
    );
    append(&ledger, on(3, refuse()));
    (id, String::from_utf8(file(dir)).unwrap())
}

fn cut_before(dir: &Path, before: Date) -> Result<CutSummary, LedgerError> {
    cut_ledger(&options(dir), before, AT + 400 * DAY, LIFE, &mut |_, _| ())
}

#[test]
fn what_is_left_after_a_cut_is_unchanged_and_the_chain_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (id, whole) = four_days(dir.path());
    assert_eq!(
        cut_before(dir.path(), date(2026, 3, 12)).unwrap().records,
        3
    );
    let left = String::from_utf8(file(dir.path())).unwrap();
    let (first, rest) = left.split_once('\n').unwrap();
    let third: serde_json::Value = serde_json::from_str(whole.lines().nth(2).unwrap()).unwrap();
    let hash = third["hash"].as_str().unwrap();
    assert_eq!(
        first,
        format!(r#"{{"cut":{{"seq":3,"hash":"{hash}","before":"2026-03-12"}}}}"#)
    );
    assert_eq!(
        rest,
        whole.split_inclusive('\n').skip(3).collect::<String>()
    );

    let LedgerVerification {
        summary: found,
        matched_checkpoints: checkpoints,
        checkpoints_before_cut: cut_off,
    } = verified(dir.path()).unwrap();
    assert_eq!(
        (found.counts.records, found.head.size, checkpoints, cut_off),
        (3, 6, 2, 0)
    );
    let Opening { ledger, .. } = open(dir.path());
    assert!(
        ledger.consent_state(&id).unwrap().live,
        "references into the cut are kept"
    );
    assert_eq!(append(&ledger, withdraw(&id)).refers, Some(1));
    assert_eq!(append(&ledger, refuse()).seq, 8);
    drop(ledger);
    let second = cut_before(dir.path(), date(2026, 3, 13)).unwrap();
    assert_eq!((second.records, second.head.size), (1, 4));
    let again = verified(dir.path()).unwrap();
    assert_eq!(
        (
            again.summary.counts.records,
            again.summary.head.size,
            again.matched_checkpoints,
            again.checkpoints_before_cut
        ),
        (4, 8, 3, 1)
    );
}

#[test]
fn a_ledger_can_be_cut_to_nothing_and_still_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    four_days(dir.path());
    assert_eq!(cut_before(dir.path(), date(2026, 4, 1)).unwrap().records, 6);
    let again = cut_before(dir.path(), date(2026, 4, 1)).unwrap();
    assert_eq!((again.records, again.head.size), (0, 6));
    let Opening { ledger, found, .. } = open(dir.path());
    assert_eq!((found.counts.records, found.head.size), (0, 6));
    assert_eq!(append(&ledger, refuse()).seq, 7);
    drop(ledger);
    assert_eq!(verified(dir.path()).unwrap().summary.head.size, 7);
}

#[test]
fn a_day_on_which_a_live_grant_could_lie_is_refused_with_the_youngest_accepted() {
    let dir = tempfile::tempdir().unwrap();
    four_days(dir.path());
    let before = file(dir.path());
    // 400 days after the first record, 365 days back: 14 April.
    let error = cut_before(dir.path(), date(2026, 4, 15)).err().unwrap();
    assert!(
        error
            .to_string()
            .ends_with("the youngest day accepted is 2026-04-14"),
        "{error}"
    );
    assert_eq!(file(dir.path()), before);
    assert!(cut_before(dir.path(), date(2026, 4, 14)).is_ok());
}

#[test]
fn a_ledger_in_use_is_not_cut() {
    let dir = tempfile::tempdir().unwrap();
    four_days(dir.path());
    let _open = open(dir.path());
    assert!(matches!(
        cut_before(dir.path(), date(2026, 3, 12)),
        Err(LedgerError::InUse(_))
    ));
}

#[test]
fn a_cut_nobody_signed_for_is_named_and_so_is_one_other_byte_of_it() {
    let dir = tempfile::tempdir().unwrap();
    four_days(dir.path());
    cut_before(dir.path(), date(2026, 3, 12)).unwrap();
    let whole = file(dir.path());
    let first = whole.iter().position(|byte| *byte == b'\n').unwrap();
    for at in 0..=first {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(dir.path().join("acts.ledger"), bytes).unwrap();
        assert!(verified(dir.path()).is_err(), "byte {at}");
        assert!(try_open(dir.path()).is_err(), "byte {at}");
    }
    std::fs::write(dir.path().join("acts.ledger"), whole).unwrap();
    std::fs::remove_file(dir.path().join("checkpoints/3.note")).unwrap();
    for error in [
        verified(dir.path()).err().unwrap(),
        try_open(dir.path()).err().unwrap(),
    ] {
        let text = "record 3 was cut, and no checkpoint signs for it: checkpoints/3.note must say \
            the same";
        assert!(error.to_string().ends_with(text), "{error}");
    }
}

#[test]
fn what_a_crash_in_the_middle_of_a_cut_left_goes_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    four_days(dir.path());
    let half = dir.path().join("acts.ledger.cutting");
    std::fs::write(&half, b"half of it").unwrap();
    assert_eq!(open(dir.path()).found.counts.records, 6);
    assert!(!half.exists());
}
