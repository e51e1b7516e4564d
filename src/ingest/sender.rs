//! Who a hit is attributed to: the connection's client, or the visitor named by a server that holds
//! the site's token.
//!
//! Any client can write any address and agent into a body, so these claims are ignored without the
//! token. With the token, only the claims count, because the server itself is not a visitor.

use std::net::IpAddr;
use std::rc::Rc;

use crate::config::{TrackerDialect, VisitorMode};
use crate::consent::HitCaller;
use crate::enrich::ClientClass;

/// What a body claims about its sender. Deliberately without `Debug`.
#[derive(Default)]
pub(super) struct SenderClaims {
    pub(super) token: Option<String>,
    pub(super) address: Option<IpAddr>,
    pub(super) agent: Option<String>,
}

/// The product that sent hits, and each hit's claims about its sender.
#[derive(Clone, Copy)]
pub(super) struct ThirdPartyClaims<'c> {
    /// Product whose tracker sent the hits.
    pub(super) dialect: TrackerDialect,
    /// One per hit, in the order of the hits.
    pub(super) claims: &'c [Rc<SenderClaims>],
}

/// The visitor that a hit is attributed to.
pub(super) struct HitSender<'a> {
    /// Address, agent, signals and choice, as the gate needs them.
    pub(super) caller: HitCaller<'a>,
    /// Browser and device classes derived from the agent.
    pub(super) client: ClientClass,
    /// Key of the rate limit, derived from the network.
    pub(super) network: u64,
    /// How the visitor is recognised; `None` where visitors cannot be distinguished.
    pub(super) mode: VisitorMode,
}
