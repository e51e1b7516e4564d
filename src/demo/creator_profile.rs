//! The description of a fictitious creator.

/// A creator, and the audience.
pub(super) struct CreatorProfile {
    /// The name of the profile and of the site. Its time zone is in config/demo.toml.
    pub(super) id: &'static str,
    pub(super) about: &'static str,
    /// Counted visits on an ordinary day at the end of the simulation.
    pub(super) visits: f64,
    /// The share of them that was gained over ninety days.
    pub(super) growth: f64,
    pub(super) hours: &'static [f64; 24],
    /// Relative weights of the days, from Monday.
    pub(super) week: [f64; 7],
    /// The share of phones among browsers that are not in-app browsers.
    pub(super) phones: f64,
    pub(super) countries: &'static [(&'static str, f64)],
    pub(super) sources: &'static [(TrafficSource, f64)],
    /// The first page is the profile itself.
    pub(super) pages: &'static [ProfilePage],
    pub(super) surges: &'static [TrafficSurge],
}

#[derive(Clone, Copy)]
pub(super) enum TrafficSource {
    /// Neither referrer nor tag.
    Direct,
    /// The in-app browser of this app.
    InAppBrowser(&'static str),
    /// This referrer.
    Referrer(&'static str),
    /// This query, with `utm_…` tags.
    UtmTagged(&'static str),
    /// One of many websites that link rarely.
    RandomWebsite,
}

pub(super) struct ProfilePage {
    /// The path below the profile.
    pub(super) path: &'static str,
    /// The number of visits out of ten that start here.
    pub(super) landing: f64,
    /// The median reading time in seconds.
    pub(super) reading_secs: f64,
    /// The relative loading time; 1 for an ordinary page.
    pub(super) load_factor: f64,
    pub(super) links: &'static [PageLink],
    pub(super) events: &'static [PageEvent],
}

pub(super) struct PageLink {
    pub(super) id: &'static str,
    /// The probability that a view leads to a click on it. The sum over a page's links is below 1.
    pub(super) click_probability: f64,
    /// The index of the page it leads to; `None` if it leads away.
    pub(super) target_page: Option<usize>,
}

pub(super) struct PageEvent {
    pub(super) name: &'static str,
    pub(super) probability: f64,
    /// It happens without an action of the visitor.
    pub(super) passive: bool,
    /// The median amount in euros; `None` without an amount.
    pub(super) median_euros: Option<f64>,
}

/// A burst of visits, caused by a post, a launch or an episode, that declines with time.
pub(super) struct TrafficSurge {
    /// Days before the last day of the simulation.
    pub(super) days_before: i32,
    /// The interval of repetition in days; 0 for none.
    pub(super) repeat_days: i32,
    pub(super) hour: i32,
    /// At its peak, the number of additional visits as a multiple of the ordinary ones.
    pub(super) peak_factor: f64,
    /// The half-life in hours.
    pub(super) half_life_hours: f64,
    pub(super) source: TrafficSource,
    pub(super) landing: usize,
}
