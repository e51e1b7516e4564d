//! The HTTP endpoints of mails: a pixel and a redirect.
//!
//! The pixel answers 200 with the same bytes, whatever is asked and whatever fails: a mail must
//! always look the same, and the answer must not tell whether an open was counted. A counted open
//! is on disk first, like a hit; if there is no room for it, the pixel is answered all the same and
//! a metric counts the loss. A link that was not signed here, byte for byte, is answered 404, never
//! a redirect.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{
    CACHE_CONTROL, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::fields::Fields;
use crate::access;
use crate::clock::Clock;
use crate::config::{Directory, Proxies, VisitorMode};
use crate::consent::{Gate, RawMail};
use crate::enrich::{Enricher, Page};
use crate::event::{Address, Day, MailAction, Millis, Problem, Reader};
use crate::http::{Budget, Rates, peer, read, refuse};
use crate::journal::{Journal, Ticket};
use crate::mail::{Click, Desk, Load, Mail, tagged};
use crate::pseudonym::{DayKeys, Done, MailEvent, seal_mail};

/// One transparent pixel.
const GIF: &[u8; 43] =
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
const GIF_EXTENSION: &str = ".gif";
/// Prefix of the token of a single message.
const MESSAGE: &str = "m.";
const BODY_BYTES: usize = 8192;

/// The parts that an open or a click passes through.
pub struct MailEdge {
    /// Time of opens and clicks.
    pub clock: Clock,
    /// Sites in force; targets on their pages get a campaign.
    pub directory: Arc<Directory>,
    /// Reverse proxies whose forwarding headers are trusted.
    pub proxies: Proxies,
    /// Rate limits by network, shared with hits.
    pub rates: Arc<Rates>,
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
    pub desk: Option<Arc<Desk>>,
    /// Path prefix of the collector's routes.
    pub prefix: String,
    /// Time for a request's body to arrive.
    pub deadline: Duration,
}

/// `GET {prefix}/o/{token}.gif`.
pub async fn pixel(request: HttpRequest, mut payload: web::Payload, edge: web::Data<MailEdge>) -> HttpResponse {
    let _ = read(&mut payload, BODY_BYTES, edge.deadline).await;
    // Personal data of the request ends with this call.
    if let Some(ticket) = edge.open(&request) {
        // If it is not written, the writer counts the loss.
        let _ = ticket.on_disk().await;
    }
    HttpResponse::Ok()
        .content_type("image/gif")
        .insert_header((CACHE_CONTROL, "no-store, max-age=0"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"))
        .body(&GIF[..])
}

/// `GET {prefix}/c/{token}`.
pub async fn link(request: HttpRequest, mut payload: web::Payload, edge: web::Data<MailEdge>) -> HttpResponse {
    let _ = read(&mut payload, BODY_BYTES, edge.deadline).await;
    match edge.click(&request) {
        Some(target) => HttpResponse::Found()
            .insert_header((LOCATION, target))
            .insert_header((REFERRER_POLICY, "no-referrer"))
            .insert_header((CACHE_CONTROL, "no-store"))
            .finish(),
        None => refuse(&Problem::new(404, "not_found", "There is nothing here"), None).await,
    }
}

/// Counts the clicks that were held back for classification and whose time is over.
pub fn release(desk: &Desk, journal: &Journal, now: Millis) {
    for click in desk.watch.due(now) {
        // The click was answered already; its ticket is not awaited.
        drop(submit(journal, click));
    }
}

fn submit(journal: &Journal, event: MailEvent) -> Option<Ticket> {
    let ticket = journal.inbox.submit(std::iter::once(event));
    if ticket.is_err() {
        lose(journal);
    }
    ticket.ok()
}

fn lose(journal: &Journal) {
    journal.stats.mails_lost.fetch_add(1, Ordering::Relaxed);
}

/// The sender of a request, until it is answered.
struct Asker<'a> {
    fields: Fields<'a>,
    address: Address,
    known_bot: bool,
    head: bool,
    at: Millis,
}

impl MailEdge {
    fn open(&self, request: &HttpRequest) -> Option<Ticket> {
        let desk = self.desk.as_deref()?;
        let token = self.token(request, "/o/")?;
        let token = token.strip_suffix(GIF_EXTENSION).unwrap_or("");
        let asker = self.asker(request);
        if let Some(message) = token.strip_prefix(MESSAGE) {
            self.open_message(desk, message, &asker);
            return None;
        }
        let mail = desk.mint.keys.read_open(token, today(asker.at));
        let event = self.seal(desk, mail, MailAction::Open, "", &asker)?;
        submit(&self.journal, event)
    }

    /// The target of a link; `None` if it was not signed here.
    fn click(&self, request: &HttpRequest) -> Option<HeaderValue> {
        let desk = self.desk.as_deref().filter(|_| [Method::GET, Method::HEAD].contains(request.method()))?;
        let at = self.clock.now();
        let click = desk.mint.keys.read_click(self.token(request, "/c/")?, today(at));
        let Click { mail, link, target } = click.filter(|click| desk.mint.leads(&click.target))?;
        self.seal(desk, Some(mail), MailAction::Click, link, &self.asker(request));
        let target = if self.is_ours(&target) { tagged(&target, mail.template) } else { target.as_str().into() };
        HeaderValue::from_str(&target).ok()
    }

    /// Takes a load through classification and gate. A click is handed to the watch until what
    /// follows it is known; an open is returned.
    fn seal(
        &self,
        desk: &Desk,
        mail: Option<Mail<'_>>,
        action: MailAction,
        link: &str,
        asker: &Asker<'_>,
    ) -> Option<MailEvent> {
        let mail = mail.filter(|mail| desk.mint.lists(mail.template));
        let agent = asker.fields.agent();
        let reader = desk.judge.reader(&asker.load(action, mail.and_then(|mail| mail.sent)));
        let raw = RawMail {
            known: mail.is_some(),
            signals: &asker.fields.signals(),
            consent: mail.is_some_and(|mail| mail.consent),
            over_rate: self.exceeded(asker, reader, mail.map(|_| Budget::Mails)),
        };
        let admitted = self.gate.admit_mail(&raw).ok()?;
        let mail = mail?;
        let sender = desk.watch.sender(&mail, &asker.address, &agent);
        let reader = match action {
            MailAction::Open => desk.watch.opens(sender, reader, asker.at)?,
            MailAction::Click => reader,
        };
        let (template, batch, address) = (mail.template, mail.batch, &asker.address);
        let done = Done { template, batch, action, link, reader, address, agent: &agent };
        let event = seal_mail(admitted, &done, &self.keys.at(desk.zone, asker.at), self.mode);
        match action {
            MailAction::Open => Some(event),
            MailAction::Click => {
                desk.watch.clicks(sender, event, asker.at);
                None
            }
        }
    }

    /// Records only that a message was opened and on which day; not for software.
    fn open_message(&self, desk: &Desk, message: &str, asker: &Asker<'_>) {
        let message = access::message(message);
        let known = desk.messages.as_ref().zip(message);
        let reader = desk.judge.reader(&asker.load(MailAction::Open, None));
        let raw = RawMail {
            known: known.is_some(),
            signals: &asker.fields.signals(),
            // Without consent no token is issued, and the store forgets revoked ones.
            consent: true,
            over_rate: self.exceeded(asker, reader, known.map(|_| Budget::Messages)),
        };
        let admitted = self.gate.admit_mail(&raw).is_ok();
        if let Some((messages, message)) = known.filter(|_| admitted && reader != Reader::Machine) {
            let on = self.keys.at(desk.zone, asker.at).span.day;
            if !messages.opened.note(message, on) {
                lose(&self.journal);
            }
        }
    }

    fn exceeded(&self, asker: &Asker<'_>, reader: Reader, budget: Option<Budget>) -> bool {
        let network = (reader != Reader::Proxied).then(|| self.rates.network(&asker.address));
        self.rates.mail_exceeded(network, budget)
    }

    fn asker<'a>(&self, request: &'a HttpRequest) -> Asker<'a> {
        let fields = Fields::read(request.headers());
        let address = Address::new(self.proxies.client(peer(request), fields.forwarded.iter().copied()));
        let known_bot = self.enricher.client(&fields.agent(), &fields.hints()).bot;
        Asker { fields, address, known_bot, head: request.method() != Method::GET, at: self.clock.now() }
    }

    /// The token, undecoded: tokens have no encoded characters, so an encoded one is not valid.
    fn token<'a>(&self, request: &'a HttpRequest, under: &str) -> Option<&'a str> {
        request.uri().path().strip_prefix(&self.prefix)?.strip_prefix(under)
    }

    /// Whether the target is a page of a site of ours.
    fn is_ours(&self, target: &str) -> bool {
        Page::parse(target).is_ok_and(|page| self.directory.hosts().resolve(page.host(), page.lookup_path()).is_some())
    }
}

impl Asker<'_> {
    fn load(&self, action: MailAction, sent: Option<Millis>) -> Load<'_> {
        Load {
            at: self.at,
            action,
            address: &self.address,
            agent: self.fields.agent(),
            head: self.head,
            prefetch: self.fields.signals().prefetch,
            known_bot: self.known_bot,
            sent,
        }
    }
}

/// The current day in UTC, in which tokens expire.
fn today(now: Millis) -> Day {
    let now = Timestamp::from_millisecond(now).unwrap_or_default();
    Day::from_date(now.to_zoned(TimeZone::UTC).date()).unwrap_or(Day::from_number(u16::MAX))
}
