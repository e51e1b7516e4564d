//! Commands of the program, with the configuration of a test's server.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::process::{Command, Output, Stdio};

use super::Server;

/// The command, not started.
pub fn command(server: &Server, arguments: &[impl AsRef<OsStr> + Debug]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_footfall"));
    command
        .args(arguments)
        .arg("--config")
        .arg(server.dir().join("footfall.toml"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null());
    command
}

/// Runs the command to its end.
pub fn run(server: &Server, arguments: &[impl AsRef<OsStr> + Debug]) -> Output {
    let output = command(server, arguments).output();
    output.expect("the program starts")
}

/// The standard output of a command that succeeds.
pub fn succeed(server: &Server, arguments: &[impl AsRef<OsStr> + Debug]) -> String {
    let output = run(server, arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}\n{}",
        String::from_utf8_lossy(&output.stderr),
        server.log()
    );
    String::from_utf8(output.stdout).expect("the output is UTF-8")
}

/// The standard error of a command that fails with this exit code.
pub fn fail(server: &Server, arguments: &[impl AsRef<OsStr> + Debug], code: i32) -> String {
    let output = run(server, arguments);
    let error = String::from_utf8(output.stderr).expect("the errors are UTF-8");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    error
}
