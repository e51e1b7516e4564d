//! `docs/openapi.json` matches the running program: the same routes, and answers of the described
//! schemas.

use std::collections::BTreeSet;

use footfall::event::ProblemCode;
use serde_json::{Value, json};

use crate::support::{Answer, Body, NOON, SITES, Server, grant_of, hit, view};

fn spec() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn read(server: &Server, path: &str) -> Value {
    let answer = server.client().get(path).unwrap();
    serde_json::from_slice(&answer.body)
        .unwrap_or_else(|_| panic!("{path}: {} {}", answer.status, answer.text()))
}

/// The schema of an operation's answer, with everything it refers to.
fn schema(spec: &Value, path: &str, status: u16, kind: &str) -> Value {
    let mut schema =
        spec["paths"][path]["get"]["responses"][status.to_string()]["content"][kind]["schema"]
            .clone();
    assert!(
        schema.is_object(),
        "{path} {status} {kind} is not described"
    );
    schema["components"] = spec["components"].clone();
    schema
}

fn assert_valid(schema: &Value, answer: &Value, what: &str) {
    let validator = jsonschema::validator_for(schema).expect("a schema");
    let errors: Vec<String> = validator
        .iter_errors(answer)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}\n{answer:#}");
}

#[test]
fn every_route_of_the_api_is_described_and_nothing_else() {
    let server = Server::start(SITES);
    let served: BTreeSet<String> = serde_json::from_value(read(&server, "/test/routes")).unwrap();
    let served: BTreeSet<String> = served
        .into_iter()
        .filter(|route| route.contains(" /api/v1/"))
        .collect();
    let spec = spec();
    let described = spec["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, operations)| {
            operations
                .as_object()
                .unwrap()
                .keys()
                .map(move |method| format!("{} {path}", method.to_uppercase()))
        });
    assert_eq!(described.collect::<BTreeSet<String>>(), served);
}

#[test]
fn answers_about_promises_have_the_shapes_that_are_described() {
    let server = Server::start(SITES);
    server.flush();
    let spec = spec();
    for path in ["/api/v1/retention", "/api/v1/compliance"] {
        let schema = schema(&spec, path, 200, "application/json");
        assert_valid(&schema, &read(&server, path), path);
    }
}

#[test]
fn answers_have_the_shapes_that_are_described() {
    let server = Server::start(SITES);
    server.flush();
    let url = "https://pages.example/u/mia";
    for person in 0..12 {
        let (address, cookie) = (format!("198.51.{person}.7"), grant_of(person));
        for (day, body) in [
            (0, view("/u/mia")),
            (0, json!({"kind": "click", "url": url, "name": "shop", "engaged": 900}).to_string()),
            (0, json!({"kind": "event", "url": url, "name": "tip", "value": 5, "currency": "EUR"}).to_string()),
            (0, json!({"kind": "vital", "url": url, "metric": "LCP", "value": 4500}).to_string()),
            (0, json!({"kind": "fault", "url": url, "fault": "script", "name": "TypeError", "source": "/a.js", "line": 1}).to_string()),
            (1, view("/u/mia")),
        ] {
            let now = (NOON + day * 86_400_000).to_string();
            assert_eq!(hit(&mut server.client(), &body, &[("X-Forwarded-For", &address), ("X-Footfall-Now", &now), ("Cookie", &cookie)]).status, 202);
        }
        assert_eq!(
            hit(&mut server.client(), &view("/u/mia"), &[("DNT", "1")]).status,
            202
        );
    }
    server.publish(NOON + 2 * 86_400_000);
    let void = json!({"id": "forged", "from": "2026-03-01", "to": "2026-03-02", "event": "tip", "currency": "EUR"})
        .to_string();
    let host = server.address().to_string();
    let headers = [("Host", host.as_str())];
    let voided = server
        .client()
        .ask(
            "POST",
            "/api/v1/sites/mia/money/void",
            &headers,
            Body::Sized(void.as_bytes()),
        )
        .unwrap();
    assert_eq!(voided.status, 201, "{}", voided.text());
    let spec = spec();
    for (path, question) in [
        ("/api/v1/sites/{site}/report", "range=7d&compare=previous"),
        ("/api/v1/sites/{site}/report", "range=today&compare=year"),
        ("/api/v1/sites/{site}/report", "range=all&interval=week"),
        (
            "/api/v1/sites/{site}/report",
            "filter=page:/u/mia&compare=previous",
        ),
        ("/api/v1/sites/{site}/report", "filter=link:shop"),
        (
            "/api/v1/sites/{site}/report",
            "filter=country:(unknown)&compare=previous",
        ),
        (
            "/api/v1/sites/{site}/report",
            "filter=source:nobody&compare=previous",
        ),
        ("/api/v1/sites/{site}/vitals", "range=7d"),
        ("/api/v1/sites/{site}/vitals", "filter=page:/u/mia"),
        ("/api/v1/sites/{site}/faults", "range=7d"),
        ("/api/v1/sites/{site}/live", ""),
        ("/api/v1/drops", "range=7d"),
        ("/api/v1/platform/report", "range=28d&compare=previous"),
        ("/api/v1/platform/sites", "range=28d"),
        ("/api/v1/platform/pages", "range=28d"),
        ("/api/v1/platform/consent", ""),
        ("/api/v1/platform/health", ""),
        ("/api/v1/sites", ""),
        ("/api/v1/session", ""),
        ("/api/v1/tokens", ""),
        ("/api/v1/audit", ""),
        ("/api/v1/sites/{site}/shares", ""),
        ("/api/v1/sites/{site}/money/voids", ""),
    ] {
        let asked = format!("{}?{question}", path.replace("{site}", "mia"));
        let answer = read(&server, &asked);
        assert_valid(
            &schema(&spec, path, 200, "application/json"),
            &answer,
            &asked,
        );
    }
    let whole = read(&server, "/api/v1/sites/mia/report?range=7d");
    assert_eq!(
        (&whole["totals"]["hits"], &whole["money"][0]["minor"]),
        (&json!(24), &json!(6000)),
        "the shapes were not empty"
    );
    assert_eq!(
        whole["dimensions"]["source"]["rows"][0]["visitors"], 13,
        "{whole:#}"
    );
}

#[test]
fn problems_have_the_shape_that_is_described() {
    let server = Server::start_with(SITES, &["report.token=0123456789abcdef"]);
    server.flush();
    let spec = spec();
    let path = "/api/v1/sites/{site}/report";
    let bearer = [
        ("Host", "stats.example"),
        ("Authorization", "Bearer 0123456789abcdef"),
    ];
    for (asked, fields, status) in [
        ("mia/report?range=8d", 2, 400),
        ("mia/report", 1, 401),
        ("a%20b/report", 2, 404),
    ] {
        let headers = &bearer[..fields];
        let answer = server
            .client()
            .ask(
                "GET",
                &format!("/api/v1/sites/{asked}"),
                headers,
                Body::None,
            )
            .unwrap();
        assert_eq!(answer.status, status, "{asked}: {}", answer.text());
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_valid(
            &schema(&spec, path, status, "application/problem+json"),
            &problem,
            asked,
        );
    }
}

#[test]
fn every_error_code_is_documented_with_its_status_title_and_cause() {
    let mut table = "| status | code | when |\n|---|---|---|\n".to_owned();
    for code in ProblemCode::ALL {
        table += &format!(
            "| {} | `{}` | {} |\n",
            code.status(),
            code.name(),
            code.when()
        );
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/use/API.md");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(
        text.contains(&format!("\n{table}\n")),
        "docs/use/API.md must contain this table:\n{table}"
    );

    let described = ProblemCode::ALL.iter().map(|code| {
        let when = format!("{}: {}", code.status(), code.when());
        json!({"const": code.name(), "title": code.title(), "description": when})
    });
    assert_eq!(
        spec()["components"]["schemas"]["ProblemCode"]["oneOf"],
        Value::Array(described.collect())
    );

    let names: BTreeSet<&str> = ProblemCode::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(names.len(), ProblemCode::ALL.len(), "one cause for a code");
}

/// The status, code and title of an error response, which must be those of the table.
fn problem_of(answer: &Answer) -> (u16, String) {
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    let code = ProblemCode::ALL
        .iter()
        .find(|code| problem["code"] == code.name())
        .unwrap_or_else(|| panic!("{problem} is not in the table"));
    assert_eq!(
        (&problem["status"], &problem["title"], answer.status),
        (&json!(code.status()), &json!(code.title()), code.status())
    );
    (code.status(), code.name().to_owned())
}

#[test]
fn extractors_reject_with_codes_of_the_table_and_only_after_the_permission() {
    let server = Server::start_with(SITES, &["report.token=0123456789abcdef"]);
    server.flush();
    let bearer = [
        ("Host", "stats.example"),
        ("Authorization", "Bearer 0123456789abcdef"),
    ];
    let (stranger, operator) = (&bearer[..1], &bearer[..]);
    let ask = |method, path, headers: &[(&str, &str)], body: &str| {
        let body = match body {
            "" => Body::None,
            body => Body::Sized(body.as_bytes()),
        };
        let answer = server.client().ask(method, path, headers, body).unwrap();
        problem_of(&answer)
    };

    let large = format!("\"{}\"", "x".repeat(9000));
    for (method, path, headers, body, status, code) in [
        (
            "GET",
            "/ff/consent?lang=de&x=1",
            stranger,
            "",
            400,
            "bad_question",
        ),
        ("GET", "/ff/me?x=1", stranger, "", 400, "bad_question"),
        (
            "GET",
            "/api/v1/notices?after=x",
            stranger,
            "",
            401,
            "authentication_required",
        ),
        (
            "GET",
            "/api/v1/notices?after=x",
            operator,
            "",
            400,
            "bad_question",
        ),
        (
            "POST",
            "/api/v1/tokens",
            stranger,
            "{",
            401,
            "authentication_required",
        ),
        ("POST", "/api/v1/tokens", operator, "{", 400, "bad_json"),
        (
            "POST",
            "/api/v1/tokens",
            operator,
            r#"{"name":1}"#,
            400,
            "bad_value",
        ),
        (
            "POST",
            "/api/v1/tokens",
            stranger,
            &large,
            401,
            "authentication_required",
        ),
        (
            "POST",
            "/api/v1/tokens",
            operator,
            &large,
            413,
            "body_too_large",
        ),
        ("GET", "/assets/none.js", stranger, "", 404, "not_found"),
        ("PUT", "/ff/hit", stranger, "{}", 405, "method_not_allowed"),
        ("POST", "/ff/hit", stranger, "{", 400, "bad_json"),
        ("POST", "/ff/hit", stranger, "[]", 400, "bad_beacon"),
    ] {
        assert_eq!(
            ask(method, path, headers, body),
            (status, code.to_owned()),
            "{method} {path} {body:.20}"
        );
    }
}

#[test]
fn a_method_that_a_path_does_not_have_is_answered_with_those_it_has() {
    let server = Server::start(SITES);
    let host = server.address().to_string();
    for (method, path, allowed) in [
        ("POST", "/api/v1/drops", "GET"),
        ("TRACE", "/api/v1/session", "DELETE, GET, POST"),
        ("GET", "/ff/hit", "POST"),
        ("PUT", "/u/mia/ff/hit", "POST"),
    ] {
        let answer = server
            .client()
            .ask(method, path, &[("Host", &host)], Body::Sized(b"{}"))
            .unwrap();
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some(allowed)),
            "{method} {path}"
        );
    }
    assert_eq!(
        server
            .client()
            .ask("GET", "/api/v1/nothing", &[("Host", &host)], Body::None)
            .unwrap()
            .status,
        404
    );
}
