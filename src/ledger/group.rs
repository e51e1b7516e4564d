//! Acts that are written together. Each may refer to the one before it, and none takes effect until
//! all are on disk.

use std::collections::HashMap;
use std::sync::Arc;

use super::act::{Act, NewAct, Record};
use super::book::{Book, Fact};
use super::error::LedgerError;
use super::head::Head;
use super::line;
use crate::consent::ConsentId;

/// A live grant that a later act of the same group can refer to.
#[derive(Clone)]
struct Live {
    seq: u64,
    granted: Arc<[String]>,
}

/// A group in preparation. It reads the index but does not change it.
pub struct Group<'a> {
    book: &'a Book,
    /// The position after the last record of the group.
    pub head: Head,
    /// The lines to be written.
    pub lines: String,
    /// The ids changed by this group; `None` if the grant was ended.
    touched: HashMap<ConsentId, Option<Live>>,
}

impl<'a> Group<'a> {
    /// An empty group that continues the chain at `head`.
    pub fn new(book: &'a Book, head: Head) -> Group<'a> {
        Group { book, head, lines: String::new(), touched: HashMap::new() }
    }

    /// Adds the acts of one visitor, in order: all of them or none.
    ///
    /// # Errors
    ///
    /// An act has unacceptable texts, or a withdrawal does not match a live grant. The group is
    /// then unchanged.
    pub fn add_all(&mut self, acts: &[NewAct]) -> Result<Vec<Record>, LedgerError> {
        acts.iter().try_for_each(NewAct::check)?;
        let (start, head) = (self.lines.len(), self.head);
        let ids = acts.iter().filter_map(|act| act.id.as_ref());
        let touched: Vec<_> = ids.map(|id| (id.to_keep(), self.touched.get(id).cloned())).collect();
        let added: Result<Vec<Record>, LedgerError> = acts.iter().map(|act| self.add(act)).collect();
        if added.is_err() {
            self.lines.truncate(start);
            self.head = head;
            for (id, before) in touched {
                match before {
                    Some(before) => self.touched.insert(id, before),
                    None => self.touched.remove(&id),
                };
            }
        }
        added
    }

    /// Determines the grant that the act refers to, and appends its line.
    fn add(&mut self, act: &NewAct) -> Result<Record, LedgerError> {
        let live = act.id.as_ref().and_then(|id| self.live(id));
        if act.act == Act::Withdraw {
            match &live {
                Some(live) if granted(act).any(|name| !live.granted.iter().any(|known| known == name)) => {
                    return Err(LedgerError::Unfit { field: "purposes", accepted: "among those that were granted" });
                }
                Some(_) => {}
                // Granted at another collector of the platform: only its end can be recorded here.
                None if granted(act).next().is_none() && !act.id.as_ref().is_some_and(|id| self.knows(id)) => {}
                None => return Err(LedgerError::NoGrant),
            }
        }

        let refers = live.as_ref().map(|live| live.seq);
        let start = self.lines.len();
        let hash = line::write(&mut self.lines, &self.head, act, refers);
        self.head = Head { size: self.head.size + 1, hash };

        if let Some(id) = &act.id {
            let seq = refers.filter(|_| act.act == Act::Withdraw).unwrap_or(self.head.size);
            let granted: Arc<[String]> = granted(act).map(str::to_owned).collect();
            self.touched.insert(id.to_keep(), (!granted.is_empty()).then_some(Live { seq, granted }));
        }

        let line = self.lines[start..].trim_end().to_owned();
        Ok(Record { seq: self.head.size, act: act.act, refers, hash, line })
    }

    fn knows(&self, id: &ConsentId) -> bool {
        self.touched.contains_key(id) || self.book.standing(id).is_some()
    }

    fn live(&self, id: &ConsentId) -> Option<Live> {
        self.touched.get(id).cloned().unwrap_or_else(|| {
            let standing = self.book.standing(id).filter(|standing| standing.live)?;
            Some(Live { seq: standing.seq, granted: standing.granted })
        })
    }
}

fn granted(act: &NewAct) -> impl Iterator<Item = &str> {
    act.purposes.iter().filter(|(_, granted)| *granted).map(|(name, _)| name.as_str())
}

/// The record as the index needs it once it is on disk. `offset` is the position of its line, in
/// bytes.
pub fn fact<'a>(act: &'a NewAct, record: &Record, offset: u64) -> Fact<'a> {
    Fact {
        seq: record.seq,
        id: act.id.as_ref(),
        act: act.act,
        refers: record.refers,
        version: act.version,
        granted: granted(act).collect(),
        offset,
        on: line::day_of(act.at),
    }
}
