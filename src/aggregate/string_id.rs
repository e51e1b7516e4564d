//! The index of a string in a segment.

/// A string of a segment, as an index into
/// [`SegmentSums::strings`](super::SegmentSums::strings), or into
/// [`AttributeSums::strings`](super::AttributeSums::strings) in an attribute row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StringId(pub u32);

impl StringId {
    /// The empty string, which is first in every segment.
    pub const EMPTY: StringId = StringId(0);
}
