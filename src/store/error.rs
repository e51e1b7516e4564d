//! Errors between the collector and ClickHouse, in texts that may be logged.
//!
//! ClickHouse's own texts quote data, so none of them is kept. The code and its name say what to
//! do.

use clickhouse::error::Error;

use super::client::HeldStatement;
use super::engine::EngineError;
use super::error_text::{parse_error_code, parse_error_name};

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
    SchemaTooNew { found: u32, known: u32 },
    /// The configuration of the store is invalid.
    #[error("store.{key}: {reason}")]
    InvalidOption {
        key: &'static str,
        reason: &'static str,
    },
    /// No connection, a lost one, or no response in time. Whether the statement took effect is
    /// unknown.
    #[error("ClickHouse could not be reached for {step}: {kind}")]
    Unreachable {
        step: &'static str,
        kind: &'static str,
    },
    /// ClickHouse responded with an error.
    #[error("ClickHouse refused {step}: code {code} {name}")]
    Rejected {
        step: &'static str,
        code: u32,
        name: String,
    },
    /// ClickHouse sent an unexpected response.
    #[error("unexpected response of ClickHouse to {step}: {kind}")]
    UnexpectedResponse {
        step: &'static str,
        kind: &'static str,
    },
    /// A migration found that its source changed while it was copied.
    #[error(
        "a table changed while it was written anew for this version: another collector still sends \
         to it; stop it, or start it in this version"
    )]
    SourceChanged,
    /// The tables are being moved, and must not change meanwhile.
    #[error(
        "the tables are held: `footfall migrate` copies them to another store, or did; after that, restart the collector with the new store"
    )]
    Held,
    /// The tables were moved away.
    #[error(
        "the tables of this store were moved to {place}: set store.url to where they are (empty for the embedded engine) and restart the \
         collector, or give the move up with `footfall migrate --cancel`"
    )]
    Moved { place: String },
    /// The tables are being filled from another database.
    #[error(
        "the tables of this store are not complete: a move from {place} is not finished; run `footfall migrate` there again"
    )]
    TransferUnfinished { place: String },
    /// There is no database to move.
    #[error("{place} does not exist: there is nothing to move")]
    NothingToMove { place: String },
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
            | StoreError::Held
            | StoreError::Moved { .. }
            | StoreError::TransferUnfinished { .. } => true,
            StoreError::Rejected { code, .. } => !FINAL_CODES.contains(code),
            StoreError::Engine(_)
            | StoreError::SchemaTooNew { .. }
            | StoreError::InvalidOption { .. }
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
            },
            // The response of a proxy, or of a server too busy to give a reason.
            None => StoreError::Unreachable {
                step,
                kind: "an HTTP error without a code",
            },
        },
        Error::Network(source) => StoreError::Unreachable {
            step,
            kind: describe_io_error(source.as_ref()),
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

/// The kind of the connection's failure, from the first I/O error in the chain of sources.
fn describe_io_error(error: &(dyn std::error::Error + 'static)) -> &'static str {
    use std::io::ErrorKind;

    let mut next = Some(error);
    while let Some(error) = next {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_code_and_name_and_drops_what_it_quotes() {
        let text = "Code: 27. DB::Exception: Cannot parse input: expected '\\t' before: \
            '203.0.113.9 (CANARY)': (at row 1). (CANNOT_PARSE_INPUT_ASSERTION_FAILED) (version \
            26.7.2.1 (official build))";
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
            "ClickHouse could not be reached for x: connection refused"
        );
        assert!(error.is_retryable());
    }
}
