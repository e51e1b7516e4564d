//! The standard output of the commands.
//!
//! The reader may close it early (`footfall ledger export | head -1`). The process then exits with
//! success, because nothing is left to do.

use std::fmt;
use std::io::{self, ErrorKind, Stdout, Write, stdout};
use std::process::exit;

/// Like `println!`, but exits if the reader has closed the pipe.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::out::line(format_args!($($text)*)) };
}
pub(super) use say;

/// Standard output that exits the process if the reader has closed the pipe.
pub(super) struct Out(Stdout);

pub(super) fn out() -> Out {
    Out(stdout())
}

pub(super) fn line(text: fmt::Arguments<'_>) {
    if let Err(error) = writeln!(out(), "{text}") {
        eprintln!("footfall: standard output: {error}");
        exit(1);
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_gone(self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_gone(self.0.flush())
    }
}

fn unless_gone<T>(written: io::Result<T>) -> io::Result<T> {
    if written.as_ref().is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        exit(0);
    }
    written
}
