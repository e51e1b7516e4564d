//! Files of keys: one line per key, `<id> <key>`. Empty lines and lines that start with `#` are
//! skipped.

/// Why a file of keys is rejected. Names the line but never quotes it, because it holds a key.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyFileError {
    /// The line with this number, counted from 1, is malformed.
    #[error("line {0} is not an id (1 to 16 letters, digits, _ and -), a space and a key")]
    MalformedLine(usize),
    /// The line with this number, counted from 1, repeats the id of an earlier one.
    #[error("line {0} has the id of a line before it")]
    DuplicateId(usize),
    /// The file has no keys.
    #[error("it holds no key")]
    NoKeys,
}

/// The ids and keys of a file, in its order; at least one. `parse_key` makes a key of the text
/// after the id, and `None` if it is malformed.
///
/// # Errors
///
/// A line is malformed, an id occurs twice, or there is no key.
pub fn parse_keys<K>(
    text: &str,
    parse_key: impl Fn(&str) -> Option<K>,
) -> Result<Vec<(Box<str>, K)>, KeyFileError> {
    let mut keys: Vec<(Box<str>, K)> = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }

        let (id, key) = line
            .split_once(' ')
            .filter(|(id, _)| is_key_id(id))
            .and_then(|(id, key)| Some((id, parse_key(key)?)))
            .ok_or(KeyFileError::MalformedLine(place + 1))?;
        if keys.iter().any(|(known, _)| **known == *id) {
            return Err(KeyFileError::DuplicateId(place + 1));
        }
        keys.push((id.into(), key));
    }

    match keys.is_empty() {
        true => Err(KeyFileError::NoKeys),
        false => Ok(keys),
    }
}

/// Whether a text is a valid key id: 1 to 16 ASCII letters, digits, `_` and `-`.
pub fn is_key_id(id: &str) -> bool {
    (1..=16).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_an_id_and_a_key_and_an_error_names_the_line() {
        let parse = |text: &str| {
            let keys = parse_keys(text, |key| (key.len() >= 3).then(|| key.to_owned()))?;
            let lines = keys.into_iter().map(|(id, key)| format!("{id}={key}"));
            Ok::<Vec<String>, KeyFileError>(lines.collect())
        };
        let text = "# a comment\n\n a abc \nb abc d\n";
        assert_eq!(parse(text).unwrap(), ["a=abc", "b=abc d"]);

        for (text, error) in [
            ("", KeyFileError::NoKeys),
            ("a abc\n\na abcd", KeyFileError::DuplicateId(3)),
            ("a abc\nb", KeyFileError::MalformedLine(2)),
            ("a! abc", KeyFileError::MalformedLine(1)),
            ("a ab", KeyFileError::MalformedLine(1)),
            ("seventeen-letters abc", KeyFileError::MalformedLine(1)),
        ] {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
    }
}
