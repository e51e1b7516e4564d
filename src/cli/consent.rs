//! `footfall consent …`: new keys.

use std::process::ExitCode;

use clap::Subcommand;

use crate::consent::{GrantKeys, is_key_id};

#[derive(Subcommand)]
pub enum Consent {
    /// Print a line for consent.key_file with a new key. On top of the file it signs; below others it is only believed.
    NewKey {
        #[arg(value_name = "ID", value_parser = key_id)]
        id: String,
    },
}

fn key_id(text: &str) -> Result<String, &'static str> {
    if is_key_id(text) { Ok(text.to_owned()) } else { Err("must be 1 to 16 letters, digits, _ and -") }
}

impl Consent {
    pub fn run(self) -> ExitCode {
        match self {
            Consent::NewKey { id } => {
                print!("{}", GrantKeys::new_line(&id).expose());
                ExitCode::SUCCESS
            }
        }
    }
}
