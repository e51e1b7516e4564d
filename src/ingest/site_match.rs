//! Which site a hit belongs to: the page's, if the request can come from that page.

use super::headers::RequestHeaders;
use crate::config::AcceptedTracker;
use crate::enrich::PageUrl;
use crate::event::{LegalBasis, ResolvedSite, SiteId};
use crate::http::host_name;
use crate::sites::SiteResolver;

/// The site of a hit, its legal basis, and whether a server of the site vouches for its claims.
pub(super) struct SiteMatch<'p> {
    /// `None` if the hit belongs to no site or cannot come from its page.
    pub(super) site: Option<ResolvedSite<'p>>,
    /// Legal basis on which the hit may be counted.
    pub(super) legal_basis: LegalBasis,
    /// Whether the request carries a valid server token of the site.
    pub(super) is_site_server: bool,
}

impl<'p> SiteMatch<'p> {
    /// The site of a hit of our own script.
    pub(super) fn find_own(
        sent_to: &HostCheck<'_>,
        hosts: &SiteResolver,
        page: &'p PageUrl<'_>,
    ) -> SiteMatch<'p> {
        let host = page.host();
        let sent_by_page = sent_to.fields.can_be_sent_by(host) && sent_to.is_host(host);
        let site = sent_by_page
            .then(|| hosts.resolve_page(host, page.lookup_path()))
            .flatten();

        SiteMatch {
            site,
            legal_basis: LegalBasis::VisitorChoice,
            is_site_server: false,
        }
    }

    /// The site of the page, if it accepts the product's hits: `tracker` returns under which rules.
    /// A server may use any host of the collector, because its token names the site (for
    /// GoatCounter, the host is the page's). `Origin` is nevertheless checked against the page, so
    /// that a token that leaked into a page is of no use to browsers.
    pub(super) fn find_third_party<'t>(
        sent_to: &HostCheck<'_>,
        hosts: &SiteResolver,
        page: &'p PageUrl<'_>,
        token: Option<&str>,
        tracker: impl FnOnce(SiteId) -> Option<&'t AcceptedTracker>,
    ) -> SiteMatch<'p> {
        let found = hosts
            .resolve_page(page.host(), page.lookup_path())
            .and_then(|site| Some((site, tracker(site.id)?)));
        let Some((site, accepted)) = found else {
            return SiteMatch {
                site: None,
                legal_basis: LegalBasis::ConsentCookie,
                is_site_server: false,
            };
        };

        let is_site_server = [sent_to.fields.bearer, token]
            .into_iter()
            .flatten()
            .any(|token| accepted.is_server_token(token));
        let sent = sent_to.fields.can_be_sent_by(page.host())
            && (is_site_server || sent_to.is_host_strictly(page.host()));
        SiteMatch {
            site: sent.then_some(site),
            legal_basis: accepted.legal_basis,
            is_site_server,
        }
    }
}

/// The host that a request was meant for, as far as the connection shows it.
pub(super) struct HostCheck<'a> {
    fields: &'a RequestHeaders<'a>,
    /// Whether the connection comes from a trusted proxy.
    is_behind_proxy: bool,
}

impl<'a> HostCheck<'a> {
    pub(super) fn new(fields: &'a RequestHeaders<'a>, is_behind_proxy: bool) -> HostCheck<'a> {
        HostCheck {
            fields,
            is_behind_proxy,
        }
    }

    /// Whether the request was sent to the page's own host. A trusted proxy may hide which host
    /// that was.
    fn is_host(&self, page_host: &str) -> bool {
        let hidden = self.is_behind_proxy && self.fields.forwarded_host.is_none();
        hidden || host_name(self.requested_host()).eq_ignore_ascii_case(page_host)
    }

    /// The same for hits of other products' trackers, which carry no proof of their own: a hidden
    /// host is accepted only if the proxy's upstream name is one that browsers cannot send requests
    /// to.
    fn is_host_strictly(&self, page_host: &str) -> bool {
        let requested = host_name(self.requested_host());
        let is_page_host = requested.eq_ignore_ascii_case(page_host);
        self.is_host(page_host) && (is_page_host || is_internal_host(requested))
    }

    /// The host of the browser's request, as far as it is known.
    pub(super) fn requested_host(&self) -> &'a str {
        self.fields
            .forwarded_host
            .filter(|_| self.is_behind_proxy)
            .unwrap_or(self.fields.host)
    }
}

/// Whether a host name is internal to a network: an address, a single label, or below a domain that
/// cannot be registered.
fn is_internal_host(host: &str) -> bool {
    const INTERNAL_DOMAINS: [&str; 9] = [
        "internal",
        "local",
        "localhost",
        "localdomain",
        "lan",
        "home",
        "corp",
        "intranet",
        "private",
    ];
    let last = host.rsplit('.').next().unwrap_or("");
    host.starts_with('[')
        || !host.contains('.')
        || last.bytes().all(|b| b.is_ascii_digit())
        || INTERNAL_DOMAINS
            .iter()
            .any(|domain| domain.eq_ignore_ascii_case(last))
}
