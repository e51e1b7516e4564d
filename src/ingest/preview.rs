//! Previews the rows that the next view of a page would add, computed by the same code that counts,
//! for the person who asks. Nothing is counted or kept: the day's key and the table are made for
//! one call.

use actix_web::HttpRequest;

use super::edge::Edge;
use super::fields::Fields;
use crate::aggregate::{Sym, Table};
use crate::enrich::Page;
use crate::event::{Counter, Counts, Dimension, Ground, Kind, Payload, RawHit, Refusal, Subject};
use crate::http::{peer, without_port};
use crate::pseudonym::{DayKeys, seal};

/// One row that a view would add: of totals, or of an attribute.
pub struct Raised {
    /// What is counted: the site or the page.
    pub subject: Subject,
    /// `Total` for totals, otherwise the attribute's dimension.
    pub dimension: Dimension,
    /// Path of the page; empty for the site.
    pub item: Box<str>,
    /// Value of the attribute; empty for totals.
    pub value: Box<str>,
    /// Counts the view adds. Attributes have visitors and visits only.
    pub counts: Counts,
}

impl Edge {
    /// Previews a view. `host` is the one the browser asked for, `path` the page's.
    ///
    /// # Errors
    ///
    /// The reason why the view would be dropped.
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

/// Ids of a batch's texts start at 1; 0 is the empty text, which is not in the list.
fn text(strings: &[Box<str>], sym: Sym) -> Box<str> {
    match sym.0 {
        0 => "".into(),
        n => strings[n as usize - 1].clone(),
    }
}
