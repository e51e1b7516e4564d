//! The identity of a script error: the error class, the path of the site's own script, and the
//! line. Messages could contain anything a visitor typed, and stack traces the URLs of other sites;
//! neither is accepted.

use super::path;
use super::text::looks_secret;
use crate::event::OTHER_VALUE;

const MAX_CLASS_BYTES: usize = 64;

/// For example `TypeError /app.js:12`. A part that is unknown or not acceptable is omitted, except
/// for the class, which becomes `(other)`. `line` is counted from 1; 0 means unknown.
pub fn format_script_error(name: &str, source: &str, line: u32) -> String {
    let mut text = clean_class(name).to_owned();
    let source = if source.starts_with('/') {
        path::clean_path(source.split(['?', '#']).next().unwrap_or(""))
    } else {
        "".into()
    };
    if !source.is_empty() {
        text.push(' ');
        text.push_str(&source);
        if line > 0 {
            text.push_str(&format!(":{line}"));
        }
    }
    text
}

fn clean_class(name: &str) -> &str {
    let mut chars = name.chars();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$' || c == '.';
    let ok = chars
        .next()
        .is_some_and(|c| is_word(c) && !c.is_ascii_digit() && c != '.')
        && chars.all(is_word);
    if ok && name.len() <= MAX_CLASS_BYTES && !looks_secret(name) {
        name
    } else {
        OTHER_VALUE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_a_class_and_a_place_and_never_a_text() {
        let cases = [
            (("TypeError", "/app.js", 12), "TypeError /app.js:12"),
            (
                ("TypeError", "/app.js?token=1#x", 12),
                "TypeError /app.js:12",
            ),
            (
                ("DOMException", "/u/mia//app.js", 0),
                "DOMException /u/mia/app.js",
            ),
            (("$Err_1.Sub", "", 7), "$Err_1.Sub"),
            (("RangeError", "https://cdn.example/x.js", 7), "RangeError"),
            (
                ("cannot read ann@mail.example", "/app.js", 1),
                "(other) /app.js:1",
            ),
            (
                (
                    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
                    "/order/123456789/app.js",
                    3,
                ),
                "(other) /order/(id)/app.js:3",
            ),
            (("", "", 0), "(other)"),
            (("1Error", "", 0), "(other)"),
        ];
        for ((name, source, line), expected) in cases {
            assert_eq!(format_script_error(name, source, line), expected);
        }
        assert_eq!(format_script_error(&"E".repeat(65), "", 0), "(other)");
    }
}
