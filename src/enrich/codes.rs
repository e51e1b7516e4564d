//! A closed list of two-letter codes. Every hit looks up two of them, so a code is found by its
//! letters as an index, without a search.

/// The exclusive upper bound on the number of codes: positions are one byte, and one value means
/// "not listed".
const CODE_COUNT_LIMIT: usize = 255;
const NOT_LISTED: u8 = 255;

/// A list of two-letter codes, with a table of their positions.
pub struct CodeTable {
    /// The codes, one space between them.
    text: &'static str,
    first: u8,
    place: [u8; 26 * 26],
}

impl CodeTable {
    /// `text` has the codes in one case, separated by single spaces; `first` is `a` or `A`, its
    /// case. Evaluated at compile time, so a malformed list does not compile.
    pub const fn new(text: &'static str, first: u8) -> CodeTable {
        let bytes = text.as_bytes();
        let mut place = [NOT_LISTED; 26 * 26];
        assert!(bytes.len() % 3 == 2 && bytes.len() / 3 < CODE_COUNT_LIMIT);
        let mut at = 0;
        while at < bytes.len() {
            assert!(at + 2 == bytes.len() || bytes[at + 2] == b' ');
            place[(bytes[at] - first) as usize * 26 + (bytes[at + 1] - first) as usize] =
                (at / 3) as u8;
            at += 3;
        }
        CodeTable { text, first, place }
    }

    /// The listed code that equals `code`, in the list's case; `None` if there is none.
    pub fn find_code(&self, code: &str) -> Option<&'static str> {
        let [high, low] = *code.as_bytes() else {
            return None;
        };
        let letter = |b: u8| Some(usize::from(b.wrapping_sub(self.first))).filter(|n| *n < 26);
        let place = self.place[letter(high)? * 26 + letter(low)?];
        (place != NOT_LISTED)
            .then(|| &self.text[usize::from(place) * 3..usize::from(place) * 3 + 2])
    }

    /// All codes, in the order of the list.
    #[cfg(test)]
    pub fn all(&self) -> Vec<&'static str> {
        self.text.split(' ').collect()
    }
}
