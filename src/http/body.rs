//! Reading a small body within its limits of size and time.
//!
//! A body must be read even where nothing in it is needed: an answer sent over unread bytes costs the connection, which makes the
//! cheapest answers six times dearer than a counted hit. actix has no deadline on bodies of its own, so it is set here.

use std::time::Duration;

use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::{FutureExt, StreamExt};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyError {
    TooLarge,
    TooSlow,
    Broken,
}

/// The whole body, at most `most` bytes.
pub async fn read(payload: &mut Payload, most: usize, deadline: Duration) -> Result<Bytes, BodyError> {
    // Nearly every body is there already: a timer for it would cost more than reading it.
    let first = match payload.next().now_or_never() {
        Some(first) => first,
        None => tokio::time::timeout(deadline, payload.next()).await.map_err(|_| BodyError::TooSlow)?,
    };
    let Some(first) = first else { return Ok(Bytes::new()) };
    let first = first.map_err(|_| BodyError::Broken)?;
    match payload.next().now_or_never() {
        Some(None) if first.len() <= most => Ok(first),
        second => {
            let rest = rest(payload, first, second.flatten(), most);
            tokio::time::timeout(deadline, rest).await.map_err(|_| BodyError::TooSlow)?
        }
    }
}

async fn rest(
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

/// Reads and forgets a body that is not used. `false` when it is too large or too slow: then the connection must close.
pub async fn drain(payload: &mut Payload, most: usize, deadline: Duration) -> bool {
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
