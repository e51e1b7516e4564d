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
use super::api::store_problem;
use crate::access::{AuditAction, Principal, random_id};
use crate::backup::find_backups_of_site;
use crate::calendar::Day;
use crate::config::is_site_name;
use crate::event::{Problem, SiteId};
use crate::store::ErasedSite;

/// The end of the paths that have no deadline: rewriting large tables takes minutes.
pub(super) const ERASE_PATH_END: &str = "/erase";

/// How long to wait for the store to take the journal's segments.
const MAX_WAIT_FOR_SEGMENTS: Duration = Duration::from_secs(60);

/// The largest number of backups that the audit log names for one erasure.
const MAX_AUDITED_BACKUPS: usize = 50;

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
        // Nothing is begun while a part of the site could stay.
        if !self.shards.all_respond().await {
            return Err(Problem::store_unavailable());
        }
        let first_day = self.first_day_of(&names).await?;
        let backups = self.find_backups(&names, first_day).await;
        let reference = random_id();
        // The site's name would outlive the site in the audit log.
        let object = describe_erasure(&reference, backups.as_deref());
        let by = self.audit_entry(who, AuditAction::EraseSite, object);
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
            "first_day": first_day.map(|day| day.to_string()),
            "backups": backups.as_deref().unwrap_or_default(),
            "backups_read": backups.is_some(),
            "backup_dir": self.backup_dir.display().to_string(),
        }))
    }

    /// The first day with counts of a site, by any of its names.
    async fn first_day_of(&self, names: &[String]) -> Result<Option<Day>, Problem> {
        let mut first: Option<Day> = None;
        for name in names {
            let site = SiteId::from_key(name);
            let day = self
                .require_shard(site)?
                .site_reader(site)
                .first_day()
                .await;
            let day = day.map_err(store_problem)?;
            first = first.into_iter().chain(day).min();
        }
        Ok(first)
    }

    /// The names of backups that may hold a site; `None` if they cannot be read.
    async fn find_backups(&self, names: &[String], first_day: Option<Day>) -> Option<Vec<String>> {
        let (folder, names) = (self.backup_dir.clone(), names.to_vec());
        let found = web::block(move || find_backups_of_site(&folder, &names, first_day)).await;
        match found.ok()? {
            Ok(found) => Some(found.into_iter().map(|backup| backup.name).collect()),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(
                    error,
                    "the backups that hold an erased site cannot be listed"
                );
                None
            }
        }
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

/// What the audit log says about an erasure, without the site's name.
fn describe_erasure(reference: &str, backups: Option<&[String]>) -> String {
    match backups {
        None => format!("{reference}; the backups that hold it could not be listed"),
        Some([]) => format!("{reference}; no backup holds it"),
        Some(names) => {
            let listed = names[..names.len().min(MAX_AUDITED_BACKUPS)].join(", ");
            let more = match names.len().saturating_sub(MAX_AUDITED_BACKUPS) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{reference}; backups that may hold it: {listed}{more}")
        }
    }
}
