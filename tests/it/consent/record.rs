//! The consent ledger through the server: no acknowledged act is lost by a kill, receipts can be
//! verified, a full or failed disk grants nothing, and the consent id is only where it must be.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{ACCEPT, REFUSE, WITHDRAW, ask, choose, cookie, id_of, ledger, problem, set_cookies};
use crate::support::{CONSENT_KEYS, Client, NOON, SITES, Server, hit, view};

#[test]
fn sixty_four_grants_at_once_make_one_unbroken_chain_and_a_kill_loses_none_that_was_answered() {
    let mut server = Server::start_with(SITES, &["limits.network_choices_per_min=100000"]);
    let mut answered = Vec::new();
    for _ in 0..4 {
        let mut clients: Vec<Client> = (0..64).map(|_| server.client()).collect();
        let cookies: Vec<String> = std::thread::scope(|scope| {
            let asks: Vec<_> = clients
                .iter_mut()
                .map(|client| {
                    scope.spawn(|| cookie(&ask(client, "POST", "/ff/consent", ACCEPT, &[])))
                })
                .collect();
            asks.into_iter().map(|ask| ask.join().unwrap()).collect()
        });
        answered.extend(cookies);
        server.kill();
        server.restart();
    }
    let records = ledger(&server);
    assert_eq!((records.len(), answered.len()), (256, 256));
    for (place, pair) in records.windows(2).enumerate() {
        assert_eq!(
            (&pair[1]["prev"], &pair[1]["seq"]),
            (&pair[0]["hash"], &json!(place + 2))
        );
    }
    let ids: std::collections::HashSet<&str> =
        records.iter().map(|r| r["id"].as_str().unwrap()).collect();
    assert!(answered.iter().all(|cookie| ids.contains(id_of(cookie))));
}

#[test]
fn the_consent_id_is_in_the_ledger_its_digest_in_one_table_and_the_keys_in_their_file_alone() {
    let mut server = Server::start_with(SITES, &["log.filter=\"trace\""]);
    let answer = choose(&server, ACCEPT, &[]);
    let kept = cookie(&answer);
    let id = id_of(&kept);
    for path in ["/u/mia", "/u/mia/shop"] {
        hit(&mut server.client(), &view(path), &[("Cookie", &kept)]);
    }
    ask(
        &mut server.client(),
        "GET",
        "/ff/consent/receipt",
        "",
        &[("Cookie", &kept)],
    );
    choose(&server, WITHDRAW, &[("Cookie", &kept)]);
    server.flush();
    let metrics = server.client().get("/metrics").unwrap().text();
    server.stop();
    assert!(!metrics.contains(id) && !server.log().contains(id));
    let number = u128::from_str_radix(id, 16).unwrap();
    let forms = [
        id.as_bytes().to_vec(),
        number.to_le_bytes().to_vec(),
        number.to_be_bytes().to_vec(),
    ];
    let mac = kept.rsplit('.').next().unwrap();
    let macs = [mac.as_bytes().to_vec(), bytes_of(mac)];
    let digest = footfall::ledger::sha256_digest(id.as_bytes());
    let digests = [
        digest.to_vec(),
        footfall::hex::encode_lower(&digest).into_bytes(),
    ];
    let key = CONSENT_KEYS.trim().split_once(' ').unwrap().1;
    let keys = [
        key.as_bytes().to_vec(),
        b"a key for tests, a secret for no".to_vec(),
        bytes_to_hex(key),
    ];
    let is_in = |bytes: &[u8], forms: &[Vec<u8>]| {
        forms
            .iter()
            .any(|form| bytes.windows(form.len()).any(|window| window == &form[..]))
    };
    let (mut searched, mut with_digest) = (0, std::collections::BTreeSet::new());
    let mut folders = vec![server.dir().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            // The socket of backups holds no bytes.
            if !entry.path().is_file() {
                continue;
            }
            let bytes = fs::read(entry.path()).unwrap();
            searched += 1;
            let path = entry.path();
            assert_eq!(
                is_in(&bytes, &forms),
                entry.file_name() == "acts.ledger",
                "{}",
                path.display()
            );
            assert_eq!(
                is_in(&bytes, &keys),
                entry.file_name() == "consent.keys",
                "{}",
                path.display()
            );
            assert!(!is_in(&bytes, &macs), "{}", path.display());
            if is_in(&bytes, &digests) {
                // The table's folder is above those of its parts.
                with_digest.insert(
                    path.canonicalize()
                        .unwrap()
                        .parent()
                        .unwrap()
                        .parent()
                        .unwrap()
                        .to_owned(),
                );
            }
        }
    }
    assert!(searched > 20, "{searched} files");
    assert_eq!(with_digest.len(), 1, "{with_digest:?}");
    assert!(
        with_digest.iter().all(|table| table.starts_with(server.dir().canonicalize().unwrap().join("data/store"))),
        "{with_digest:?}"
    );
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn bytes_to_hex(key: &str) -> Vec<u8> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(key)
        .unwrap();
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>()
        .into_bytes()
}

#[test]
fn a_receipt_is_the_ledgers_own_lines_for_whoever_holds_the_cookie() {
    let server = Server::start(SITES);
    let kept = cookie(&choose(&server, ACCEPT, &[]));
    choose(&server, ACCEPT, &[]);
    let receipt = |cookie: &str| {
        ask(
            &mut server.client(),
            "GET",
            "/ff/consent/receipt",
            "",
            &[("Cookie", cookie)],
        )
    };
    let mine = receipt(&kept);
    assert_eq!(
        mine.header("content-disposition"),
        Some("attachment; filename=\"consent-receipt.json\"")
    );
    let first = fs::read_to_string(server.dir().join("data/ledger/acts.ledger")).unwrap();
    let records = format!("\"records\": [\n{}\n],\n", first.lines().next().unwrap());
    assert!(mine.text().contains(&records), "{}", mine.text());
    assert_eq!(
        serde_json::from_slice::<Value>(&mine.body).unwrap()["receipt"],
        "footfall/footfall"
    );
    let nobody = format!("ff_consent=2.analytics.{}", "0".repeat(32));
    assert_eq!(
        [
            receipt(&nobody).status,
            receipt("ff_consent=2.none").status,
            receipt("x=1").status
        ],
        [404, 404, 404]
    );
}

#[test]
fn a_receipt_can_be_checked_with_the_ledgers_key_and_says_what_was_changed() {
    let mut server = Server::start(SITES);
    let kept = cookie(&choose(&server, ACCEPT, &[]));
    choose(&server, REFUSE, &[]);
    let receipt = ask(
        &mut server.client(),
        "GET",
        "/ff/consent/receipt",
        "",
        &[("Cookie", &kept)],
    )
    .text();
    server.stop();
    let file = server.dir().join("receipt.json");
    fs::write(&file, &receipt).unwrap();
    let footfall = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_footfall"));
        let output = command.arg("ledger").args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let config = server.dir().join("footfall.toml").display().to_string();
    let (_, signed, _) = footfall(&["checkpoint", "--config", &config]);
    let line = |name: &str| {
        signed
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap()
            .trim()
            .to_owned()
    };
    let (key, note) = (line("public key"), line("checkpoint"));

    let file = file.display().to_string();
    let (code, said, _) = footfall(&["receipt", "verify", &file, "--public-key", &key]);
    let expected = "receipt      footfall/footfall\nrecords      1\n\
                    grant        record 1, 2026-03-10T12:00Z, leaves granted: analytics\n";
    assert_eq!(
        (code, said.starts_with(expected)),
        (Some(0), true),
        "{said}"
    );
    let (code, said, _) = footfall(&["receipt", "verify", &file, "--checkpoint", &note]);
    assert_eq!(
        (
            code,
            said.contains("of 2 records, by the same key; 0 of these are younger")
        ),
        (Some(0), true),
        "{said}"
    );

    fs::write(
        &file,
        receipt.replace("\"analytics\":true", "\"analytics\":null"),
    )
    .unwrap();
    let (code, _, said) = footfall(&["receipt", "verify", &file, "--public-key", &key]);
    assert_eq!(code, Some(1));
    assert!(
        said.ends_with("its record 1 was changed: its bytes do not give the hash it ends with\n"),
        "{said}"
    );
    let (code, _, said) = footfall(&["receipt", "verify", &file]);
    assert_eq!(
        (code, said.contains("--public-key")),
        (Some(2), true),
        "{said}"
    );
}

#[test]
fn the_ledger_and_its_keys_are_their_owners_alone_and_no_file_tells_the_moment_of_an_act() {
    let mut server = Server::start_with(SITES, &["consent.key_file=\"\""]);
    let dir = server.dir().join("data/ledger");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    choose(&server, ACCEPT, &[]);
    assert_eq!(
        fs::metadata(dir.join("acts.ledger")).unwrap().mtime() % 3600,
        0
    );
    // The permissions of an earlier version.
    server.stop();
    for (name, open) in [("", 0o755), ("acts.ledger", 0o644), ("checkpoints", 0o755)] {
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(open)).unwrap();
    }
    server.restart();
    assert_eq!([mode(&dir), mode(&dir.join("checkpoints"))], [0o700; 2]);
    let files = [
        "acts.ledger",
        "lock",
        "key.pem",
        "versions.json",
        "consent.keys",
        "checkpoints/1.note",
    ];
    assert_eq!(files.map(|file| mode(&dir.join(file))), [0o600; 6]);
}

#[test]
fn more_answers_than_an_hour_takes_are_told_to_wait_and_a_way_out_is_always_open() {
    let server = Server::start_with(SITES, &["ledger.acts_per_hour=3"]);
    let granted: Vec<String> = (0..3)
        .map(|_| cookie(&choose(&server, ACCEPT, &[])))
        .collect();
    for body in [ACCEPT, REFUSE, ACCEPT] {
        let refused = choose(&server, body, &[]);
        assert_eq!(
            (refused.status, problem(&refused).1.as_str()),
            (503, "ledger_quota_exceeded"),
            "{}",
            refused.text()
        );
        assert_eq!(
            (refused.header("retry-after"), set_cookies(&refused)),
            (Some("3600"), Vec::new())
        );
    }
    assert_eq!(
        choose(&server, WITHDRAW, &[("Cookie", &granted[0])]).status,
        200
    );
    assert_eq!(ledger(&server).len(), 4);
    let metrics = [
        "footfall_ledger_records_total",
        "footfall_ledger_rejected_total",
    ]
    .map(|name| server.metric(name));
    assert_eq!(metrics, [4, 3]);
    let said = server
        .log()
        .lines()
        .filter(|line| line.contains("ERROR") && line.contains("acts_per_hour"))
        .count();
    assert_eq!(said, 1, "{}", server.log());
    let later = (NOON + 3_600_000).to_string();
    assert_eq!(
        choose(&server, ACCEPT, &[("X-Footfall-Now", &later)]).status,
        200
    );
}

#[test]
fn a_hung_or_failed_ledger_grants_nothing() {
    // Nothing else writes to the disk meanwhile: there is no store.
    let settings = [
        "journal.max_bytes=1048576",
        "store.url=\"http://127.0.0.1:1\"",
    ];
    let server = Server::start_on_small_disk(SITES, &settings, 32 << 20);
    let filler = server.data().join("filler");
    let mut size = 0;
    // Fills the rest of the disk to the last page.
    while fs::write(filler.with_extension(size.to_string()), vec![1; 1 << 16]).is_ok() {
        size += 1;
    }
    let answers: Vec<u16> = (0..40)
        .map(|n| {
            choose(
                &server,
                ACCEPT,
                &[("X-Forwarded-For", &format!("198.51.{n}.7"))],
            )
            .status
        })
        .collect();
    assert!(answers.contains(&503), "{answers:?}");
    let refused = choose(&server, ACCEPT, &[("X-Forwarded-For", "203.0.113.9")]);
    assert_eq!((refused.status, set_cookies(&refused)), (503, Vec::new()));
    for n in 0..size {
        let _ = fs::remove_file(filler.with_extension(n.to_string()));
    }
    assert_eq!(
        choose(&server, ACCEPT, &[("X-Forwarded-For", "203.0.113.9")]).status,
        200
    );
    let on_disk = fs::read_to_string(server.data().join("ledger/acts.ledger")).unwrap();
    let granted = answers.iter().filter(|status| **status == 200).count();
    assert_eq!(
        on_disk.lines().count(),
        granted + 1,
        "answered and on record are the same"
    );
}
