//! Sign-outs: a session that was signed out here is known here at once and after any restart, and
//! at the other collectors within seconds.
//!
//! The copy on disk, `signed-out-sessions` in the journal's folder, has a line for each session that
//! was signed out at this collector: the digest in hex, a space, and the last day on which its cookie
//! could be valid, in days since 1970-01-01. Lines of ended sessions are removed at each start.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Registry;
use super::digests::DigestDays;
use crate::access::{Session, SessionDigest, SignedOutSessions, format_sign_out, parse_sign_out};
use crate::calendar::Day;
use crate::disk;
use crate::event::Problem;
use crate::store::DigestTable;

const COPY_NAME: &str = "signed-out-sessions";
/// How long a sign-out waits for the store. Meanwhile the session has ended here.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);

/// Where a session has ended when its sign-out is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignOutReach {
    /// At all collectors, as soon as they poll the store.
    AllCollectors,
    /// At this collector. The others know once the store can be reached.
    ThisCollector,
}

/// The signed-out sessions, and their copy on disk.
pub(super) struct SignOuts {
    pub(super) sessions: SignedOutSessions,
    pub(super) days: DigestDays,
    /// No other collector can use the store, because it is embedded.
    is_alone: AtomicBool,
    copy: Arc<Mutex<SignOutCopy>>,
}

struct SignOutCopy {
    path: PathBuf,
    /// The file ends with a whole line.
    is_whole: bool,
}

impl SignOuts {
    /// Without sessions yet. The copy on disk is in `dir`.
    pub(super) fn in_folder(dir: &Path) -> SignOuts {
        let copy = SignOutCopy {
            path: dir.join(COPY_NAME),
            is_whole: true,
        };
        SignOuts {
            sessions: SignedOutSessions::default(),
            days: DigestDays::default(),
            is_alone: AtomicBool::new(false),
            copy: Arc::new(Mutex::new(copy)),
        }
    }

    /// Reads the copy on disk. Its sessions are written to the store if it lacks them.
    fn read_copy(&self, today: Day) -> io::Result<()> {
        let mut copy = self.copy.lock().unwrap_or_else(PoisonError::into_inner);
        let read = read_copy(&copy.path, today)?;
        for (session, last_day) in &read.entries {
            self.sessions.insert(*session, *last_day);
        }

        copy.is_whole = !read.is_torn;
        if read.surplus_lines > 0 {
            let text: String = read.entries.iter().map(format_sign_out).collect();
            match disk::write_atomic(&copy.path, text.as_bytes()) {
                Ok(()) => copy.is_whole = true,
                Err(error) => {
                    tracing::warn!(%error, "ended sessions cannot be removed from the disk");
                }
            }
        }
        Ok(())
    }

    /// Appends a session to the copy on disk and syncs it.
    async fn append_to_copy(&self, entry: (SessionDigest, Day)) -> io::Result<()> {
        let copy = Arc::clone(&self.copy);
        let append = move || {
            let mut copy = copy.lock().unwrap_or_else(PoisonError::into_inner);
            copy.append(&entry)
        };
        tokio::task::spawn_blocking(append)
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

impl SignOutCopy {
    fn append(&mut self, entry: &(SessionDigest, Day)) -> io::Result<()> {
        let line = format_sign_out(entry);
        if !self.path.try_exists()? {
            return disk::write_atomic(&self.path, line.as_bytes());
        }
        let line = match self.is_whole {
            true => line,
            // Ends the torn line.
            false => format!("\n{line}"),
        };
        self.is_whole = false;
        disk::append_synced(&self.path, line.as_bytes())?;
        self.is_whole = true;
        Ok(())
    }
}

/// What a copy holds.
#[derive(Default)]
struct ReadCopy {
    /// The sessions whose cookies have not ended.
    entries: Vec<(SessionDigest, Day)>,
    /// Lines of ended sessions, and lines that are none: they were torn by a full disk or a crash,
    /// and not acknowledged.
    surplus_lines: usize,
    /// The last line has no end.
    is_torn: bool,
}

fn read_copy(path: &Path, today: Day) -> io::Result<ReadCopy> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(ReadCopy::default()),
        bytes => bytes?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut read = ReadCopy::default();
    for line in text.split_inclusive('\n') {
        read.is_torn = !line.ends_with('\n');
        let entry = line.strip_suffix('\n').and_then(parse_sign_out);
        match entry.filter(|(_, last_day)| *last_day >= today) {
            Some(entry) => read.entries.push(entry),
            None => read.surplus_lines += 1,
        }
    }
    Ok(read)
}

impl Registry {
    /// Reads the sign-outs of former runs. `is_alone`: no other collector can use the store, because
    /// it is embedded. To be called before sessions are accepted.
    ///
    /// # Errors
    ///
    /// The copy on disk exists but cannot be read.
    pub fn read_sign_outs(&self, today: Day, is_alone: bool) -> io::Result<()> {
        self.sign_outs.is_alone.store(is_alone, Ordering::Relaxed);
        if is_alone {
            self.sign_outs.sessions.set_complete();
        }
        let oldest_kept = DigestTable::SignOuts.oldest_kept_day(today);
        self.sign_outs.read_copy(oldest_kept)
    }

    /// Whether a session was signed out, here or at another collector.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable` until the sign-outs of other collectors were read for the first time:
    /// the session may be one of them.
    pub fn is_signed_out(&self, session: &SessionDigest) -> Result<bool, Problem> {
        let sessions = &self.sign_outs.sessions;
        if sessions.contains(session) {
            return Ok(true);
        }
        match sessions.is_complete() {
            true => Ok(false),
            false => Err(super::validation::store_unavailable()),
        }
    }

    /// Ends a session. At this collector it has ended when this returns, whatever the outcome, and
    /// stays so after a restart unless there is an error.
    ///
    /// # Errors
    ///
    /// 503 `change_unconfirmed` if neither the disk nor the store has it: the session may be valid
    /// again after a restart.
    pub async fn sign_out(&self, session: &Session) -> Result<SignOutReach, Problem> {
        let kept = self.end_session(session).await;
        let is_stored = self.send_sign_out(&session.digest()).await;
        match (kept, is_stored) {
            (_, true) => {
                // Those that are not reached read it within seconds.
                let _ = self.notify_collectors().await;
                Ok(SignOutReach::AllCollectors)
            }
            (Ok(()), false) if self.sign_outs.is_alone.load(Ordering::Relaxed) => {
                Ok(SignOutReach::AllCollectors)
            }
            (Ok(()), false) => Ok(SignOutReach::ThisCollector),
            (Err(_), false) => Err(Problem::change_unconfirmed()),
        }
    }

    /// Ends a session without waiting for the store. At this collector it has ended when this
    /// returns, whatever the outcome.
    ///
    /// # Errors
    ///
    /// The copy on disk cannot be written.
    pub async fn end_session(&self, session: &Session) -> io::Result<()> {
        let (digest, last_day) = (session.digest(), session.last_day());
        self.sign_outs.sessions.insert(digest, last_day);
        let appended = self.sign_outs.append_to_copy((digest, last_day)).await;
        if let Err(error) = &appended {
            tracing::warn!(%error, "a sign-out cannot be written to the disk");
        }
        appended
    }

    /// Whether the store has a sign-out, after an attempt to write it.
    async fn send_sign_out(&self, session: &SessionDigest) -> bool {
        let Some(store) = self.store.load_full() else {
            return false;
        };
        // A cancelled attempt leaves the sign-out among those that are written later.
        let _ = tokio::time::timeout(STORE_TIMEOUT, self.sync_sign_outs(&store)).await;
        !self.sign_outs.sessions.is_unsent(session)
    }

    /// Forgets signed-out sessions whose cookies ended some weeks before `today`, a UTC day.
    pub fn evict_sign_outs(&self, today: Day) {
        let oldest_kept = DigestTable::SignOuts.oldest_kept_day(today);
        self.sign_outs.sessions.evict_expired(oldest_kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path, today: Day) -> SignOuts {
        let opened = SignOuts::in_folder(dir);
        opened.read_copy(today).unwrap();
        opened
    }

    #[test]
    fn a_copy_is_read_without_ended_sessions_and_torn_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(COPY_NAME);
        let today = Day::from_number(20_000);
        let line = |byte, day| format_sign_out(&([byte; 32], Day::from_number(day)));
        let torn = &line(4, 20_000)[..40];
        let text = [&line(1, 19_999), &line(2, 20_000), &line(3, 20_001), torn].concat();
        fs::write(&path, text).unwrap();

        let opened = open(dir.path(), today);
        let known =
            |opened: &SignOuts| [1, 2, 3, 4, 5].map(|byte| opened.sessions.contains(&[byte; 32]));
        assert_eq!(known(&opened), [false, true, true, false, false]);
        assert_eq!(opened.sessions.oldest_unsent().len(), 2);
        let left = fs::read_to_string(&path).unwrap();
        assert_eq!(left, [line(2, 20_000), line(3, 20_001)].concat());

        // After a line that a full disk tore, the next one is whole.
        let mut copy = opened.copy.lock().unwrap();
        fs::write(&path, [&left, torn].concat()).unwrap();
        copy.is_whole = false;
        copy.append(&([5; 32], today)).unwrap();
        let opened = open(dir.path(), today);
        assert_eq!(known(&opened), [false, true, true, false, true]);

        // The first sign-out makes the file, readable by its owner only.
        let other = tempfile::tempdir().unwrap();
        let opened = open(other.path(), today);
        let mut copy = opened.copy.lock().unwrap();
        copy.append(&([1; 32], today)).unwrap();
        copy.append(&([2; 32], today)).unwrap();
        let again = open(other.path(), today);
        assert_eq!(known(&again), [true, true, false, false, false]);
        let mode = fs::metadata(other.path().join(COPY_NAME)).unwrap();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777,
            0o600
        );
    }
}
