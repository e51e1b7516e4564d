//! ClickHouse's HTTP interface, executed on the engine.
//!
//! Statements block, so each runs on a blocking thread; its answer's head comes back as soon as it is known, and a streamed
//! result follows. A failure before the first chunk has its status; one after it ends the body in the clients' own form.

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::answer::{self, Answer, Chunks};
use super::pool::{self, Engine, Lease};
use super::request::{self, Statement};
use super::sql::{self, Plan};
use super::{EngineError, Exception, guard};

const CODE: HeaderName = HeaderName::from_static("x-clickhouse-exception-code");
const TAG: HeaderName = HeaderName::from_static("x-clickhouse-exception-tag");
const FORMAT: HeaderName = HeaderName::from_static("x-clickhouse-format");
const SUMMARY: HeaderName = HeaderName::from_static("x-clickhouse-summary");

/// What a statement answers with, before its body.
struct Head {
    format: Option<String>,
    tag: Option<String>,
    written: Option<u64>,
    body: Answer,
}

pub async fn answer(engine: Engine, guest: bool, request: Request<Incoming>) -> Response<Answer> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/ping") => return plain(StatusCode::OK, "Ok.\n"),
        (&Method::GET | &Method::POST, "/") => {}
        _ => return plain(StatusCode::NOT_FOUND, "There is no handle here.\n"),
    }
    let asks = request.method() == Method::GET;
    match statement(engine, guest, request).await {
        Ok(Some(head)) => success(head),
        Ok(None) if asks => plain(StatusCode::OK, "Ok.\n"),
        Ok(None) => failure(&Exception::new(62, "SYNTAX_ERROR", "Empty query")),
        Err(exception) => failure(&exception),
    }
}

async fn statement(engine: Engine, guest: bool, request: Request<Incoming>) -> Result<Option<Head>, Exception> {
    let Some(statement) = request::read(request, guest).await? else { return Ok(None) };
    if guest {
        guard::check(&statement.sql)?;
    }
    let is = |word: &[u8]| sql::first_word(&statement.sql).is_some_and(|first| first.eq_ignore_ascii_case(word));
    // No statement has an id here, so inserts that could be killed are waited for.
    if is(b"KILL") && statement.sql.windows(6).any(|word| word.eq_ignore_ascii_case(b" QUERY")) {
        engine.wait_for_inserts().await;
    }
    let inserting = if is(b"INSERT") { Some(engine.inserting().await) } else { None };
    let permit = engine.permit(statement.session.read_only).await;
    let (reply, head) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let _inserting = inserting;
        run(&engine, permit, &statement, reply);
    });
    head.await.unwrap_or_else(|_| Err(Exception::bad_request("the statement was dropped"))).map(Some)
}

type Reply = oneshot::Sender<Result<Head, Exception>>;

fn run(engine: &Engine, permit: OwnedSemaphorePermit, statement: &Statement, reply: Reply) {
    pool::yield_to_hits();
    let plan = sql::plan(&statement.sql);
    let stateless = sql::stateless(&statement.sql, &plan);
    let mut lease = match engine.lease(permit, &statement.session) {
        Ok(lease) => lease,
        Err(exception) => return drop(reply.send(Err(exception))),
    };
    let intact = match plan {
        Plan::Insert { statement: sql, format, inline } => {
            let inline = statement.sql.slice_ref(inline);
            let data: Vec<Bytes> = std::iter::once(inline).chain(statement.data.iter().cloned()).collect();
            respond(reply, insert(&mut lease, sql, format, statement, &data))
        }
        Plan::Read { format } if answer::streams(format.unwrap_or(&statement.format)) => {
            let format = format.unwrap_or(&statement.format);
            stream(&mut lease, statement, format, reply)
        }
        Plan::Read { format } => respond(reply, whole(&mut lease, statement, format.map(str::to_owned))),
        Plan::Other => respond(reply, whole(&mut lease, statement, None)),
    };
    lease.give_back(intact && stateless);
}

/// An exception does not harm a connection, but an insert or stream cut short might: closing costs 1.4 ms, doubt costs more.
fn respond(reply: Reply, result: Result<Head, Exception>) -> bool {
    let intact = result.is_ok();
    reply.send(result).is_ok() && intact
}

fn insert(
    lease: &mut Lease,
    sql: &[u8],
    format: &str,
    statement: &Statement,
    data: &[Bytes],
) -> Result<Head, Exception> {
    let written = lease.connection.insert(sql, format, &statement.params, data)?;
    Ok(Head { format: None, tag: None, written: Some(written), body: Answer::whole(Bytes::new()) })
}

fn whole(lease: &mut Lease, statement: &Statement, format: Option<String>) -> Result<Head, Exception> {
    let sql = with_trailing_data(statement);
    let chunk = lease.connection.query(&sql, &statement.format, &statement.params)?;
    let format = format.or_else(|| Some(statement.format.clone()));
    Ok(Head { format, tag: None, written: None, body: Answer::whole(chunk.into_bytes()) })
}

fn stream(lease: &mut Lease, statement: &Statement, format: &str, reply: Reply) -> bool {
    let sql = with_trailing_data(statement);
    let started = lease.connection.stream(&sql, format, &statement.params).and_then(|stream| {
        let mut chunks = Chunks::new(stream, format);
        chunks.next().map(|first| (chunks, first))
    });
    let (chunks, first) = match started {
        Ok(started) => started,
        Err(exception) => return respond(reply, Err(exception)),
    };
    let tag = tag();
    let (sender, body): (mpsc::Sender<Bytes>, Answer) = Answer::stream();
    let head = Head { format: Some(format.to_owned()), tag: Some(tag.clone()), written: None, body };
    reply.send(Ok(head)).is_ok() && answer::send(chunks, first, &tag, &sender)
}

/// A statement may begin in the URL and go on in the body.
fn with_trailing_data(statement: &Statement) -> Bytes {
    if statement.data.iter().all(Bytes::is_empty) {
        return statement.sql.clone();
    }
    let body = statement.data.concat();
    Bytes::from([&statement.sql[..], b"\n", &body].concat())
}

/// Random, so that no stored value can pass for the end of a failed answer.
fn tag() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    crate::hex::text(&bytes)
}

fn success(head: Head) -> Response<Answer> {
    let mut response = Response::new(head.body);
    let headers = response.headers_mut();
    let mut set = |name, value: String| {
        if let Ok(value) = value.try_into() {
            headers.insert(name, value);
        }
    };
    let binary = head.format.as_deref().is_some_and(|f| f.starts_with("RowBinary") || f == "Native");
    set(CONTENT_TYPE, if binary { "application/octet-stream" } else { "text/plain; charset=UTF-8" }.to_owned());
    if let Some(format) = head.format {
        set(FORMAT, format);
    }
    if let Some(tag) = head.tag {
        set(TAG, tag);
    }
    if let Some(written) = head.written {
        set(SUMMARY, format!("{{\"written_rows\":\"{written}\"}}"));
    }
    response
}

fn failure(exception: &Exception) -> Response<Answer> {
    let mut response = plain(status(exception.code), format!("{}\n", exception.text.trim_end()));
    response.headers_mut().insert(CODE, exception.code.into());
    response
}

/// The statuses a ClickHouse server gives.
fn status(code: u32) -> StatusCode {
    match code {
        Exception::AUTHENTICATION_FAILED => StatusCode::UNAUTHORIZED,
        Exception::READONLY | 291 | 497 => StatusCode::FORBIDDEN,
        60 | 81 => StatusCode::NOT_FOUND,
        6 | 26 | 27 | 33 | 36 | 38 | 41 | 43 | 44 | 46 | 47 | 50 | 53 | 62 | 70 | 72 | 73 | 115 | 117 | 130 | 271
        | 386 | 456 | 457 => StatusCode::BAD_REQUEST,
        159 => StatusCode::REQUEST_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

pub(super) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Answer> {
    let mut response = Response::new(Answer::whole(text));
    *response.status_mut() = status;
    response
}

pub(super) fn refused(reason: &str) -> Response<Answer> {
    failure(&Exception::new(Exception::AUTHENTICATION_FAILED, "AUTHENTICATION_FAILED", reason))
}

impl From<std::io::Error> for EngineError {
    fn from(error: std::io::Error) -> EngineError {
        EngineError::Listen(error)
    }
}
