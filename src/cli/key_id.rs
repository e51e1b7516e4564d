//! The id of a key as an argument.

use crate::key_file::is_key_id;

/// For clap: the id as it was given.
pub(super) fn parse_key_id(text: &str) -> Result<String, &'static str> {
    if is_key_id(text) {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 16 letters, digits, _ and -")
    }
}
