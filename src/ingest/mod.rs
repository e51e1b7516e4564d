//! Stage 1: the HTTP edge of a hit. Reads the request within its limits, makes [`RawHit`]s, sends what the gate admits down the way, and
//! answers when the counts are on disk.
//!
//! Counted, dropped and repeated hits get the same answer to the byte, so that a page learns nothing from it.

mod limit;
mod signals;
mod wire;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{
    ACCEPT_LANGUAGE, CONTENT_ENCODING, COOKIE, HOST, HeaderMap, HeaderName, ORIGIN, SET_COOKIE, USER_AGENT,
};
use actix_web::{HttpRequest, HttpResponse, web};

pub use limit::Rates;

use crate::clock::Clock;
use crate::config::{Config, Hosts, Proxies, Site, VisitorMode};
use crate::consent::Gate;
use crate::enrich::{Client, Enricher, Page, event_name, link};
use crate::event::{Address, Agent, Caller, Hints, Kind, Payload, Problem, RawHit};
use crate::http::{BodyError, read, refuse, text, without_port};
use crate::journal::{Inbox, Unavailable};
use crate::pseudonym::{DayKeys, Event, seal};

const SEC_CH_UA: HeaderName = HeaderName::from_static("sec-ch-ua");
const SEC_CH_UA_MOBILE: HeaderName = HeaderName::from_static("sec-ch-ua-mobile");
const SEC_CH_UA_PLATFORM: HeaderName = HeaderName::from_static("sec-ch-ua-platform");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The parts a hit passes through.
pub struct Edge {
    pub clock: Clock,
    pub hosts: Arc<Hosts>,
    pub proxies: Proxies,
    pub rates: Arc<Rates>,
    pub enricher: Arc<Enricher>,
    pub gate: Gate,
    pub keys: Arc<DayKeys>,
    pub inbox: Arc<Inbox>,
    pub mode: VisitorMode,
    /// Without its `Path`, which is the profile's.
    pub visit_cookie: String,
    pub body_bytes: usize,
    pub batch_hits: usize,
    pub headers: usize,
    pub header_bytes: usize,
    pub deadline: Duration,
}

impl Edge {
    /// The `Set-Cookie` of `flag_cookie`: the same value for everybody.
    pub fn visit_cookie(config: &Config) -> String {
        let cookie = &config.visitor.cookie;
        format!("{}=1; Max-Age={}; Secure; HttpOnly; SameSite=Lax; Path=", cookie.name, cookie.max_age_secs)
    }
}

/// `POST {prefix}/hit`.
pub async fn hit(request: HttpRequest, mut payload: web::Payload, edge: web::Data<Edge>) -> HttpResponse {
    match accept(&request, &mut payload, &edge).await {
        Ok(new_visit_of) => {
            let mut answer = HttpResponse::Accepted();
            if let Some(path) = new_visit_of {
                answer.insert_header((SET_COOKIE, format!("{}{path}", edge.visit_cookie)));
            }
            answer.finish()
        }
        Err(NotTaken { problem, unread }) => refuse(&problem, unread.then_some((&mut payload, edge.deadline))).await,
    }
}

/// Why a request was not taken, as opposed to dropped.
struct NotTaken {
    problem: Problem,
    /// The body is unread.
    unread: bool,
}

async fn accept(request: &HttpRequest, payload: &mut web::Payload, edge: &Edge) -> Result<Option<Box<str>>, NotTaken> {
    let headers = request.headers();
    edge.check_headers(headers)?;
    let body = read(payload, edge.body_bytes, edge.deadline).await.map_err(|error| not_read(error, edge.body_bytes))?;
    let hits = wire::parse(&body, edge.batch_hits)?;
    let (caller, client) = edge.caller(request);
    let network = edge.rates.network(&caller.address);
    let mut new_visit_of = None;
    let mut events = Vec::with_capacity(hits.len());
    for hit in hits {
        if let Some((event, path)) = edge.event(request, &caller, client, network, hit, new_visit_of.is_none())? {
            if event.without_cookie == Some(true) && event.kind != Kind::Leave {
                new_visit_of = Some(path);
            }
            events.push(event);
        }
    }
    if events.is_empty() {
        return Ok(None);
    }
    // The header and the body go here; only what may be counted waits for the disk.
    let ticket = edge.inbox.submit(events.into_iter()).map_err(unavailable)?;
    ticket.on_disk().await.map_err(unavailable)?;
    Ok(new_visit_of)
}

impl Edge {
    fn check_headers(&self, headers: &HeaderMap) -> Result<(), NotTaken> {
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if headers.len() > self.headers || bytes > self.header_bytes {
            let accepted = format!("at most {} header fields of {} bytes together", self.headers, self.header_bytes);
            return Err(unread(Problem::new(431, "header_too_large", "The header is too large").detail(accepted)));
        }
        match headers.get(CONTENT_ENCODING) {
            Some(coding) if coding.as_bytes() != b"identity" => {
                let accepted = "send the hit without Content-Encoding";
                Err(unread(Problem::new(415, "encoded_body", "Encoded bodies are not read").detail(accepted)))
            }
            _ => Ok(()),
        }
    }

    fn caller<'a>(&self, request: &'a HttpRequest) -> (Caller<'a>, Client) {
        let headers = request.headers();
        let text = |name: HeaderName| headers.get(name).and_then(text);
        let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        let forwarded: Vec<&str> = headers.get_all(FORWARDED_FOR).filter_map(crate::http::text).collect();
        let address = Address::new(self.proxies.client(peer, forwarded.iter().copied()));
        let agent = Agent::new(text(USER_AGENT).unwrap_or(""));
        let hints = Hints {
            brands: text(SEC_CH_UA),
            mobile: text(SEC_CH_UA_MOBILE),
            platform: text(SEC_CH_UA_PLATFORM),
        };
        let client = self.enricher.client(&agent, &hints);
        let caller = Caller {
            at: self.clock.now(),
            address,
            agent,
            hints,
            language: text(ACCEPT_LANGUAGE),
            cookies: text(COOKIE).unwrap_or(""),
            signals: signals::read(headers),
            known_bot: client.bot,
        };
        (caller, client)
    }

    /// One hit on its way from the wire to an event. `None`: dropped. `first` is whether no hit of this body was a new visitor yet.
    fn event(
        &self,
        request: &HttpRequest,
        caller: &Caller<'_>,
        client: Client,
        network: u64,
        payload: Payload<'_>,
        first: bool,
    ) -> Result<Option<(Event, Box<str>)>, NotTaken> {
        let url = payload.url.clone();
        let page = Page::parse(&url).map_err(|_| {
            Problem::new(400, "bad_value", "The hit cannot be read").detail("url must be an absolute http or https URL without user info")
        })?;
        let site = self.site(request, &page);
        let over_rate = self.rates.exceeded(network, site.map_or(crate::event::SiteId::PLATFORM, |site| site.id));
        let kind = payload.kind;
        let raw = RawHit { caller, payload, site, over_rate };
        let (Ok(admitted), Some(site)) = (self.gate.admit(raw), site) else { return Ok(None) };
        let path: Box<str> = site.path.into();
        let payload = admitted.payload();
        let item = match kind {
            Kind::View | Kind::Leave => page.path().into(),
            Kind::Click => link(&payload.name).into(),
            Kind::Event => event_name(&payload.name).into(),
        };
        let facts = self.enricher.facts(&page, &payload.referrer, client, &caller.address, caller.language);
        let key = self.keys.at(site.zone, caller.at);
        let mut event = seal(admitted, site, item, facts, &key, self.mode);
        if !first && event.without_cookie == Some(true) {
            event.without_cookie = Some(false);
        }
        Ok(Some((event, path)))
    }

    /// The site of the page, if the request can come from that page at all.
    fn site<'p>(&self, request: &HttpRequest, page: &'p Page<'_>) -> Option<Site<'p>> {
        let headers = request.headers();
        let host = page.host();
        let foreign = signals::foreign_origin(headers.get(ORIGIN), host) || !self.sent_to(request, host);
        if foreign { None } else { self.hosts.resolve(host, page.path()) }
    }

    /// Whether the request was sent to the page's own host. A trusted proxy may hide which host that was.
    fn sent_to(&self, request: &HttpRequest, page_host: &str) -> bool {
        let headers = request.headers();
        let behind_proxy = request.peer_addr().is_some_and(|peer| self.proxies.trusts(peer.ip()));
        let forwarded = headers.get(FORWARDED_HOST).filter(|_| behind_proxy);
        if behind_proxy && forwarded.is_none() {
            return true;
        }
        let host = forwarded.or_else(|| headers.get(HOST)).and_then(text);
        host.is_some_and(|host| without_port(host).eq_ignore_ascii_case(page_host))
    }
}

fn unread(problem: Problem) -> NotTaken {
    NotTaken { problem, unread: true }
}

impl From<Problem> for NotTaken {
    fn from(problem: Problem) -> NotTaken {
        NotTaken { problem, unread: false }
    }
}

fn not_read(error: BodyError, most: usize) -> NotTaken {
    let problem = match error {
        BodyError::TooLarge => {
            Problem::new(413, "body_too_large", "The body is too large").detail(format!("at most {most} bytes"))
        }
        BodyError::TooSlow => Problem::new(408, "body_too_slow", "The body did not arrive in time"),
        BodyError::Broken => Problem::new(400, "bad_body", "The body cannot be read"),
    };
    unread(problem)
}

fn unavailable(why: Unavailable) -> NotTaken {
    let detail = match why {
        Unavailable::Crowded => "more hits wait than can be taken",
        Unavailable::Full => "the journal is full",
        Unavailable::Stopping => "the collector is stopping",
    };
    Problem::new(503, "unavailable", "The hit was not counted; send it again").detail(detail).into()
}
