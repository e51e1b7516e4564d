//! Failing disks, produced with the means of the system: a full file system, and a file that cannot
//! be synced.

use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;

#[test]
fn after_a_failed_sync_every_act_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    // The file accepts writes but cannot be synced.
    symlink("/dev/null", dir.path().join("acts.ledger")).unwrap();
    let Opening {
        ledger, withdrawn, ..
    } = open(dir.path());
    let id = ConsentId::random();
    for act in [grant(&id), refuse(), withdraw(&id)] {
        assert!(matches!(refused(&ledger, act), LedgerError::DiskFailed));
    }
    assert!(ledger.consent_state(&id).is_none() && withdrawn.is_empty());
    assert!(matches!(ledger.close(), Err(LedgerError::DiskFailed)));
    assert!(
        !dir.path().join("checkpoints").exists(),
        "what is not known is not signed"
    );
}

const SMALL_DISK: &str = "FOOTFALL_TEST_SMALL_DISK";

/// A mount namespace needs no root where the kernel allows user namespaces; the test runs itself
/// inside one.
#[test]
fn on_a_full_disk_acts_are_refused_unrecorded_and_go_on_when_there_is_room() {
    if let Some(dir) = std::env::var_os(SMALL_DISK) {
        return fill_and_go_on(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let this = "ledger::tests::disk::on_a_full_disk_acts_are_refused_unrecorded_and_go_on_when_there_is_room";
    let mount = format!(
        "mount -t tmpfs -o size=256k tmpfs '{}' && exec \"$@\"",
        dir.path().display()
    );
    let output = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            &mount,
            "sh",
        ])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", this])
        .env(SMALL_DISK, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

fn fill_and_go_on(dir: &Path) {
    let Opening { ledger, .. } = open(dir);
    append(&ledger, refuse());
    let filler = dir.join("filler");
    std::fs::write(&filler, vec![1; 160 << 10]).unwrap();
    let mut answered = 1;
    let full = loop {
        match now(ledger.append_act(refuse())) {
            Ok(_) => answered += 1,
            Err(error) => break error,
        }
        assert!(answered < 1000, "256 KiB do not hold a thousand records");
    };
    assert!(matches!(full, LedgerError::DiskFull), "{full}");
    let length = file(dir).len();
    assert!(matches!(refused(&ledger, refuse()), LedgerError::DiskFull));
    assert_eq!(
        (file(dir).len(), file(dir).last()),
        (length, Some(&b'\n')),
        "cut back to the last whole record"
    );

    std::fs::remove_file(filler).unwrap();
    assert_eq!(append(&ledger, refuse()).seq, answered + 1);
    drop(ledger);
    assert_eq!(
        open(dir).found.counts,
        RecordCounts {
            records: answered + 1,
            refusals: answered + 1,
            ..RecordCounts::default()
        }
    );
}
