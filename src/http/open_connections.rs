//! The open connections, and how they go to another process without a client noticing.
//!
//! A connection between two requests is a socket and nothing else: no byte of it is in this
//! process. While connections are frozen, no further request is read. Those that are under way are
//! answered; then the process that takes over is given copies of the sockets, and reads what the
//! clients have sent meanwhile. If it does not take over, the connections are thawed, and this
//! process reads on.
//!
//! The HTTP library's timers end a connection that waits too long for its next request. So the
//! library does not run for a frozen connection ([`FreezableWork`]): the request may be in the
//! socket. After a thaw, a timer that has run out ends it.
//!
//! A response that is sent in parts is under way until the last one ([`TrackRequests`]). A
//! connection that ends with a response is not given away: the rest of a request's body may be in its
//! socket.
//!
//! [`TrackRequests`]: super::TrackRequests
//!
//! A client that pipelines, so that the rest of a read is the next request, loses that request.
//! Browsers and proxies do not pipeline.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use memchr::memmem;

/// What the HTTP library writes to ask for the body of a request.
const CONTINUE_LINE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The field `connection` of a response is within this number of bytes.
const MAX_CONNECTION_FIELD_BYTES: usize = 256;

/// No request is under way.
const IDLE: u8 = 0;
/// Its thread is about to read.
const READING: u8 = 1;
/// Bytes of a request were read, and its response is not complete and written yet.
const BUSY: u8 = 2;
/// Its thread is asked for a copy of the socket.
const WANTED: u8 = 3;
/// Another process has a copy of the socket.
const HANDED_OVER: u8 = 4;

/// All open connections of a port.
#[derive(Default)]
pub struct OpenConnections {
    is_frozen: AtomicBool,
    /// By a number that is never used again.
    connections: Mutex<ConnectionList>,
    copies: Mutex<Vec<OwnedFd>>,
}

#[derive(Default)]
struct ConnectionList {
    next: u64,
    open: HashMap<u64, Arc<ConnectionState>>,
}

struct ConnectionState {
    state: AtomicU8,
    /// Requests without a complete response.
    requests: AtomicU32,
    /// Whether the connection ends with a response. What then arrives is no request.
    is_ending: AtomicBool,
    waker: AtomicWaker,
}

/// How many connections there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionCounts {
    /// Between two requests.
    pub idle: usize,
    /// With a request that has no complete response.
    pub busy: usize,
}

/// One open connection, until it is dropped.
pub struct TrackedConnection {
    number: u64,
    shared: Arc<OpenConnections>,
    state: Arc<ConnectionState>,
    /// Whether a part of the response to the last request was written.
    has_answered: bool,
}

impl OpenConnections {
    /// Adds a connection without a request yet.
    pub fn track(self: &Arc<Self>) -> TrackedConnection {
        let state = Arc::new(ConnectionState {
            state: AtomicU8::new(IDLE),
            requests: AtomicU32::new(0),
            is_ending: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        let mut list = self.lock_list();
        let number = list.next;
        list.next += 1;
        list.open.insert(number, Arc::clone(&state));
        drop(list);
        TrackedConnection {
            number,
            shared: Arc::clone(self),
            state,
            has_answered: false,
        }
    }

    /// Reads no further request. Those under way continue.
    pub fn freeze(&self) {
        self.is_frozen.store(true, Ordering::SeqCst);
    }

    /// Reads requests again, also of connections whose copies were not used.
    pub fn thaw(&self) {
        self.is_frozen.store(false, Ordering::SeqCst);
        self.lock_copies().clear();
        for connection in self.lock_list().open.values() {
            for from in [WANTED, HANDED_OVER] {
                let _ = connection.replace(from, IDLE);
            }
            connection.waker.wake();
        }
    }

    /// How many connections are idle and busy. While they are frozen, no idle one becomes busy.
    pub fn counts(&self) -> ConnectionCounts {
        let list = self.lock_list();
        let states = list
            .open
            .values()
            .map(|one| one.state.load(Ordering::SeqCst));
        let (mut idle, mut busy) = (0, 0);
        for state in states {
            match state {
                READING | BUSY => busy += 1,
                HANDED_OVER => {}
                _ => idle += 1,
            }
        }
        ConnectionCounts { idle, busy }
    }

    /// Asks at most `most` idle connections for copies of their sockets; they arrive in
    /// [`OpenConnections::take_copies`]. Returns how many were asked.
    pub fn request_copies(&self, most: usize) -> usize {
        let list = self.lock_list();
        let asked = list
            .open
            .values()
            .filter(|one| !one.is_ending.load(Ordering::SeqCst) && one.replace(IDLE, WANTED));
        let mut count = 0;
        for connection in asked.take(most) {
            connection.waker.wake();
            count += 1;
        }
        count
    }

    /// Whether a connection that was asked for a copy has not made it yet.
    pub fn awaits_copies(&self) -> bool {
        let list = self.lock_list();
        let mut states = list
            .open
            .values()
            .map(|one| one.state.load(Ordering::SeqCst));
        states.any(|state| state == WANTED)
    }

    /// The copies that were made.
    pub fn take_copies(&self) -> Vec<OwnedFd> {
        std::mem::take(&mut *self.lock_copies())
    }

    fn lock_list(&self) -> MutexGuard<'_, ConnectionList> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_copies(&self) -> MutexGuard<'_, Vec<OwnedFd>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionState {
    /// Whether no request is under way once everything is written.
    fn may_be_idle(&self) -> bool {
        self.requests.load(Ordering::SeqCst) == 0 && !self.is_ending.load(Ordering::SeqCst)
    }

    fn replace(&self, from: u8, to: u8) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }
}

impl TrackedConnection {
    /// Whether the connection may be read now. Otherwise the task is woken when it may. `copy`
    /// copies the socket.
    pub(super) fn may_read(
        &mut self,
        context: &Context<'_>,
        copy: impl FnOnce() -> io::Result<OwnedFd>,
    ) -> bool {
        if self.state.state.load(Ordering::SeqCst) == BUSY {
            return true;
        }
        // Before the state is looked at, so that no wake is missed.
        self.state.waker.register(context.waker());
        // The other thread freezes first and looks at the states then: it sees this one, or this
        // thread sees that connections are frozen.
        if self.state.replace(IDLE, READING) {
            if !self.shared.is_frozen.load(Ordering::SeqCst) {
                return true;
            }
            self.state.state.store(IDLE, Ordering::SeqCst);
            return false;
        }
        self.hand_over(copy);
        false
    }

    /// Makes the copy of the socket that is asked for, if one is. Returns whether another process has
    /// the socket: then this one must neither write to it nor end it.
    pub(super) fn hand_over(&mut self, copy: impl FnOnce() -> io::Result<OwnedFd>) -> bool {
        if self.state.state.load(Ordering::SeqCst) == WANTED {
            // Without a copy, for lack of file descriptors, the connection ends with this process.
            if let Ok(copy) = copy() {
                self.shared.lock_copies().push(copy);
            }
            let _ = self.state.replace(WANTED, HANDED_OVER);
        }
        self.state.state.load(Ordering::SeqCst) == HANDED_OVER
    }

    /// What work on the connection looks at before it runs.
    pub(super) fn freeze_switch(&self) -> FreezeSwitch {
        FreezeSwitch {
            shared: Arc::clone(&self.shared),
            state: Arc::clone(&self.state),
        }
    }

    /// After [`TrackedConnection::may_read`]: whether anything was read, the end of the stream
    /// included.
    pub(super) fn record_read(&mut self, has_read: bool) {
        if !has_read {
            let _ = self.state.replace(READING, IDLE);
        } else if self.state.replace(READING, BUSY) {
            self.has_answered = false;
        }
    }

    /// A part of a response was written, or the line that asks for the rest of a request.
    pub(super) fn record_write(&mut self, bytes: &[u8]) {
        let bytes = bytes.strip_prefix(CONTINUE_LINE).unwrap_or(bytes);
        if self.has_answered || bytes.is_empty() {
            return;
        }
        self.has_answered = true;
        let head = &bytes[..bytes.len().min(MAX_CONNECTION_FIELD_BYTES)];
        if memmem::find(head, b"\r\nconnection: close").is_some() {
            self.state.is_ending.store(true, Ordering::SeqCst);
        }
    }

    /// Everything that the library had to write was written.
    pub(super) fn record_flush(&mut self) {
        if self.has_answered && self.state.may_be_idle() {
            let _ = self.state.replace(BUSY, IDLE);
        }
    }

    /// What the requests of this connection are counted by.
    pub(super) fn requests(&self) -> ConnectionRequests {
        ConnectionRequests(Arc::clone(&self.state))
    }
}

/// Counts the requests of a connection that have no complete response. Data of the connection, for
/// [`TrackRequests`](super::TrackRequests).
pub struct ConnectionRequests(Arc<ConnectionState>);

impl ConnectionRequests {
    /// A request was read.
    pub(super) fn begin(&self) -> OpenRequest {
        self.0.requests.fetch_add(1, Ordering::SeqCst);
        OpenRequest(Arc::clone(&self.0))
    }
}

/// A request without a complete response, until it is dropped.
pub struct OpenRequest(Arc<ConnectionState>);

impl OpenRequest {
    /// The connection ends with the response.
    pub(super) fn end_connection(&self) {
        self.0.is_ending.store(true, Ordering::SeqCst);
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether a connection is frozen.
pub(super) struct FreezeSwitch {
    shared: Arc<OpenConnections>,
    state: Arc<ConnectionState>,
}

impl FreezeSwitch {
    /// Whether the connection is frozen between two requests. Then the task is woken when it may
    /// continue, or when a copy of the socket is asked for.
    fn is_frozen(&self, context: &Context<'_>) -> bool {
        let is_frozen = || self.shared.is_frozen.load(Ordering::SeqCst);
        if !is_frozen() {
            return false;
        }
        // Before the state is looked at, so that no wake is missed.
        self.state.waker.register(context.waker());
        let state = self.state.state.load(Ordering::SeqCst);
        let is_idle = state == IDLE && !self.state.is_ending.load(Ordering::SeqCst);
        is_frozen() && (is_idle || state == HANDED_OVER)
    }
}

/// The library's work on a connection, which rests while the connection is frozen.
pub struct FreezableWork<F> {
    work: Pin<Box<F>>,
    switch: Option<FreezeSwitch>,
}

impl<F> FreezableWork<F> {
    /// Without a switch, the work never rests.
    pub(super) fn new(work: F, switch: Option<FreezeSwitch>) -> FreezableWork<F> {
        FreezableWork {
            work: Box::pin(work),
            switch,
        }
    }
}

impl<F: Future> Future for FreezableWork<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match &self.switch {
            Some(switch) if switch.is_frozen(context) => Poll::Pending,
            _ => self.work.as_mut().poll(context),
        }
    }
}

impl Drop for TrackedConnection {
    fn drop(&mut self) {
        self.shared.lock_list().open.remove(&self.number);
    }
}
