//! An HTTP request becomes a statement, by the rules of ClickHouse's HTTP interface.
//!
//! The body is collected before anything runs: an insert whose sender went away must not leave the half that arrived.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::{Method, Request};

use super::pool::Session;
use super::{Exception, blocks, form};

/// The largest body, compressed or not. A segment of 900 000 rows is about 70 MB.
const BODY_LIMIT: usize = 256 << 20;

/// Keys that steer HTTP itself, sessions or a server's users: nothing the engine could be set to.
const NOT_SETTINGS: [&str; 20] = [
    "add_http_cors_header",
    "buffer_size",
    "cancel_http_readonly_queries_on_client_close",
    "client_protocol_version",
    "enable_http_compression",
    "http_headers_progress_interval_ms",
    "http_zlib_compression_level",
    "max_request_param_data_size",
    "password",
    "query_id",
    "quota_key",
    "role",
    "send_progress_in_http_headers",
    "session_check",
    "session_id",
    "session_timeout",
    "stacktrace",
    "use_client_time_zone",
    "user",
    "wait_end_of_query",
];

/// What a guest may set: the shape of an answer, not the work or the memory behind it.
const GUEST_SETTINGS: [&str; 6] = [
    "date_time_input_format",
    "date_time_output_format",
    "describe_include_subcolumns",
    "output_format_json_quote_64bit_integers",
    "output_format_json_quote_denormals",
    "result_overflow_mode",
];

pub struct Statement {
    pub sql: Bytes,
    /// An insert's data, apart from what stands in `sql`.
    pub data: Vec<Bytes>,
    pub format: String,
    pub params: Vec<(String, String)>,
    pub session: Session,
}

/// Reads the whole request. `Ok(None)` where it carries no statement.
pub async fn read(request: Request<Incoming>, guest: bool) -> Result<Option<Statement>, Exception> {
    let (head, body) = request.into_parts();
    let mut found = Found::default();
    for (key, value) in url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()) {
        found.take(&key, value.into_owned())?;
    }
    if found.compressed_answer {
        return Err(Exception::bad_request("compress=1 is not supported, ask by Accept-Encoding or not at all"));
    }
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !matches!(header(CONTENT_ENCODING), "" | "identity") {
        return Err(Exception::bad_request("a request with a Content-Encoding is not supported"));
    }
    let body = collect(body).await?;
    let content_type = header(CONTENT_TYPE);
    if form::is_form(content_type) {
        let fields = form::fields(content_type, &body).ok_or_else(|| Exception::bad_request("broken form"))?;
        for (name, value) in fields {
            let value =
                String::from_utf8(value.to_vec()).map_err(|_| Exception::bad_request("a form field is not UTF-8"))?;
            if name != "query" && !name.starts_with("param_") {
                return Err(Exception::bad_request("external tables are not supported"));
            }
            found.take(&name, value)?;
        }
        found.into_statement(Bytes::new(), guest)
    } else {
        // A safe method must not change anything.
        let read_only = guest || head.method != Method::POST;
        found.into_statement(body, guest).map(|statement| statement.map(|s| s.read_only(read_only)))
    }
}

async fn collect(body: Incoming) -> Result<Bytes, Exception> {
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if expected > BODY_LIMIT {
        return Err(too_large());
    }
    let collected = Limited::new(body, BODY_LIMIT).collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|error| {
        if error.is::<LengthLimitError>() { too_large() } else { Exception::bad_request("the body was cut short") }
    })
}

fn too_large() -> Exception {
    Exception::bad_request("the body is too large")
}

#[derive(Default)]
struct Found {
    query: String,
    database: Option<String>,
    format: Option<String>,
    compressed_body: bool,
    compressed_answer: bool,
    params: Vec<(String, String)>,
    settings: Vec<(String, String)>,
}

impl Found {
    fn take(&mut self, key: &str, value: String) -> Result<(), Exception> {
        match key {
            "query" => self.query.push_str(&value),
            "database" => self.database = Some(value),
            "default_format" => self.format = Some(value),
            "decompress" => self.compressed_body = value == "1",
            "compress" => self.compressed_answer = value == "1",
            _ if NOT_SETTINGS.contains(&key) => {}
            _ => match key.strip_prefix("param_") {
                Some(name) => self.params.push((name.to_owned(), value)),
                None if is_name(key) => self.settings.push((key.to_owned(), value)),
                None => {
                    return Err(Exception::new(
                        115,
                        "UNKNOWN_SETTING",
                        "a setting's name has other characters than letters",
                    ));
                }
            },
        }
        Ok(())
    }

    fn into_statement(self, body: Bytes, guest: bool) -> Result<Option<Statement>, Exception> {
        if guest && let Some((name, _)) = self.settings.iter().find(|(n, _)| !GUEST_SETTINGS.contains(&n.as_str())) {
            return Err(Exception::new(
                Exception::READONLY,
                "READONLY",
                &format!("Cannot modify '{name}' setting in readonly mode"),
            ));
        }
        let body = if self.compressed_body { blocks::decode(&body, BODY_LIMIT)? } else { vec![body] };
        let (sql, data) = match (self.query.is_empty(), body) {
            (true, body) => (Bytes::from(body.concat()), Vec::new()),
            (false, data) => (Bytes::from(self.query), data),
        };
        if sql.trim_ascii().is_empty() {
            return Ok(None);
        }
        Ok(Some(Statement {
            sql,
            data,
            format: self.format.unwrap_or_else(|| "TabSeparated".to_owned()),
            params: self.params,
            session: Session {
                database: self.database.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned()),
                settings: self.settings,
                read_only: guest,
            },
        }))
    }
}

impl Statement {
    fn read_only(mut self, read_only: bool) -> Statement {
        self.session.read_only = read_only;
        self
    }
}

fn is_name(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
}
