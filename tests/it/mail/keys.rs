//! Signing keys, `footfall mail`, and lists of clients that are reloaded while the collector runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{
    KEY, PERSON, SignRequest, classes, load, order, path, persons, pixel, report, signer, start,
};
use crate::support::{SITES, Server, until};

fn sign(more: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_footfall"));
    let output = command.arg("mail").args(more).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn settings(key_file: &Path) -> [String; 5] {
    let set = [
        "mail.enabled=true",
        "mail.templates=[\"welcome\"]",
        "mail.origin=https://pages.example",
    ];
    let [enabled, templates, origin] = set.map(str::to_owned);
    let journal = format!("journal.dir={:?}", key_file.parent().unwrap());
    [
        enabled,
        templates,
        origin,
        format!("mail.key_file={key_file:?}"),
        journal,
    ]
}

#[test]
fn the_command_line_signs_what_the_collector_believes() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = dir.path().join("mail.keys");
    fs::write(&file, KEY).unwrap();
    let set = settings(&file);
    let set: Vec<&str> = set.iter().flat_map(|pair| ["--set", pair]).collect();
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let batch = today.to_string();
    let mail = ["sign", "--template", "welcome", "--batch", &batch];
    let links = ["--link", "start=https://elsewhere.example/page?a=b"];
    let (code, out, err) = sign(&[&mail[..], &["--consent"], &links, &set].concat());
    assert_eq!(code, Some(0), "{err}");
    let signed: Value = serde_json::from_str(&out).unwrap();
    let order = SignRequest {
        batch: Some(today),
        ..order(&[("start", "https://elsewhere.example/page?a=b")])
    };
    let expected = signer().sign_mail(&order, today).unwrap();
    assert_eq!(signed, serde_json::to_value(&expected).unwrap());
    let (code, _, err) =
        sign(&[&["sign", "--template", "newsletter", "--consent"][..], &set].concat());
    assert_eq!(
        (code, err.contains("mail.templates lists welcome")),
        (Some(2), true),
        "{err}"
    );
    let (code, _, err) = sign(
        &[
            &mail[..],
            &["--consent"],
            &set,
            &["--set", "mail.enabled=false"],
        ]
        .concat(),
    );
    assert_eq!(
        (code, err.contains("mail.enabled is false")),
        (Some(2), true),
        "{err}"
    );
    let (_, line, _) = sign(&["new-key", "k2"]);
    assert!(line.starts_with("k2 ") && line.trim().len() == 46, "{line}");
    assert_eq!(sign(&["new-key", "a b"]).0, Some(2));
}

#[test]
fn a_key_is_made_once_for_its_owner_alone_and_a_new_one_on_top_leaves_old_mails_as_they_are() {
    let settings = ["mail.enabled=true", "mail.templates=[\"welcome\"]"];
    let mut server = Server::start_with(SITES, &settings);
    let file = server.dir().join("data/mail.keys");
    let made = fs::read_to_string(&file).unwrap();
    assert!(
        made.starts_with("k1 ") && made.len() == 47,
        "an id and 32 random bytes"
    );
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let old = super::signer_with(&made, false)
        .sign_mail(&order(&[]), super::BATCH)
        .unwrap();
    assert_eq!(server.stop(), Some(0));
    fs::write(
        &file,
        format!("k2 another-secret-of-32-bytes-or-so\n{made}"),
    )
    .unwrap();
    server.restart();
    for person in persons(0..5) {
        load(
            &mut server.client(),
            &path(&old.pixel.clone().unwrap()),
            (&person, PERSON),
            0,
            &[],
        );
    }
    assert_eq!(report(&server)["templates"][0]["opens"], classes(5, 0, 0));
    assert_eq!(server.stop(), Some(0));
    assert!(
        !server
            .log()
            .contains(made.trim().split_once(' ').unwrap().1),
        "no key is in the log"
    );
}

#[test]
fn lists_are_read_again_when_they_change_and_a_broken_one_changes_nothing() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = dir.path().join("networks.csv");
    fs::write(&file, "192.0.2.0/24\n").unwrap();
    let networks = format!("mail.networks_file={file:?}");
    let server = start(&[&networks, "data.reload_secs=1"]);
    let mut client = server.client();
    let from = |client: &mut crate::support::Client, people: std::ops::Range<u8>| {
        for person in persons(people) {
            load(client, &pixel(), (&person, PERSON), 0, &[]);
        }
    };
    let said = |words: &str| until(|| server.log().contains(words), words);
    // At once, as an operator should: half a file is one that changed, too.
    let replace = |text: &str| {
        let beside = file.with_extension("new");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, &file).unwrap();
    };
    from(&mut client, 0..5);
    replace("# date: 2026-03-10\n192.0.2.0/24\n198.51.0.0/16,DE,,,\n");
    said("lists of who loads mails were read again");
    from(&mut client, 10..13);
    replace("198.51.0.0/16\nnonsense\n");
    said("line 2 does not begin with a network");
    from(&mut client, 20..24);
    assert_eq!(report(&server)["templates"][0]["opens"], classes(5, 0, 7));
}
