/// The value that takes what is beyond a cap, outside a closed list, or too small to show.
pub const OTHER: &str = "(other)";

/// The value of an attribute nobody told us: no country for the address, no language sent.
pub const UNKNOWN: &str = "(unknown)";

/// The value of an attribute a visit came without: no campaign in its link.
pub const NONE: &str = "(none)";

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Subject {
    Site = 0,
    Page = 1,
    Link = 2,
    Event = 3,
}

/// An attribute of the visit a subject is broken down by. `Total` is the row without an attribute; it alone carries all
/// counters. The others carry visitors and visits only: more would be a key that joins a lonely visit's rows again.
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
    pub const ALL: [Subject; 4] = [Subject::Site, Subject::Page, Subject::Link, Subject::Event];

    /// Those a site has many of.
    pub const ITEMS: [Subject; 3] = [Subject::Page, Subject::Link, Subject::Event];

    pub const fn name(self) -> &'static str {
        match self {
            Subject::Site => "site",
            Subject::Page => "page",
            Subject::Link => "link",
            Subject::Event => "event",
        }
    }

    /// The attributes stored for this subject, beside the total. No row ever joins two of them.
    pub const fn dimensions(self) -> &'static [Dimension] {
        match self {
            Subject::Site => &[Source, Channel, Campaign, Country, Device, Browser, Os, Language],
            Subject::Page => &[Source, Country],
            Subject::Link | Subject::Event => &[Source, Country, Campaign],
        }
    }

    pub fn from_u8(n: u8) -> Option<Subject> {
        Subject::ALL.get(usize::from(n)).copied()
    }

    pub fn from_name(name: &str) -> Option<Subject> {
        Subject::ALL.into_iter().find(|s| s.name() == name)
    }
}

impl Dimension {
    /// By number: journals hold it, so a new one goes to the end.
    pub const ALL: [Dimension; 9] =
        [Dimension::Total, Source, Campaign, Country, Device, Browser, Os, Language, Channel];

    /// The word in the tables and the API; the total is the empty string.
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

    pub fn from_u8(n: u8) -> Option<Dimension> {
        Dimension::ALL.get(usize::from(n)).copied()
    }

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
