//! The engine on a loopback port: for tools that read the same numbers (Metabase, Superset), and for tests.
//!
//! Who reaches the port can reach more than tables: a statement can read any file of the process and open connections. So a
//! guest's connections are read-only, which refuses all of that, a token is asked for, and the `Host` must be this machine's,
//! because a page in a browser can reach a loopback port under a name of its own.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;

use super::answer::Answer;
use super::pool::Engine;
use super::{EngineError, EngineOptions, open, service};

/// A guest's password. It has no `Debug` and no `Display`.
#[derive(Clone)]
pub struct Token(Arc<str>);

impl Token {
    /// `None` where the token is too short to be one.
    pub fn new(token: &str) -> Option<Token> {
        (token.len() >= 16).then(|| Token(token.into()))
    }
}

/// What a port lets its callers do.
#[derive(Clone)]
pub enum Access {
    /// Everything, asked by nobody in particular: a test, or a collector that plays the server for another.
    Full,
    /// Reads, by holders of the token.
    ReadOnly(Token),
}

/// A process that is nothing but this port: opens the engine, prints the port's address as one line on stdout, serves until
/// the future is dropped.
pub async fn serve_alone(options: EngineOptions, listen: SocketAddr, access: Access) -> Result<(), EngineError> {
    let engine = open(options).await?;
    let listener = TcpListener::bind(listen).await?;
    println!("{}", listener.local_addr()?);
    serve_tcp(engine, listener, access).await
}

/// Serves until the future is dropped. Refuses a listener that is not on loopback.
pub async fn serve_tcp(engine: Engine, listener: TcpListener, access: Access) -> Result<(), EngineError> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        return Err(EngineError::NotLoopback(address));
    }
    loop {
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Out of descriptors, or the caller is gone already: the next one may do better.
            Err(_) => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        tokio::spawn(serve_connection(engine.clone(), Some(access.clone()), TokioIo::new(stream)));
    }
}

/// One connection's requests. `access` is `None` for the pipe inside the process, which needs no questions asked.
pub(super) async fn serve_connection<I>(engine: Engine, access: Option<Access>, io: I)
where
    I: Read + Write + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let (engine, access) = (engine.clone(), access.clone());
        async move { Ok::<_, std::convert::Infallible>(admit(engine, access, request).await) }
    });
    // A caller that hangs up is no failure of ours.
    let _gone = http1::Builder::new().timer(TokioTimer::new()).serve_connection(io, service).await;
}

async fn admit(engine: Engine, access: Option<Access>, request: Request<Incoming>) -> Response<Answer> {
    if access.is_some() && !names_loopback(&request) {
        return service::refused("the Host is not this machine");
    }
    let guest = match &access {
        Some(Access::ReadOnly(token)) if request.uri().path() != "/ping" => {
            if !shows(&request, token) {
                return service::refused("the token is missing or wrong");
            }
            true
        }
        Some(Access::ReadOnly(_)) => true,
        Some(Access::Full) | None => false,
    };
    service::answer(engine, guest, request).await
}

fn names_loopback(request: &Request<Incoming>) -> bool {
    let Some(host) = request.headers().get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let Ok(authority) = host.parse::<hyper::http::uri::Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn shows(request: &Request<Incoming>, token: &Token) -> bool {
    let header = |name: &str| request.headers().get(name).map(|value| value.as_bytes().to_vec());
    let shown = header("x-clickhouse-key").or_else(|| {
        let value = header(AUTHORIZATION.as_str())?;
        match value.split_first_chunk::<7>() {
            Some((b"Bearer ", token)) => Some(token.to_vec()),
            _ => password(value.strip_prefix(b"Basic ")?),
        }
    });
    shown.is_some_and(|shown| bool::from(shown.ct_eq(token.0.as_bytes())))
}

/// The half after the colon of a Basic credential.
fn password(base64: &[u8]) -> Option<Vec<u8>> {
    let decoded = from_base64(base64)?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some(decoded[colon + 1..].to_vec())
}

fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0);
    for &letter in text.trim_ascii_end().iter().take_while(|letter| **letter != b'=') {
        let six = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basic_credential_gives_its_password() {
        assert_eq!(password(b"dXNlcjpwYTpzcw==").unwrap(), b"pa:ss");
        assert_eq!(password(b"Og==").unwrap(), b"");
        assert!(password(b"dXNlcg==").is_none() && password(b"!").is_none());
    }

    #[test]
    fn a_short_token_is_no_token() {
        assert!(Token::new("123456789012345").is_none() && Token::new("1234567890123456").is_some());
    }
}
