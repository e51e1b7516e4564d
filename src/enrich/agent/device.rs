//! Operating systems and classes of devices.
//!
//! The class follows from the system and a few words of the user agent. The device expressions of
//! uap-core would determine the model, at five times the cost, for a value that distinguishes
//! visitors.

string_enum! {
    /// An operating system.
    pub enum Os {
        Other = "(other)",
        Windows = "Windows",
        MacOs = "macOS",
        Ios = "iOS",
        Android = "Android",
        Linux = "Linux",
        ChromeOs = "ChromeOS",
        HarmonyOs = "HarmonyOS",
        FireOs = "Fire OS",
        KaiOs = "KaiOS",
        Tizen = "Tizen",
        WebOs = "webOS",
        TvOs = "tvOS",
        WatchOs = "watchOS",
        Roku = "Roku",
        PlayStation = "PlayStation",
        Xbox = "Xbox",
        Nintendo = "Nintendo",
        WindowsPhone = "Windows Phone",
        BlackBerry = "BlackBerry",
        Symbian = "Symbian",
        Sailfish = "Sailfish",
        Bsd = "BSD",
        Solaris = "Solaris",
        Fuchsia = "Fuchsia",
    }
}

string_enum! {
    /// A class of devices.
    pub enum Device {
        Other = "(other)",
        Desktop = "desktop",
        Phone = "phone",
        Tablet = "tablet",
        Tv = "tv",
    }
}

/// Words that take precedence over the expressions.
const OS_TOKENS: [(&str, Os); 14] = [
    ("PlayStation", Os::PlayStation),
    ("PLAYSTATION", Os::PlayStation),
    ("Xbox", Os::Xbox),
    ("Nintendo", Os::Nintendo),
    ("HarmonyOS", Os::HarmonyOs),
    ("OpenHarmony", Os::HarmonyOs),
    ("Tizen", Os::Tizen),
    ("Web0S", Os::WebOs),
    ("webOS", Os::WebOs),
    ("Windows Phone", Os::WindowsPhone),
    ("AppleTV", Os::TvOs),
    ("Roku/", Os::Roku),
    ("Sailfish", Os::Sailfish),
    // Facebook's app, when it does not name a browser.
    ("FBPN/com.facebook.", Os::Android),
];

const OS_FAMILIES: [(&str, Os); 53] = [
    ("Windows", Os::Windows),
    ("Mac OS X", Os::MacOs),
    ("Mac OS", Os::MacOs),
    ("iOS", Os::Ios),
    ("Android", Os::Android),
    ("Linux", Os::Linux),
    ("Ubuntu", Os::Linux),
    ("Kubuntu", Os::Linux),
    ("Lubuntu", Os::Linux),
    ("Debian", Os::Linux),
    ("Fedora", Os::Linux),
    ("Red Hat", Os::Linux),
    ("CentOS", Os::Linux),
    ("Arch Linux", Os::Linux),
    ("Linux Mint", Os::Linux),
    ("Mint", Os::Linux),
    ("openSUSE", Os::Linux),
    ("SUSE", Os::Linux),
    ("Gentoo", Os::Linux),
    ("Mageia", Os::Linux),
    ("Mandriva", Os::Linux),
    ("PCLinuxOS", Os::Linux),
    ("Slackware", Os::Linux),
    ("Chrome OS", Os::ChromeOs),
    ("KaiOS", Os::KaiOs),
    ("Tizen", Os::Tizen),
    ("Samsung", Os::Tizen),
    ("webOS", Os::WebOs),
    ("Web0S", Os::WebOs),
    ("LG", Os::WebOs),
    ("tvOS", Os::TvOs),
    ("ATV OS X", Os::TvOs),
    ("WatchOS", Os::WatchOs),
    ("watchOS", Os::WatchOs),
    ("Roku", Os::Roku),
    ("Chromecast", Os::Android),
    ("GoogleTV", Os::Android),
    ("FireHbbTV", Os::FireOs),
    ("Windows Phone", Os::WindowsPhone),
    ("Windows Mobile", Os::WindowsPhone),
    ("BlackBerry OS", Os::BlackBerry),
    ("BlackBerry Tablet OS", Os::BlackBerry),
    ("Symbian OS", Os::Symbian),
    ("Symbian^3", Os::Symbian),
    ("Nokia Series 40", Os::Symbian),
    ("Sailfish", Os::Sailfish),
    ("Firefox OS", Os::KaiOs),
    ("FreeBSD", Os::Bsd),
    ("OpenBSD", Os::Bsd),
    ("NetBSD", Os::Bsd),
    ("DragonFly", Os::Bsd),
    ("Solaris", Os::Solaris),
    ("Fuchsia", Os::Fuchsia),
];

impl Os {
    pub(super) fn from_token(agent: &str) -> Option<Os> {
        OS_TOKENS
            .iter()
            .find(|(token, _)| agent.contains(token))
            .map(|(_, os)| *os)
    }

    /// The system of a family of uap-core. `agent` distinguishes Amazon's Android from others.
    pub(super) fn from_family(family: &str, agent: &str) -> Os {
        let os = OS_FAMILIES
            .iter()
            .find(|(name, _)| *name == family)
            .map_or(Os::Other, |(_, os)| *os);
        let amazon = matches!(os, Os::Android | Os::Linux)
            && (agent.contains("; KF") || agent.contains("Silk/") || agent.contains("; AFT"));
        if amazon { Os::FireOs } else { os }
    }

    /// Corrects the system by `Sec-CH-UA-Platform`. Systems built on Android or Linux are named by
    /// the user agent only, so those hints do not override them.
    pub(super) fn refined_by_platform(self, platform: &str) -> Os {
        let hinted = match platform {
            "Windows" => Os::Windows,
            "macOS" => Os::MacOs,
            "iOS" => Os::Ios,
            "Android" => Os::Android,
            "Linux" => Os::Linux,
            "Chrome OS" | "Chromium OS" | "ChromeOS" => Os::ChromeOs,
            "Fuchsia" => Os::Fuchsia,
            _ => return self,
        };
        let derived = !matches!(
            self,
            Os::Other | Os::Windows | Os::MacOs | Os::Ios | Os::Android | Os::Linux | Os::ChromeOs
        );
        if derived && matches!(hinted, Os::Android | Os::Linux) {
            self
        } else {
            hinted
        }
    }
}

/// Words of TV sets, sticks and boxes. `TV;` and `TV ` would also match models and plugins.
const TV_TOKENS: [&str; 18] = [
    "SmartTV",
    "SMART-TV",
    "Smart-TV",
    "SmartHub",
    "HbbTV",
    "GoogleTV",
    "Google TV",
    "AndroidTV",
    "Android TV",
    "AppleTV",
    "Apple TV",
    "CrKey",
    "BRAVIA",
    "NetCast",
    "; AFT",
    "Roku",
    "Web0S",
    "TV Safari",
];

impl Device {
    pub(super) fn from_os(os: Os, agent: &str) -> Device {
        if os == Os::TvOs || TV_TOKENS.iter().any(|token| agent.contains(token)) {
            return Device::Tv;
        }
        let mobile = agent.contains("Mobile") || agent.contains("Phone");
        match os {
            Os::Windows | Os::MacOs | Os::Linux | Os::ChromeOs | Os::Bsd | Os::Solaris => {
                Device::Desktop
            }
            Os::Ios if agent.contains("iPad") => Device::Tablet,
            Os::Ios | Os::KaiOs | Os::WindowsPhone | Os::Symbian => Device::Phone,
            Os::BlackBerry if agent.contains("Tablet") => Device::Tablet,
            Os::BlackBerry => Device::Phone,
            Os::Android | Os::HarmonyOs | Os::FireOs | Os::Tizen | Os::Sailfish
                if mobile && !agent.contains("Tablet") =>
            {
                Device::Phone
            }
            // The user agents of Opera Mini and of Facebook's app contain neither Mobile nor
            // Chrome.
            Os::Android if agent.contains("Opera Mini") || agent.contains("FBPN/") => Device::Phone,
            Os::Android | Os::HarmonyOs | Os::FireOs | Os::Sailfish => Device::Tablet,
            Os::WebOs | Os::Tizen | Os::TvOs | Os::Roku => Device::Tv,
            Os::Other if mobile => Device::Phone,
            Os::WatchOs | Os::PlayStation | Os::Xbox | Os::Nintendo | Os::Fuchsia | Os::Other => {
                Device::Other
            }
        }
    }

    /// Corrects the class by `Sec-CH-UA-Mobile`, given the corrected system.
    pub(super) fn refined_by_mobile(self, os: Os, mobile: Option<bool>) -> Device {
        match (self, mobile, os) {
            (Device::Tv, _, _) | (Device::Other, Some(false), _) => self,
            (_, Some(true), _) => Device::Phone,
            (_, _, Os::Windows | Os::MacOs | Os::Linux | Os::ChromeOs) => Device::Desktop,
            (_, Some(false), Os::Android | Os::FireOs | Os::HarmonyOs) => Device::Tablet,
            _ => self,
        }
    }
}
