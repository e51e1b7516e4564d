//! Stage 9: runs report queries.
//!
//! Content (the site, its pages, links and events) is reported exactly and as of now. Attributes of
//! people are read only from published lots. `publication` decides what is published once a day is
//! over, so no choice of range or filter can divide a published lot. This module does not check
//! permissions; `web` does.

mod coverage;
mod faults;
mod mail;
mod partial_range;
mod platform;
mod query;
mod range;
mod response;
mod row_comparison;
mod runner;
mod series;
mod suppression;
mod vitals;

pub use coverage::CoveredResponse;
pub use faults::{FaultsResponse, run_faults_report};
pub use mail::{MailReportResponse, run_mail_report};
pub use platform::{
    ConsentReport, load_site_names, run_drops_report, run_pages_report, run_sites_report,
};
pub use query::{ReportFilter, ReportLimits, ReportParams, ReportQuery};
pub use response::ReportResponse;
pub use runner::{run_report, run_report_of};
pub use vitals::{VitalsResponse, run_vitals_report};
