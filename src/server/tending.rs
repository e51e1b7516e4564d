//! Maintenance tasks: evicts expired entries, releases held clicks, reloads files that changed.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;

use super::granting::GrantKeyFile;
use super::signals::Others;
use crate::consent::Terms;
use crate::enrich::Enricher;
use crate::http::Rates;
use crate::web as pages;

/// Runs for as long as the collector does.
pub(super) async fn tend(
    site: web::Data<pages::Site>,
    rates: Arc<Rates>,
    files: Files,
    reload: Duration,
    mut signals: Others,
) {
    let mut tidy = tokio::time::interval(Duration::from_secs(2));
    let mut reload = tokio::time::interval(reload);
    let mut release = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            _ = tidy.tick() => {
                site.clock.look();
                rates.tidy();
                site.access.tidy(site.clock.now());
            }
            _ = release.tick() => site.release_clicks(site.clock.now()),
            _ = reload.tick() => {
                read_again(&site, &files);
            }
            () = signals.hangup() => {
                let [grant_keys, countries, mail_lists, datacenter_networks] = read_again(&site, &files);
                tracing::info!(grant_keys, countries, mail_lists, datacenter_networks, "SIGHUP: files were looked at; the configuration itself needs a restart");
            }
        }
    }
}

/// Parts whose files may change while the collector runs.
pub(super) struct Files {
    pub(super) enricher: Arc<Enricher>,
    pub(super) grant_keys: Arc<GrantKeyFile>,
    pub(super) terms: Arc<Terms>,
}

const READ: &str = "read again";
const SAME: &str = "unchanged";
const KEPT: &str = "unreadable, the former ones stay in use";
const NONE: &str = "not used";

/// Reloads files that changed: keys that sign grants, the country database, the mail client lists,
/// the networks of data centres.
/// Returns what became of each, in this order.
fn read_again(site: &pages::Site, files: &Files) -> [&'static str; 4] {
    let grant_keys = match files.grant_keys.changed() {
        Ok(Some(keys)) => {
            files.terms.take(keys);
            tracing::info!("the keys that sign grants were read again");
            READ
        }
        Ok(None) => SAME,
        Err(error) => {
            let error = format!("{error:#}");
            tracing::warn!(error, "the keys that sign grants could not be read again; the old ones stay in use");
            KEPT
        }
    };

    let countries = match files.enricher.countries().reload_if_changed() {
        Ok(true) => {
            tracing::info!("the country database was read again");
            READ
        }
        Ok(false) => SAME,
        Err(error) => {
            tracing::warn!(%error, "the country database could not be read again; the old one stays in use");
            KEPT
        }
    };

    let mail_lists = match site.mail.as_ref().map(|desk| desk.judge.reload_if_changed()) {
        Some(Ok(true)) => {
            tracing::info!("the lists of who loads mails were read again");
            READ
        }
        Some(Ok(false)) => SAME,
        None => NONE,
        Some(Err(error)) => {
            tracing::warn!(%error, "the lists of who loads mails could not be read again; the old ones stay in use");
            KEPT
        }
    };

    let data_centres = files.enricher.data_centres();
    let datacenter_networks = match data_centres.reload_if_changed() {
        Ok(true) => {
            tracing::info!("the networks of data centres were read again");
            READ
        }
        Ok(false) if data_centres.is_used() => SAME,
        Ok(false) => NONE,
        Err(error) => {
            tracing::warn!(%error, "the networks of data centres could not be read again; the old ones stay in use");
            KEPT
        }
    };
    [grant_keys, countries, mail_lists, datacenter_networks]
}
