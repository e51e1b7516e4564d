//! User agents of current browsers, with their frequencies.

/// A user agent, and the properties that the simulation uses.
pub(super) struct AgentProfile {
    pub(super) text: &'static str,
    pub(super) phone: bool,
    /// The app whose in-app browser it is; empty for none.
    pub(super) app: &'static str,
    /// Whether it measures layout shifts and interaction latency, as Chromium does.
    pub(super) chromium: bool,
}

const fn desktop_agent(text: &'static str, chromium: bool) -> AgentProfile {
    AgentProfile {
        text,
        phone: false,
        app: "",
        chromium,
    }
}

const fn phone_agent(text: &'static str, chromium: bool) -> AgentProfile {
    AgentProfile {
        text,
        phone: true,
        app: "",
        chromium,
    }
}

const fn in_app_agent(app: &'static str, text: &'static str, chromium: bool) -> AgentProfile {
    AgentProfile {
        text,
        phone: true,
        app,
        chromium,
    }
}

#[rustfmt::skip] // one browser a line
pub(super) static AGENTS: [(AgentProfile, f64); 32] = [
    (desktop_agent("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36", true), 34.0),
    (desktop_agent("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36", true), 9.0),
    (desktop_agent("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36", true), 15.0),
    (desktop_agent("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15", false), 14.0),
    (desktop_agent("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0", true), 11.0),
    (desktop_agent("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0", false), 8.0),
    (desktop_agent("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", false), 3.0),
    (desktop_agent("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36", true), 3.0),
    (desktop_agent("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 OPR/124.0.0.0", true), 2.0),
    (desktop_agent("Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.7 Mobile/15E148 Safari/604.1", false), 5.0),
    (phone_agent("Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1", false), 38.0),
    (phone_agent("Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1", false), 10.0),
    (phone_agent("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36", true), 30.0),
    (phone_agent("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36", true), 8.0),
    (phone_agent("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/29.0 Chrome/136.0.0.0 Mobile Safari/537.36", true), 6.0),
    (phone_agent("Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0.7444.77 Mobile/15E148 Safari/604.1", false), 5.0),
    (phone_agent("Mozilla/5.0 (Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0", false), 2.0),
    (phone_agent("Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.7 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15", false), 1.0),
    (in_app_agent("Instagram", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 370.0.0.26.84 (iPhone15,2; iOS 18_3; en_US; en; scale=3.00; 1179x2556; 700000000)", false), 6.0),
    (in_app_agent("Instagram", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 404.0.0.21.80 (iPhone17,1; iOS 18_7; de_DE; de; scale=3.00; 1206x2622; 812000000)", false), 3.0),
    (in_app_agent("Instagram", "Mozilla/5.0 (Linux; Android 14; SM-A546B Build/UP1A.231005.007; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/131.0.6778.135 Mobile Safari/537.36 Instagram 360.0.0.52.192 Android (34/14; 450dpi; 1080x2131; samsung; SM-A546B; a54x; s5e8835; de_DE; 672535977)", true), 4.0),
    (in_app_agent("TikTok", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 musical_ly_37.4.0 JsSdk/2.0 NetType/WIFI Channel/App Store ByteLocale/en Region/US isDarkMode/1 WKWebView/1 RevealType/Dialog BytedanceWebview/d8a21c6", false), 5.0),
    (in_app_agent("TikTok", "Mozilla/5.0 (Linux; Android 14; SM-S911B Build/UP1A.231005.007; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/131.0.6778.135 Mobile Safari/537.36 trill_370604 JsSdk/1.0 NetType/WIFI Channel/googleplay AppName/musical_ly app_version/37.6.4 ByteLocale/en BytedanceWebview/d8a21c6", true), 5.0),
    (in_app_agent("Pinterest", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [Pinterest/iOS]", false), 5.0),
    (in_app_agent("Pinterest", "Mozilla/5.0 (Linux; Android 13; SM-A536B Build/TP1A.220624.014; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/131.0.6778.104 Mobile Safari/537.36 [Pinterest/Android]", true), 4.0),
    (in_app_agent("X", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/22B83 Twitter for iPhone/10.68", false), 5.0),
    (in_app_agent("X", "Mozilla/5.0 (Linux; Android 14; Pixel 7 Build/UQ1A.240205.002; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/131.0.6778.135 Mobile Safari/537.36 TwitterAndroid", true), 4.0),
    (in_app_agent("Snapchat", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Snapchat/13.15.0.38 (like Safari/8619.2.8.10.9, panda)", false), 1.0),
    (in_app_agent("LINE", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Safari Line/14.19.0", false), 6.0),
    (in_app_agent("LINE", "Mozilla/5.0 (Linux; Android 14; SO-52D Build/68.1.A.2.97; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/131.0.6778.135 Mobile Safari/537.36 Line/14.19.1/IAB", true), 4.0),
    (in_app_agent("Facebook", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/22C152 [FBAN/FBIOS;FBAV/493.0.0.51.96;FBBV/682364432;FBDV/iPhone14,5;FBMD/iPhone;FBSN/iOS;FBSV/18.2;FBSS/3;FBID/phone;FBLC/en_US;FBOP/5;FBRV/0]", false), 1.0),
    (in_app_agent("Threads", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/22B83 Barcelona 357.0.0.30.103 (iPhone16,1; iOS 18_1; en_US; en; scale=3.00; 1179x2556; 668291155; IABMV/1)", false), 1.0),
];

#[rustfmt::skip]
pub(super) static BOTS: [(AgentProfile, f64); 5] = [
    (desktop_agent("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1; +http://www.google.com/bot.html) Chrome/141.0.0.0 Safari/537.36", true), 4.0),
    (desktop_agent("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.3; +https://openai.com/gptbot)", true), 3.0),
    (desktop_agent("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", false), 2.0),
    (desktop_agent("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/134.0.0.0 Safari/537.36", true), 2.0),
    (desktop_agent("python-requests/2.32.3", false), 1.0),
];
