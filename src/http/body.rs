//! Reads a small body within limits of size and time.
//!
//! A body must be read even if it is not needed: a response that is sent before the body was read
//! costs the connection, which makes the cheapest responses six times as expensive as a counted
//! hit. actix sets no deadline for bodies, so it is set here.

use std::time::Duration;

use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::{FutureExt, StreamExt};

use crate::event::{Problem, ProblemCode};

/// Why a body could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyError {
    /// It exceeds the maximum size.
    TooLarge,
    /// It did not arrive before the deadline.
    TooSlow,
    /// The connection failed, or the transfer encoding is invalid.
    Broken,
}

impl BodyError {
    /// The error response. `most` is the maximum size in bytes.
    pub fn to_problem(self, most: usize) -> Problem {
        match self {
            BodyError::TooLarge => {
                Problem::new(ProblemCode::LargeBody).with_detail(format!("at most {most} bytes"))
            }
            BodyError::TooSlow => Problem::new(ProblemCode::SlowBody),
            BodyError::Broken => Problem::new(ProblemCode::BrokenBody),
        }
    }
}

/// Reads the whole body, at most `most` bytes. The deadline applies to each of the two waits: for
/// the first chunk and for all others.
///
/// # Errors
///
/// The body is too large, too slow or broken. What was not read is still on the connection.
pub async fn read_body(
    payload: &mut Payload,
    most: usize,
    deadline: Duration,
) -> Result<Bytes, BodyError> {
    // Nearly every body has arrived already, and a timer would cost more than reading it.
    let first = match payload.next().now_or_never() {
        Some(first) => first,
        None => tokio::time::timeout(deadline, payload.next())
            .await
            .map_err(|_| BodyError::TooSlow)?,
    };
    let Some(first) = first else {
        return Ok(Bytes::new());
    };
    let first = first.map_err(|_| BodyError::Broken)?;
    match payload.next().now_or_never() {
        Some(None) if first.len() <= most => Ok(first),
        second => {
            let rest = read_remaining(payload, first, second.flatten(), most);
            tokio::time::timeout(deadline, rest)
                .await
                .map_err(|_| BodyError::TooSlow)?
        }
    }
}

async fn read_remaining(
    payload: &mut Payload,
    first: Bytes,
    second: Option<Result<Bytes, actix_web::error::PayloadError>>,
    most: usize,
) -> Result<Bytes, BodyError> {
    let mut body = BytesMut::from(first);
    let mut next = second;

    loop {
        if body.len() > most {
            return Err(BodyError::TooLarge);
        }

        let chunk = match next.take() {
            Some(chunk) => chunk,
            None => match payload.next().await {
                Some(chunk) => chunk,
                None => return Ok(body.freeze()),
            },
        };

        body.extend_from_slice(&chunk.map_err(|_| BodyError::Broken)?);
    }
}

/// Reads and discards a body. Returns `false` if it is too large, too slow or broken: the
/// connection must then be closed.
pub async fn drain_body(payload: &mut Payload, most: usize, deadline: Duration) -> bool {
    let mut read = 0;
    let mut all = std::pin::pin!(async {
        while let Some(chunk) = payload.next().await {
            match chunk {
                Ok(chunk) => read += chunk.len(),
                Err(_) => return false,
            }
            if read > most {
                return false;
            }
        }
        true
    });
    match all.as_mut().now_or_never() {
        Some(whole) => whole,
        None => tokio::time::timeout(deadline, all).await.unwrap_or(false),
    }
}
