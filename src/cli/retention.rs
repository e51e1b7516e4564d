//! `footfall retention`: what the next deletion of old counts takes.

use std::process::ExitCode;

use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::api_client::ApiArgs;
use super::out::print_or_exit;
use super::{block_on_runtime, report_outcome};

#[derive(Args)]
pub(super) struct RetentionArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Print what would be deleted, by table and site. Deleting is the collector's own job, each
    /// hour.
    #[arg(long, required = true)]
    dry_run: bool,
}

impl RetentionArgs {
    /// Exit codes: 0 printed; 1 the collector cannot be reached or refuses.
    pub(super) fn run(self) -> ExitCode {
        report_outcome(self.print_expired())
    }

    fn print_expired(self) -> anyhow::Result<()> {
        let client = self.api.open_client()?;
        let answer = block_on_runtime(client.send_request(Method::GET, "/api/v1/retention"))?;

        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let rows = answer["expired"].as_array().map_or(&[][..], Vec::as_slice);
        print_or_exit!("{:<12} {:<32} {:>12}  oldest", "table", "site", "rows");
        for row in rows {
            print_or_exit!(
                "{:<12} {:<32} {:>12}  {}",
                text(&row["table"]),
                text(&row["site"]),
                row["rows"],
                text(&row["oldest"])
            );
        }
        let total: u64 = rows.iter().filter_map(|row| row["rows"].as_u64()).sum();
        print_or_exit!(
            "{total} rows are over their limit on {}; by default, counts are kept for {} days",
            text(&answer["today"]),
            answer["keep_days"]
        );

        let months = answer["ageing"].as_array().map_or(&[][..], Vec::as_slice);
        for month in months {
            let what = match month["table"].as_str() {
                Some("hourly") => "hours are dropped; its days stay",
                _ => "days become a month",
            };
            print_or_exit!(
                "{:<12} {:<32} {:>12}  {what}",
                text(&month["table"]),
                text(&month["month"]),
                month["rows"],
            );
        }
        Ok(())
    }
}
