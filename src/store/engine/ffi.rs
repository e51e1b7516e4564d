//! libchdb's C functions, found at run time: the one place of the project with foreign code.
//!
//! What must hold: the library is never unloaded, and its destructors do not run while a connection is open (its threads work
//! on, and either is a segmentation fault); its signal handlers are off before the first connection; a connection runs one statement at a time
//! (so statements take `&mut`), and insert data travels by the streaming calls only: a statement with its data inline is cut
//! at the first empty line and still reports success.

mod at_exit;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use libloading::Library;

use super::{EngineError, Exception};

type Handle = *mut c_void;
type Text = *const c_char;
type Texts = *const Text;
type Lengths = *const usize;
/// How the engine starts a statement: connection, SQL, format, parameters; each text with its length.
type Start = unsafe extern "C" fn(Handle, Text, usize, Text, usize, Texts, Lengths, Texts, Lengths, usize) -> Handle;

macro_rules! functions {
    ($($name:ident($($arg:ty),*) $(-> $answer:ty)?;)*) => {
        /// The functions used, by their exported names. All of them must be there for the engine to start.
        struct Functions { $($name: unsafe extern "C" fn($($arg),*) $(-> $answer)?,)* }

        impl Functions {
            fn find(library: &Library, path: &Path) -> Result<Functions, EngineError> {
                Ok(Functions { $($name: {
                    // SAFETY: the type is the one chdb.h declares for this name.
                    let found = unsafe { library.get(stringify!($name)) };
                    *found.map_err(|_| EngineError::TooOld { path: path.into(), symbol: stringify!($name) })?
                },)* })
            }
        }
    };
}

functions! {
    chdb_set_signal_handlers_enabled(c_int);
    chdb_connect(c_int, *const Text) -> *mut Handle;
    chdb_close_conn(*mut Handle);
    chdb_query_with_params_n(Handle, Text, usize, Text, usize, Texts, Lengths, Texts, Lengths, usize) -> Handle;
    chdb_stream_query_with_params_n(Handle, Text, usize, Text, usize, Texts, Lengths, Texts, Lengths, usize) -> Handle;
    chdb_stream_fetch_result(Handle, Handle) -> Handle;
    chdb_stream_cancel_query(Handle, Handle);
    chdb_stream_insert_with_params_n(Handle, Text, usize, Text, usize, Texts, Lengths, Texts, Lengths, usize) -> Handle;
    chdb_stream_append(Handle, *const c_void, usize) -> c_int;
    chdb_stream_done(Handle) -> Handle;
    chdb_stream_insert_error(Handle) -> Text;
    chdb_destroy_insert_stream(Handle);
    chdb_destroy_query_result(Handle);
    chdb_result_buffer(Handle) -> Text;
    chdb_result_length(Handle) -> usize;
    chdb_result_error(Handle) -> Text;
    chdb_result_rows_written(Handle) -> u64;
}

/// The loaded library: one per process, there until the process ends.
#[derive(Clone, Copy)]
pub struct Api(&'static Functions);

static LOADED: Mutex<Option<Api>> = Mutex::new(None);

impl Api {
    /// Loads the library, or answers the one this process already has.
    pub fn load(path: &Path) -> Result<Api, EngineError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(api) = *loaded {
            return Ok(api);
        }
        // SAFETY: loading runs the library's initialisers; it is the engine the operator named.
        let library = unsafe { Library::new(path) }
            .map_err(|error| EngineError::Load { path: path.into(), reason: reason(&error) })?;
        let library = ManuallyDrop::new(library);
        let functions = Functions::find(&library, path)?;
        // SAFETY: takes an int, may be called before any connection.
        unsafe { (functions.chdb_set_signal_handlers_enabled)(0) };
        let api = Api(Box::leak(Box::new(functions)));
        *loaded = Some(api);
        Ok(api)
    }

    /// `None` is all the engine says of a failure; its reason is on stderr.
    pub fn connect(self, arguments: &[CString]) -> Option<Connection> {
        let pointers: Vec<Text> = arguments.iter().map(|a| a.as_ptr()).collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        // SAFETY: `pointers` holds `count` NUL-terminated strings that outlive the call.
        let outer = NonNull::new(unsafe { (self.0.chdb_connect)(count, pointers.as_ptr()) })?;
        let opened = 1 + OPENED.fetch_add(1, Ordering::SeqCst);
        OPEN.fetch_add(1, Ordering::SeqCst);
        if opened.is_power_of_two() {
            at_exit::guard();
        }
        Some(Connection { api: self, outer })
    }
}

/// Connections opened so far, and those open now.
static OPENED: AtomicUsize = AtomicUsize::new(0);
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// One connection of the engine.
pub struct Connection {
    api: Api,
    outer: NonNull<Handle>,
}

// SAFETY: the engine lets any thread use a connection, one at a time; `&mut self` sees to the second half.
unsafe impl Send for Connection {}

/// Names and values of `{name:Type}` parameters, laid out as the C functions want them.
struct Parameters {
    names: Vec<Text>,
    name_lengths: Vec<usize>,
    values: Vec<Text>,
    value_lengths: Vec<usize>,
}

impl Parameters {
    fn of(pairs: &[(String, String)]) -> Parameters {
        Parameters {
            names: pairs.iter().map(|(name, _)| name.as_ptr().cast()).collect(),
            name_lengths: pairs.iter().map(|(name, _)| name.len()).collect(),
            values: pairs.iter().map(|(_, value)| value.as_ptr().cast()).collect(),
            value_lengths: pairs.iter().map(|(_, value)| value.len()).collect(),
        }
    }
}

impl Connection {
    fn handle(&self) -> Handle {
        // SAFETY: `outer` came from chdb_connect and is closed in `drop` only.
        unsafe { *self.outer.as_ptr() }
    }

    /// Runs a statement and keeps its whole result. Never for an insert with data: see the head of this file.
    pub fn query(&mut self, sql: &[u8], format: &str, params: &[(String, String)]) -> Result<Chunk, Exception> {
        Chunk::of(self.api, self.start(self.api.0.chdb_query_with_params_n, sql, format, params))
    }

    /// Runs a `SELECT` whose result comes in chunks; each is a whole document of its format.
    pub fn stream(&mut self, sql: &[u8], format: &str, params: &[(String, String)]) -> Result<Stream<'_>, Exception> {
        let head = Chunk::of(self.api, self.start(self.api.0.chdb_stream_query_with_params_n, sql, format, params))?;
        Ok(Stream { connection: self, head, ended: false })
    }

    fn start(&mut self, call: Start, sql: &[u8], format: &str, params: &[(String, String)]) -> Handle {
        let p = Parameters::of(params);
        // SAFETY: every pointer is paired with its length and outlives the call; both functions copy what they keep.
        unsafe {
            call(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                p.names.as_ptr(),
                p.name_lengths.as_ptr(),
                p.values.as_ptr(),
                p.value_lengths.as_ptr(),
                params.len(),
            )
        }
    }

    /// Inserts `data`, already in `format`, by `sql` (an `INSERT` without its `FORMAT`). Answers the rows written.
    pub fn insert(
        &mut self,
        sql: &[u8],
        format: &str,
        params: &[(String, String)],
        data: &[Bytes],
    ) -> Result<u64, Exception> {
        let stream = self.start(self.api.0.chdb_stream_insert_with_params_n, sql, format, params);
        let mut insert = Insert::of(self, stream)?;
        for part in data.iter().filter(|part| !part.is_empty()) {
            insert.append(part)?;
        }
        insert.done()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: closed once; results never refer to their connection.
        unsafe { (self.api.0.chdb_close_conn)(self.outer.as_ptr()) }
        OPEN.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A result, or a piece of one, still in the engine's memory.
pub struct Chunk {
    api: Api,
    result: NonNull<c_void>,
}

// SAFETY: a result is memory the engine has finished writing; it is read and freed, nothing else.
unsafe impl Send for Chunk {}

impl Chunk {
    fn of(api: Api, result: Handle) -> Result<Chunk, Exception> {
        let result = NonNull::new(result).ok_or_else(|| Exception::parse("the engine answered nothing"))?;
        let chunk = Chunk { api, result };
        // SAFETY: `result` is live until `chunk` drops; the text, if any, is NUL-terminated and lives as long.
        match unsafe { text((api.0.chdb_result_error)(result.as_ptr())) } {
            Some(error) => Err(Exception::parse(&error)),
            None => Ok(chunk),
        }
    }

    pub fn rows_written(&self) -> u64 {
        // SAFETY: the result is live.
        unsafe { (self.api.0.chdb_result_rows_written)(self.result.as_ptr()) }
    }

    /// The bytes without a copy; they stay in the engine's memory until the last handle goes.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the result is live as long as `self`, and the engine no longer writes to it.
        unsafe {
            let start: *const u8 = (self.api.0.chdb_result_buffer)(self.result.as_ptr()).cast();
            let length = (self.api.0.chdb_result_length)(self.result.as_ptr());
            if start.is_null() || length == 0 { &[] } else { std::slice::from_raw_parts(start, length) }
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: destroyed once.
        unsafe { (self.api.0.chdb_destroy_query_result)(self.result.as_ptr()) }
    }
}

/// A running `SELECT`. Dropped before its end, it is cancelled.
pub struct Stream<'c> {
    connection: &'c mut Connection,
    head: Chunk,
    ended: bool,
}

impl Stream<'_> {
    pub fn next(&mut self) -> Result<Option<Chunk>, Exception> {
        if self.ended {
            return Ok(None);
        }
        let api = self.connection.api;
        // SAFETY: both handles are live and `&mut self` keeps this the only call on the connection.
        let result = unsafe { (api.0.chdb_stream_fetch_result)(self.connection.handle(), self.head.result.as_ptr()) };
        let chunk = Chunk::of(api, result).inspect_err(|_| self.ended = true)?;
        self.ended = chunk.as_ref().is_empty();
        Ok((!self.ended).then_some(chunk))
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // SAFETY: as in `next`; the head itself is freed by its own drop.
            unsafe {
                (self.connection.api.0.chdb_stream_cancel_query)(self.connection.handle(), self.head.result.as_ptr());
            }
        }
    }
}

/// A running `INSERT`. Dropped before `done`, it inserts nothing.
struct Insert<'c> {
    connection: &'c mut Connection,
    stream: NonNull<c_void>,
}

impl<'c> Insert<'c> {
    fn of(connection: &'c mut Connection, stream: Handle) -> Result<Insert<'c>, Exception> {
        let stream = NonNull::new(stream).ok_or_else(|| Exception::parse("the engine started no insert"))?;
        let insert = Insert { connection, stream };
        insert.error().map_or(Ok(insert), Err)
    }

    fn error(&self) -> Option<Exception> {
        // SAFETY: the stream is live; the text is NUL-terminated and lives as long.
        unsafe { text((self.connection.api.0.chdb_stream_insert_error)(self.stream.as_ptr())) }
            .map(|error| Exception::parse(&error))
    }

    fn append(&mut self, data: &[u8]) -> Result<(), Exception> {
        // SAFETY: pointer and length belong together; the engine copies.
        let state = unsafe {
            (self.connection.api.0.chdb_stream_append)(self.stream.as_ptr(), data.as_ptr().cast(), data.len())
        };
        if state == 0 {
            return Ok(());
        }
        Err(self.error().unwrap_or_else(|| Exception::parse("the engine refused insert data")))
    }

    fn done(self) -> Result<u64, Exception> {
        // SAFETY: the stream is live, and finished once because `self` is taken.
        let result = unsafe { (self.connection.api.0.chdb_stream_done)(self.stream.as_ptr()) };
        Chunk::of(self.connection.api, result).map(|chunk| chunk.rows_written())
    }
}

impl Drop for Insert<'_> {
    fn drop(&mut self) {
        // SAFETY: destroyed once; cancels what was not done.
        unsafe { (self.connection.api.0.chdb_destroy_insert_stream)(self.stream.as_ptr()) }
    }
}

/// The loader's own words; the error's text alone says no more than that it failed.
fn reason(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// SAFETY: `start` is null or a NUL-terminated string that lives through the call.
unsafe fn text(start: Text) -> Option<String> {
    if ptr::eq(start, ptr::null()) {
        return None;
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(start) }.to_string_lossy().into_owned();
    (!text.is_empty()).then_some(text)
}
