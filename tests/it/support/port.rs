//! Ports for servers that must be told theirs: no other process gets the port as long as the value
//! is held.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A loopback port that is bound here and never listened on. The kernel gives it to no other
/// process, neither for port 0 nor for a connection. A server that is told the port can still
/// listen there, repeatedly, because it sets `SO_REUSEADDR` too.
pub struct Port {
    address: SocketAddr,
    _bound: Socket,
}

impl Port {
    pub fn hold() -> Port {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket
            .set_reuse_address(true)
            .expect("an option of sockets");
        socket
            .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
            .expect("a free port");
        let address = socket
            .local_addr()
            .expect("a bound socket has an address")
            .as_socket()
            .expect("an IP address");
        Port {
            address,
            _bound: socket,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[test]
fn a_held_port_is_given_to_nobody_and_its_server_comes_back_to_it() {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    let port = Port::hold();
    assert!(
        TcpStream::connect(port.address()).is_err(),
        "nobody listens there yet"
    );
    let others: Vec<TcpListener> = (0..500)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    assert!(
        others
            .iter()
            .all(|other| other.local_addr().unwrap() != port.address())
    );

    for _ in 0..3 {
        let server = TcpListener::bind(port.address()).unwrap();
        let mut client = TcpStream::connect(port.address()).unwrap();
        let (mut accepted, _) = server.accept().unwrap();
        accepted.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
}
