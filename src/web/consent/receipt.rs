//! `GET {prefix}/consent/receipt`: the ledger's lines about this browser's grant, unchanged, signed
//! by the ledger's key.

use std::sync::LazyLock;

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, web};

use super::ConsentService;
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

    let at = asking.clone();
    let receipt = match web::block(move || at.ledger.create_receipt(&id)).await {
        Ok(Ok(receipt)) => receipt.ok_or_else(none)?,
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
