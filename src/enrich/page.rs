//! The page of a hit, reduced to what is counted: host, path, and some values of the query.

use std::borrow::Cow;

use super::address::{self, UrlError};
use super::path;
use super::sources::{Listed, list};

/// Google Ads adds this key beside a click id; it names the product.
const BESIDE_A_CLICK_ID: &str = "gclsrc";

/// A page before cleaning. Deliberately without `Debug`: neither the path nor the values of the
/// query are cleaned yet.
pub struct Page<'a> {
    host: Cow<'a, str>,
    spelled: Cow<'a, str>,
    query: Option<Cow<'a, str>>,
}

impl<'a> Page<'a> {
    /// Parses the URL of a page.
    ///
    /// # Errors
    ///
    /// The URL cannot be counted; the reason does not quote it.
    pub fn parse(url: &'a str) -> Result<Page<'a>, UrlError> {
        let parts = address::split(url)?;
        Ok(Page { host: parts.host, spelled: path::spell(parts.path), query: parts.query })
    }

    /// In lower case, without port and trailing dot.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The normalised path, for looking up the site. It may contain personal data: never store or
    /// print it.
    pub fn lookup_path(&self) -> &str {
        &self.spelled
    }

    /// The cleaned path: without query, fragment and personal data, at most 512 bytes. `profile` is
    /// the prefix of the path that names the site (`/u/mia`, or `/` if the whole host is one site);
    /// it is public and kept unchanged.
    pub fn path_below(&self, profile: &str) -> Cow<'_, str> {
        let named = profile != "/" && self.spelled.starts_with(profile);
        path::clean_below(&self.spelled, if named { profile.len() } else { 0 })
    }

    /// The source that the link's author specified; still encoded.
    pub(super) fn source_key(&self) -> Option<&str> {
        address::query_key(self.query.as_deref()?, &["utm_source", "ref", "source"])
    }

    /// The network that marked the link with a click id. The name of the key identifies the
    /// network; its value is ignored.
    pub(super) fn marked_by(&self) -> Option<Listed> {
        address::pairs(self.query.as_deref()?).find_map(|(name, _)| list().click_id(name)).map(|id| id.listed)
    }

    /// The medium that the link's author specified; still encoded.
    pub(super) fn medium_key(&self) -> Option<&str> {
        address::query_key(self.query.as_deref()?, &["utm_medium"])
    }

    /// Whether an ad network marked the link when its ad was clicked.
    pub(super) fn is_of_an_ad(&self) -> bool {
        let is_of_ad = |name: &str| list().click_id(name).is_some_and(|id| id.is_of_ad);
        let mut pairs = self.query.as_deref().map(address::pairs).into_iter().flatten();
        pairs.any(|(name, _)| is_of_ad(name) || address::is_key(name, BESIDE_A_CLICK_ID))
    }

    /// The campaign that the link's author specified; still encoded.
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
        assert_eq!((page.host(), &*page.path_below("/")), ("alllinks.example", "/u/mia/shop"));
        assert_eq!((page.source_key(), page.campaign_key()), (Some("fern"), Some("Tour")));
    }

    #[test]
    fn an_ordinary_page_is_borrowed() {
        let page = Page::parse("https://alllinks.example/u/mia").unwrap();
        assert!(matches!((&page.host, page.path_below("/")), (Cow::Borrowed(_), Cow::Borrowed(_))));
    }

    proptest! {
        #[test]
        fn no_page_holds_a_query_or_a_mailbox(url in "https?://[a-z.]{1,10}.{0,100}") {
            if let Ok(page) = Page::parse(&url) {
                let path = page.path_below("/");
                prop_assert!(path.len() <= 512 && !path.contains(['?', '#']));
                prop_assert!(!path::holds_a_mailbox(&path));
            }
        }
    }
}
