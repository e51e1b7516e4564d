//! `footfall consent …`: creates keys.

use std::process::ExitCode;

use clap::Subcommand;

use super::key_id::parse_key_id;
use crate::consent::GrantKeys;

/// Commands about the keys that sign grants.
#[derive(Subcommand)]
pub enum ConsentSubcommand {
    /// Print a line with a new key for consent.key_file. The first line of the file signs; the
    /// others only verify.
    NewKey {
        /// The id of the key.
        #[arg(value_name = "ID", value_parser = parse_key_id)]
        id: String,
    },
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
