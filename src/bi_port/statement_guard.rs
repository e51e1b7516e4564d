//! Finds the word `file` in what a client sends.
//!
//! The engine is clickhouse-local, in which the function `file` reads any file of its process
//! without a right that could be withheld. So nothing that names it is passed on. The word is
//! looked for in everything, also in texts and comments, and also where it is written with escapes:
//! the guard does not depend on reading statements the way ClickHouse does.

/// Looks for the word in a stream of bytes, across the borders of its chunks.
#[derive(Default)]
pub(super) struct StatementGuard {
    plain: WordMatcher,
    decoded: EscapeDecoder,
    twice: EscapeDecoder,
}

impl StatementGuard {
    /// Reads more of the stream. Whether the word was in it, from the beginning on.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        for &byte in bytes {
            self.plain.push(byte);
            let (decoded, twice) = (&mut self.decoded, &mut self.twice);
            decoded.push(byte, &mut |byte| twice.push(byte, &mut |_| {}));
        }
        self.plain.found || self.decoded.matcher.found || self.twice.matcher.found
    }

    /// Ends the stream. Whether the word was in it.
    pub(super) fn finish(mut self) -> bool {
        self.push(b" ")
    }
}

/// Whether the word is in a complete text.
pub(super) fn contains_forbidden_word(bytes: &[u8]) -> bool {
    let mut guard = StatementGuard::default();
    guard.push(bytes);
    guard.finish()
}

const WORD: &[u8; 4] = b"file";

/// Finds the word, in any case, between bytes that cannot be part of a name.
#[derive(Default)]
struct WordMatcher {
    /// Bytes of the word matched so far, or more than its length inside another word.
    matched: usize,
    found: bool,
}

impl WordMatcher {
    const OTHER_WORD: usize = usize::MAX;

    fn push(&mut self, byte: u8) {
        let in_word = byte.is_ascii_alphanumeric() || byte == b'_';
        self.matched = match self.matched {
            matched if !in_word => {
                self.found |= matched == WORD.len();
                0
            }
            matched if matched < WORD.len() && byte.to_ascii_lowercase() == WORD[matched] => {
                matched + 1
            }
            _ => WordMatcher::OTHER_WORD,
        };
    }
}

/// Undoes the escapes of quoted texts and names: `\x66` is `f`, `\N` is nothing, and before
/// anything else the backslash goes.
#[derive(Default)]
struct EscapeDecoder {
    state: EscapeState,
    matcher: WordMatcher,
}

#[derive(Default, Clone, Copy)]
enum EscapeState {
    #[default]
    Text,
    Backslash,
    Hex(Option<u8>),
}

impl EscapeDecoder {
    fn push(&mut self, byte: u8, next: &mut impl FnMut(u8)) {
        match (self.state, byte) {
            (EscapeState::Text, b'\\') => self.state = EscapeState::Backslash,
            (EscapeState::Text, _) => self.emit(byte, next),
            (EscapeState::Backslash, b'x') => self.state = EscapeState::Hex(None),
            (EscapeState::Backslash, b'N') => self.state = EscapeState::Text,
            (EscapeState::Backslash, _) => {
                self.state = EscapeState::Text;
                self.emit(byte, next);
            }
            (EscapeState::Hex(first), _) => match (first, hex_value(byte)) {
                (None, Some(high)) => self.state = EscapeState::Hex(Some(high)),
                (Some(high), Some(low)) => {
                    self.state = EscapeState::Text;
                    self.emit(high << 4 | low, next);
                }
                (_, None) => {
                    self.state = EscapeState::Text;
                    self.push(byte, next);
                }
            },
        }
    }

    fn emit(&mut self, byte: u8, next: &mut impl FnMut(u8)) {
        self.matcher.push(byte);
        next(byte);
    }
}

fn hex_value(byte: u8) -> Option<u8> {
    (byte as char)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_found_however_it_is_written_and_wherever_the_stream_is_cut() {
        for text in [
            "SELECT file('/etc/passwd')",
            "SELECT FILE ('/etc/passwd')",
            "SELECT `file`('/etc/passwd')",
            r"SELECT `\x66ile`('/etc/passwd')",
            r"SELECT `f\x69\x6C\x65`('/etc/passwd')",
            r"SELECT `fi\Nle`('/etc/passwd')",
            r"SELECT `fi\N\N\Nle`('/etc/passwd')",
            r"SELECT 1 SETTINGS x = '`\\x66ile`(1)'",
            "SELECT '/etc/passwd' AS x APPLY(file)",
            "file",
            "SELECT '/etc/passwd' APPLY file",
            "SELECT/**/file/**/('/etc/passwd')",
            "SELECT\u{a0}file('/etc/passwd')",
        ] {
            assert!(contains_forbidden_word(text.as_bytes()), "{text}");
            for cut in 0..text.len() {
                let mut guard = StatementGuard::default();
                guard.push(&text.as_bytes()[..cut]);
                guard.push(&text.as_bytes()[cut..]);
                assert!(guard.finish(), "{text} cut at {cut}");
            }
        }
    }

    #[test]
    fn other_words_pass() {
        for text in [
            "SELECT profile, files, file_name, mobile FROM pages",
            r"SELECT match(page, '^/u/\\w+\\.html$'), 'fil' || 'e'",
            "",
            "fil",
            r"\x",
        ] {
            assert!(!contains_forbidden_word(text.as_bytes()), "{text}");
        }
    }
}
