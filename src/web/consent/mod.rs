//! The consent prompt, on the page's own origin: its text, the stored choice, and how to change it.
//!
//! Every path also exists below a profile's own (`/u/mia/ff/consent`), where the profile's visit
//! cookie is sent.

mod bi;
mod choice;
mod notices;
mod own_data;
mod prompt;
mod receipt;
mod well_known;

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, HeaderName};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};

use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::config::{ConsentConfig, PolicyConfig, WellKnownConfig};
use crate::consent::texts::{LanguageTexts, TextCatalog};
use crate::consent::versions::VersionNotice;
use crate::consent::{ConsentPolicy, StoredChoice};
use crate::enrich::PageUrl;
use crate::http::{OriginResolver, RateLimiters};
use crate::ledger::{Ledger, PromptDigests};
use crate::registry::Registry;

pub use bi::BiGate;

/// The banner's script, built from tracker/src/banner and served by `web::scripts`. It is the same
/// for all sites; the prompt's content is fetched separately.
pub const BANNER_SCRIPT: &str = include_str!("../../../tracker/dist/consent.js");

/// The service behind the consent prompt.
pub struct ConsentService {
    /// Time of all records.
    pub clock: Clock,
    /// Tiers, versions and cookies: the meaning of a choice.
    pub consent_policy: Arc<ConsentPolicy>,
    /// The record of all choices.
    pub ledger: Ledger,
    /// Texts in all languages.
    pub texts: TextCatalog,
    /// Digests of the texts shown to visitors, for the records.
    pub digests: PromptDigests,
    /// New versions that the platform notifies its account holders of.
    pub notices: Vec<VersionNotice>,
    /// `[consent]` of the configuration.
    pub consent_config: ConsentConfig,
    /// `[policy]` of the configuration.
    pub policy_config: PolicyConfig,
    /// `[well_known]` of the configuration.
    pub well_known_config: WellKnownConfig,
    /// Compares origins and determines addresses behind trusted proxies.
    pub origins: OriginResolver,
    /// Rate limits by network.
    pub rate_limiters: Arc<RateLimiters>,
    /// Sites, to resolve the path of a visit cookie.
    pub registry: Arc<Registry>,
    /// Name and lifetime in seconds of the visit cookie, in the mode that sets one.
    pub visit_cookie: Option<(String, u64)>,
    /// The gate in front of a BI tool, if configured.
    pub bi_gate: Option<BiGate>,
    /// Path prefix of the collector's routes.
    pub route_prefix: String,
    /// Time for a request's body to arrive.
    pub body_deadline: Duration,
    /// The other collectors, if there are any.
    pub cluster: Option<Arc<Cluster>>,
}

/// Registers the prompt's routes, at the root and below profiles.
pub fn register_routes(asking: &ConsentService, config: &mut web::ServiceConfig) {
    for under in ["", "/{under:.+}"] {
        let path = |rest: &str| format!("{under}{}/{rest}", asking.route_prefix);
        config
            .route(&path("consent"), web::get().to(prompt::get_prompt))
            .route(&path("consent"), web::post().to(choice::post_choice))
            .route(
                &path("consent/receipt"),
                web::get().to(receipt::get_receipt),
            )
            .route(&path("me"), web::get().to(own_data::get_own_data))
            .route(&path("me.css"), web::get().to(own_data::get_stylesheet))
            .route(
                &path("me/withdraw"),
                web::post().to(own_data::withdraw_consent),
            );
    }

    if asking.bi_gate.is_some() {
        config.route(
            &format!("{}/gate/bi", asking.route_prefix),
            web::get().to(bi::get_bi_url),
        );
    }
    config.route("/api/v1/notices", web::get().to(notices::list_notices));
    well_known::register_routes(&asking.well_known_config, config);
}

impl ConsentService {
    /// A response about consent, which caches must not store.
    fn response_builder(&self) -> HttpResponseBuilder {
        let mut answer = HttpResponse::Ok();
        self.add_consent_headers(&mut answer);
        answer
    }

    fn add_consent_headers(&self, answer: &mut HttpResponseBuilder) {
        answer.insert_header((CACHE_CONTROL, "no-store"));
        if self.well_known_config.tk {
            // "Not tracking": counts are never joined across sites, and with DNT nothing is
            // counted.
            answer.insert_header((HeaderName::from_static("tk"), "N"));
        }
    }

    fn pick_language<'t>(&'t self, request: &HttpRequest, tag: &str) -> &'t LanguageTexts {
        let accept = request
            .headers()
            .get(actix_web::http::header::ACCEPT_LANGUAGE)
            .and_then(crate::http::header_text);
        self.texts.negotiate_language(tag, accept.unwrap_or(""))
    }

    fn stored_choice<'r>(&self, request: &'r HttpRequest) -> Option<StoredChoice<'r>> {
        self.consent_policy
            .stored_choice(&OriginResolver::parse_cookies(request))
    }

    /// Expires the browser's visit cookie. `path` is that of the page where the choice was made.
    fn expire_visit_cookie(&self, request: &HttpRequest, path: &str) -> Option<String> {
        let (name, _) = self.visit_cookie.as_ref()?;
        let url = format!("https://{}{path}", self.origins.requested_host(request));
        let page = PageUrl::parse(&url).ok()?;
        let hosts = self.registry.directory.resolver();
        let path = hosts
            .resolve_page(page.host(), page.lookup_path())
            .map_or("/", |site| site.path);
        Some(crate::consent::expired_cookie(name, path))
    }
}
