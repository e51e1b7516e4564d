//! The demo's creators, who are fictitious. The tables may be changed freely; nothing else depends
//! on their values.

use super::creator::Source::{App, Direct, From, Somewhere, Tagged};
use super::creator::{Creator, Happening, Link, Page, Source, Surge};

const EVENINGS: [f64; 24] = [
    1.2, 0.6, 0.3, 0.2, 0.2, 0.4, 1.2, 2.6, 3.6, 4.0, 4.2, 4.6, 5.4, 5.2, 4.6, 4.4, 4.8, 5.4, 6.4, 7.6, 8.6, 8.2, 5.8,
    3.0,
];
const NIGHTS: [f64; 24] = [
    5.0, 3.6, 2.2, 1.2, 0.7, 0.5, 0.7, 1.6, 2.4, 3.0, 3.4, 3.8, 4.6, 4.6, 4.4, 4.6, 5.0, 5.4, 5.8, 6.4, 7.2, 8.0, 8.2,
    7.0,
];
const COMMUTES: [f64; 24] = [
    1.0, 0.6, 0.4, 0.3, 0.5, 1.6, 4.6, 8.0, 7.8, 5.2, 4.2, 4.2, 5.2, 4.6, 4.0, 4.2, 5.6, 8.2, 7.4, 5.2, 4.4, 4.0, 3.0,
    1.8,
];
const SHOPPING: [f64; 24] = [
    2.2, 1.0, 0.5, 0.4, 0.4, 0.7, 1.4, 2.4, 3.2, 4.2, 5.0, 5.4, 7.2, 5.6, 4.8, 4.8, 5.0, 5.4, 5.8, 6.8, 8.0, 8.8, 7.4,
    3.6,
];

const fn link(id: &'static str, pull: f64) -> Link {
    Link { id, pull, to: None }
}

const fn inside(id: &'static str, pull: f64, to: usize) -> Link {
    Link { id, pull, to: Some(to) }
}

const fn act(name: &'static str, likely: f64) -> Happening {
    Happening { name, likely, passive: false, worth: None }
}

const fn sale(name: &'static str, likely: f64, worth: f64) -> Happening {
    Happening { name, likely, passive: false, worth: Some(worth) }
}

const fn seen(name: &'static str, likely: f64) -> Happening {
    Happening { name, likely, passive: true, worth: None }
}

const fn once(before: i32, hour: i32, lift: f64, half: f64, source: Source, landing: usize) -> Surge {
    Surge { before, every: 0, hour, lift, half, source, landing }
}

pub(super) static CREATORS: [Creator; 5] = [
    Creator {
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
            (App("Instagram"), 34.0),
            (Direct, 23.0),
            (From("https://www.google.com/"), 10.0),
            (App("Pinterest"), 6.0),
            (From("https://www.pinterest.com/"), 4.0),
            (Tagged("utm_source=newsletter&utm_medium=email&utm_campaign=letters"), 7.0),
            (From("https://www.etsy.com/"), 3.0),
            (App("TikTok"), 3.0),
            (From("https://duckduckgo.com/"), 2.0),
            (From("https://chatgpt.com/"), 2.0),
            (From("https://www.perplexity.ai/"), 0.8),
            (From("https://bsky.app/"), 1.0),
            (Somewhere, 5.0),
        ],
        pages: &[
            Page {
                path: "",
                landing: 8.7,
                reading: 11.0,
                weight: 0.9,
                links: &[
                    inside("shop", 0.27, 1),
                    link("video", 0.11),
                    link("newsletter", 0.07),
                    link("recordings", 0.06),
                    link("workshop", 0.04),
                ],
                events: &[],
            },
            Page {
                path: "/shop",
                landing: 1.3,
                reading: 24.0,
                weight: 1.2,
                links: &[link("bowl", 0.21), link("cup", 0.16), inside("profile", 0.08, 0)],
                events: &[seen("scrolled_to_end", 0.4)],
            },
        ],
        surges: &[
            once(20, 18, 2.6, 16.0, Tagged("utm_source=newsletter&utm_medium=email&utm_campaign=autumn-kiln"), 1),
            once(20, 19, 1.4, 14.0, App("Instagram"), 0),
            once(12, 20, 4.5, 20.0, App("TikTok"), 0),
            once(54, 9, 1.6, 12.0, Tagged("utm_source=newsletter&utm_medium=email&utm_campaign=workshop-seats"), 0),
        ],
    },
    Creator {
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
            (App("TikTok"), 27.0),
            (App("Instagram"), 25.0),
            (Direct, 17.0),
            (From("https://www.google.com/"), 8.0),
            (From("https://www.youtube.com/"), 7.0),
            (From("https://open.spotify.com/"), 3.0),
            (App("X"), 2.0),
            (From("https://www.reddit.com/"), 3.0),
            (App("Snapchat"), 2.0),
            (Tagged("utm_source=newsletter&utm_medium=email&utm_campaign=tour-letter"), 3.0),
            (From("https://chatgpt.com/"), 0.7),
            (Somewhere, 4.0),
        ],
        pages: &[
            Page {
                path: "",
                landing: 7.6,
                reading: 8.0,
                weight: 1.1,
                links: &[
                    link("listen", 0.21),
                    inside("tour", 0.17, 1),
                    link("video", 0.09),
                    inside("music", 0.06, 2),
                    link("merch", 0.05),
                ],
                events: &[act("preview_played", 0.06)],
            },
            Page {
                path: "/tour",
                landing: 1.8,
                reading: 21.0,
                weight: 1.0,
                links: &[
                    link("tickets-brooklyn", 0.14),
                    link("tickets-chicago", 0.09),
                    link("tickets-toronto", 0.08),
                    link("tickets-london", 0.08),
                    link("tickets-berlin", 0.05),
                    inside("back", 0.05, 0),
                ],
                events: &[act("reminder_set", 0.03)],
            },
            Page {
                path: "/music",
                landing: 0.6,
                reading: 26.0,
                weight: 1.5,
                links: &[link("bandcamp", 0.16), link("vinyl", 0.1), inside("back", 0.06, 0)],
                events: &[act("preview_played", 0.35), act("download_lyrics", 0.04)],
            },
        ],
        surges: &[
            once(41, 12, 3.2, 18.0, App("Instagram"), 1),
            once(41, 12, 1.2, 30.0, Tagged("utm_source=newsletter&utm_medium=email&utm_campaign=tour-2nd-leg"), 1),
            once(23, 17, 6.0, 22.0, App("TikTok"), 0),
            once(6, 0, 2.2, 26.0, Tagged("utm_source=spotify&utm_medium=canvas&utm_campaign=night-ferry"), 2),
        ],
    },
    Creator {
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
            (From("https://www.google.com/"), 15.0),
            (From("https://podcasts.apple.com/"), 9.0),
            (From("https://open.spotify.com/"), 8.0),
            (Tagged("utm_source=newsletter&utm_medium=email&utm_campaign=field-notes"), 9.0),
            (From("https://mastodon.social/"), 5.0),
            (From("https://news.ycombinator.com/"), 2.0),
            (From("https://www.linkedin.com/"), 4.0),
            (From("https://bsky.app/"), 4.0),
            (From("https://chatgpt.com/"), 2.5),
            (From("https://claude.ai/"), 1.5),
            (From("https://www.perplexity.ai/"), 1.5),
            (From("https://www.bing.com/"), 3.0),
            (From("https://kagi.com/"), 1.0),
            (Somewhere, 8.0),
        ],
        pages: &[
            Page {
                path: "",
                landing: 5.8,
                reading: 14.0,
                weight: 0.8,
                links: &[
                    inside("latest", 0.3, 1),
                    link("apple-podcasts", 0.1),
                    link("spotify", 0.09),
                    link("overcast", 0.03),
                    link("rss", 0.03),
                    link("support", 0.02),
                ],
                events: &[],
            },
            Page {
                path: "/the-lighthouse-clock",
                landing: 2.9,
                reading: 48.0,
                weight: 0.9,
                links: &[inside("all", 0.1, 0), inside("previous", 0.12, 2), link("reading-list", 0.08)],
                events: &[act("play", 0.42), act("download_transcript", 0.06)],
            },
            Page {
                path: "/salt-roads",
                landing: 1.3,
                reading: 42.0,
                weight: 0.9,
                links: &[inside("all", 0.1, 0), link("reading-list", 0.07)],
                events: &[act("play", 0.36), act("download_transcript", 0.05)],
            },
        ],
        surges: &[
            Surge {
                before: 88,
                every: 7,
                hour: 6,
                lift: 1.5,
                half: 14.0,
                source: Tagged("utm_source=newsletter&utm_medium=email&utm_campaign=new-episode"),
                landing: 1,
            },
            once(29, 15, 5.5, 9.0, From("https://news.ycombinator.com/"), 2),
        ],
    },
    Creator {
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
            (App("Instagram"), 24.0),
            (From("https://www.google.com/"), 20.0),
            (Direct, 19.0),
            (App("LINE"), 10.0),
            (From("https://search.yahoo.co.jp/"), 8.0),
            (From("https://www.pinterest.com/"), 5.0),
            (App("X"), 4.0),
            (Tagged("utm_source=newsletter&utm_medium=email&utm_campaign=season-letter"), 4.0),
            (From("https://www.youtube.com/"), 2.0),
            (From("https://gemini.google.com/"), 1.5),
            (Somewhere, 4.0),
        ],
        pages: &[
            Page {
                path: "",
                landing: 5.2,
                reading: 10.0,
                weight: 1.2,
                links: &[inside("shop", 0.44, 1), inside("notebook", 0.14, 2), link("instagram", 0.04)],
                events: &[],
            },
            Page {
                path: "/shop",
                landing: 2.2,
                reading: 22.0,
                weight: 1.7,
                links: &[inside("notebook", 0.24, 2), inside("brush-pen", 0.2, 3), inside("home", 0.06, 0)],
                events: &[seen("scrolled_to_end", 0.3)],
            },
            Page {
                path: "/shop/notebook-a5",
                landing: 1.6,
                reading: 30.0,
                weight: 1.3,
                links: &[inside("basket", 0.17, 4), inside("shop", 0.12, 1)],
                events: &[act("add_to_basket", 0.2)],
            },
            Page {
                path: "/shop/brush-pen",
                landing: 1.0,
                reading: 27.0,
                weight: 1.3,
                links: &[inside("basket", 0.15, 4), inside("shop", 0.12, 1)],
                events: &[act("add_to_basket", 0.17)],
            },
            Page {
                path: "/basket",
                landing: 0.0,
                reading: 34.0,
                weight: 1.0,
                links: &[link("pay", 0.46), inside("shop", 0.14, 1)],
                events: &[sale("order", 0.44, 31.0)],
            },
        ],
        surges: &[
            once(47, 12, 1.8, 20.0, Tagged("utm_source=line&utm_medium=message&utm_campaign=ink-week"), 1),
            once(9, 20, 3.4, 24.0, Tagged("utm_source=instagram&utm_medium=story&utm_campaign=calendar-2027"), 1),
        ],
    },
    // Few visits, so that most days and most values stay below the reporting threshold.
    Creator {
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
            (From("https://www.google.com/"), 20.0),
            (App("Instagram"), 18.0),
            (Somewhere, 12.0),
        ],
        pages: &[Page {
            path: "",
            landing: 1.0,
            reading: 18.0,
            weight: 0.7,
            links: &[link("photographs", 0.25), link("e-mail", 0.08)],
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
                assert!(page.links.iter().map(|link| link.pull).sum::<f64>() < 0.95, "{} {}", creator.id, page.path);
                assert!(page.links.iter().all(|link| link.to.is_none_or(|to| to < creator.pages.len())));
            }
            assert!(creator.surges.iter().all(|surge| surge.landing < creator.pages.len()), "{}", creator.id);
        }
    }
}
