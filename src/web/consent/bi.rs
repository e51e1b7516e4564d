//! `GET {prefix}/gate/bi`: the URL of an embedded BI dashboard, valid for a minute, for an admin
//! who granted analytics.

use actix_web::http::header::AUTHORIZATION;
use actix_web::{HttpRequest, HttpResponse, web};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use super::ConsentService;
use crate::config::Config;
use crate::event::{Problem, ProblemCode};
use crate::http::{OriginResolver, PlatformTokenVerifier, header_text};

const URL_LIFETIME_SECS: i64 = 60;

/// Checks an admin's token and signs the dashboard's URL.
pub struct BiGate {
    tokens: PlatformTokenVerifier,
    signing_key: EncodingKey,
    url: String,
    dashboard: u32,
    role: String,
}

impl BiGate {
    /// `None` if no BI tool is configured.
    ///
    /// # Errors
    ///
    /// `platform.token_key` is not a key of `platform.token_algorithm`.
    pub fn new(config: &Config) -> Result<Option<BiGate>, jsonwebtoken::errors::Error> {
        if config.bi.url.is_empty() {
            return Ok(None);
        }
        Ok(Some(BiGate {
            tokens: PlatformTokenVerifier::new(&config.platform)?,
            signing_key: EncodingKey::from_secret(config.bi.secret.expose_secret().as_bytes()),
            url: config.bi.url.clone(),
            dashboard: config.bi.dashboard,
            role: config.bi.role.clone(),
        }))
    }
}

pub(super) async fn get_bi_url(
    request: HttpRequest,
    asking: web::Data<ConsentService>,
) -> Result<HttpResponse, Problem> {
    let url = asking.signed_bi_url(&request).ok_or_else(|| {
        Problem::new(ProblemCode::NotPermitted).with_detail(
            "requires the platform's token of the right role and a live grant of analytics at the \
             current version",
        )
    })?;
    Ok(asking
        .response_builder()
        .json(json!({"url": url, "expires_in": URL_LIFETIME_SECS})))
}

impl ConsentService {
    fn signed_bi_url(&self, request: &HttpRequest) -> Option<String> {
        let gate = self.bi_gate.as_ref()?;
        let now = self.clock.now();
        let token = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(header_text)?
            .strip_prefix("Bearer ")?;
        let admin = gate
            .tokens
            .verify_token(token, now)
            .is_some_and(|claims| claims.role == gate.role);
        if !admin || !self.has_current_grant(request) {
            return None;
        }
        let exp = now.div_euclid(1000) + URL_LIFETIME_SECS;
        let claims = json!({"resource": {"dashboard": gate.dashboard}, "params": {}, "exp": exp});
        let token = encode(&Header::new(Algorithm::HS256), &claims, &gate.signing_key).ok()?;
        Some(gate.url.replace("{token}", &token))
    }

    /// A grant of the current version, whatever `consent.reprompt` is, because a BI tool sets
    /// cookies of its own.
    fn has_current_grant(&self, request: &HttpRequest) -> bool {
        let granted = self.stored_choice(request).is_some_and(|stored| {
            stored.version == self.consent_policy.version
                && stored.grants_tier(&self.consent_config.analytics_tier)
        });
        granted
            && self
                .consent_policy
                .signal_drop_reason(&OriginResolver::opt_out_signals(request))
                .is_none()
    }
}
