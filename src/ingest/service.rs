//! From the header and the body of a request to pseudonymised events. Synchronous, so that no
//! personal data outlives the call.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::error::{IngestError, unavailable_error};
use super::forward::{HitSelection, RequestOrigin};
use super::headers::RequestHeaders;
use super::sender::{HitSender, SenderClaims, ThirdPartyClaims};
use super::site_match::{HostCheck, SiteMatch};
use super::visit_cookies::VisitCookies;
use crate::aggregate::AggregatorLimits;
use crate::clock::Clock;
use crate::cluster::{Cluster, PeerId};
use crate::config::{CompatibleRules, Config, TrackerDialect, VisitorMode};
use crate::consent::{Gate, HitCaller, RawHit, expired_cookie};
use crate::enrich::{ClientClass, Enricher, PageUrl, UrlError, clean_event_name, clean_link};
use crate::event::{
    ClientAddress, ClientHints, HitDetail, HitKind, HitPayload, LegalBasis, Money, Problem,
    ProblemCode, RequestCaller, ResolvedSite, SiteId, UserAgent,
};
use crate::http::{RateLimiters, TrustedProxies};
use crate::journal::{CommitError, HitQueue};
use crate::pseudonym::{DayKeys, Event, Pseudonymizer};
use crate::sites::{SiteDirectory, SiteResolver, VisitedSite};

/// The parts that a hit passes through.
pub struct IngestService {
    /// Time of all hits.
    pub clock: Clock,
    /// Sites and hosts in force.
    pub directory: Arc<SiteDirectory>,
    /// Reverse proxies whose forwarding headers are trusted.
    pub proxies: TrustedProxies,
    /// Rate limits by network and site.
    pub rates: Arc<RateLimiters>,
    /// Turns page, referrer, agent and address into attributes.
    pub enricher: Arc<Enricher>,
    /// Decides whether a hit may be counted.
    pub gate: Gate,
    /// Rules for hits of other products' trackers.
    pub compatible: CompatibleRules,
    /// Keys of the current days, for pseudonyms.
    pub keys: Arc<DayKeys>,
    /// Queue of the journal's writer.
    pub hit_queue: Arc<HitQueue>,
    /// How visitors are recognised (`visitor.mode`).
    pub mode: VisitorMode,
    /// Memory limits of the aggregation, for the preview.
    pub aggregator_limits: AggregatorLimits,
    /// The visit cookie's `Set-Cookie` value up to `Path=`, which is the profile's.
    pub visit_cookie_prefix: String,
    /// Maximum size of a body in bytes.
    pub max_body_bytes: usize,
    /// Maximum number of hits in one body.
    pub max_hits: usize,
    /// Maximum number of header fields.
    pub max_header_fields: usize,
    /// Maximum size of the header in bytes.
    pub max_header_bytes: usize,
    /// Largest amount of one event in euros, or as much in another currency, for sites without a
    /// bound of their own.
    pub max_amount: u32,
    /// Time for the whole body to arrive.
    pub body_timeout: Duration,
    /// The other collectors, if there are any.
    pub cluster: Option<Arc<Cluster>>,
    /// Names of the collector's own cookies. Other collectors are sent no others.
    pub cookie_names: [String; 2],
}

impl IngestService {
    /// The `Set-Cookie` value of `visitor.mode = "flag_cookie"`, up to its path. It is the same for
    /// all visitors.
    pub fn visit_cookie_prefix(config: &Config) -> String {
        let cookie = &config.visitor.cookie;
        format!(
            "{}=1; Max-Age={}; Secure; HttpOnly; SameSite=Lax; Path=",
            cookie.name, cookie.max_age_secs
        )
    }
}

/// A hit with a readable URL, and its site.
struct SentHit<'a> {
    /// Its position in the request.
    place: usize,
    payload: HitPayload<'a>,
    page: &'a PageUrl<'a>,
    matched: SiteMatch<'a>,
}

/// The result of pseudonymising a request's hits.
pub(super) struct PseudonymizedHits {
    pub(super) events: Vec<Event>,
    /// The visit cookies to set, for a visitor who came without them, or to delete.
    pub(super) cookies: VisitCookies,
    /// Positions of the hits whose URL cannot be parsed.
    pub(super) no_page: Vec<usize>,
    /// Positions of the hits that other collectors count, by collector.
    pub(super) remote: Vec<(PeerId, Vec<usize>)>,
}

impl PseudonymizedHits {
    fn push_remote(&mut self, owner: PeerId, place: usize) {
        match self.remote.iter_mut().find(|(known, _)| *known == owner) {
            Some((_, places)) => places.push(place),
            None => self.remote.push((owner, vec![place])),
        }
    }
}

impl IngestService {
    pub(super) fn check_headers(&self, fields: &RequestHeaders<'_>) -> Result<(), Problem> {
        if fields.field_count > self.max_header_fields || fields.byte_count > self.max_header_bytes
        {
            let accepted = format!(
                "at most {} header fields of {} bytes together",
                self.max_header_fields, self.max_header_bytes
            );
            return Err(Problem::new(ProblemCode::LargeHeader).with_detail(accepted));
        }
        if fields.has_encoded_body {
            let accepted = "send the hit without Content-Encoding";
            return Err(Problem::new(ProblemCode::EncodedBody).with_detail(accepted));
        }
        Ok(())
    }

    /// Pseudonymises all selected hits that may be counted here. A hit with an unreadable URL is
    /// left out and does not affect the others.
    pub(super) fn pseudonymize_hits(
        &self,
        fields: &RequestHeaders<'_>,
        origin: &RequestOrigin,
        hits: Vec<HitPayload<'_>>,
        foreign: Option<ThirdPartyClaims<'_>>,
        selection: &HitSelection,
    ) -> PseudonymizedHits {
        let urls: Vec<_> = hits.iter().map(|hit| hit.url.clone()).collect();
        let pages: Vec<Result<PageUrl<'_>, UrlError>> =
            urls.iter().map(|url| PageUrl::parse(url)).collect();
        let sender = self.request_sender(fields, origin);
        let mut pseudonymizer = Pseudonymizer::default();
        let hosts = self.directory.resolver();

        let mut sealed = PseudonymizedHits {
            events: Vec::with_capacity(hits.len()),
            cookies: VisitCookies::default(),
            no_page: Vec::new(),
            remote: Vec::new(),
        };
        for (place, (mut payload, page)) in hits.into_iter().zip(&pages).enumerate() {
            if !selection.contains(place) {
                continue;
            }
            let Ok(page) = page else {
                sealed.no_page.push(place);
                continue;
            };
            let said = foreign.map(|foreign| (foreign.dialect, &*foreign.claims[place]));
            let matched = self.match_site(&hosts, fields, origin, page, said);
            self.cap_amount(&mut payload, matched.site, &hosts);
            let hit = SentHit {
                place,
                payload,
                page,
                matched,
            };
            match said.filter(|_| hit.matched.is_site_server) {
                None => self.pseudonymize_hit(
                    hit,
                    &sender,
                    &mut pseudonymizer,
                    &hosts,
                    selection,
                    &mut sealed,
                ),
                Some((_, claims)) => self.pseudonymize_hit(
                    hit,
                    &self.claimed_sender(fields, &sender, claims),
                    &mut Pseudonymizer::default(),
                    &hosts,
                    selection,
                    &mut sealed,
                ),
            }
        }
        sealed
    }

    /// Pseudonymises a hit if it may be counted here.
    fn pseudonymize_hit<'s>(
        &self,
        hit: SentHit<'s>,
        sender: &'s HitSender<'s>,
        pseudonymizer: &mut Pseudonymizer<'s>,
        hosts: &SiteResolver,
        selection: &HitSelection,
        sealed: &mut PseudonymizedHits,
    ) {
        let SentHit {
            place,
            payload,
            page,
            matched: SiteMatch {
                site, legal_basis, ..
            },
        } = hit;
        let mut raw = RawHit {
            caller: &sender.caller,
            payload,
            site,
            legal_basis,
            over_rate: false,
        };
        if let Some(owner) = self.remote_owner(&raw, selection) {
            sealed.push_remote(owner, place);
            return;
        }

        raw.over_rate = self.rates.is_hit_limited(
            sender.network,
            site.map_or(SiteId::PLATFORM, |site| site.id),
        );
        match self.process_hit(raw, page, hosts, sender, pseudonymizer) {
            Some((mut event, site)) => {
                let visited = VisitedSite {
                    id: site.id,
                    at: event.at,
                    name: || hosts.profile_name(page.host(), page.lookup_path()),
                };
                let is_limited = || self.rates.is_new_site_limited(sender.network);
                if !self.directory.site_names().admit_site(visited, is_limited) {
                    event.site = SiteId::overflow_site();
                }
                self.push_event(sealed, event, site);
            }
            None => {
                if let Some(expired) = self.expired_visit_cookie(&sender.caller, site, legal_basis)
                {
                    sealed.cookies.add(expired);
                }
            }
        }
    }

    /// Anyone can send an amount. An amount over the site's bound is counted but not added up.
    fn cap_amount(
        &self,
        payload: &mut HitPayload<'_>,
        site: Option<ResolvedSite<'_>>,
        hosts: &SiteResolver,
    ) {
        if let (HitDetail::Money(amount), Some(site)) = (&payload.detail, site) {
            let most = hosts.max_amount(site.id).unwrap_or(self.max_amount);
            if amount.minor > Money::max_of_event(most, amount.currency).minor {
                payload.detail = HitDetail::MoneyOverLimit(amount.currency);
            }
        }
    }

    fn push_event(&self, sealed: &mut PseudonymizedHits, mut event: Event, site: ResolvedSite<'_>) {
        if event.without_cookie == Some(true)
            && !matches!(event.kind, HitKind::Leave | HitKind::Vital | HitKind::Fault)
        {
            // A body has one visitor of a site: the browser would have sent its cookie with the
            // site's later hits.
            let is_new = sealed.cookies.set(&self.visit_cookie_prefix, site);
            event.without_cookie = Some(is_new);
        }
        sealed.events.push(event);
    }

    fn match_site<'p>(
        &self,
        hosts: &SiteResolver,
        fields: &RequestHeaders<'_>,
        origin: &RequestOrigin,
        page: &'p PageUrl<'_>,
        claimed: Option<(TrackerDialect, &SenderClaims)>,
    ) -> SiteMatch<'p> {
        let sent_to = HostCheck::new(fields, origin.is_behind_proxy);
        match claimed {
            None => SiteMatch::find_own(&sent_to, hosts, page),
            Some((dialect, claims)) => {
                let tracker = |site| self.compatible.find_tracker(dialect, site);
                SiteMatch::find_third_party(&sent_to, hosts, page, claims.token.as_deref(), tracker)
            }
        }
    }

    /// The other collector that counts a hit. Hits that are dropped in any case stay here.
    fn remote_owner(&self, raw: &RawHit<'_>, selection: &HitSelection) -> Option<PeerId> {
        let cluster = self.cluster.as_deref()?;
        let zone = raw.site.filter(|_| selection.may_forward)?.zone;
        let request = raw.caller.request();
        let day = self.keys.get_or_create(zone, request.received_at);
        let owner = cluster.remote_owner(request.address.network(), day.span.start)?;
        (!self.gate.would_drop(raw)).then_some(owner)
    }

    /// Returns when the counts are on disk.
    pub(super) async fn store_events(&self, events: Vec<Event>) -> Result<(), IngestError> {
        self.store_hits(events).await.map_err(unavailable_error)
    }

    /// The same, with the writer's error.
    pub(super) async fn store_hits(&self, events: Vec<Event>) -> Result<(), CommitError> {
        if events.is_empty() {
            return Ok(());
        }
        let ticket = self.hit_queue.submit_hits(events.into_iter())?;
        ticket.on_disk().await
    }

    fn request_sender<'a>(
        &self,
        fields: &'a RequestHeaders<'a>,
        origin: &RequestOrigin,
    ) -> HitSender<'a> {
        let (caller, client) = self.request_caller(fields, origin);
        HitSender {
            network: self.rates.network_key(&caller.address),
            caller: self.gate.read_choice(caller),
            client,
            mode: self.mode,
        }
    }

    pub(super) fn request_caller<'a>(
        &self,
        fields: &'a RequestHeaders<'a>,
        origin: &RequestOrigin,
    ) -> (RequestCaller<'a>, ClientClass) {
        let address = origin.client_address();
        let client = self
            .enricher
            .classify_client(&fields.agent(), &fields.hints());
        let known_bot = client.bot || self.enricher.data_centres().contains_address(&address);

        let caller = RequestCaller {
            received_at: self.clock.now(),
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
    fn expired_visit_cookie(
        &self,
        caller: &HitCaller<'_>,
        site: Option<ResolvedSite<'_>>,
        ground: LegalBasis,
    ) -> Option<String> {
        Some(expired_cookie(
            self.gate.stale_visit_cookie(caller, ground)?,
            site?.path,
        ))
    }

    /// Takes one hit through gate, enrichment and pseudonymisation. `None` if it is dropped.
    fn process_hit<'p>(
        &self,
        raw: RawHit<'p>,
        page: &PageUrl<'_>,
        hosts: &SiteResolver,
        sender: &HitSender<'_>,
        pseudonymizer: &mut Pseudonymizer<'p>,
    ) -> Option<(Event, ResolvedSite<'p>)> {
        let site = raw.site;
        let hit = self.gate.admit(raw).ok()?;
        let site = site?;
        let (request, payload) = (hit.caller().request(), hit.payload());
        let item = item_name(payload, page, site, hosts);
        // A referrer on another host of the same site is treated as one on the page's own host.
        let own = is_same_site_referrer(hosts, site, &payload.referrer)
            .then(|| format!("https://{}/", page.host()));
        let referrer = own.as_deref().unwrap_or(&payload.referrer);
        let facts = self.enricher.derive_attributes(
            page,
            referrer,
            sender.client,
            &request.address,
            request.language,
        );
        let key = self.keys.get_or_create(site.zone, request.received_at);
        let event = pseudonymizer.pseudonymize(hit, site, item, facts, &key, sender.mode);
        Some((event, site))
    }

    /// The visitor that a site's server names. Signals and cookies are the request's, because the
    /// server forwards those of its visitor.
    fn claimed_sender<'a>(
        &self,
        fields: &'a RequestHeaders<'a>,
        sender: &HitSender<'a>,
        claims: &'a SenderClaims,
    ) -> HitSender<'a> {
        let (agent, known) = match &claims.agent {
            Some(agent) => (UserAgent::new(agent), true),
            None => (UserAgent::new(""), false),
        };
        let client = self
            .enricher
            .classify_client(&agent, &ClientHints::default());
        let network = match claims.address {
            Some(address) => self.rates.network_key(&ClientAddress::new(address)),
            None => sender.network,
        };
        // Without address and agent, visitors cannot be distinguished; and a visit cookie would be
        // the server's, not the browser's.
        let told_apart = known && claims.address.is_some() && self.mode == VisitorMode::KeyedHash;
        let address = ClientAddress::new(claims.address.unwrap_or(IpAddr::from([0, 0, 0, 0])));
        let no_person =
            (known && client.bot) || self.enricher.data_centres().contains_address(&address);
        let caller = RequestCaller {
            received_at: sender.caller.request().received_at,
            address,
            agent,
            hints: ClientHints::default(),
            language: None,
            cookies: &fields.cookies,
            signals: fields.signals(),
            known_bot: no_person,
        };
        let mode = if told_apart {
            VisitorMode::KeyedHash
        } else {
            VisitorMode::None
        };
        HitSender {
            caller: self.gate.read_choice(caller),
            client,
            network,
            mode,
        }
    }
}

/// Whether a referrer is another page of the same site, which does not reveal the visit's source.
fn is_same_site_referrer(hosts: &SiteResolver, site: ResolvedSite<'_>, referrer: &str) -> bool {
    let of_site = |page: PageUrl<'_>| hosts.is_page_of(site.id, page.host(), page.lookup_path());
    !referrer.is_empty() && PageUrl::parse(referrer).is_ok_and(of_site)
}

fn item_name(
    payload: &HitPayload<'_>,
    page: &PageUrl<'_>,
    site: ResolvedSite<'_>,
    hosts: &SiteResolver,
) -> Box<str> {
    let profile = |host: &str, path: &str| {
        hosts
            .resolve_page(host, path)
            .map_or(0, |of| if of.path == "/" { 0 } else { of.path.len() })
    };
    match payload.kind {
        HitKind::View | HitKind::Leave | HitKind::Vital | HitKind::Fault => {
            page.clean_path_below(site.path).into()
        }
        HitKind::Click => clean_link(&payload.name, profile).into(),
        HitKind::Event => clean_event_name(&payload.name).into(),
    }
}
