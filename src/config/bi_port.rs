//! `[bi_port]`: ClickHouse's own protocols for BI tools.

use std::net::SocketAddr;

use garde::Validate;
use serde::{Deserialize, Serialize};

/// `[bi_port]`: ClickHouse's own protocols for BI tools, before the embedded engine.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct BiPortConfig {
    /// Address and port of the HTTP interface; empty for none.
    #[garde(skip)]
    #[serde(with = "optional_address")]
    pub http_listen: Option<SocketAddr>,
    /// File with the certificate and its chain in PEM, for TLS; empty for none.
    #[garde(skip)]
    pub cert_file: String,
    /// File with the certificate's key in PEM.
    #[garde(skip)]
    pub key_file: String,
    /// Tokens that are in use at the same time.
    #[garde(range(min = 1, max = 1000))]
    pub tokens: u32,
    /// Memory of the statements of one token together, in bytes.
    #[garde(range(min = 16_777_216))]
    pub query_memory_bytes: u64,
    /// Longest run time of a statement, in seconds. Grafana and Metabase ask for 60.
    #[garde(range(min = 1, max = 60))]
    pub query_timeout_secs: u32,
    /// Rows of one result.
    #[garde(range(min = 1000))]
    pub result_rows: u64,
    /// Statements of one token that run at the same time.
    #[garde(range(min = 1, max = 64))]
    pub queries: usize,
}

impl BiPortConfig {
    /// Whether the port is to be opened.
    pub fn is_enabled(&self) -> bool {
        self.http_listen.is_some()
    }
}

/// A socket address as text; empty for none.
pub(super) mod optional_address {
    use std::net::SocketAddr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::config) fn serialize<S: Serializer>(
        address: &Option<SocketAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = address.map_or_else(String::new, |address| address.to_string());
        text.serialize(serializer)
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| {
            D::Error::custom("must be empty or a socket address, such as 127.0.0.1:8123")
        })
    }
}
