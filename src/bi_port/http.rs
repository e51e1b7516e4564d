//! ClickHouse's HTTP interface for BI tools: one request in, one request to the engine.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap,
    HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::statement_guard::contains_forbidden_word;
use super::users::BiUserLease;
use super::{BiGateway, BiRefusal, READ_TIMEOUT};

/// Longest body of a request. ClickHouse reads statements of up to 256 KiB.
const MAX_BODY_BYTES: usize = 1 << 20;

const USER_HEADER: HeaderName = HeaderName::from_static("x-clickhouse-user");
const KEY_HEADER: HeaderName = HeaderName::from_static("x-clickhouse-key");

/// Header fields that are passed on: what ClickHouse reads, and nothing that names a user.
const PASSED_HEADERS: [HeaderName; 6] = [
    ACCEPT_ENCODING,
    CONTENT_TYPE,
    HeaderName::from_static("x-clickhouse-database"),
    HeaderName::from_static("x-clickhouse-format"),
    HeaderName::from_static("x-clickhouse-timezone"),
    HeaderName::from_static("x-clickhouse-progress"),
];

/// Parameters that are not passed on: users, and bodies that the guard cannot read.
const DROPPED_PARAMETERS: [&str; 5] = ["user", "password", "quota_key", "decompress", "role"];

type ResponseBody = BoxBody<Bytes, hyper::Error>;

/// Answers the requests of a connection until it ends or its token becomes invalid.
pub(super) async fn serve_connection<S>(stream: S, shared: &Arc<BiGateway>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // A connection keeps the user of its last request.
    let lease: Arc<Mutex<Option<Arc<BiUserLease>>>> = Arc::default();
    let answer = service_fn(|request| {
        let (shared, lease) = (Arc::clone(shared), Arc::clone(&lease));
        async move { Ok::<_, Infallible>(answer_request(request, &shared, &lease).await) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIMEOUT)
        .serve_connection(TokioIo::new(stream), answer);

    let revoked = async {
        loop {
            let held = lease.lock().await.clone();
            match held {
                // Another token may have taken its place meanwhile.
                Some(held) => tokio::select! {
                    () = shared.wait_until_invalid(&held.token_id) => return,
                    () = tokio::time::sleep(READ_TIMEOUT) => {}
                },
                None => tokio::time::sleep(super::RECHECK_INTERVAL).await,
            }
        }
    };
    tokio::select! {
        _ = serving => {}
        () = revoked => {}
    }
}

async fn answer_request(
    request: Request<Incoming>,
    shared: &BiGateway,
    held: &Mutex<Option<Arc<BiUserLease>>>,
) -> Response<ResponseBody> {
    let path = request.uri().path();
    if path == "/ping" {
        return text_response(StatusCode::OK, "Ok.\n".to_owned());
    }
    if path != "/" || !matches!(*request.method(), Method::GET | Method::POST) {
        return text_response(
            StatusCode::NOT_FOUND,
            "There is no handle here\n".to_owned(),
        );
    }
    match forward_request(request, shared, held).await {
        Ok(response) => response,
        Err(refusal) => refused(refusal),
    }
}

async fn forward_request(
    request: Request<Incoming>,
    shared: &BiGateway,
    held: &Mutex<Option<Arc<BiUserLease>>>,
) -> Result<Response<ResponseBody>, BiRefusal> {
    let (head, body) = request.into_parts();
    let parameters: Vec<(String, String)> =
        url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let password = client_password(&head.headers, &parameters).ok_or(BiRefusal::WrongToken)?;
    let lease = Arc::new(shared.authorize(&password).await?);
    *held.lock().await = Some(Arc::clone(&lease));

    let is_coded = head
        .headers
        .get(CONTENT_ENCODING)
        .is_some_and(|coding| coding != "identity");
    let asks_decompression = parameters
        .iter()
        .any(|(name, value)| name == "decompress" && value != "0");
    if is_coded || asks_decompression {
        let text = "Bodies of requests must not be compressed here; set the client's request \
            compression off\n";
        return Ok(text_response(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            text.to_owned(),
        ));
    }

    let reading = Limited::new(body, MAX_BODY_BYTES).collect();
    let body = match tokio::time::timeout(READ_TIMEOUT, reading).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            let text = format!("A request may have {MAX_BODY_BYTES} bytes\n");
            return Ok(text_response(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        Err(_) => {
            let text = "The request took too long\n".to_owned();
            return Ok(text_response(StatusCode::REQUEST_TIMEOUT, text));
        }
    };

    let named = parameters.iter().any(|(name, value)| {
        [name, value]
            .map(|text| text.as_bytes())
            .into_iter()
            .any(contains_forbidden_word)
    });
    if named || contains_forbidden_word(&body) {
        return Err(BiRefusal::ForbiddenWord);
    }

    let request = engine_request(&head.method, &head.headers, &parameters, body, &lease);
    send_to_engine(lease.http, request)
        .await
        .map_err(|_| BiRefusal::Unavailable)
}

/// The password in any of the places where ClickHouse's clients put it.
fn client_password(headers: &HeaderMap, parameters: &[(String, String)]) -> Option<String> {
    let text = |name: &HeaderName| headers.get(name)?.to_str().ok().map(str::to_owned);
    if let Some(key) = text(&KEY_HEADER) {
        return Some(key);
    }
    if let Some(authorization) = text(&AUTHORIZATION) {
        let (scheme, value) = authorization.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("Bearer") {
            return Some(value.trim().to_owned());
        }
        let pair = STANDARD.decode(value.trim()).ok()?;
        let pair = String::from_utf8(pair).ok()?;
        let (_, password) = pair.split_once(':')?;
        return Some(password.to_owned());
    }
    parameters
        .iter()
        .find(|(name, _)| name == "password")
        .map(|(_, value)| value.clone())
}

fn engine_request(
    method: &Method,
    headers: &HeaderMap,
    parameters: &[(String, String)],
    body: Bytes,
    lease: &BiUserLease,
) -> Request<Full<Bytes>> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if !DROPPED_PARAMETERS.contains(&name.as_str()) {
            query.append_pair(name, value);
        }
    }

    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method.clone();
    *request.uri_mut() = format!("/?{}", query.finish())
        .parse()
        .expect("encoded parameters are a URI");
    let fields = request.headers_mut();
    for name in PASSED_HEADERS {
        if let Some(value) = headers.get(&name) {
            fields.insert(name, value.clone());
        }
    }
    let mut set = |name: HeaderName, value: &str| {
        let value = HeaderValue::from_str(value).expect("names and digits are a field's value");
        fields.insert(name, value);
    };
    set(USER_HEADER, &lease.user);
    set(KEY_HEADER, &lease.password);
    set(HOST, "localhost");
    set(CONNECTION, "close");
    request
}

/// A connection for each request: the engine may have been restarted since the last one.
async fn send_to_engine(
    engine: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<Response<ResponseBody>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(engine).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let (mut head, body) = response.into_parts();
    head.headers.remove(CONNECTION);
    head.headers.remove(TRANSFER_ENCODING);
    head.headers.remove("keep-alive");
    Ok(Response::from_parts(head, body.boxed()))
}

fn refused(refusal: BiRefusal) -> Response<ResponseBody> {
    let (code, _) = refusal.clickhouse_error();
    let status = match refusal {
        BiRefusal::WrongToken => StatusCode::FORBIDDEN,
        BiRefusal::ForbiddenWord => StatusCode::FORBIDDEN,
        BiRefusal::Unavailable | BiRefusal::TooManyTokens => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut response = text_response(status, format!("{}\n", refusal.message()));
    response
        .headers_mut()
        .insert("x-clickhouse-exception-code", HeaderValue::from(code));
    response
}

fn text_response(status: StatusCode, text: String) -> Response<ResponseBody> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
    let mut response = Response::new(body.boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=UTF-8"),
    );
    response
}
