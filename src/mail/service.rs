//! Wires the mail module: signing, classification and the memory of recent loads.

use std::sync::Arc;

use super::classifier::ReaderClassifier;
use super::click_buffer::ClickBuffer;
use super::link_signer::LinkSigner;
use super::opened_queue::OpenedQueue;
use super::reader_lists::ReaderListsError;
use super::signed_values::SignedValues;
use crate::calendar::ZoneId;
use crate::config::{MailConfig, MailMode};

/// Everything needed to sign, count and report mails. Absent if `mail.enabled` is false.
pub struct MailService {
    /// Signs pixels and links.
    pub signer: LinkSigner,
    /// Values signed per template and batch day, on disk.
    pub signed_values: SignedValues,
    /// Classifies the client that loads a pixel or follows a link.
    pub classifier: ReaderClassifier,
    /// Recent loads by sender, in memory.
    pub click_buffer: ClickBuffer,
    /// Time zone of the days by which opens and clicks are counted (`mail.zone`).
    pub zone: ZoneId,
    /// Confirmation of single messages; `None` unless `mail.mode` is `per_message`.
    pub messages: Option<MessageConfirmation>,
}

/// Confirmation that a single message was opened.
pub struct MessageConfirmation {
    /// Opened messages that are not in the store yet.
    pub opened: Arc<OpenedQueue>,
    /// Days that a message's state is kept (`mail.message_days`).
    pub days: u32,
}

impl MailService {
    /// `key` keys the hashes of senders; it must be random and not outlive the process.
    ///
    /// # Errors
    ///
    /// A list of mail agents or networks cannot be read or parsed, see [`ReaderListsError`].
    pub fn new(
        config: &MailConfig,
        (mint, signed): (LinkSigner, SignedValues),
        zone: ZoneId,
        key: [u8; 32],
        opened: Arc<OpenedQueue>,
    ) -> Result<MailService, ReaderListsError> {
        let per_message = config.mode == MailMode::PerMessage;
        let messages = per_message.then_some(MessageConfirmation {
            opened,
            days: config.message_days,
        });
        Ok(MailService {
            signer: mint,
            signed_values: signed,
            classifier: ReaderClassifier::new(config)?,
            click_buffer: ClickBuffer::new(key),
            zone,
            messages,
        })
    }
}
