//! The HTTP edge of mails: a pixel and a redirect.
//!
//! The pixel answers 200 and the same bytes whatever is asked and whatever goes wrong: a mail must look the same, and nobody learns from
//! it whether something was counted. An opening that is counted is on disk first, like a hit; without room for it the pixel is answered
//! all the same, and a metric says what was lost. A link that is not ours to the last byte is answered 404, never a redirect.

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

/// One transparent point.
const GIF: &[u8; 43] =
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
const GIF_EXTENSION: &str = ".gif";
/// What comes before the token of one message.
const MESSAGE: &str = "m.";
const BODY_BYTES: usize = 8192;

/// The parts an opening or a click passes through.
pub struct MailEdge {
    pub clock: Clock,
    pub directory: Arc<Directory>,
    pub proxies: Proxies,
    pub rates: Arc<Rates>,
    pub enricher: Arc<Enricher>,
    pub gate: Gate,
    pub keys: Arc<DayKeys>,
    pub journal: Journal,
    pub mode: VisitorMode,
    /// `None` where mails are switched off: pixels answer, links do not lead.
    pub desk: Option<Arc<Desk>>,
    pub prefix: String,
    pub deadline: Duration,
}

/// `GET {prefix}/o/{token}.gif`.
pub async fn pixel(request: HttpRequest, mut payload: web::Payload, edge: web::Data<MailEdge>) -> HttpResponse {
    let _ = read(&mut payload, BODY_BYTES, edge.deadline).await;
    // Whatever is personal about the request ends with this call.
    if let Some(ticket) = edge.open(&request) {
        // Without room the writer says what was lost.
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

/// Counts the clicks that were held back for as long as it takes to know whose they were.
pub fn release(desk: &Desk, journal: &Journal, now: Millis) {
    for click in desk.watch.due(now) {
        // Nobody waits for it.
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

/// Who asks, until the request is answered.
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

    /// Where a link leads; `None` for one that is not ours.
    fn click(&self, request: &HttpRequest) -> Option<HeaderValue> {
        let desk = self.desk.as_deref().filter(|_| [Method::GET, Method::HEAD].contains(request.method()))?;
        let at = self.clock.now();
        let click = desk.mint.keys.read_click(self.token(request, "/c/")?, today(at));
        let Click { mail, link, target } = click.filter(|click| desk.mint.leads(&click.target))?;
        self.seal(desk, Some(mail), MailAction::Click, link, &self.asker(request));
        let target = if self.is_ours(&target) { tagged(&target, mail.template) } else { target.as_str().into() };
        HeaderValue::from_str(&target).ok()
    }

    /// Through the gate and the judge. A click is kept by the watch until it is known what came with it, an opening is given back.
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

    /// Only that it was opened, and on which day; not by software, which reads nothing.
    fn open_message(&self, desk: &Desk, message: &str, asker: &Asker<'_>) {
        let message = access::message(message);
        let known = desk.messages.as_ref().zip(message);
        let reader = desk.judge.reader(&asker.load(MailAction::Open, None));
        let raw = RawMail {
            known: known.is_some(),
            signals: &asker.fields.signals(),
            // Without it no token was handed out, and a revoked one is forgotten by the store.
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

    /// As it was sent: nothing in a token is encoded, so what is encoded is none.
    fn token<'a>(&self, request: &'a HttpRequest, under: &str) -> Option<&'a str> {
        request.uri().path().strip_prefix(&self.prefix)?.strip_prefix(under)
    }

    /// A page that is counted itself.
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

/// In UTC: a token belongs to no calendar.
fn today(now: Millis) -> Day {
    let now = Timestamp::from_millisecond(now).unwrap_or_default();
    Day::from_date(now.to_zoned(TimeZone::UTC).date()).unwrap_or(Day::from_number(u16::MAX))
}
