//! The consent prompt, on the page's own origin: its text, the stored answer, and how to change it.
//!
//! Every path also exists below a profile's own (`/u/mia/ff/consent`), where the profile's visit
//! cookie is sent.

mod bi;
mod choose;
mod me;
mod notices;
mod receipt;
mod state;
mod well_known;

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, HeaderName};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};

use crate::clock::Clock;
use crate::config::{Consent, Policy, WellKnown};
use crate::consent::texts::{Language, Texts};
use crate::consent::versions::Notice;
use crate::consent::{Stored, Terms};
use crate::enrich::Page;
use crate::http::{Origins, Rates};
use crate::ledger::{Digests, Ledger};
use crate::registry::Registry;

pub use bi::BiGate;

/// The banner's script, built from tracker/src/banner and served by `web::scripts`. It is the same
/// for all; what it asks is fetched separately.
pub const BANNER: &str = include_str!("../../../tracker/dist/consent.js");

/// The service behind the consent prompt.
pub struct Asking {
    /// Time of all records.
    pub clock: Clock,
    /// Tiers, versions and cookies: what an answer means.
    pub terms: Arc<Terms>,
    /// The record of all answers.
    pub ledger: Ledger,
    /// Texts in all languages.
    pub texts: Texts,
    /// Digests of what visitors are shown, for the records.
    pub digests: Digests,
    /// New versions that the platform notifies its account holders of.
    pub notices: Vec<Notice>,
    /// `[consent]` of the configuration.
    pub consent: Consent,
    /// `[policy]` of the configuration.
    pub policy: Policy,
    /// `[well_known]` of the configuration.
    pub well_known: WellKnown,
    /// Compares origins and reads addresses behind trusted proxies.
    pub origins: Origins,
    /// Rate limits by network.
    pub rates: Arc<Rates>,
    /// Sites, to resolve the path of a visit cookie.
    pub registry: Arc<Registry>,
    /// Name and lifetime in seconds of the visit cookie, in the mode that sets one.
    pub visit_cookie: Option<(String, u64)>,
    /// The gate in front of a BI tool, if configured.
    pub bi: Option<BiGate>,
    /// Path prefix of the collector's routes.
    pub prefix: String,
    /// Time for a request's body to arrive.
    pub deadline: Duration,
}

/// Registers the prompt's routes, at the root and below profiles.
pub fn routes(asking: &Asking, config: &mut web::ServiceConfig) {
    for under in ["", "/{under:.+}"] {
        let path = |rest: &str| format!("{under}{}/{rest}", asking.prefix);
        config
            .route(&path("consent"), web::get().to(state::get))
            .route(&path("consent"), web::post().to(choose::post))
            .route(&path("consent/receipt"), web::get().to(receipt::get))
            .route(&path("me"), web::get().to(me::get))
            .route(&path("me.css"), web::get().to(me::style))
            .route(&path("me/withdraw"), web::post().to(me::withdraw));
    }

    if asking.bi.is_some() {
        config.route(&format!("{}/gate/bi", asking.prefix), web::get().to(bi::get));
    }
    config.route("/api/v1/notices", web::get().to(notices::list));
    well_known::routes(&asking.well_known, config);
}

impl Asking {
    /// An answer about consent, which caches must not keep.
    fn answer(&self) -> HttpResponseBuilder {
        let mut answer = HttpResponse::Ok();
        self.mark(&mut answer);
        answer
    }

    fn mark(&self, answer: &mut HttpResponseBuilder) {
        answer.insert_header((CACHE_CONTROL, "no-store"));
        if self.well_known.tk {
            // "Not tracking": counts are never joined across sites, and with DNT nothing is
            // counted.
            answer.insert_header((HeaderName::from_static("tk"), "N"));
        }
    }

    fn language<'t>(&'t self, request: &HttpRequest, tag: &str) -> &'t Language {
        let accept = request.headers().get(actix_web::http::header::ACCEPT_LANGUAGE).and_then(crate::http::text);
        self.texts.pick(tag, accept.unwrap_or(""))
    }

    fn stored<'r>(&self, request: &'r HttpRequest) -> Option<Stored<'r>> {
        self.terms.stored(&Origins::cookies(request))
    }

    /// Expires the browser's visit cookie. `path` is that of the page where the choice was made.
    fn forget_visits(&self, request: &HttpRequest, path: &str) -> Option<String> {
        let (name, _) = self.visit_cookie.as_ref()?;
        let url = format!("https://{}{path}", self.origins.host(request));
        let page = Page::parse(&url).ok()?;
        let hosts = self.registry.directory.hosts();
        let path = hosts.resolve(page.host(), page.lookup_path()).map_or("/", |site| site.path);
        Some(crate::consent::expired(name, path))
    }
}
