//! `GET {prefix}/consent/receipt`: the ledger's lines about this browser's grant, unchanged, signed
//! by the ledger's key.

use std::sync::LazyLock;

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, web};

use super::ConsentService;
use crate::event::Problem;
use crate::http::problem_response;
use crate::outage::Outage;

static LEDGER_OUTAGE: LazyLock<Outage> = LazyLock::new(Outage::default);

/// `GET {prefix}/consent/receipt`.
pub(super) async fn get_receipt(
    request: HttpRequest,
    asking: web::Data<ConsentService>,
) -> HttpResponse {
    let id = asking.stored_choice(&request).and_then(|stored| stored.id);
    let none = Problem::new(
        404,
        "no_receipt",
        "There is no record of a grant of this browser",
    );
    let Some(id) = id else {
        return problem_response(&none, None).await;
    };
    let at = asking.clone();
    let receipt = web::block(move || at.ledger.create_receipt(&id)).await;
    let receipt = match receipt {
        Ok(Ok(Some(receipt))) => receipt,
        Ok(Ok(None)) => return problem_response(&none, None).await,
        _ => {
            if LEDGER_OUTAGE.record_failure() {
                tracing::error!("the ledger cannot be read for a receipt");
            }
            let away = Problem::new(503, "not_read", "The ledger cannot be read right now");
            return problem_response(&away, None).await;
        }
    };
    if let Some(failures) = LEDGER_OUTAGE.record_success() {
        tracing::info!(failures, "the ledger can be read for receipts again");
    }
    asking
        .response_builder()
        .insert_header((CONTENT_TYPE, "application/json"))
        .insert_header((
            CONTENT_DISPOSITION,
            "attachment; filename=\"consent-receipt.json\"",
        ))
        .body(receipt)
}
