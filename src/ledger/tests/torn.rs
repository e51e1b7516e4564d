//! Incomplete and damaged files.

use super::*;
use crate::hex;

#[test]
fn a_last_line_torn_at_any_byte_is_cut_and_the_ledger_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let whole = small(dir.path());
    let last = whole[..whole.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap()
        + 1;
    for end in last + 1..whole.len() {
        write(dir.path(), &whole[..end]);
        let Opening { ledger, found, .. } = open(dir.path());
        assert_eq!(
            (found.torn, found.bytes, found.head.size),
            (true, last as u64, 4),
            "torn at byte {end}"
        );
        assert_eq!(file(dir.path()), whole[..last], "torn at byte {end}");
        drop(ledger);
    }
    let Opening { ledger, found, .. } = open(dir.path());
    assert!(!found.torn);
    assert_eq!(append(&ledger, refuse()).seq, 5);
}

#[test]
fn one_other_byte_anywhere_is_named_with_its_record_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    let whole = small(dir.path());
    let mut start = 0;
    let mut record = 1;
    for at in 0..whole.len() {
        // Every value for the newlines, because they alone separate records.
        let flips = if whole[at] == b'\n' {
            (1..=255).collect()
        } else {
            vec![0x01, 0x20, 0x80, whole[at] ^ b'\n']
        };
        for flip in flips {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            write(dir.path(), &bytes);
            let error = try_open(dir.path())
                .err()
                .unwrap_or_else(|| panic!("byte {at} with {flip:#x} went unseen"));
            assert_eq!(
                place(&error),
                (record, start),
                "byte {at} with {flip:#x}: {error}"
            );
        }
        if whole[at] == b'\n' {
            start = at as u64 + 1;
            record += 1;
        }
    }
    assert_eq!(record, 6);
}

#[test]
fn a_removed_a_swapped_and_a_doubled_record_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let whole = String::from_utf8(small(dir.path())).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let change = |order: &[usize]| {
        write(
            dir.path(),
            order
                .iter()
                .map(|place| lines[*place])
                .collect::<String>()
                .as_bytes(),
        );
        let error = try_open(dir.path()).err().unwrap();
        let LedgerError::Damaged {
            record,
            offset,
            what,
            ..
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!(offset as usize, lines[..record as usize - 1].concat().len());
        (record, what)
    };
    assert_eq!(
        change(&[0, 2, 3, 4]),
        (2, "is missing: record 3 is in its place".into())
    );
    assert_eq!(
        change(&[0, 1, 3, 2, 4]),
        (3, "is missing: record 4 is in its place".into())
    );
    let twice = "has record 3 in its place, a second time or out of order";
    assert_eq!(change(&[0, 1, 2, 2, 3, 4]), (4, twice.into()));
    assert_eq!(
        change(&[1, 2, 3, 4]),
        (1, "is missing: record 2 is in its place".into())
    );
}

#[test]
fn a_record_made_by_hand_with_a_right_hash_is_named_where_it_contradicts_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let whole = String::from_utf8(small(dir.path())).unwrap();
    let forge = |record: usize, from: &str, to: &str| {
        let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
        let changed = lines[record - 1].replacen(from, to, 1);
        assert_ne!(changed, lines[record - 1]);
        let body = changed.split(r#","hash":"#).next().unwrap();
        lines[record - 1] = format!(
            r#"{body},"hash":"{}"}}"#,
            hex::encode_lower(&line::sha256_digest(body.as_bytes()))
        );
        write(dir.path(), (lines.join("\n") + "\n").as_bytes());
        try_open(dir.path()).err().unwrap()
    };
    assert_eq!(
        place(&forge(2, "\"gpc\":false", "\"gpc\":true")).0,
        3,
        "the next one does not follow"
    );
    let refers = forge(4, "\"refers\":1", "\"refers\":2");
    assert!(
        refers
            .to_string()
            .ends_with("refers to record 2, where the records before it say record 1"),
        "{refers}"
    );
    assert_eq!(place(&refers).0, 4);
    let odd = forge(5, "\"dnt\":false", "\"ip\":\"198.51.100.7\",\"dnt\":false");
    assert!(
        odd.to_string()
            .contains("is no record as this version knows it, at column"),
        "{odd}"
    );
    assert!(!odd.to_string().contains("198.51.100.7"), "{odd}");
}
