//! libchdb's C functions, loaded at run time: the only foreign code of the project.
//!
//! Invariants: the process that calls them does nothing else; the library is never unloaded; its
//! signal handlers are off before it starts anything; and its destructors do not run, because its
//! threads may still be working.

use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::path::Path;

use libloading::Library;

use super::failure::EngineFailure;

type TextPointer = *const c_char;
type ResultPointer = *mut c_void;

unsafe extern "C" {
    fn _exit(status: c_int) -> !;
}

/// Runs clickhouse-local's `main` and ends the process with its exit code: 0 after an orderly end,
/// 1 after a failure, whose reason is on stderr.
///
/// # Errors
/// The library cannot be loaded, or lacks a function.
pub(super) fn run_engine(path: &Path, arguments: &[CString]) -> Result<Infallible, EngineFailure> {
    // SAFETY: loading runs the library's initialisers; the operator configured this library.
    let library = unsafe { Library::new(path) }.map_err(|error| EngineFailure::Load {
        reason: loader_message(&error),
    })?;
    let library = ManuallyDrop::new(library);
    // SAFETY: the types are those chdb.h declares for these names.
    let (set_signal_handlers, query_cmdline, result_error) = unsafe {
        (
            load_symbol::<unsafe extern "C" fn(c_int)>(
                &library,
                "chdb_set_signal_handlers_enabled",
            )?,
            load_symbol::<unsafe extern "C" fn(c_int, *const TextPointer) -> ResultPointer>(
                &library,
                "chdb_query_cmdline",
            )?,
            load_symbol::<unsafe extern "C" fn(ResultPointer) -> TextPointer>(
                &library,
                "chdb_result_error",
            )?,
        )
    };

    let pointers: Vec<TextPointer> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    let count = c_int::try_from(pointers.len()).expect("a handful of arguments");
    // SAFETY: `pointers` holds `count` NUL-terminated strings that outlive the call. The result is
    // null or valid until the process ends; its error is null or a NUL-terminated text. Rust has no
    // unwritten output when the process ends.
    unsafe {
        set_signal_handlers(0);
        let answer = query_cmdline(count, pointers.as_ptr());
        let error = if answer.is_null() {
            std::ptr::null()
        } else {
            result_error(answer)
        };
        if !error.is_null() {
            eprintln!("{}", CStr::from_ptr(error).to_string_lossy());
        }
        _exit(c_int::from(answer.is_null() || !error.is_null()))
    }
}

/// # Safety
/// `T` must be the type of the function that the library exports by this name.
unsafe fn load_symbol<T: Copy>(library: &Library, name: &'static str) -> Result<T, EngineFailure> {
    // SAFETY: the caller guarantees the type.
    let found = unsafe { library.get::<T>(name) };
    found
        .map(|symbol| *symbol)
        .map_err(|_| EngineFailure::Lacks {
            symbol: name.to_owned(),
        })
}

/// The loader's message; the error's own text only says that loading failed.
fn loader_message(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
