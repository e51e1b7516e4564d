//! From the header and the body of a request to pseudonymised events. Synchronous, so that no
//! personal data outlives the call.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::compat::{Claims, Foreign, Sender, Standing};
use super::fields::Fields;
use super::{NotTaken, unavailable};
use crate::aggregate::Caps;
use crate::clock::Clock;
use crate::config::{Compatible, Config, Dialect, Directory, Hosts, Proxies, Site, VisitorMode};
use crate::consent::{Gate, expired};
use crate::enrich::{Client, Enricher, Page, UrlError, event_name, link};
use crate::event::{Address, Caller, Detail, Ground, Kind, Payload, Problem, RawHit, SiteId, most_minor};
use crate::http::{Rates, host_name};
use crate::journal::Inbox;
use crate::pseudonym::{DayKeys, Event, seal};

/// The parts that a hit passes through.
pub struct Edge {
    /// Time of all hits.
    pub clock: Clock,
    /// Sites and hosts in force.
    pub directory: Arc<Directory>,
    /// Reverse proxies whose forwarding headers are trusted.
    pub proxies: Proxies,
    /// Rate limits by network and site.
    pub rates: Arc<Rates>,
    /// Turns page, referrer, agent and address into attributes.
    pub enricher: Arc<Enricher>,
    /// Decides whether a hit may be counted.
    pub gate: Gate,
    /// Rules for hits of other products' trackers.
    pub compatible: Compatible,
    /// Keys of the current days, for pseudonyms.
    pub keys: Arc<DayKeys>,
    /// Queue of the journal's writer.
    pub inbox: Arc<Inbox>,
    /// How visitors are recognised (`visitor.mode`).
    pub mode: VisitorMode,
    /// Memory limits of the aggregation, for the preview.
    pub caps: Caps,
    /// The visit cookie's `Set-Cookie` value up to `Path=`, which is the profile's.
    pub visit_cookie: String,
    /// Longest body, in bytes.
    pub body_bytes: usize,
    /// Most hits in one body.
    pub batch_hits: usize,
    /// Most header fields.
    pub headers: usize,
    /// Longest header, in bytes.
    pub header_bytes: usize,
    /// Largest amount of one event in euros, or as much in another currency, for sites without a
    /// bound of their own.
    pub max_amount: u32,
    /// Time for the whole body to arrive.
    pub deadline: Duration,
}

impl Edge {
    /// The `Set-Cookie` value of `visitor.mode = "flag_cookie"`, up to its path. It is the same for
    /// all visitors.
    pub fn visit_cookie(config: &Config) -> String {
        let cookie = &config.visitor.cookie;
        format!("{}=1; Max-Age={}; Secure; HttpOnly; SameSite=Lax; Path=", cookie.name, cookie.max_age_secs)
    }
}

/// The result of pseudonymising a request's hits.
pub(super) struct Sealed {
    pub(super) events: Vec<Event>,
    /// The visit cookie to set, for a visitor who came without it.
    pub(super) cookie: Option<String>,
    /// Positions of the hits whose URL cannot be parsed.
    pub(super) no_page: Vec<usize>,
}

impl Edge {
    pub(super) fn check_size(&self, fields: &Fields<'_>) -> Result<(), Problem> {
        if fields.count > self.headers || fields.bytes > self.header_bytes {
            let accepted = format!("at most {} header fields of {} bytes together", self.headers, self.header_bytes);
            return Err(Problem::new(431, "header_too_large", "The header is too large").detail(accepted));
        }
        if fields.encoded {
            let accepted = "send the hit without Content-Encoding";
            return Err(Problem::new(415, "encoded_body", "Encoded bodies are not read").detail(accepted));
        }
        Ok(())
    }

    /// Pseudonymises all hits that may be counted. A hit with an unreadable URL is left out and
    /// does not affect the others.
    pub(super) fn seal(
        &self,
        fields: &Fields<'_>,
        peer: IpAddr,
        hits: Vec<Payload<'_>>,
        foreign: Option<Foreign<'_>>,
    ) -> Sealed {
        let urls: Vec<_> = hits.iter().map(|hit| hit.url.clone()).collect();
        let pages: Vec<Result<Page<'_>, UrlError>> = urls.iter().map(|url| Page::parse(url)).collect();
        let sender = self.sender(fields, peer);
        let hosts = self.directory.hosts();

        let mut sealed = Sealed { events: Vec::with_capacity(hits.len()), cookie: None, no_page: Vec::new() };
        for (place, (mut payload, page)) in hits.into_iter().zip(&pages).enumerate() {
            let Ok(page) = page else {
                sealed.no_page.push(place);
                continue;
            };
            let said = foreign.map(|foreign| (foreign.dialect, &*foreign.claims[place]));
            let Standing { site, ground, server } = self.standing(&hosts, fields, peer, page, said);
            self.bound(&mut payload, site, &hosts);
            let visitor = said.filter(|_| server).map(|(_, claims)| self.spoken_of(fields, &sender, claims));
            let Sender { caller, client, network, mode } = visitor.as_ref().unwrap_or(&sender);
            let over_rate = self.rates.exceeded(*network, site.map_or(SiteId::PLATFORM, |site| site.id));
            let raw = RawHit { caller, payload, site, ground, over_rate };
            match self.admit(raw, page, &hosts, *client, *mode) {
                Some((event, site)) => {
                    self.directory.names().saw(site.id, || hosts.profile_name(page.host(), page.lookup_path()));
                    self.add(&mut sealed, event, site);
                }
                None if sealed.cookie.is_none() => sealed.cookie = self.stale_cookie(caller, site, ground),
                None => {}
            }
        }
        sealed
    }

    /// Anyone can send an amount. One over the site's bound is not added up, only counted as such.
    fn bound(&self, payload: &mut Payload<'_>, site: Option<Site<'_>>, hosts: &Hosts) {
        if let (Detail::Money(minor, currency), Some(site)) = (&payload.detail, site) {
            let most = hosts.max_amount(site.id).unwrap_or(self.max_amount);
            if *minor > most_minor(most, currency) {
                payload.detail = Detail::Over(*currency);
            }
        }
    }

    fn add(&self, sealed: &mut Sealed, mut event: Event, site: Site<'_>) {
        if event.without_cookie == Some(true) && !matches!(event.kind, Kind::Leave | Kind::Vital | Kind::Fault) {
            // A body has one visitor: later hits come from the visitor who was just counted.
            event.without_cookie = Some(sealed.cookie.is_none());
            sealed.cookie.get_or_insert_with(|| format!("{}{}", self.visit_cookie, site.path));
        }
        sealed.events.push(event);
    }

    fn standing<'p>(
        &self,
        hosts: &Hosts,
        fields: &Fields<'_>,
        peer: IpAddr,
        page: &'p Page<'_>,
        said: Option<(Dialect, &Claims)>,
    ) -> Standing<'p> {
        match said {
            None => Standing { site: self.site(hosts, fields, peer, page), ground: Ground::Asked, server: false },
            Some(said) => self.foreign(hosts, fields, peer, page, said),
        }
    }

    /// Returns when the counts are on disk.
    pub(super) async fn put(&self, events: Vec<Event>) -> Result<(), NotTaken> {
        if !events.is_empty() {
            let ticket = self.inbox.submit(events.into_iter()).map_err(unavailable)?;
            ticket.on_disk().await.map_err(unavailable)?;
        }
        Ok(())
    }

    fn sender<'a>(&self, fields: &'a Fields<'a>, peer: IpAddr) -> Sender<'a> {
        let (caller, client) = self.caller(fields, peer);
        Sender { network: self.rates.network(&caller.address), caller, client, mode: self.mode }
    }

    pub(super) fn caller<'a>(&self, fields: &'a Fields<'a>, peer: IpAddr) -> (Caller<'a>, Client) {
        let address = Address::new(self.proxies.client(peer, fields.forwarded.iter().copied()));
        let client = self.enricher.client(&fields.agent(), &fields.hints());
        let known_bot = client.bot || self.enricher.data_centres().hold(&address);

        let caller = Caller {
            at: self.clock.now(),
            address,
            agent: fields.agent(),
            hints: fields.hints(),
            language: fields.language,
            cookies: &fields.cookies,
            signals: fields.signals(),
            known_bot,
        };
        (caller, client)
    }

    /// Expires the visit cookie of a browser that may not be counted. Scripts cannot see the
    /// cookie.
    fn stale_cookie(&self, caller: &Caller<'_>, site: Option<Site<'_>>, ground: Ground) -> Option<String> {
        Some(expired(self.gate.stale_cookie(caller, ground)?, site?.path))
    }

    /// Takes one hit through gate, enrichment and pseudonymisation. `None` if it is dropped.
    fn admit<'p>(
        &self,
        raw: RawHit<'p>,
        page: &Page<'_>,
        hosts: &Hosts,
        client: Client,
        mode: VisitorMode,
    ) -> Option<(Event, Site<'p>)> {
        let site = raw.site;
        let hit = self.gate.admit(raw).ok()?;
        let site = site?;
        let (caller, payload) = (hit.caller(), hit.payload());
        let item = item(payload, page, site, hosts);
        // A referrer on another host of the same site is treated as one on the page's own host.
        let own = is_own(hosts, site, &payload.referrer).then(|| format!("https://{}/", page.host()));
        let referrer = own.as_deref().unwrap_or(&payload.referrer);
        let facts = self.enricher.facts(page, referrer, client, &caller.address, caller.language);
        let key = self.keys.at(site.zone, caller.at);
        Some((seal(hit, site, item, facts, &key, mode), site))
    }

    /// The site of the page, if the request can come from that page at all.
    fn site<'p>(&self, hosts: &Hosts, fields: &Fields<'_>, peer: IpAddr, page: &'p Page<'_>) -> Option<Site<'p>> {
        let host = page.host();
        let sent_by_page = fields.sent_by(host) && self.sent_to(fields, peer, host);
        if sent_by_page { hosts.resolve(host, page.lookup_path()) } else { None }
    }

    /// Whether the request was sent to the page's own host. A trusted proxy may hide which host
    /// that was.
    pub(super) fn sent_to(&self, fields: &Fields<'_>, peer: IpAddr, page_host: &str) -> bool {
        let hidden = self.proxies.trusts(peer) && fields.forwarded_host.is_none();
        hidden || host_name(self.asked_host(fields, peer)).eq_ignore_ascii_case(page_host)
    }

    /// The same for hits of other products' trackers, which carry no proof of their own: a hidden
    /// host is accepted only if the proxy's upstream name is one that browsers cannot ask for.
    pub(super) fn sent_to_strictly(&self, fields: &Fields<'_>, peer: IpAddr, page_host: &str) -> bool {
        let asked = host_name(self.asked_host(fields, peer));
        let is_page_host = asked.eq_ignore_ascii_case(page_host);
        self.sent_to(fields, peer, page_host) && (is_page_host || is_internal(asked))
    }

    /// The host that the browser asked for, as far as it is known.
    pub(super) fn asked_host<'a>(&self, fields: &Fields<'a>, peer: IpAddr) -> &'a str {
        fields.forwarded_host.filter(|_| self.proxies.trusts(peer)).unwrap_or(fields.host)
    }
}

/// Whether a host name is internal to a network: an address, a single label, or below a domain that
/// cannot be registered.
fn is_internal(host: &str) -> bool {
    const DOMAINS: [&str; 9] =
        ["internal", "local", "localhost", "localdomain", "lan", "home", "corp", "intranet", "private"];
    let last = host.rsplit('.').next().unwrap_or("");
    host.starts_with('[')
        || !host.contains('.')
        || last.bytes().all(|b| b.is_ascii_digit())
        || DOMAINS.iter().any(|domain| domain.eq_ignore_ascii_case(last))
}

/// Whether a referrer is another page of the same site, which says nothing about the visit's
/// source.
fn is_own(hosts: &Hosts, site: Site<'_>, referrer: &str) -> bool {
    let of_site = |page: Page<'_>| hosts.is_page_of(site.id, page.host(), page.lookup_path());
    !referrer.is_empty() && Page::parse(referrer).is_ok_and(of_site)
}

fn item(payload: &Payload<'_>, page: &Page<'_>, site: Site<'_>, hosts: &Hosts) -> Box<str> {
    let profile = |host: &str, path: &str| {
        hosts.resolve(host, path).map_or(0, |of| if of.path == "/" { 0 } else { of.path.len() })
    };
    match payload.kind {
        Kind::View | Kind::Leave | Kind::Vital | Kind::Fault => page.path_below(site.path).into(),
        Kind::Click => link(&payload.name, profile).into(),
        Kind::Event => event_name(&payload.name).into(),
    }
}
