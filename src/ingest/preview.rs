//! Previews the rows that the next view of a page would add, computed by the same code that counts,
//! for the person who asks. Nothing is counted or kept: the rows are made in a table for one call, and
//! the day's memory is only asked whether it knows the visitor.

use actix_web::HttpRequest;

use super::edge::Edge;
use super::fields::Fields;
use crate::aggregate::{Counted, Sums, Sym, Table};
use crate::enrich::Page;
use crate::event::{Counter, Counts, Dimension, Ground, Kind, Payload, RawHit, Refusal, Subject};
use crate::http::{peer, without_port};
use crate::pseudonym::{Event, seal};

/// What a view would add.
pub struct Preview {
    /// The rows it would raise, totals first.
    pub rows: Vec<Raised>,
    /// Whether the visitor was counted on this site today, and the view adds no visitor.
    pub known_today: bool,
}

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
    pub async fn preview(&self, request: &HttpRequest, host: &str, path: &str) -> Result<Preview, Refusal> {
        let counted = Counted::Hit(self.next_view(request, host, path)?);
        let mut table = Table::new(self.caps.clone(), 0);
        table.count(&counted);
        let mut rows = raised(&table.take(1, 1).sums);

        let foreseen = match counted {
            Counted::Hit(event) => self.inbox.foresee(event).await,
            Counted::Mail(_) => None,
        };
        // The day's first hit is the first of everything, as in the new table.
        let Some(foreseen) = foreseen else { return Ok(Preview { rows, known_today: false }) };

        for row in &mut rows {
            let (visitors, visits) = if row.subject == Subject::Site { foreseen.site } else { foreseen.item };
            // A visitor who refuses the visit cookie is new with each hit, but among attributes once a visit at most.
            let visitors = if row.dimension == Dimension::Total { visitors } else { visitors.min(visits) };
            row.counts = row.counts.with(Counter::Visitors, visitors).with(Counter::Visits, visits);
        }
        rows.retain(|row| !row.counts.is_zero());
        Ok(Preview { rows, known_today: foreseen.known_today && foreseen.site.0 == 0 })
    }

    /// The event the view would be. Synchronous, so that nothing personal outlives it.
    fn next_view(&self, request: &HttpRequest, host: &str, path: &str) -> Result<Event, Refusal> {
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
        let key = self.keys.at(site.zone, caller.at);
        Ok(seal(hit, site, page.path_below(site.path).into(), facts, &key, self.mode))
    }
}

fn raised(sums: &Sums) -> Vec<Raised> {
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
    totals.chain(attributes).collect()
}

/// Ids of a batch's texts start at 1; 0 is the empty text, which is not in the list.
fn text(strings: &[Box<str>], sym: Sym) -> Box<str> {
    match sym.0 {
        0 => "".into(),
        n => strings[n as usize - 1].clone(),
    }
}
