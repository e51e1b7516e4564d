//! What the next view of a page would raise, worked out by the very code that would count it, for the person who asks. Nothing is counted
//! and nothing kept: the day's key is a new one that is thrown away, and so is the table.

use actix_web::HttpRequest;

use super::edge::Edge;
use super::fields::Fields;
use crate::aggregate::{Sym, Table};
use crate::enrich::Page;
use crate::event::{Counter, Counts, Dimension, Ground, Kind, Payload, RawHit, Refusal, Subject};
use crate::http::{peer, without_port};
use crate::pseudonym::{DayKeys, seal};

/// One row of totals, or of an attribute.
pub struct Raised {
    pub subject: Subject,
    pub dimension: Dimension,
    pub item: Box<str>,
    pub value: Box<str>,
    pub counts: Counts,
}

impl Edge {
    /// `host` is the one the browser asked, `path` that of the page. An error is why nothing would be counted.
    pub fn preview(&self, request: &HttpRequest, host: &str, path: &str) -> Result<Vec<Raised>, Refusal> {
        let fields = Fields::read(request.headers());
        let (caller, client) = self.caller(&fields, peer(request));
        let url = format!("https://{}{path}", without_port(host));
        let page = Page::parse(&url).map_err(|_| Refusal::UnknownSite)?;
        let hosts = self.directory.hosts();
        let site = hosts.resolve(page.host(), page.lookup_path());
        let payload = Payload::new(Kind::View, "");
        let ground = Ground::Asked;
        let hit = self.gate.judge(RawHit { caller: &caller, payload, site, ground, over_rate: false })?;
        let site = site.ok_or(Refusal::UnknownSite)?;
        let facts = self.enricher.facts(&page, "", client, &caller.address, caller.language);
        let key = DayKeys::random(self.directory.zones()).at(site.zone, caller.at);
        let mut table = Table::new(self.caps.clone(), 0);
        table.count(&seal(hit, site, page.path_below(site.path).into(), facts, &key, self.mode).into());
        let sums = table.take(1, 1).sums;
        let totals = sums.daily.iter().map(|(key, counts)| Raised {
            subject: key.subject,
            dimension: Dimension::Total,
            item: text(&sums.strings, key.item),
            value: "".into(),
            counts: *counts,
        });
        let of_attributes = |sym| text(&sums.attributes.strings, sym);
        let attributes = sums.attributes.rows.iter().map(|(key, counts)| Raised {
            subject: key.subject,
            dimension: key.dim,
            item: of_attributes(key.item),
            value: of_attributes(key.value),
            counts: Counts::none().with(Counter::Visitors, counts.visitors).with(Counter::Visits, counts.visits),
        });
        Ok(totals.chain(attributes).collect())
    }
}

/// Numbers of a batch's texts start at 1: the empty text is 0 and stands in none.
fn text(strings: &[Box<str>], sym: Sym) -> Box<str> {
    match sym.0 {
        0 => "".into(),
        n => strings[n as usize - 1].clone(),
    }
}
