//! Files and folders of the collector are accessible to its own user only.

use std::fs::{self, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::{ABSENT, NOON, SITES, Server, ask, hit, view};

/// Every file and folder from here down.
pub fn tree(root: &Path) -> Vec<(PathBuf, Metadata)> {
    let found = fs::symlink_metadata(root).unwrap();
    let mut all = vec![(root.to_owned(), found)];
    let mut next = 0;
    while let Some((path, found)) = all.get(next) {
        if found.is_dir() {
            let entries = unless_gone(fs::read_dir(path)).into_iter().flatten();
            let paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
            for path in paths {
                let found = unless_gone(fs::symlink_metadata(&path));
                all.extend(found.map(|found| (path, found)));
            }
        }
        next += 1;
    }
    all
}

/// The engine and the journal rename and remove files and folders meanwhile.
fn unless_gone<T>(found: io::Result<T>) -> Option<T> {
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        found => Some(found.unwrap()),
    }
}

/// Every file and folder from here down to which other users have access.
pub fn open_to_others(path: &Path) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    for (path, found) in tree(path) {
        let mode = found.permissions().mode() & 0o7777;
        // Symbolic links of the engine have no permissions of their own.
        let expected = if found.is_dir() { 0o700 } else { 0o600 };
        if !found.is_symlink() && mode != expected {
            all.push((path, format!("{mode:04o}")));
        }
    }
    all
}

const SETTINGS: [&str; 4] = [
    "mail.enabled=true",
    "mail.templates=[\"welcome\"]",
    "ledger.checkpoint_secs=60",
    "report.k=2",
];

/// Makes the collector write every kind of file.
fn run(server: &mut Server) {
    server.flush();
    let mut client = server.client();
    let choice = r#"{"version":2,"act":"grant","tiers":{"analytics":true},"lang":"en","layer":"first","path":"/u/mia"}"#;
    let of_page = [
        ("Content-Type", "application/json"),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    assert_eq!(
        ask(&mut client, "POST", "/ff/consent", choice, &of_page).status,
        200
    );
    assert_eq!(hit(&mut client, &view("/u/mia"), &[]).status, 202);
    let host = server.address().to_string();
    let site = r#"{"hosts":["tom.example"],"zone":"UTC"}"#;
    let own = [
        ("Host", &*host),
        ("Origin", ABSENT),
        ("X-Forwarded-For", ABSENT),
    ];
    let put = ask(&mut client, "PUT", "/api/v1/sites/tom", site, &own);
    assert_eq!(put.status, 204, "{}", put.text());
    server.flush();
    let later = (NOON + 86_400_000).to_string();
    assert_eq!(
        hit(&mut client, &view("/u/mia"), &[("X-Footfall-Now", &later)]).status,
        202
    );
    server.flush();
    assert_eq!(
        hit(
            &mut client,
            &view("/u/mia/open"),
            &[("X-Footfall-Now", &later)]
        )
        .status,
        202
    );
}

#[test]
fn every_file_and_folder_is_its_users_alone_while_it_runs_and_when_it_stopped() {
    let mut server = Server::start_with(SITES, &SETTINGS);
    run(&mut server);
    let data = server.dir().join("data");
    let written = [
        "journal/registry.json",
        "journal/lock",
        "ledger/acts.ledger",
        "ledger/key.pem",
        "store",
        "mail.keys",
    ];
    for file in written {
        assert!(data.join(file).exists(), "{file}");
    }
    assert_eq!(open_to_others(&data), []);
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    assert_eq!(open_to_others(&data), []);
}

#[test]
fn what_an_earlier_version_left_open_is_closed_at_the_start_and_said() {
    let mut server = Server::start_with(SITES, &SETTINGS);
    run(&mut server);
    server.stop();
    let data = server.dir().join("data");
    fn open(path: &Path) {
        let is_dir = path.is_dir();
        fs::set_permissions(
            path,
            Permissions::from_mode(if is_dir { 0o755 } else { 0o644 }),
        )
        .unwrap();
        if is_dir {
            fs::read_dir(path)
                .unwrap()
                .for_each(|entry| open(&entry.unwrap().path()));
        }
    }
    ["journal", "ledger", "store", "mail.keys"]
        .iter()
        .for_each(|part| open(&data.join(part)));
    let before = server.log().len();
    server.restart();
    server.flush();
    assert_eq!(open_to_others(&data), []);
    assert_eq!(
        server.log()[before..]
            .matches("other users of this machine could reach it")
            .count(),
        4,
        "{}",
        server.log()
    );

    let said = server.log().len();
    server.stop();
    server.restart();
    assert!(
        !server.log()[said..].contains("other users of this machine"),
        "{}",
        server.log()
    );
}
