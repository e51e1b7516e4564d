//! The preset openedlink promises that a BI dashboard opens for an admin with a grant of analytics
//! only. Shown from the grant to the figures: the gate gives the URL, and the BI tool behind it
//! reads the views with its token.

use serde_json::{Value, json};

use super::{DAY_MILLIS, PUBLISHED_AFTER, USUAL, make_token, port_of, query, rows, visit_with};
use crate::consent::{ask, cookie};
use crate::support::{CONSENT_VERSION, NOON, SITES, Server, signed};

const PLATFORM_KEY: &str = "a secret of thirty-two characters";
const BI_SECRET: &str = "the secret of the BI tool";

#[test]
fn with_openedlink_a_dashboard_opens_for_an_admin_with_a_grant_and_shows_the_figures() {
    let (key, secret) = (
        format!("platform.token_key=\"{PLATFORM_KEY}\""),
        format!("bi.secret=\"{BI_SECRET}\""),
    );
    let own = [
        "preset=\"openedlink\"",
        "platform.token_algorithm=HS256",
        &key,
        &secret,
        "bi.url=https://bi.example/embed/dashboard/{token}",
        "bi.dashboard=7",
    ];
    let server = Server::start_with(SITES, &[&USUAL[..], &own].concat());
    for person in 0..12 {
        let grant = signed(
            "openedlink",
            CONSENT_VERSION,
            "analytics",
            &format!("{person:032x}"),
        );
        visit_with(&server, person, &format!("ol_cookie_consent={grant}"));
    }
    server.publish(NOON + PUBLISHED_AFTER);
    let (_, token) = make_token(&server, &["bi"], None);
    let port = port_of(&server, "http");

    // The BI tool's side: it shows a dashboard only by a URL that the gate signed.
    let dashboard = |answer: &crate::support::Answer| -> Option<Vec<String>> {
        let said: Value = serde_json::from_slice(&answer.body).ok()?;
        let signed = said["url"].as_str()?.rsplit_once('/')?.1.to_owned();
        let key = jsonwebtoken::DecodingKey::from_secret(BI_SECRET.as_bytes());
        let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
        rules.validate_exp = false;
        let claims = jsonwebtoken::decode::<Value>(&signed, &key, &rules)
            .ok()?
            .claims;
        assert_eq!(claims["resource"]["dashboard"], 7);
        let sql = "SELECT site, day, visitors FROM daily_totals ORDER BY day";
        Some(rows(port, &token, sql))
    };

    let now = NOON + DAY_MILLIS + PUBLISHED_AFTER;
    let claims = json!({"iss":"platform","aud":"footfall","role":"admin","exp":now / 1000 + 60});
    let key = jsonwebtoken::EncodingKey::from_secret(PLATFORM_KEY.as_bytes());
    let admin = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
    let admin = format!("Bearer {admin}");
    let now = now.to_string();
    let gate = |cookies: &str| {
        let fields = [
            ("Authorization", &*admin),
            ("Cookie", cookies),
            ("X-Footfall-Now", &*now),
        ];
        ask(&mut server.client(), "GET", "/ff/gate/bi", "", &fields)
    };

    let choose = |body: &str, cookies: &str| {
        let fields = [("Cookie", cookies), ("X-Footfall-Now", &*now)];
        let answer = ask(&mut server.client(), "POST", "/ff/consent", body, &fields);
        assert_eq!(answer.status, 200, "{}", answer.text());
        cookie(&answer)
    };
    let act = |act: &str, tiers: Value| {
        json!({"version": CONSENT_VERSION, "act": act, "tiers": tiers, "lang": "en", "layer": "first", "path": "/u/mia"})
            .to_string()
    };
    let none = json!({"version": CONSENT_VERSION, "act": "refuse", "lang": "en", "layer": "first", "path": "/u/mia"}).to_string();

    let closed = gate("none=1");
    assert_eq!(
        (closed.status, dashboard(&closed)),
        (403, None),
        "no choice"
    );
    let refused = choose(&none, "none=1");
    let closed = gate(&refused);
    assert_eq!((closed.status, dashboard(&closed)), (403, None), "refused");

    let granted = choose(
        &act("grant", json!({"analytics": true, "marketing": false})),
        "none=1",
    );
    let open = gate(&granted);
    assert_eq!(open.status, 200, "{}", open.text());
    assert_eq!(
        dashboard(&open),
        Some(vec!["mia\t2026-03-10\t12".to_owned()])
    );

    let withdraw = none.replace("\"refuse\"", "\"withdraw\"");
    choose(&withdraw, &granted);
    let closed = gate(&granted);
    assert_eq!(
        (closed.status, dashboard(&closed)),
        (403, None),
        "withdrawn"
    );
    assert_eq!(query(port, "", "SELECT 1").status, 403);
}
