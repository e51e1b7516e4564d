//! Exports one list of a report as a file, CSV or JSON.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value};

use super::AppState;
use super::access::Permission;
use super::api::{QueryPairs, build_query, into_pairs, invalid_query, store_problem};
use super::compression;
use crate::event::{Dimension, Problem, Subject};
use crate::report::{self, ReportFilter, ReportParams, ReportQuery};
use crate::store::Store;

const DEFAULT_ROWS: u32 = 1000;

/// The lists that can be exported, in the order of `docs/openapi.json`.
fn exported_tables() -> impl Iterator<Item = &'static str> {
    let subjects = Subject::ITEM_SUBJECTS.into_iter().map(Subject::name);
    let dimensions = Subject::Site.dimensions().iter().map(|dim| dim.name());
    std::iter::once("series")
        .chain(subjects)
        .chain(["money"])
        .chain(dimensions)
        .chain(["vitals", "faults"])
}

fn join_table_names() -> String {
    let names: Vec<&str> = exported_tables().collect();
    names.join(", ")
}

/// `GET /api/v1/sites/{site}/export`.
pub async fn get_export(
    request: HttpRequest,
    name: web::Path<String>,
    query: QueryPairs,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let file = build_file(&request, query, &name, &site).await?;

    let mut answer = HttpResponse::Ok();
    answer
        .content_type(file.content_type)
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"{}\"", file.name),
        ));
    Ok(compression::compressed_response(
        answer, &request, file.body,
    ))
}

struct ExportFile {
    name: String,
    content_type: &'static str,
    body: Vec<u8>,
}

async fn build_file(
    request: &HttpRequest,
    query: QueryPairs,
    name: &str,
    site: &AppState,
) -> Result<ExportFile, Problem> {
    let accepted = || {
        invalid_query(
            "accepted are table, format (csv or json), bom (true), range, filter and limit, once \
             each",
        )
    };
    site.check_permission(request, Permission::ReadSite(name))?;

    let (own, rest): (Vec<_>, Vec<_>) = into_pairs(query)?
        .into_iter()
        .partition(|(key, _)| ["table", "format", "bom"].contains(&&**key));
    let own: Map<String, Value> = own
        .into_iter()
        .map(|(key, value)| (key, Value::String(value)))
        .collect();
    let word = |key: &str| own.get(key).and_then(Value::as_str);
    let table = word("table")
        .ok_or_else(|| invalid_query(format!("table must be {}", join_table_names())))?;
    let mut asked = ReportParams::from_pairs(rest).ok_or_else(accepted)?;
    asked.limit = asked.limit.or(Some(DEFAULT_ROWS));

    let question = build_query(name, site, asked)?;
    let store = site.require_shard(question.site)?;
    let stem = format!(
        "{name}-{table}-{}-{}",
        question.days.first(),
        question.days.last()
    );
    let marked = match word("bom") {
        None => false,
        Some("true") => true,
        Some(_) => return Err(accepted()),
    };
    let names = table_columns(table, question.filter.as_ref());
    let rows = load_rows(&store, question, table).await?;

    match word("format") {
        None | Some("csv") => Ok(ExportFile {
            name: format!("{stem}.csv"),
            content_type: "text/csv; charset=utf-8; header=present",
            body: write_csv(&rows, names, marked),
        }),
        Some("json") => Ok(ExportFile {
            name: format!("{stem}.json"),
            content_type: "application/json",
            body: serde_json::to_vec(&rows).expect("JSON that was made here"),
        }),
        Some(_) => Err(accepted()),
    }
}

async fn load_rows(
    store: &Store,
    question: ReportQuery,
    table: &str,
) -> Result<Vec<Value>, Problem> {
    let answer = match table {
        "vitals" => to_json_value(
            report::run_vitals_report(store, &question)
                .await
                .map_err(store_problem)?,
        ),
        "faults" => to_json_value(
            report::run_faults_report(store, &question)
                .await
                .map_err(store_problem)?,
        ),
        _ => to_json_value(
            report::run_report(store, question)
                .await
                .map_err(store_problem)?,
        ),
    };

    let list = match table {
        "vitals" => return Ok(flatten_vitals(&answer)),
        "faults" => &answer["rows"],
        "series" | "money" => &answer[table],
        _ if Subject::from_name(table).is_some_and(|subject| subject != Subject::Site) => {
            &answer["subjects"][table]["rows"]
        }
        _ if Dimension::from_name(table).is_some_and(|dim| dim != Dimension::Total) => {
            &answer["dimensions"][table]["rows"]
        }
        _ => {
            return Err(invalid_query(format!(
                "table must be {}",
                join_table_names()
            )));
        }
    };
    Ok(list.as_array().cloned().unwrap_or_default())
}

fn to_json_value(answer: impl serde::Serialize) -> Value {
    serde_json::to_value(answer).expect("a response is JSON")
}

/// One row per page and metric.
fn flatten_vitals(answer: &Value) -> Vec<Value> {
    let pages = answer["pages"].as_array().into_iter().flatten();
    let rows = pages.flat_map(|page| {
        page["metrics"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(metric, speed)| {
                let mut row = Map::new();
                row.insert("path".to_owned(), page["path"].clone());
                row.insert("metric".to_owned(), metric.clone().into());
                row.extend(
                    speed
                        .as_object()
                        .into_iter()
                        .flatten()
                        .map(|(key, value)| (key.clone(), value.clone())),
                );
                Value::Object(row)
            })
    });
    rows.collect()
}

/// The columns of a table, also of an empty one.
fn table_columns(table: &str, filter: Option<&ReportFilter>) -> &'static [&'static str] {
    let of_people = matches!(filter, Some(ReportFilter::Value(..)));
    match table {
        "vitals" => &[
            "path",
            "metric",
            "hits",
            "good",
            "needs_improvement",
            "poor",
            "p75",
            "p90",
        ],
        "faults" => &["kind", "fault", "path", "hits"],
        "money" => &["event", "currency", "hits", "over", "minor", "digits"],
        "series" if filter.is_none() => &["at", "hits", "visitors", "visits", "bounces", "seconds"],
        "series" => &[
            "at", "hits", "visitors", "visits", "bounces", "seconds", "exits", "entries",
        ],
        _ if Dimension::from_name(table).is_some() => &["value", "visitors", "visits"],
        _ if of_people => &["item", "visitors", "visits"],
        _ => &[
            "item", "hits", "visitors", "visits", "bounces", "seconds", "exits", "entries",
        ],
    }
}

/// Tells Excel that the file is UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Columns that identify a row come before its numbers.
const LEADING_COLUMNS: [&str; 9] = [
    "at", "item", "value", "event", "currency", "kind", "fault", "path", "metric",
];

/// The columns are `names`, and any others that rows have.
fn write_csv(rows: &[Value], names: &[&'static str], marked: bool) -> Vec<u8> {
    let keys = rows
        .iter()
        .filter_map(Value::as_object)
        .flat_map(Map::keys)
        .map(String::as_str);
    let mut columns: Vec<&str> = names.iter().copied().chain(keys).collect();
    columns.sort_by_key(|key| {
        (
            LEADING_COLUMNS
                .iter()
                .position(|leading| leading == key)
                .unwrap_or(LEADING_COLUMNS.len()),
            *key,
        )
    });
    columns.dedup();
    let start = if marked { BYTE_ORDER_MARK } else { &[] };
    let mut file = csv::Writer::from_writer(start.to_vec());
    let mut write = |cells: Vec<String>| file.write_record(cells).expect("memory takes it");
    write(columns.iter().map(|column| (*column).to_owned()).collect());
    for row in rows {
        write(
            columns
                .iter()
                .map(|column| csv_cell(&row[*column]))
                .collect(),
        );
    }
    file.into_inner().expect("memory takes it")
}

/// First characters of formulas, including the full-width forms of Japanese spreadsheets.
const FORMULA_STARTS: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];
/// Characters after which a cell can begin in spreadsheets that do not split at commas: in many
/// European locales they split at semicolons, and then read the quotes as letters.
const CELL_SEPARATORS: [char; 4] = [';', '\t', '\n', '\r'];

fn csv_cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => escape_formulas(text),
        other => other.to_string(),
    }
}

/// Puts an apostrophe before a formula, wherever it could begin a cell.
fn escape_formulas(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut begins = true;
    for c in text.chars() {
        if begins && FORMULA_STARTS.contains(&c) {
            safe.push('\'');
        }
        safe.push(c);
        begins = CELL_SEPARATORS.contains(&c) || begins && (c == '"' || c.is_whitespace());
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
            assert_eq!(escape_formulas(text), safe, "{text:?}");
        }
        let rows = [json!({"item": "a, b;\"=1+1\"", "hits": 1})];
        let file = String::from_utf8(write_csv(&rows, &[], false)).unwrap();
        let formula = |cell: &str| cell.trim_matches([' ', '"']).starts_with(FORMULA_STARTS);
        assert!(
            !file.lines().flat_map(|line| line.split(';')).any(formula),
            "{file}"
        );
    }

    #[test]
    fn the_tables_are_those_of_the_description() {
        let described: Value =
            serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
        assert_eq!(
            described["components"]["parameters"]["table"]["schema"]["enum"],
            json!(exported_tables().collect::<Vec<_>>())
        );
    }

    #[test]
    fn a_file_has_a_line_of_names_and_no_formula() {
        let rows = [
            json!({"item": "=cmd()", "hits": 3}),
            json!({"item": "a \"b\", c\nd", "hits": 1, "exits": 2}),
            json!({"item": "@mia", "hits": -1}),
        ];
        let expected = "item,exits,hits\n'=cmd(),,3\n\"a \"\"b\"\", c\nd\",2,1\n'@mia,,-1\n";
        assert_eq!(
            String::from_utf8(write_csv(&rows, &[], false)).unwrap(),
            expected
        );
        let empty = String::from_utf8(write_csv(&[], table_columns("link", None), true)).unwrap();
        assert_eq!(
            empty,
            "\u{feff}item,bounces,entries,exits,hits,seconds,visitors,visits\n"
        );
    }
}
