//! `GET {prefix}/gate/bi`: the URL of an embedded BI dashboard, valid for a minute, for an admin
//! who granted analytics.

use actix_web::http::header::AUTHORIZATION;
use actix_web::{HttpRequest, HttpResponse, web};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use super::Asking;
use crate::config::Config;
use crate::event::Problem;
use crate::http::{Origins, Tokens, refuse, text};

const LIFE_SECS: i64 = 60;

/// What it takes to check an admin's token and to sign the dashboard's URL.
pub struct BiGate {
    tokens: Tokens,
    key: EncodingKey,
    url: String,
    dashboard: u32,
    role: String,
}

impl BiGate {
    /// `None` where no BI tool is configured.
    ///
    /// # Errors
    ///
    /// `platform.token_key` is not a key of `platform.token_algorithm`.
    pub fn new(config: &Config) -> Result<Option<BiGate>, jsonwebtoken::errors::Error> {
        if config.bi.url.is_empty() {
            return Ok(None);
        }
        Ok(Some(BiGate {
            tokens: Tokens::new(&config.platform)?,
            key: EncodingKey::from_secret(config.bi.secret.expose().as_bytes()),
            url: config.bi.url.clone(),
            dashboard: config.bi.dashboard,
            role: config.bi.role.clone(),
        }))
    }
}

pub(super) async fn get(request: HttpRequest, asking: web::Data<Asking>) -> HttpResponse {
    match asking.bi_url(&request) {
        Some(url) => asking.answer().json(json!({"url": url, "expires_in": LIFE_SECS})),
        None => {
            let problem = Problem::new(403, "not_allowed", "The dashboard cannot be opened").detail(
                "it takes the platform's token of the right role and a live grant of analytics at the current version",
            );
            refuse(&problem, None).await
        }
    }
}

impl Asking {
    fn bi_url(&self, request: &HttpRequest) -> Option<String> {
        let gate = self.bi.as_ref()?;
        let now = self.clock.now();
        let token = request.headers().get(AUTHORIZATION).and_then(text)?.strip_prefix("Bearer ")?;
        let admin = gate.tokens.read(token, now).is_some_and(|claims| claims.role == gate.role);
        if !admin || !self.has_live_grant(request) {
            return None;
        }
        let exp = now.div_euclid(1000) + LIFE_SECS;
        let claims = json!({"resource": {"dashboard": gate.dashboard}, "params": {}, "exp": exp});
        let token = encode(&Header::new(Algorithm::HS256), &claims, &gate.key).ok()?;
        Some(gate.url.replace("{token}", &token))
    }

    /// A grant of the current version, whatever `consent.on_version` is, because a BI tool sets
    /// cookies of its own.
    fn has_live_grant(&self, request: &HttpRequest) -> bool {
        let granted = self
            .stored(request)
            .is_some_and(|stored| stored.version == self.terms.version && stored.grants(&self.consent.analytics_tier));
        granted && self.terms.signal(&Origins::signals(request)).is_none()
    }
}
