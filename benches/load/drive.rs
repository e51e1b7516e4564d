//! The load generator: one thread, keep-alive connections over epoll, one request in flight on
//! each.
//!
//! Closed loop: a connection sends its next hit when the last is answered; this finds the ceiling.
//! Open loop: hits are due at fixed times whatever the server does, and a latency counts from the
//! time the hit was due, not from the time a connection came free: a server that stalls cannot hide
//! it by being asked less (coordinated omission). At the end of a window nothing new is sent and
//! every answer is awaited, so that sent equals answered.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::time::{ClockId, clock_gettime};

use super::answer::{self, Answer};
use super::histogram::Histogram;
use super::requests::{Chance, Request};

/// How long the answers of a window's last hits may take before the target counts as hung.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy)]
pub enum Pace {
    Closed,
    Open { per_second: f64 },
}

/// What one window brought.
pub struct Window {
    pub latencies: Histogram,
    /// Hits that were answered 2xx.
    pub accepted: u64,
    /// Those that were page views.
    pub views: u64,
    /// Hits that were answered otherwise.
    pub refused: u64,
    /// Hits whose connection was lost before an answer: nobody knows whether they were counted.
    pub lost: u64,
    /// From the first send to the end of the window; the last answers may come later.
    pub wall: Duration,
    /// This thread's own CPU time by then. Near `wall`, the generator and not the target was the
    /// limit.
    pub own_cpu: Duration,
}

impl Window {
    pub fn per_second(&self) -> f64 {
        self.accepted as f64 / self.wall.as_secs_f64()
    }
}

pub struct Driver<'a> {
    address: SocketAddr,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    /// Connections without a request in flight. The one that has rested longest goes first: at a
    /// gentle pace the others would never send anything, and a server may close a connection that
    /// says nothing.
    idle: VecDeque<usize>,
    requests: &'a mut [Request],
    next: usize,
    chance: Chance,
    fresh: u64,
    scratch: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// What of an answer has arrived so far; nearly always nothing, as an answer fits one packet.
    partial: Vec<u8>,
    /// The request in flight.
    flight: Option<Flight>,
}

#[derive(Clone, Copy)]
struct Flight {
    due: Instant,
    hits: u64,
    views: u64,
}

impl<'a> Driver<'a> {
    pub fn connect(
        address: SocketAddr,
        connections: usize,
        requests: &'a mut [Request],
        fresh: u64,
    ) -> Result<Driver<'a>> {
        let seed = getrandom::u64().context("the system has no randomness")?;
        let mut driver = Driver {
            address,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: Vec::with_capacity(connections),
            idle: (0..connections).collect(),
            requests,
            next: 0,
            chance: Chance::new(seed),
            fresh,
            scratch: vec![0; 16 * 1024],
        };
        for index in 0..connections {
            let connection = driver.open(index)?;
            driver.connections.push(connection);
        }
        Ok(driver)
    }

    fn open(&self, index: usize) -> Result<Connection> {
        let stream = TcpStream::connect(self.address)
            .with_context(|| format!("connecting to {}", self.address))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll::add(
            &self.epoll,
            &stream,
            epoll::EventData::new_u64(index as u64),
            epoll::EventFlags::IN,
        )?;
        Ok(Connection {
            stream,
            partial: Vec::new(),
            flight: None,
        })
    }

    /// Drives the target for `length`, then waits for the answers still on their way.
    pub fn run(&mut self, length: Duration, pace: Pace) -> Result<Window> {
        let (start, cpu) = (Instant::now(), own_cpu());
        let mut window = Window {
            latencies: Histogram::new(),
            accepted: 0,
            views: 0,
            refused: 0,
            lost: 0,
            wall: length,
            own_cpu: Duration::ZERO,
        };
        let end = start + length;
        match pace {
            Pace::Closed => self.closed(end, &mut window)?,
            Pace::Open { per_second } => self.open_loop(start, end, per_second, &mut window)?,
        }
        window.wall = start.elapsed();
        window.own_cpu = own_cpu().saturating_sub(cpu);
        self.drain(&mut window)?;
        Ok(window)
    }

    fn closed(&mut self, end: Instant, window: &mut Window) -> Result<()> {
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            while let Some(index) = self.idle.pop_front() {
                self.send(index, Instant::now(), window)?;
            }
            self.collect(end - now, window)?;
        }
    }

    /// Polls without sleeping: a timer would be late by more than the latencies it is there to
    /// measure.
    fn open_loop(
        &mut self,
        start: Instant,
        end: Instant,
        per_second: f64,
        window: &mut Window,
    ) -> Result<()> {
        let mut sent = 0_u64;
        loop {
            let now = Instant::now();
            let due = loop {
                let due = start + Duration::from_secs_f64(sent as f64 / per_second);
                match (due <= now && due < end)
                    .then(|| self.idle.pop_front())
                    .flatten()
                {
                    Some(index) => self.send(index, due, window)?,
                    None => break due,
                }
                sent += 1;
            };
            if due >= end {
                return Ok(());
            }
            if now >= end + PATIENCE {
                bail!(
                    "the target does not keep up with {per_second:.0} hits/s: hits due {PATIENCE:?} ago are unsent"
                );
            }
            self.collect(Duration::ZERO, window)?;
        }
    }

    fn drain(&mut self, window: &mut Window) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.idle.len() < self.connections.len() {
            let now = Instant::now();
            if now >= until {
                bail!(
                    "{} hits were not answered within {PATIENCE:?}",
                    self.connections.len() - self.idle.len()
                );
            }
            self.collect(until - now, window)?;
        }
        Ok(())
    }

    fn send(&mut self, index: usize, due: Instant, window: &mut Window) -> Result<()> {
        let place = self.next;
        self.next = (place + 1) % self.requests.len();
        self.requests[place].renew(&mut self.chance, self.fresh);
        let request = &self.requests[place];
        self.connections[index].flight = Some(Flight {
            due,
            hits: request.hits,
            views: request.views,
        });
        // A request is a few kilobytes at most and the only one on its connection, so the send buffer
        // takes it whole.
        match (&self.connections[index].stream).write(&request.bytes) {
            Ok(written) if written == request.bytes.len() => Ok(()),
            Ok(_) => bail!("the kernel took only a part of a request"),
            Err(_) => self.lose(index, window),
        }
    }

    /// Takes the answers that are there, waiting at most `wait` for the first.
    fn collect(&mut self, wait: Duration, window: &mut Window) -> Result<()> {
        let mut space = [MaybeUninit::<epoll::Event>::uninit(); 256];
        let wait = Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let ready = match epoll::wait(&self.epoll, &mut space, Some(&wait)) {
            Ok((ready, _)) => ready,
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error).context("waiting for answers"),
        };
        for event in ready.iter() {
            self.receive(event.data.u64() as usize, window)?;
        }
        Ok(())
    }

    fn receive(&mut self, index: usize, window: &mut Window) -> Result<()> {
        let connection = &mut self.connections[index];
        let read = match (&connection.stream).read(&mut self.scratch) {
            Ok(0) => return self.lose(index, window),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(_) => return self.lose(index, window),
        };
        let whole = connection.partial.is_empty();
        if !whole {
            connection.partial.extend_from_slice(&self.scratch[..read]);
        }
        let bytes = if whole {
            &self.scratch[..read]
        } else {
            &connection.partial[..]
        };
        match answer::read(bytes) {
            Answer::Incomplete => {
                if whole {
                    connection.partial.extend_from_slice(&self.scratch[..read]);
                }
                Ok(())
            }
            Answer::Complete {
                status,
                length,
                close,
            } if length == bytes.len() => {
                connection.partial.clear();
                self.answered(index, status, close, window)
            }
            Answer::Complete { .. } => bail!("more bytes than one answer came to one request"),
            Answer::Unreadable => {
                bail!("the target's answer has no length this generator can read")
            }
        }
    }

    fn answered(
        &mut self,
        index: usize,
        status: u16,
        close: bool,
        window: &mut Window,
    ) -> Result<()> {
        let Some(flight) = self.connections[index].flight.take() else {
            // A keep-alive limit said with a 408: the connection is of no more use, and no hit is
            // lost by it.
            self.connections[index] = self.open(index)?;
            return Ok(());
        };
        window.latencies.record(flight.due.elapsed());
        if (200..300).contains(&status) {
            window.accepted += flight.hits;
            window.views += flight.views;
        } else {
            window.refused += flight.hits;
        }
        if close {
            self.connections[index] = self.open(index)?;
        }
        self.idle.push_back(index);
        Ok(())
    }

    /// The connection is gone. Without a hit in flight that is a keep-alive limit, and costs no
    /// more than a new connection.
    fn lose(&mut self, index: usize, window: &mut Window) -> Result<()> {
        let connection = self.open(index)?;
        let lost = std::mem::replace(&mut self.connections[index], connection);
        if let Some(flight) = lost.flight {
            window.lost += flight.hits;
            self.idle.push_back(index);
        }
        Ok(())
    }
}

fn own_cpu() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(used.tv_sec.unsigned_abs(), used.tv_nsec as u32)
}
