//! The country in which an address is registered, from an mmdb file in memory.
//!
//! Only the /24 or /48 network is looked up, and the result is a code of ISO 3166-1. The file is
//! read as a whole (8 MB) and replaced when it changes on disk; if the new file is broken, the old
//! one stays in use.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use maxminddb::{PathElement, Reader};

use super::codes::CodeTable;
use crate::event::{ClientAddress, UNKNOWN_VALUE};

/// ISO 3166-1 alpha-2 in order, and XK, which registries use for Kosovo.
static COUNTRY_CODES: CodeTable = CodeTable::new(
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR \
     BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ \
     EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW \
     GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY \
     KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV \
     MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY \
     QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG \
     TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA \
     ZM ZW",
    b'A',
);

/// A country, or "unknown".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Country(&'static str);

impl Country {
    /// No country is known for the address.
    pub const UNKNOWN: Country = Country(UNKNOWN_VALUE);

    /// The country with this code (two capital letters); unknown if it is not in ISO 3166-1.
    pub fn from_code(code: &str) -> Country {
        COUNTRY_CODES
            .find_code(code)
            .map_or(Country::UNKNOWN, Country)
    }

    /// Two capital letters, or `(unknown)`; stored and shown.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// The country file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CountryFileError {
    /// The file cannot be read from disk.
    #[error("the country file {path} cannot be read: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The error below it.
        source: std::io::Error,
    },
    /// The file is not an mmdb file.
    #[error("the country file {path} is no usable mmdb: {source}")]
    Format {
        /// The file or folder.
        path: PathBuf,
        /// The error below it.
        source: maxminddb::MaxMindDbError,
    },
}

type CountryReader = Reader<Vec<u8>>;

/// Size and modification time of the file when it was read.
type CountryFileStamp = (u64, Option<SystemTime>);

struct LoadedCountries {
    database: CountryReader,
    stamp: CountryFileStamp,
}

/// The loaded country file, and its path for reloading.
pub struct CountryDatabase {
    path: Option<PathBuf>,
    loaded: ArcSwapOption<LoadedCountries>,
}

impl CountryDatabase {
    /// No file: every country is `(unknown)`.
    pub fn without_file() -> CountryDatabase {
        CountryDatabase {
            path: None,
            loaded: ArcSwapOption::empty(),
        }
    }

    /// Loads an mmdb file. [`CountryDatabase::reload_if_changed`] reloads it.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is not an mmdb file.
    pub fn open(path: impl Into<PathBuf>) -> Result<CountryDatabase, CountryFileError> {
        let path = path.into();
        let loaded = load_file(&path)?;
        Ok(CountryDatabase {
            path: Some(path),
            loaded: ArcSwapOption::from_pointee(loaded),
        })
    }

    /// Uses an mmdb file that is already in memory; it is never reloaded.
    ///
    /// # Errors
    ///
    /// The bytes are not an mmdb file.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<CountryDatabase, CountryFileError> {
        let loaded = parse_database(bytes, Path::new("(memory)"), (0, None))?;
        Ok(CountryDatabase {
            path: None,
            loaded: ArcSwapOption::from_pointee(loaded),
        })
    }

    /// Reads the file again if its size or modification time changed; returns whether it did.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is not an mmdb file. The old content stays in use.
    pub fn reload_if_changed(&self) -> Result<bool, CountryFileError> {
        let Some(path) = &self.path else {
            return Ok(false);
        };
        let now = read_stamp(path)?;
        if self
            .loaded
            .load()
            .as_ref()
            .is_some_and(|loaded| loaded.stamp == now)
        {
            return Ok(false);
        }
        self.loaded.store(Some(Arc::new(load_file(path)?)));
        Ok(true)
    }

    /// The country of an address. Reads the keys `country_code` and `country.iso_code`, which the
    /// common databases use.
    pub fn find_country(&self, address: &ClientAddress) -> Country {
        let loaded = self.loaded.load();
        let Some(loaded) = loaded.as_ref() else {
            return Country::UNKNOWN;
        };
        let Ok(found) = loaded.database.lookup(address.network()) else {
            return Country::UNKNOWN;
        };
        let code = |path: &[PathElement<'_>]| {
            found
                .decode_path::<&str>(path)
                .ok()
                .flatten()
                .map(Country::from_code)
        };
        code(&[PathElement::Key("country_code")])
            .or_else(|| code(&[PathElement::Key("country"), PathElement::Key("iso_code")]))
            .unwrap_or(Country::UNKNOWN)
    }
}

fn read_stamp(path: &Path) -> Result<CountryFileStamp, CountryFileError> {
    let read = |source| CountryFileError::Read {
        path: path.to_owned(),
        source,
    };
    let meta = std::fs::metadata(path).map_err(read)?;
    Ok((meta.len(), meta.modified().ok()))
}

/// The stamp is taken before reading: a file that changes during the read is read again next time.
fn load_file(path: &Path) -> Result<LoadedCountries, CountryFileError> {
    let stamp = read_stamp(path)?;
    let bytes = std::fs::read(path).map_err(|source| CountryFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse_database(bytes, path, stamp)
}

fn parse_database(
    bytes: Vec<u8>,
    path: &Path,
    stamp: CountryFileStamp,
) -> Result<LoadedCountries, CountryFileError> {
    let format = |source| CountryFileError::Format {
        path: path.to_owned(),
        source,
    };
    let database = Reader::from_source(bytes).map_err(format)?;
    Ok(LoadedCountries { database, stamp })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file that `npm ci --ignore-scripts` installs in the repository's root.
    fn shipped() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(
            "node_modules/@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb",
        )
    }

    fn country(countries: &CountryDatabase, address: &str) -> &'static str {
        countries
            .find_country(&ClientAddress::new(address.parse().unwrap()))
            .name()
    }

    #[test]
    fn the_list_is_sorted_and_closed() {
        let codes = COUNTRY_CODES.all();
        assert_eq!(codes.len(), 250);
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(
            codes
                .iter()
                .all(|code| Country::from_code(code).name() == *code)
        );
        for other in ["", "de", "ZZ", "EU", "DEU", "\u{e9}"] {
            assert_eq!(Country::from_code(other), Country::UNKNOWN, "{other}");
        }
    }

    #[test]
    fn a_network_has_the_country_it_is_registered_in() {
        let countries = CountryDatabase::open(shipped()).unwrap();
        let cases = [
            ("8.8.8.8", "US"),
            ("193.0.6.139", "NL"),
            ("133.1.7.7", "JP"),
            ("2001:4860:4860::8888", "US"),
            ("::ffff:8.8.8.8", "US"),
            ("192.0.2.1", "(unknown)"),
            ("127.0.0.1", "(unknown)"),
            ("::1", "(unknown)"),
        ];
        for (address, expected) in cases {
            assert_eq!(country(&countries, address), expected, "{address}");
        }
        assert_eq!(
            country(&CountryDatabase::without_file(), "8.8.8.8"),
            "(unknown)"
        );
        let bytes = std::fs::read(shipped()).unwrap();
        assert_eq!(
            country(&CountryDatabase::from_bytes(bytes).unwrap(), "8.8.8.8"),
            "US"
        );
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("countries.mmdb");
        std::fs::copy(shipped(), &file).unwrap();
        let countries = CountryDatabase::open(&file).unwrap();
        assert!(!countries.reload_if_changed().unwrap());
        let mut bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, b"no database").unwrap();
        assert!(matches!(
            countries.reload_if_changed(),
            Err(CountryFileError::Format { .. })
        ));
        assert_eq!(country(&countries, "8.8.8.8"), "US");
        bytes.push(0);
        std::fs::write(&file, bytes).unwrap();
        assert!(countries.reload_if_changed().unwrap());
        assert_eq!(country(&countries, "8.8.8.8"), "US");
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(
            countries.reload_if_changed(),
            Err(CountryFileError::Read { .. })
        ));
        assert!(CountryDatabase::open(&file).is_err());
    }
}
