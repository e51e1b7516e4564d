//! ClickHouse's native protocol for BI tools: the first packet is read and written anew, the rest
//! is passed on.
//!
//! The revision of the protocol is lowered to [`MAX_REVISION`] on both sides. Later ones may wrap
//! packets in chunks, whose headers could hide a word from the guard.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpStream;

use super::statement_guard::StatementGuard;
use super::{BiGateway, BiRefusal, READ_TIMEOUT};

/// The last revision without chunked packets.
const MAX_REVISION: u64 = 54_469;
/// Longest text of the first packet.
const MAX_TEXT_BYTES: u64 = 1024;
const HELLO_PACKET: u64 = 0;
const EXCEPTION_PACKET: u64 = 2;
const BUFFER_BYTES: usize = 64 << 10;

/// The first packet of a client.
struct ClientHello {
    client: Vec<u8>,
    version: [u64; 2],
    revision: u64,
    database: Vec<u8>,
    password: Vec<u8>,
}

/// Serves a connection until it ends or its token becomes invalid.
pub(super) async fn serve_connection<S>(mut stream: S, shared: &Arc<BiGateway>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(Some(hello)) = tokio::time::timeout(READ_TIMEOUT, read_client_hello(&mut stream)).await
    else {
        return;
    };
    let password = String::from_utf8_lossy(&hello.password).into_owned();
    let lease = match shared.authorize(&password).await {
        Ok(lease) => lease,
        Err(refusal) => {
            let _ = stream.write_all(&exception_packet(refusal)).await;
            let _ = stream.shutdown().await;
            return;
        }
    };
    let Ok(engine) = TcpStream::connect(lease.native).await else {
        let packet = exception_packet(BiRefusal::Unavailable);
        let _ = stream.write_all(&packet).await;
        return;
    };
    let _ = engine.set_nodelay(true);
    let login = hello.encode_login(&lease.user, &lease.password);

    tokio::select! {
        () = pass_on(stream, engine, &login) => {}
        () = shared.wait_until_invalid(&lease.token_id) => {}
    }
}

/// Logs in and passes bytes on in both directions, until either side ends or the guard finds its
/// word.
async fn pass_on<S>(stream: S, mut engine: TcpStream, login: &[u8])
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut from_client, mut to_client) = split(stream);
    if engine.write_all(login).await.is_err() {
        return;
    }
    let Some(greeting) = read_server_hello(&mut engine).await else {
        return;
    };
    if to_client.write_all(&greeting).await.is_err() {
        return;
    }

    let (mut from_engine, mut to_engine) = engine.split();
    let statements = async {
        let mut guard = StatementGuard::default();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = match from_client.read(&mut buffer).await {
                Ok(0) | Err(_) => return false,
                Ok(count) => count,
            };
            if guard.push(&buffer[..count]) {
                return true;
            }
            if to_engine.write_all(&buffer[..count]).await.is_err() {
                return false;
            }
        }
    };
    let results = tokio::io::copy(&mut from_engine, &mut to_client);
    let forbidden = tokio::select! {
        forbidden = statements => forbidden,
        _ = results => false,
    };
    if forbidden {
        let packet = exception_packet(BiRefusal::ForbiddenWord);
        let _ = to_client.write_all(&packet).await;
        let _ = to_client.shutdown().await;
    }
}

/// `None` if it is no such packet, or too long.
async fn read_client_hello(stream: &mut (impl AsyncRead + Unpin)) -> Option<ClientHello> {
    if read_number(stream).await? != HELLO_PACKET {
        return None;
    }
    let client = read_text(stream).await?;
    let version = [read_number(stream).await?, read_number(stream).await?];
    let revision = read_number(stream).await?;
    let database = read_text(stream).await?;
    let _user = read_text(stream).await?;
    let password = read_text(stream).await?;
    Some(ClientHello {
        client,
        version,
        revision,
        database,
        password,
    })
}

impl ClientHello {
    fn encode_login(&self, user: &str, password: &str) -> Vec<u8> {
        let mut packet = Vec::new();
        push_number(&mut packet, HELLO_PACKET);
        push_text(&mut packet, &self.client);
        for number in self.version {
            push_number(&mut packet, number);
        }
        push_number(&mut packet, self.revision.min(MAX_REVISION));
        push_text(&mut packet, &self.database);
        push_text(&mut packet, user.as_bytes());
        push_text(&mut packet, password.as_bytes());
        packet
    }
}

/// The beginning of the engine's first packet, with the lowered revision. An exception is left as
/// it is.
async fn read_server_hello(engine: &mut TcpStream) -> Option<Vec<u8>> {
    let mut packet = Vec::new();
    let kind = read_number(engine).await?;
    push_number(&mut packet, kind);
    if kind == HELLO_PACKET {
        push_text(&mut packet, &read_text(engine).await?);
        for _ in 0..2 {
            push_number(&mut packet, read_number(engine).await?);
        }
        push_number(&mut packet, read_number(engine).await?.min(MAX_REVISION));
    }
    Some(packet)
}

async fn read_number(stream: &mut (impl AsyncRead + Unpin)) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let byte = stream.read_u8().await.ok()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

async fn read_text(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let length = read_number(stream).await?;
    if length > MAX_TEXT_BYTES {
        return None;
    }
    let mut text = vec![0; usize::try_from(length).ok()?];
    stream.read_exact(&mut text).await.ok()?;
    Some(text)
}

fn push_number(packet: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        packet.push(number as u8 | 0x80);
        number >>= 7;
    }
    packet.push(number as u8);
}

fn push_text(packet: &mut Vec<u8>, text: &[u8]) {
    push_number(packet, text.len() as u64);
    packet.extend_from_slice(text);
}

fn exception_packet(refusal: BiRefusal) -> Vec<u8> {
    let (code, _) = refusal.clickhouse_error();
    let mut packet = Vec::new();
    push_number(&mut packet, EXCEPTION_PACKET);
    packet.extend_from_slice(&code.to_le_bytes());
    push_text(&mut packet, b"DB::Exception");
    push_text(&mut packet, refusal.message().as_bytes());
    push_text(&mut packet, b"");
    // There is no nested exception.
    packet.push(0);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hello_is_read_and_written_with_another_user_and_a_lower_revision() {
        let mut sent = Vec::new();
        push_number(&mut sent, HELLO_PACKET);
        push_text(&mut sent, b"a client");
        for number in [26, 7, 54_480] {
            push_number(&mut sent, number);
        }
        for text in ["footfall_bi", "collector", "ff_secret"] {
            push_text(&mut sent, text.as_bytes());
        }
        let hello = read_client_hello(&mut &sent[..]).await.unwrap();
        assert_eq!(hello.password, b"ff_secret");

        let login = hello.encode_login("bi_1", "other");
        let read = read_client_hello(&mut &login[..]).await.unwrap();
        assert_eq!(
            (read.revision, read.password),
            (MAX_REVISION, b"other".to_vec())
        );
        assert!(
            !login
                .windows(9)
                .any(|part| part == b"collector" || part == b"ff_secret")
        );

        assert!(
            read_client_hello(&mut &sent[..sent.len() - 1])
                .await
                .is_none()
        );
        assert!(
            read_client_hello(&mut &b"GET / HTTP/1.1\r\n"[..])
                .await
                .is_none()
        );
    }
}
