//! The channel of a visit: the category of its source, such as search or social.
//!
//! A closed list. Signs of paid traffic decide first (a paid medium, an ad's click id, a source
//! that is an ad network), then the medium that the link's author specified, then the group of the
//! source.

use super::page::PageUrl;
use super::source::{VisitSource, is_own_referrer};
use super::sources::{ListedSource, SourceGroup, source_list};
use super::text::clean_query_value;

string_enum! {
    /// The category of a visit's source.
    pub enum Channel {
        Direct = "direct",
        Search = "search",
        Social = "social",
        Messenger = "messenger",
        Assistant = "AI assistant",
        Mail = "mail",
        Video = "video",
        Paid = "paid",
        Referral = "referral",
        Own = "own",
    }
}

/// A longer medium matches none of the known ones.
const MAX_MEDIUM_CHARS: usize = 40;

impl Channel {
    /// The channel of a visit that starts on `page` with this referrer. `source` is the result of
    /// [`VisitSource::from_visit`] for them.
    pub fn from_visit(page: &PageUrl<'_>, referrer: &str, source: &VisitSource) -> Channel {
        let medium = page
            .medium_tag()
            .and_then(|encoded| clean_query_value(encoded, MAX_MEDIUM_CHARS));
        let medium = medium.as_deref().map(strip_separators);
        let medium = medium.as_deref();
        if page.is_ad_click() || medium.is_some_and(is_paid_medium) {
            return Channel::Paid;
        }
        medium
            .and_then(channel_of_medium)
            .unwrap_or_else(|| channel_of_source(page, referrer, source))
    }
}

fn channel_of_source(page: &PageUrl<'_>, referrer: &str, source: &VisitSource) -> Channel {
    match source {
        VisitSource::Direct if is_own_referrer(page, referrer) => Channel::Own,
        VisitSource::Direct => Channel::Direct,
        VisitSource::Other => Channel::Referral,
        VisitSource::Listed(listed) => channel_of_listed(*listed),
        // The tag may be a medium (`utm_source=newsletter`), or it is a host.
        VisitSource::Text(text) => {
            let word = strip_separators(text);
            if is_paid_medium(&word) {
                Channel::Paid
            } else {
                channel_of_medium(&word).unwrap_or(Channel::Referral)
            }
        }
    }
}

fn channel_of_listed(listed: ListedSource) -> Channel {
    match listed.group() {
        SourceGroup::Search => Channel::Search,
        SourceGroup::Social => Channel::Social,
        SourceGroup::Assistant => Channel::Assistant,
        SourceGroup::Mail => Channel::Mail,
        SourceGroup::Messenger => Channel::Messenger,
        SourceGroup::Video => Channel::Video,
        SourceGroup::Ads => Channel::Paid,
        SourceGroup::Music
        | SourceGroup::News
        | SourceGroup::Shop
        | SourceGroup::Work
        | SourceGroup::Links => Channel::Referral,
    }
}

/// Removes separators, so that `paid-social`, `Paid Social` and `paid_social` are one word.
fn strip_separators(medium: &str) -> String {
    medium
        .chars()
        .filter(|c| !matches!(c, '-' | '_' | ' ' | '.'))
        .collect()
}

fn is_paid_medium(medium: &str) -> bool {
    const PAID_MEDIA: [&str; 20] = [
        "ad",
        "ads",
        "advert",
        "advertising",
        "banner",
        "banners",
        "boosted",
        "display",
        "interstitial",
        "native",
        "nativeads",
        "popup",
        "ppc",
        "programmatic",
        "promoted",
        "remarketing",
        "retargeting",
        "sem",
        "sponsored",
        "sponsorship",
    ];
    // Cost per action, click, install, lead, mille and view.
    let cost = matches!(medium.as_bytes(), [b'c', b'p', b'a' | b'c' | b'i' | b'l' | b'm' | b'v', ..] if medium.len() <= 4);
    // `fbads`, `tiktok_ads`: the ads of a listed source.
    let of_listed = medium
        .strip_suffix("ads")
        .is_some_and(|name| source_list().find_by_tag(name).is_some());
    cost || of_listed || medium.starts_with("paid") || PAID_MEDIA.contains(&medium)
}

fn channel_of_medium(medium: &str) -> Option<Channel> {
    Some(match medium {
        "email" | "mail" | "emailing" | "newsletter" | "newsletters" | "edm" => Channel::Mail,
        "social" | "socialmedia" | "socialnetwork" | "organicsocial" | "socialorganic" | "sm"
        | "smm" => Channel::Social,
        "organic" | "search" | "organicsearch" | "seo" => Channel::Search,
        "messenger" | "messaging" | "chat" | "sms" | "im" | "dm" => Channel::Messenger,
        "video" | "organicvideo" => Channel::Video,
        "ai" | "aiassistant" | "assistant" | "chatbot" | "llm" => Channel::Assistant,
        "referral" | "referrer" | "link" | "website" | "affiliate" | "affiliates" | "partner" => {
            Channel::Referral
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(query: &str, referrer: &str, app: Option<&str>) -> &'static str {
        let url = format!("https://alllinks.example/u/mia?{query}");
        let page = PageUrl::parse(&url).unwrap();
        let source = VisitSource::from_visit(
            &page,
            referrer,
            app.and_then(|token| source_list().find_by_agent(token)),
        );
        Channel::from_visit(&page, referrer, &source).name()
    }

    #[test]
    fn the_group_of_the_source_is_the_channel() {
        for (referrer, expected) in [
            ("", "direct"),
            ("https://alllinks.example/u/tom", "own"),
            ("https://www.alllinks.example/", "own"),
            ("https://www.google.de/", "search"),
            ("https://l.instagram.com/", "social"),
            ("https://l.wl.co/x", "messenger"),
            ("https://chatgpt.com/", "AI assistant"),
            ("https://urldefense.com/v3/x", "mail"),
            ("https://mail.google.com/", "mail"),
            ("https://youtu.be/x", "video"),
            ("https://googleads.g.doubleclick.net/x", "paid"),
            ("https://open.spotify.com/", "referral"),
            ("https://fern-blog.example/", "referral"),
            ("https://192.168.1.17/", "referral"),
            ("android-app://org.example.private/", "referral"),
            ("android-app://com.google.android.gm/", "mail"),
            ("about:blank", "direct"),
        ] {
            assert_eq!(channel("", referrer, None), expected, "{referrer}");
        }
        assert_eq!(channel("", "", Some("MetaIAB Threads")), "social");
        assert_eq!(channel("", "", Some("[WAiOS/2.25]")), "messenger");
    }

    #[test]
    fn a_medium_wins_over_the_source_and_money_over_all() {
        for (query, referrer, expected) in [
            ("utm_medium=email", "", "mail"),
            ("utm_medium=E-Mail&utm_source=facebook", "", "mail"),
            ("utm_source=newsletter", "", "mail"),
            ("utm_source=mail&utm_campaign=x", "", "mail"),
            ("utm_source=harbor-letter", "https://t.co/x", "referral"),
            ("utm_source=ig", "", "social"),
            ("utm_source=ig&utm_medium=bio", "", "social"),
            (
                "utm_source=ig&utm_medium=story",
                "https://www.google.com/",
                "social",
            ),
            ("utm_medium=paid-social&utm_source=ig", "", "paid"),
            ("utm_medium=Paid%20Social", "", "paid"),
            ("utm_medium=cpc", "https://www.google.com/", "paid"),
            ("utm_medium=CPM", "", "paid"),
            ("utm_medium=cpanel", "https://www.google.com/", "search"),
            ("utm_medium=social&gclid=1", "", "paid"),
            ("gclid=1", "https://www.google.com/", "paid"),
            ("msclkid=1", "https://www.bing.com/", "paid"),
            ("ttclid=1", "", "paid"),
            ("fbclid=1", "https://l.facebook.com/", "social"),
            ("gclid=", "https://www.google.com/", "search"),
            ("utm_source=google_ads", "", "paid"),
            ("utm_source=fb-ads", "", "paid"),
            ("utm_source=downloads", "", "referral"),
            ("utm_source=threads", "", "social"),
            ("utm_medium=organic", "https://fern-blog.example/", "search"),
            ("utm_medium=sms", "", "messenger"),
            ("utm_medium=llm", "", "AI assistant"),
            ("utm_medium=affiliate&utm_source=fern", "", "referral"),
            ("utm_medium=ann%40mail.example", "", "direct"),
            ("utm_medium=whatever", "", "direct"),
        ] {
            assert_eq!(
                channel(query, referrer, None),
                expected,
                "{query} {referrer}"
            );
        }
    }
}
