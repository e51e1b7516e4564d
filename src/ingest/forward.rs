//! Requests whose hits another collector counts.
//!
//! A collector that receives a hit of another's network passes on the request, with the client's
//! address as its own proxies establish it, in a buffer that is wiped. The other one parses the
//! request again, counts the hits at the named positions, and replies when they are on disk. A
//! request is passed on once; the other collector counts what it gets, whatever it knows of the
//! cluster.
//!
//! If the call could not be sent, the hits are taken as if they arrived now, and go to the next
//! owner. If it was sent and has no reply, they may be counted: the answer is 500
//! `unknown_outcome`, as after a failed write.

use std::net::{IpAddr, Ipv6Addr};

use futures_util::future::join_all;

use super::compat::{CompatEndpoint, ParsedHits};
use super::error::{IngestError, lost_owner_error, partly_counted_error, unavailable_error};
use super::headers::RequestHeaders;
use super::sender::ThirdPartyClaims;
use super::service::{IngestService, PseudonymizedHits};
use super::visit_cookies::VisitCookies;
use super::wire::{self, ParsedBody};
use crate::cluster::{BufferReader, CallBuffer, CallFailure, CallKind, PeerId};
use crate::event::ClientAddress;
use crate::http::TrustedProxies;
use crate::journal::CommitError;
use crate::pseudonym::Event;

/// How often hits are passed on to another owner because the former one went away.
const MAX_ATTEMPTS: u8 = 3;
/// Bytes of a request beside its body and the texts of its header.
pub(super) const MAX_OVERHEAD_BYTES: usize = 256;
/// Code of our own script's endpoint; those of other products follow it.
const NATIVE_CODE: u8 = 0;

/// Where a request comes from, as the collector that received it established.
pub(super) struct RequestOrigin {
    client: IpAddr,
    /// Whether the connection comes from a trusted proxy.
    pub(super) is_behind_proxy: bool,
}

crate::unprintable!(RequestOrigin);

impl RequestOrigin {
    pub(super) fn new(
        proxies: &TrustedProxies,
        peer: IpAddr,
        fields: &RequestHeaders<'_>,
    ) -> RequestOrigin {
        RequestOrigin {
            client: proxies.client_address(peer, fields.forwarded_for.iter().copied()),
            is_behind_proxy: proxies.is_trusted(peer),
        }
    }

    pub(super) fn client_address(&self) -> ClientAddress {
        ClientAddress::new(self.client)
    }

    pub(super) fn push_to(&self, buffer: &mut CallBuffer) {
        let address = match self.client {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        buffer.push_bytes(&address.octets());
        buffer.push_byte(u8::from(self.is_behind_proxy));
    }

    pub(super) fn read_from(from: &mut BufferReader<'_>) -> Option<RequestOrigin> {
        let address = Ipv6Addr::from(from.read_array::<16>()?);
        Some(RequestOrigin {
            client: IpAddr::V6(address).to_canonical(),
            is_behind_proxy: from.read_byte()? == 1,
        })
    }
}

/// Which hits of a request are taken.
pub(super) struct HitSelection {
    /// Their positions; `None` for all.
    places: Option<Vec<usize>>,
    /// Whether other collectors may count some of them.
    pub(super) may_forward: bool,
}

impl HitSelection {
    /// All hits of a request that a client sent.
    pub(super) const ALL: HitSelection = HitSelection {
        places: None,
        may_forward: true,
    };

    pub(super) fn contains(&self, place: usize) -> bool {
        let places = self.places.as_ref();
        places.is_none_or(|places| places.contains(&place))
    }
}

/// The endpoint that a request was sent to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HitEndpoint {
    Native,
    Compat(CompatEndpoint),
}

/// A request for hits, of a client or of another collector.
pub(super) struct HitRequest<'a> {
    pub(super) endpoint: HitEndpoint,
    pub(super) origin: RequestOrigin,
    pub(super) fields: RequestHeaders<'a>,
    /// The part of the path before the collector's prefix, without its leading slash.
    pub(super) below: &'a str,
    pub(super) query: &'a str,
    pub(super) body: &'a [u8],
}

/// A call to another collector: whose it is, and the request.
pub(super) type ForwardCall = (PeerId, CallBuffer);

impl HitRequest<'_> {
    /// The calls for the hits that other collectors count.
    pub(super) fn forward_calls(
        &self,
        remote: Vec<(PeerId, Vec<usize>)>,
        cookie_names: &[String],
    ) -> Vec<ForwardCall> {
        let call =
            |(owner, places): (PeerId, Vec<usize>)| (owner, self.to_buffer(&places, cookie_names));
        remote.into_iter().map(call).collect()
    }

    fn to_buffer(&self, places: &[usize], cookie_names: &[String]) -> CallBuffer {
        let texts = self.body.len() + self.query.len() + self.below.len();
        let room = texts + self.fields.byte_count + 4 * places.len() + MAX_OVERHEAD_BYTES;
        let mut buffer = CallBuffer::with_capacity(room);
        buffer.push_byte(match self.endpoint {
            HitEndpoint::Native => NATIVE_CODE,
            HitEndpoint::Compat(endpoint) => NATIVE_CODE + 1 + endpoint as u8,
        });
        self.origin.push_to(&mut buffer);
        self.fields.push_to(&mut buffer, cookie_names);
        buffer.push_field(self.below.as_bytes());
        buffer.push_field(self.query.as_bytes());
        buffer.push_field(self.body);
        for place in places {
            let place = u32::try_from(*place).unwrap_or(u32::MAX);
            buffer.push_bytes(&place.to_le_bytes());
        }
        buffer
    }
}

impl<'a> HitRequest<'a> {
    fn read_from(bytes: &'a [u8]) -> Option<(HitRequest<'a>, Vec<usize>)> {
        let mut from = BufferReader::new(bytes);
        let endpoint = match from.read_byte()? {
            NATIVE_CODE => HitEndpoint::Native,
            code => HitEndpoint::Compat(CompatEndpoint::from_code(code - NATIVE_CODE - 1)?),
        };
        let request = HitRequest {
            endpoint,
            origin: RequestOrigin::read_from(&mut from)?,
            fields: RequestHeaders::read_from(&mut from)?,
            below: from.read_text()?,
            query: from.read_text()?,
            body: from.read_field()?,
        };
        let (places, []) = from.rest().as_chunks::<4>() else {
            return None;
        };
        let places = places
            .iter()
            .map(|place| u32::from_le_bytes(*place) as usize);
        Some((request, places.collect()))
    }
}

/// What a collector made of a request's hits.
struct TakenHits {
    events: Vec<Event>,
    cookies: VisitCookies,
    calls: Vec<ForwardCall>,
}

impl IngestService {
    /// Answers the call of another collector: the outcome, and the visit cookies.
    pub async fn answer_forwarded(&self, request: CallBuffer) -> CallBuffer {
        let taken = self.take_hits(&request, false);
        drop(request);
        let (outcome, cookies) = match taken {
            None => (ForwardOutcome::Rejected, VisitCookies::default()),
            Some(taken) => match self.store_hits(taken.events).await {
                Ok(()) => (ForwardOutcome::OnDisk, taken.cookies),
                Err(error) => (ForwardOutcome::from_error(error), VisitCookies::default()),
            },
        };
        let mut reply = CallBuffer::with_capacity(128);
        reply.push_byte(outcome as u8);
        reply.push_bytes(cookies.to_reply().as_bytes());
        reply
    }

    /// Parses a forwarded request and pseudonymises its selected hits. `None` if it is no request.
    fn take_hits(&self, request: &CallBuffer, may_forward: bool) -> Option<TakenHits> {
        let (request, places) = HitRequest::read_from(request.as_bytes())?;
        let selection = HitSelection {
            places: Some(places),
            may_forward,
        };
        let (fields, origin) = (&request.fields, &request.origin);
        let taken = match request.endpoint {
            HitEndpoint::Native => {
                let text = String::from_utf8_lossy(request.body);
                let ParsedBody { hits, .. } = wire::parse_body(&text, self.max_hits).ok()?;
                self.pseudonymize_hits(fields, origin, hits, None, &selection)
            }
            HitEndpoint::Compat(endpoint) => {
                let ParsedHits { hits, claims, .. } = endpoint.parse_hits(&request, self).ok()?;
                let foreign = ThirdPartyClaims {
                    dialect: endpoint.dialect(),
                    claims: &claims,
                };
                self.pseudonymize_hits(fields, origin, hits, Some(foreign), &selection)
            }
        };
        let PseudonymizedHits {
            events,
            cookies,
            remote,
            ..
        } = taken;
        Some(TakenHits {
            events,
            cookies,
            calls: request.forward_calls(remote, &self.cookie_names),
        })
    }

    /// Returns when the events are on disk here, and the calls' hits at other collectors; with the
    /// visit cookies of those.
    pub(super) async fn store_everywhere(
        &self,
        events: Vec<Event>,
        calls: Vec<ForwardCall>,
    ) -> HitsOutcome {
        if calls.is_empty() {
            return join_parts(self.store_own(events).await);
        }
        let (stored, sent) = tokio::join!(self.store_own(events), self.send_hits(calls, 1));
        join_parts(stored.into_iter().chain([sent]))
    }

    /// Stores the events that this collector counts; `None` without any.
    async fn store_own(&self, events: Vec<Event>) -> Option<HitsOutcome> {
        match events.is_empty() {
            true => None,
            false => {
                let stored = self.store_events(events).await;
                Some(stored.map(|()| VisitCookies::default()))
            }
        }
    }

    async fn send_hits(&self, calls: Vec<ForwardCall>, attempt: u8) -> HitsOutcome {
        let sent = calls
            .into_iter()
            .map(|(owner, request)| self.send_request(owner, request, attempt));
        join_parts(join_all(sent).await)
    }

    async fn send_request(&self, owner: PeerId, request: CallBuffer, attempt: u8) -> HitsOutcome {
        let Some(cluster) = &self.cluster else {
            return Err(lost_owner_error());
        };
        let request = match cluster.send_call(owner, CallKind::Hits, request).await {
            Ok(reply) => return ForwardOutcome::read_reply(&reply),
            Err(CallFailure::Busy) => return Err(unavailable_error(CommitError::QueueFull)),
            Err(CallFailure::Uncertain) => return Err(lost_owner_error()),
            Err(CallFailure::NotSent(request)) => request,
        };

        // As if the request arrived now.
        let taken = self.take_hits(&request, attempt < MAX_ATTEMPTS);
        drop(request);
        let TakenHits {
            events,
            mut cookies,
            calls,
        } = taken.ok_or_else(lost_owner_error)?;
        let resent = async {
            match calls.is_empty() {
                true => None,
                false => Some(Box::pin(self.send_hits(calls, attempt + 1)).await),
            }
        };
        let (stored, sent) = tokio::join!(self.store_own(events), resent);
        cookies.extend(join_parts(stored.into_iter().chain(sent))?);
        Ok(cookies)
    }
}

/// What became of some hits of a request: the visit cookies, if they are on disk.
type HitsOutcome = Result<VisitCookies, IngestError>;

/// The outcome of a request whose hits were counted in parts. A sender repeats a request that is
/// answered 503, so that is the answer only if no part was counted.
fn join_parts(parts: impl IntoIterator<Item = HitsOutcome>) -> HitsOutcome {
    let (mut cookies, mut counted, mut failure) = (VisitCookies::default(), false, None);
    for part in parts {
        match part {
            Ok(of_part) => {
                counted = true;
                cookies.extend(of_part);
            }
            Err(error) if failure.as_ref().is_none_or(IngestError::is_uncounted) => {
                failure = Some(error);
            }
            Err(_) => {}
        }
    }
    match failure {
        None => Ok(cookies),
        Some(error) if counted && error.is_uncounted() => Err(partly_counted_error()),
        Some(error) => Err(error),
    }
}

/// The first byte of a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum ForwardOutcome {
    OnDisk = 0,
    QueueFull = 1,
    DiskFull = 2,
    Stopping = 3,
    Uncertain = 4,
    /// The owner cannot parse the request: another version, or another configuration.
    Rejected = 5,
}

impl ForwardOutcome {
    fn from_error(error: CommitError) -> ForwardOutcome {
        match error {
            CommitError::QueueFull => ForwardOutcome::QueueFull,
            CommitError::DiskFull => ForwardOutcome::DiskFull,
            CommitError::Stopping => ForwardOutcome::Stopping,
            CommitError::Uncertain => ForwardOutcome::Uncertain,
        }
    }

    /// The visit cookies, if the hits are on disk.
    fn read_reply(reply: &CallBuffer) -> HitsOutcome {
        let mut from = BufferReader::new(reply.as_bytes());
        let error = match from.read_byte() {
            Some(0) => {
                let cookies = std::str::from_utf8(from.rest()).unwrap_or("");
                return Ok(VisitCookies::from_reply(cookies));
            }
            Some(1) => CommitError::QueueFull,
            Some(2) => CommitError::DiskFull,
            Some(3) => CommitError::Stopping,
            _ => return Err(lost_owner_error()),
        };
        Err(unavailable_error(error))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderMap, HeaderName};

    use super::*;

    #[test]
    fn a_request_reads_back_as_it_was_written_without_others_cookies_and_a_part_of_it_does_not() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "pages.example"),
            ("user-agent", "Firefox"),
            ("origin", "https://pages.example"),
            ("accept-language", "de"),
            ("sec-gpc", "1"),
            ("cookie", "session=secret; ff_consent=2.a; x=ff_visit"),
            ("cookie", "ff_consent=2.b; ff_visit=1"),
        ] {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let request = HitRequest {
            endpoint: HitEndpoint::Compat(CompatEndpoint::GoatCounter),
            origin: RequestOrigin {
                client: "2001:db8::7".parse().unwrap(),
                is_behind_proxy: true,
            },
            fields: RequestHeaders::from_header_map(&headers),
            below: "u/mia",
            query: "p=/x",
            body: b"{}",
        };
        let names = ["ff_consent", "ff_visit"].map(str::to_owned);
        let buffer = request.to_buffer(&[0, 300], &names);
        let (read, places) = HitRequest::read_from(buffer.as_bytes()).unwrap();
        assert!(read.endpoint == request.endpoint && read.origin.client == request.origin.client);
        assert!(read.origin.is_behind_proxy && places == [0, 300]);
        assert_eq!(
            (read.below, read.query, read.body),
            ("u/mia", "p=/x", &b"{}"[..])
        );
        let fields = &read.fields;
        assert_eq!(
            (fields.host, fields.language),
            ("pages.example", Some("de"))
        );
        assert!(fields.can_be_sent_by("pages.example") && !fields.can_be_sent_by("a.example"));
        assert!(fields.signals().gpc && !fields.signals().dnt && fields.bearer.is_none());
        let values = |name| fields.cookies.get_all(name).collect::<Vec<_>>();
        assert_eq!(values("ff_consent"), ["2.a", "2.b"]);
        assert_eq!((values("ff_visit"), values("session")), (vec!["1"], vec![]));
        let secret: &[u8] = b"secret";
        assert!(!buffer.as_bytes().windows(6).any(|part| part == secret));

        for length in 0..buffer.len() {
            let part = HitRequest::read_from(&buffer.as_bytes()[..length]);
            assert!(part.is_none_or(|(_, places)| places.len() < 2), "{length}");
        }
        let request = RequestOrigin {
            client: "198.51.100.7".parse().unwrap(),
            is_behind_proxy: false,
        };
        let mut buffer = CallBuffer::default();
        request.push_to(&mut buffer);
        let read = RequestOrigin::read_from(&mut BufferReader::new(buffer.as_bytes()));
        assert!(read.is_some_and(|read| read.client == request.client && !read.is_behind_proxy));
    }
}
