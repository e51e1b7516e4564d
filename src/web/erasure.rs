//! `POST /api/v1/sites/{site}/erase`: removes a site from everything that is stored.
//!
//! Order: the record of the action, the journal, the tables. A failure at any point is repaired by
//! the same request again.

use std::time::Duration;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::AppState;
use super::access::Permission;
use crate::access::{AuditAction, Principal, random_id};
use crate::config::is_site_name;
use crate::event::{Problem, SiteId};
use crate::store::ErasedSite;

/// The end of the paths that have no deadline: rewriting large tables takes minutes.
pub(super) const ERASE_PATH_END: &str = "/erase";

/// How long to wait for the store to take the journal's segments.
const MAX_WAIT_FOR_SEGMENTS: Duration = Duration::from_secs(60);

pub(super) fn register_routes(config: &mut web::ServiceConfig) {
    config.route("/api/v1/sites/{site}/erase", web::post().to(erase_site));
}

async fn erase_site(
    request: HttpRequest,
    name: web::Path<String>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let who = site.authorize_request(&request, Permission::EraseSite(&name))?;
    if !is_site_name(&name) {
        return Err(Problem::unknown_site());
    }

    // A task of its own: it continues if the client leaves.
    let erased = actix_web::rt::spawn(async move { site.erase_everywhere(&who, &name).await })
        .await
        .unwrap_or_else(|_| Err(Problem::change_unconfirmed()))?;
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(erased))
}

impl AppState {
    async fn erase_everywhere(&self, who: &Principal, name: &str) -> Result<Value, Problem> {
        let names = self.registry.all_names_of(name)?;
        let reference = random_id();
        // The site's name would outlive the site in the audit log.
        let by = self.audit_entry(who, AuditAction::EraseSite, &*reference);
        self.registry.record_action(by).await?;

        let _paused = self.publisher.pause_publication().await;
        for name in &names {
            self.forget_in_journal(SiteId::from_key(name)).await?;
        }
        let erased = ErasedSite { names, reference };
        let rows = self.registry.erase_site(&erased).await?;

        let configured = self
            .registry
            .directory
            .configured_sites()
            .iter()
            .any(|rule| erased.names.contains(&rule.id));
        let quarantined = self.journal.folder.quarantined_files().unwrap_or_default();
        Ok(json!({
            "reference": erased.reference,
            "rows": rows,
            "configured": configured,
            "quarantined": quarantined,
            "backups": [],
        }))
    }

    /// Waits until the journal holds nothing of the site.
    async fn forget_in_journal(&self, id: SiteId) -> Result<(), Problem> {
        self.release_clicks(self.clock.now());
        let last = self
            .journal
            .forget_site(id)
            .await
            .ok_or_else(Problem::change_unconfirmed)?;
        let mut flushed = self.flushed_segment.clone();
        let sent = flushed.wait_for(|done| done.is_some_and(|done| done >= last));
        match tokio::time::timeout(MAX_WAIT_FOR_SEGMENTS, sent).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Problem::change_unconfirmed()),
        }
    }
}
