//! Answers the calls of other collectors.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::cluster::{CallBuffer, CallHandler, CallKind, ReplyFuture};
use crate::consent::WithdrawnGrants;
use crate::ingest::IngestService;
use crate::ingest::mail::MailIngestService;
use crate::web::consent::ConsentService;
use crate::web::{AppState, answer_live_visitors};

/// The parts that answer calls.
pub(super) struct ClusterCalls {
    pub(super) ingest: Arc<IngestService>,
    pub(super) mail: Arc<MailIngestService>,
    pub(super) site: Arc<AppState>,
    pub(super) consent_service: Arc<ConsentService>,
    pub(super) withdrawn: Arc<WithdrawnGrants>,
}

impl CallHandler for ClusterCalls {
    fn answer_call(self: Arc<Self>, kind: CallKind, payload: CallBuffer) -> ReplyFuture {
        Box::pin(async move {
            match kind {
                CallKind::Heartbeat | CallKind::Replacement => CallBuffer::default(),
                CallKind::Hits => self.ingest.answer_forwarded(payload).await,
                CallKind::Mail => self.mail.answer_forwarded(payload).await,
                CallKind::Registry => self.site.registry.answer_change().await,
                CallKind::Withdrawals => {
                    let (digests, _) = payload.as_bytes().as_chunks::<32>();
                    digests
                        .iter()
                        .for_each(|digest| self.withdrawn.insert_digest(*digest));
                    CallBuffer::default()
                }
                CallKind::UsedTokens => self.site.answer_used_tokens(&payload),
                CallKind::LiveVisitors => answer_live_visitors(&self.site.journal, &payload).await,
                CallKind::Receipt => self.consent_service.answer_receipt(payload).await,
                CallKind::Preview => self.ingest.answer_preview(payload).await,
            }
        })
    }

    fn visitors_in_memory(&self) -> u64 {
        self.site.journal.stats.visitors.load(Ordering::Relaxed)
    }
}
