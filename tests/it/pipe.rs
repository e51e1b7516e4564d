//! A command whose output pipe is closed ends quietly.

use std::process::{Command, Stdio};

use crate::support::{SITES, Server, ask};

#[test]
fn a_command_whose_reader_is_gone_ends_quietly() {
    let mut server = Server::start(SITES);
    let refusal = r#"{"version":2,"act":"refuse","lang":"en","layer":"first","path":"/u/mia"}"#;
    let of_page = [
        ("Content-Type", "application/json"),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    assert_eq!(
        ask(
            &mut server.client(),
            "POST",
            "/ff/consent",
            refusal,
            &of_page
        )
        .status,
        200
    );
    assert_eq!(server.stop(), Some(0));

    let config = server.dir().join("footfall.toml");
    for arguments in [
        &["ledger", "export"][..],
        &["ledger", "verify"],
        &["ledger", "checkpoint"],
        &["check-config"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_footfall"));
        command
            .args(arguments)
            .arg("--config")
            .arg(&config)
            .current_dir(server.dir());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // As `head` does once it has its lines.
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(
            (ended.status.code(), said.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}
