//! `footfall consent …`: creates keys.

use std::process::ExitCode;

use clap::Subcommand;

use crate::consent::{GrantKeys, is_key_id};

/// Commands about the keys that sign grants.
#[derive(Subcommand)]
pub enum ConsentSubcommand {
    /// Print a line with a new key for consent.key_file. The first line of the file signs; the
    /// others only verify.
    NewKey {
        #[arg(value_name = "ID", value_parser = parse_key_id)]
        id: String,
    },
}

fn parse_key_id(text: &str) -> Result<String, &'static str> {
    if is_key_id(text) {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 16 letters, digits, _ and -")
    }
}

impl ConsentSubcommand {
    /// Runs the command, which cannot fail.
    pub fn run(self) -> ExitCode {
        match self {
            ConsentSubcommand::NewKey { id } => {
                print!("{}", GrantKeys::generate_line(&id).expose_secret());
                ExitCode::SUCCESS
            }
        }
    }
}
