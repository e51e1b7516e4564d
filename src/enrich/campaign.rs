//! The campaign a link was tagged with.

use std::borrow::Cow;

use super::text::clean_campaign_value;

/// Ad systems fill in shorter values; a longer one may be someone's data.
const MAX_CAMPAIGN_CHARS: usize = 100;

/// The value of `utm_campaign`: decoded, lower case, cleaned of personal data. `None` if the value
/// is empty.
pub fn clean_campaign(encoded: &str) -> Option<Cow<'_, str>> {
    clean_campaign_value(encoded, MAX_CAMPAIGN_CHARS)
}
