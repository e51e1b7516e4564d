//! The campaign a link was tagged with.

use std::borrow::Cow;

use super::text::campaign_value;

/// What ad systems fill in; longer values are somebody's data.
const MOST_CHARS: usize = 100;

/// `utm_campaign` as it stands in the URL: decoded, lower case, nobody in it. `None`: the visit came without one.
pub fn campaign(encoded: &str) -> Option<Cow<'_, str>> {
    campaign_value(encoded, MOST_CHARS)
}
