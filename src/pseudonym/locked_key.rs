//! The key of a day: 32 random bytes on a page of their own, locked into memory where the system
//! allows it, wiped on drop.

use std::sync::atomic::{AtomicBool, Ordering};

use zeroize::Zeroize;

/// The source of a day's 32 random bytes. An argument, so that tests can use known keys.
pub type KeySource = fn(&mut [u8; 32]);

/// A whole page, so that locking affects nothing else and wiping leaves no copy.
#[repr(align(4096))]
struct KeyPage([u8; 4096]);

pub(super) struct LockedKey(Box<KeyPage>);

crate::unprintable!(LockedKey);

impl LockedKey {
    pub(super) fn new(source: KeySource) -> LockedKey {
        let filled = LockedKey::try_new(|key| {
            source(key);
            Ok::<_, std::convert::Infallible>(())
        });
        filled.unwrap_or_else(|never| match never {})
    }

    /// A key that `source` may fail to fill.
    pub(super) fn try_new<E>(
        source: impl FnOnce(&mut [u8; 32]) -> Result<(), E>,
    ) -> Result<LockedKey, E> {
        let mut key = LockedKey(Box::new(KeyPage([0; 4096])));
        lock_page(&key.0);
        // Filled in place: the key is never on the stack or in a second buffer.
        source(
            (&mut key.0.0[..32])
                .try_into()
                .expect("32 of 4096 bytes are 32"),
        )?;
        Ok(key)
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        self.0.0[..32].try_into().expect("32 of 4096 bytes are 32")
    }
}

impl Drop for LockedKey {
    fn drop(&mut self) {
        self.0.0.zeroize();
        unlock_page(&self.0);
    }
}

/// The system's random generator. Panics without one, since unpredictable keys are a condition of
/// counting.
pub fn fill_system_random(key: &mut [u8; 32]) {
    crate::random::fill_random(key);
}

#[expect(
    unsafe_code,
    reason = "mlock and madvise take a raw range; it is a live, page-aligned allocation of ours"
)]
fn lock_page(page: &KeyPage) {
    let start = page.0.as_ptr().cast_mut().cast();
    // SAFETY: the range is one page that we own and that outlives the lock; neither call reads or
    // writes it.
    let locked = unsafe { rustix::mm::mlock(start, page.0.len()) };
    // SAFETY: as above; DONTDUMP only changes what a core dump holds.
    let hidden =
        unsafe { rustix::mm::madvise(start, page.0.len(), rustix::mm::Advice::LinuxDontDump) };
    static WAS_LOGGED: AtomicBool = AtomicBool::new(false);
    if (locked.is_err() || hidden.is_err()) && !WAS_LOGGED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            "the day's key cannot be locked into memory and could reach swap; allow memlock \
             (RLIMIT_MEMLOCK) or run without swap"
        );
    }
}

#[expect(
    unsafe_code,
    reason = "munlock takes a raw range; it is a live, page-aligned allocation of ours"
)]
fn unlock_page(page: &KeyPage) {
    // SAFETY: the same page that was locked; a failure only means that it was not locked.
    let _ = unsafe { rustix::mm::munlock(page.0.as_ptr().cast_mut().cast(), page.0.len()) };
}

/// Disables core dumps, and access to this process's memory by other processes of the same user. To
/// be called before the first key is made.
pub fn harden_process() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    if set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err() {
        tracing::warn!(
            "the process could not be made undumpable; another process of this user could read its \
             memory"
        );
    }
    if setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )
    .is_err()
    {
        tracing::warn!(
            "core dumps could not be switched off; a crash dump could hold the day's key"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_what_the_source_gave_and_two_system_keys_differ() {
        let known = LockedKey::new(|key| key.fill(7));
        assert_eq!(known.as_bytes(), &[7; 32]);
        assert_ne!(
            LockedKey::new(fill_system_random).as_bytes(),
            LockedKey::new(fill_system_random).as_bytes()
        );
    }
}
