//! The reasons for dropping a hit.

string_enum! {
    /// Why a hit was dropped, in the order the gate checks: only the first reason that applies is
    /// counted. Each drop increments one process-wide counter and leaves no other trace.
    pub enum DropReason {
        /// No site matches the page, or the request was not sent by that site.
        UnknownSite = "unknown_site",
        /// A prefetch, a known bot or a browser controlled by software.
        NotAView = "not_a_view",
        /// `Sec-GPC: 1` was sent, and `signals.gpc` obeys it.
        Gpc = "gpc",
        /// `DNT: 1` was sent, and `signals.dnt` obeys it.
        Dnt = "dnt",
        /// Consent is required and was not given.
        NoConsent = "no_consent",
        /// Consent is not required, but the visitor objected.
        Objected = "objected",
        /// The rate limit of the network or the site was exceeded.
        RateLimited = "limited",
    }
}
