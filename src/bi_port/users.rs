//! Which token has which of the engine's users.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::Mutex;

use super::BiRefusal;
use crate::store::{BI_USER_PREFIX, BiReach, Store};

/// Assigns users to tokens as they are used. A user that has no connection can be given to another
/// token; its statements are ended first.
pub(super) struct BiUserPool {
    k: u32,
    state: Mutex<PoolState>,
}

struct PoolState {
    /// Of the engine's process that knows the assignments.
    process_starts: u64,
    places: Vec<UserPlace>,
}

#[derive(Default)]
struct UserPlace {
    /// The token and its rows; `None` if it was not used since the engine's start.
    holder: Option<(String, BiReach)>,
    leases: Arc<AtomicUsize>,
    last_used: Option<Instant>,
}

/// A user, kept for one token as long as this exists.
pub(super) struct BiUserLease {
    pub(super) user: String,
    pub(super) password: String,
    pub(super) token_id: String,
    pub(super) http: std::net::SocketAddr,
    leases: Arc<AtomicUsize>,
}

impl Drop for BiUserLease {
    fn drop(&mut self) {
        self.leases.fetch_sub(1, Ordering::AcqRel);
    }
}

impl BiUserPool {
    pub(super) fn new(count: u32, k: u32) -> BiUserPool {
        let places = (0..count).map(|_| UserPlace::default()).collect();
        BiUserPool {
            k,
            state: Mutex::new(PoolState {
                process_starts: 0,
                places,
            }),
        }
    }

    /// The user of a token, which may see `reach` once this returns.
    pub(super) async fn lease(
        &self,
        store: &Store,
        token_id: &str,
        reach: BiReach,
    ) -> Result<BiUserLease, BiRefusal> {
        let engine = store.engine().ok_or(BiRefusal::Unavailable)?;
        let mut state = self.state.lock().await;
        self.follow_engine(store, engine.process_starts(), &mut state)
            .await?;

        let at = state.find_place(token_id).ok_or(BiRefusal::TooManyTokens)?;
        let user = format!("{BI_USER_PREFIX}{}", at + 1);
        let place = &mut state.places[at];
        if place.holder.as_ref() != Some(&(token_id.to_owned(), reach)) {
            let changes_hands = place
                .holder
                .take()
                .is_some_and(|(former, _)| former != token_id);
            if changes_hands {
                store.kill_bi_queries(&user).await.map_err(unavailable)?;
            }
            store
                .set_bi_reach(&user, &reach)
                .await
                .map_err(unavailable)?;
            place.holder = Some((token_id.to_owned(), reach));
        }

        place.last_used = Some(Instant::now());
        place.leases.fetch_add(1, Ordering::AcqRel);
        Ok(BiUserLease {
            user,
            password: engine.bi_password().to_owned(),
            token_id: token_id.to_owned(),
            http: engine.address(),
            leases: Arc::clone(&place.leases),
        })
    }

    /// A new process of the engine knows no assignments.
    async fn follow_engine(
        &self,
        store: &Store,
        process_starts: u64,
        state: &mut PoolState,
    ) -> Result<(), BiRefusal> {
        if state.process_starts == process_starts {
            return Ok(());
        }
        for place in &mut state.places {
            place.holder = None;
        }
        store.prepare_bi(self.k).await.map_err(unavailable)?;
        state.process_starts = process_starts;
        Ok(())
    }
}

impl PoolState {
    /// The place of the token, or else a free one, or else the one that is unused for longest.
    fn find_place(&self, token_id: &str) -> Option<usize> {
        let held = |place: &UserPlace| {
            place
                .holder
                .as_ref()
                .is_some_and(|(holder, _)| holder == token_id)
        };
        self.places.iter().position(held).or_else(|| {
            let idle = |place: &&UserPlace| place.leases.load(Ordering::Acquire) == 0;
            let oldest = self
                .places
                .iter()
                .filter(idle)
                .map(|place| place.last_used)
                .min()?;
            self.places
                .iter()
                .position(|place| idle(&place) && place.last_used == oldest)
        })
    }
}

pub(super) fn unavailable(error: crate::store::StoreError) -> BiRefusal {
    tracing::warn!(%error, "the BI port cannot reach the store");
    BiRefusal::Unavailable
}
