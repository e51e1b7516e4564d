//! Handover tokens are used once in the whole cluster: for each token, one collector decides. The
//! others remember what it decided, in case it goes away.

use super::AppState;
use crate::access::TokenUse;
use crate::cluster::{BufferReader, CallBuffer, CallFailure, CallKind};
use crate::event::{Problem, ProblemCode};

/// How often another collector is asked because the former one went away.
const MAX_ATTEMPTS: usize = 3;

impl AppState {
    /// Marks a token as used, at the collector that decides about it and then at all others.
    ///
    /// # Errors
    ///
    /// 503 `handover_table_full`: the collector that decides went away meanwhile, or too many
    /// tokens are remembered.
    pub(super) async fn use_token(&self, id: &str, expires: i64) -> Result<TokenUse, Problem> {
        let Some(cluster) = &self.cluster else {
            return Ok(self.mark_token_used(id, expires));
        };
        let payload = encode_token(id, expires);
        let mut decided = None;
        for _ in 0..MAX_ATTEMPTS {
            let Some(owner) = cluster.remote_key_owner(id.as_bytes()) else {
                decided = Some(self.mark_token_used(id, expires));
                break;
            };
            let mut request = CallBuffer::default();
            request.push_bytes(&payload);
            match cluster.send_call(owner, CallKind::UsedToken, request).await {
                Ok(reply) => {
                    let code = reply.as_bytes().first().copied();
                    decided = code.and_then(TokenUse::from_code);
                    break;
                }
                Err(CallFailure::NotSent(_)) => {}
                Err(CallFailure::Busy | CallFailure::Uncertain) => break,
            }
        }

        let decided = decided.ok_or_else(|| {
            Problem::new(ProblemCode::HandoverTableFull)
                .with_detail("a collector went away meanwhile; open your statistics again")
        })?;
        if decided == TokenUse::First {
            // Here too, where another one decided.
            let _ = self.mark_token_used(id, expires);
            let _ = cluster.call_others(CallKind::UsedToken, &payload).await;
        }
        Ok(decided)
    }

    /// Answers the call of another collector.
    pub fn answer_used_token(&self, request: &CallBuffer) -> CallBuffer {
        let mut from = BufferReader::new(request.as_bytes());
        let mut reply = CallBuffer::default();
        let expires = from.read_array().map(i64::from_le_bytes);
        if let (Some(expires), Ok(id)) = (expires, std::str::from_utf8(from.rest())) {
            reply.push_byte(self.mark_token_used(id, expires) as u8);
        }
        reply
    }

    fn mark_token_used(&self, id: &str, expires: i64) -> TokenUse {
        let now = self.clock.now().div_euclid(1000);
        self.auth.used_tokens.mark_used(id, expires, now)
    }
}

fn encode_token(id: &str, expires: i64) -> Vec<u8> {
    let mut payload = expires.to_le_bytes().to_vec();
    payload.extend_from_slice(id.as_bytes());
    payload
}
