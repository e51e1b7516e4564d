//! `GET /api/v1/compliance`: the value of every promise, as this collector keeps it now.

use std::sync::atomic::Ordering;

use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::future::try_join_all;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::AppState;
use super::access::Permission;
use super::api::{json_response, store_problem};
use super::consent::ConsentService;
use crate::calendar::Day;
use crate::config::Config;
use crate::event::Problem;
use crate::store::{AUDIT_RETENTION_DAYS, HeldSince, WITHDRAWAL_RETENTION_DAYS};

pub(super) fn register_routes(config: &mut web::ServiceConfig) {
    config.route("/api/v1/compliance", web::get().to(get_compliance));
}

/// Promises that follow from the configuration alone. Each value is of the configuration that is in
/// force.
pub struct ConfiguredPromises(Value);

impl ConfiguredPromises {
    /// Reads them from the configuration.
    pub fn from_config(config: &Config) -> ConfiguredPromises {
        ConfiguredPromises(json!({
            "preset": config.preset,
            "publication": {
                "k": config.report.k,
                "share_k": config.report.share_k,
                "open_lot": config.report.open_lot,
            },
            "consent": {
                "basis": config.consent.basis,
                "version": config.consent.version,
                "effective_date": config.policy.effective_date,
                "tiers": config.consent.tiers,
                "reprompt": config.consent.reprompt,
                "cookie": config.consent.cookie.name,
                "cookie_secs": config.consent.cookie.max_age_secs,
            },
            "signals": { "gpc": config.signals.gpc, "dnt": config.signals.dnt },
            "visitors": {
                "mode": config.visitor.mode,
                "cookie_secs": config.visitor.cookie.max_age_secs,
                "visit_gap_secs": config.visitor.visit_gap_secs,
            },
            "journal": {
                "segment_secs": config.journal.segment_secs,
                "attribute_secs": config.journal.attribute_secs,
            },
            "mail": {
                "enabled": config.mail.enabled,
                "mode": config.mail.mode,
                "expiry_days": config.mail.expiry_days,
                "message_days": config.mail.message_days,
            },
        }))
    }
}

async fn get_compliance(
    request: HttpRequest,
    site: web::Data<AppState>,
    asking: web::Data<ConsentService>,
) -> Result<HttpResponse, Problem> {
    site.check_permission(&request, Permission::ReadPlatform)?;
    let state = site.compliance_state(&asking).await?;
    Ok(json_response(&request, false, &state))
}

impl AppState {
    async fn compliance_state(&self, asking: &ConsentService) -> Result<Value, Problem> {
        let shards = self.require_all_shards()?;
        let held = try_join_all(shards.iter().map(|shard| shard.held_since()));
        let held = HeldSince::of_shards(&held.await.map_err(store_problem)?);
        let day = |number: Option<u16>| number.map(|number| Day::from_number(number).to_string());
        let now = Timestamp::from_millisecond(self.clock.now()).unwrap_or_default();
        let policy = self.registry.directory.retention_policy();
        let published = self.publisher.stats();
        let last = published.last_success_secs.load(Ordering::Relaxed);
        let last = i64::try_from(last).ok().filter(|secs| *secs > 0);
        let records = asking.ledger.record_counts();

        let mut answer = self.promises.0.clone();
        let mut set = |section: &str, key: &str, value: Value| answer[section][key] = value;
        set("retention", "keep_days", policy.default_days().into());
        set("retention", "sites", json!(policy.named_sites()));
        set("retention", "oldest_day", json!(day(held.oldest_day)));
        set("retention", "audit_days", AUDIT_RETENTION_DAYS.into());
        set(
            "retention",
            "withdrawal_days",
            WITHDRAWAL_RETENTION_DAYS.into(),
        );
        let last = last.and_then(|secs| Timestamp::from_second(secs).ok());
        let last = last.map(|at| at.to_string());
        set("publication", "last", json!(last));
        set(
            "publication",
            "overdue_secs",
            published.overdue_secs(self.clock.now()).into(),
        );
        set(
            "publication",
            "oldest_unpublished_day",
            json!(day(held.oldest_unpublished)),
        );
        set(
            "publication",
            "oldest_pending_week",
            json!(day(held.oldest_pending)),
        );
        set(
            "signals",
            "gpc_obeyed",
            asking.consent_policy.obeys_gpc().into(),
        );
        let (held, overdue) = self.health.day_key_counts();
        answer["day_keys"] = json!({ "held": held, "overdue": overdue });
        answer["ledger"] = json!({
            "records": records.records,
            "grants": records.grants,
            "refusals": records.refusals,
            "withdrawals": records.withdrawals,
            "versions": asking.ledger.counts_by_version().into_keys().collect::<Vec<_>>(),
            "kept": "until the operator cuts it",
        });
        answer["at"] = json!(now.to_string());
        Ok(answer)
    }
}
