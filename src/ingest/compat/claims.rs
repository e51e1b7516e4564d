//! Whose word counts about who sent a hit: the connection's, or that of a server which holds the site's token.
//!
//! A stranger may write any address and agent into a body; nothing of it is looked at without the token. Then it is all that is looked
//! at: the server's own address and agent are nobody's visitor.

use std::net::IpAddr;
use std::rc::Rc;

use crate::config::{Dialect, Hosts, Site, VisitorMode};
use crate::enrich::{Client, Page};
use crate::event::{Address, Agent, Caller, Ground, Hints};
use crate::ingest::edge::Edge;
use crate::ingest::fields::Fields;

/// What a body says of its sender. Deliberately without `Debug`.
#[derive(Default)]
pub(in crate::ingest) struct Claims {
    pub(super) token: Option<String>,
    pub(super) address: Option<IpAddr>,
    pub(super) agent: Option<String>,
}

/// Where hits come from that another product's tracker sent, and what each says of its sender.
#[derive(Clone, Copy)]
pub(in crate::ingest) struct Foreign<'c> {
    pub(in crate::ingest) dialect: Dialect,
    pub(in crate::ingest) claims: &'c [Rc<Claims>],
}

/// Where a hit belongs, what it rests on, and whether a server of the site vouches for its claims.
pub(in crate::ingest) struct Standing<'p> {
    pub(in crate::ingest) site: Option<Site<'p>>,
    pub(in crate::ingest) ground: Ground,
    pub(in crate::ingest) server: bool,
}

/// Who a hit is counted to.
pub(in crate::ingest) struct Sender<'a> {
    pub(in crate::ingest) caller: Caller<'a>,
    pub(in crate::ingest) client: Client,
    /// Key of the rate limit.
    pub(in crate::ingest) network: u64,
    pub(in crate::ingest) mode: VisitorMode,
}

impl Edge {
    /// The site of the page, if it takes this product's hits. A server may ask at any host of the collector, because its token says
    /// whose it is (of GoatCounter the asked host is the page's); what a browser says of its origin is held against the page even so: a
    /// token that got into a page is no server.
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

    /// The visitor a server speaks of. Signals and cookies are the request's: a server passes on those of its visitor.
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
        // Without both nobody can be told from anybody; and a visit cookie would be the server's, not the browser's.
        let told_apart = known && claims.address.is_some() && self.mode == VisitorMode::KeyedHash;
        let caller = Caller {
            at: sender.caller.at,
            address: Address::new(claims.address.unwrap_or(IpAddr::from([0, 0, 0, 0]))),
            agent,
            hints: Hints::default(),
            language: None,
            cookies: &fields.cookies,
            signals: fields.signals(),
            known_bot: known && client.bot,
        };
        let mode = if told_apart { VisitorMode::KeyedHash } else { VisitorMode::None };
        Sender { caller, client, network, mode }
    }
}
