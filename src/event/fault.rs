//! Page faults: script errors and missing pages.

string_enum! {
    /// What went wrong on a page, as far as the page itself can detect it.
    pub enum FaultKind {
        /// A script threw an error.
        Script = "script",
        /// The page is the platform's "not found" page.
        NotFound = "not_found",
    }
}
