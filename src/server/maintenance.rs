//! Maintenance: evicts expired entries, releases held clicks, and reloads changed files.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;

use super::key_files::{CookieKeyFile, GrantKeyFile};
use super::signals::OtherSignals;
use crate::consent::ConsentPolicy;
use crate::enrich::Enricher;
use crate::http::RateLimiters;
use crate::web as pages;

/// Runs as long as the collector.
pub(super) async fn run_maintenance(
    site: web::Data<pages::AppState>,
    rates: Arc<RateLimiters>,
    files: ReloadableFiles,
    reload: Duration,
    mut signals: OtherSignals,
) {
    let mut tidy = tokio::time::interval(Duration::from_secs(2));
    let mut reload = tokio::time::interval(reload);
    let mut release = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            _ = tidy.tick() => {
                site.clock.check_system_clock();
                rates.evict_expired();
                site.registry.evict_sign_outs(super::parts::today_utc(&site.clock));
            }
            _ = release.tick() => site.release_clicks(site.clock.now()),
            _ = reload.tick() => {
                reload_changed_files(&site, &files);
            }
            () = signals.wait_for_hangup() => {
                let [grant_keys, cookie_keys, countries, mail_lists, datacenter_networks] = reload_changed_files(&site, &files);
                tracing::info!(grant_keys, cookie_keys, countries, mail_lists, datacenter_networks, "SIGHUP: files were looked at; the configuration itself needs a restart");
            }
        }
    }
}

/// Parts whose files may change while the collector runs.
pub(super) struct ReloadableFiles {
    pub(super) enricher: Arc<Enricher>,
    pub(super) grant_keys: Arc<GrantKeyFile>,
    pub(super) cookie_keys: Arc<CookieKeyFile>,
    pub(super) terms: Arc<ConsentPolicy>,
}

const STATUS_RELOADED: &str = "read again";
const STATUS_UNCHANGED: &str = "unchanged";
const STATUS_UNREADABLE: &str = "unreadable, the former ones stay in use";
const STATUS_UNUSED: &str = "not used";

/// Reloads files that changed: keys that sign grants, keys of sessions, the country database, the
/// mail client lists, the networks of data centres. Returns the outcome of each, in this order.
fn reload_changed_files(site: &pages::AppState, files: &ReloadableFiles) -> [&'static str; 5] {
    let grant_keys = match files.grant_keys.reload_if_changed() {
        Ok(Some(keys)) => {
            files.terms.replace_keys(keys);
            tracing::info!("reloaded the keys that sign grants");
            STATUS_RELOADED
        }
        Ok(None) => STATUS_UNCHANGED,
        Err(error) => {
            let error = format!("{error:#}");
            tracing::warn!(
                error,
                "the keys that sign grants could not be reloaded; the old ones stay in use"
            );
            STATUS_UNREADABLE
        }
    };

    let cookie_keys = match files.cookie_keys.reload_if_changed() {
        Ok(Some(keys)) => {
            site.auth.replace_cookie_keys(keys);
            tracing::info!("reloaded the keys that encrypt sessions");
            STATUS_RELOADED
        }
        Ok(None) => STATUS_UNCHANGED,
        Err(error) => {
            let error = format!("{error:#}");
            tracing::warn!(
                error,
                "the keys that encrypt sessions could not be reloaded; the old ones stay in use"
            );
            STATUS_UNREADABLE
        }
    };

    let countries = match files.enricher.countries().reload_if_changed() {
        Ok(true) => {
            tracing::info!("reloaded the country database");
            STATUS_RELOADED
        }
        Ok(false) => STATUS_UNCHANGED,
        Err(error) => {
            tracing::warn!(%error, "the country database could not be reloaded; the old one stays \
                in use");
            STATUS_UNREADABLE
        }
    };

    let mail_lists = match site
        .mail
        .as_ref()
        .map(|desk| desk.classifier.reload_if_changed())
    {
        Some(Ok(true)) => {
            tracing::info!("the lists of who loads mails were read again");
            STATUS_RELOADED
        }
        Some(Ok(false)) => STATUS_UNCHANGED,
        None => STATUS_UNUSED,
        Some(Err(error)) => {
            tracing::warn!(%error, "the lists that classify mail readers could not be reloaded; \
                the old ones stay in use");
            STATUS_UNREADABLE
        }
    };

    let data_centres = files.enricher.data_centres();
    let datacenter_networks = match data_centres.reload_if_changed() {
        Ok(true) => {
            tracing::info!("reloaded the networks of data centres");
            STATUS_RELOADED
        }
        Ok(false) if data_centres.is_enabled() => STATUS_UNCHANGED,
        Ok(false) => STATUS_UNUSED,
        Err(error) => {
            tracing::warn!(%error, "the networks of data centres could not be reloaded; the old \
                ones stay in use");
            STATUS_UNREADABLE
        }
    };
    [
        grant_keys,
        cookie_keys,
        countries,
        mail_lists,
        datacenter_networks,
    ]
}
