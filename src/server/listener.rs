//! The listening socket, and the limits and timeouts of its connections.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpServiceBuilder, Request, Response};
use actix_server::{Server, ServerBuilder};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, apply_fn_factory, fn_service,
    map_config,
};
use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::AppConfig;
use anyhow::Context;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{JoinSet, LocalSet};

use crate::config::{Config, MemoryBudget};
use crate::http::{BoundedStream, ConnectionLimiter, OpenConnections, WriteTimeouts};

/// Length of the kernel's queue of connections that are not accepted yet.
const BACKLOG: u32 = 1024;

/// Send buffer per connection, which the kernel doubles. By default it grows to 4 MiB and more for
/// a client that never reads.
const SEND_BUFFER_BYTES: u32 = 128 << 10;

/// Time for a client to close a finished connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Seconds of a stop for open connections. Responses take less; the rest of `server.shutdown_secs` is
/// for writing and sending counts.
const DRAIN_SECS: u64 = 5;

/// File descriptors kept for other uses than connections: files, the store, libraries.
const RESERVED_FILES: u64 = 256;

/// Limits of open connections, in total and per network.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimits {
    pub(super) total: usize,
    pub(super) per_network: usize,
}

impl ConnectionLimits {
    /// The configured limits, within the process's limit of open files.
    pub(super) fn from_config(config: &Config) -> ConnectionLimits {
        let files = raise_open_file_limit();
        let possible = usize::try_from(files.saturating_sub(RESERVED_FILES))
            .unwrap_or(usize::MAX)
            .max(64);
        let wanted = MemoryBudget::from_config(config).caps.connections;
        let all = wanted.min(possible);
        if all < wanted {
            tracing::warn!(
                open_files = files,
                connections = all,
                wanted,
                "the system's limit of open files (ulimit -n) is below server.max_connections"
            );
        }
        // With any configuration, one network must leave capacity for others.
        ConnectionLimits {
            total: all,
            per_network: config.server.connections_per_network.min((all / 2).max(1)),
        }
    }
}

/// The default soft limit is for programs that use `select`; it is raised to the hard limit, which is
/// returned.
pub(super) fn raise_open_file_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    ) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(_) => current.unwrap_or(u64::MAX),
    }
}

/// The open port.
pub(super) struct OpenPort {
    pub(super) server: Server,
    /// A copy of the listening socket, for the process that takes over.
    pub(super) listener: std::net::TcpListener,
}

/// Opens the port, or continues to serve that of a predecessor with its open connections. Requests
/// are accepted from here on.
pub(super) fn open_port<F, I, S, B>(
    config: &Config,
    room: ConnectionLimits,
    (crowd, open): (&Arc<ConnectionLimiter>, &Arc<OpenConnections>),
    inherited: Option<(std::net::TcpListener, Vec<std::net::TcpStream>)>,
    app: F,
) -> anyhow::Result<OpenPort>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig, Error = Error> + 'static,
    S::InitError: Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let workers = match config.server.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let listen = config.server.listen;
    let (listener, streams) = match inherited {
        Some(inherited) => inherited,
        None => {
            let bound = bind_listener(listen);
            let bound = bound.with_context(|| format!("server.listen: {listen} cannot be used"))?;
            (bound, Vec::new())
        }
    };
    let copy = listener.try_clone().context("server.listen")?;
    let address = listener.local_addr().unwrap_or(listen);
    let (keep_alive, read) = (
        Duration::from_secs(config.server.keep_alive_secs),
        Duration::from_millis(config.limits.read_timeout_millis),
    );
    let stalled = Duration::from_millis(config.limits.write_timeout_millis);
    let patience = WriteTimeouts {
        idle: stalled,
        total: stalled * 6,
    };
    let (crowd, open) = (Arc::clone(crowd), Arc::clone(open));

    let builder = ServerBuilder::new()
        .workers(workers)
        .max_concurrent_connections((room.total / workers).max(1))
        .shutdown_timeout(DRAIN_SECS.min(config.server.shutdown_secs.div_ceil(2)))
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    // `is_used`: whether the connections were used by a predecessor.
    let make_service = move |is_used: bool| {
        let (stopping, counted, entered, open) = (
            stopping.clone(),
            Arc::clone(&crowd),
            Arc::clone(&crowd),
            Arc::clone(&open),
        );
        let http = HttpServiceBuilder::default()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(keep_alive)
            .client_request_timeout(read)
            .client_disconnect_timeout(CLOSE_TIMEOUT)
            .local_addr(address)
            .on_connect_ext(|stream: &BoundedStream<TcpStream>, data| {
                if let Some(requests) = stream.requests() {
                    data.insert(requests);
                }
            })
            .h1(map_config(app(), |()| AppConfig::default()));
        let enter = move |io: TcpStream| {
            let peer = io.peer_addr().ok();
            let place = entered
                .try_acquire(peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip()));
            let admitted = place.map(|place| {
                let stream = BoundedStream::new(io, patience, Some(place));
                stream.with_handover(open.track(), copy_socket)
            });
            async move {
                let stream = admitted.ok_or(DispatchError::DisconnectTimeout)?;
                if !is_used {
                    return Ok((stream, peer));
                }
                let waiting = stream.freezable(async |mut stream| {
                    let has_request = stream.wait_for_request(keep_alive).await;
                    has_request.then_some((stream, peer))
                });
                waiting.await.ok_or(DispatchError::DisconnectTimeout)
            }
        };
        let serve = |(stream, peer): (BoundedStream<TcpStream>, Option<SocketAddr>), http: &_| {
            stream.freezable(|stream| Service::call(http, (stream, peer)))
        };
        fn_service(enter)
            .and_then(apply_fn_factory(http, serve))
            .map_err(move |error| record_dispatch_error(&counted, &error))
    };
    if !streams.is_empty() {
        let make_service = make_service.clone();
        serve_inherited(streams, workers, move || make_service(true))?;
    }
    let builder = builder.listen("http", listener, move || make_service(false))?;
    tracing::info!(%address, "listening");
    Ok(OpenPort {
        server: builder.run(),
        listener: copy,
    })
}

/// Serves the open connections of a predecessor until they end, on threads like those of the
/// server, which takes only connections that it accepted itself.
fn serve_inherited<F, S>(
    streams: Vec<std::net::TcpStream>,
    threads: usize,
    make_service: F,
) -> anyhow::Result<()>
where
    F: Fn() -> S + Send + Clone + 'static,
    S: ServiceFactory<TcpStream, Config = ()>,
    S::Service: 'static,
    S::InitError: Debug,
{
    let mut shares: Vec<Vec<std::net::TcpStream>> = (0..threads).map(|_| Vec::new()).collect();
    for (number, stream) in streams.into_iter().enumerate() {
        shares[number % threads].push(stream);
    }
    for share in shares.into_iter().filter(|share| !share.is_empty()) {
        let make_service = make_service.clone();
        std::thread::Builder::new()
            .name("inherited".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let runtime = runtime.expect("a runtime needs only file descriptors");
                LocalSet::new().block_on(&runtime, serve_streams(share, make_service));
            })?;
    }
    Ok(())
}

/// Serves these connections on this thread, and does not return.
async fn serve_streams<F, S>(streams: Vec<std::net::TcpStream>, make_service: F)
where
    F: Fn() -> S,
    S: ServiceFactory<TcpStream, Config = ()>,
    S::Service: 'static,
    S::InitError: Debug,
{
    let service = match make_service().new_service(()).await {
        Ok(service) => Rc::new(service),
        Err(error) => {
            tracing::error!(
                ?error,
                "the open connections of the former process are not served"
            );
            return;
        }
    };
    let mut served = JoinSet::new();
    for stream in streams {
        // A connection that ended meanwhile has nothing to be served.
        let ready = stream
            .set_nonblocking(true)
            .and(TcpStream::from_std(stream));
        if let Ok(stream) = ready {
            let service = Rc::clone(&service);
            served.spawn_local(async move {
                let _ = service.call(stream).await;
            });
        }
    }
    while served.join_next().await.is_some() {}
    // Requests whose client left run to their end on this thread.
    std::future::pending().await
}

fn copy_socket(stream: &TcpStream) -> std::io::Result<OwnedFd> {
    stream.as_fd().try_clone_to_owned()
}

/// Malformed requests are counted, and logged at debug level only, because anyone can send any
/// number of them.
fn record_dispatch_error(crowd: &ConnectionLimiter, error: &DispatchError) {
    if matches!(error, DispatchError::Parse(_)) {
        crowd.record_malformed();
        tracing::debug!("a request could not be read");
    }
}

fn bind_listener(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    // Inherited by accepted connections.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}
