//! Permissions over HTTP: what each kind of caller may see and change, and every way to sign in.

mod forged;
mod handover;
mod login;
mod restarts;
mod secrets;
mod sessions;
mod shares;
mod table;
mod tokens;
mod tries;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::support::{Answer, Body, NOON, Server};

pub const OPERATOR: &str = "operator-operator-operator";
pub const PASSWORD: &str = "correct horse battery";
pub const SECRET: &str = "a secret of thirty-two characters";

/// With a token configured, a caller from this machine without credentials has no rights.
const REPORT_TOKEN: &str = "report.token=operator-operator-operator";

/// A collector with an operator's token, a platform that hands creators over, and the sites `mia`
/// and `tom`.
fn start(settings: &[&str]) -> Server {
    let start = format!("test.start_millis={NOON}");
    let key = format!("platform.token_key=\"{SECRET}\"");
    let usual = [REPORT_TOKEN, "platform.token_algorithm=HS256", &key, &start];
    let server = Server::start_with("", &[&usual[..], settings].concat());
    server.flush();
    for name in ["mia", "tom"] {
        let body = format!(
            r#"{{"hosts":["{name}.example"],"zone":"UTC","embed":["https://{name}.example"]}}"#
        );
        assert_eq!(
            operator()
                .ask(&server, "PUT", &format!("/api/v1/sites/{name}"), &body)
                .status,
            204
        );
    }
    // Links need published days. The clock only moves forward: it stays where it is.
    server.publish(0);
    server
}

/// The credentials a caller sends with every request.
#[derive(Clone, Default)]
pub struct Caller {
    pub headers: Vec<(String, String)>,
}

impl Caller {
    pub fn with(mut self, name: &str, value: &str) -> Caller {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Caller {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    pub fn bearer(token: &str) -> Caller {
        Caller::default().with("Authorization", &format!("Bearer {token}"))
    }

    /// The holder of the session that this answer began, on a page of ours.
    pub fn signed_in(server: &Server, answer: &Answer) -> Caller {
        let caller = Caller::default().with("Cookie", &cookie_of(answer));
        let csrf = caller.json(server, "GET", "/api/v1/session", "")["csrf"]
            .as_str()
            .unwrap()
            .to_owned();
        let origin = format!("http://{}", server.address());
        caller
            .with("X-CSRF-Token", &csrf)
            .with("Origin", &origin)
            .with("Sec-Fetch-Site", "same-origin")
    }

    /// Sends a body, if any, as JSON.
    pub fn ask(&self, server: &Server, method: &str, path: &str, body: &str) -> Answer {
        let mut client = server.client();
        self.send(&mut client, server, method, path, body);
        client.receive().unwrap()
    }

    fn send(
        &self,
        client: &mut crate::support::Client,
        server: &Server,
        method: &str,
        path: &str,
        body: &str,
    ) {
        let host = server.address().to_string();
        let mut headers = vec![("Host", &*host), ("Content-Type", "application/json")];
        for (name, value) in &self.headers {
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            headers.push((name, value));
        }
        let body = if body.is_empty() {
            Body::None
        } else {
            Body::Sized(body.as_bytes())
        };
        client.send(method, path, &headers, body).unwrap();
    }

    pub fn json(&self, server: &Server, method: &str, path: &str, body: &str) -> Value {
        let answer = self.ask(server, method, path, body);
        assert!(
            (200..300).contains(&answer.status),
            "{method} {path}: {} {}",
            answer.status,
            answer.text()
        );
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Status and code.
    fn refused(&self, server: &Server, method: &str, path: &str, body: &str) -> (u16, String) {
        let answer = self.ask(server, method, path, body);
        let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        (
            answer.status,
            problem["code"].as_str().unwrap_or_default().to_owned(),
        )
    }
}

pub fn operator() -> Caller {
    Caller::bearer(OPERATOR)
}

fn nobody() -> Caller {
    Caller::default()
}

/// `name=value` of the first cookie an answer sets.
fn cookie_of(answer: &Answer) -> String {
    let set = answer
        .header("Set-Cookie")
        .unwrap_or_else(|| panic!("{} {}", answer.status, answer.text()));
    set.split(';').next().unwrap().to_owned()
}

pub fn claims(sites: &[&str], jti: &str) -> Value {
    json!({"iss": "platform", "aud": "footfall", "exp": NOON / 1000 + 60, "jti": jti, "sub": "CANARYSUB", "sites": sites})
}

pub fn sign(claims: &Value) -> String {
    encode(
        &Header::new(Algorithm::HS256),
        claims,
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )
    .unwrap()
}

pub fn hand_over(server: &Server, token: &str) -> Answer {
    nobody().ask(
        server,
        "POST",
        "/handover",
        &json!({ "token": token }).to_string(),
    )
}

/// A creator's session, by way of the platform.
fn creator(server: &Server, sites: &[&str]) -> Caller {
    let jti = format!("{sites:?}-{:?}", std::time::Instant::now());
    let answer = hand_over(server, &sign(&claims(sites, &jti)));
    assert_eq!(answer.status, 303, "{}", answer.text());
    Caller::signed_in(server, &answer)
}

/// A new token's id and text.
fn token(server: &Server, scopes: &[&str], site: Option<&str>) -> (String, String) {
    let body = json!({"name": "of a test", "scopes": scopes, "site": site, "expires": null});
    let made = operator().json(server, "POST", "/api/v1/tokens", &body.to_string());
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    (text("id"), text("token"))
}

/// A new share link's id and secret.
fn share(server: &Server, site: &str, more: Value) -> (String, String) {
    let mut body = json!({"from": "2026-03-01", "to": "2026-03-09"});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().cloned().unwrap_or_default());
    let path = format!("/api/v1/sites/{site}/shares");
    let made = operator().json(server, "POST", &path, &body.to_string());
    let url = made["url"].as_str().unwrap();
    (
        made["id"].as_str().unwrap().to_owned(),
        url.strip_prefix("/share/").unwrap().to_owned(),
    )
}

/// The hash of [`PASSWORD`], made by the command an operator makes it with.
fn password_hash() -> String {
    use std::io::Write;
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_footfall"))
        .args(["access", "hash-password"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(format!("{PASSWORD}\n").as_bytes())
        .unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}
