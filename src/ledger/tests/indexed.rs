//! The index: a start reads the records after it and verifies the others while it is used.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;
use crate::ledger::index::IndexFacts;
use crate::ledger::index_file::{IndexParts, StoredIndex};
use crate::ledger::index_rows::IndexRows;
use crate::ledger::signing_key::SigningKey;

/// An index at every stop.
fn options_with_index(dir: &Path) -> LedgerOptions {
    LedgerOptions {
        index_records: 1,
        ..options(dir)
    }
}

fn try_open_indexed(dir: &Path) -> Result<Opening, LedgerError> {
    let withdrawn = Arc::new(WithdrawnGrants::default());
    let options = options_with_index(dir);
    let (ledger, found) = Ledger::open(&options, Arc::clone(&withdrawn), &mut |_, _| ())?;
    Ok(Opening {
        ledger,
        found,
        withdrawn,
    })
}

fn open_indexed(dir: &Path) -> Opening {
    match try_open_indexed(dir) {
        Ok(opening) => opening,
        Err(error) => panic!("{error}"),
    }
}

fn index_path(dir: &Path) -> PathBuf {
    dir.join("acts.index")
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

/// Waits until all records are verified, or one is found damaged.
fn outcome(ledger: &Ledger) -> Option<String> {
    let stats = ledger.stats();
    let left = || {
        stats
            .unverified_records
            .load(std::sync::atomic::Ordering::Relaxed)
    };
    until("the verification ends", || {
        stats.is_damaged() || left() == 0
    });
    stats.damage().map(str::to_owned)
}

/// Two visitors, one of whom withdrew; a narrowed grant; refusals. Closed, with an index.
struct Filled {
    dir: tempfile::TempDir,
    ids: Vec<ConsentId>,
    lines: Vec<Vec<u8>>,
}

fn filled() -> Filled {
    let dir = tempfile::tempdir().unwrap();
    let Opening { ledger, found, .. } = open_indexed(dir.path());
    assert_eq!((found.counts.records, found.unverified), (0, 0));
    let ids: Vec<ConsentId> = (0..4).map(|_| ConsentId::random()).collect();
    append(&ledger, grant(&ids[0]));
    append(&ledger, refuse());
    append(&ledger, withdraw(&ids[0]));
    append(
        &ledger,
        act(ActKind::Grant, Some(&ids[1]), &["preferences", "analytics"]),
    );
    append(
        &ledger,
        act(ActKind::Withdraw, Some(&ids[1]), &["analytics"]),
    );
    append(&ledger, grant(&ids[2]));
    append(&ledger, grant(&ids[2]));
    ledger.close().unwrap();
    let lines = file(dir.path());
    let lines = lines.split_inclusive(|byte| *byte == b'\n');
    Filled {
        lines: lines.map(<[u8]>::to_vec).collect(),
        dir,
        ids,
    }
}

/// Everything that a ledger says about some ids.
fn states(opening: &Opening, ids: &[ConsentId]) -> Vec<(Option<ConsentState>, Vec<String>, bool)> {
    let of = |id: &ConsentId| {
        let records = opening.ledger.read_records(id).unwrap();
        (
            opening.ledger.consent_state(id),
            records.into_iter().map(|record| record.line).collect(),
            opening.withdrawn.contains(id),
        )
    };
    ids.iter().map(of).collect()
}

#[test]
fn a_start_reads_the_records_after_the_index_and_knows_the_others() {
    let Filled { dir, ids, .. } = filled();
    // Without the index all records are read.
    let copy = tempfile::tempdir().unwrap();
    write(copy.path(), &file(dir.path()));
    let whole = open(copy.path());

    for added in 0..3 {
        let opening = open_indexed(dir.path());
        assert_eq!(opening.found.unverified, 7 + added);
        assert_eq!(opening.found.counts.records, 7 + added);
        assert_eq!(states(&opening, &ids), states(&whole, &ids));
        assert!(opening.withdrawn.contains(&ids[0]) && !opening.withdrawn.contains(&ids[1]));
        assert_eq!(outcome(&opening.ledger), None);
        for ledger in [&opening.ledger, &whole.ledger] {
            append(ledger, grant(&ids[added as usize + 1]));
        }
        assert_eq!(states(&opening, &ids), states(&whole, &ids));
        opening.ledger.close().unwrap();
    }
    // A withdrawal of a grant in the index refers to it, and a second one has nothing to end.
    let opening = open_indexed(dir.path());
    assert_eq!(append(&opening.ledger, withdraw(&ids[1])).refers, Some(8));
    assert!(matches!(
        refused(&opening.ledger, withdraw(&ids[0])),
        LedgerError::NoLiveGrant
    ));
    drop(opening);
    assert_eq!(verified(dir.path()).unwrap().summary.head.size, 11);
}

#[test]
fn a_changed_byte_before_the_index_is_found_while_it_is_used_and_named() {
    let Filled { dir, ids, lines } = filled();
    let (whole, index) = (
        file(dir.path()),
        std::fs::read(index_path(dir.path())).unwrap(),
    );
    let mut found = std::collections::BTreeSet::new();
    let last = whole.len() - lines[6].len();
    for at in (0..last).step_by(211) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(dir.path().join("acts.ledger"), &changed).unwrap();
        std::fs::write(index_path(dir.path()), &index).unwrap();

        let mut start = 0;
        let record = 1 + lines
            .iter()
            .position(|line| {
                start += line.len();
                at < start
            })
            .unwrap();
        let opening = open_indexed(dir.path());
        assert_eq!(opening.found.unverified, 7);
        let damage = outcome(&opening.ledger).expect("the damage is found");
        assert!(damage.contains(&format!(": record {record} ")), "{damage}");
        assert!(!damage.contains(&ids[0].to_hex()));
        assert!(matches!(
            refused(&opening.ledger, refuse()),
            LedgerError::FoundDamaged
        ));
        let lookup: &dyn crate::consent::GrantLookup = &opening.ledger;
        assert!(!lookup.is_live(&ids[2], 3, &mut ["analytics"].into_iter()));
        assert!(matches!(
            opening.ledger.close(),
            Err(LedgerError::FoundDamaged)
        ));
        // The next start reads all records, names the same one, and does not serve.
        let error = try_open_indexed(dir.path()).err().unwrap();
        assert_eq!(place(&error).0, record as u64);
        assert_eq!(file(dir.path()), changed);
        found.insert(record);
    }
    assert_eq!(found, (1..=6).collect());
    assert!(!dir.path().join("checkpoints/8.note").exists());
}

#[test]
fn an_index_that_is_damaged_or_of_other_records_is_made_anew() {
    let Filled { dir, ids, .. } = filled();
    let whole = std::fs::read(index_path(dir.path())).unwrap();
    let before = states(&open_indexed(dir.path()), &ids);
    let of_others = filled();
    let of_others = std::fs::read(index_path(of_others.dir.path())).unwrap();

    let mut damaged: Vec<Vec<u8>> = (0..whole.len())
        .step_by(37)
        .map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        })
        .collect();
    damaged.extend([0, 7, 20, whole.len() - 1].map(|length| whole[..length].to_vec()));
    damaged.push([&whole[..], b"x"].concat());
    damaged.push(of_others);
    for bytes in damaged {
        std::fs::write(index_path(dir.path()), bytes).unwrap();
        let opening = open_indexed(dir.path());
        assert_eq!(
            (opening.found.unverified, opening.found.counts.records),
            (0, 7)
        );
        assert_eq!(states(&opening, &ids), before);
        opening.ledger.close().unwrap();
        assert!(std::fs::read(index_path(dir.path())).unwrap() == whole);
    }

    // Without its checkpoint, the index proves nothing.
    std::fs::remove_file(dir.path().join("checkpoints/7.note")).unwrap();
    assert_eq!(open_indexed(dir.path()).found.unverified, 0);
}

/// Also with the ledger's key, which signs the index.
#[test]
fn a_forged_index_is_found_while_it_is_used() {
    type Forge = fn(&mut Vec<super::super::index_rows::IndexRow>);
    let forgeries: [Forge; 5] = [
        |rows| rows[0].grant_seq += 1,
        |rows| rows[0].terms_index = (rows[0].terms_index + 1) % 3,
        |rows| rows[1].day = crate::calendar::Day::from_number(1),
        |rows| {
            rows.remove(2);
        },
        |rows| {
            let mut row = rows[0];
            row.id ^= 1 << 90;
            rows.push(row);
            rows.sort_unstable();
        },
    ];
    for forge in forgeries {
        let Filled { dir, .. } = filled();
        let folder = LedgerFolder::new(dir.path());
        let signing = SigningKey::open(&folder, "").unwrap();
        let index = StoredIndex::read_fitting(&folder, &signing.public_key())
            .unwrap()
            .unwrap();
        let mut rows: Vec<_> = index.rows.iter().collect();
        forge(&mut rows);
        let parts = IndexParts {
            head: index.head,
            end: index.end,
            cut: index.cut,
            facts: &index.facts,
            rows: &IndexRows::default(),
            tail: &rows,
        };
        parts.write_file(&folder, &signing).unwrap();

        let opening = open_indexed(dir.path());
        assert_eq!(opening.found.unverified, 7);
        let damage = outcome(&opening.ledger).expect("the forgery is found");
        assert!(damage.contains("index"), "{damage}");
        drop(opening);
        // The records are as they were: the next start reads them.
        assert_eq!(open_indexed(dir.path()).found.counts.records, 7);
    }
}

/// A person who can write the folder, but has not the key, cannot remove a withdrawal.
#[test]
fn an_index_that_another_key_signed_is_not_used() {
    let Filled { dir, .. } = filled();
    let folder = LedgerFolder::new(dir.path());
    let own = SigningKey::open(&folder, "").unwrap().public_key();
    let index = StoredIndex::read_fitting(&folder, &own).unwrap().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = SigningKey::open(&LedgerFolder::new(elsewhere.path()), "").unwrap();
    let parts = IndexParts {
        head: index.head,
        end: index.end,
        cut: index.cut,
        facts: &index.facts,
        rows: &index.rows,
        tail: &[],
    };
    parts.write_file(&folder, &other).unwrap();
    assert!(StoredIndex::read_fitting(&folder, &own).unwrap().is_none());
    assert_eq!(open_indexed(dir.path()).found.unverified, 0);
}

#[test]
fn an_index_of_false_counts_is_found_while_it_is_used() {
    let Filled { dir, .. } = filled();
    let folder = LedgerFolder::new(dir.path());
    let signing = SigningKey::open(&folder, "").unwrap();
    let index = StoredIndex::read_fitting(&folder, &signing.public_key())
        .unwrap()
        .unwrap();
    let mut facts: IndexFacts = index.facts.clone();
    facts.count_record(ActKind::Refuse, 3);
    let parts = IndexParts {
        head: index.head,
        end: index.end,
        cut: index.cut,
        facts: &facts,
        rows: &index.rows,
        tail: &[],
    };
    parts.write_file(&folder, &signing).unwrap();
    assert!(outcome(&open_indexed(dir.path()).ledger).is_some());
}

/// A kill between a checkpoint and its index leaves the index of an older checkpoint.
#[test]
fn an_index_older_than_the_newest_checkpoint_is_used() {
    let Filled { dir, ids, .. } = filled();
    let older = std::fs::read(index_path(dir.path())).unwrap();
    let opening = open_indexed(dir.path());
    append(&opening.ledger, withdraw(&ids[2]));
    append(&opening.ledger, refuse());
    opening.ledger.close().unwrap();
    std::fs::write(index_path(dir.path()), &older).unwrap();
    std::fs::write(dir.path().join("acts.writing"), &older[..60]).unwrap();

    let opening = open_indexed(dir.path());
    assert_eq!(
        (opening.found.unverified, opening.found.counts.records),
        (7, 9)
    );
    assert!(opening.withdrawn.contains(&ids[2]));
    assert_eq!(outcome(&opening.ledger), None);
    opening.ledger.close().unwrap();

    // A file that was shortened behind the newest checkpoint does not open.
    let whole = file(dir.path());
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    for kept in [8, 7, 6] {
        std::fs::write(dir.path().join("acts.ledger"), lines[..kept].concat()).unwrap();
        std::fs::write(index_path(dir.path()), &older).unwrap();
        let error = try_open_indexed(dir.path()).err().unwrap();
        assert_eq!(place(&error).0, kept as u64 + 1, "{error}");
    }
}

#[test]
fn a_cut_leaves_nothing_of_the_dropped_records_in_the_index() {
    let Filled { dir, ids, .. } = filled();
    let opening = open_indexed(dir.path());
    let later = AT + 800 * 86_400_000;
    let kept = ConsentId::random();
    append(
        &opening.ledger,
        NewAct {
            at: later,
            ..grant(&kept)
        },
    );
    opening.ledger.close().unwrap();

    let before = "2026-04-01".parse().unwrap();
    let cut = cut_ledger(
        &options_with_index(dir.path()),
        before,
        later,
        86_400,
        &mut |_, _| (),
    );
    assert_eq!(cut.unwrap().records, 7);
    for entry in std::fs::read_dir(dir.path()).unwrap().flatten() {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        let number = ids[0].to_bytes();
        let has_id = bytes.windows(16).any(|part| part == number);
        assert!(!has_id, "{:?}", entry.path());
    }

    // The index after the cut begins after it.
    open_indexed(dir.path()).ledger.close().unwrap();
    assert!(index_path(dir.path()).exists());
    let opening = open_indexed(dir.path());
    assert_eq!(
        (opening.found.unverified, opening.found.counts.records),
        (1, 1)
    );
    assert_eq!(outcome(&opening.ledger), None);
    assert_eq!(append(&opening.ledger, withdraw(&kept)).refers, Some(8));
}

/// `LEDGER_RECORDS=5000000 cargo test --lib -- --ignored --nocapture start_of_a_large_ledger`
#[test]
#[ignore = "measures; as many records as LEDGER_RECORDS says"]
fn start_of_a_large_ledger() {
    let records: u64 = std::env::var("LEDGER_RECORDS").map_or(100_000, |n| n.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    write_large(dir.path(), records);
    let timed = |what: &str| {
        let start = Instant::now();
        let opening = open_indexed(dir.path());
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(opening.found.counts.records, records);
        println!("{what}={seconds:.3}");
        opening
    };
    timed("ledger_open_by_records_s").ledger.close().unwrap();
    let bytes = std::fs::metadata(index_path(dir.path())).unwrap().len();
    let opening = timed("ledger_open_by_index_s");
    assert_eq!(opening.found.unverified, records);
    let start = Instant::now();
    let stats = opening.ledger.stats();
    while stats
        .unverified_records
        .load(std::sync::atomic::Ordering::Relaxed)
        > 0
    {
        assert_eq!(stats.damage(), None);
        std::thread::sleep(Duration::from_millis(100));
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("ledger_background_verification_s={seconds:.3}\nledger_index_bytes={bytes}");
}

/// Writes the file without the writer's syncs, and a checkpoint of its end.
fn write_large(dir: &Path, records: u64) {
    let folder = LedgerFolder::new(dir);
    folder.create_folder().unwrap();
    let mut file = std::io::BufWriter::new(std::fs::File::create(folder.acts_path()).unwrap());
    let mut head = ChainHead::EMPTY;
    let mut line = String::new();
    for number in 1..=records {
        let new = match number % 10 {
            0..7 => grant(&ConsentId::random()),
            _ => refuse(),
        };
        line.clear();
        let hash = super::super::line::write_line(&mut line, &head, &new, None);
        head = ChainHead { size: number, hash };
        std::io::Write::write_all(&mut file, line.as_bytes()).unwrap();
    }
    drop(file);
    let key = Arc::new(SigningKey::open(&folder, "").unwrap());
    let writer = super::super::checkpoint_files::CheckpointWriter::new(
        folder,
        key,
        options(dir).origin(),
        Duration::from_secs(3600),
    );
    writer.unwrap().write_newer_checkpoint(head).unwrap();
}
