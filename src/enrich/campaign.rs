//! The campaign a link was tagged with.

use std::borrow::Cow;

use super::text::campaign_value;

/// Ad systems fill in shorter values; a longer one may be someone's data.
const MOST_CHARS: usize = 100;

/// The value of `utm_campaign`: decoded, lower case, cleaned of personal data. `None` if the value
/// is empty.
pub fn campaign(encoded: &str) -> Option<Cow<'_, str>> {
    campaign_value(encoded, MOST_CHARS)
}
