//! Decides who a hit is attributed to: the connection's client, or the visitor named by a server
//! that holds the site's token.
//!
//! A stranger can write any address and agent into a body, so these claims are ignored without the
//! token. With the token, only the claims count, because the server itself is not a visitor.

use std::net::IpAddr;
use std::rc::Rc;

use crate::config::{Dialect, Hosts, Site, VisitorMode};
use crate::enrich::{Client, Page};
use crate::event::{Address, Agent, Caller, Ground, Hints};
use crate::ingest::edge::Edge;
use crate::ingest::fields::Fields;

/// What a body claims about its sender. Deliberately without `Debug`.
#[derive(Default)]
pub(in crate::ingest) struct Claims {
    pub(super) token: Option<String>,
    pub(super) address: Option<IpAddr>,
    pub(super) agent: Option<String>,
}

/// The product that sent hits, and each hit's claims about its sender.
#[derive(Clone, Copy)]
pub(in crate::ingest) struct Foreign<'c> {
    /// Product whose tracker sent the hits.
    pub(in crate::ingest) dialect: Dialect,
    /// One per hit, in the order of the hits.
    pub(in crate::ingest) claims: &'c [Rc<Claims>],
}

/// The site of a hit, its legal basis, and whether a server of the site vouches for its claims.
pub(in crate::ingest) struct Standing<'p> {
    /// `None` if the hit belongs to no site or cannot come from its page.
    pub(in crate::ingest) site: Option<Site<'p>>,
    /// Legal basis on which the hit may be counted.
    pub(in crate::ingest) ground: Ground,
    /// Whether the request carries a valid server token of the site.
    pub(in crate::ingest) server: bool,
}

/// The visitor that a hit is attributed to.
pub(in crate::ingest) struct Sender<'a> {
    /// Address, agent and signals, as the gate needs them.
    pub(in crate::ingest) caller: Caller<'a>,
    /// Browser and device classes derived from the agent.
    pub(in crate::ingest) client: Client,
    /// Key of the rate limit, derived from the network.
    pub(in crate::ingest) network: u64,
    /// How the visitor is recognised; `None` where visitors cannot be distinguished.
    pub(in crate::ingest) mode: VisitorMode,
}

impl Edge {
    /// The site of the page, if it accepts this product's hits. A server may use any host of the
    /// collector, because its token names the site (for GoatCounter, the host is the page's). An
    /// `Origin` is checked against the page even so: a token that leaked into a page is not a
    /// server.
    pub(in crate::ingest) fn foreign<'p>(
        &self,
        hosts: &Hosts,
        fields: &Fields<'_>,
        peer: IpAddr,
        page: &'p Page<'_>,
        (dialect, claims): (Dialect, &Claims),
    ) -> Standing<'p> {
        let nobodys = Standing { site: None, ground: Ground::ConsentCookie, server: false };
        let Some(site) = hosts.resolve(page.host(), page.lookup_path()) else { return nobodys };
        let Some(accepted) = self.compatible.of(dialect, site.id) else { return nobodys };
        let tokens = [fields.bearer, claims.token.as_deref()];
        let server = tokens.into_iter().flatten().any(|token| accepted.is_server(token));
        let sent = fields.sent_by(page.host()) && (server || self.sent_to_strictly(fields, peer, page.host()));
        Standing { site: sent.then_some(site), ground: accepted.ground, server }
    }

    /// The visitor that a server speaks of. Signals and cookies are the request's, because a server
    /// forwards those of its visitor.
    pub(in crate::ingest) fn spoken_of<'a>(
        &self,
        fields: &'a Fields<'a>,
        sender: &Sender<'a>,
        claims: &'a Claims,
    ) -> Sender<'a> {
        let (agent, known) = match &claims.agent {
            Some(agent) => (Agent::new(agent), true),
            None => (Agent::new(""), false),
        };
        let client = self.enricher.client(&agent, &Hints::default());
        let network = match claims.address {
            Some(address) => self.rates.network(&Address::new(address)),
            None => sender.network,
        };
        // Without address and agent, visitors cannot be told apart; and a visit cookie would be the
        // server's, not the browser's.
        let told_apart = known && claims.address.is_some() && self.mode == VisitorMode::KeyedHash;
        let address = Address::new(claims.address.unwrap_or(IpAddr::from([0, 0, 0, 0])));
        let no_person = (known && client.bot) || self.enricher.data_centres().hold(&address);
        let caller = Caller {
            at: sender.caller.at,
            address,
            agent,
            hints: Hints::default(),
            language: None,
            cookies: &fields.cookies,
            signals: fields.signals(),
            known_bot: no_person,
        };
        let mode = if told_apart { VisitorMode::KeyedHash } else { VisitorMode::None };
        Sender { caller, client, network, mode }
    }
}
