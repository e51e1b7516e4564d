//! A process that ends with a connection open ends here, before the library's destructors run under its threads.
//!
//! Nothing is lost: what the engine acknowledged is with the file system, as for a kill. Handlers run last in, first out, and
//! the library makes some of its objects as it goes; so the guard is set again after 1, 2, 4, 8 … connections, to stand behind
//! the latest of them.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::ffi::{c_int, c_void};
    use std::ptr;
    use std::sync::atomic::Ordering;

    use super::super::OPEN;

    unsafe extern "C" {
        fn on_exit(call: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
        fn _exit(status: c_int) -> !;
    }

    pub fn guard() {
        // SAFETY: `leave` is there as long as the process and ignores its argument. Without memory for one more handler
        // the process ends as it would have.
        unsafe { on_exit(leave, ptr::null_mut()) };
    }

    extern "C" fn leave(status: c_int, _: *mut c_void) {
        if OPEN.load(Ordering::SeqCst) > 0 {
            // SAFETY: ends the process; Rust's own buffers were flushed before the handlers run.
            unsafe { _exit(status) }
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub use glibc::guard;

/// Elsewhere an orderly end has to close the engine first: drop every `Engine` and `Store`.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn guard() {}
