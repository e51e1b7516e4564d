//! Exports one list of a report as a file, CSV or JSON.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value};

use super::Site;
use super::access::Right;
use super::api::{bad_question, pairs, question_of, unread};
use super::coding;
use crate::event::{Dimension, Problem, Subject};
use crate::http::refuse;
use crate::report::{self, Asked, Filter, Question};
use crate::store::Store;

const TABLES: &str = "series, page, link, event, money, source, channel, campaign, country, device, browser, os, language, vitals or faults";
const ROWS: u32 = 1000;

/// `GET /api/v1/sites/{site}/export`.
pub async fn export(request: HttpRequest, name: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    match file(&request, &name, &site).await {
        Ok(file) => {
            let mut answer = HttpResponse::Ok();
            answer
                .content_type(file.kind)
                .insert_header((CACHE_CONTROL, "no-store"))
                .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
                .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", file.name)));
            coding::sent(answer, &request, file.body)
        }
        Err(problem) => refuse(&problem, None).await,
    }
}

struct File {
    name: String,
    kind: &'static str,
    body: Vec<u8>,
}

async fn file(request: &HttpRequest, name: &str, site: &Site) -> Result<File, Problem> {
    let accepted =
        || bad_question("accepted are table, format (csv or json), bom (true), range, filter and limit, once each");
    site.allow(request, Right::Site(name))?;

    let (own, rest): (Vec<_>, Vec<_>) =
        pairs(request)?.into_iter().partition(|(key, _)| ["table", "format", "bom"].contains(&&**key));
    let own: Map<String, Value> = own.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
    let word = |key: &str| own.get(key).and_then(Value::as_str);
    let table = word("table").ok_or_else(|| bad_question(format!("table must be {TABLES}")))?;
    let mut asked = Asked::of(rest).ok_or_else(accepted)?;
    asked.limit = asked.limit.or(Some(ROWS));

    let (store, question) = question_of(name, site, asked)?;
    let stem = format!("{name}-{table}-{}-{}", question.from, question.to);
    let marked = match word("bom") {
        None => false,
        Some("true") => true,
        Some(_) => return Err(accepted()),
    };
    let names = names(table, question.filter.as_ref());
    let rows = rows(&store, question, table).await?;

    match word("format") {
        None | Some("csv") => Ok(File {
            name: format!("{stem}.csv"),
            kind: "text/csv; charset=utf-8; header=present",
            body: csv(&rows, names, marked),
        }),
        Some("json") => Ok(File {
            name: format!("{stem}.json"),
            kind: "application/json",
            body: serde_json::to_vec(&rows).expect("JSON that was made here"),
        }),
        Some(_) => Err(accepted()),
    }
}

async fn rows(store: &Store, question: Question, table: &str) -> Result<Vec<Value>, Problem> {
    let answer = match table {
        "vitals" => value(report::vitals(store, &question).await.map_err(unread)?),
        "faults" => value(report::faults(store, &question).await.map_err(unread)?),
        _ => value(report::ask(store, question).await.map_err(unread)?),
    };

    let list = match table {
        "vitals" => return Ok(flat_vitals(&answer)),
        "faults" => &answer["rows"],
        "series" | "money" => &answer[table],
        _ if Subject::from_name(table).is_some_and(|subject| subject != Subject::Site) => {
            &answer["subjects"][table]["rows"]
        }
        _ if Dimension::from_name(table).is_some_and(|dim| dim != Dimension::Total) => {
            &answer["dimensions"][table]["rows"]
        }
        _ => return Err(bad_question(format!("table must be {TABLES}"))),
    };
    Ok(list.as_array().cloned().unwrap_or_default())
}

fn value(answer: impl serde::Serialize) -> Value {
    serde_json::to_value(answer).expect("an answer is JSON")
}

/// One row per page and metric.
fn flat_vitals(answer: &Value) -> Vec<Value> {
    let pages = answer["pages"].as_array().into_iter().flatten();
    let rows = pages.flat_map(|page| {
        page["metrics"].as_object().into_iter().flatten().map(|(metric, speed)| {
            let mut row = Map::new();
            row.insert("path".to_owned(), page["path"].clone());
            row.insert("metric".to_owned(), metric.clone().into());
            row.extend(speed.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
            Value::Object(row)
        })
    });
    rows.collect()
}

/// The columns of a table, also of an empty one.
fn names(table: &str, filter: Option<&Filter>) -> &'static [&'static str] {
    let of_people = matches!(filter, Some(Filter::Value(..)));
    match table {
        "vitals" => &["path", "metric", "hits", "good", "needs_improvement", "poor", "p75", "p90"],
        "faults" => &["kind", "fault", "path", "hits"],
        "money" => &["event", "currency", "hits", "over", "minor", "digits"],
        "series" if filter.is_none() => &["at", "hits", "visitors", "visits", "bounces", "seconds"],
        "series" => &["at", "hits", "visitors", "visits", "bounces", "seconds", "exits", "entries"],
        _ if Dimension::from_name(table).is_some() => &["value", "visitors", "visits"],
        _ if of_people => &["item", "visitors", "visits"],
        _ => &["item", "hits", "visitors", "visits", "bounces", "seconds", "exits", "entries"],
    }
}

/// Tells Excel that the file is UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Columns that identify a row come before its numbers.
const LEADING: [&str; 9] = ["at", "item", "value", "event", "currency", "kind", "fault", "path", "metric"];

/// The columns are `names`, and any others that rows have.
fn csv(rows: &[Value], names: &[&'static str], marked: bool) -> Vec<u8> {
    let keys = rows.iter().filter_map(Value::as_object).flat_map(Map::keys).map(String::as_str);
    let mut columns: Vec<&str> = names.iter().copied().chain(keys).collect();
    columns.sort_by_key(|key| (LEADING.iter().position(|leading| leading == key).unwrap_or(LEADING.len()), *key));
    columns.dedup();
    let start = if marked { BYTE_ORDER_MARK } else { &[] };
    let mut file = csv::Writer::from_writer(start.to_vec());
    let mut write = |cells: Vec<String>| file.write_record(cells).expect("memory takes it");
    write(columns.iter().map(|column| (*column).to_owned()).collect());
    for row in rows {
        write(columns.iter().map(|column| cell(&row[*column])).collect());
    }
    file.into_inner().expect("memory takes it")
}

/// First characters of formulas, including the full-width forms of Japanese spreadsheets.
const FORMULA: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];
/// Characters after which a cell can begin in spreadsheets that do not split at commas: half of
/// Europe's split at semicolons, and then read our quotes as letters.
const SPLITTERS: [char; 4] = [';', '\t', '\n', '\r'];

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => harmless(text),
        other => other.to_string(),
    }
}

/// Puts an apostrophe before a formula, wherever it could begin a cell.
fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut begins = true;
    for c in text.chars() {
        if begins && FORMULA.contains(&c) {
            safe.push('\'');
        }
        safe.push(c);
        begins = SPLITTERS.contains(&c) || begins && (c == '"' || c.is_whitespace());
    }
    safe
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_cell_begins_with_a_formula_whatever_it_is_split_by() {
        for (text, safe) in [
            ("plain -text + more", "plain -text + more"),
            ("\t=1", "'\t'=1"),
            ("\r-1", "'\r'-1"),
            ("＝1", "'＝1"),
            ("＋1", "'＋1"),
            ("－1", "'－1"),
            ("＠x", "'＠x"),
            (" =1", " '=1"),
            ("\"=1\"", "\"'=1\""),
            ("shoes;=cmd()", "shoes;'=cmd()"),
            ("shoes; @x;+1", "shoes; '@x;'+1"),
            ("a\n=1", "a\n'=1"),
            ("a;b", "a;b"),
        ] {
            assert_eq!(harmless(text), safe, "{text:?}");
        }
        let rows = [json!({"item": "a, b;\"=1+1\"", "hits": 1})];
        let file = String::from_utf8(csv(&rows, &[], false)).unwrap();
        let formula = |cell: &str| cell.trim_matches([' ', '"']).starts_with(FORMULA);
        assert!(!file.lines().flat_map(|line| line.split(';')).any(formula), "{file}");
    }

    #[test]
    fn a_file_has_a_line_of_names_and_no_formula() {
        let rows = [
            json!({"item": "=cmd()", "hits": 3}),
            json!({"item": "a \"b\", c\nd", "hits": 1, "exits": 2}),
            json!({"item": "@mia", "hits": -1}),
        ];
        let expected = "item,exits,hits\n'=cmd(),,3\n\"a \"\"b\"\", c\nd\",2,1\n'@mia,,-1\n";
        assert_eq!(String::from_utf8(csv(&rows, &[], false)).unwrap(), expected);
        let empty = String::from_utf8(csv(&[], names("link", None), true)).unwrap();
        assert_eq!(empty, "\u{feff}item,bounces,entries,exits,hits,seconds,visitors,visits\n");
    }
}
