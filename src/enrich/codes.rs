//! A closed list of two-letter codes. Each hit asks two of them, so a code is found by its letters, not by searching.

/// No list has more: places are one byte, and one value of it means "not listed".
const MOST: usize = 255;
const ABSENT: u8 = 255;

pub struct Codes {
    /// The codes, one space between them.
    text: &'static str,
    first: u8,
    place: [u8; 26 * 26],
}

impl Codes {
    /// `first` is `a` or `A`, the case of the list. Built when the program is: a letter out of place does not compile.
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

    pub fn find(&self, code: &str) -> Option<&'static str> {
        let [high, low] = *code.as_bytes() else { return None };
        let letter = |b: u8| Some(usize::from(b.wrapping_sub(self.first))).filter(|n| *n < 26);
        let place = self.place[letter(high)? * 26 + letter(low)?];
        (place != ABSENT).then(|| &self.text[usize::from(place) * 3..usize::from(place) * 3 + 2])
    }

    #[cfg(test)]
    pub fn all(&self) -> Vec<&'static str> {
        self.text.split(' ').collect()
    }
}
