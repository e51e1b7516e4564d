//! Browser families. In-app browsers have the name of the app.

use super::super::sources::ListedSource;

string_enum! {
    /// A family of browsers.
    pub enum Browser {
        Other = "(other)",
        Chrome = "Chrome",
        Safari = "Safari",
        Firefox = "Firefox",
        Edge = "Edge",
        Opera = "Opera",
        OperaMini = "Opera Mini",
        SamsungInternet = "Samsung Internet",
        Brave = "Brave",
        Vivaldi = "Vivaldi",
        DuckDuckGo = "DuckDuckGo",
        Ecosia = "Ecosia",
        Chromium = "Chromium",
        InternetExplorer = "Internet Explorer",
        AndroidBrowser = "Android Browser",
        AndroidWebView = "Android WebView",
        IosWebView = "iOS WebView",
        Yandex = "Yandex Browser",
        UcBrowser = "UC Browser",
        QqBrowser = "QQ Browser",
        MiBrowser = "Mi Browser",
        HuaweiBrowser = "Huawei Browser",
        VivoBrowser = "vivo Browser",
        HeyTapBrowser = "HeyTap Browser",
        Whale = "Whale",
        CocCoc = "Coc Coc",
        Silk = "Silk",
        Aloha = "Aloha",
        Puffin = "Puffin",
        Maxthon = "Maxthon",
        Sogou = "Sogou Explorer",
        BaiduBrowser = "Baidu Browser",
        Seznam = "Seznam",
        PaleMoon = "Pale Moon",
        Epiphany = "Epiphany",
        Konqueror = "Konqueror",
        Tizen = "Tizen Browser",
        MetaQuest = "Meta Quest Browser",
        TvBrowser = "TV browser",
        InApp = "In-app browser",
        // Names from `sources.toml`; a test compares them.
        Instagram = "Instagram",
        Facebook = "Facebook",
        Messenger = "Messenger",
        Threads = "Threads",
        TikTok = "TikTok",
        Snapchat = "Snapchat",
        Pinterest = "Pinterest",
        LinkedIn = "LinkedIn",
        X = "X",
        Reddit = "Reddit",
        Line = "LINE",
        WeChat = "WeChat",
        KakaoTalk = "KakaoTalk",
        Telegram = "Telegram",
        Discord = "Discord",
        Google = "Google",
        Naver = "Naver",
        WhatsApp = "WhatsApp",
        Viber = "Viber",
        MetaApps = "Meta apps",
        YandexApp = "Yandex",
    }
}

use Browser::*;

/// Words that no expression of uap-core matches, or that another expression matches first. The
/// first that occurs decides.
const BROWSER_TOKENS: [(&str, Browser); 17] = [
    ("HeyTapBrowser/", HeyTapBrowser),
    ("VivoBrowser/", VivoBrowser),
    ("HuaweiBrowser/", HuaweiBrowser),
    ("AlohaBrowser/", Aloha),
    ("Ecosia ", Ecosia),
    ("Ddg/", DuckDuckGo),
    ("DuckDuckGo/", DuckDuckGo),
    ("Focus/", Firefox),
    ("Klar/", Firefox),
    ("OPT/", Opera),
    ("OPX/", Opera),
    (" Brave", Brave),
    ("OculusBrowser/", MetaQuest),
    ("SogouMobileBrowser/", Sogou),
    ("YaBrowser/", Yandex),
    ("Vivaldi/", Vivaldi),
    // After all browsers that are built on it and name it.
    ("FxiOS/", Firefox),
];

/// The families of uap-core, mapped to [`Browser`].
const BROWSER_FAMILIES: [(&str, Browser); 61] = [
    ("Chrome", Chrome),
    ("Chrome Mobile", Chrome),
    ("Chrome Mobile iOS", Chrome),
    ("Chrome Mobile WebView", AndroidWebView),
    ("Chromium", Chromium),
    ("HeadlessChrome", Chrome),
    ("Electron", Chromium),
    ("Safari", Safari),
    ("Mobile Safari", Safari),
    ("Mobile Safari UI/WKWebView", IosWebView),
    ("Firefox", Firefox),
    ("Firefox Mobile", Firefox),
    ("Firefox iOS", Firefox),
    ("Firefox Beta", Firefox),
    ("Firefox Alpha", Firefox),
    ("Waterfox", Firefox),
    ("Iceweasel", Firefox),
    ("Edge", Edge),
    ("Edge Mobile", Edge),
    ("Opera", Opera),
    ("Opera Mobile", Opera),
    ("Opera Neon", Opera),
    ("Opera Tablet", Opera),
    ("Opera Coast", Opera),
    ("Opera Mini", OperaMini),
    ("Samsung Internet", SamsungInternet),
    ("Brave", Brave),
    ("Vivaldi", Vivaldi),
    ("DuckDuckGo Mobile", DuckDuckGo),
    ("Ecosia iOS", Ecosia),
    ("Ecosia Android", Ecosia),
    ("IE", InternetExplorer),
    ("IE Mobile", InternetExplorer),
    ("IE Large Screen", InternetExplorer),
    ("Android", AndroidBrowser),
    ("Yandex Browser", Yandex),
    ("UC Browser", UcBrowser),
    ("QQ Browser", QqBrowser),
    ("QQ Browser Mobile", QqBrowser),
    ("QQ Browser Mini", QqBrowser),
    ("MiuiBrowser", MiBrowser),
    ("Mint Browser", MiBrowser),
    ("Whale", Whale),
    ("Coc Coc", CocCoc),
    ("Amazon Silk", Silk),
    ("Puffin", Puffin),
    ("Maxthon", Maxthon),
    ("Sogou Explorer", Sogou),
    ("Baidu Browser", BaiduBrowser),
    ("Baidu Explorer", BaiduBrowser),
    ("Seznam prohlížeč", Seznam),
    ("Pale Moon", PaleMoon),
    ("PaleMoon", PaleMoon),
    ("Epiphany", Epiphany),
    ("Konqueror", Konqueror),
    ("Tizen Browser", Tizen),
    ("Oculus Browser", MetaQuest),
    ("webOS Browser", TvBrowser),
    ("NetFront NX", TvBrowser),
    ("NetCast", TvBrowser),
    ("Google", Google),
];

fn find_family(table: &[(&str, Browser)], word: &str) -> Option<Browser> {
    table
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, browser)| *browser)
}

impl Browser {
    pub(super) fn from_family(family: &str) -> Browser {
        find_family(&BROWSER_FAMILIES, family).unwrap_or(Other)
    }

    pub(super) fn from_token(agent: &str) -> Option<Browser> {
        BROWSER_TOKENS
            .iter()
            .find(|(token, _)| agent.contains(token))
            .map(|(_, browser)| *browser)
    }

    /// A brand of `Sec-CH-UA`. Chromium and the web view are not listed, because the user agent can
    /// be more specific. Called about three times per hit, hence a `match` instead of a table.
    pub(super) fn from_brand(brand: &str) -> Option<Browser> {
        Some(match brand {
            "Google Chrome" => Chrome,
            "Microsoft Edge" => Edge,
            "Opera" | "Opera GX" | "OperaMobile" | "Opera Mobile" => Opera,
            "Samsung Internet" => SamsungInternet,
            "Brave" | "Brave Browser" => Brave,
            "Vivaldi" => Vivaldi,
            "DuckDuckGo" => DuckDuckGo,
            "YaBrowser" | "Yandex" => Yandex,
            "Whale" => Whale,
            "Oculus Browser" => MetaQuest,
            "HuaweiBrowser" => HuaweiBrowser,
            _ => return None,
        })
    }

    pub(super) fn from_app(app: ListedSource) -> Browser {
        Browser::ALL
            .iter()
            .copied()
            .find(|browser| browser.name() == app.name())
            .unwrap_or(InApp)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::sources::source_list;
    use super::*;

    #[test]
    fn browsers_named_like_an_app_are_in_the_list_of_sources() {
        let apps = Browser::ALL.iter().skip_while(|b| **b != Instagram);
        for app in apps {
            let listed = source_list()
                .find_by_tag(&app.name().to_lowercase())
                .unwrap();
            assert_eq!(
                (listed.name(), Browser::from_app(listed)),
                (app.name(), *app)
            );
        }
    }

    #[test]
    fn no_name_is_given_twice() {
        let names: std::collections::HashSet<_> =
            Browser::ALL.iter().map(|browser| browser.name()).collect();
        assert_eq!(names.len(), Browser::ALL.len());
    }
}
