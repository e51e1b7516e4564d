//! How to open the configured store.

use std::path::PathBuf;

use super::data_files::find_file;
use crate::config::{Config, is_site_name};
use crate::store::{BiUsers, EngineLimits, ShardPlace, StoreOptions};

/// How to open each replica of each shard of the configured store, in order; one entry for a store
/// without shards.
pub(crate) fn replica_options(config: &Config) -> Vec<StoreOptions> {
    let whole = store_options(config);
    if config.store.shards.is_empty() {
        return vec![whole];
    }
    let count = u32::try_from(config.store.shards.len()).unwrap_or(u32::MAX);
    let shards = (0..).zip(&config.store.shards);
    let replicas = shards.flat_map(|(index, urls)| urls.iter().map(move |url| (index, url, urls)));
    replicas
        .map(|(index, url, urls)| StoreOptions {
            url: Some(url.clone()),
            shard: ShardPlace::new(index, count),
            replica_urls: match config.store.is_replicated() {
                true => urls.clone(),
                false => Vec::new(),
            },
            ..whole.clone()
        })
        .collect()
}

/// How to open the configured store, or the first replica of its first shard.
pub(crate) fn store_options(config: &Config) -> StoreOptions {
    let store = &config.store;
    let replicas = store.shards.first().map_or(&[][..], Vec::as_slice);
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());

    StoreOptions {
        url: match replicas.first() {
            Some(first) => Some(first.clone()),
            None => some(&store.url),
        },
        shard: ShardPlace::new(0, u32::try_from(store.shards.len()).unwrap_or(u32::MAX)),
        replica_urls: match store.is_replicated() {
            true => replicas.to_vec(),
            false => Vec::new(),
        },
        user: some(&store.user),
        password: some(store.password.expose_secret()),
        ca_file: store_ca_file(config),
        database: store.database.clone(),
        cluster: some(&store.cluster),
        data_dir: store.dir.clone(),
        backup_dir: Some(config.backup.dir.clone()),
        // Refers to the running program, also if its file was replaced by a later version.
        program: PathBuf::from("/proc/self/exe"),
        library: find_file(&store.library, "@chdb/lib-linux-x64-gnu/libchdb.so")
            .unwrap_or_else(|| PathBuf::from("libchdb.so")),
        limits: EngineLimits {
            server_memory: store.memory_bytes,
            query_memory: store.query_memory_bytes,
            query_seconds: store.query_timeout_secs,
            connections: store.connections,
            bi_users: config.bi_port.is_enabled().then(|| BiUsers {
                count: config.bi_port.tokens,
                database: store.database.clone(),
                query_memory: config.bi_port.query_memory_bytes,
                query_seconds: config.bi_port.query_timeout_secs,
                result_rows: config.bi_port.result_rows,
                queries: config.bi_port.queries,
            }),
            ..EngineLimits::default()
        },
        site_names: configured_site_names(config),
    }
}

/// CA certificates for the store's TLS: `store.ca_file`, or else the environment's `SSL_CERT_FILE`.
pub(super) fn store_ca_file(config: &Config) -> Option<PathBuf> {
    let named = Some(&config.store.ca_file)
        .filter(|file| !file.is_empty())
        .map(PathBuf::from);
    named.or_else(|| {
        std::env::var_os("SSL_CERT_FILE")
            .filter(|file| !file.is_empty())
            .map(PathBuf::from)
    })
}

/// Names of the sites that the configuration lists.
fn configured_site_names(config: &Config) -> Vec<String> {
    let sites = config.sites.iter().map(|site| &site.id);
    let compatible = config.compatible.iter().flat_map(|rule| &rule.sites);
    sites
        .chain(compatible)
        .filter(|name| is_site_name(name))
        .cloned()
        .collect()
}
