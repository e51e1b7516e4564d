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

use super::headers::RequestHeaders;
use crate::access;
use crate::calendar::{Day, Millis};
use crate::clock::Clock;
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
}

/// `GET {prefix}/o/{token}.gif`.
pub async fn serve_pixel(
    request: HttpRequest,
    mut payload: web::Payload,
    edge: web::Data<MailIngestService>,
) -> HttpResponse {
    let _ = read_body(&mut payload, MAX_BODY_BYTES, edge.body_timeout).await;
    // Personal data of the request ends with this call.
    if let Some(ticket) = edge.record_open(&request) {
        // If it is not written, the writer counts the loss.
        let _ = ticket.on_disk().await;
    }
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
    let target = edge
        .record_click(&request)
        .ok_or_else(|| Problem::new(ProblemCode::NotFound))?;
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

/// One request to a mail endpoint, until it is answered.
struct MailRequest<'a> {
    fields: RequestHeaders<'a>,
    address: ClientAddress,
    known_bot: bool,
    is_head: bool,
    received_at: Millis,
}

impl MailIngestService {
    fn record_open(&self, request: &HttpRequest) -> Option<CommitTicket> {
        let desk = self.mail_service.as_deref()?;
        let token = self.token_in_path(request, "/o/")?;
        let token = token.strip_suffix(GIF_EXTENSION).unwrap_or("");
        let asker = self.read_request(request);
        if let Some(message) = token.strip_prefix(MESSAGE_TOKEN_PREFIX) {
            self.record_message_open(desk, message, &asker);
            return None;
        }
        let mail = desk
            .signer
            .keys
            .verify_pixel_token(token, utc_day(asker.received_at));
        let event = self.process_load(desk, mail, MailAction::Open, "", &asker)?;
        submit_event(&self.journal, event)
    }

    /// The target of a link; `None` if it was not signed here.
    fn record_click(&self, request: &HttpRequest) -> Option<HeaderValue> {
        let desk = self
            .mail_service
            .as_deref()
            .filter(|_| [Method::GET, Method::HEAD].contains(request.method()))?;
        let at = self.clock.now();
        let click = desk
            .signer
            .keys
            .verify_link_token(self.token_in_path(request, "/c/")?, utc_day(at));
        let LinkFields { mail, link, target } =
            click.filter(|click| desk.signer.is_allowed_target(&click.target))?;
        self.process_load(
            desk,
            Some(mail),
            MailAction::Click,
            link,
            &self.read_request(request),
        );
        let target = if self.is_own_page(&target) {
            add_utm_tags(&target, mail.template)
        } else {
            target.as_str().into()
        };
        HeaderValue::from_str(&target).ok()
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
        let address = ClientAddress::new(
            self.proxies
                .client_address(peer_address(request), fields.forwarded_for.iter().copied()),
        );
        let known_bot = self
            .enricher
            .classify_client(&fields.agent(), &fields.hints())
            .bot;
        MailRequest {
            fields,
            address,
            known_bot,
            is_head: request.method() != Method::GET,
            received_at: self.clock.now(),
        }
    }

    /// The token, undecoded: tokens have no encoded characters, so an encoded one is not valid.
    fn token_in_path<'a>(&self, request: &'a HttpRequest, under: &str) -> Option<&'a str> {
        request
            .uri()
            .path()
            .strip_prefix(&self.prefix)?
            .strip_prefix(under)
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
    fn reader_signals(&self, action: MailAction, sent: Option<Millis>) -> ReaderSignals<'_> {
        ReaderSignals {
            at: self.received_at,
            action,
            address: &self.address,
            agent: self.fields.agent(),
            head: self.is_head,
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
