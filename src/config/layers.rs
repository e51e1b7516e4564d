//! Merges the sources of the configuration, and records where each key was written.

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::error::{ConfigError, KeyLocations, line_of};

/// A parsed TOML file, with the line of every key.
pub(super) struct ParsedToml {
    /// The values.
    pub table: Table,
    key_lines: Vec<(String, usize)>,
}

impl ParsedToml {
    /// Parses a file. Returns all syntax errors at once. They do not quote the text, because a line
    /// may hold a secret.
    pub(super) fn parse(name: &str, text: &str) -> Result<ParsedToml, Vec<ConfigError>> {
        let line = |at: usize| line_of(text, at);
        let said = |error: &toml::de::Error| ConfigError {
            place: format!("{name}:{}", error.span().map_or(1, |span| line(span.start))),
            key: String::new(),
            reason: error.message().to_owned(),
        };
        let (spanned, mut errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
            return Err(errors.iter().map(said).collect());
        }
        // Finds numbers that are valid TOML but exceed 64 bits.
        let table = text.parse::<Table>().map_err(|error| vec![said(&error)])?;
        let mut lines = Vec::new();
        record_table_lines(spanned.get_ref(), "", &line, &mut lines);
        Ok(ParsedToml {
            table,
            key_lines: lines,
        })
    }
}

fn record_table_lines(
    table: &DeTable<'_>,
    around: &str,
    line: &impl Fn(usize) -> usize,
    lines: &mut Vec<(String, usize)>,
) {
    for (name, value) in table {
        let key = join_key(around, name.get_ref());
        lines.push((key.clone(), line(name.span().start)));
        record_value_lines(value, &key, line, lines);
    }
}

fn record_value_lines(
    value: &Spanned<DeValue<'_>>,
    key: &str,
    line: &impl Fn(usize) -> usize,
    lines: &mut Vec<(String, usize)>,
) {
    // Only tables and lists of them have keys below.
    match value.get_ref() {
        DeValue::Table(table) => record_table_lines(table, key, line, lines),
        DeValue::Array(entries) => {
            for (place, entry) in entries.iter().enumerate() {
                let key = format!("{key}[{place}]");
                lines.push((key.clone(), line(entry.span().start)));
                record_value_lines(entry, &key, line, lines);
            }
        }
        _ => {}
    }
}

fn join_key(around: &str, name: &str) -> String {
    if around.is_empty() {
        name.to_owned()
    } else {
        format!("{around}.{name}")
    }
}

/// The layers merged so far.
pub(super) struct ConfigLayers {
    /// The merged values.
    pub table: Table,
    /// Where each key was written.
    pub locations: KeyLocations,
}

impl ConfigLayers {
    pub(super) fn merge_file(&mut self, name: &str, read: ParsedToml) {
        let ConfigLayers {
            table,
            locations: places,
        } = self;
        merge_tables(table, read.table, "", &mut |key| places.remove_key(key));
        for (key, line) in read.key_lines {
            places.insert(&key, format!("{name}:{line}"));
        }
    }

    /// Sets one key, and creates the enclosing tables if needed.
    pub(super) fn set_key(&mut self, key: &str, value: Value, place: &str) {
        let mut layer = value;
        for part in key.rsplit('.') {
            layer = Value::Table(Table::from_iter([(part.to_owned(), layer)]));
        }
        let ConfigLayers {
            table,
            locations: places,
        } = self;
        if let Value::Table(layer) = layer {
            merge_tables(table, layer, "", &mut |key| places.remove_key(key));
        }
        places.insert(key, place.to_owned());
    }
}

/// Merges tables key by key; other values are replaced as a whole.
fn merge_tables(below: &mut Table, above: Table, around: &str, replaced: &mut impl FnMut(&str)) {
    for (name, value) in above {
        let key = join_key(around, &name);
        match (below.get_mut(&name), value) {
            (Some(Value::Table(below)), Value::Table(above)) => {
                merge_tables(below, above, &key, replaced)
            }
            (_, value) => {
                replaced(&key);
                below.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_where_the_last_layer_wrote_it() {
        let file = "[limits]\nbody_bytes = 1\nheaders = 2\n\n[[sites]]\nid = \"a\"\nhosts = [\n  \
            \"a.test\",\n  \"b.test\",\n]\n\n[[sites]]\nid = \"b\"\n";
        let mut layers = ConfigLayers {
            table: Table::new(),
            locations: KeyLocations::for_file("a.toml"),
        };
        layers.merge_file("a.toml", ParsedToml::parse("a.toml", file).ok().unwrap());
        layers.set_key("limits.headers", Value::from(3), "--set limits.headers");
        for (key, place) in [
            ("limits", "a.toml:1"),
            ("limits.body_bytes", "a.toml:2"),
            ("limits.headers", "--set limits.headers"),
            ("sites[0].hosts[1]", "a.toml:9"),
            ("sites[0].zone", "a.toml:5"),
            ("sites[1].id", "a.toml:13"),
            ("sites[1].zone", "a.toml:12"),
        ] {
            assert_eq!(layers.locations.location_of(key), place, "{key}");
        }
        assert_eq!(layers.table["limits"]["headers"], Value::from(3));
    }

    #[test]
    fn all_errors_of_syntax_are_told_by_their_lines_and_quote_nothing() {
        let errors = ParsedToml::parse(
            "a.toml",
            "[store]\npassword = \"SECRET\nuser = \"x\"\nurl = = 1\n",
        )
        .err()
        .unwrap();
        assert!(
            errors[0].place == "a.toml:2" && errors.len() >= 2,
            "{errors:?}"
        );
        assert!(
            errors
                .iter()
                .all(|error| !error.to_string().contains("SECRET")),
            "{errors:?}"
        );
        let errors = ParsedToml::parse("a.toml", "[limits]\n\nbody_bytes = 99999999999999999999\n")
            .err()
            .unwrap();
        assert_eq!((errors.len(), errors[0].place.as_str()), (1, "a.toml:3"));
    }
}
