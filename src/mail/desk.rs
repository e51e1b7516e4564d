//! Wiring of the mail module: signing, classification and the memory of recent loads in one place.

use std::sync::Arc;

use super::judge::Judge;
use super::lists::ListsError;
use super::mint::Mint;
use super::opened::Opened;
use super::signed::Signed;
use super::watch::Watch;
use crate::config::{Mail as Config, MailMode, Zone};

/// Everything needed to sign, count and report mails. Absent where `mail.enabled` is false.
pub struct Desk {
    /// Signs pixels and links.
    pub mint: Mint,
    /// Values signed per template and batch day, on disk.
    pub signed: Signed,
    /// Classifies who loads a pixel or follows a link.
    pub judge: Judge,
    /// Recent loads by sender, in memory.
    pub watch: Watch,
    /// Zone of the days by which opens and clicks are counted (`mail.zone`).
    pub zone: Zone,
    /// Confirmation of single messages; `None` unless `mail.mode` is `per_message`.
    pub messages: Option<Messages>,
}

/// Confirmation that a single message was opened.
pub struct Messages {
    /// Opened messages that are not in the store yet.
    pub opened: Arc<Opened>,
    /// Days that a message's state is kept (`mail.message_days`).
    pub days: u32,
}

impl Desk {
    /// `key` keys the hashes of senders; it must be random and not outlive the process.
    ///
    /// # Errors
    ///
    /// A list of mail agents or networks cannot be read or parsed, see [`ListsError`].
    pub fn new(
        config: &Config,
        (mint, signed): (Mint, Signed),
        zone: Zone,
        key: [u8; 32],
        opened: Arc<Opened>,
    ) -> Result<Desk, ListsError> {
        let per_message = config.mode == MailMode::PerMessage;
        let messages = per_message.then_some(Messages { opened, days: config.message_days });
        Ok(Desk { mint, signed, judge: Judge::new(config)?, watch: Watch::new(key), zone, messages })
    }
}
