//! Errors between the collector and ClickHouse, in texts that may be logged.
//!
//! ClickHouse's own texts quote data, so none of them is kept. The code and its name say what to
//! do.

use clickhouse::error::Error;

use super::client::HeldStatement;
use super::engine::EngineError;
use super::error_text::{parse_error_code, parse_error_name, parse_missing_right};

/// The first version of ClickHouse that has all that the statements use.
pub(super) const MIN_VERSION: &str = "24.8";

const UNKNOWN_TABLE: u32 = 60;
const UNKNOWN_DATABASE: u32 = 81;
const ACCESS_DENIED: u32 = 497;

/// Why a call to the store failed. The texts contain no data; `step` names the operation.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The embedded engine did not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The database was written by a later version.
    #[error(
        "the database has schema {found} and this binary knows schemas up to {known}: it was used \
         by a later version; start that one, or give this one another store.database"
    )]
    SchemaTooNew {
        /// The version that was found.
        found: u32,
        /// The latest schema that this binary knows.
        known: u32,
    },
    /// The configuration of the store is invalid.
    #[error("store.{key}: {reason}")]
    InvalidOption {
        /// The key in `[store]`.
        key: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// No connection, a lost one, or no response in time. Whether the statement took effect is
    /// unknown.
    #[error(
        "ClickHouse could not be reached for {step}: {kind}{}",
        advice_for_kind(kind)
    )]
    Unreachable {
        /// What the statement was for.
        step: &'static str,
        /// What happened.
        kind: &'static str,
    },
    /// ClickHouse responded with an error.
    #[error("ClickHouse refused {step}: code {code} {name}{}", advice_for_code(*code, right))]
    Rejected {
        /// What the statement was for.
        step: &'static str,
        /// ClickHouse's code of the error.
        code: u32,
        /// ClickHouse's name of the error.
        name: String,
        /// The right that the user lacks, if it is that.
        right: String,
    },
    /// The server cannot hold the tables.
    #[error("ClickHouse {version} at {place} is too old: {MIN_VERSION} or later is needed")]
    TooOld {
        /// The version of the server.
        version: String,
        /// Where the server is.
        place: String,
    },
    /// Tables that were created are not there, and what they held is lost.
    #[error(
        "tables are gone that held counts or the registry: {}; restore a backup (`footfall backup restore`), or set another \
         store.database to begin anew",
        tables.join(", ")
    )]
    TablesMissing {
        /// The names of the tables.
        tables: Vec<String>,
    },
    /// ClickHouse sent an unexpected response.
    #[error("unexpected response of ClickHouse to {step}: {kind}")]
    UnexpectedResponse {
        /// What the statement was for.
        step: &'static str,
        /// What happened.
        kind: &'static str,
    },
    /// A migration found that its source changed while it was copied.
    #[error(
        "a table changed while it was written anew for this version: another collector still \
         sends to it; stop it, or start it in this version"
    )]
    SourceChanged,
    /// The tables are being moved, and must not change meanwhile.
    #[error(
        "the tables are held: `footfall migrate` copies them to another store, or did; after \
         that, restart the collector with the new store"
    )]
    Held,
    /// The tables were moved away.
    #[error(
        "the tables of this store were moved to {place}: set store.url to where they are (empty \
         for the embedded engine) and restart the collector, or give the move up with `footfall \
         migrate --cancel`"
    )]
    Moved {
        /// Where they are now.
        place: String,
    },
    /// The tables are being filled from another database.
    #[error(
        "the tables of this store are not complete: a move from {place} is not finished; run the \
         same command again: `footfall migrate` there, or `footfall store rebuild-replica` with \
         the URL of this replica"
    )]
    TransferUnfinished {
        /// Where they come from.
        place: String,
    },
    /// Another process has begun to fill the same database.
    #[error("{place} is filled by another process, which began later: this one ends")]
    TransferRepeated {
        /// Where the database is.
        place: String,
    },
    /// The database is another shard than the configuration says.
    #[error(
        "{place} is shard {number} of {count}, and the configuration has it as shard {wanted} of {of}: a site stays on \
         its shard, so store.shards must list the same shards in the same order as at their first start"
    )]
    OtherShard {
        /// Where the database is.
        place: String,
        /// Its number, from 1.
        number: u32,
        /// How many shards it is one of.
        count: u32,
        /// The number in the configuration.
        wanted: u32,
        /// The number of shards in the configuration.
        of: u32,
    },
    /// A database with counts of all sites cannot become a shard.
    #[error(
        "{place} holds counts of a store without shards, and sites are not moved between shards: give store.shards a \
         store.database that is new"
    )]
    ShardNotEmpty {
        /// Where the database is.
        place: String,
    },
    /// A change that all replicas must have was refused, because one of them does not respond.
    #[error(
        "a replica of the shard does not respond, and a change is written to all of them or to none: start it again, or \
         take its URL out of store.shards if it is lost"
    )]
    ReplicaAway,
    /// Another collector has begun to publish another unit of the same zone.
    #[error(
        "another collector publishes another unit of the zone; this one follows when that is finished"
    )]
    UnitInProgress,
    /// A new database is listed beside replicas with rows.
    #[error(
        "{place} is empty, and another replica of its shard is not: fill it with `footfall store rebuild-replica URL`"
    )]
    ReplicaEmpty {
        /// Where the database is.
        place: String,
    },
    /// The replica lacks counts that are no longer in the journal.
    #[error(
        "{place} lacks counts that the journal does not hold any more: it was restored from a backup, or it was not in \
         store.shards for a while. If another replica has them, drop its database, and fill it with `footfall store \
         rebuild-replica URL`; if they are lost, run `footfall store accept-replica URL` at each collector"
    )]
    ReplicaIncomplete {
        /// Where the database is.
        place: String,
    },
    /// A new database cannot be used before its siblings were looked at.
    #[error(
        "{place} is new, and whether the other replicas of its shard are new too is not known until all respond"
    )]
    ReplicasUnknown {
        /// Where the database is.
        place: String,
    },
    /// Databases with different rows are listed as replicas.
    #[error(
        "{place} and another URL of its shard hold counts of their own, and are no replicas of each other: check \
         store.shards"
    )]
    OtherReplicaSet {
        /// Where the database is.
        place: String,
    },
    /// There is no database to move.
    #[error("{place} does not exist: there is nothing to move")]
    NothingToMove {
        /// Where the tables were expected.
        place: String,
    },
}

/// Codes that mean that the same request fails again: the data or the statement is wrong.
const FINAL_CODES: [u32; 19] = [
    6, 7, 8, 10, 16, 27, 33, 36, 38, 41, 43, 47, 53, 62, 70, 72, 73, 115, 117,
];

/// Codes that mean that a statement needs more memory or time than it may use.
const SIZE_LIMIT_CODES: [u32; 6] = [158, 159, 160, 173, 241, 307];

/// Codes that describe the state of the store, independent of the request: a full disk, too many
/// parts, an I/O error, a shutdown.
const STORE_STATE_CODES: [u32; 22] = [
    74, 75, 76, 193, 194, 195, 198, 202, 209, 210, 236, 242, 243, 252, 279, 286, 319, 394, 425,
    497, 516, 999,
];

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            StoreError::Unreachable { .. }
            | StoreError::SourceChanged
            | StoreError::TooOld { .. }
            | StoreError::TablesMissing { .. }
            | StoreError::Held
            | StoreError::Moved { .. }
            | StoreError::ReplicaAway
            | StoreError::UnitInProgress
            | StoreError::ReplicaEmpty { .. }
            | StoreError::ReplicaIncomplete { .. }
            | StoreError::ReplicasUnknown { .. }
            | StoreError::TransferUnfinished { .. } => true,
            StoreError::Rejected { code, .. } => !FINAL_CODES.contains(code),
            StoreError::Engine(_)
            | StoreError::SchemaTooNew { .. }
            | StoreError::InvalidOption { .. }
            | StoreError::TransferRepeated { .. }
            | StoreError::OtherShard { .. }
            | StoreError::ShardNotEmpty { .. }
            | StoreError::OtherReplicaSet { .. }
            | StoreError::NothingToMove { .. }
            | StoreError::UnexpectedResponse { .. } => false,
        }
    }

    /// Whether a smaller insert may succeed.
    pub fn is_size_limit(&self) -> bool {
        self.error_code()
            .is_some_and(|code| SIZE_LIMIT_CODES.contains(&code))
    }

    /// Whether the store responded and rejected this particular request, not because of its own
    /// state.
    pub fn is_request_rejected(&self) -> bool {
        match self {
            StoreError::Rejected { code, .. } => !STORE_STATE_CODES.contains(code),
            StoreError::UnexpectedResponse { .. } => true,
            _ => false,
        }
    }

    /// Why the call failed, without the step: the same for all calls that fail for this reason.
    pub fn reason(&self) -> String {
        match self {
            StoreError::Unreachable { kind, .. } => (*kind).to_owned(),
            StoreError::Rejected { code, right, .. } => format!("code {code} {right}"),
            other => other.to_string(),
        }
    }

    /// Whether a table is not there.
    pub fn is_table_missing(&self) -> bool {
        self.error_code() == Some(UNKNOWN_TABLE)
    }

    /// Whether the database is not there.
    pub fn is_database_missing(&self) -> bool {
        self.error_code() == Some(UNKNOWN_DATABASE)
    }

    /// ClickHouse's error code, if it gave one.
    pub fn error_code(&self) -> Option<u32> {
        match self {
            StoreError::Rejected { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// Converts errors of the `clickhouse` crate. `step` names the operation in the text.
pub fn error_during(step: &'static str) -> impl Fn(Error) -> StoreError {
    move |error| match &error {
        Error::BadResponse(text) => match parse_error_code(text) {
            Some(code) => StoreError::Rejected {
                step,
                code,
                name: parse_error_name(text),
                right: match code == ACCESS_DENIED {
                    true => parse_missing_right(text).to_owned(),
                    false => String::new(),
                },
            },
            // The response of a proxy, or of a server too busy to give a reason.
            None => StoreError::Unreachable {
                step,
                kind: NO_CODE,
            },
        },
        Error::Network(source) => StoreError::Unreachable {
            step,
            kind: describe_network_error(source.as_ref()),
        },
        Error::Other(source) if source.is::<HeldStatement>() => StoreError::Held,
        Error::TimedOut => StoreError::Unreachable {
            step,
            kind: "timed out",
        },
        Error::RowNotFound => StoreError::UnexpectedResponse {
            step,
            kind: "no row",
        },
        Error::SchemaMismatch(_) => StoreError::UnexpectedResponse {
            step,
            kind: "other columns",
        },
        Error::InvalidParams(_) => StoreError::UnexpectedResponse {
            step,
            kind: "a parameter cannot be sent",
        },
        _ => StoreError::UnexpectedResponse {
            step,
            kind: "not the expected bytes",
        },
    }
}

/// What to do about a failure of a connection, to be appended to its text.
fn advice_for_kind(kind: &str) -> &'static str {
    match kind {
        DNS_FAILED => ": check the host in store.url",
        "connection refused" => {
            ": is the server running, and is the port in store.url its HTTP port?"
        }
        NOT_HTTP => {
            ": is the port in store.url the server's HTTP port (8123), and not that of its native \
             protocol or of HTTPS?"
        }
        UNTRUSTED => ": name the authority's certificate in store.ca_file",
        WRONG_NAME => ": use in store.url a name that the certificate has",
        EXPIRED => ": renew it, or check this machine's clock",
        NO_TLS => ": is the port in store.url the server's HTTPS port (8443)?",
        NO_CODE => ": does store.url lead to ClickHouse, or to a proxy or its native port?",
        _ => "",
    }
}

/// What to do about ClickHouse's refusal, to be appended to its text.
fn advice_for_code(code: u32, right: &str) -> String {
    match code {
        // Wrong user or password, in the words of several versions.
        192..=195 | 516 => {
            ": check store.user and store.password (or store.password_file)".to_owned()
        }
        ACCESS_DENIED if right.is_empty() => ": the user of the store lacks a right".to_owned(),
        ACCESS_DENIED => {
            format!(": the user of the store lacks the right {right}; grant it on the database")
        }
        291 => ": the user of the store may not use this database".to_owned(),
        UNKNOWN_DATABASE => ": the database of the store is gone; restore a backup, or restart \
                             the collector to begin with an empty one"
            .to_owned(),
        UNKNOWN_TABLE => ": a table is gone".to_owned(),
        243 => ": free space on the server's disk".to_owned(),
        164 => ": the user of the store may only read".to_owned(),
        _ => String::new(),
    }
}

const DNS_FAILED: &str = "the host's name was not found";
const NOT_HTTP: &str = "no HTTP answer";
const UNTRUSTED: &str = "TLS refused, the certificate is of no trusted authority";
const WRONG_NAME: &str = "TLS refused, the certificate is for another name";
const EXPIRED: &str = "TLS refused, the certificate has expired or is not valid yet";
const NO_TLS: &str = "TLS refused, the answer is not TLS";
const NO_CODE: &str = "an HTTP error without a code";

/// The kind of a connection's failure: of TLS, of the lookup of the name, of HTTP, or else of the
/// first I/O error in the chain of sources.
fn describe_network_error(error: &(dyn std::error::Error + 'static)) -> &'static str {
    use std::io::ErrorKind;

    if let Some(kind) = find_tls_error(error).and_then(describe_tls_error) {
        return kind;
    }

    let mut next = Some(error);
    while let Some(error) = next {
        // The type is private to the HTTP client.
        if error.to_string().starts_with("dns error") {
            return DNS_FAILED;
        }
        if let Some(hyper) = error.downcast_ref::<hyper::Error>()
            && hyper.is_parse()
        {
            return NOT_HTTP;
        }
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            match io.kind() {
                ErrorKind::ConnectionRefused => return "connection refused",
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => return "connection lost",
                ErrorKind::TimedOut => return "timed out",
                ErrorKind::UnexpectedEof => return "connection closed early",
                ErrorKind::InvalidData => return "TLS refused",
                _ => {}
            }
        }
        next = error.source();
    }
    "network error"
}

/// The error of TLS in the chain of sources: I/O errors hold it, but are not caused by it in the
/// sense of `source`.
fn find_tls_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        let held = error.downcast_ref::<std::io::Error>();
        next = match held.and_then(std::io::Error::get_ref) {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

fn describe_tls_error(error: &rustls::Error) -> Option<&'static str> {
    use rustls::CertificateError as Certificate;

    match error {
        rustls::Error::InvalidMessage(_) => Some(NO_TLS),
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            Certificate::UnknownIssuer => Some(UNTRUSTED),
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                Some(WRONG_NAME)
            }
            Certificate::Expired
            | Certificate::ExpiredContext { .. }
            | Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. } => Some(EXPIRED),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_code_and_name_and_drops_what_it_quotes() {
        let text = "Code: 27. DB::Exception: Cannot parse input: expected '\\t' before: \
                    '203.0.113.9 (CANARY)': (at row 1). (CANNOT_PARSE_INPUT_ASSERTION_FAILED) \
                    (version 26.7.2.1 (official build))";
        let error = error_during("an insert into daily")(Error::BadResponse(text.to_owned()));
        assert_eq!(
            error.to_string(),
            "ClickHouse refused an insert into daily: code 27 CANNOT_PARSE_INPUT_ASSERTION_FAILED"
        );
        assert!(!error.is_retryable());
        let bare = error_during("x")(Error::BadResponse(
            "Code: 27. DB::Exception: (CANARY) was found".to_owned(),
        ));
        assert!(!bare.is_retryable());
    }

    #[test]
    fn what_may_pass_is_retried() {
        for code in [159, 202, 209, 210, 241, 242, 243, 252, 319, 999] {
            let text = format!("Code: {code}. DB::Exception: x. (X_NAME)");
            assert!(
                error_during("x")(Error::BadResponse(text)).is_retryable(),
                "{code}"
            );
        }
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = error_during("x")(Error::Network(Box::new(refused)));
        assert_eq!(
            error.to_string(),
            "ClickHouse could not be reached for x: connection refused: is the server running, \
             and is the port in store.url its HTTP port?"
        );
        assert!(error.is_retryable());
    }

    #[test]
    fn the_reason_is_the_same_for_every_step() {
        let text = "Code: 81. DB::Exception: x. (UNKNOWN_DATABASE)";
        let fail = |step| error_during(step)(Error::BadResponse(text.to_owned()));
        let (one, other) = (fail("a ping"), fail("an insert into daily"));
        assert_ne!(one.to_string(), other.to_string());
        assert_eq!(one.reason(), other.reason());
        assert_ne!(
            one.reason(),
            error_during("a ping")(Error::TimedOut).reason()
        );
    }

    #[test]
    fn a_failure_of_tls_says_which() {
        use rustls::CertificateError as Certificate;

        let inside = |error: rustls::Error| {
            let held = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
            let outer = std::io::Error::other(held);
            error_during("x")(Error::Network(Box::new(outer))).to_string()
        };
        for (error, says) in [
            (Certificate::UnknownIssuer.into(), "store.ca_file"),
            (Certificate::NotValidForName.into(), "another name"),
            (Certificate::Expired.into(), "has expired"),
            (
                rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
                "not TLS",
            ),
        ] {
            let text = inside(error);
            assert!(text.contains(says), "{text}");
        }
    }
}
