//! Subjects and dimensions of the reports, and the placeholders for missing values.

/// The value for everything beyond a limit, outside a closed list, or too small to show.
pub const OTHER_VALUE: &str = "(other)";

/// The value of an attribute that could not be determined: the address has no country, or no
/// language was sent.
pub const UNKNOWN_VALUE: &str = "(unknown)";

/// The value of an attribute the visit does not have, for example a link without a campaign.
pub const NO_VALUE: &str = "(none)";

string_enum! {
    /// What is counted.
    pub enum Subject {
        Site = "site",
        Page = "page",
        Link = "link",
        Event = "event",
    }
}

string_enum! {
    /// An attribute of the visit by which a subject is broken down. `Total` is the row without an
    /// attribute and the only one with all counters. The others have visitors and visits only: with
    /// more counters, the rows of a single visit could be joined again. Journals store the number,
    /// so new dimensions are appended.
    pub enum Dimension {
        Total = "",
        Source = "source",
        Campaign = "campaign",
        Country = "country",
        Device = "device",
        Browser = "browser",
        Os = "os",
        Language = "language",
        Channel = "channel",
    }
}

use Dimension::{Browser, Campaign, Channel, Country, Device, Language, Os, Source};

impl Subject {
    /// The subjects a site has many of.
    pub const ITEM_SUBJECTS: [Subject; 3] = [Subject::Page, Subject::Link, Subject::Event];

    /// The attributes stored for this subject, without the total. No row combines two of them. The
    /// site has all; aggregation, journal, store and reports follow this list.
    pub const fn dimensions(self) -> &'static [Dimension] {
        match self {
            Subject::Site => &[
                Source, Channel, Campaign, Country, Device, Browser, Os, Language,
            ],
            Subject::Page => &[Source, Country],
            Subject::Link | Subject::Event => &[Source, Country, Campaign],
        }
    }
}

// A dimension that the site lacks would not be counted.
const _: () = {
    assert!(
        Subject::Site.dimensions().len() + 1 == Dimension::ALL.len(),
        "the total and the dimensions of the site are all dimensions"
    );
    // Four bits of a row's flags in the journal.
    assert!(
        Dimension::ALL.len() <= 16,
        "a journal holds at most 16 dimensions"
    );
};

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
    }
}
