//! `footfall site erase`: removes a site from everything that a running collector stores.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Subcommand;
use hyper::Method;

use super::api_client::ApiArgs;
use super::out::print_or_exit;
use super::{block_on_runtime, report_outcome};
use crate::backup::find_backups_of_site;
use crate::calendar::Day;
use crate::config::is_site_name;

/// Commands about one site.
#[derive(Subcommand)]
pub enum SiteSubcommand {
    /// Remove a site from the tables, the registry, the journal and the audit log, with its aliases,
    /// tokens and share links. It cannot be undone. Repeat it if it fails.
    Erase(EraseArgs),
}

/// Which site, at which collector.
#[derive(clap::Args)]
pub struct EraseArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Another folder of backups, or of copies of them, in which to look for the site. The
    /// collector looks in its own, `backup.dir`.
    #[arg(long, value_name = "DIR")]
    backups: Vec<PathBuf>,
    /// The site's name.
    #[arg(value_name = "NAME")]
    name: String,
}

impl SiteSubcommand {
    /// Exit codes: 0 erased; 1 not, or not completely.
    pub fn run(self) -> ExitCode {
        match self {
            SiteSubcommand::Erase(given) => report_outcome(given.erase_site()),
        }
    }
}

impl EraseArgs {
    fn erase_site(self) -> anyhow::Result<()> {
        ensure!(
            is_site_name(&self.name),
            "a site's name is 1 to 64 of letters, digits and . _ ~ -"
        );
        let client = self.api.open_client()?;
        let path = format!("/api/v1/sites/{}/erase", self.name);
        let answer = block_on_runtime(client.send_request(Method::POST, &path))?;

        let dir = answer["backup_dir"].as_str().unwrap_or("-");
        for (table, rows) in answer["rows"].as_object().into_iter().flatten() {
            print_or_exit!("{table:<12} {rows:>12} rows");
        }
        print_or_exit!(
            "erased, as {} in the audit log",
            answer["reference"].as_str().unwrap_or("-")
        );
        if answer["configured"] == true {
            print_or_exit!(
                "the configuration names the site: remove it there, or it is counted anew"
            );
        }
        for file in answer["quarantined"].as_array().into_iter().flatten() {
            print_or_exit!(
                "may still hold it: {} in the journal's quarantine",
                file.as_str().unwrap_or("-")
            );
        }

        if answer["backups_read"] == false {
            print_or_exit!("the backups in {dir} cannot be read: see the collector's log");
        }
        for name in answer["backups"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap_or("-");
            print_or_exit!("may still hold it: backup {name} in {dir}");
        }
        let first_day = answer["first_day"].as_str().and_then(parse_day);
        for folder in &self.backups {
            let names = [self.name.clone()];
            for backup in find_backups_of_site(folder, &names, first_day)? {
                let folder = folder.display();
                print_or_exit!("may still hold it: backup {} in {folder}", backup.name);
            }
        }
        print_or_exit!(
            "may still hold it: every backup and log of yours that is elsewhere and was made before \
             now"
        );
        Ok(())
    }
}

fn parse_day(text: &str) -> Option<Day> {
    Day::from_date(text.parse().ok()?)
}
