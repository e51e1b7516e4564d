//! Subjects and dimensions of the reports, and the placeholders for missing values.

/// The value for everything beyond a limit, outside a closed list, or too small to show.
pub const OTHER_VALUE: &str = "(other)";

/// The value of an attribute that could not be determined: the address has no country, or no
/// language was sent.
pub const UNKNOWN_VALUE: &str = "(unknown)";

/// The value of an attribute the visit does not have, for example a link without a campaign.
pub const NO_VALUE: &str = "(none)";

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Subject {
    Site = 0,
    Page = 1,
    Link = 2,
    Event = 3,
}

/// An attribute of the visit by which a subject is broken down. `Total` is the row without an
/// attribute and the only one with all counters. The others have visitors and visits only: with
/// more counters, the rows of a single visit could be joined again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Dimension {
    Total = 0,
    Source = 1,
    Campaign = 2,
    Country = 3,
    Device = 4,
    Browser = 5,
    Os = 6,
    Language = 7,
    Channel = 8,
}

use Dimension::{Browser, Campaign, Channel, Country, Device, Language, Os, Source};

impl Subject {
    /// All subjects, by number.
    pub const ALL: [Subject; 4] = [Subject::Site, Subject::Page, Subject::Link, Subject::Event];

    /// The subjects a site has many of.
    pub const ITEM_SUBJECTS: [Subject; 3] = [Subject::Page, Subject::Link, Subject::Event];

    /// The name in the tables and the API.
    pub const fn name(self) -> &'static str {
        match self {
            Subject::Site => "site",
            Subject::Page => "page",
            Subject::Link => "link",
            Subject::Event => "event",
        }
    }

    /// The attributes stored for this subject, without the total. No row combines two of them.
    pub const fn dimensions(self) -> &'static [Dimension] {
        match self {
            Subject::Site => &[
                Source, Channel, Campaign, Country, Device, Browser, Os, Language,
            ],
            Subject::Page => &[Source, Country],
            Subject::Link | Subject::Event => &[Source, Country, Campaign],
        }
    }

    /// The subject with this number, as the journal stores it; `None` if there is none.
    pub fn from_u8(n: u8) -> Option<Subject> {
        Subject::ALL.get(usize::from(n)).copied()
    }

    /// The subject with this name; `None` if there is none.
    pub fn from_name(name: &str) -> Option<Subject> {
        Subject::ALL.into_iter().find(|s| s.name() == name)
    }
}

impl Dimension {
    /// By number. Journals store the number, so new dimensions are appended.
    pub const ALL: [Dimension; 9] = [
        Dimension::Total,
        Source,
        Campaign,
        Country,
        Device,
        Browser,
        Os,
        Language,
        Channel,
    ];

    /// The name in the tables and the API; the total is the empty string.
    pub const fn name(self) -> &'static str {
        match self {
            Dimension::Total => "",
            Source => "source",
            Campaign => "campaign",
            Country => "country",
            Device => "device",
            Browser => "browser",
            Os => "os",
            Language => "language",
            Channel => "channel",
        }
    }

    /// The dimension with this number, as the journal stores it; `None` if there is none.
    pub fn from_u8(n: u8) -> Option<Dimension> {
        Dimension::ALL.get(usize::from(n)).copied()
    }

    /// The dimension with this name; the empty name is the total. `None` if there is none.
    pub fn from_name(name: &str) -> Option<Dimension> {
        Dimension::ALL.into_iter().find(|d| d.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_dimensions_are_those_that_journals_of_former_builds_hold() {
        let numbers = Dimension::ALL.map(|dimension| (dimension as u8, dimension.name()));
        let former = [
            (0, ""),
            (1, "source"),
            (2, "campaign"),
            (3, "country"),
            (4, "device"),
            (5, "browser"),
            (6, "os"),
            (7, "language"),
        ];
        assert_eq!(numbers[..8], former);
        assert_eq!(numbers[8..], [(8, "channel")]);
        // Four bits of a row's flags.
        assert!(Dimension::ALL.len() <= 16);
    }
}
