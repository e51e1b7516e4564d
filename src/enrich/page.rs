//! The page a hit happened on, as far as it is counted: host, path, and some values of the query.

use std::borrow::Cow;

use super::address::{self, UrlError};
use super::path;
use super::sources::{Listed, list};

/// What Google's ads add beside a click id: it says that there was one, and of which product.
const BESIDE_A_CLICK_ID: &str = "gclsrc";

/// Deliberately without `Debug`: neither the path nor the query's values are cleaned yet.
pub struct Page<'a> {
    host: Cow<'a, str>,
    spelled: Cow<'a, str>,
    query: Option<Cow<'a, str>>,
}

impl<'a> Page<'a> {
    pub fn parse(url: &'a str) -> Result<Page<'a>, UrlError> {
        let parts = address::split(url)?;
        Ok(Page { host: parts.host, spelled: path::spell(parts.path), query: parts.query })
    }

    /// Lower case, without port and root dot.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path in its one spelling, for looking up whose page it is. It may hold anything: never store or print it.
    pub fn lookup_path(&self) -> &str {
        &self.spelled
    }

    /// Cleaned: no query, no fragment, nobody in it, at most 512 bytes. `profile` is the start of the path that names a site
    /// (`/u/mia`, or `/` where the whole host is one): a public name, which stays as it is.
    pub fn path_below(&self, profile: &str) -> Cow<'_, str> {
        let named = profile != "/" && self.spelled.starts_with(profile);
        path::clean_below(&self.spelled, if named { profile.len() } else { 0 })
    }

    /// Who sent the visitor, as the link's author says; still encoded.
    pub(super) fn source_key(&self) -> Option<&str> {
        address::query_key(self.query.as_deref()?, &["utm_source", "ref", "source"])
    }

    /// The network that marked the address: the name of the key it adds says which, its value is not looked at.
    pub(super) fn marked_by(&self) -> Option<Listed> {
        address::pairs(self.query.as_deref()?).find_map(|(name, _)| list().click_id(name)).map(|id| id.listed)
    }

    /// How the link was spread, as its author says; still encoded.
    pub(super) fn medium_key(&self) -> Option<&str> {
        address::query_key(self.query.as_deref()?, &["utm_medium"])
    }

    /// Whether an ad network marked the address when its ad was clicked.
    pub(super) fn is_of_an_ad(&self) -> bool {
        let is_of_ad = |name: &str| list().click_id(name).is_some_and(|id| id.is_of_ad);
        let mut pairs = self.query.as_deref().map(address::pairs).into_iter().flatten();
        pairs.any(|(name, _)| is_of_ad(name) || address::is_key(name, BESIDE_A_CLICK_ID))
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
