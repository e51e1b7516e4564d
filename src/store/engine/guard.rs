//! What a guest of the loopback port may ask, beyond what `readonly` refuses.
//!
//! A library differs from a server: it knows no users, and its scalar function `file` reads any path. Measured with
//! `readonly = 1`: `SELECT file('/etc/hostname')` answers the file, `KILL QUERY` ends the collector's inserts, `DESCRIBE url(…)`
//! connects. So only reads of tables pass, and words are looked for in the bare bytes: a statement that merely mentions one is
//! refused too (a parameter may hold it), and no quoting can hide one.

use super::Exception;
use super::sql::first_word;

/// Words that reach files or the network from inside a `SELECT`. `eval` runs a text it puts together itself.
const FORBIDDEN: [&str; 5] = ["file", "infile", "outfile", "eval", "catboostevaluate"];

pub fn check(sql: &[u8]) -> Result<(), Exception> {
    let reason = if !reads(sql) {
        "Guests may SELECT, SHOW, DESCRIBE a table and ask EXISTS"
    } else if has_forbidden_word(sql) {
        "The words file, infile, outfile and eval cannot be used here; pass them as a parameter"
    } else if may_hide_a_word(sql) {
        "A backslash cannot be used together with quoted names here; pass the text as a parameter"
    } else {
        return Ok(());
    };
    Err(Exception::new(Exception::READONLY, "READONLY", reason))
}

fn reads(sql: &[u8]) -> bool {
    let Some(first) = first_word(sql) else { return false };
    let is = |word: &str| first.eq_ignore_ascii_case(word.as_bytes());
    // A table function has brackets; describing one reads its source.
    let plain = !sql.contains(&b'(');
    is("SELECT") || is("WITH") || (plain && ["SHOW", "DESCRIBE", "DESC", "EXISTS"].into_iter().any(is))
}

fn has_forbidden_word(sql: &[u8]) -> bool {
    sql.split(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_')).any(is_forbidden)
}

fn is_forbidden(word: &[u8]) -> bool {
    // aiGenerate and its kin send their argument to a service.
    let asks_a_model = word.len() > 5 && word[..2].eq_ignore_ascii_case(b"ai") && word[2].is_ascii_uppercase();
    asks_a_model || FORBIDDEN.iter().any(|forbidden| word.eq_ignore_ascii_case(forbidden.as_bytes()))
}

/// Quoted names know escapes: `"\x66ile"` is the name of a function.
fn may_hide_a_word(sql: &[u8]) -> bool {
    let quotes_names = sql.iter().any(|byte| matches!(byte, b'`' | b'"')) || sql.windows(2).any(|w| w == b"\xe2\x80");
    quotes_names && sql.contains(&b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_of_tables_pass() {
        for sql in [
            "SELECT sum(hits) FROM daily WHERE item = '/profile/filed'",
            "/* report */ WITH 1 AS x SELECT `x`, \"x\"",
            "SELECT 'it\\'s'",
            "SHOW TABLES FROM footfall",
            "describe table daily",
            "EXISTS TABLE daily",
        ] {
            assert!(check(sql.as_bytes()).is_ok(), "{sql}");
        }
    }

    #[test]
    fn nothing_that_reaches_a_file_or_another_query_passes() {
        for sql in [
            "SELECT file('/etc/hostname')",
            "SELECT `file`('/etc/hostname')",
            "SELECT FiLe/**/('/etc/hostname')",
            "SELECT * APPLY(file) FROM (SELECT '/etc/hostname')",
            "SELECT `\\x66ile`('/etc/hostname')",
            "SELECT \"fi\\x6ce\"('/etc/hostname')",
            "SELECT \u{201c}fi\\x6ce\u{201d}('/etc/hostname')",
            "SELECT * FROM eval('SELECT 1')",
            "SELECT aiGenerate('x')",
            "SELECT 1 INTO OUTFILE '/tmp/x'",
            "INSERT INTO daily FROM INFILE '/tmp/x'",
            "DESCRIBE TABLE url('http://127.0.0.1/')",
            "DESC(SELECT 1)",
            "EXPLAIN SELECT 1",
            "KILL QUERY WHERE 1",
            "SYSTEM SHUTDOWN",
            "BACKUP TABLE t TO Disk('x')",
            "exit",
            "",
            "(SELECT 1)",
        ] {
            assert!(check(sql.as_bytes()).is_err(), "{sql}");
        }
    }
}
