//! What `make fuzz` runs: one function for each parser of bytes that strangers send or a disk
//! returns. Each panics if a promise of its parser is broken, and tells whether the input was
//! accepted. Exists under the feature `fuzzing` and in tests, which replay fuzz/corpus and
//! fuzz/regressions.

use crate::consent;
use crate::ingest;
use crate::journal;
use crate::ledger;
use crate::mail;
use crate::store::native::{encode_block, rows_by_partition};
use crate::store::schema::CountsTable;

/// The deduplication token of a segment.
const TOKEN: &str = "0000000000000001-0000000000000002-3";

/// A body of the beacon: one hit, or a list.
pub fn check_wire_hit(body: &[u8]) -> bool {
    ingest::fuzz_target::check_wire_hit(body)
}

/// The `Cookie` lines of a request, one per line.
pub fn check_consent_cookie(header: &[u8]) -> bool {
    consent::fuzz_target::check_consent_cookie(header)
}

/// The token of a pixel or link; after an `s`, without its signature.
pub fn check_mail_token(token: &[u8]) -> bool {
    mail::fuzz_target::check_mail_token(token)
}

/// A file of the journal or a part of one, as its first byte says. What can be read is encoded for
/// the store.
pub fn check_journal_segment(input: &[u8]) -> bool {
    let Some(sums) = journal::fuzz_target::check_journal_segment(input) else {
        return false;
    };
    for table in CountsTable::ALL {
        for part in rows_by_partition(&sums, table) {
            let block = encode_block(&sums, table, part.partition, &part.rows, (TOKEN, 0));
            assert!(!block.is_empty(), "a block without bytes");
        }
    }
    true
}

/// Lines of a ledger; after an `h`, without their hashes.
pub fn check_ledger_line(lines: &[u8]) -> bool {
    ledger::fuzz_target::check_ledger_line(lines)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Whether a target accepts an input; panics if the input breaks one of its properties.
    type FuzzCheck = fn(&[u8]) -> bool;

    const TARGETS: [(&str, FuzzCheck); 5] = [
        ("wire_hit", check_wire_hit),
        ("consent_cookie", check_consent_cookie),
        ("mail_token", check_mail_token),
        ("journal_segment", check_journal_segment),
        ("ledger_line", check_ledger_line),
    ];

    fn inputs(folder: &str, target: &str) -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let files = fs::read_dir(root.join(folder).join(target));
        let mut files: Vec<PathBuf> = files
            .into_iter()
            .flatten()
            .map(|file| file.unwrap().path())
            .collect();
        files.sort();
        files
    }

    #[test]
    fn each_fuzz_target_accepts_and_rejects_its_corpus_as_the_files_are_named() {
        for (target, check) in TARGETS {
            let mut seen = [0, 0];
            for file in inputs("corpus", target) {
                let name = file.file_name().unwrap().to_str().unwrap();
                let accepted = name.starts_with("accepted-");
                assert!(accepted || name.starts_with("rejected-"), "{name}");
                assert_eq!(
                    check(&fs::read(&file).unwrap()),
                    accepted,
                    "{target}: {name}"
                );
                seen[usize::from(accepted)] += 1;
            }
            assert!(seen[0] >= 2 && seen[1] >= 3, "{target}: {seen:?}");
        }
    }

    /// Panics where a crash that `make fuzz` found is back.
    #[test]
    fn inputs_that_crashed_a_fuzz_target_once_no_longer_do() {
        let mut replayed = 0;
        for (target, check) in TARGETS {
            for file in inputs("regressions", target) {
                println!("{}", file.display());
                check(&fs::read(&file).unwrap());
                replayed += 1;
            }
        }
        assert!(replayed > 0, "fuzz/regressions is empty");
    }
}
