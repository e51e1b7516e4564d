//! The files of data that the collector reads: countries, networks of data centres, the engine.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::config::Config;
use crate::enrich::{CountryDatabase, DataCentreNetworks};

/// Opens the country database of `data.countries`, or the npm package's. Without one, every country
/// is `(unknown)`.
///
/// # Errors
///
/// The file exists but is not a readable database.
pub(crate) fn open_countries(config: &Config) -> anyhow::Result<CountryDatabase> {
    let file = "@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb";
    match find_file(&config.data.countries, file) {
        Some(path) => CountryDatabase::open(path).context("data.countries"),
        None => {
            tracing::warn!(
                "no country database was found (data.countries); every country is (unknown)"
            );
            Ok(CountryDatabase::without_file())
        }
    }
}

/// Opens the networks of `data.datacenter_networks`; without the file there are none.
///
/// # Errors
///
/// The file cannot be read, or is not a list of networks.
pub(super) fn open_data_centres(config: &Config) -> anyhow::Result<DataCentreNetworks> {
    match config.data.datacenter_networks.as_str() {
        "" => Ok(DataCentreNetworks::default()),
        file => DataCentreNetworks::open(file).context("data.datacenter_networks"),
    }
}

/// The configured path; otherwise the npm package's file in `node_modules`, here or in the binary's
/// folder, or the file itself in that folder. `None` if there is no such file.
pub(super) fn find_file(configured: &str, file: &str) -> Option<PathBuf> {
    if !configured.is_empty() {
        return Some(PathBuf::from(configured));
    }
    let beside = std::env::current_exe()
        .ok()
        .and_then(|binary| binary.parent().map(Path::to_owned));
    let bare = Path::new(file)
        .file_name()
        .map(Path::new)
        .unwrap_or(Path::new(file));
    let mut places = vec![Path::new("node_modules").join(file)];
    if let Some(beside) = beside {
        places.push(beside.join(bare));
        places.push(beside.join("node_modules").join(file));
    }
    places.into_iter().find(|place| place.is_file())
}
