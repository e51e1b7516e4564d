//! The HTTP endpoints of mails: a pixel and a redirect.
//!
//! The response to a pixel is always 200 with the same bytes, also after an error: a mail must
//! always look the same, and the response must not reveal whether an open was counted. A counted
//! open is on disk first, like a hit; if the journal is full, the response is the same and a metric
//! counts the loss. The response to a link that was not signed here, byte for byte, is 404, never a
//! redirect.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{
    CACHE_CONTROL, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse, web};

use super::forward::RequestOrigin;
use super::headers::RequestHeaders;
use crate::access;
use crate::calendar::{Day, Millis};
use crate::clock::Clock;
use crate::cluster::{BufferReader, CallBuffer, CallFailure, CallKind, Cluster, PeerId};
use crate::config::VisitorMode;
use crate::consent::{Gate, RawMail};
use crate::enrich::{Enricher, PageUrl};
use crate::event::{ClientAddress, MailAction, Problem, ProblemCode, ReaderKind};
use crate::http::{MailBudget, RateLimiters, TrustedProxies, peer_address, read_body};
use crate::journal::{CommitTicket, Journal};
use crate::mail::{LinkFields, MailFields, MailService, ReaderSignals, add_utm_tags};
use crate::pseudonym::{DayKeys, MailEvent, MailEventInput, pseudonymize_mail};
use crate::sites::SiteDirectory;

/// One transparent pixel.
const PIXEL_GIF: &[u8; 43] =
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
const GIF_EXTENSION: &str = ".gif";
/// Prefix of the token of a single message.
const MESSAGE_TOKEN_PREFIX: &str = "m.";
const MAX_BODY_BYTES: usize = 8192;
/// Bytes of a forwarded request beside the texts of its path and header.
const MAX_FORWARD_OVERHEAD_BYTES: usize = 128;

/// The parts that an open or a click passes through.
pub struct MailIngestService {
    /// Time of opens and clicks.
    pub clock: Clock,
    /// Sites in force; targets on their pages get a campaign.
    pub directory: Arc<SiteDirectory>,
    /// Reverse proxies whose forwarding headers are trusted.
    pub proxies: TrustedProxies,
    /// Rate limits by network, shared with hits.
    pub rates: Arc<RateLimiters>,
    /// Recognises bots by their agent.
    pub enricher: Arc<Enricher>,
    /// Decides whether an open or a click may be counted.
    pub gate: Gate,
    /// Keys of the current days, for openers' pseudonyms.
    pub keys: Arc<DayKeys>,
    /// The journal that counts are written to.
    pub journal: Journal,
    /// How readers are recognised (`visitor.mode`).
    pub mode: VisitorMode,
    /// `None` where mails are switched off: pixels are answered, links are not found.
    pub mail_service: Option<Arc<MailService>>,
    /// Path prefix of the collector's routes.
    pub prefix: String,
    /// Time for a request's body to arrive.
    pub body_timeout: Duration,
    /// The other collectors, if there are any.
    pub cluster: Option<Arc<Cluster>>,
}

/// `GET {prefix}/o/{token}.gif`.
pub async fn serve_pixel(
    request: HttpRequest,
    mut payload: web::Payload,
    edge: web::Data<MailIngestService>,
) -> HttpResponse {
    let _ = read_body(&mut payload, MAX_BODY_BYTES, edge.body_timeout).await;
    // Personal data of the request ends with this call, except in a wiped buffer for the collector
    // that counts the reader's network.
    let recorded = edge.take_open(&edge.read_request(&request));
    edge.finish_mail(recorded).await;
    HttpResponse::Ok()
        .content_type("image/gif")
        .insert_header((CACHE_CONTROL, "no-store, max-age=0"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((
            HeaderName::from_static("cross-origin-resource-policy"),
            "cross-origin",
        ))
        .body(&PIXEL_GIF[..])
}

/// `GET {prefix}/c/{token}`.
pub async fn follow_link(
    request: HttpRequest,
    mut payload: web::Payload,
    edge: web::Data<MailIngestService>,
) -> Result<HttpResponse, Problem> {
    let _ = read_body(&mut payload, MAX_BODY_BYTES, edge.body_timeout).await;
    let (target, recorded) = edge.take_click(&edge.read_request(&request));
    edge.finish_mail(recorded).await;
    let target = target.ok_or_else(|| Problem::new(ProblemCode::NotFound))?;
    Ok(HttpResponse::Found()
        .insert_header((LOCATION, target))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .finish())
}

/// Counts the clicks that were buffered for classification and whose time is over.
pub fn release_due_clicks(desk: &MailService, journal: &Journal, now: Millis) {
    for click in desk.click_buffer.drain_due(now) {
        // The click was answered already; its ticket is not awaited.
        drop(submit_event(journal, click));
    }
}

fn submit_event(journal: &Journal, event: MailEvent) -> Option<CommitTicket> {
    let ticket = journal.queue.submit_hits(std::iter::once(event));
    if ticket.is_err() {
        record_loss(journal);
    }
    ticket.ok()
}

fn record_loss(journal: &Journal) {
    journal.stats.mails_lost.fetch_add(1, Ordering::Relaxed);
}

/// What is left to do for an opening or a click.
enum MailOutcome {
    Done,
    /// It is written.
    Writing(CommitTicket),
    /// Another collector counts it.
    Forward(PeerId, CallBuffer),
}

/// One request to a mail endpoint, until it is answered.
struct MailRequest<'a> {
    fields: RequestHeaders<'a>,
    origin: RequestOrigin,
    address: ClientAddress,
    path: &'a str,
    method: MailMethod,
    known_bot: bool,
    received_at: Millis,
}

/// The method of a request to a mail endpoint. The numbers are codes between collectors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MailMethod {
    Get = 0,
    Head = 1,
    Other = 2,
}

impl MailIngestService {
    fn take_open(&self, asker: &MailRequest<'_>) -> MailOutcome {
        match self.remote_owner(asker) {
            Some(owner) if self.token_in_path(asker.path, "/o/").is_some() => {
                MailOutcome::Forward(owner, asker.to_buffer(MailAction::Open))
            }
            _ => self
                .record_open(asker)
                .map_or(MailOutcome::Done, MailOutcome::Writing),
        }
    }

    /// The target of a link, also where another collector counts the click; `None` if it was not signed here.
    fn take_click(&self, asker: &MailRequest<'_>) -> (Option<HeaderValue>, MailOutcome) {
        let Some((fields, target)) = self.verify_link(asker) else {
            return (None, MailOutcome::Done);
        };
        let outcome = match self.remote_owner(asker) {
            Some(owner) => MailOutcome::Forward(owner, asker.to_buffer(MailAction::Click)),
            None => {
                self.record_click(&fields, asker);
                MailOutcome::Done
            }
        };
        (Some(target), outcome)
    }

    /// Returns when an opening or a click is on disk, or held, at the collector that counts it.
    async fn finish_mail(&self, outcome: MailOutcome) {
        let (owner, request) = match outcome {
            MailOutcome::Done => return,
            MailOutcome::Writing(ticket) => {
                // If it is not written, the writer counts the loss.
                let _ = ticket.on_disk().await;
                return;
            }
            MailOutcome::Forward(owner, request) => (owner, request),
        };
        let Some(cluster) = &self.cluster else { return };
        match cluster.send_call(owner, CallKind::Mail, request).await {
            Ok(_) => {}
            // The owner is gone: it is counted here, and nothing is asked again.
            Err(CallFailure::NotSent(request)) => {
                drop(self.answer_forwarded(request).await);
            }
            Err(CallFailure::Busy | CallFailure::Uncertain) => record_loss(&self.journal),
        }
    }

    /// Answers the call of another collector.
    pub async fn answer_forwarded(&self, request: CallBuffer) -> CallBuffer {
        let ticket =
            self.read_forwarded(request.as_bytes())
                .and_then(|(action, asker)| match action {
                    MailAction::Open => self.record_open(&asker),
                    MailAction::Click => {
                        if let Some((fields, _)) = self.verify_link(&asker) {
                            self.record_click(&fields, &asker);
                        }
                        None
                    }
                });
        drop(request);
        if let Some(ticket) = ticket {
            let _ = ticket.on_disk().await;
        }
        CallBuffer::default()
    }

    fn read_forwarded<'a>(&self, bytes: &'a [u8]) -> Option<(MailAction, MailRequest<'a>)> {
        let mut from = BufferReader::new(bytes);
        let action = match from.read_byte()? {
            0 => MailAction::Open,
            _ => MailAction::Click,
        };
        let method = match from.read_byte()? {
            0 => MailMethod::Get,
            1 => MailMethod::Head,
            _ => MailMethod::Other,
        };
        let origin = RequestOrigin::read_from(&mut from)?;
        let fields = RequestHeaders::read_from(&mut from)?;
        let path = from.read_text()?;
        Some((action, self.build_request(fields, origin, path, method)))
    }

    /// The other collector that counts a reader's network today.
    fn remote_owner(&self, asker: &MailRequest<'_>) -> Option<PeerId> {
        let (cluster, desk) = (self.cluster.as_deref()?, self.mail_service.as_deref()?);
        let day = self.keys.get_or_create(desk.zone, asker.received_at);
        cluster.remote_owner(asker.address.network(), day.span.start)
    }

    fn record_open(&self, asker: &MailRequest<'_>) -> Option<CommitTicket> {
        let desk = self.mail_service.as_deref()?;
        let token = self.token_in_path(asker.path, "/o/")?;
        let token = token.strip_suffix(GIF_EXTENSION).unwrap_or("");
        if let Some(message) = token.strip_prefix(MESSAGE_TOKEN_PREFIX) {
            self.record_message_open(desk, message, asker);
            return None;
        }
        let mail = desk
            .signer
            .keys
            .verify_pixel_token(token, utc_day(asker.received_at));
        let event = self.process_load(desk, mail, MailAction::Open, "", asker)?;
        submit_event(&self.journal, event)
    }

    /// A link's fields and target; `None` if it was not signed here.
    fn verify_link<'a>(&self, asker: &MailRequest<'a>) -> Option<(LinkFields<'a>, HeaderValue)> {
        let desk = self
            .mail_service
            .as_deref()
            .filter(|_| asker.method != MailMethod::Other)?;
        let at = self.clock.now();
        let click = desk
            .signer
            .keys
            .verify_link_token(self.token_in_path(asker.path, "/c/")?, utc_day(at));
        let fields = click.filter(|click| desk.signer.is_allowed_target(&click.target))?;
        let target = if self.is_own_page(&fields.target) {
            add_utm_tags(&fields.target, fields.mail.template)
        } else {
            fields.target.as_str().into()
        };
        let target = HeaderValue::from_str(&target).ok()?;
        Some((fields, target))
    }

    fn record_click(&self, link: &LinkFields<'_>, asker: &MailRequest<'_>) {
        if let Some(desk) = self.mail_service.as_deref() {
            self.process_load(desk, Some(link.mail), MailAction::Click, link.link, asker);
        }
    }

    /// Passes a load through classification and gate. A click is buffered until the requests after
    /// it are known; an open is returned.
    fn process_load(
        &self,
        desk: &MailService,
        mail: Option<MailFields<'_>>,
        action: MailAction,
        link: &str,
        asker: &MailRequest<'_>,
    ) -> Option<MailEvent> {
        let mail = mail.filter(|mail| desk.signer.has_template(mail.template));
        let agent = asker.fields.agent();
        let reader = desk
            .classifier
            .classify_reader(&asker.reader_signals(action, mail.and_then(|mail| mail.sent)));
        let raw = RawMail {
            known: mail.is_some(),
            signals: &asker.fields.signals(),
            consent: mail.is_some_and(|mail| mail.consent),
            over_rate: self.is_over_rate(asker, reader, mail.map(|_| MailBudget::Mails)),
        };
        let admitted = self.gate.admit_mail(&raw).ok()?;
        let mail = mail?;
        let sender = desk.click_buffer.hash_sender(&mail, &asker.address, &agent);
        let reader = match action {
            MailAction::Open => desk
                .click_buffer
                .record_open(sender, reader, asker.received_at)?,
            MailAction::Click => reader,
        };
        let (template, batch, address) = (mail.template, mail.batch, &asker.address);
        let done = MailEventInput {
            template,
            batch,
            action,
            link,
            reader,
            address,
            agent: &agent,
        };
        let event = pseudonymize_mail(
            admitted,
            &done,
            &self.keys.get_or_create(desk.zone, asker.received_at),
            self.mode,
        );
        match action {
            MailAction::Open => Some(event),
            MailAction::Click => {
                desk.click_buffer
                    .hold_click(sender, event, asker.received_at);
                None
            }
        }
    }

    /// Records that a message was opened and on which day, and nothing else. Loads by software are
    /// ignored.
    fn record_message_open(&self, desk: &MailService, message: &str, asker: &MailRequest<'_>) {
        let message = access::message_digest(message);
        let known = desk.messages.as_ref().zip(message);
        let reader = desk
            .classifier
            .classify_reader(&asker.reader_signals(MailAction::Open, None));
        let raw = RawMail {
            known: known.is_some(),
            signals: &asker.fields.signals(),
            // Without consent no token is issued, and revoked ones are deleted in the store.
            consent: true,
            over_rate: self.is_over_rate(asker, reader, known.map(|_| MailBudget::Messages)),
        };
        let admitted = self.gate.admit_mail(&raw).is_ok();
        if let Some((messages, message)) =
            known.filter(|_| admitted && reader != ReaderKind::Machine)
        {
            let on = self
                .keys
                .get_or_create(desk.zone, asker.received_at)
                .span
                .day;
            if !messages.opened.try_push(message, on) {
                record_loss(&self.journal);
            }
        }
    }

    fn is_over_rate(
        &self,
        asker: &MailRequest<'_>,
        reader: ReaderKind,
        budget: Option<MailBudget>,
    ) -> bool {
        let network =
            (reader != ReaderKind::Proxied).then(|| self.rates.network_key(&asker.address));
        self.rates.is_mail_limited(network, budget)
    }

    fn read_request<'a>(&self, request: &'a HttpRequest) -> MailRequest<'a> {
        let fields = RequestHeaders::from_header_map(request.headers());
        let origin = RequestOrigin::new(&self.proxies, peer_address(request), &fields);
        let method = match *request.method() {
            Method::GET => MailMethod::Get,
            Method::HEAD => MailMethod::Head,
            _ => MailMethod::Other,
        };
        self.build_request(fields, origin, request.uri().path(), method)
    }

    fn build_request<'a>(
        &self,
        fields: RequestHeaders<'a>,
        origin: RequestOrigin,
        path: &'a str,
        method: MailMethod,
    ) -> MailRequest<'a> {
        let known_bot = self
            .enricher
            .classify_client(&fields.agent(), &fields.hints())
            .bot;
        MailRequest {
            address: origin.client_address(),
            fields,
            origin,
            path,
            method,
            known_bot,
            received_at: self.clock.now(),
        }
    }

    /// The token, undecoded: tokens have no encoded characters, so an encoded one is not valid.
    fn token_in_path<'a>(&self, path: &'a str, under: &str) -> Option<&'a str> {
        path.strip_prefix(&self.prefix)?.strip_prefix(under)
    }

    /// Whether the target is a page of one of the sites.
    fn is_own_page(&self, target: &str) -> bool {
        PageUrl::parse(target).is_ok_and(|page| {
            self.directory
                .resolver()
                .resolve_page(page.host(), page.lookup_path())
                .is_some()
        })
    }
}

impl MailRequest<'_> {
    /// The request as another collector counts it. Mails set and read no cookies.
    fn to_buffer(&self, action: MailAction) -> CallBuffer {
        let room = self.fields.byte_count + self.path.len() + MAX_FORWARD_OVERHEAD_BYTES;
        let mut buffer = CallBuffer::with_capacity(room);
        buffer.push_byte(u8::from(action == MailAction::Click));
        buffer.push_byte(self.method as u8);
        self.origin.push_to(&mut buffer);
        self.fields.push_to(&mut buffer, &[]);
        buffer.push_field(self.path.as_bytes());
        buffer
    }

    fn reader_signals(&self, action: MailAction, sent: Option<Millis>) -> ReaderSignals<'_> {
        ReaderSignals {
            at: self.received_at,
            action,
            address: &self.address,
            agent: self.fields.agent(),
            head: self.method != MailMethod::Get,
            prefetch: self.fields.signals().prefetch,
            known_bot: self.known_bot,
            sent,
        }
    }
}

/// The current day in UTC, in which tokens expire.
fn utc_day(now: Millis) -> Day {
    Day::from_utc(now).unwrap_or(Day::from_number(u16::MAX))
}
