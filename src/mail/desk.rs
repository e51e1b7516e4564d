use std::sync::Arc;

use super::judge::Judge;
use super::lists::ListsError;
use super::mint::Mint;
use super::opened::Opened;
use super::signed::Signed;
use super::watch::Watch;
use crate::config::{Mail as Config, MailMode, Zone};

/// What it takes to send, count and report mails; not there where `mail.enabled` is false.
pub struct Desk {
    pub mint: Mint,
    pub signed: Signed,
    pub judge: Judge,
    pub watch: Watch,
    /// Whose days openings and clicks are counted by.
    pub zone: Zone,
    /// Where one message's opening may be kept.
    pub messages: Option<Messages>,
}

pub struct Messages {
    pub opened: Arc<Opened>,
    pub days: u32,
}

impl Desk {
    /// `key` is random and lives as long as the process.
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
