//! The visit cookies that a response sets or deletes (`visitor.mode = "flag_cookie"`).
//!
//! A visit cookie belongs to the path of a site. A body can have hits of several sites, so a
//! response can have a cookie for each of them.

use actix_web::HttpResponseBuilder;
use actix_web::http::header::SET_COOKIE;

use crate::event::{ResolvedSite, SiteId};

/// Separates cookies in the reply of another collector. It is valid in a header value and occurs in
/// no path. A collector of an older version makes one header of the reply, and a browser keeps its
/// last path.
const SEPARATOR: &str = "\t";

/// The `Set-Cookie` values of a response, at most one for each path.
#[derive(Default)]
pub(super) struct VisitCookies {
    values: Vec<String>,
    /// The sites whose cookies [`VisitCookies::set`] added. A site with an alias has two paths.
    sites: Vec<SiteId>,
}

impl VisitCookies {
    /// Sets the cookie of a site. Returns whether the site has a new visitor: `false` if the
    /// visitor was counted with an earlier hit of the request, or the browser would have sent an
    /// earlier hit's cookie.
    ///
    /// `prefix` is the `Set-Cookie` value up to its path.
    pub(super) fn set(&mut self, prefix: &str, site: ResolvedSite<'_>) -> bool {
        let sets = |cookie: &String| {
            cookie
                .strip_prefix(prefix)
                .is_some_and(|set| covers(set, site.path))
        };
        if self.values.iter().any(sets) {
            return false;
        }
        self.values.push(format!("{prefix}{}", site.path));

        let is_new = !self.sites.contains(&site.id);
        self.sites.push(site.id);
        is_new
    }

    /// Adds a complete value unless it is there.
    pub(super) fn add(&mut self, cookie: String) {
        if !self.values.contains(&cookie) {
            self.values.push(cookie);
        }
    }

    /// Adds the cookies of other hits of the request.
    pub(super) fn extend(&mut self, others: VisitCookies) {
        others
            .values
            .into_iter()
            .for_each(|cookie| self.add(cookie));
    }

    pub(super) fn add_to_response(self, answer: &mut HttpResponseBuilder) {
        for cookie in self.values {
            answer.append_header((SET_COOKIE, cookie));
        }
    }

    /// The text of a reply to another collector; empty without cookies.
    pub(super) fn to_reply(&self) -> String {
        self.values.join(SEPARATOR)
    }

    pub(super) fn from_reply(text: &str) -> VisitCookies {
        let cookies = text.split(SEPARATOR).filter(|cookie| !cookie.is_empty());
        VisitCookies {
            values: cookies.map(str::to_owned).collect(),
            sites: Vec::new(),
        }
    }
}

/// Whether a browser sends a cookie of the path `set` below `path` too (RFC 6265, section 5.1.4).
fn covers(set: &str, path: &str) -> bool {
    path.strip_prefix(set)
        .is_some_and(|rest| rest.is_empty() || set.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::ZoneId;

    const PREFIX: &str = "ff_visit=1; Path=";

    fn site(id: u128, path: &str) -> ResolvedSite<'_> {
        ResolvedSite {
            id: SiteId::from_u128(id),
            zone: ZoneId(0),
            path,
        }
    }

    #[test]
    fn a_site_is_new_once_and_so_is_what_its_cookie_covers() {
        let mut cookies = VisitCookies::default();
        for (id, path, is_new) in [
            (1, "/u/mia", true),
            (1, "/u/mia", false),
            (2, "/u/mia/shop", false),
            (3, "/u/miami", true),
            (4, "/u/m", true),
            (1, "/u/her-former-name", false),
            (5, "/", true),
            (6, "/u/tom", false),
        ] {
            assert_eq!(cookies.set(PREFIX, site(id, path)), is_new, "{path}");
        }
        let paths = ["/u/mia", "/u/miami", "/u/m", "/u/her-former-name", "/"];
        let values = paths.map(|path| format!("{PREFIX}{path}"));
        assert_eq!(cookies.values, values);
    }

    #[test]
    fn the_cookies_of_a_reply_are_those_that_were_written_once_each() {
        let mut cookies = VisitCookies::default();
        let none = VisitCookies::from_reply(&cookies.to_reply());
        assert!(none.values.is_empty());
        cookies.set(PREFIX, site(1, "/u/mia"));
        assert_eq!(cookies.to_reply(), "ff_visit=1; Path=/u/mia");
        cookies.add("ff_visit=; Max-Age=0; Path=/u/tom".to_owned());

        let read = VisitCookies::from_reply(&cookies.to_reply());
        assert_eq!(read.values, cookies.values);
        cookies.extend(read);
        assert_eq!(cookies.values.len(), 2);
    }
}
