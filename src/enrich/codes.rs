//! A closed list of two-letter codes. Every hit looks up two of them, so a code is found by
//! indexing with its letters, not by searching.

/// The exclusive upper bound on the number of codes: positions are one byte, and one value means
/// "not listed".
const MOST: usize = 255;
const ABSENT: u8 = 255;

/// A list of two-letter codes, with a table of their positions.
pub struct Codes {
    /// The codes, one space between them.
    text: &'static str,
    first: u8,
    place: [u8; 26 * 26],
}

impl Codes {
    /// `text` has the codes in one case, separated by single spaces; `first` is `a` or `A`, its
    /// case. Evaluated at compile time, so a malformed list does not compile.
    pub const fn new(text: &'static str, first: u8) -> Codes {
        let bytes = text.as_bytes();
        let mut place = [ABSENT; 26 * 26];
        assert!(bytes.len() % 3 == 2 && bytes.len() / 3 < MOST);
        let mut at = 0;
        while at < bytes.len() {
            assert!(at + 2 == bytes.len() || bytes[at + 2] == b' ');
            place[(bytes[at] - first) as usize * 26 + (bytes[at + 1] - first) as usize] = (at / 3) as u8;
            at += 3;
        }
        Codes { text, first, place }
    }

    /// The listed code that equals `code`, in the list's case; `None` if there is none.
    pub fn find(&self, code: &str) -> Option<&'static str> {
        let [high, low] = *code.as_bytes() else { return None };
        let letter = |b: u8| Some(usize::from(b.wrapping_sub(self.first))).filter(|n| *n < 26);
        let place = self.place[letter(high)? * 26 + letter(low)?];
        (place != ABSENT).then(|| &self.text[usize::from(place) * 3..usize::from(place) * 3 + 2])
    }

    /// All codes, in the order of the list.
    #[cfg(test)]
    pub fn all(&self) -> Vec<&'static str> {
        self.text.split(' ').collect()
    }
}
