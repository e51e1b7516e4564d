//! The `Cookie` header of a request. Values are looked up by name without allocation; other
//! applications' cookies are never copied.

/// The `Cookie` fields of a request, as sent. A proxy may split them over several lines, which form
/// one list (RFC 9113, section 8.2.3). The lines are bytes: a cookie set by another application may
/// not be valid UTF-8 and must not hide the collector's. Like the
/// [`RequestCaller`](super::RequestCaller) that refers to it, this type cannot be printed or
/// cloned.
#[derive(Default)]
pub struct RequestCookies<'a> {
    first_line: &'a [u8],
    /// The second and later lines. Usually empty: browsers send one line.
    more_lines: Vec<&'a [u8]>,
}

impl<'a> RequestCookies<'a> {
    /// Appends one `Cookie` line, without the field name.
    pub fn push_line(&mut self, line: &'a [u8]) {
        match self.first_line.is_empty() {
            true => self.first_line = line,
            false => self.more_lines.push(line),
        }
    }

    /// The values of all cookies with this name that are valid UTF-8, in the order they were sent.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let lines = std::iter::once(self.first_line).chain(self.more_lines.iter().copied());
        let values = lines
            .flat_map(|line| line.split(|byte| *byte == b';'))
            .filter_map(move |pair| {
                pair.trim_ascii()
                    .strip_prefix(name.as_bytes())?
                    .strip_prefix(b"=")
            });
        values.filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// Whether there is a cookie with this name and a valid UTF-8 value.
    pub fn has_cookie(&self, name: &str) -> bool {
        self.get_all(name).next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named<'a>(lines: &[&'a [u8]], name: &str) -> Vec<&'a str> {
        let mut cookies = RequestCookies::default();
        lines.iter().for_each(|line| cookies.push_line(line));
        cookies.get_all(name).collect()
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        assert_eq!(
            named(&[b"xff_consent=2; ff_consent=1.none"], "ff_consent"),
            ["1.none"]
        );
        assert_eq!(
            named(&[b"ff_consent2=1; ff_consent; =1"], "ff_consent"),
            [""; 0]
        );
        assert_eq!(named(&[], "ff_consent"), [""; 0]);
    }

    #[test]
    fn all_lines_are_one_list_and_the_order_stays() {
        let lines: [&[u8]; 3] = [b"a=1; c=2", b"", b"b=3;a=4 "];
        assert_eq!(named(&lines, "a"), ["1", "4"]);
        assert_eq!(
            (named(&lines, "b"), named(&lines, "c")),
            (vec!["3"], vec!["2"])
        );
    }

    #[test]
    fn bytes_that_are_no_text_hide_nothing_but_themselves() {
        let lines: [&[u8]; 2] = [b"x=\xff\xfe; a=1", b"\xe9=\xe9; a=\xe9; a=2"];
        assert_eq!(named(&lines, "a"), ["1", "2"]);
    }
}
