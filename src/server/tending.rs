//! Small things that need doing now and then: what is over is forgotten, clicks are let go, files that changed are read again.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;

use super::granting::GrantKeyFile;
use crate::consent::Terms;
use crate::enrich::Enricher;
use crate::http::Rates;
use crate::web as pages;

/// For as long as the collector runs.
pub(super) async fn tend(site: web::Data<pages::Site>, rates: Arc<Rates>, files: Files, reload: Duration) {
    let mut tidy = tokio::time::interval(Duration::from_secs(2));
    let mut reload = tokio::time::interval(reload);
    let mut release = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            _ = tidy.tick() => {
                rates.tidy();
                site.access.tidy(site.clock.now());
            }
            _ = release.tick() => site.release_clicks(site.clock.now()),
            _ = reload.tick() => read_again(&site, &files),
        }
    }
}

/// What is read from files that may change while it runs.
pub(super) struct Files {
    pub(super) enricher: Arc<Enricher>,
    pub(super) grant_keys: Arc<GrantKeyFile>,
    pub(super) terms: Arc<Terms>,
}

/// Data files that changed.
fn read_again(site: &pages::Site, files: &Files) {
    match files.grant_keys.changed() {
        Ok(Some(keys)) => {
            files.terms.take(keys);
            tracing::info!("the keys that sign grants were read again");
        }
        Ok(None) => {}
        Err(error) => {
            let error = format!("{error:#}");
            tracing::warn!(error, "the keys that sign grants could not be read again; the old ones stay in use")
        }
    }
    match files.enricher.countries().reload_if_changed() {
        Ok(true) => tracing::info!("the country database was read again"),
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(%error, "the country database could not be read again; the old one stays in use")
        }
    }
    match site.mail.as_ref().map(|desk| desk.judge.reload_if_changed()) {
        Some(Ok(true)) => tracing::info!("the lists of who loads mails were read again"),
        Some(Ok(false)) | None => {}
        Some(Err(error)) => {
            tracing::warn!(%error, "the lists of who loads mails could not be read again; the old ones stay in use")
        }
    }
}
