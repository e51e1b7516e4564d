//! Handover tokens are used once in the whole cluster: for each token, one collector decides. The
//! others remember what it decided, in case it goes away or starts anew.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::AppState;
use crate::access::{TokenUse, UsedToken, used_token};
use crate::cluster::{BufferReader, CallBuffer, CallFailure, CallKind, Cluster, PeerId};
use crate::event::{Problem, ProblemCode};

/// Tokens in one call: 400 KB.
const MAX_TOLD_TOKENS: usize = 10_000;

/// Pause before a call is repeated that found too many others waiting.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// How often another collector is asked because the former one went away. One that dies during a
/// call is asked twice.
const MAX_ATTEMPTS: usize = 4;

impl AppState {
    /// Marks a token as used, at the collector that decides about it and then at all others.
    ///
    /// # Errors
    ///
    /// 503 `handover_table_full`: the collector that decides cannot be asked, or too many tokens are
    /// remembered.
    pub(super) async fn use_token(&self, id: &str, expires: i64) -> Result<TokenUse, Problem> {
        let token = used_token(id, expires);
        let Some(cluster) = &self.cluster else {
            return Ok(self.mark_token_used(token));
        };
        let decided = self.decide_token_use(cluster, id, token).await;
        let (decided, owner) = decided.ok_or_else(|| {
            Problem::new(ProblemCode::HandoverTableFull)
                .with_detail("a collector went away meanwhile; open your statistics again")
        })?;
        if decided != TokenUse::First {
            return Ok(decided);
        }

        // One that has started anew does not know the uses before.
        let is_known_here = owner.is_some() && self.mark_token_used(token) == TokenUse::AlreadyUsed;
        let payload = encode_tokens(&[token]);
        let others = cluster.call_others_but(owner, CallKind::UsedTokens, payload.as_bytes());
        let mut replies = others.await.into_iter().flatten();
        let is_known_there =
            replies.any(|reply| read_token_use(&reply) == Some(TokenUse::AlreadyUsed));
        match is_known_here || is_known_there {
            true => Ok(TokenUse::AlreadyUsed),
            false => Ok(TokenUse::First),
        }
    }

    /// What the collector decides to which the token belongs, and which that is; `None` for this
    /// one. `None` without a decision.
    async fn decide_token_use(
        &self,
        cluster: &Cluster,
        id: &str,
        token: UsedToken,
    ) -> Option<(TokenUse, Option<PeerId>)> {
        let mut unsure = None;
        for _ in 0..MAX_ATTEMPTS {
            let Some(owner) = cluster.remote_key_owner(id.as_bytes()) else {
                return Some((self.mark_token_used(token), None));
            };
            let request = encode_tokens(&[token]);
            match cluster
                .send_call(owner, CallKind::UsedTokens, request)
                .await
            {
                Ok(reply) => {
                    let decided = read_token_use(&reply)?;
                    // It may know the token from the call before.
                    let is_doubtful = unsure == Some(owner) && decided == TokenUse::AlreadyUsed;
                    return (!is_doubtful).then_some((decided, Some(owner)));
                }
                Err(CallFailure::NotSent(_)) => {}
                Err(CallFailure::Uncertain) => unsure = Some(owner),
                Err(CallFailure::Busy) => return None,
            }
        }
        None
    }

    /// Answers the call of another collector: what became of each token.
    pub fn answer_used_tokens(&self, request: &CallBuffer) -> CallBuffer {
        let mut from = BufferReader::new(request.as_bytes());
        let mut reply = CallBuffer::default();
        while let (Some(digest), Some(expires)) = (from.read_array(), from.read_array()) {
            let token = (digest, i64::from_le_bytes(expires));
            reply.push_byte(self.mark_token_used(token) as u8);
        }
        reply
    }

    /// Tells each collector that arrives which tokens were used while it was away: it must not accept
    /// them, also when this one is gone. Runs as long as the collector.
    pub async fn tell_arrivals(self: Arc<Self>, mut arrivals: mpsc::UnboundedReceiver<PeerId>) {
        while let Some(collector) = arrivals.recv().await {
            let state = Arc::clone(&self);
            tokio::spawn(async move {
                if let Some(cluster) = &state.cluster {
                    state.tell_used_tokens(cluster, collector).await;
                }
            });
        }
    }

    async fn tell_used_tokens(&self, cluster: &Cluster, collector: PeerId) {
        let mut after = None;
        loop {
            let now = self.clock.now().div_euclid(1000);
            let known = &self.auth.used_tokens;
            let (tokens, last) = known.tokens_after(after, MAX_TOLD_TOKENS, now);
            if last.is_none() {
                return;
            }
            after = last;

            // A token that is being used at this moment would be told to the collector that uses it.
            tokio::time::sleep(cluster.max_silence()).await;
            if !send_used_tokens(cluster, collector, &tokens).await {
                // It is gone again. When it is back, this begins anew.
                return;
            }
        }
    }

    fn mark_token_used(&self, token: UsedToken) -> TokenUse {
        let now = self.clock.now().div_euclid(1000);
        self.auth.used_tokens.mark_used(token, now)
    }
}

/// `false` if the collector does not reply.
async fn send_used_tokens(cluster: &Cluster, collector: PeerId, tokens: &[UsedToken]) -> bool {
    loop {
        let payload = encode_tokens(tokens);
        let sent = cluster.send_call(collector, CallKind::UsedTokens, payload);
        match sent.await {
            Ok(_) => return true,
            Err(CallFailure::Busy) => tokio::time::sleep(BUSY_PAUSE).await,
            Err(_) => return false,
        }
    }
}

fn encode_tokens(tokens: &[UsedToken]) -> CallBuffer {
    let mut payload = CallBuffer::with_capacity(tokens.len() * 40);
    for (digest, expires) in tokens {
        payload.push_bytes(digest);
        payload.push_bytes(&expires.to_le_bytes());
    }
    payload
}

fn read_token_use(reply: &CallBuffer) -> Option<TokenUse> {
    TokenUse::from_code(*reply.as_bytes().first()?)
}
