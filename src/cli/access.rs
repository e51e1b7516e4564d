//! `footfall access …`: helps to set up the password login and the keys of sessions.

use std::io::{IsTerminal, stdin};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;

use super::key_id::parse_key_id;
use super::out::print_or_exit;
use super::report_usage_error;
use crate::access;
use crate::config::Secret;

const MIN_PASSWORD_CHARS: usize = 12;

/// Commands about the operator's login and sessions.
#[derive(Subcommand)]
pub enum AccessSubcommand {
    /// Read a password from standard input and print the value for access.password_hash.
    HashPassword,
    /// Print a line with a new key for access.key_file. The first line of the file encrypts
    /// sessions; the others only decrypt.
    NewKey {
        /// The id of the key.
        #[arg(value_name = "ID", value_parser = parse_key_id)]
        id: String,
    },
}

impl AccessSubcommand {
    /// Runs the command. Exit code 2 if the password is rejected or standard input cannot be read.
    pub fn run(self) -> ExitCode {
        if let AccessSubcommand::NewKey { id } = self {
            print!("{}", access::CookieKeys::generate_line(&id).expose_secret());
            return ExitCode::SUCCESS;
        }
        match read_password() {
            Ok(password) => {
                print_or_exit!("{}", access::hash_password(&password));
                ExitCode::SUCCESS
            }
            Err(error) => report_usage_error(&error),
        }
    }
}

/// Reads one line. Passwords are not accepted on the command line, where other users of the machine
/// and the shell's history would see them.
pub(super) fn read_password() -> anyhow::Result<Secret> {
    if stdin().is_terminal() {
        eprintln!("The password, then Enter. It shows on the screen.");
    }

    let mut line = String::new();
    stdin().read_line(&mut line)?;
    let password = Secret::new(line.trim_end_matches(['\r', '\n']).to_owned());
    zeroize::Zeroize::zeroize(&mut line);

    let long = access::has_chars(&password, MIN_PASSWORD_CHARS..=usize::MAX);
    anyhow::ensure!(
        long,
        "the password must have at least {MIN_PASSWORD_CHARS} characters"
    );
    Ok(password)
}

/// Reads a file that holds a password or a passphrase. The end of its line is not part of it.
pub(super) fn read_password_file(path: &Path) -> anyhow::Result<Secret> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}
