//! Limits the cost of a single connection.
//!
//! The HTTP library reads requests as long as any arrive, and buffers their responses until the
//! peer reads them. A client that sends without reading would cost unlimited memory for an
//! unlimited time. Therefore this layer between the library and the socket reads nothing while a
//! response waits for the peer, passes on requests a few KiB at a time, and closes the connection
//! if the peer does not read a response in time.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::open_connections::ConnectionRequests;
use super::{ConnectionPermit, FreezableWork, TrackedConnection};

/// The number of request bytes that are processed before more are read: in most cases one hit with
/// its headers, at most about a hundred of the smallest requests. Other connections of the worker
/// wait that long.
const MAX_TURN_BYTES: usize = 2048;

/// The same for a client that pipelines, so that a turn is one or two requests. With larger turns,
/// a thousand such clients would put a thousand times dozens of responses before another client's
/// request.
const MAX_PIPELINED_TURN_BYTES: usize = 64;

/// How long a peer may take to read a response.
#[derive(Clone, Copy)]
pub struct WriteTimeouts {
    /// The maximum time without reading a single byte.
    pub idle: Duration,
    /// The maximum time for everything that is buffered. Otherwise a very slow reader could hold
    /// its response for minutes.
    pub total: Duration,
}

/// A stream, usually a socket, with these limits.
pub struct BoundedStream<S> {
    io: S,
    timeouts: WriteTimeouts,
    /// Bytes that were read since the library was last given control.
    turn_bytes: usize,
    /// Whether the last turn ended although there was more to read, and whether anything was
    /// written since.
    turn_exhausted: bool,
    has_written: bool,
    /// Whether requests arrived before the responses to earlier ones were written, and none was
    /// missing since.
    is_pipelining: bool,
    /// Set while written bytes wait for the peer.
    stalled_write: Option<StalledWrite>,
    /// The task to wake when reading may continue.
    read_waker: Option<Waker>,
    _permit: Option<ConnectionPermit>,
    handover: Option<HandoverState<S>>,
}

/// What a connection needs to go to another process.
struct HandoverState<S> {
    connection: TrackedConnection,
    copy_socket: fn(&S) -> io::Result<OwnedFd>,
}

struct StalledWrite {
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<S> BoundedStream<S> {
    /// `place` is held as long as the stream and released with it.
    pub fn new(
        io: S,
        patience: WriteTimeouts,
        place: Option<ConnectionPermit>,
    ) -> BoundedStream<S> {
        BoundedStream {
            io,
            timeouts: patience,
            turn_bytes: 0,
            turn_exhausted: false,
            has_written: false,
            is_pipelining: false,
            stalled_write: None,
            read_waker: None,
            _permit: place,
            handover: None,
        }
    }

    /// Lets the connection go to another process between two requests. `copy_socket` makes a second
    /// file descriptor of the socket.
    pub fn with_handover(
        mut self,
        connection: TrackedConnection,
        copy_socket: fn(&S) -> io::Result<OwnedFd>,
    ) -> BoundedStream<S> {
        self.handover = Some(HandoverState {
            connection,
            copy_socket,
        });
        self
    }

    /// Whether a request may be read now.
    fn may_read(&mut self, context: &Context<'_>) -> bool {
        let io = &self.io;
        self.handover.as_mut().is_none_or(|handover| {
            let copy_socket = handover.copy_socket;
            handover.connection.may_read(context, || copy_socket(io))
        })
    }

    /// Does the work on this stream, whose future `begin` makes. It rests while the connection is
    /// frozen.
    pub fn freezable<F>(self, begin: impl FnOnce(BoundedStream<S>) -> F) -> FreezableWork<F> {
        let switch = self.handover.as_ref();
        let switch = switch.map(|handover| handover.connection.freeze_switch());
        FreezableWork::new(begin(self), switch)
    }

    /// What counts the requests of a connection that may go to another process.
    pub fn requests(&self) -> Option<ConnectionRequests> {
        let handover = self.handover.as_ref();
        handover.map(|handover| handover.connection.requests())
    }

    /// Whether another process has the socket, or is given it now.
    fn hand_over(&mut self) -> bool {
        let io = &self.io;
        self.handover.as_mut().is_some_and(|handover| {
            let copy_socket = handover.copy_socket;
            handover.connection.hand_over(|| copy_socket(io))
        })
    }

    fn tracked(&mut self) -> Option<&mut TrackedConnection> {
        self.handover
            .as_mut()
            .map(|handover| &mut handover.connection)
    }

    /// Ready if the peer was too slow; otherwise the task is woken when it is.
    fn poll_timeout(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        match &mut self.stalled_write {
            Some(waiting) => waiting
                .timer
                .as_mut()
                .poll(context)
                .map(|()| io::ErrorKind::TimedOut.into()),
            None => Poll::Pending,
        }
    }

    /// The peer accepts no more bytes for now.
    fn start_timeout(&mut self) {
        let (now, patience) = (Instant::now(), self.timeouts);
        self.stalled_write.get_or_insert_with(|| StalledWrite {
            deadline: now + patience.total,
            timer: Box::pin(sleep_until(now + patience.idle.min(patience.total))),
        });
    }

    /// The peer accepted some bytes.
    fn extend_timeout(&mut self) {
        if let Some(waiting) = &mut self.stalled_write {
            let stalled = Instant::now() + self.timeouts.idle;
            waiting.timer.as_mut().reset(stalled.min(waiting.deadline));
        }
    }

    /// The peer accepted everything.
    fn resume_reading(&mut self) {
        self.stalled_write = None;
        if let Some(reader) = self.read_waker.take() {
            reader.wake();
        }
    }
}

impl BoundedStream<TcpStream> {
    /// Waits for the next request of a connection that was used before, as the library does between
    /// two requests; for the first request of a new one it has less time, and answers 408. `false`
    /// if there was none in this time.
    pub async fn wait_for_request(&mut self, patience: Duration) -> bool {
        let arrived = std::future::poll_fn(|context| {
            if !self.may_read(context) {
                return Poll::Pending;
            }
            let ready = self.io.poll_read_ready(context);
            // Nothing was read yet.
            if let Some(connection) = self.tracked() {
                connection.record_read(false);
            }
            ready
        });
        tokio::time::timeout(patience, arrived).await.is_ok()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BoundedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.stalled_write.is_some() {
            if let Poll::Ready(error) = self.poll_timeout(context) {
                return Poll::Ready(Err(error));
            }
            self.read_waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        self.is_pipelining |= self.turn_exhausted && self.has_written;
        let most = if self.is_pipelining {
            MAX_PIPELINED_TURN_BYTES
        } else {
            MAX_TURN_BYTES
        };
        if self.turn_bytes >= most {
            // The requests read so far are processed first; then reading continues.
            (self.turn_bytes, self.turn_exhausted, self.has_written) = (0, true, false);
            context.waker().wake_by_ref();
            return Poll::Pending;
        }

        if !self.may_read(context) {
            return Poll::Pending;
        }
        let room = buffer.remaining().min(most - self.turn_bytes);
        let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(room));
        let Poll::Ready(read) = Pin::new(&mut self.io).poll_read(context, &mut piece) else {
            (self.turn_bytes, self.turn_exhausted, self.is_pipelining) = (0, false, false);
            if let Some(connection) = self.tracked() {
                connection.record_read(false);
            }
            return Poll::Pending;
        };
        if let Some(connection) = self.tracked() {
            connection.record_read(true);
        }
        let length = piece.filled().len();
        buffer.advance(length);
        self.turn_bytes += length;
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BoundedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // The library says why it ends a connection that waits too long.
        if self.hand_over() {
            return Poll::Ready(Ok(bytes.len()));
        }
        match Pin::new(&mut self.io).poll_write(context, bytes) {
            Poll::Ready(written) => {
                self.has_written = true;
                if let Some(connection) = self.tracked() {
                    connection.record_write(bytes);
                }
                self.extend_timeout();
                Poll::Ready(written)
            }
            Poll::Pending => {
                self.start_timeout();
                self.poll_timeout(context).map(Err)
            }
        }
    }

    /// The library flushes once all bytes are written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.io).poll_flush(context));
        self.resume_reading();
        if let Some(connection) = self.tracked() {
            connection.record_flush();
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The socket is shared with the process that has it now.
        if self.hand_over() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const PATIENCE: WriteTimeouts = WriteTimeouts {
        idle: Duration::from_millis(200),
        total: Duration::from_millis(600),
    };

    #[tokio::test]
    async fn nothing_is_read_while_an_answer_waits() {
        let (mut peer, ours) = duplex(16);
        let mut ours = BoundedStream::new(ours, PATIENCE, None);
        peer.write_all(b"next").await.unwrap();
        let mut request = [0; 4];
        let read = std::future::poll_fn(|context| {
            let written = Pin::new(&mut ours).poll_write(context, &[7; 40]);
            assert!(matches!(written, Poll::Ready(Ok(16))));
            assert!(
                Pin::new(&mut ours)
                    .poll_write(context, &[7; 24])
                    .is_pending()
            );
            Poll::Ready(Pin::new(&mut ours).poll_read(context, &mut ReadBuf::new(&mut request)))
        });
        assert!(
            read.await.is_pending(),
            "it was read before the answer was taken"
        );

        let take = async {
            let mut answer = [0; 40];
            peer.read_exact(&mut answer).await.unwrap();
        };
        let (mut reading, mut writing) = tokio::io::split(&mut ours);
        let write = async {
            writing.write_all(&[7; 24]).await.unwrap();
            writing.flush().await.unwrap();
        };
        let ((), (), read) = tokio::join!(take, write, reading.read_exact(&mut request));
        assert_eq!((read.unwrap(), &request), (4, b"next"));
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (_peer, ours) = duplex(16);
        let mut ours = BoundedStream::new(ours, PATIENCE, None);
        let start = Instant::now();
        let error = ours.write_all(&[7; 40]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(
            start.elapsed() >= PATIENCE.idle && start.elapsed() < PATIENCE.total,
            "{:?}",
            start.elapsed()
        );
    }

    #[tokio::test]
    async fn a_peer_that_takes_a_byte_now_and_then_is_given_up_too() {
        let (mut peer, ours) = duplex(16);
        let mut ours = BoundedStream::new(ours, PATIENCE, None);
        let start = Instant::now();
        let dripping = tokio::spawn(async move {
            while peer.read_u8().await.is_ok() {
                tokio::time::sleep(PATIENCE.idle / 4).await;
            }
        });
        let error = ours.write_all(&[7; 400]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() >= PATIENCE.total, "{:?}", start.elapsed());
        drop(ours);
        dripping.await.unwrap();
    }

    #[tokio::test]
    async fn the_library_has_its_turn_after_a_few_kib() {
        let (mut peer, ours) = duplex(64 << 10);
        let mut ours = BoundedStream::new(ours, PATIENCE, None);
        peer.write_all(&[7; 5048]).await.unwrap();
        let mut space = vec![0; 16 << 10];
        let (mut read, mut turns) = (Vec::new(), 0);
        std::future::poll_fn(|context| {
            let mut buffer = ReadBuf::new(&mut space);
            while let Poll::Ready(done) = Pin::new(&mut ours).poll_read(context, &mut buffer) {
                done.unwrap();
            }
            read.push(buffer.filled().len());
            turns += 1;
            if turns == 3 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        assert_eq!(read, [2048, 2048, 952]);
    }

    #[tokio::test]
    async fn a_client_that_pipelines_has_small_turns_until_it_waits_for_an_answer() {
        let (mut peer, ours) = duplex(64 << 10);
        let mut ours = BoundedStream::new(ours, PATIENCE, None);
        peer.write_all(&[7; 2048 + 64 + 64 + 10]).await.unwrap();
        let mut space = vec![0; 16 << 10];
        let mut turns = async |answers: bool, count: usize| {
            let mut read = Vec::new();
            std::future::poll_fn(|context| {
                let mut buffer = ReadBuf::new(&mut space);
                while let Poll::Ready(done) = Pin::new(&mut ours).poll_read(context, &mut buffer) {
                    done.unwrap();
                }
                read.push(buffer.filled().len());
                if answers {
                    assert!(
                        Pin::new(&mut ours)
                            .poll_write(context, b"answer")
                            .is_ready()
                    );
                }
                if read.len() == count {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
            read
        };
        assert_eq!(turns(true, 4).await, [2048, 64, 64, 10]);
        peer.write_all(&[7; 3000]).await.unwrap();
        // It waited; and a body of several turns gets no response in between.
        assert_eq!(turns(false, 2).await, [2048, 952]);
    }
}
