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

/// The right that the user lacks, such as `CREATE TABLE` or `SELECT`; empty if the text names none.
/// What follows it names tables and columns, and is not kept.
pub(super) fn parse_missing_right(text: &str) -> &str {
    let rest = [
        "have the grant for at least one column on ",
        "have the grant ",
    ]
    .iter()
    .find_map(|before| text.split_once(before))
    .map_or("", |(_, rest)| rest);
    let is_right = |c: char| c.is_ascii_uppercase() || c == ' ';
    let right = rest.split(|c| !is_right(c)).next().unwrap_or_default();
    right.trim().trim_end_matches(" ON").trim()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_is_named_without_tables_and_columns() {
        let text = |rest: &str| {
            format!(
                "Code: 497. DB::Exception: CANARY: Not enough privileges. To execute this query, \
                 it's necessary to have the grant {rest}"
            )
        };
        for (rest, right) in [
            (
                "CREATE DATABASE ON footfall.*. (ACCESS_DENIED)",
                "CREATE DATABASE",
            ),
            (
                "SELECT(site, day) ON footfall.daily. (ACCESS_DENIED)",
                "SELECT",
            ),
            ("INSERT ON footfall.daily", "INSERT"),
            ("canary", ""),
        ] {
            assert_eq!(parse_missing_right(&text(rest)), right);
        }
        assert_eq!(parse_missing_right("Code: 60"), "");
    }
}
