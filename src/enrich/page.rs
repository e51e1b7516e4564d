//! The page a hit happened on, as far as it is counted: host, cleaned path, and two values of the query.

use std::borrow::Cow;

use super::address::{self, UrlError};
use super::path;

/// Deliberately without `Debug`: the query's values are not cleaned yet.
pub struct Page<'a> {
    host: Cow<'a, str>,
    path: Cow<'a, str>,
    query: Option<Cow<'a, str>>,
}

impl<'a> Page<'a> {
    pub fn parse(url: &'a str) -> Result<Page<'a>, UrlError> {
        let parts = address::split(url)?;
        Ok(Page { host: parts.host, path: path::clean_cow(parts.path), query: parts.query })
    }

    /// Lower case, without port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Cleaned: no query, no fragment, nobody in it, at most 512 bytes.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Who sent the visitor, as the link's author says; still encoded.
    pub(super) fn source_key(&self) -> Option<&str> {
        address::query_key(self.query.as_deref()?, &["utm_source", "ref", "source"])
    }

    /// Still encoded.
    pub(super) fn campaign_key(&self) -> Option<&str> {
        address::query_key(self.query.as_deref()?, &["utm_campaign"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_page_is_host_path_and_two_keys() {
        let page = Page::parse("https://AllLinks.example:443/u/mia//shop/?x=1&utm_campaign=Tour&ref=fern#top").unwrap();
        assert_eq!((page.host(), page.path()), ("alllinks.example", "/u/mia/shop"));
        assert_eq!((page.source_key(), page.campaign_key()), (Some("fern"), Some("Tour")));
    }

    #[test]
    fn an_ordinary_page_is_borrowed() {
        let page = Page::parse("https://alllinks.example/u/mia").unwrap();
        assert!(matches!((&page.host, &page.path), (Cow::Borrowed(_), Cow::Borrowed(_))));
    }

    proptest! {
        #[test]
        fn no_page_holds_a_query_or_a_mailbox(url in "https?://[a-z.]{1,10}.{0,100}") {
            if let Ok(page) = Page::parse(&url) {
                prop_assert!(page.path().len() <= 512 && !page.path().contains(['?', '#']));
                prop_assert!(!path::holds_a_mailbox(page.path()));
            }
        }
    }
}
