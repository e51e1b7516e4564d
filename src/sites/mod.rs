//! The sites that are counted: which pages belong to which site, and the names of sites.
//!
//! Their rules are sections of the configuration ([`crate::config::SiteRule`]) and entries of the
//! registry.

mod registry_index;
mod site_directory;
mod site_names;
mod site_resolver;

pub use registry_index::{MadeEntries, RegisteredSite, RegistryIndex};
pub use site_directory::SiteDirectory;
pub use site_names::{SiteNames, VisitedSite};
pub use site_resolver::SiteResolver;
