//! The demo's creators, who are fictitious. The tables may be changed freely; nothing else depends
//! on their values.

use super::creator_profile::TrafficSource::{
    Direct, InAppBrowser, RandomWebsite, Referrer, UtmTagged,
};
use super::creator_profile::{
    CreatorProfile, PageEvent, PageLink, ProfilePage, TrafficSource, TrafficSurge,
};

const EVENINGS: [f64; 24] = [
    1.2, 0.6, 0.3, 0.2, 0.2, 0.4, 1.2, 2.6, 3.6, 4.0, 4.2, 4.6, 5.4, 5.2, 4.6, 4.4, 4.8, 5.4, 6.4,
    7.6, 8.6, 8.2, 5.8, 3.0,
];
const NIGHTS: [f64; 24] = [
    5.0, 3.6, 2.2, 1.2, 0.7, 0.5, 0.7, 1.6, 2.4, 3.0, 3.4, 3.8, 4.6, 4.6, 4.4, 4.6, 5.0, 5.4, 5.8,
    6.4, 7.2, 8.0, 8.2, 7.0,
];
const COMMUTES: [f64; 24] = [
    1.0, 0.6, 0.4, 0.3, 0.5, 1.6, 4.6, 8.0, 7.8, 5.2, 4.2, 4.2, 5.2, 4.6, 4.0, 4.2, 5.6, 8.2, 7.4,
    5.2, 4.4, 4.0, 3.0, 1.8,
];
const SHOPPING: [f64; 24] = [
    2.2, 1.0, 0.5, 0.4, 0.4, 0.7, 1.4, 2.4, 3.2, 4.2, 5.0, 5.4, 7.2, 5.6, 4.8, 4.8, 5.0, 5.4, 5.8,
    6.8, 8.0, 8.8, 7.4, 3.6,
];

const fn external_link(id: &'static str, pull: f64) -> PageLink {
    PageLink {
        id,
        click_probability: pull,
        target_page: None,
    }
}

const fn internal_link(id: &'static str, pull: f64, to: usize) -> PageLink {
    PageLink {
        id,
        click_probability: pull,
        target_page: Some(to),
    }
}

const fn visitor_event(name: &'static str, likely: f64) -> PageEvent {
    PageEvent {
        name,
        probability: likely,
        passive: false,
        median_euros: None,
    }
}

const fn sale_event(name: &'static str, likely: f64, worth: f64) -> PageEvent {
    PageEvent {
        name,
        probability: likely,
        passive: false,
        median_euros: Some(worth),
    }
}

const fn passive_event(name: &'static str, likely: f64) -> PageEvent {
    PageEvent {
        name,
        probability: likely,
        passive: true,
        median_euros: None,
    }
}

const fn single_surge(
    before: i32,
    hour: i32,
    lift: f64,
    half: f64,
    source: TrafficSource,
    landing: usize,
) -> TrafficSurge {
    TrafficSurge {
        days_before: before,
        repeat_days: 0,
        hour,
        peak_factor: lift,
        half_life_hours: half,
        source,
        landing,
    }
}

pub(super) static CREATORS: [CreatorProfile; 5] = [
    CreatorProfile {
        id: "demo",
        about: "Mara Lindt, stoneware",
        visits: 260.0,
        growth: 0.35,
        hours: &EVENINGS,
        week: [0.95, 0.9, 0.92, 1.0, 1.02, 1.1, 1.25],
        phones: 0.62,
        countries: &[
            ("DE", 46.0),
            ("AT", 8.0),
            ("CH", 7.0),
            ("GB", 7.0),
            ("US", 7.0),
            ("NL", 5.0),
            ("FR", 5.0),
            ("DK", 3.0),
            ("SE", 3.0),
            ("IT", 3.0),
            ("JP", 2.0),
            ("PL", 2.0),
            ("AU", 1.0),
            ("PT", 1.0),
        ],
        sources: &[
            (InAppBrowser("Instagram"), 34.0),
            (Direct, 23.0),
            (Referrer("https://www.google.com/"), 10.0),
            (InAppBrowser("Pinterest"), 6.0),
            (Referrer("https://www.pinterest.com/"), 4.0),
            (
                UtmTagged("utm_source=newsletter&utm_medium=email&utm_campaign=letters"),
                7.0,
            ),
            (Referrer("https://www.etsy.com/"), 3.0),
            (InAppBrowser("TikTok"), 3.0),
            (Referrer("https://duckduckgo.com/"), 2.0),
            (Referrer("https://chatgpt.com/"), 2.0),
            (Referrer("https://www.perplexity.ai/"), 0.8),
            (Referrer("https://bsky.app/"), 1.0),
            (RandomWebsite, 5.0),
        ],
        pages: &[
            ProfilePage {
                path: "",
                landing: 8.7,
                reading_secs: 11.0,
                load_factor: 0.9,
                links: &[
                    internal_link("shop", 0.27, 1),
                    external_link("video", 0.11),
                    external_link("newsletter", 0.07),
                    external_link("recordings", 0.06),
                    external_link("workshop", 0.04),
                ],
                events: &[],
            },
            ProfilePage {
                path: "/shop",
                landing: 1.3,
                reading_secs: 24.0,
                load_factor: 1.2,
                links: &[
                    external_link("bowl", 0.21),
                    external_link("cup", 0.16),
                    internal_link("profile", 0.08, 0),
                ],
                events: &[passive_event("scrolled_to_end", 0.4)],
            },
        ],
        surges: &[
            single_surge(
                20,
                18,
                2.6,
                16.0,
                UtmTagged("utm_source=newsletter&utm_medium=email&utm_campaign=autumn-kiln"),
                1,
            ),
            single_surge(20, 19, 1.4, 14.0, InAppBrowser("Instagram"), 0),
            single_surge(12, 20, 4.5, 20.0, InAppBrowser("TikTok"), 0),
            single_surge(
                54,
                9,
                1.6,
                12.0,
                UtmTagged("utm_source=newsletter&utm_medium=email&utm_campaign=workshop-seats"),
                0,
            ),
        ],
    },
    CreatorProfile {
        id: "noravale",
        about: "Nora Vale, songs, on tour",
        visits: 700.0,
        growth: 0.3,
        hours: &NIGHTS,
        week: [0.9, 0.88, 0.92, 1.0, 1.2, 1.15, 1.0],
        phones: 0.78,
        countries: &[
            ("US", 48.0),
            ("GB", 11.0),
            ("CA", 9.0),
            ("DE", 6.0),
            ("BR", 5.0),
            ("MX", 5.0),
            ("AU", 4.0),
            ("FR", 3.0),
            ("NL", 2.0),
            ("IE", 2.0),
            ("ES", 2.0),
            ("SE", 1.0),
            ("PH", 1.0),
            ("JP", 1.0),
        ],
        sources: &[
            (InAppBrowser("TikTok"), 27.0),
            (InAppBrowser("Instagram"), 25.0),
            (Direct, 17.0),
            (Referrer("https://www.google.com/"), 8.0),
            (Referrer("https://www.youtube.com/"), 7.0),
            (Referrer("https://open.spotify.com/"), 3.0),
            (InAppBrowser("X"), 2.0),
            (Referrer("https://www.reddit.com/"), 3.0),
            (InAppBrowser("Snapchat"), 2.0),
            (
                UtmTagged("utm_source=newsletter&utm_medium=email&utm_campaign=tour-letter"),
                3.0,
            ),
            (Referrer("https://chatgpt.com/"), 0.7),
            (RandomWebsite, 4.0),
        ],
        pages: &[
            ProfilePage {
                path: "",
                landing: 7.6,
                reading_secs: 8.0,
                load_factor: 1.1,
                links: &[
                    external_link("listen", 0.21),
                    internal_link("tour", 0.17, 1),
                    external_link("video", 0.09),
                    internal_link("music", 0.06, 2),
                    external_link("merch", 0.05),
                ],
                events: &[visitor_event("preview_played", 0.06)],
            },
            ProfilePage {
                path: "/tour",
                landing: 1.8,
                reading_secs: 21.0,
                load_factor: 1.0,
                links: &[
                    external_link("tickets-brooklyn", 0.14),
                    external_link("tickets-chicago", 0.09),
                    external_link("tickets-toronto", 0.08),
                    external_link("tickets-london", 0.08),
                    external_link("tickets-berlin", 0.05),
                    internal_link("back", 0.05, 0),
                ],
                events: &[visitor_event("reminder_set", 0.03)],
            },
            ProfilePage {
                path: "/music",
                landing: 0.6,
                reading_secs: 26.0,
                load_factor: 1.5,
                links: &[
                    external_link("bandcamp", 0.16),
                    external_link("vinyl", 0.1),
                    internal_link("back", 0.06, 0),
                ],
                events: &[
                    visitor_event("preview_played", 0.35),
                    visitor_event("download_lyrics", 0.04),
                ],
            },
        ],
        surges: &[
            single_surge(41, 12, 3.2, 18.0, InAppBrowser("Instagram"), 1),
            single_surge(
                41,
                12,
                1.2,
                30.0,
                UtmTagged("utm_source=newsletter&utm_medium=email&utm_campaign=tour-2nd-leg"),
                1,
            ),
            single_surge(23, 17, 6.0, 22.0, InAppBrowser("TikTok"), 0),
            single_surge(
                6,
                0,
                2.2,
                26.0,
                UtmTagged("utm_source=spotify&utm_medium=canvas&utm_campaign=night-ferry"),
                2,
            ),
        ],
    },
    CreatorProfile {
        id: "slowsignal",
        about: "Slow Signal, a podcast",
        visits: 240.0,
        growth: 0.18,
        hours: &COMMUTES,
        week: [1.05, 1.05, 1.0, 1.15, 1.0, 0.7, 0.75],
        phones: 0.5,
        countries: &[
            ("GB", 44.0),
            ("US", 21.0),
            ("IE", 6.0),
            ("DE", 5.0),
            ("CA", 5.0),
            ("AU", 5.0),
            ("NL", 3.0),
            ("IN", 3.0),
            ("SE", 2.0),
            ("FR", 2.0),
            ("NO", 1.0),
            ("PL", 1.0),
        ],
        sources: &[
            (Direct, 29.0),
            (Referrer("https://www.google.com/"), 15.0),
            (Referrer("https://podcasts.apple.com/"), 9.0),
            (Referrer("https://open.spotify.com/"), 8.0),
            (
                UtmTagged("utm_source=newsletter&utm_medium=email&utm_campaign=field-notes"),
                9.0,
            ),
            (Referrer("https://mastodon.social/"), 5.0),
            (Referrer("https://news.ycombinator.com/"), 2.0),
            (Referrer("https://www.linkedin.com/"), 4.0),
            (Referrer("https://bsky.app/"), 4.0),
            (Referrer("https://chatgpt.com/"), 2.5),
            (Referrer("https://claude.ai/"), 1.5),
            (Referrer("https://www.perplexity.ai/"), 1.5),
            (Referrer("https://www.bing.com/"), 3.0),
            (Referrer("https://kagi.com/"), 1.0),
            (RandomWebsite, 8.0),
        ],
        pages: &[
            ProfilePage {
                path: "",
                landing: 5.8,
                reading_secs: 14.0,
                load_factor: 0.8,
                links: &[
                    internal_link("latest", 0.3, 1),
                    external_link("apple-podcasts", 0.1),
                    external_link("spotify", 0.09),
                    external_link("overcast", 0.03),
                    external_link("rss", 0.03),
                    external_link("support", 0.02),
                ],
                events: &[],
            },
            ProfilePage {
                path: "/the-lighthouse-clock",
                landing: 2.9,
                reading_secs: 48.0,
                load_factor: 0.9,
                links: &[
                    internal_link("all", 0.1, 0),
                    internal_link("previous", 0.12, 2),
                    external_link("reading-list", 0.08),
                ],
                events: &[
                    visitor_event("play", 0.42),
                    visitor_event("download_transcript", 0.06),
                ],
            },
            ProfilePage {
                path: "/salt-roads",
                landing: 1.3,
                reading_secs: 42.0,
                load_factor: 0.9,
                links: &[
                    internal_link("all", 0.1, 0),
                    external_link("reading-list", 0.07),
                ],
                events: &[
                    visitor_event("play", 0.36),
                    visitor_event("download_transcript", 0.05),
                ],
            },
        ],
        surges: &[
            TrafficSurge {
                days_before: 88,
                repeat_days: 7,
                hour: 6,
                peak_factor: 1.5,
                half_life_hours: 14.0,
                source: UtmTagged(
                    "utm_source=newsletter&utm_medium=email&utm_campaign=new-episode",
                ),
                landing: 1,
            },
            single_surge(
                29,
                15,
                5.5,
                9.0,
                Referrer("https://news.ycombinator.com/"),
                2,
            ),
        ],
    },
    CreatorProfile {
        id: "kumo",
        about: "Kumo, paper and ink, a shop",
        visits: 320.0,
        growth: 0.4,
        hours: &SHOPPING,
        week: [0.95, 0.92, 0.95, 0.98, 1.05, 1.2, 1.22],
        phones: 0.58,
        countries: &[
            ("JP", 55.0),
            ("DE", 9.0),
            ("FR", 8.0),
            ("US", 7.0),
            ("TW", 5.0),
            ("KR", 4.0),
            ("IT", 3.0),
            ("ES", 3.0),
            ("NL", 2.0),
            ("AT", 2.0),
            ("SG", 1.0),
            ("GB", 1.0),
        ],
        sources: &[
            (InAppBrowser("Instagram"), 24.0),
            (Referrer("https://www.google.com/"), 20.0),
            (Direct, 19.0),
            (InAppBrowser("LINE"), 10.0),
            (Referrer("https://search.yahoo.co.jp/"), 8.0),
            (Referrer("https://www.pinterest.com/"), 5.0),
            (InAppBrowser("X"), 4.0),
            (
                UtmTagged("utm_source=newsletter&utm_medium=email&utm_campaign=season-letter"),
                4.0,
            ),
            (Referrer("https://www.youtube.com/"), 2.0),
            (Referrer("https://gemini.google.com/"), 1.5),
            (RandomWebsite, 4.0),
        ],
        pages: &[
            ProfilePage {
                path: "",
                landing: 5.2,
                reading_secs: 10.0,
                load_factor: 1.2,
                links: &[
                    internal_link("shop", 0.44, 1),
                    internal_link("notebook", 0.14, 2),
                    external_link("instagram", 0.04),
                ],
                events: &[],
            },
            ProfilePage {
                path: "/shop",
                landing: 2.2,
                reading_secs: 22.0,
                load_factor: 1.7,
                links: &[
                    internal_link("notebook", 0.24, 2),
                    internal_link("brush-pen", 0.2, 3),
                    internal_link("home", 0.06, 0),
                ],
                events: &[passive_event("scrolled_to_end", 0.3)],
            },
            ProfilePage {
                path: "/shop/notebook-a5",
                landing: 1.6,
                reading_secs: 30.0,
                load_factor: 1.3,
                links: &[
                    internal_link("basket", 0.17, 4),
                    internal_link("shop", 0.12, 1),
                ],
                events: &[visitor_event("add_to_basket", 0.2)],
            },
            ProfilePage {
                path: "/shop/brush-pen",
                landing: 1.0,
                reading_secs: 27.0,
                load_factor: 1.3,
                links: &[
                    internal_link("basket", 0.15, 4),
                    internal_link("shop", 0.12, 1),
                ],
                events: &[visitor_event("add_to_basket", 0.17)],
            },
            ProfilePage {
                path: "/basket",
                landing: 0.0,
                reading_secs: 34.0,
                load_factor: 1.0,
                links: &[external_link("pay", 0.46), internal_link("shop", 0.14, 1)],
                events: &[sale_event("order", 0.44, 31.0)],
            },
        ],
        surges: &[
            single_surge(
                47,
                12,
                1.8,
                20.0,
                UtmTagged("utm_source=line&utm_medium=message&utm_campaign=ink-week"),
                1,
            ),
            single_surge(
                9,
                20,
                3.4,
                24.0,
                UtmTagged("utm_source=instagram&utm_medium=story&utm_campaign=calendar-2027"),
                1,
            ),
        ],
    },
    // Few visits, so that most days and most values stay below the reporting threshold.
    CreatorProfile {
        id: "ivo",
        about: "Ivo, birds, now and then",
        visits: 2.4,
        growth: 0.1,
        hours: &EVENINGS,
        week: [1.0, 0.9, 0.9, 1.0, 1.0, 1.1, 1.3],
        phones: 0.5,
        countries: &[("PT", 72.0), ("BR", 10.0), ("ES", 9.0), ("GB", 9.0)],
        sources: &[
            (Direct, 50.0),
            (Referrer("https://www.google.com/"), 20.0),
            (InAppBrowser("Instagram"), 18.0),
            (RandomWebsite, 12.0),
        ],
        pages: &[ProfilePage {
            path: "",
            landing: 1.0,
            reading_secs: 18.0,
            load_factor: 0.7,
            links: &[
                external_link("photographs", 0.25),
                external_link("e-mail", 0.08),
            ],
            events: &[],
        }],
        surges: &[],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulls_leave_room_for_nobody_following_and_links_lead_to_pages_that_are_there() {
        for creator in &CREATORS {
            for page in creator.pages {
                assert!(
                    page.links
                        .iter()
                        .map(|link| link.click_probability)
                        .sum::<f64>()
                        < 0.95,
                    "{} {}",
                    creator.id,
                    page.path
                );
                assert!(
                    page.links
                        .iter()
                        .all(|link| link.target_page.is_none_or(|to| to < creator.pages.len()))
                );
            }
            assert!(
                creator
                    .surges
                    .iter()
                    .all(|surge| surge.landing < creator.pages.len()),
                "{}",
                creator.id
            );
        }
    }
}
