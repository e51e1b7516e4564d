//! `footfall mail …`: signs mails without a running collector, and creates keys.

use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use jiff::Timestamp;
use jiff::civil::Date;

use super::key_id::parse_key_id;
use super::out::print_or_exit;
use super::{ConfigArgs, report_usage_error};
use crate::clock::Clock;
use crate::mail::{MailKeys, MailLink, SignRequest};

/// Commands about signed mails.
#[derive(Subcommand)]
pub enum MailSubcommand {
    /// Print the pixel and the links of a mail, the same for all recipients of the batch.
    Sign {
        /// Where the configuration is.
        #[command(flatten)]
        layers: ConfigArgs,
        /// The name of one of mail.templates.
        #[arg(long)]
        template: String,
        /// State that the mail may be counted, because its recipients consented or their consent is
        /// not required. Without it there is no pixel, and no click is counted.
        #[arg(long)]
        consent: bool,
        /// The day the mail is sent; today by default.
        #[arg(long, value_name = "DATE")]
        batch: Option<Date>,
        /// The last day its pixel and links work, inclusive; by default mail.expiry_days after the
        /// batch.
        #[arg(long, value_name = "DATE")]
        expires: Option<Date>,
        /// The time the mail is sent, if the whole batch is sent at once: an opening within ten
        /// seconds is not counted as a person's.
        #[arg(long, value_name = "TIME")]
        sent: Option<Timestamp>,
        /// The name of a link and its target. Can be given several times.
        #[arg(long, value_name = "NAME=URL", value_parser = parse_link)]
        link: Vec<MailLink>,
    },
    /// Print a line with a new key for mail.key_file. The first line of the file signs from the
    /// next start on.
    NewKey {
        /// The id of the key.
        #[arg(value_name = "ID", value_parser = parse_key_id)]
        id: String,
    },
}

fn parse_link(text: &str) -> Result<MailLink, &'static str> {
    let (link, url) = text
        .split_once('=')
        .ok_or("must look like name=https://...")?;
    Ok(MailLink {
        link: link.to_owned(),
        url: url.to_owned(),
    })
}

impl MailSubcommand {
    /// Runs the command. Exit codes: 0 success, 2 nothing was signed.
    pub fn run(self) -> ExitCode {
        match self {
            MailSubcommand::Sign {
                layers,
                template,
                consent,
                batch,
                expires,
                sent,
                link,
            } => {
                match sign_mail(
                    layers,
                    &SignRequest {
                        template,
                        consent,
                        batch,
                        expires,
                        sent,
                        links: link,
                    },
                ) {
                    Ok(()) => ExitCode::SUCCESS,
                    Err(error) => report_usage_error(&error),
                }
            }
            MailSubcommand::NewKey { id } => {
                print_or_exit!(
                    "{}",
                    MailKeys::generate_line(&id).expose_secret().trim_end()
                );
                ExitCode::SUCCESS
            }
        }
    }
}

fn sign_mail(layers: ConfigArgs, order: &SignRequest) -> anyhow::Result<()> {
    let config = layers.load_config(std::iter::empty())?;
    anyhow::ensure!(
        config.mail.enabled,
        "mail.enabled is false: pixels would not be counted and links would not redirect"
    );

    let now = Timestamp::from_millisecond(Clock::System.now())?;
    let today = now.in_tz(&config.mail.zone)?.date();

    let minted = crate::server::build_link_signer(&config)?.sign_mail(order, today)?;
    crate::disk::create_private_folder(&config.journal.dir).context("journal.dir")?;
    crate::server::open_signed_values(&config).record_values(&[(order, &minted)], today)?;

    print_or_exit!("{}", serde_json::to_string_pretty(&minted)?);
    Ok(())
}
