//! The standard output of the commands.
//!
//! The reader may close it early (`footfall ledger export | head -1`). The process then exits with
//! success, because nothing is left to do.

use std::fmt;
use std::io::{self, ErrorKind, Stdout, Write, stdout};
use std::process::exit;

/// Like `println!`, but exits if the reader has closed the pipe.
macro_rules! print_or_exit {
    ($($text:tt)*) => { $crate::cli::out::print_line(format_args!($($text)*)) };
}
pub(super) use print_or_exit;

/// Standard output that exits the process if the reader has closed the pipe.
pub(super) struct StdoutWriter(Stdout);

pub(super) fn stdout_writer() -> StdoutWriter {
    StdoutWriter(stdout())
}

pub(super) fn print_line(text: fmt::Arguments<'_>) {
    if let Err(error) = writeln!(stdout_writer(), "{text}") {
        eprintln!("footfall: standard output: {error}");
        exit(1);
    }
}

impl Write for StdoutWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        exit_on_broken_pipe(self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        exit_on_broken_pipe(self.0.flush())
    }
}

fn exit_on_broken_pipe<T>(written: io::Result<T>) -> io::Result<T> {
    if written
        .as_ref()
        .is_err_and(|error| error.kind() == ErrorKind::BrokenPipe)
    {
        exit(0);
    }
    written
}
