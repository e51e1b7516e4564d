//! The BI port: ClickHouse's own HTTP protocol for BI tools, before the embedded engine.
//!
//! The engine's port is on the loopback device and of the collector. This module listens on the
//! configured address, checks the API token that a client gives as its password, replaces user
//! and password by those of a ClickHouse user with few rights, and passes the rest on. What that
//! user may see is ClickHouse's business (`store::engine`, `store/bi_views.sql`): views of what is
//! published, `readonly = 2`, limits, and row policies for tokens of one site.

mod http;
mod statement_guard;
mod tls;
mod users;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwapOption;
use imbl::OrdSet;
use imbl::ordset::DiffItem;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::access::{ApiToken, TokenScope};
use crate::calendar::Day;
use crate::clock::Clock;
use crate::config::Config;
use crate::event::SiteId;
use crate::registry::Registry;
use crate::store::{BiReach, Store};
use users::{BiUserLease, BiUserPool};

/// Open connections; further clients wait to be accepted.
const MAX_CONNECTIONS: usize = 256;
/// Time for a TLS handshake, for the head of a request, and for its body.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an open connection's token is looked at again.
const RECHECK_INTERVAL: Duration = Duration::from_millis(500);
/// The most names of sites in one insert.
const MAX_NAME_BATCH: usize = 10_000;
/// Pause after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a client is not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum BiRefusal {
    /// The password is no valid token with scope `bi`.
    WrongToken,
    /// The store or the registry cannot be reached yet.
    Unavailable,
    /// More tokens are in use than the engine has users.
    TooManyTokens,
    /// The statement contains a word that is not allowed.
    ForbiddenWord,
}

impl BiRefusal {
    /// ClickHouse's code and name of the error.
    fn clickhouse_error(self) -> (i32, &'static str) {
        match self {
            BiRefusal::WrongToken => (516, "AUTHENTICATION_FAILED"),
            BiRefusal::Unavailable => (210, "NETWORK_ERROR"),
            BiRefusal::TooManyTokens => (202, "TOO_MANY_SIMULTANEOUS_QUERIES"),
            BiRefusal::ForbiddenWord => (497, "ACCESS_DENIED"),
        }
    }

    /// The error as ClickHouse words it.
    fn message(self) -> String {
        let (code, name) = self.clickhouse_error();
        let text = match self {
            BiRefusal::WrongToken => {
                "Authentication failed: the password must be an API token with scope bi"
            }
            BiRefusal::Unavailable => "The store is not available; try again in a few seconds",
            BiRefusal::TooManyTokens => {
                "More tokens are in use than bi_port.tokens allows; try again later"
            }
            BiRefusal::ForbiddenWord => {
                "The word `file` is not allowed in a statement, not even in a text: write 'fil' || \
                 'e'"
            }
        };
        format!("Code: {code}. DB::Exception: {text}. ({name})")
    }
}

/// The listening port, before it runs.
pub struct BiPort {
    listener: TcpListener,
    shared: Arc<BiGateway>,
}

/// What all connections share.
struct BiGateway {
    clock: Clock,
    registry: Arc<Registry>,
    store: Arc<ArcSwapOption<Store>>,
    users: BiUserPool,
    tls: Option<TlsAcceptor>,
    connections: Arc<Semaphore>,
    keep_days: u32,
    /// Names of the registry that the views can show; `None` until they were first stored.
    named_sites: Mutex<Option<OrdSet<Arc<str>>>>,
}

impl BiPort {
    /// Opens the configured port; `None` if there is none. `inherited` is the socket of a process
    /// that this one takes over from.
    ///
    /// # Errors
    ///
    /// The address cannot be used, or the certificate or its key cannot be read.
    pub fn open(
        config: &Config,
        clock: Clock,
        registry: Arc<Registry>,
        store: Arc<ArcSwapOption<Store>>,
        inherited: Option<std::net::TcpListener>,
    ) -> anyhow::Result<Option<BiPort>> {
        let port = &config.bi_port;
        let Some(address) = port.http_listen else {
            return Ok(None);
        };
        let listener = listen(address, inherited)?;
        let shared = BiGateway {
            clock,
            registry,
            store,
            users: BiUserPool::new(port.tokens, config.report.k),
            tls: tls::read_acceptor(port)?,
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            keep_days: config.retention.keep_days,
            named_sites: Mutex::default(),
        };
        Ok(Some(BiPort {
            listener,
            shared: Arc::new(shared),
        }))
    }

    /// A copy of the listening socket, for the process that takes over.
    ///
    /// # Errors
    ///
    /// There is no free file descriptor.
    pub fn copy_listener(&self) -> std::io::Result<std::net::TcpListener> {
        let copy = std::os::fd::AsFd::as_fd(&self.listener).try_clone_to_owned()?;
        Ok(copy.into())
    }

    /// Answers clients until it is dropped, which closes their connections.
    pub async fn run(self) {
        let BiPort { listener, shared } = self;
        let mut clients = JoinSet::new();
        loop {
            while clients.try_join_next().is_some() {}
            let Ok(place) = Arc::clone(&shared.connections).acquire_owned().await else {
                return;
            };
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let shared = Arc::clone(&shared);
            clients.spawn(async move {
                serve_client(stream, &shared).await;
                drop(place);
            });
        }
    }
}

fn listen(
    address: SocketAddr,
    inherited: Option<std::net::TcpListener>,
) -> anyhow::Result<TcpListener> {
    let open = || {
        let listener = inherited.map_or_else(|| std::net::TcpListener::bind(address), Ok)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    let listener =
        open().with_context(|| format!("bi_port.http_listen: {address} cannot be used"))?;
    let bound = listener.local_addr().unwrap_or(address);
    tracing::info!(protocol = "http", bi_address = %bound, "the BI port is open");
    Ok(listener)
}

async fn serve_client(stream: TcpStream, shared: &Arc<BiGateway>) {
    let _ = stream.set_nodelay(true);
    match &shared.tls {
        None => http::serve_connection(stream, shared).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) =
                tokio::time::timeout(READ_TIMEOUT, acceptor.accept(stream)).await
            {
                http::serve_connection(stream, shared).await;
            }
        }
    }
}

impl BiGateway {
    /// Finds the ClickHouse user for the token that a client gave as its password.
    async fn authorize(&self, password: &str) -> Result<BiUserLease, BiRefusal> {
        let today = self.today();
        let keys = self.registry.access_keys().ok_or(BiRefusal::Unavailable)?;
        let token = keys
            .find_token(password, today.to_date())
            .filter(|token| token.scopes.contains(&TokenScope::Bi))
            .ok_or(BiRefusal::WrongToken)?;
        let store = self.store.load_full().ok_or(BiRefusal::Unavailable)?;
        let reach = self.token_reach(token, today)?;
        self.store_site_names(&store).await?;
        self.users.lease(&store, &token.id, reach).await
    }

    /// Stores the names of configured and registered sites, which no hit does: the views show
    /// names. Only those that were registered since the last call are looked at.
    async fn store_site_names(&self, store: &Store) -> Result<(), BiRefusal> {
        let directory = &self.registry.directory;
        let registered = directory.registered_entries();
        let mut named = self.named_sites.lock().await;
        let is_first = named.is_none();
        let configured = directory
            .configured_sites()
            .iter()
            .filter(|_| is_first)
            .map(|rule| rule.id.clone());
        let before = named.take().unwrap_or_default();
        let added = before
            .diff(registered.names())
            .filter_map(|difference| match difference {
                DiffItem::Add(name) => Some(name.to_string()),
                DiffItem::Remove(_) => None,
            });

        let fresh: Vec<(SiteId, String)> = configured
            .chain(added)
            .map(|name| (SiteId::from_key(&name), name))
            .collect();
        for batch in fresh.chunks(MAX_NAME_BATCH) {
            store
                .insert_known_names(batch)
                .await
                .map_err(users::unavailable)?;
        }
        *named = Some(registered.names().clone());
        Ok(())
    }

    /// The rows that a token opens.
    fn token_reach(&self, token: &ApiToken, today: Day) -> Result<BiReach, BiRefusal> {
        let site = match &token.site {
            None => None,
            Some(name) => {
                let sites = self.registry.directory.resolver();
                let (site, _) = sites.find_by_name(name).ok_or(BiRefusal::WrongToken)?;
                Some(site)
            }
        };
        let keep_days = u16::try_from(self.keep_days).unwrap_or(u16::MAX);
        Ok(BiReach {
            site,
            first_day: Day::from_number(today.as_number().saturating_sub(keep_days)),
        })
    }

    /// Returns once a token is no longer valid.
    async fn wait_until_invalid(&self, token_id: &str) {
        loop {
            tokio::time::sleep(RECHECK_INTERVAL).await;
            let keys = self.registry.access_keys();
            if keys.is_some_and(|keys| !keys.is_token_valid(token_id, self.today().to_date())) {
                return;
            }
        }
    }

    /// The current day in UTC, by which tokens expire.
    fn today(&self) -> Day {
        Day::from_utc(self.clock.now()).unwrap_or(Day::from_number(0))
    }
}
