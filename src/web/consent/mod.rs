//! The consent question, on the page's own origin: what is asked, what was answered, and how to change it.
//!
//! Every path also answers below a profile's own (`/u/mia/ff/consent`), where the visit cookie of that profile reaches it.

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

/// The banner, built from tracker/src/banner. `web::scripts` sends it: it is the same for everybody, and what it asks is not in it.
pub const BANNER: &str = include_str!("../../../tracker/dist/consent.js");

/// What the question needs.
pub struct Asking {
    pub clock: Clock,
    pub terms: Arc<Terms>,
    pub ledger: Ledger,
    pub texts: Texts,
    /// Of what people are shown.
    pub digests: Digests,
    pub notices: Vec<Notice>,
    pub consent: Consent,
    pub policy: Policy,
    pub well_known: WellKnown,
    pub origins: Origins,
    pub rates: Arc<Rates>,
    pub registry: Arc<Registry>,
    /// The visit cookie's name and seconds of life, in the mode that sets one.
    pub visit_cookie: Option<(String, u64)>,
    pub bi: Option<BiGate>,
    pub prefix: String,
    pub deadline: Duration,
}

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
    /// An answer about consent is nobody else's: it is never kept by a cache.
    fn answer(&self) -> HttpResponseBuilder {
        let mut answer = HttpResponse::Ok();
        self.mark(&mut answer);
        answer
    }

    fn mark(&self, answer: &mut HttpResponseBuilder) {
        answer.insert_header((CACHE_CONTROL, "no-store"));
        if self.well_known.tk {
            // "Not tracking": what is counted is never joined over sites, and with DNT nothing is.
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

    /// Takes the visit cookie out of the browser; `path` is that of the page the choice was made on.
    fn forget_visits(&self, request: &HttpRequest, path: &str) -> Option<String> {
        let (name, _) = self.visit_cookie.as_ref()?;
        let url = format!("https://{}{path}", self.origins.host(request));
        let page = Page::parse(&url).ok()?;
        let hosts = self.registry.directory.hosts();
        let path = hosts.resolve(page.host(), page.lookup_path()).map_or("/", |site| site.path);
        Some(crate::consent::expired(name, path))
    }
}
