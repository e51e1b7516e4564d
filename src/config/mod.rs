//! What an operator can set, one strict struct per section.
/// One counted property (filled in by the configuration work).
pub struct Site {}
