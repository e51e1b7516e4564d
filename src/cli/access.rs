//! `footfall access …`: helps to set up the password login.

use std::io::{IsTerminal, stdin};
use std::process::ExitCode;

use clap::Subcommand;

use super::out::say;
use super::wrong;
use crate::access;
use crate::config::Secret;

const FEWEST_CHARS: usize = 12;

/// Commands about the operator's login.
#[derive(Subcommand)]
pub enum Access {
    /// Read a password from standard input and print the value for access.password_hash.
    HashPassword,
}

impl Access {
    /// Runs the command. Exit code 2 if the password is rejected or standard input cannot be read.
    pub fn run(self) -> ExitCode {
        let Access::HashPassword = self;
        match password() {
            Ok(password) => {
                say!("{}", access::hash(&password));
                ExitCode::SUCCESS
            }
            Err(error) => wrong(&error),
        }
    }
}

/// Reads one line. Passwords are not accepted on the command line, where other users of the machine
/// and the shell's history would see them.
fn password() -> anyhow::Result<Secret> {
    if stdin().is_terminal() {
        eprintln!("The password, then Enter. It shows on the screen.");
    }

    let mut line = String::new();
    stdin().read_line(&mut line)?;
    let password = Secret::new(line.trim_end_matches(['\r', '\n']).to_owned());
    zeroize::Zeroize::zeroize(&mut line);

    let long = access::has_chars(&password, FEWEST_CHARS..=usize::MAX);
    anyhow::ensure!(long, "the password must have at least {FEWEST_CHARS} characters");
    Ok(password)
}
