//! The only table of what a visitor's browser sends and the values it must be counted as.
//!
//! Nothing here is parsed: the right-hand column is the truth by definition. If the product spells
//! a value differently, and rightly so, this is the only place to change.

pub struct Agent {
    pub header: &'static str,
    pub browser: &'static str,
    pub os: &'static str,
    pub device: &'static str,
    /// For in-app browsers: the source of a visit without other information.
    pub app: Option<&'static str>,
}

const fn agent(
    header: &'static str,
    browser: &'static str,
    os: &'static str,
    device: &'static str,
) -> Agent {
    Agent {
        header,
        browser,
        os,
        device,
        app: None,
    }
}

/// Picked at random; the first ones more often than the last.
pub const AGENTS: [Agent; 14] = [
    agent(
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 \
         Mobile/15E148 Safari/604.1",
        "Safari",
        "iOS",
        "phone",
    ),
    agent(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36",
        "Chrome",
        "Windows",
        "desktop",
    ),
    agent(
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Mobile Safari/537.36",
        "Chrome",
        "Android",
        "phone",
    ),
    Agent {
        header: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Mobile/15E148 Instagram 370.0.0.26.84 (iPhone15,2; iOS 18_3; en_US; en; scale=3.00; 1179x2556; 700000000)",
        browser: "Instagram",
        os: "iOS",
        device: "phone",
        app: Some("Instagram"),
    },
    agent(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Safari/537.36",
        "Chrome",
        "Windows",
        "desktop",
    ),
    agent(
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 \
         Safari/605.1.15",
        "Safari",
        "macOS",
        "desktop",
    ),
    agent(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36 \
         Edg/134.0.0.0",
        "Edge",
        "Windows",
        "desktop",
    ),
    agent(
        "Mozilla/5.0 (X11; Linux x86_64; rv:136.0) Gecko/20100101 Firefox/136.0",
        "Firefox",
        "Linux",
        "desktop",
    ),
    agent(
        "Mozilla/5.0 (Linux; Android 14; SM-X710) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/27.0 \
         Chrome/125.0.0.0 Safari/537.36",
        "Samsung Internet",
        "Android",
        "tablet",
    ),
    agent(
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 \
         Safari/537.36",
        "Chrome",
        "macOS",
        "desktop",
    ),
    agent(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:136.0) Gecko/20100101 Firefox/136.0",
        "Firefox",
        "Windows",
        "desktop",
    ),
    agent(
        "Mozilla/5.0 (Android 15; Mobile; rv:136.0) Gecko/136.0 Firefox/136.0",
        "Firefox",
        "Android",
        "phone",
    ),
    agent(
        "Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 \
         Mobile/15E148 Safari/604.1",
        "Safari",
        "iOS",
        "tablet",
    ),
    agent(
        "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36",
        "Chrome",
        "ChromeOS",
        "desktop",
    ),
];

pub const BOTS: [&str; 4] = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "python-requests/2.31.0",
];

/// `Accept-Language` and the language it is counted as.
pub const LANGUAGES: [(Option<&str>, &str); 12] = [
    (Some("en-US,en;q=0.9"), "en"),
    (Some("de-DE,de;q=0.9,en;q=0.8"), "de"),
    (Some("hi-IN,hi;q=0.9,en-IN;q=0.8"), "hi"),
    (Some("en-GB"), "en"),
    (Some("fr"), "fr"),
    (None, "(unknown)"),
    (Some("pt-BR,pt;q=0.9"), "pt"),
    (Some("EN-us"), "en"),
    (Some("ja;q=0.5, en"), "ja"),
    (Some("fil-PH,fil;q=0.9,en;q=0.8"), "(other)"),
    (Some("zz,en"), "(other)"),
    (Some("is-IS,is;q=0.9"), "is"),
];

/// The first address of a range that is assigned one by one, and the relative frequency of its use.
/// Countries are looked up in the file the collector reads, by the first address of the /24 or /48.
pub const NETWORKS: [(&str, u64); 14] = [
    ("5.9.0.0", 180),
    ("8.8.8.0", 160),
    ("49.36.0.0", 160),
    ("81.2.69.0", 100),
    ("62.210.0.0", 80),
    ("133.1.0.0", 60),
    ("200.147.0.0", 60),
    ("198.18.0.0", 30),
    ("2a01:4f8:c17::", 50),
    ("2001:4860:4860::", 40),
    ("2405:200:1000::", 40),
    ("158.64.1.0", 6),
    ("130.208.1.0", 6),
    ("196.216.2.0", 6),
];

/// `Referer` of the page, the source it is counted as, and the channel. `None` is no referrer.
pub const REFERRERS: [(Option<&str>, &str, &str); 9] = [
    (None, "(direct)", "direct"),
    (Some("https://www.google.com/"), "Google", "search"),
    (
        Some("https://l.instagram.com/?u=https%3A%2F%2Falllinks.example%2F&e=AT0"),
        "Instagram",
        "social",
    ),
    (
        Some("https://www.google.de/search?q=mia"),
        "Google",
        "search",
    ),
    (
        Some("https://www.youtube.com/watch?v=abc"),
        "YouTube",
        "video",
    ),
    (
        Some("https://www.fern-blog.example/2026/03/first-post?utm_source=nobody"),
        "fern-blog.example",
        "referral",
    ),
    (Some("https://www.facebook.com/"), "Facebook", "social"),
    (
        Some("https://notes.harbor.example/a"),
        "notes.harbor.example",
        "referral",
    ),
    (Some("http://rare.example/"), "rare.example", "referral"),
];

/// A link's tags: the query of the page, the source and the channel it gives instead of the
/// referrer's, and the campaign.
pub struct Tags {
    pub query: &'static str,
    pub source: Option<&'static str>,
    pub channel: Option<&'static str>,
    pub campaign: Option<&'static str>,
}

const fn tags(
    query: &'static str,
    source: Option<&'static str>,
    channel: Option<&'static str>,
    campaign: Option<&'static str>,
) -> Tags {
    Tags {
        query,
        source,
        channel,
        campaign,
    }
}

pub const QUERIES: [Tags; 11] = [
    tags(
        "utm_source=harbor-letter&utm_campaign=Spring_Sale",
        Some("harbor-letter"),
        Some("referral"),
        Some("spring_sale"),
    ),
    tags(
        "utm_campaign=spring_sale&color=red",
        None,
        None,
        Some("spring_sale"),
    ),
    tags(
        "utm_medium=mail&utm_source=harbor-letter",
        Some("harbor-letter"),
        Some("mail"),
        None,
    ),
    tags("ref=fern-card", Some("fern-card"), Some("referral"), None),
    tags(
        "source=fern-card&utm_campaign=Tour%202026",
        Some("fern-card"),
        Some("referral"),
        Some("tour 2026"),
    ),
    tags("utm_campaign=ann%40mail.example", None, None, Some("(id)")),
    tags("utm_campaign=tour-rare", None, None, Some("tour-rare")),
    tags("color=red", None, None, None),
    tags("page=2", None, None, None),
    tags(
        "utm_source=ig&utm_medium=Paid-Social",
        Some("Instagram"),
        Some("paid"),
        None,
    ),
    tags(
        "utm_source=chatgpt.com",
        Some("ChatGPT"),
        Some("AI assistant"),
        None,
    ),
];

/// The part of the address after `/u/{profile}`, and what it is counted as.
pub const PAGES: [(&str, &str); 14] = [
    ("", ""),
    ("/", ""),
    ("/shop", "/shop"),
    ("/shop/", "/shop"),
    ("/about", "/about"),
    ("//shop//mugs/", "/shop/mugs"),
    ("/About", "/About"),
    ("/post/12345678", "/post/12345678"),
    ("/post/123456789", "/post/(id)"),
    ("/reset/a1b2c3d4e5f6a7b8c9d0", "/reset/(id)"),
    (
        "/reset/photographyandlandscapes",
        "/reset/photographyandlandscapes",
    ),
    (
        "/file/0b9e1c9a-3d5f-4c7e-9a1b-2f3e4d5c6b7a/view",
        "/file/(id)/view",
    ),
    ("/to/ann@mail.example", "/to/(id)"),
    ("/rare", "/rare"),
];

/// A link's id or target, and what it is counted as.
pub const LINKS: [(&str, &str); 7] = [
    ("instagram-button", "instagram-button"),
    (
        "https://shop.example/mug?sku=1#top",
        "https://shop.example/mug",
    ),
    (
        "https://music.example/album/",
        "https://music.example/album",
    ),
    ("https://music.example/album", "https://music.example/album"),
    ("newsletter", "newsletter"),
    (
        "https://tickets.example/order/987654321/pdf",
        "https://tickets.example/order/(id)/pdf",
    ),
    ("rare-link", "rare-link"),
];

pub struct Happening {
    pub name: &'static str,
    pub passive: bool,
    /// Amount as it is sent, and its currency.
    pub money: Option<(f64, &'static str, u64)>,
    /// An amount without a currency is not revenue.
    pub value: Option<f64>,
}

const fn happening(name: &'static str, passive: bool) -> Happening {
    Happening {
        name,
        passive,
        money: None,
        value: None,
    }
}

/// Events. The third of the money is the amount in minor units.
pub const EVENTS: [Happening; 7] = [
    happening("signup", false),
    happening("scrolled", true),
    Happening {
        name: "tip",
        passive: false,
        money: Some((19.99, "EUR", 1999)),
        value: None,
    },
    Happening {
        name: "tip",
        passive: false,
        money: Some((500.0, "JPY", 500)),
        value: None,
    },
    Happening {
        name: "renewed",
        passive: true,
        money: Some((0.1, "USD", 10)),
        value: None,
    },
    Happening {
        name: "rated",
        passive: false,
        money: None,
        value: Some(4.5),
    },
    happening("rare event", false),
];
