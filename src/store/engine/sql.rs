//! As much of ClickHouse's grammar as the HTTP interface needs: what kind of statement it is, where an insert's data begins,
//! which format a result is asked in. Words in strings, quoted names, comments and brackets do not count.

/// What the service does with a statement.
#[derive(PartialEq, Eq, Debug)]
pub enum Plan<'a> {
    /// A `SELECT`, with the format its own `FORMAT` clause names.
    Read { format: Option<&'a str> },
    /// An `INSERT` that takes data: the statement without its `FORMAT`, the format, and data that follows in the same text.
    Insert { statement: &'a [u8], format: &'a str, inline: &'a [u8] },
    /// Everything else, `INSERT … SELECT` too.
    Other,
}

pub fn plan(sql: &[u8]) -> Plan<'_> {
    let mut words = Words::new(sql).peekable();
    match words.peek() {
        Some(first) if first.is("INSERT") => insert(sql, words),
        Some(first) if first.is("SELECT") || first.is("WITH") => read(words),
        _ => Plan::Other,
    }
}

/// The first word outside of strings, comments and brackets.
pub fn first_word(sql: &[u8]) -> Option<&[u8]> {
    let first = Words::new(sql).next()?;
    (first.start == 0 || !sql[..first.start].contains(&b'(')).then_some(first.text)
}

/// Whether a connection is as before after this statement: one plain read or insert. A `;` that is not at the end may hide a
/// second statement, wherever it stands.
pub fn stateless(sql: &[u8], plan: &Plan<'_>) -> bool {
    match plan {
        Plan::Read { .. } => !sql.trim_ascii_end().trim_suffix_byte(b';').contains(&b';'),
        Plan::Insert { statement, .. } => !statement.contains(&b';'),
        Plan::Other => false,
    }
}

trait TrimSuffixByte {
    fn trim_suffix_byte(&self, byte: u8) -> &[u8];
}

impl TrimSuffixByte for [u8] {
    fn trim_suffix_byte(&self, byte: u8) -> &[u8] {
        self.strip_suffix(&[byte]).unwrap_or(self)
    }
}

fn read<'a>(words: impl Iterator<Item = Word<'a>>) -> Plan<'a> {
    let words: Vec<Word<'a>> = words.collect();
    if words.iter().any(|word| word.is("INSERT")) {
        return Plan::Other;
    }
    // FORMAT may be a column's name: it is the clause where one bare word follows, and then the end or SETTINGS.
    let format = words.iter().enumerate().rev().find_map(|(at, word)| {
        let name = words.get(at + 1).filter(|_| word.is("FORMAT"))?;
        let ends = words.get(at + 2).is_none_or(|next| next.is("SETTINGS"));
        ends.then(|| std::str::from_utf8(name.text).ok()).flatten()
    });
    Plan::Read { format }
}

fn insert<'a>(sql: &'a [u8], words: impl Iterator<Item = Word<'a>>) -> Plan<'a> {
    let mut words = words.skip(1).peekable();
    words.next_if(|word| word.is("INTO"));
    words.next_if(|word| word.is("TABLE"));
    words.next_if(|word| word.is("FUNCTION"));
    words.next(); // The table, whatever it is called.
    while let Some(word) = words.next() {
        if word.dotted_before {
            continue;
        }
        if word.is("SELECT") || word.is("WITH") || word.is("WATCH") {
            return Plan::Other;
        }
        if word.is("VALUES") {
            let inline = sql[word.end()..].trim_ascii_start();
            return Plan::Insert { statement: &sql[..word.start], format: "Values", inline };
        }
        if word.is("FORMAT") {
            let Some(name) = words.next() else { return Plan::Other };
            let Ok(format) = std::str::from_utf8(name.text) else { return Plan::Other };
            return Plan::Insert { statement: &sql[..word.start], format, inline: inline(&sql[name.end()..]) };
        }
    }
    Plan::Insert { statement: sql, format: "Values", inline: b"" }
}

/// What follows a format's name is data after blanks and at most one line end; a `;` says there is none.
fn inline(rest: &[u8]) -> &[u8] {
    let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | 0x0c)).count();
    match rest[blanks..].split_first() {
        Some((b'\n', data)) => data,
        Some((b';', data)) if data.trim_ascii().is_empty() => b"",
        _ => &rest[blanks..],
    }
}

/// A bare word outside of all brackets.
struct Word<'a> {
    text: &'a [u8],
    start: usize,
    /// A dot precedes: the word is the rest of a name.
    dotted_before: bool,
}

impl Word<'_> {
    fn is(&self, keyword: &str) -> bool {
        self.text.eq_ignore_ascii_case(keyword.as_bytes())
    }

    fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

struct Words<'a> {
    sql: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Words<'a> {
    fn new(sql: &'a [u8]) -> Words<'a> {
        Words { sql, at: 0, depth: 0 }
    }

    fn skip_until(&mut self, end: &[u8]) {
        let rest = &self.sql[self.at..];
        let found = rest.windows(end.len()).position(|window| window == end);
        self.at += found.map_or(rest.len(), |found| found + end.len());
    }

    fn skip_quoted(&mut self, quote: u8) {
        self.at += 1;
        while let Some(&byte) = self.sql.get(self.at) {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == quote {
                break;
            }
        }
        self.at = self.at.min(self.sql.len());
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        while let Some(&byte) = self.sql.get(self.at) {
            match byte {
                b'\'' | b'"' | b'`' => {
                    let start = self.at;
                    self.skip_quoted(byte);
                    // A quoted name stands for a word, so that `INSERT INTO "values"` names a table.
                    if byte != b'\'' && self.depth == 0 {
                        return Some(self.word(start));
                    }
                }
                b'-' if self.sql[self.at..].starts_with(b"--") => self.skip_until(b"\n"),
                b'#' => self.skip_until(b"\n"),
                b'/' if self.sql[self.at..].starts_with(b"/*") => self.skip_until(b"*/"),
                b'(' | b'[' | b'{' => {
                    self.depth += 1;
                    self.at += 1;
                }
                b')' | b']' | b'}' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.at += 1;
                }
                _ if is_word(byte) => {
                    let start = self.at;
                    self.at += self.sql[start..].iter().take_while(|b| is_word(**b)).count();
                    if self.depth == 0 {
                        return Some(self.word(start));
                    }
                }
                _ => self.at += 1,
            }
        }
        None
    }
}

impl<'a> Words<'a> {
    fn word(&self, start: usize) -> Word<'a> {
        let dotted_before = start > 0 && self.sql[start - 1] == b'.';
        Word { text: &self.sql[start..self.at], start, dotted_before }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// A name in backticks.
pub fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// A string in quotes.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert_of<'a>(statement: &'a str, format: &'a str, inline: &'a str) -> Plan<'a> {
        Plan::Insert { statement: statement.as_bytes(), format, inline: inline.as_bytes() }
    }

    #[test]
    fn insert_data_begins_after_one_line_end() {
        assert_eq!(
            plan(b"INSERT INTO t (a, b) FORMAT RowBinary\n\n\nx"),
            insert_of("INSERT INTO t (a, b) ", "RowBinary", "\n\nx")
        );
        assert_eq!(plan(b"insert into t format Native"), insert_of("insert into t ", "Native", ""));
        assert_eq!(plan(b"INSERT INTO t VALUES (1, 'a\n\nb')"), insert_of("INSERT INTO t ", "Values", "(1, 'a\n\nb')"));
        assert_eq!(
            plan(b"INSERT INTO t SETTINGS a=1 FORMAT TSV;"),
            insert_of("INSERT INTO t SETTINGS a=1 ", "TSV", "")
        );
    }

    #[test]
    fn names_that_look_like_keywords_are_names() {
        assert_eq!(plan(b"INSERT INTO values FORMAT TSV\n1"), insert_of("INSERT INTO values ", "TSV", "1"));
        assert_eq!(plan(b"INSERT INTO db.format FORMAT TSV\n1"), insert_of("INSERT INTO db.format ", "TSV", "1"));
        assert_eq!(
            plan(b"INSERT INTO `format` (`select`) FORMAT TSV\n1"),
            insert_of("INSERT INTO `format` (`select`) ", "TSV", "1")
        );
        assert_eq!(plan(b"SELECT format FROM t"), Plan::Read { format: None });
    }

    #[test]
    fn a_select_inside_an_insert_is_run_as_it_stands() {
        assert_eq!(plan(b"INSERT INTO t SELECT 1"), Plan::Other);
        assert_eq!(plan(b"INSERT INTO t (a) WITH 1 AS x SELECT x"), Plan::Other);
        assert_eq!(plan(b"WITH 1 AS x INSERT INTO t SELECT x"), Plan::Other);
    }

    #[test]
    fn the_format_of_a_read_is_the_clause_at_its_end() {
        assert_eq!(plan(b"SELECT 1 FORMAT JSON"), Plan::Read { format: Some("JSON") });
        assert_eq!(plan(b"/* x */ SELECT 'FORMAT CSV' -- FORMAT TSV\n"), Plan::Read { format: None });
        assert_eq!(
            plan(b"WITH (SELECT 1 FORMAT X) AS y SELECT y FORMAT Native SETTINGS max_threads = 1"),
            Plan::Read { format: Some("Native") }
        );
        assert_eq!(plan(b"DESCRIBE TABLE t"), Plan::Other);
    }

    #[test]
    fn a_connection_is_kept_after_one_plain_statement_only() {
        let kept = |sql: &[u8]| stateless(sql, &plan(sql));
        assert!(kept(b"SELECT 1") && kept(b"SELECT 1;\n") && kept(b"INSERT INTO t FORMAT TSV\n1;2"));
        assert!(!kept(b"SELECT 1; SET max_threads = 1") && !kept(b"USE x") && !kept(b"SET a = 1"));
    }

    #[test]
    fn scanning_ends_whatever_the_bytes_are() {
        for sql in [
            &b"INSERT"[..],
            b"INSERT INTO",
            b"SELECT 'x",
            b"SELECT '\\",
            b"/*",
            b"--",
            b"INSERT INTO t FORMAT",
            b"\xff\xfe(",
            b"",
        ] {
            plan(sql);
        }
    }
}
