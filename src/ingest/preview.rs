//! Previews the rows that the next view of a page would add, computed by the code that counts.
//! Nothing is counted or kept: the rows are built in an aggregator of their own, and the day's
//! state is only queried.

use actix_web::HttpRequest;

use super::forward::{MAX_OVERHEAD_BYTES, RequestOrigin};
use super::headers::RequestHeaders;
use super::service::IngestService;
use crate::aggregate::{Aggregator, CountedEvent, SegmentSums, StringId};
use crate::cluster::{BufferReader, CallBuffer, CallKind, PeerId};
use crate::consent::RawHit;
use crate::enrich::PageUrl;
use crate::event::{
    CounterKind, CounterValues, Dimension, DropReason, HitKind, HitPayload, LegalBasis, Subject,
};
use crate::http::{peer_address, strip_port};
use crate::pseudonym::{Event, Pseudonymizer};
use crate::visits::VisitEstimate;

/// What a view would add.
pub struct ViewPreview {
    /// The rows it would increase, totals first.
    pub rows: Vec<PreviewRow>,
    /// Whether the visitor was counted on this site today, and the view adds no visitor.
    pub known_today: bool,
}

/// One row that a view would add: of totals, or of an attribute.
pub struct PreviewRow {
    /// What is counted: the site or the page.
    pub subject: Subject,
    /// `Total` for totals, otherwise the attribute's dimension.
    pub dimension: Dimension,
    /// Path of the page; empty for the site.
    pub item: Box<str>,
    /// Value of the attribute; empty for totals.
    pub value: Box<str>,
    /// Counts the view adds. Attributes have visitors and visits only.
    pub counts: CounterValues,
}

impl IngestService {
    /// Previews a view. `host` is the host of the browser's request, `path` the page's path.
    ///
    /// # Errors
    ///
    /// The reason why the view would be dropped.
    pub async fn preview_view(
        &self,
        request: &HttpRequest,
        host: &str,
        path: &str,
    ) -> Result<ViewPreview, DropReason> {
        let fields = RequestHeaders::from_header_map(request.headers());
        let view = PreviewedView {
            origin: RequestOrigin::new(&self.proxies, peer_address(request), &fields),
            fields,
            host,
            path,
        };
        let (counted, owner) = self.next_view_event(&view)?;
        let counted = CountedEvent::Hit(counted);
        let mut table = Aggregator::new(self.aggregator_limits.clone(), 0);
        table.count_event(&counted);
        let mut rows = preview_rows(&table.take_delta(1, 1).sums);

        let foreseen = match (counted, owner) {
            (_, Some(owner)) => self.request_estimate(owner, &view).await,
            (CountedEvent::Hit(event), None) => self.hit_queue.estimate_view(event).await,
            (CountedEvent::Mail(_), None) => None,
        };
        // The day's first hit is the first of everything, as in the new aggregator.
        let Some(foreseen) = foreseen else {
            return Ok(ViewPreview {
                rows,
                known_today: false,
            });
        };

        for row in &mut rows {
            let (visitors, visits) = if row.subject == Subject::Site {
                foreseen.site_counts
            } else {
                foreseen.item_counts
            };
            // A visitor whose browser does not store the visit cookie is new with each hit, but
            // among attributes at most once per visit.
            let visitors = if row.dimension == Dimension::Total {
                visitors
            } else {
                visitors.min(visits)
            };
            row.counts = row
                .counts
                .with_value(CounterKind::Visitors, visitors)
                .with_value(CounterKind::Visits, visits);
        }
        rows.retain(|row| !row.counts.is_zero());
        Ok(ViewPreview {
            rows,
            known_today: foreseen.known_today && foreseen.site_counts.0 == 0,
        })
    }

    /// Asks the collector that counts the visitor's network.
    async fn request_estimate(
        &self,
        owner: PeerId,
        view: &PreviewedView<'_>,
    ) -> Option<VisitEstimate> {
        let cluster = self.cluster.as_ref()?;
        let request = view.to_buffer(&self.cookie_names);
        let reply = cluster.send_call(owner, CallKind::Preview, request).await;
        read_estimate(&reply.ok()?)
    }

    /// Answers such a call of another collector.
    pub async fn answer_preview(&self, request: CallBuffer) -> CallBuffer {
        let event = PreviewedView::read_from(request.as_bytes())
            .and_then(|view| Some(self.next_view_event(&view).ok()?.0));
        drop(request);
        let estimate = match event {
            Some(event) => self.hit_queue.estimate_view(event).await,
            None => None,
        };
        let mut reply = CallBuffer::default();
        if let Some(estimate) = estimate {
            let (site, item) = (estimate.site_counts, estimate.item_counts);
            for count in [site.0, site.1, item.0, item.1] {
                reply.push_bytes(&count.to_le_bytes());
            }
            reply.push_byte(u8::from(estimate.known_today));
        }
        reply
    }

    /// The event that the view would make, and the other collector that would count it.
    /// Synchronous, so that no personal data outlives the call.
    fn next_view_event(
        &self,
        view: &PreviewedView<'_>,
    ) -> Result<(Event, Option<PeerId>), DropReason> {
        let (request, client) = self.request_caller(&view.fields, &view.origin);
        let caller = self.gate.read_choice(request);
        let request = caller.request();
        let url = format!("https://{}{}", strip_port(view.host), view.path);
        let page = PageUrl::parse(&url).map_err(|_| DropReason::UnknownSite)?;
        let hosts = self.directory.resolver();
        let site = hosts.resolve_page(page.host(), page.lookup_path());

        let payload = HitPayload::new(HitKind::View, "");
        let ground = LegalBasis::VisitorChoice;
        let hit = self.gate.admit_for_preview(RawHit {
            caller: &caller,
            payload,
            site,
            legal_basis: ground,
            over_rate: false,
        })?;
        let site = site.ok_or(DropReason::UnknownSite)?;
        let facts =
            self.enricher
                .derive_attributes(&page, "", client, &request.address, request.language);
        let key = self.keys.get_or_create(site.zone, request.received_at);
        let owner = self
            .cluster
            .as_ref()
            .and_then(|cluster| cluster.remote_owner(request.address.network(), key.span.start));
        let item = page.clean_path_below(site.path).into();
        let mut pseudonymizer = Pseudonymizer::default();
        let event = pseudonymizer.pseudonymize(hit, site, item, facts, &key, self.mode);
        Ok((event, owner))
    }
}

/// A view that was not made.
struct PreviewedView<'a> {
    origin: RequestOrigin,
    fields: RequestHeaders<'a>,
    host: &'a str,
    path: &'a str,
}

impl<'a> PreviewedView<'a> {
    fn to_buffer(&self, cookie_names: &[String]) -> CallBuffer {
        let texts = self.host.len() + self.path.len() + self.fields.byte_count;
        let mut buffer = CallBuffer::with_capacity(texts + MAX_OVERHEAD_BYTES);
        self.origin.push_to(&mut buffer);
        self.fields.push_to(&mut buffer, cookie_names);
        buffer.push_field(self.host.as_bytes());
        buffer.push_field(self.path.as_bytes());
        buffer
    }

    fn read_from(bytes: &'a [u8]) -> Option<PreviewedView<'a>> {
        let mut from = BufferReader::new(bytes);
        Some(PreviewedView {
            origin: RequestOrigin::read_from(&mut from)?,
            fields: RequestHeaders::read_from(&mut from)?,
            host: from.read_text()?,
            path: from.read_text()?,
        })
    }
}

fn read_estimate(reply: &CallBuffer) -> Option<VisitEstimate> {
    let mut from = BufferReader::new(reply.as_bytes());
    let mut count = || from.read_array().map(u32::from_le_bytes);
    let site_counts = (count()?, count()?);
    let item_counts = (count()?, count()?);
    Some(VisitEstimate {
        site_counts,
        item_counts,
        known_today: from.read_byte()? == 1,
    })
}

fn preview_rows(sums: &SegmentSums) -> Vec<PreviewRow> {
    let totals = sums.daily.iter().map(|(key, counts)| PreviewRow {
        subject: key.subject,
        dimension: Dimension::Total,
        item: resolve_string(&sums.strings, key.item),
        value: "".into(),
        counts: *counts,
    });

    let of_attributes = |sym| resolve_string(&sums.attributes.strings, sym);
    let attributes = sums.attributes.rows.iter().map(|(key, counts)| PreviewRow {
        subject: key.subject,
        dimension: key.dim,
        item: of_attributes(key.item),
        value: of_attributes(key.value),
        counts: CounterValues::zeros()
            .with_value(CounterKind::Visitors, counts.visitors)
            .with_value(CounterKind::Visits, counts.visits),
    });
    totals.chain(attributes).collect()
}

/// Ids of a batch's texts start at 1; 0 is the empty text, which is not in the list.
fn resolve_string(strings: &[Box<str>], sym: StringId) -> Box<str> {
    match sym.0 {
        0 => "".into(),
        n => strings[n as usize - 1].clone(),
    }
}
