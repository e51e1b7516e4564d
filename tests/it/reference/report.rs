//! The report API's answers calculated from the reference's rows: the same JSON, each list computed
//! completely and then cut.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Map, Value, json};

use super::{Book, Counts, K, Row, SUBJECTS, dimensions_of};

/// The longest range in days that is drawn by the hour by default.
const HOURLY_DAYS: usize = 2;

/// The query: whole days, both inclusive.
#[derive(Clone, Debug)]
pub struct Question {
    pub from: Date,
    pub to: Date,
    pub limit: usize,
    /// `page:/u/mia`, `source:Google` and so on.
    pub filter: Option<(String, String)>,
}

impl Question {
    fn days(&self) -> Vec<Date> {
        self.from
            .series(jiff::Span::new().days(1))
            .take_while(|day| *day <= self.to)
            .collect()
    }
}

impl Question {
    /// Only sites have hours.
    fn by_hour(&self) -> bool {
        self.days().len() <= HOURLY_DAYS
    }
}

impl Book {
    pub fn answer(&self, question: &Question) -> Value {
        match &question.filter {
            None => self.overview(question),
            Some((by, value)) if ["page", "link", "event"].contains(&by.as_str()) => {
                self.of_item(question, by, value)
            }
            Some((by, value)) => self.of_value(question, by, value),
        }
    }

    fn head(&self, question: &Question) -> Value {
        let filter = question
            .filter
            .as_ref()
            .map(|(by, value)| json!({"by": by, "value": value}));
        json!({
            "site": self.name,
            "zone": self.zone.iana_name(),
            "from": question.from.to_string(),
            "to": question.to.to_string(),
            "k": K,
            "filter": filter,
            "compared": null,
            "attributes": {"through": self.through.min(question.to).to_string(), "hour": null},
        })
    }

    fn overview(&self, question: &Question) -> Value {
        let site = |row: &Row| row.subject == "site" && row.dim.is_empty();
        let mut answer = self.head(question);
        answer["totals"] = without_exits(self.sum(question, site));
        answer["interval"] = json!(if question.by_hour() { "hour" } else { "day" });
        answer["series"] = if question.by_hour() {
            self.each_hour(question)
        } else {
            self.each_day(question, site, without_exits)
        };
        let subject = |subject: &str| {
            let of = |row: &Row| row.subject == subject && row.dim.is_empty();
            json!({"hits": self.sum(question, of).hits, "rows": self.items(question, subject)})
        };
        let subjects = ["page", "link", "event"]
            .map(|name| (name.to_owned(), subject(name)))
            .into_iter()
            .collect();
        answer["money"] = self.earned(question);
        answer["subjects"] = Value::Object(subjects);
        answer["dimensions"] = self.dimensions(question, "site", "");
        answer
    }

    /// A page, link or event: its totals and where its visits came from.
    fn of_item(&self, question: &Question, subject: &str, item: &str) -> Value {
        let total = |row: &Row| row.subject == subject && row.item == item && row.dim.is_empty();
        let mut answer = self.head(question);
        answer["totals"] = with_exits(self.sum(question, total));
        answer["interval"] = json!("day");
        answer["series"] = self.each_day(question, total, with_exits);
        answer["subjects"] = json!({});
        answer["dimensions"] = self.dimensions(question, subject, item);
        answer
    }

    /// A source, campaign or country: what is published of it, and of it in the items its visits
    /// used.
    fn of_value(&self, question: &Question, dim: &str, value: &str) -> Value {
        let mut answer = self.head(question);
        let of_site = |row: &Row| row.subject == "site" && row.dim == dim && row.value == value;
        let totals = self
            .published(question, of_site, |_| ())
            .remove(&())
            .unwrap_or_default();
        answer["totals"] = json!({"visitors": totals.visitors, "visits": totals.visits});
        let subjects = SUBJECTS
            .iter()
            .filter(|(subject, dims)| *subject != "site" && dims.contains(&dim));
        let subjects: Map<String, Value> = subjects
            .map(|(subject, _)| {
                let of_value =
                    |row: &Row| row.subject == *subject && row.dim == dim && row.value == value;
                let items = self.published(question, of_value, |row| row.item.clone());
                (
                    subject.to_string(),
                    json!({"rows": largest(items, "item", question.limit)}),
                )
            })
            .collect();
        answer["subjects"] = Value::Object(subjects);
        answer["dimensions"] = json!({});
        answer
    }

    fn earned(&self, question: &Question) -> Value {
        let mut sums: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
        let in_range = |day: Date| question.from <= day && day <= question.to;
        for ((_, event, currency), (hits, minor)) in
            self.money.iter().filter(|((day, ..), _)| in_range(*day))
        {
            let sum = sums.entry((event, currency)).or_default();
            *sum = (sum.0 + hits, sum.1 + minor);
        }
        let row = |((event, currency), (hits, minor)): (&(&str, &str), &(u64, u64))| {
            let digits = if *currency == "JPY" { 0 } else { 2 };
            json!({"event": event, "currency": currency, "hits": hits, "over": 0, "minor": minor, "digits": digits})
        };
        sums.iter().map(row).collect()
    }

    fn dimensions(&self, question: &Question, subject: &str, item: &str) -> Value {
        let total = |row: &Row| row.subject == subject && row.item == item && row.dim.is_empty();
        let visitors = self.sum(question, total).visitors;
        let each = dimensions_of(subject).iter().map(|dim| {
            let of_dim = |row: &Row| row.subject == subject && row.item == item && row.dim == *dim;
            let values = self.published(question, of_dim, |row| row.value.clone());
            let published: u64 = values.values().map(|counts| counts.visitors).sum();
            let rows = largest(values, "value", question.limit);
            (
                dim.to_string(),
                json!({"published": published, "pending": visitors.saturating_sub(published), "rows": rows}),
            )
        });
        Value::Object(each.collect())
    }

    /// A subject's items, exact: by hits descending, then by name.
    fn items(&self, question: &Question, subject: &str) -> Vec<Value> {
        let totals = |row: &Row| row.subject == subject && row.dim.is_empty();
        let mut rows: Vec<(String, Counts)> = self
            .group(question, totals, |row| row.item.clone())
            .into_iter()
            .collect();
        rows.sort_by_key(|(item, counts)| (Reverse(counts.hits), item.clone()));
        rows.into_iter()
            .take(question.limit)
            .map(|(item, counts)| {
                let mut row = with_exits(counts);
                row["item"] = json!(item);
                row
            })
            .collect()
    }

    fn each_day(
        &self,
        question: &Question,
        which: impl Fn(&Row) -> bool,
        show: fn(Counts) -> Value,
    ) -> Value {
        let of_day = self.group(question, which, |row| row.day);
        let days = question.days().into_iter().map(|day| {
            let mut line = show(of_day.get(&day).copied().unwrap_or_default());
            line["at"] = json!(day.to_string());
            line
        });
        days.collect()
    }

    /// From local midnight to local midnight in steps of an hour, so 23 to 25 a day.
    fn each_hour(&self, question: &Question) -> Value {
        let midnight = |day: Date| {
            day.to_zoned(self.zone.clone())
                .expect("a day has a beginning")
                .timestamp()
                .as_second()
        };
        let end = midnight(
            question
                .to
                .tomorrow()
                .expect("not the last day of the calendar"),
        );
        let hours = (midnight(question.from)..end).step_by(3600).map(|start| {
            let local = Timestamp::from_second(start)
                .expect("within the range")
                .to_zoned(self.zone.clone());
            let mut line = without_exits(self.hours.get(&start).copied().unwrap_or_default());
            line["at"] = json!(local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string());
            line
        });
        hours.collect()
    }

    fn sum(&self, question: &Question, which: impl Fn(&Row) -> bool) -> Counts {
        self.group(question, which, |_| ())
            .remove(&())
            .unwrap_or_default()
    }

    /// The rows of the range that `which` selects, summed by `key`; sums of zeroes only are left
    /// out.
    fn group<T: Ord>(
        &self,
        question: &Question,
        which: impl Fn(&Row) -> bool,
        key: impl Fn(&Row) -> T,
    ) -> BTreeMap<T, Counts> {
        grouped(&self.rows, question, which, key)
    }

    /// The same for published rows.
    fn published<T: Ord>(
        &self,
        question: &Question,
        which: impl Fn(&Row) -> bool,
        key: impl Fn(&Row) -> T,
    ) -> BTreeMap<T, Counts> {
        grouped(&self.lots, question, which, key)
    }
}

fn grouped<T: Ord>(
    rows: &BTreeMap<Row, Counts>,
    question: &Question,
    which: impl Fn(&Row) -> bool,
    key: impl Fn(&Row) -> T,
) -> BTreeMap<T, Counts> {
    let mut groups: BTreeMap<T, Counts> = BTreeMap::new();
    let in_range = |row: &Row| question.from <= row.day && row.day <= question.to;
    for (row, counts) in rows.iter().filter(|(row, _)| in_range(row) && which(row)) {
        add(groups.entry(key(row)).or_default(), counts);
    }
    groups.retain(|_, counts| *counts != Counts::default());
    groups
}

fn add(sum: &mut Counts, more: &Counts) {
    sum.hits += more.hits;
    sum.visitors += more.visitors;
    sum.visits += more.visits;
    sum.bounces += more.bounces;
    sum.seconds += more.seconds;
    sum.exits += more.exits;
    sum.entries += more.entries;
}

fn without_exits(counts: Counts) -> Value {
    let Counts {
        hits,
        visitors,
        visits,
        bounces,
        seconds,
        ..
    } = counts;
    json!({"hits": hits, "visitors": visitors, "visits": visits, "bounces": bounces, "seconds": seconds})
}

fn with_exits(counts: Counts) -> Value {
    let mut shown = without_exits(counts);
    shown["exits"] = json!(counts.exits);
    shown["entries"] = json!(counts.entries);
    shown
}

/// Visitors descending, then visits, then by name.
fn largest(rows: BTreeMap<String, Counts>, key: &str, limit: usize) -> Vec<Value> {
    let mut rows: Vec<(String, Counts)> = rows.into_iter().collect();
    rows.sort_by(|(a, x), (b, y)| {
        (y.visitors, y.visits)
            .cmp(&(x.visitors, x.visits))
            .then(a.cmp(b))
    });
    let rows = rows.into_iter().take(limit).map(
        |(
            name,
            Counts {
                visitors, visits, ..
            },
        )| {
            let mut row = json!({"visitors": visitors, "visits": visits});
            row[key] = json!(name);
            row
        },
    );
    rows.collect()
}
