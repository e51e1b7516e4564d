//! A blocking HTTP/1.1 client that sends exactly the given bytes over one kept connection.
//!
//! The only headers it adds are those that frame the body. Sending and receiving are two steps, so
//! that a test can have requests in progress on several connections without threads.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// A connection that is idle for longer may be closed by the other side at any time. It is better
/// to open a new one before a request than to be unsure afterwards whether it was received.
const FRESH: Duration = Duration::from_secs(2);

pub enum Body<'a> {
    None,
    Sized(&'a [u8]),
    /// One chunk each; an empty one would end the body.
    Chunked(&'a [&'a [u8]]),
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first field of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The address of a server; `None` while it is down, because another process may have its old port.
#[derive(Clone)]
pub struct Door(Arc<Mutex<Option<SocketAddr>>>);

impl Door {
    pub fn closed() -> Door {
        Door(Arc::default())
    }

    pub fn open_at(address: SocketAddr) -> Door {
        Door(Arc::new(Mutex::new(Some(address))))
    }

    pub fn open(&self, address: SocketAddr) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
    }

    pub fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        let address = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        address.ok_or_else(|| Error::new(ErrorKind::NotConnected, "the server is down"))
    }
}

pub struct Client {
    door: Door,
    stream: BufReader<TcpStream>,
    last_used: Instant,
    /// How long the connection may be idle before a new one is opened.
    max_idle: Duration,
}

impl Client {
    pub fn connect(address: SocketAddr) -> io::Result<Client> {
        Client::at(Door::open_at(address))
    }

    /// A client that finds the server again after a restart.
    pub fn at(door: Door) -> io::Result<Client> {
        let stream = open(door.address()?)?;
        Ok(Client {
            door,
            stream,
            last_used: Instant::now(),
            max_idle: FRESH,
        })
    }

    /// The same connection is used however long it was idle.
    pub fn never_reconnecting(self) -> Client {
        Client {
            max_idle: Duration::MAX,
            ..self
        }
    }

    /// A new connection to wherever the server is now.
    pub fn reconnect(&mut self) -> io::Result<()> {
        self.stream = open(self.door.address()?)?;
        Ok(())
    }

    /// `Host` is the address of the server.
    pub fn get(&mut self, target: &str) -> io::Result<Answer> {
        let host = self.door.address()?.to_string();
        self.ask("GET", target, &[("Host", &host)], Body::None)
    }

    pub fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> io::Result<Answer> {
        self.send(method, target, headers, body)?;
        self.receive()
    }

    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> io::Result<()> {
        if self.last_used.elapsed() > self.max_idle {
            self.reconnect()?;
        }
        let bytes = request_bytes(method, target, headers, body);
        self.last_used = Instant::now();
        self.stream.get_mut().write_all(&bytes)
    }

    /// The body of a request that was sent with `Content-Length` and [`Body::None`].
    pub fn send_body(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    pub fn receive(&mut self) -> io::Result<Answer> {
        let answer = self.receive_head()?;
        self.receive_body(answer)
    }

    pub fn receive_body(&mut self, mut answer: Answer) -> io::Result<Answer> {
        answer.body = self.body(&answer)?;
        self.last_used = Instant::now();
        Ok(answer)
    }

    /// For answers without an end.
    pub fn receive_head(&mut self) -> io::Result<Answer> {
        let status_line = self.line()?;
        let status = status_line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| malformed(&status_line))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| malformed(&line))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Answer {
            status,
            headers,
            body: Vec::new(),
        })
    }

    fn body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        if answer
            .header("Transfer-Encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
        {
            return self.chunks();
        }
        let length = match answer.header("Content-Length") {
            Some(length) => length.parse().map_err(|_| malformed(length))?,
            None => 0,
        };
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let chunk = self.receive_chunk()?;
            if chunk.is_empty() {
                return Ok(body);
            }
            body.extend(chunk);
        }
    }

    /// The next part of a body that arrives in parts; empty at its end.
    pub fn receive_chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = self.line()?;
        let length = usize::from_str_radix(line.trim(), 16).map_err(|_| malformed(&line))?;
        let mut chunk = vec![0; length];
        self.stream.read_exact(&mut chunk)?;
        self.line()?;
        Ok(chunk)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(Error::new(
                ErrorKind::UnexpectedEof,
                "the server closed the connection",
            ));
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

fn open(address: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

fn request_bytes(method: &str, target: &str, headers: &[(&str, &str)], body: Body) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").expect("writing to a string");
    }
    let mut framed = Vec::new();
    match body {
        Body::None => {}
        Body::Sized(bytes) => {
            write!(head, "Content-Length: {}\r\n", bytes.len()).expect("writing to a string");
            framed.extend_from_slice(bytes);
        }
        Body::Chunked(chunks) => {
            head.push_str("Transfer-Encoding: chunked\r\n");
            for chunk in chunks {
                framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                framed.extend_from_slice(chunk);
                framed.extend_from_slice(b"\r\n");
            }
            framed.extend_from_slice(b"0\r\n\r\n");
        }
    }
    head.push_str("\r\n");
    [head.into_bytes(), framed].concat()
}

fn malformed(line: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("not HTTP/1.1: {line:?}"))
}

#[test]
fn a_request_goes_out_byte_for_byte_and_only_its_framing_is_added() {
    let headers = [("DNT", "1xyz"), ("x-odd-Case", "a  b"), ("DNT", "0")];
    let chunks: [&[u8]; 2] = [b"[1,", b"2345678901234]"];
    let bytes = request_bytes("POST", "/ff/hit", &headers, Body::Chunked(&chunks));
    let expected = "POST /ff/hit HTTP/1.1\r\nDNT: 1xyz\r\nx-odd-Case: a  b\r\nDNT: 0\r\nTransfer-Encoding: chunked\r\n\r\n\
                    3\r\n[1,\r\ne\r\n2345678901234]\r\n0\r\n\r\n";
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[test]
fn answers_are_read_one_after_the_other_from_one_connection() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut client = Client::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server
        .write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
        .unwrap();
    server
        .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nA: b\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n")
        .unwrap();
    client.send("POST", "/", &[], Body::Sized(b"{}")).unwrap();
    let first = client.receive().unwrap();
    assert_eq!((first.status, first.body.len()), (202, 0));
    let second = client.receive().unwrap();
    assert_eq!(
        (second.status, second.text().as_str(), second.header("a")),
        (200, "abcd", Some("b"))
    );
}
