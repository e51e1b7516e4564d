//! Passwords, tokens, cookies and other secrets of a sign-in appear in no file, no table and no log
//! line, even at the most detailed log level.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{
    Caller, PASSWORD, claims, cookie_of, hand_over, nobody, operator, password_hash, share, sign,
    start, token,
};
use crate::canary::{files, holds};
use crate::support::{Engine, Server};

/// The rows of a table, past the compression of its files.
fn rows(engine: &Engine, table: &str) -> String {
    let sql = format!("SELECT * FROM footfall.{table} FORMAT TSV");
    let query: String = url::form_urlencoded::byte_serialize(sql.as_bytes()).collect();
    let address = engine.url().trim_start_matches("http://").parse().unwrap();
    let answer = crate::support::Client::connect(address)
        .unwrap()
        .get(&format!("/?query={query}"))
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

fn value(cookie: &str) -> String {
    cookie.split_once('=').unwrap().1.to_owned()
}

/// All secrets of a day of signing in, each used once correctly and once wrongly.
fn secrets(server: &Server) -> Vec<String> {
    let ask = |caller: &Caller, method: &str, path: &str, body: &str| {
        caller.ask(server, method, path, body)
    };
    let login = |password: &str| {
        let body = json!({"user": "CANARYUSER", "password": password}).to_string();
        let body = if password == PASSWORD {
            body.replace("CANARYUSER", "operator")
        } else {
            body
        };
        ask(&nobody(), "POST", "/api/v1/session", &body)
    };
    assert_eq!(login("CANARYPASSWORD").status, 401);
    assert_eq!(
        ask(
            &nobody(),
            "POST",
            "/api/v1/session",
            r#"{"password":"CANARYBROKEN"#
        )
        .status,
        400
    );
    let signed_in = login(PASSWORD);
    let handed_over = sign(&claims(&["mia"], "CANARYJTI"));
    let creator = hand_over(server, &handed_over);
    assert_eq!(
        (creator.status, hand_over(server, &handed_over).status),
        (303, 401)
    );
    assert_eq!(
        ask(&nobody(), "GET", "/handover?token=CANARYADDRESS", "").status,
        401
    );
    let csrf =
        Caller::signed_in(server, &creator).json(server, "GET", "/api/v1/session", "")["csrf"]
            .clone();

    let (_, api) = token(server, &["read"], None);
    assert_eq!(
        ask(&Caller::bearer(&api), "GET", "/api/v1/sites/mia/report", "").status,
        200
    );
    assert_eq!(
        ask(
            &Caller::bearer("ff_CANARYGUESS"),
            "GET",
            "/api/v1/sites/mia/report",
            ""
        )
        .status,
        401
    );
    let (_, link) = share(server, "mia", json!({"password": "CANARY of a link"}));
    let unlock = format!("/api/v1/shares/{link}/unlock");
    assert_eq!(
        ask(&nobody(), "POST", &unlock, r#"{"password":"CANARYWRONG"}"#).status,
        401
    );
    let unlocked = ask(
        &nobody(),
        "POST",
        &unlock,
        r#"{"password":"CANARY of a link"}"#,
    );
    let with = nobody().with("Cookie", &cookie_of(&unlocked));
    assert_eq!(
        ask(&with, "GET", &format!("/api/v1/shares/{link}/report"), "").status,
        200
    );
    assert_eq!(
        ask(&nobody(), "GET", &format!("/share/{link}"), "").status,
        200
    );
    assert_eq!(
        ask(&nobody(), "GET", "/api/v1/shares/CANARYLINK/report", "").status,
        404
    );

    let seal = value(&cookie_of(&unlocked));
    let (session, of_creator) = (value(&cookie_of(&signed_in)), value(&cookie_of(&creator)));
    let signature = handed_over.rsplit('.').next().unwrap().to_owned();
    let csrf = csrf.as_str().unwrap().to_owned();
    let api = api.strip_prefix("ff_").unwrap().to_owned();
    vec![
        PASSWORD.to_owned(),
        "CANARY".to_owned(),
        session,
        of_creator,
        signature,
        csrf,
        api,
        link,
        seal,
    ]
}

#[test]
fn nothing_one_signs_in_with_is_left_anywhere() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::start(dir.path());
    let hash = format!("access.password_hash=\"{}\"", password_hash());
    let mut server = start(&[
        "log.filter=\"trace\"",
        &hash,
        &format!("store.url={}", engine.url()),
    ]);
    let secrets = secrets(&server);
    let listed: Value = operator().json(&server, "GET", "/api/v1/audit", "");
    let metrics = operator().ask(&server, "GET", "/metrics", "").body;
    server.stop();

    let mut all = files(server.dir());
    all.push(("metrics".into(), metrics));
    all.push(("audit".into(), listed.to_string().into_bytes()));
    for table in ["tokens", "shares", "audit", "sites", "sign_outs"] {
        all.push((table.into(), rows(&engine, table).into_bytes()));
    }
    let found = |text: &str| all.iter().any(|(_, bytes)| holds(bytes, text.as_bytes()));
    assert!(
        found("$argon2id$") && found("make_share") && found("of a test"),
        "what may be kept is found: the search works"
    );
    assert!(
        found("a password login was refused"),
        "the log is among what is searched"
    );
    for secret in &secrets {
        let bytes = URL_SAFE_NO_PAD.decode(secret).unwrap_or_default();
        let forms = [
            secret.as_bytes(),
            &bytes,
            &bytes.iter().rev().copied().collect::<Vec<u8>>(),
        ];
        for form in forms.iter().filter(|form| form.len() >= 6) {
            for (path, text) in &all {
                assert!(!holds(text, form), "{} holds {secret}", path.display());
            }
        }
    }
}
