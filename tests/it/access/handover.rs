//! Handover: the platform signs a creator in with a signed token that works once, and no other
//! token does.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{Caller, SECRET, claims, creator, hand_over, nobody, sign, start};
use crate::support::{Answer, Body, NOON, Server};

fn post(server: &Server, path: &str, kind: &str, body: &str) -> Answer {
    nobody()
        .with("Content-Type", kind)
        .ask(server, "POST", path, body)
}

#[test]
fn a_creator_comes_by_a_form_of_the_platform_and_sees_their_own_sites() {
    let server = start(&[]);
    let form = format!("token={}&go=1", sign(&claims(&["mia", "mia2"], "one")));
    // A form of another site: the browser reports its origin and sends no cookie.
    let browser = nobody()
        .with("Content-Type", "application/x-www-form-urlencoded")
        .with("Origin", "https://platform.example")
        .with("Sec-Fetch-Site", "cross-site");
    let answer = browser.ask(&server, "POST", "/handover", &form);
    assert_eq!(
        (answer.status, answer.header("Location")),
        (303, Some("/?site=mia")),
        "{}",
        answer.text()
    );
    let set = answer.header("Set-Cookie").unwrap();
    let (pair, attributes) = set.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Lax");
    let value = pair.strip_prefix("__Host-footfall=").unwrap();
    assert!(value.len() > 43 && !pair.contains("mia2"), "{pair}");
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));

    let mia = Caller::signed_in(&server, &answer);
    let session = mia.json(&server, "GET", "/api/v1/session", "");
    assert_eq!(
        (&session["role"], &session["sites"]),
        (&json!("creator"), &json!(["mia", "mia2"]))
    );
    assert_eq!(session["login"], false);
    assert_eq!(
        mia.ask(&server, "GET", "/api/v1/sites/mia/report", "")
            .status,
        200
    );
    let none = nobody().json(&server, "GET", "/api/v1/session", "");
    assert_eq!(
        none,
        json!({"role": null, "sites": null, "csrf": null, "login": false})
    );
}

#[test]
fn a_renamed_profile_is_its_creators_under_both_names() {
    let server = start(&[]);
    let put = |path: &str, body: &str| {
        assert_eq!(
            super::operator().ask(&server, "PUT", path, body).status,
            204
        )
    };
    put("/api/v1/aliases/mia-new", r#"{"site":"mia"}"#);
    for claimed in ["mia", "mia-new"] {
        let caller = creator(&server, &[claimed]);
        let of = |name: &str| {
            caller
                .ask(&server, "GET", &format!("/api/v1/sites/{name}/report"), "")
                .status
        };
        assert_eq!(
            (of("mia"), of("mia-new"), of("tom")),
            (200, 200, 404),
            "{claimed}"
        );
    }
}

/// What is wrong with the token, and the token.
fn bad_tokens() -> Vec<(&'static str, String)> {
    let with = |key: &str, value: Value| {
        let mut claims = claims(&["mia"], key);
        claims[key] = value;
        sign(&claims)
    };
    let without = |key: &str| {
        let mut claims = claims(&["mia"], key);
        claims.as_object_mut().unwrap().remove(key);
        sign(&claims)
    };
    let good = sign(&claims(&["mia"], "tampered"));
    let body = good.split('.').nth(1).unwrap();
    let secs = NOON / 1000;
    let signed = |algorithm, secret: &str| {
        encode(
            &Header::new(algorithm),
            &claims(&["mia"], "x"),
            &EncodingKey::from_secret(secret.as_bytes()),
        )
        .unwrap()
    };
    vec![
        ("alg none", format!("eyJhbGciOiJub25lIn0.{body}.")),
        (
            "alg none with a signature",
            format!(
                "eyJhbGciOiJub25lIn0.{body}.{}",
                good.split('.').nth(2).unwrap()
            ),
        ),
        ("another algorithm", signed(Algorithm::HS512, SECRET)),
        ("another secret", signed(Algorithm::HS256, "another secret")),
        ("a tampered signature", format!("{good}A")),
        ("another issuer", with("iss", json!("evil"))),
        ("another audience", with("aud", json!("other"))),
        ("no issuer", without("iss")),
        ("no audience", without("aud")),
        ("expired", with("exp", json!(secs))),
        ("too long", with("exp", json!(secs + 301))),
        ("an endless expiry", with("exp", json!(i64::MAX))),
        ("no expiry", without("exp")),
        ("no id", without("jti")),
        ("an empty id", with("jti", json!(""))),
        ("an endless id", with("jti", json!("x".repeat(300)))),
        ("no sites", without("sites")),
        ("sites of nobody", with("sites", json!([]))),
        (
            "a site that is no name",
            with("sites", json!(["mia", "../tom"])),
        ),
        ("nothing", String::new()),
    ]
}

#[test]
fn whatever_else_claims_to_be_a_token_is_401() {
    let server = start(&[]);
    for (wrong, token) in bad_tokens() {
        let answer = hand_over(&server, &token);
        assert_eq!(
            (answer.status, answer.header("Set-Cookie")),
            (401, None),
            "{wrong}"
        );
        assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"), "{wrong}");
    }
    let replayed = sign(&claims(&["mia"], "once"));
    assert_eq!(
        [0; 3].map(|_| hand_over(&server, &replayed).status),
        [303, 401, 401]
    );
    // Only the id decides whether a token was used, whatever else it contains.
    assert_eq!(
        hand_over(&server, &sign(&claims(&["tom"], "once"))).status,
        401
    );
}

#[test]
fn a_token_in_the_address_is_401_and_not_looked_at() {
    let server = start(&[]);
    let token = sign(&claims(&["mia"], "in the address"));
    let json = json!({ "token": token }).to_string();
    let get = nobody().ask(&server, "GET", &format!("/handover?token={token}"), "");
    assert_eq!((get.status, get.header("Set-Cookie")), (401, None));
    for body in ["", &json] {
        assert_eq!(
            post(
                &server,
                &format!("/handover?token={token}"),
                "application/json",
                body
            )
            .status,
            401
        );
    }
    let twice = format!("token={token}&token={token}");
    assert_eq!(
        post(
            &server,
            "/handover",
            "application/x-www-form-urlencoded",
            &twice
        )
        .status,
        401
    );
    assert_eq!(
        post(
            &server,
            "/handover",
            "application/json",
            &json!({ "jwt": token }).to_string()
        )
        .status,
        401
    );
    let long = vec![b'x'; 20_000];
    let host = server.address().to_string();
    assert_eq!(
        server
            .client()
            .ask("POST", "/handover", &[("Host", &host)], Body::Sized(&long))
            .unwrap()
            .status,
        401
    );
    assert_eq!(
        hand_over(&server, &token).status,
        303,
        "it was not used up by any of these"
    );
}

#[test]
fn the_platform_makes_an_operator_only_where_the_configuration_says_so() {
    let mut operators = claims(&[], "operator");
    operators["role"] = json!("operator");
    let refused = hand_over(&start(&[]), &sign(&operators));
    assert_eq!((refused.status, refused.header("Set-Cookie")), (403, None));

    let server = start(&["access.handover_operator=true"]);
    let answer = hand_over(&server, &sign(&operators));
    assert_eq!((answer.status, answer.header("Location")), (303, Some("/")));
    let session = Caller::signed_in(&server, &answer).json(&server, "GET", "/api/v1/session", "");
    assert_eq!(
        (&session["role"], &session["sites"]),
        (&json!("operator"), &Value::Null)
    );
}

#[test]
fn without_a_key_nobody_is_handed_over() {
    let server = Server::start_with("", &[&*format!("test.start_millis={NOON}")]);
    assert_eq!(
        hand_over(&server, &sign(&claims(&["mia"], "no key"))).status,
        401
    );
}

fn pem(label: &str, der: &[u8]) -> String {
    let lines: Vec<String> = STANDARD
        .encode(der)
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8(line.to_vec()).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// The algorithm's name, a public key in PEM, and a signer with the private one.
fn key_pairs() -> [(&'static str, Algorithm, String, EncodingKey); 2] {
    let ed = Ed25519KeyPair::generate().unwrap();
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let ed_public = pem("PUBLIC KEY", ed.public_key().as_der().unwrap().as_ref());
    let ec_public = pem("PUBLIC KEY", ec.public_key().as_der().unwrap().as_ref());
    let ec_private = EncodingKey::from_ec_der(ec.to_pkcs8v1().unwrap().as_ref());
    [
        (
            "EdDSA",
            Algorithm::EdDSA,
            ed_public,
            EncodingKey::from_ed_der(ed.to_pkcs8v1().unwrap().as_ref()),
        ),
        ("ES256", Algorithm::ES256, ec_public, ec_private),
    ]
}

#[test]
fn a_public_key_checks_signatures_and_is_no_secret_to_sign_with() {
    for (word, algorithm, public, private) in key_pairs() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key.pem");
        std::fs::write(&file, &public).unwrap();
        let file = format!("platform.token_key_file={:?}", file.display().to_string());
        // The last setting wins: no secret is configured beside the file.
        let server = start(&[
            "platform.token_key=",
            &file,
            &format!("platform.token_algorithm={word}"),
        ]);
        let good = encode(&Header::new(algorithm), &claims(&["mia"], "good"), &private).unwrap();
        assert_eq!(hand_over(&server, &good).status, 303, "{word}");
        for secret in [public.as_bytes(), public.trim_end().as_bytes()] {
            for confused in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let signed = encode(
                    &Header::new(confused),
                    &claims(&["mia"], "bad"),
                    &EncodingKey::from_secret(secret),
                )
                .unwrap();
                // The header may also name another algorithm.
                let header = good.split('.').next().unwrap();
                let lying = format!("{header}.{}", signed.split_once('.').unwrap().1);
                assert_eq!(
                    [&signed, &lying].map(|token| hand_over(&server, token).status),
                    [401, 401],
                    "{word}"
                );
            }
        }
    }
}
