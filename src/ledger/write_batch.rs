//! A batch of acts that are written together. Each may refer to the one before it, and none takes
//! effect until all are on disk.

use std::collections::HashMap;
use std::sync::Arc;

use super::act::{ActKind, LedgerRecord, NewAct};
use super::chain_head::ChainHead;
use super::error::LedgerError;
use super::index::{ConsentIndex, RecordSummary};
use super::line;
use crate::consent::ConsentId;

/// A live grant that a later act of the same batch can refer to.
#[derive(Clone)]
struct LiveGrant {
    seq: u64,
    granted: Arc<[String]>,
}

/// A batch in preparation. It reads the index but does not change it.
pub struct WriteBatch<'a> {
    index: &'a ConsentIndex,
    /// The position after the last record of the batch.
    pub head: ChainHead,
    /// The lines to be written.
    pub lines: String,
    /// The ids changed by this batch; `None` if the grant was ended.
    changed_grants: HashMap<ConsentId, Option<LiveGrant>>,
}

impl<'a> WriteBatch<'a> {
    /// An empty batch that continues the chain at `head`.
    pub fn new(book: &'a ConsentIndex, head: ChainHead) -> WriteBatch<'a> {
        WriteBatch {
            index: book,
            head,
            lines: String::new(),
            changed_grants: HashMap::new(),
        }
    }

    /// Adds the acts of one visitor, in order: all of them or none.
    ///
    /// # Errors
    ///
    /// An act has unacceptable texts, or a withdrawal does not match a live grant. The batch is
    /// then unchanged.
    pub fn add_acts(&mut self, acts: &[NewAct]) -> Result<Vec<LedgerRecord>, LedgerError> {
        acts.iter().try_for_each(NewAct::validate_fields)?;
        let (start, head) = (self.lines.len(), self.head);
        let ids = acts.iter().filter_map(|act| act.id.as_ref());
        let touched: Vec<_> = ids
            .map(|id| (id.duplicate_id(), self.changed_grants.get(id).cloned()))
            .collect();
        let added: Result<Vec<LedgerRecord>, LedgerError> =
            acts.iter().map(|act| self.add_act(act)).collect();
        if added.is_err() {
            self.lines.truncate(start);
            self.head = head;
            for (id, before) in touched {
                match before {
                    Some(before) => self.changed_grants.insert(id, before),
                    None => self.changed_grants.remove(&id),
                };
            }
        }
        added
    }

    /// Determines the grant that the act refers to, and appends its line.
    fn add_act(&mut self, act: &NewAct) -> Result<LedgerRecord, LedgerError> {
        let live = act.id.as_ref().and_then(|id| self.live_grant(id));
        if act.act == ActKind::Withdraw {
            match &live {
                Some(live)
                    if granted_purposes(act)
                        .any(|name| !live.granted.iter().any(|known| known == name)) =>
                {
                    return Err(LedgerError::InvalidField {
                        field: "purposes",
                        accepted: "among those that were granted",
                    });
                }
                Some(_) => {}
                // Granted at another collector of the platform: only its end can be recorded here.
                None if granted_purposes(act).next().is_none()
                    && !act.id.as_ref().is_some_and(|id| self.has_record(id)) => {}
                None => return Err(LedgerError::NoLiveGrant),
            }
        }

        let refers = live.as_ref().map(|live| live.seq);
        let start = self.lines.len();
        let hash = line::write_line(&mut self.lines, &self.head, act, refers);
        self.head = ChainHead {
            size: self.head.size + 1,
            hash,
        };

        if let Some(id) = &act.id {
            let seq = refers
                .filter(|_| act.act == ActKind::Withdraw)
                .unwrap_or(self.head.size);
            let granted: Arc<[String]> = granted_purposes(act).map(str::to_owned).collect();
            self.changed_grants.insert(
                id.duplicate_id(),
                (!granted.is_empty()).then_some(LiveGrant { seq, granted }),
            );
        }

        let line = self.lines[start..].trim_end().to_owned();
        Ok(LedgerRecord {
            seq: self.head.size,
            act: act.act,
            refers,
            hash,
            line,
        })
    }

    fn has_record(&self, id: &ConsentId) -> bool {
        self.changed_grants.contains_key(id) || self.index.consent_state(id).is_some()
    }

    fn live_grant(&self, id: &ConsentId) -> Option<LiveGrant> {
        self.changed_grants.get(id).cloned().unwrap_or_else(|| {
            let standing = self
                .index
                .consent_state(id)
                .filter(|standing| standing.live)?;
            Some(LiveGrant {
                seq: standing.seq,
                granted: standing.granted,
            })
        })
    }
}

fn granted_purposes(act: &NewAct) -> impl Iterator<Item = &str> {
    act.purposes
        .iter()
        .filter(|(_, granted)| *granted)
        .map(|(name, _)| name.as_str())
}

/// The record as the index needs it once it is on disk. `offset` is the position of its line, in
/// bytes.
pub fn summarize_act<'a>(act: &'a NewAct, record: &LedgerRecord, offset: u64) -> RecordSummary<'a> {
    RecordSummary {
        seq: record.seq,
        id: act.id.as_ref(),
        act: act.act,
        refers: record.refers,
        version: act.version,
        granted: granted_purposes(act).collect(),
        offset,
        day: line::day_from_millis(act.at),
    }
}
