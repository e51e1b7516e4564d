//! The authorization table: every route of the running program, requested by every kind of caller.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    Caller, OPERATOR, PASSWORD, creator, nobody, operator, password_hash, share, start, token,
};
use crate::support::{Answer, Client, Server};

/// A route, the body sent to it, the status of an allowed request, and who may make it: one letter
/// for each of [`WHO`].
///
/// `y` allowed; `n` not authenticated: 401; `m` a permission is missing: 403; `u` like an unknown
/// site: 404.
type Row = (&'static str, &'static str, u16, &'static str);

const WHO: [&str; 10] = [
    "nobody",
    "the creator of mia",
    "the creator of tom",
    "a share link of mia",
    "a token that reads",
    "a token that manages",
    "a token for mails",
    "a token that reads mia",
    "the operator, by token",
    "the operator, signed in",
];

const PUBLIC: &str = "yyyyyyyyyy";
const OF_MIA: &str = "nyunymmyyy";
const SHARES: &str = "nyunmymmyy";
const REGISTER: &str = "nmunmymmyy";
const PLATFORM: &str = "nmmnymmmyy";
const MANAGE: &str = "nmmnmymmyy";
const KEYS: &str = "nmmnmmmmyy";
const MAIL: &str = "nmmnmmymyy";
const ERASE: &str = "nmunmmmmyy";
const OWN_PAGE: &str = "myymmmmmmy";
const REFUSAL: &str = r#"{"version":2,"act":"refuse","lang":"en","layer":"first","path":"/"}"#;

/// `{site}` is mia; ids are of an existing token and share link. Requests that end a session come
/// last.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("GET /api/v1/sites/{site}/report", "", 200, OF_MIA),
    ("GET /api/v1/sites/{site}/vitals", "", 200, OF_MIA),
    ("GET /api/v1/sites/{site}/faults", "", 200, OF_MIA),
    ("GET /api/v1/sites/{site}/export", "?table=page&format=csv", 200, OF_MIA),
    ("GET /api/v1/sites/{site}/live", "", 200, OF_MIA),
    ("GET /api/v1/sites/{site}/events", "", 200, OF_MIA),
    ("GET /api/v1/sites/{site}/shares", "", 200, SHARES),
    ("POST /api/v1/sites/{site}/shares", r#"{"from":"2026-03-01","to":"2026-03-02"}"#, 201, SHARES),
    ("DELETE /api/v1/sites/{site}/shares/{id}", "", 204, SHARES),
    ("GET /api/v1/sites/{site}/money/voids", "", 200, OF_MIA),
    ("POST /api/v1/sites/{site}/money/void", r#"{"id":"once","from":"2026-03-01","to":"2026-03-02","event":"tip","currency":"EUR"}"#, 200, REGISTER),
    ("PUT /api/v1/sites/{site}", r#"{"hosts":["mia.example"],"zone":"UTC"}"#, 204, REGISTER),
    ("DELETE /api/v1/sites/{site}", "", 204, REGISTER),
    ("GET /api/v1/sites", "", 200, "nyynyymyyy"),
    ("GET /api/v1/drops", "", 200, "nyynymmyyy"),
    ("GET /api/v1/platform/report", "", 200, PLATFORM),
    ("GET /api/v1/platform/sites", "", 200, PLATFORM),
    ("GET /api/v1/platform/pages", "", 200, PLATFORM),
    ("GET /api/v1/platform/consent", "", 200, PLATFORM),
    ("GET /api/v1/platform/health", "", 200, PLATFORM),
    ("GET /api/v1/compliance", "", 200, PLATFORM),
    ("GET /api/v1/retention", "", 200, PLATFORM),
    ("GET /api/v1/notices", "", 200, PLATFORM),
    ("GET /metrics", "", 200, PLATFORM),
    ("PUT /api/v1/aliases/{alias}", r#"{"site":"tom"}"#, 204, MANAGE),
    ("GET /api/v1/aliases/{alias}", "", 200, MANAGE),
    ("DELETE /api/v1/aliases/{alias}", "", 204, MANAGE),
    ("GET /api/v1/mail", "", 200, MAIL),
    ("POST /api/v1/mail/links", r#"{"mails":[{"template":"welcome","consent":true}]}"#, 201, MAIL),
    ("POST /api/v1/mail/messages", r#"{"template":"welcome","consent":true}"#, 201, MAIL),
    ("GET /api/v1/mail/messages/{token}", "", 200, MAIL),
    ("DELETE /api/v1/mail/messages/{token}", "", 204, MAIL),
    ("GET /api/v1/tokens", "", 200, KEYS),
    ("POST /api/v1/tokens", r#"{"name":"new","scopes":["read"]}"#, 201, KEYS),
    ("DELETE /api/v1/tokens/{id}", "", 204, KEYS),
    ("GET /api/v1/audit", "", 200, KEYS),

    // Public; the answer depends on what is sent, not on the caller.
    ("GET /api/v1/session", "", 200, PUBLIC),
    ("GET /api/v1/shares/{token}/report", "", 200, PUBLIC),
    ("POST /api/v1/shares/{token}/unlock", r#"{"password":"any"}"#, 204, PUBLIC),
    ("GET /share/{token}", "", 200, PUBLIC),
    ("GET /", "", 200, PUBLIC),
    ("GET /login", "", 200, PUBLIC),
    ("GET /platform", "", 200, PUBLIC),
    ("GET /assets/{file}", "", 404, PUBLIC),
    ("GET /assets/sample/glazes.csv", "", 200, PUBLIC),
    ("GET /assets/sample/icon.svg", "", 200, PUBLIC),
    ("GET /assets/sample/page.css", "", 200, PUBLIC),
    ("GET /u/demo", "", 200, PUBLIC),
    ("GET /u/demo/shop", "", 200, PUBLIC),
    ("GET /healthz", "", 200, PUBLIC),
    ("GET /readyz", "", 200, PUBLIC),
    ("GET /version", "", 200, PUBLIC),
    ("GET /.well-known/gpc.json", "", 200, PUBLIC),
    ("GET /.well-known/dnt/", "", 200, PUBLIC),
    ("GET /ff/f.js", "", 200, PUBLIC),
    ("GET /ff/faults.js", "", 200, PUBLIC),
    ("GET /ff/vitals.js", "", 200, PUBLIC),
    ("GET /ff/consent.js", "", 200, PUBLIC),
    ("GET /ff/consent", "", 200, PUBLIC),
    ("GET /ff/consent/receipt", "", 404, PUBLIC),
    ("GET /ff/me", "", 200, PUBLIC),
    ("GET /ff/me.css", "", 200, PUBLIC),
    ("GET /{under:.+}/ff/f.js", "", 200, PUBLIC),
    ("GET /{under:.+}/ff/faults.js", "", 200, PUBLIC),
    ("GET /{under:.+}/ff/vitals.js", "", 200, PUBLIC),
    ("GET /{under:.+}/ff/consent.js", "", 200, PUBLIC),
    ("GET /{under:.+}/ff/consent", "", 200, PUBLIC),
    ("GET /{under:.+}/ff/consent/receipt", "", 404, PUBLIC),
    ("GET /{under:.+}/ff/me", "", 200, PUBLIC),
    ("GET /{under:.+}/ff/me.css", "", 200, PUBLIC),
    ("POST /ff/hit", r#"{"kind":"view","url":"https://mia.example/"}"#, 202, PUBLIC),
    ("POST /{under:.+}/ff/hit", r#"{"kind":"view","url":"https://mia.example/"}"#, 202, PUBLIC),
    ("POST /api/event", r#"{"n":"pageview","u":"https://mia.example/"}"#, 202, PUBLIC),
    ("POST /api/send", r#"{"type":"event","payload":{"url":"https://mia.example/"}}"#, 200, PUBLIC),
    ("POST /api/batch", r#"[{"type":"event","payload":{"url":"https://mia.example/"}}]"#, 200, PUBLIC),
    ("GET /count", "?p=/", 200, PUBLIC),
    ("POST /count", "?p=/", 200, PUBLIC),
    ("POST /ff/api/event", r#"{"n":"pageview","u":"https://mia.example/"}"#, 202, PUBLIC),
    ("POST /ff/api/send", r#"{"type":"event","payload":{"url":"https://mia.example/"}}"#, 200, PUBLIC),
    ("POST /ff/api/batch", r#"[{"type":"event","payload":{"url":"https://mia.example/"}}]"#, 200, PUBLIC),
    ("GET /ff/count", "?p=/", 200, PUBLIC),
    ("POST /ff/count", "?p=/", 200, PUBLIC),
    ("POST /{under:.+}/ff/api/event", r#"{"n":"pageview","u":"https://mia.example/"}"#, 202, PUBLIC),
    ("POST /{under:.+}/ff/api/send", r#"{"type":"event","payload":{"url":"https://mia.example/"}}"#, 200, PUBLIC),
    ("POST /{under:.+}/ff/api/batch", r#"[{"type":"event","payload":{"url":"https://mia.example/"}}]"#, 200, PUBLIC),
    ("GET /{under:.+}/ff/count", "?p=/", 200, PUBLIC),
    ("POST /{under:.+}/ff/count", "?p=/", 200, PUBLIC),
    ("POST /test/flush", "", 200, PUBLIC),
    ("POST /test/publish", "", 200, PUBLIC),
    ("POST /test/retention", "", 200, PUBLIC),
    ("GET /test/routes", "", 200, PUBLIC),

    // For every caller: these need the platform's token and a grant, a valid token, or the right
    // password.
    ("GET /ff/gate/bi", "", 403, PUBLIC),
    ("GET /handover", "", 401, PUBLIC),
    ("POST /handover", r#"{"token":"guess"}"#, 401, PUBLIC),
    ("POST /api/v1/session", r#"{"user":"operator","password":"guess"}"#, 401, PUBLIC),

    // For a page of the same origin; signed-in callers send their origin here.
    ("POST /ff/consent", REFUSAL, 200, OWN_PAGE),
    ("POST /{under:.+}/ff/consent", REFUSAL, 200, OWN_PAGE),
    ("POST /ff/me/withdraw", "", 303, OWN_PAGE),
    ("POST /{under:.+}/ff/me/withdraw", "", 303, OWN_PAGE),

    // Takes the site, its links and its tokens along.
    ("POST /api/v1/sites/{site}/erase", "", 200, ERASE),
    ("DELETE /api/v1/session", "", 204, "nyynnnnnny"),
];

struct Setting {
    server: Server,
    callers: Vec<Caller>,
    token_id: String,
    share_id: String,
    share: String,
    message: String,
}

fn setting() -> Setting {
    let hash = format!("access.password_hash=\"{}\"", password_hash());
    let server = start(&[
        "limits.network_logins_per_min=1000",
        "sample.enabled=true",
        "mail.enabled=true",
        "mail.mode=per_message",
        "mail.templates=[\"welcome\"]",
        "bi.url=\"https://bi.example/{token}\"",
        "bi.secret=s",
        &hash,
    ]);
    let bearer = |scopes: &[&str], site| Caller::bearer(&token(&server, scopes, site).1);
    let login = format!(r#"{{"user":"operator","password":"{PASSWORD}"}}"#);
    let (_, secret) = share(&server, "mia", json!({"password": "a password"}));
    let unlock = format!("/api/v1/shares/{secret}/unlock");
    let unlocked = nobody().ask(&server, "POST", &unlock, r#"{"password":"a password"}"#);
    assert_eq!(unlocked.status, 204, "{}", unlocked.text());
    let callers = vec![
        nobody(),
        creator(&server, &["mia"]),
        creator(&server, &["tom"]),
        nobody().with("Cookie", &super::cookie_of(&unlocked)),
        bearer(&["read"], None),
        bearer(&["manage"], None),
        bearer(&["mail"], None),
        bearer(&["read"], Some("mia")),
        Caller::bearer(OPERATOR),
        Caller::signed_in(
            &server,
            &nobody().ask(&server, "POST", "/api/v1/session", &login),
        ),
    ];
    let (share_id, _) = share(&server, "mia", json!({}));
    let (_, share) = share(&server, "mia", json!({}));
    let (token_id, _) = token(&server, &["read"], None);
    let new = r#"{"template":"welcome","consent":true}"#;
    let made = operator().json(&server, "POST", "/api/v1/mail/messages", new);
    let void =
        r#"{"id":"once","from":"2026-03-01","to":"2026-03-02","event":"tip","currency":"EUR"}"#;
    assert_eq!(
        operator()
            .ask(&server, "POST", "/api/v1/sites/mia/money/void", void)
            .status,
        201
    );
    let message = made["messages"][0]["token"].as_str().unwrap().to_owned();
    Setting {
        server,
        callers,
        token_id,
        share_id,
        share,
        message,
    }
}

impl Setting {
    fn path(&self, route: &str) -> String {
        let id = if route.contains("/tokens/") {
            &self.token_id
        } else {
            &self.share_id
        };
        let path = route.split_once(' ').unwrap().1;
        let path = path
            .replace("{site}", "mia")
            .replace("{id}", id)
            .replace("{alias}", "tommy");
        let token = if path.contains("/messages/") {
            &self.message
        } else {
            &self.share
        };
        path.replace("{token}", token)
            .replace("{under:.+}", "u/mia")
    }

    /// Restores what a change removed, for the next caller.
    fn restore(&self, route: &str) {
        let put = |path: &str, body: &str| {
            assert_eq!(operator().ask(&self.server, "PUT", path, body).status, 204)
        };
        match route {
            "DELETE /api/v1/sites/{site}" | "GET /api/v1/shares/{token}/report" => {
                put("/api/v1/sites/mia", r#"{"hosts":[],"zone":"UTC"}"#)
            }
            "GET /api/v1/aliases/{alias}" | "DELETE /api/v1/aliases/{alias}" => {
                put("/api/v1/aliases/tommy", r#"{"site":"tom"}"#);
            }
            _ => {}
        }
    }
}

fn ask(caller: &Caller, server: &Server, route: &str, path: &str, more: &str) -> Answer {
    let (method, _) = route.split_once(' ').unwrap();
    let (query, body) = if more.starts_with('?') {
        (more, "")
    } else {
        ("", more)
    };
    let mut client: Client = server.client();
    caller.send(&mut client, server, method, &format!("{path}{query}"), body);
    let head = client.receive_head().unwrap();
    match head.header("Content-Type") {
        Some("text/event-stream") => head,
        _ => client.receive_body(head).unwrap(),
    }
}

#[test]
fn every_route_answers_everybody_as_the_table_says() {
    let setting = setting();
    let listed: BTreeSet<String> = serde_json::from_slice(
        &nobody()
            .ask(&setting.server, "GET", "/test/routes", "")
            .body,
    )
    .unwrap();
    let rows: BTreeSet<String> = TABLE
        .iter()
        .map(|(route, ..)| (*route).to_owned())
        .collect();
    let apart: Vec<&String> = listed.symmetric_difference(&rows).collect();
    assert!(
        apart.is_empty(),
        "routes without a row, or rows without a route: {apart:?}"
    );

    let mut wrong = Vec::new();
    for (route, more, status, letters) in TABLE {
        for ((caller, letter), name) in setting.callers.iter().zip(letters.chars()).zip(WHO) {
            setting.restore(route);
            let expected = match letter {
                'y' => *status,
                'n' => 401,
                'm' => 403,
                _ => 404,
            };
            let answer = ask(caller, &setting.server, route, &setting.path(route), more);
            if answer.status != expected {
                wrong.push(format!(
                    "{route} by {name}: {} for {expected}: {}",
                    answer.status,
                    answer.text()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn somebody_elses_site_is_to_the_byte_what_an_unknown_one_is() {
    let setting = setting();
    let server = &setting.server;
    let (mia, read_mia) = (&setting.callers[1], &setting.callers[7]);
    let (tom_share, _) = share(server, "tom", json!({}));
    let routes = TABLE.iter().filter(|(route, ..)| route.contains("{site}"));
    let mut asked = 0;
    for (route, more, ..) in routes {
        for caller in [mia, read_mia] {
            let path = |site: &str| {
                setting.path(&route.replace("{site}", site).replace("{id}", &tom_share))
            };
            let of = |site: &str| {
                let mut answer = ask(caller, server, route, &path(site), more);
                answer
                    .headers
                    .retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
                // Their order varies.
                answer.headers.sort();
                (
                    answer.status,
                    answer.headers,
                    String::from_utf8(answer.body).unwrap(),
                )
            };
            let (tom, ghost, no_name) = (of("tom"), of("ghost"), of("no%20name%3F"));
            assert_eq!(tom, ghost, "{route}");
            assert_eq!(tom, no_name, "{route}");
            assert_eq!(tom.0, 404, "{route}: {}", tom.2);
            // The same as an operator gets for an unknown site.
            if route.starts_with("GET") {
                let unknown = ask(&operator(), server, route, &path("ghost"), more);
                assert_eq!(String::from_utf8(unknown.body).unwrap(), tom.2, "{route}");
            }
            asked += 1;
        }
    }
    assert_eq!(asked, 28);
    let listed = |caller: &Caller| caller.json(server, "GET", "/api/v1/sites", "")["rows"].clone();
    for caller in [mia, read_mia] {
        let rows = listed(caller);
        assert_eq!(
            rows,
            json!([{"site":"mia","zone":"UTC","hosts":["mia.example"],"aliases":[],"alias_count":0,"embed":["https://mia.example"],"max_amount":null,"keep_days":761}])
        );
    }
    assert_eq!(listed(&operator()).as_array().unwrap().len(), 2);
}
