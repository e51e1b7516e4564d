//! The page of a hit, reduced to what is counted: host, path, and some values of the query.

use std::borrow::Cow;

use super::address::{self, UrlError};
use super::path;
use super::sources::{ListedSource, source_list};

/// Google Ads adds this key beside a click id; it names the product.
const AD_PRODUCT_KEY: &str = "gclsrc";

/// A page before cleaning. Deliberately without `Debug`: neither the path nor the values of the
/// query are cleaned yet.
pub struct PageUrl<'a> {
    host: Cow<'a, str>,
    normalized_path: Cow<'a, str>,
    query: Option<Cow<'a, str>>,
}

impl<'a> PageUrl<'a> {
    /// Parses the URL of a page.
    ///
    /// # Errors
    ///
    /// The URL cannot be counted; the reason does not quote it.
    pub fn parse(url: &'a str) -> Result<PageUrl<'a>, UrlError> {
        let parts = address::split_url(url)?;
        Ok(PageUrl {
            host: parts.host,
            normalized_path: path::normalize_path(parts.path),
            query: parts.query,
        })
    }

    /// In lower case, without port and trailing dot.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The normalised path, for looking up the site. It may contain personal data: never store or
    /// print it.
    pub fn lookup_path(&self) -> &str {
        &self.normalized_path
    }

    /// The cleaned path: without query, fragment and personal data, at most 512 bytes. `profile` is
    /// the prefix of the path that names the site (`/u/mia`, or `/` if the whole host is one site);
    /// it is public and kept unchanged.
    pub fn clean_path_below(&self, profile: &str) -> Cow<'_, str> {
        let named = profile != "/" && self.normalized_path.starts_with(profile);
        path::clean_path_after(&self.normalized_path, if named { profile.len() } else { 0 })
    }

    /// The source that the link's author specified; still encoded.
    pub(super) fn source_tag(&self) -> Option<&str> {
        address::find_query_value(self.query.as_deref()?, &["utm_source", "ref", "source"])
    }

    /// The network that added a click id to the link. The name of the key identifies the network;
    /// its value is ignored.
    pub(super) fn click_id_network(&self) -> Option<ListedSource> {
        address::query_pairs(self.query.as_deref()?)
            .find_map(|(name, _)| source_list().find_click_id(name))
            .map(|id| id.listed)
    }

    /// The medium that the link's author specified; still encoded.
    pub(super) fn medium_tag(&self) -> Option<&str> {
        address::find_query_value(self.query.as_deref()?, &["utm_medium"])
    }

    /// Whether an ad network added the id of an ad click to the link.
    pub(super) fn is_ad_click(&self) -> bool {
        let is_of_ad = |name: &str| {
            source_list()
                .find_click_id(name)
                .is_some_and(|id| id.is_of_ad)
        };
        let mut pairs = self
            .query
            .as_deref()
            .map(address::query_pairs)
            .into_iter()
            .flatten();
        pairs.any(|(name, _)| is_of_ad(name) || address::matches_query_key(name, AD_PRODUCT_KEY))
    }

    /// The campaign that the link's author specified; still encoded.
    pub(super) fn campaign_tag(&self) -> Option<&str> {
        address::find_query_value(self.query.as_deref()?, &["utm_campaign"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_page_is_host_path_and_two_keys() {
        let page = PageUrl::parse(
            "https://AllLinks.example:443/u/mia//shop/?x=1&utm_campaign=Tour&ref=fern#top",
        )
        .unwrap();
        assert_eq!(
            (page.host(), &*page.clean_path_below("/")),
            ("alllinks.example", "/u/mia/shop")
        );
        assert_eq!(
            (page.source_tag(), page.campaign_tag()),
            (Some("fern"), Some("Tour"))
        );
    }

    #[test]
    fn an_ordinary_page_is_borrowed() {
        let page = PageUrl::parse("https://alllinks.example/u/mia").unwrap();
        assert!(matches!(
            (&page.host, page.clean_path_below("/")),
            (Cow::Borrowed(_), Cow::Borrowed(_))
        ));
    }

    proptest! {
        #[test]
        fn no_page_holds_a_query_or_a_mailbox(url in "https?://[a-z.]{1,10}.{0,100}") {
            if let Ok(page) = PageUrl::parse(&url) {
                let path = page.clean_path_below("/");
                prop_assert!(path.len() <= 512 && !path.contains(['?', '#']));
                prop_assert!(!path::contains_mailbox(&path));
            }
        }
    }
}
