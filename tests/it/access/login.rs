//! The operator's password login: no answer reveals which part was wrong, and guesses are limited
//! by network and by user.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Caller, PASSWORD, nobody, password_hash, start};
use crate::support::{Answer, Server};

fn sign_in(server: &Server, caller: &Caller, user: &str, password: &str) -> Answer {
    caller.ask(
        server,
        "POST",
        "/api/v1/session",
        &json!({"user": user, "password": password}).to_string(),
    )
}

fn with_login(settings: &[&str]) -> Server {
    let hash = format!("access.password_hash=\"{}\"", password_hash());
    start(&[&[&*hash], settings].concat())
}

#[test]
fn the_operator_signs_in_and_is_told_nothing_about_what_was_wrong() {
    let server = with_login(&[]);
    let answer = sign_in(&server, &nobody(), "operator", PASSWORD);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let set = answer.header("Set-Cookie").unwrap();
    assert!(
        set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"),
        "{set}"
    );
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (&told["role"], &told["login"]),
        (&json!("operator"), &json!(true))
    );
    let operator = Caller::signed_in(&server, &answer);
    assert_eq!(
        operator.json(&server, "GET", "/api/v1/session", "")["csrf"],
        told["csrf"]
    );
    assert_eq!(
        operator.ask(&server, "GET", "/api/v1/tokens", "").status,
        200
    );

    let refused = |user, password: &str| {
        let answer = sign_in(&server, &nobody(), user, password);
        assert_eq!(answer.header("Set-Cookie"), None);
        (answer.status, answer.text())
    };
    let wrong = refused("operator", "correct horse batter");
    assert!(wrong.0 == 401 && wrong.1.contains("bad_login"), "{wrong:?}");
    assert_eq!(refused("nobody", PASSWORD), wrong);
    assert_eq!(refused("", ""), wrong);
    assert_eq!(
        sign_in(
            &server,
            &nobody().with("Origin", "https://evil.example"),
            "operator",
            PASSWORD
        )
        .status,
        403
    );
}

/// Checking a hash takes about 20 ms; skipping the check would take none.
#[test]
fn an_unknown_name_takes_as_long_as_a_wrong_password() {
    let server = with_login(&[
        "limits.network_logins_per_min=1000",
        "limits.user_logins_per_min=1000",
    ]);
    let took = |user: &str| {
        let began = Instant::now();
        assert_eq!(
            sign_in(&server, &nobody(), user, "wrong wrong wrong").status,
            401
        );
        began.elapsed()
    };
    // Alternating, and the best of each: a busy machine makes both slow.
    let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
    for round in 0..200 {
        known = known.min(took("operator"));
        unknown = unknown.min(took("somebody"));
        if round >= 20 && unknown * 3 > known * 2 && known * 3 > unknown * 2 {
            return;
        }
    }
    panic!("{known:?} for a known name, {unknown:?} for another");
}

#[test]
fn passwords_cannot_be_tried_without_end_from_one_network_or_for_one_user() {
    let by = |address: &str| nobody().with("X-Forwarded-For", address);
    // Low rates, so that no attempt becomes available again while a slow machine runs the test.
    let limits = [
        "limits.network_logins_per_min=3",
        "limits.user_logins_per_min=5",
    ];
    let server = with_login(&limits);
    let tried = |address: &str, user: &str| {
        sign_in(&server, &by(address), user, "wrong wrong wrong").status
    };
    let from_one: Vec<u16> = (0..5)
        .map(|n| tried("198.51.100.7", &format!("user{n}")))
        .collect();
    assert_eq!(from_one, [401, 401, 401, 429, 429]);
    assert_eq!(
        tried("198.51.100.8", "operator"),
        429,
        "a neighbour shares the network"
    );
    let locked = sign_in(&server, &by("198.51.100.9"), "operator", PASSWORD);
    assert_eq!(
        (locked.status, locked.header("Retry-After")),
        (429, Some("60")),
        "the right password, too"
    );
    assert_eq!(
        sign_in(&server, &by("203.0.113.7"), "operator", PASSWORD).status,
        200
    );

    let server = with_login(&limits);
    let tried = |address: &str, user: &str| {
        sign_in(&server, &by(address), user, "wrong wrong wrong").status
    };
    let for_one: Vec<u16> = (0..7)
        .map(|n| tried(&format!("198.51.{n}.7"), "operator"))
        .collect();
    assert_eq!(for_one, [401, 401, 401, 401, 401, 429, 429]);
    assert_eq!(
        tried("203.0.113.8", "somebody"),
        401,
        "another user is not touched"
    );
}

#[test]
fn there_is_no_login_where_no_hash_is_configured_and_a_weak_one_does_not_start() {
    let server = start(&[]);
    assert_eq!(
        sign_in(&server, &nobody(), "operator", PASSWORD).status,
        404
    );
    let checked = |hash: &str| {
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_footfall"))
            .args([
                "check-config",
                "--set",
                &format!("access.password_hash=\"{hash}\""),
            ])
            .output()
            .unwrap();
        (
            out.status.code(),
            String::from_utf8_lossy(&out.stdout).into_owned(),
            String::from_utf8_lossy(&out.stderr).into_owned(),
        )
    };
    let good = password_hash();
    let (code, printed, _) = checked(&good);
    assert_eq!(code, Some(0));
    assert!(
        printed.contains(r#""password_hash": "***""#) && !printed.contains("argon2id"),
        "{printed}"
    );
    for bad in [
        "correct horse battery",
        "$2y$10$abcdefghijklmnopqrstuv",
        &good.replace("argon2id", "argon2i"),
        &good.replace("m=19456", "m=1024"),
        &good.replace("m=19456", "m=4194304"),
        &good.replace("t=2", "t=1"),
    ] {
        let (code, _, said) = checked(bad);
        assert!(
            code == Some(2) && said.contains("access.password_hash") && !said.contains(bad),
            "{said}"
        );
    }
}

#[test]
fn a_short_password_is_not_hashed() {
    use std::io::Write;
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_footfall"))
        .args(["access", "hash-password"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"elevenchars\n")
        .unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!((out.status.code(), out.stdout.len()), (Some(2), 0));
    assert!(String::from_utf8_lossy(&out.stderr).contains("12 characters"));
}
