//! `footfall ledger` for operators and auditors: verification of files finds every change.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use footfall::consent::ConsentId;
use footfall::ledger::{ActKind, Ledger, LedgerOptions, NewAct, PromptDigests, PromptLayer};
use tempfile::TempDir;

/// 2024-01-10T08:15Z, and a day.
const AT: i64 = 1_704_874_500_000;
const DAY: i64 = 86_400_000;

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn value(&self, name: &str) -> &str {
        let line = self.out.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in\n{}{}", self.out, self.err))
            .trim()
    }
}

struct Kept {
    dir: TempDir,
    id: ConsentId,
}

impl Kept {
    /// On 10, 11 and 12 January 2024: a grant, a refusal, and the withdrawal of the grant.
    fn new() -> Kept {
        let kept = Kept {
            dir: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
            id: ConsentId::random(),
        };
        let ledger = kept.open();
        append(&ledger, act(ActKind::Grant, Some(&kept.id), 0));
        append(&ledger, act(ActKind::Refuse, None, 1));
        append(&ledger, act(ActKind::Withdraw, Some(&kept.id), 2));
        ledger.close().unwrap();
        kept
    }

    fn open(&self) -> Ledger {
        let dir = self.dir.path().to_owned();
        let options = LedgerOptions {
            dir,
            key_file: String::new(),
            checkpoint_secs: 3600,
            site: "ally".into(),
            acts_per_hour: 1000,
            index_records: 10_000,
        };
        match Ledger::open(&options, Arc::default(), &mut |_, _| ()) {
            Ok((ledger, _)) => ledger,
            Err(error) => panic!("{error}"),
        }
    }

    fn acts(&self) -> PathBuf {
        self.dir.path().join("acts.ledger")
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(self.acts())
            .unwrap()
            .split_inclusive('\n')
            .map(str::to_owned)
            .collect()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        run(self.dir.path(), arguments)
    }
}

fn run(dir: &Path, arguments: &[&str]) -> Ran {
    let (command, rest) = arguments.split_first().unwrap();
    let set = format!("ledger.dir={}", dir.display());
    let mut program = Command::new(env!("CARGO_BIN_EXE_footfall"));
    program
        .args(["ledger", command, "--preset", "ally", "--set", &set])
        .args(rest);
    let output = program.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

fn act(act: ActKind, id: Option<&ConsentId>, day: i64) -> NewAct {
    NewAct {
        id: id.map(ConsentId::duplicate_id),
        act,
        site: "ally".into(),
        version: 1,
        digests: PromptDigests {
            policy: Some([1; 32]),
            register: [2; 32],
            banner: [3; 32],
        },
        lang: "en".into(),
        layer: PromptLayer::Panel,
        purposes: vec![
            ("preferences".into(), false),
            ("analytics".into(), act == ActKind::Grant),
        ],
        gpc: false,
        dnt: false,
        at: AT + day * DAY,
    }
}

fn append(ledger: &Ledger, act: NewAct) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    assert!(runtime.block_on(ledger.append_act(act)).is_ok());
}

#[test]
fn verify_counts_what_there_is_and_says_where_the_chain_stands() {
    let kept = Kept::new();
    let ran = kept.run(&["verify"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let counts =
        ["records", "grants", "refusals", "withdrawals"].map(|name| ran.value(name).to_owned());
    assert_eq!(counts, ["3", "1", "1", "1"]);
    let last: serde_json::Value = serde_json::from_str(&kept.lines()[2]).unwrap();
    assert_eq!(
        ran.value("head"),
        format!("{} at record 3", last["hash"].as_str().unwrap())
    );
    assert_eq!(
        ran.value("checkpoints"),
        "1 agree, 0 are of records that were cut"
    );
    assert!(ran.value("seconds").parse::<f64>().unwrap() < 10.0);
}

#[test]
fn verify_names_the_first_bad_record_its_offset_and_why() {
    let kept = Kept::new();
    let lines = kept.lines();
    fs::write(
        kept.acts(),
        lines.concat().replacen("\"version\":1", "\"version\":2", 2),
    )
    .unwrap();
    let ran = kept.run(&["verify"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    let place = kept.acts().display().to_string();
    assert_eq!(
        ran.err,
        format!(
            "footfall: {place}, byte 0: record 1 is damaged: its bytes do not give the hash it ends with\n"
        )
    );

    fs::write(kept.acts(), [lines[0].as_str(), &lines[2]].concat()).unwrap();
    let ran = kept.run(&["verify"]);
    assert_eq!(ran.code, Some(1));
    let offset = lines[0].len();
    assert_eq!(
        ran.err,
        format!(
            "footfall: {place}, byte {offset}: record 2 is missing: record 3 is in its place\n"
        )
    );
}

#[test]
fn a_checkpoint_kept_elsewhere_shows_that_a_ledger_was_shortened() {
    let kept = Kept::new();
    let elsewhere = kept.dir.path().join("kept.note");
    fs::rename(kept.dir.path().join("checkpoints/3.note"), &elsewhere).unwrap();
    fs::write(kept.acts(), kept.lines()[..2].concat()).unwrap();
    assert_eq!(
        kept.run(&["verify"]).code,
        Some(0),
        "without the checkpoint nobody can know"
    );
    let ran = kept.run(&["verify", "--checkpoint", elsewhere.to_str().unwrap()]);
    assert_eq!(ran.code, Some(1));
    let text = format!(
        "record 3 is missing: checkpoint {} says there were 3\n",
        elsewhere.display()
    );
    assert!(ran.err.ends_with(&text), "{}", ran.err);
}

#[test]
fn an_auditor_verifies_a_copy_with_the_public_key_the_operator_printed() {
    let kept = Kept::new();
    let ran = kept.run(&["checkpoint"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(
        ran.value("signed"),
        "nothing: there is no record the newest checkpoint does not sign for"
    );
    let note = kept.dir.path().join("checkpoints/3.note");
    assert_eq!(ran.value("checkpoint"), note.display().to_string());
    let key = ran.value("public key");
    assert!(key.starts_with("footfall/ally+"), "{key}");
    assert!(
        fs::read_to_string(&note)
            .unwrap()
            .starts_with("footfall/ally\n3\n")
    );

    let copy = tempfile::tempdir().unwrap();
    fs::copy(kept.acts(), copy.path().join("acts.ledger")).unwrap();
    let arguments = ["verify", "--checkpoint", note.to_str().unwrap()];
    assert_eq!(
        run(copy.path(), &arguments).code,
        Some(2),
        "no key to check it with"
    );
    let audited = run(
        copy.path(),
        &[&arguments[..], &["--public-key", key]].concat(),
    );
    assert_eq!(
        (audited.code, audited.value("checkpoints").chars().next()),
        (Some(0), Some('1'))
    );
}

#[test]
fn the_ledgers_own_key_can_be_read_by_its_owner_only() {
    let kept = Kept::new();
    let mode = fs::metadata(kept.dir.path().join("key.pem"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_key_of_openssl_signs_as_well() {
    let kept = Kept::new();
    fs::remove_dir_all(kept.dir.path().join("checkpoints")).unwrap();
    let key = kept.dir.path().join("operator.pem");
    // As `openssl genpkey -algorithm ed25519` writes it; the seed is 32 bytes of 9.
    let text = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ\n-----END PRIVATE KEY-----\n";
    fs::write(&key, text).unwrap();
    let set = format!("ledger.key_file={}", key.display());
    let ran = kept.run(&["checkpoint", "--set", &set]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(ran.value("signed"), "records 1 to 3, now");
    assert!(
        ran.value("public key")
            .ends_with("Af0XJDha0MdfuRvMYvjOpKQEMfUxr6fE5lXlyq6bkjqa")
            || ran.value("public key").len() > 60
    );
    assert_eq!(kept.run(&["verify", "--set", &set]).code, Some(0));
    let other = kept.run(&["verify"]);
    assert_eq!(other.code, Some(1));
    assert!(
        other
            .err
            .ends_with("3.note: it is not signed with this ledger's key\n"),
        "{}",
        other.err
    );
    fs::write(&key, "no key").unwrap();
    let bad = kept.run(&["checkpoint", "--set", &set]);
    assert_eq!(bad.code, Some(2));
    assert!(
        bad.err.contains("must be an Ed25519 key in PKCS#8 PEM"),
        "{}",
        bad.err
    );
}

#[test]
fn show_prints_the_lines_of_one_id_as_they_lie_there() {
    let kept = Kept::new();
    let lines = kept.lines();
    let ran = kept.run(&["show", &kept.id.to_hex()]);
    assert_eq!(
        (ran.code, ran.out, ran.err.as_str()),
        (Some(0), [lines[0].as_str(), &lines[2]].concat(), "")
    );
    let unknown = kept.run(&["show", &"0".repeat(32)]);
    assert_eq!((unknown.code, unknown.out.as_str()), (Some(0), ""));
    assert_eq!(unknown.err, "footfall: no record has this consent id\n");
    let wrong = kept.run(&["show", "ABC"]);
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong
            .err
            .contains("must be 32 hex digits, letters in lower case"),
        "{}",
        wrong.err
    );
}

#[test]
fn export_prints_whole_days_both_ends_included() {
    let kept = Kept::new();
    let lines = kept.lines();
    let export = |arguments: &[&str]| kept.run(&[&["export"], arguments].concat()).out;
    assert_eq!(export(&[]), lines.concat());
    assert_eq!(export(&["--from", "2024-01-11"]), lines[1..].concat());
    assert_eq!(export(&["--to", "2024-01-11"]), lines[..2].concat());
    assert_eq!(
        export(&["--from", "2024-01-11", "--to", "2024-01-11"]),
        lines[1]
    );
    let wrong = kept.run(&["export", "--from", "yesterday"]);
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong.err.contains("must be a day such as 2024-01-31"),
        "{}",
        wrong.err
    );
}

#[test]
fn ledgers_of_several_collectors_are_read_together() {
    let (here, there) = (Kept::new(), Kept::new());
    let ledger = there.open();
    append(&ledger, act(ActKind::Withdraw, Some(&here.id), 1));
    ledger.close().unwrap();
    let (own, others) = (here.lines(), there.lines());
    let folder = there.dir.path().display().to_string();

    let shown = here.run(&["show", &here.id.to_hex(), "--with", &folder]);
    let expected = [&own[0], &others[3], &own[2]].map(String::as_str).concat();
    assert_eq!((shown.code, shown.out), (Some(0), expected));
    let exported = here.run(&["export", "--to", "2024-01-11", "--with", &folder]);
    let expected = [&own[..2], &others[..2], &others[3..]].concat().concat();
    assert_eq!(exported.out, expected);

    let verified = here.run(&["verify", "--with", &folder]);
    assert_eq!(verified.code, Some(0), "{}", verified.err);
    let values = |name: &str| {
        let lines = verified.out.lines();
        let values = lines.filter_map(|line| line.strip_prefix(name));
        values.map(str::trim).map(str::to_owned).collect::<Vec<_>>()
    };
    let own_folder = here.dir.path().display().to_string();
    assert_eq!(values("ledger "), [own_folder, folder.clone()]);
    assert_eq!(values("records "), ["3", "4"]);
    assert_eq!(values("withdrawals "), ["1", "2"]);

    let file = there.dir.path().join("acts.ledger");
    let changed = fs::read_to_string(&file).unwrap().replace("panel", "first");
    fs::write(&file, changed).unwrap();
    let verified = here.run(&["verify", "--with", &folder]);
    assert_eq!(verified.code, Some(1));
    assert!(verified.err.contains(&folder), "{}", verified.err);
}

#[test]
fn a_cut_drops_a_beginning_and_verify_show_and_export_go_on() {
    let kept = Kept::new();
    let lines = kept.lines();
    let ran = kept.run(&["cut", "--before", "2024-01-12"]);
    assert_eq!(
        (ran.code, ran.value("dropped"), ran.value("begins")),
        (Some(0), "2 records before 2024-01-12", "after record 2")
    );
    let verified = kept.run(&["verify"]);
    assert_eq!(
        (
            verified.code,
            verified.value("records"),
            verified.value("withdrawals")
        ),
        (Some(0), "1", "1")
    );
    assert_eq!(verified.value("cut"), "records 1 to 2, before 2024-01-12");
    assert_eq!(kept.run(&["show", &kept.id.to_hex()]).out, lines[2]);
    assert_eq!(kept.run(&["export"]).out, lines[2]);
}

#[test]
fn a_cut_that_could_take_a_live_grant_or_a_running_collectors_ledger_is_refused() {
    let kept = Kept::new();
    let before = kept.lines();
    let young = kept.run(&["cut", "--before", "9999-01-01"]);
    assert_eq!(young.code, Some(2));
    assert!(
        young.err.contains("the youngest day accepted is 20"),
        "{}",
        young.err
    );
    let ledger = kept.open();
    append(&ledger, act(ActKind::Refuse, None, 3));
    let before = [before, kept.lines()[3..].to_vec()].concat();
    let used = kept.run(&["cut", "--before", "2024-01-12"]);
    assert_eq!(used.code, Some(2));
    assert!(
        used.err.ends_with("another process writes this ledger\n"),
        "{}",
        used.err
    );
    assert_eq!(kept.lines(), before);

    // All commands that only read work while a collector runs.
    assert_eq!(kept.run(&["verify"]).code, Some(0));
    let checkpoint = kept.run(&["checkpoint"]);
    assert_eq!(checkpoint.code, Some(0));
    assert!(
        checkpoint
            .value("signed")
            .starts_with("nothing: a collector writes this ledger"),
        "{}",
        checkpoint.out
    );
    assert_eq!(
        checkpoint.value("not signed"),
        "1 records since its newest checkpoint"
    );
    assert!(checkpoint.value("checkpoint").ends_with("3.note"));
    drop(ledger);
}

#[test]
fn an_unfinished_last_line_is_said_and_is_no_damage() {
    let kept = Kept::new();
    let whole = kept.lines().concat();
    fs::write(kept.acts(), format!("{whole}{{\"seq\":4,\"pre")).unwrap();
    let ran = kept.run(&["verify"]);
    assert_eq!((ran.code, ran.value("records")), (Some(0), "3"));
    assert!(
        ran.err.starts_with(&format!(
            "footfall: the line at byte {} is unfinished",
            whole.len()
        )),
        "{}",
        ran.err
    );
    drop(kept.open());
    assert_eq!(kept.lines().concat(), whole);
}

#[test]
fn a_folder_without_a_ledger_is_a_wrong_configuration_and_none_is_begun() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [
        &["verify"][..],
        &["export"],
        &["checkpoint"],
        &["cut", "--before", "2024-01-01"],
    ] {
        let ran = run(dir.path(), arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}");
        assert!(
            ran.err
                .contains("ledger.dir must name the folder that holds acts.ledger"),
            "{}",
            ran.err
        );
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
