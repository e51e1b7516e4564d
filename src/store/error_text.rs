//! Code and name of an error in ClickHouse's text. Nothing else of the text may be kept: it quotes
//! data.

/// The number after the first `Code: `; `None` if the text has none.
pub(super) fn parse_error_code(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Code: ")?;
    rest.split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// The last `(UPPER_CASE)` of the text: ClickHouse's name for the code. It cannot be quoted data,
/// because the name follows the data.
pub(super) fn parse_error_name(text: &str) -> String {
    let names = text
        .rsplit('(')
        .filter_map(|part| part.split_once(')').map(|(name, _)| name));
    let is_name = |name: &&str| {
        name.len() > 3
            && name
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    names.take(2).find(is_name).unwrap_or("").to_owned()
}
