//! `GET {prefix}/consent/receipt`: the ledger's lines about this browser's grant, unchanged, signed
//! by the ledger's key.

use std::sync::LazyLock;

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, web};

use super::ConsentService;
use crate::cluster::{CallBuffer, CallKind};
use crate::consent::ConsentId;
use crate::event::{Problem, ProblemCode};
use crate::outage::Outage;

static LEDGER_OUTAGE: LazyLock<Outage> = LazyLock::new(Outage::default);

/// `GET {prefix}/consent/receipt`.
pub(super) async fn get_receipt(
    request: HttpRequest,
    asking: web::Data<ConsentService>,
) -> Result<HttpResponse, Problem> {
    let none = || Problem::new(ProblemCode::NoReceipt);
    let id = asking
        .stored_choice(&request)
        .and_then(|stored| stored.id)
        .ok_or_else(none)?;

    let (at, own_id) = (asking.clone(), id.duplicate_id());
    let receipt = match web::block(move || at.ledger.create_receipt(&own_id)).await {
        Ok(Ok(Some(receipt))) => receipt,
        Ok(Ok(None)) => asking.request_receipt(&id).await?.ok_or_else(none)?,
        _ => {
            if LEDGER_OUTAGE.record_failure() {
                tracing::error!("the ledger cannot be read for a receipt");
            }
            return Err(Problem::new(ProblemCode::LedgerUnavailable));
        }
    };
    if let Some(failures) = LEDGER_OUTAGE.record_success() {
        tracing::info!(failures, "the ledger can be read for receipts again");
    }

    Ok(asking
        .response_builder()
        .insert_header((CONTENT_TYPE, "application/json"))
        .insert_header((
            CONTENT_DISPOSITION,
            "attachment; filename=\"consent-receipt.json\"",
        ))
        .body(receipt))
}

impl ConsentService {
    /// The receipt of a grant that is on record at another collector of the cluster, signed with
    /// the key of its ledger.
    ///
    /// # Errors
    ///
    /// No collector that answered has it, and one did not answer.
    async fn request_receipt(&self, id: &ConsentId) -> Result<Option<String>, Problem> {
        let Some(cluster) = &self.cluster else {
            return Ok(None);
        };
        let id = id.to_hex();
        let replies = cluster.call_others(CallKind::Receipt, id.as_bytes()).await;
        let receipt = |reply: CallBuffer| {
            let text = std::str::from_utf8(reply.as_bytes()).ok()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let have_all_answered = cluster.is_complete() && replies.iter().all(Option::is_some);
        match replies.into_iter().flatten().find_map(receipt) {
            None if !have_all_answered => Err(Problem::new(ProblemCode::LedgerUnavailable)),
            found => Ok(found),
        }
    }

    /// Answers such a request of another collector; empty without a record.
    pub async fn answer_receipt(&self, request: CallBuffer) -> CallBuffer {
        let id = std::str::from_utf8(request.as_bytes());
        let id = id.ok().and_then(ConsentId::from_hex);
        let ledger = self.ledger.clone();
        let read = async {
            let id = id?;
            let created = tokio::task::spawn_blocking(move || ledger.create_receipt(&id));
            created.await.ok()?.ok()?
        };
        let mut reply = CallBuffer::default();
        reply.push_bytes(read.await.unwrap_or_default().as_bytes());
        reply
    }
}
