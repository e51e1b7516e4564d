//! Decides who a hit is attributed to: the connection's client, or the visitor named by a server
//! that holds the site's token.
//!
//! Any client can write any address and agent into a body, so these claims are ignored without the
//! token. With the token, only the claims count, because the server itself is not a visitor.

use std::net::IpAddr;
use std::rc::Rc;

use crate::config::{ResolvedSite, SiteResolver, TrackerDialect, VisitorMode};
use crate::enrich::{ClientClass, PageUrl};
use crate::event::{ClientAddress, ClientHints, LegalBasis, RequestCaller, UserAgent};
use crate::ingest::headers::RequestHeaders;
use crate::ingest::service::IngestService;

/// What a body claims about its sender. Deliberately without `Debug`.
#[derive(Default)]
pub(in crate::ingest) struct SenderClaims {
    pub(super) token: Option<String>,
    pub(super) address: Option<IpAddr>,
    pub(super) agent: Option<String>,
}

/// The product that sent hits, and each hit's claims about its sender.
#[derive(Clone, Copy)]
pub(in crate::ingest) struct ThirdPartyClaims<'c> {
    /// Product whose tracker sent the hits.
    pub(in crate::ingest) dialect: TrackerDialect,
    /// One per hit, in the order of the hits.
    pub(in crate::ingest) claims: &'c [Rc<SenderClaims>],
}

/// The site of a hit, its legal basis, and whether a server of the site vouches for its claims.
pub(in crate::ingest) struct SiteMatch<'p> {
    /// `None` if the hit belongs to no site or cannot come from its page.
    pub(in crate::ingest) site: Option<ResolvedSite<'p>>,
    /// Legal basis on which the hit may be counted.
    pub(in crate::ingest) legal_basis: LegalBasis,
    /// Whether the request carries a valid server token of the site.
    pub(in crate::ingest) is_site_server: bool,
}

/// The visitor that a hit is attributed to.
pub(in crate::ingest) struct HitSender<'a> {
    /// Address, agent and signals, as the gate needs them.
    pub(in crate::ingest) caller: RequestCaller<'a>,
    /// Browser and device classes derived from the agent.
    pub(in crate::ingest) client: ClientClass,
    /// Key of the rate limit, derived from the network.
    pub(in crate::ingest) network: u64,
    /// How the visitor is recognised; `None` where visitors cannot be distinguished.
    pub(in crate::ingest) mode: VisitorMode,
}

impl IngestService {
    /// The site of the page, if it accepts this product's hits. A server may use any host of the
    /// collector, because its token names the site (for GoatCounter, the host is the page's). An
    /// `Origin` is nevertheless checked against the page, so that a token that leaked into a page
    /// is of no use to browsers.
    pub(in crate::ingest) fn match_third_party_site<'p>(
        &self,
        hosts: &SiteResolver,
        fields: &RequestHeaders<'_>,
        peer: IpAddr,
        page: &'p PageUrl<'_>,
        (dialect, claims): (TrackerDialect, &SenderClaims),
    ) -> SiteMatch<'p> {
        let nobodys = SiteMatch {
            site: None,
            legal_basis: LegalBasis::ConsentCookie,
            is_site_server: false,
        };
        let Some(site) = hosts.resolve_page(page.host(), page.lookup_path()) else {
            return nobodys;
        };
        let Some(accepted) = self.compatible.find_tracker(dialect, site.id) else {
            return nobodys;
        };
        let tokens = [fields.bearer, claims.token.as_deref()];
        let server = tokens
            .into_iter()
            .flatten()
            .any(|token| accepted.is_server_token(token));
        let sent = fields.can_be_sent_by(page.host())
            && (server || self.is_sent_to_host_strictly(fields, peer, page.host()));
        SiteMatch {
            site: sent.then_some(site),
            legal_basis: accepted.legal_basis,
            is_site_server: server,
        }
    }

    /// The visitor that a site's server names. Signals and cookies are the request's, because the
    /// server forwards those of its visitor.
    pub(in crate::ingest) fn claimed_sender<'a>(
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
            received_at: sender.caller.received_at,
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
            caller,
            client,
            network,
            mode,
        }
    }
}
