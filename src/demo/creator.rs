//! What is known of a made-up creator.

/// A creator and the people who come to see what they made.
pub(super) struct Creator {
    /// The profile's and the site's name; its time zone stands in config/demo.toml.
    pub(super) id: &'static str,
    pub(super) about: &'static str,
    /// Counted visits of an ordinary day now.
    pub(super) visits: f64,
    /// How much of them ninety days brought.
    pub(super) growth: f64,
    pub(super) hours: &'static [f64; 24],
    /// From Monday.
    pub(super) week: [f64; 7],
    /// The share of phones among browsers that are not an app's own.
    pub(super) phones: f64,
    pub(super) countries: &'static [(&'static str, f64)],
    pub(super) sources: &'static [(Source, f64)],
    /// The first is the profile itself.
    pub(super) pages: &'static [Page],
    pub(super) surges: &'static [Surge],
}

#[derive(Clone, Copy)]
pub(super) enum Source {
    Direct,
    /// The app's own browser.
    App(&'static str),
    /// A referrer.
    From(&'static str),
    /// A query of `utm_…`.
    Tagged(&'static str),
    /// One of the many places that link once.
    Somewhere,
}

pub(super) struct Page {
    /// Below the profile.
    pub(super) path: &'static str,
    /// How many of ten visits begin here.
    pub(super) landing: f64,
    /// Median seconds it is looked at.
    pub(super) reading: f64,
    /// How long it takes to load, 1 for an ordinary page.
    pub(super) weight: f64,
    pub(super) links: &'static [Link],
    pub(super) events: &'static [Happening],
}

pub(super) struct Link {
    pub(super) id: &'static str,
    /// The share of views in which it is followed. Those of a page stay under 1 together.
    pub(super) pull: f64,
    /// The page of the profile it leads to.
    pub(super) to: Option<usize>,
}

pub(super) struct Happening {
    pub(super) name: &'static str,
    pub(super) likely: f64,
    /// The visitor did nothing for it.
    pub(super) passive: bool,
    /// What it is worth at the median.
    pub(super) worth: Option<f64>,
}

/// A post that takes off, a launch, an episode: many come at once, and fewer with each hour.
pub(super) struct Surge {
    /// Days before the last one.
    pub(super) before: i32,
    /// Again after so many days; 0 for once.
    pub(super) every: i32,
    pub(super) hour: i32,
    /// How many times the ordinary visits come on top at its height.
    pub(super) lift: f64,
    /// Hours until half as many come.
    pub(super) half: f64,
    pub(super) source: Source,
    pub(super) landing: usize,
}
