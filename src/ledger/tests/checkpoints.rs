//! Checkpoints against truncated, extended and rewritten ledgers.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn notes(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir.join("checkpoints")).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_orderly_stop_signs_what_was_added_and_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).ledger.close().unwrap();
    assert!(!dir.path().join("checkpoints").exists(), "nothing to sign");
    small(dir.path());
    let Opening { ledger, .. } = open(dir.path());
    append(&ledger, refuse());
    ledger.close().unwrap();
    open(dir.path()).ledger.close().unwrap();
    assert_eq!(notes(dir.path()), ["5.note", "6.note"]);
    let verified = verified(dir.path()).unwrap();
    assert_eq!(
        (verified.matched_checkpoints, verified.summary.head.size),
        (2, 6)
    );
    let mode = std::fs::metadata(dir.path().join("key.pem"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_checkpoint_is_written_while_it_runs_once_something_was_added() {
    let dir = tempfile::tempdir().unwrap();
    let options = LedgerOptions {
        checkpoint_secs: 0,
        ..options(dir.path())
    };
    let Ok((ledger, _)) = Ledger::open(&options, Arc::default(), &mut |_, _| ()) else {
        panic!("it opens")
    };
    append(&ledger, refuse());
    append(&ledger, refuse());
    let written = || dir.path().join("checkpoints/2.note").exists();
    let began = std::time::Instant::now();
    while !written() && began.elapsed().as_secs() < 10 {
        std::thread::yield_now();
    }
    assert!(written(), "{:?}", notes(dir.path()));
}

#[test]
fn a_ledger_shortened_at_a_line_is_named_by_its_checkpoint_and_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let whole = small(dir.path());
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    for kept in 0..5 {
        std::fs::write(dir.path().join("acts.ledger"), lines[..kept].concat()).unwrap();
        for error in [
            try_open(dir.path()).err().unwrap(),
            verified(dir.path()).err().unwrap(),
        ] {
            let (record, offset) = (kept as u64 + 1, lines[..kept].concat().len() as u64);
            assert_eq!(place(&error), (record, offset));
            let note = dir.path().join("checkpoints/5.note");
            let text = format!(
                "record {record} is missing: checkpoint {} says there were 5",
                note.display()
            );
            assert!(error.to_string().ends_with(&text), "{error}");
        }
    }
}

#[test]
fn a_ledger_written_anew_is_named_by_its_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    small(dir.path());
    let Opening { ledger, .. } = open(dir.path());
    append(&ledger, refuse());
    drop(ledger);
    // Anyone who can write the file can create another chain with as many records, but its hashes
    // differ.
    let forged = tempfile::tempdir().unwrap();
    small(forged.path());
    let Opening { ledger, .. } = open(forged.path());
    append(&ledger, refuse());
    drop(ledger);
    std::fs::copy(
        forged.path().join("acts.ledger"),
        dir.path().join("acts.ledger"),
    )
    .unwrap();
    let error = verified(dir.path()).err().unwrap();
    assert_eq!(place(&error).0, 5, "the first checkpoint tells");
    assert!(
        error
            .to_string()
            .contains("record 5 or one after record 0 is not what was signed"),
        "{error}"
    );
    assert_eq!(
        place(&try_open(dir.path()).err().unwrap()).0,
        6,
        "a start asks the newest"
    );
}

#[test]
fn an_auditor_with_a_copy_and_the_public_key_needs_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let whole = small(dir.path());
    let NewestCheckpoint {
        checkpoint: newest,
        key,
    } = find_newest_checkpoint(&options(dir.path())).unwrap();
    let copy = tempfile::tempdir().unwrap();
    std::fs::write(copy.path().join("acts.ledger"), &whole).unwrap();
    let key = PublicKey::from_verifier_key(&key).unwrap();
    let audit = |more: &Path| {
        verify_ledger(
            &options(copy.path()),
            &[more.to_owned()],
            Some(key),
            &mut |_, _| (),
        )
    };
    assert_eq!(
        audit(&newest.unwrap().0).ok().unwrap().matched_checkpoints,
        1
    );

    let other = tempfile::tempdir().unwrap();
    small(other.path());
    let foreign = other.path().join("checkpoints/5.note");
    let error = audit(&foreign).err().unwrap();
    assert_eq!(
        error.to_string(),
        format!(
            "{}: it is not signed with this ledger's key",
            foreign.display()
        )
    );
}
