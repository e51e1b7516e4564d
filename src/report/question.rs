use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::Deserialize;

use crate::event::{Day, Dimension, Millis, Problem, SiteId, Subject};

const MOST_ROWS: u32 = 1000;
const ROWS: u32 = 10;
const MOST_DAYS: i32 = 3 * 366;
/// Without `from` and `to`: the week that ends today.
const USUAL_DAYS: i64 = 7;

/// A question as it comes in a query string.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    pub from: Option<String>,
    pub to: Option<String>,
    pub limit: Option<u32>,
    pub filter: Option<String>,
}

/// One filter at a time, in either direction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Filter {
    /// A page, link or event: its totals and where its visitors came from.
    Item(Subject, String),
    /// A source, country or campaign: what its visitors did.
    Value(Dimension, String),
}

/// A question that can be answered.
#[derive(Debug)]
pub struct Question {
    pub name: String,
    pub site: SiteId,
    pub zone: TimeZone,
    pub from: Day,
    pub to: Day,
    pub limit: usize,
    pub filter: Option<Filter>,
    /// Below this many visitors a value is not shown apart.
    pub k: u64,
    /// Attribute rows older than this are kept by month.
    pub fold_after_days: u32,
    pub today: Day,
}

impl Question {
    pub fn new(
        name: &str,
        (site, zone): (SiteId, &TimeZone),
        asked: Asked,
        now: Millis,
        (k, fold_after_days): (u32, u32),
    ) -> Result<Question, Problem> {
        let today = Timestamp::from_millisecond(now).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone.clone()).date();
        let to = date("to", asked.to.as_deref())?.unwrap_or(today);
        let usual = || to.checked_sub((USUAL_DAYS - 1).days()).map_or(to, |from| from.max(Date::constant(1970, 1, 1)));
        let from = date("from", asked.from.as_deref())?.unwrap_or_else(usual);
        let days = (to - from).get_days();
        if !(0..MOST_DAYS).contains(&days) {
            return Err(bad("from", format!("must be at or before to, and at most {MOST_DAYS} days before it")));
        }
        let limit = asked.limit.unwrap_or(ROWS);
        if !(1..=MOST_ROWS).contains(&limit) {
            return Err(bad("limit", format!("must be 1 to {MOST_ROWS}")));
        }
        let day = |name, date| {
            Day::from_date(date).ok_or_else(|| bad(name, "must be a day from 1970-01-01 to 2149-06-06".into()))
        };
        Ok(Question {
            name: name.to_owned(),
            site,
            zone: zone.clone(),
            from: day("from", from)?,
            to: day("to", to)?,
            limit: limit as usize,
            filter: asked.filter.as_deref().map(Filter::parse).transpose()?,
            k: u64::from(k),
            fold_after_days,
            today: day("to", today)?,
        })
    }

    pub fn zone_name(&self) -> String {
        self.zone.iana_name().unwrap_or("UTC").to_owned()
    }

    pub fn days(&self) -> usize {
        usize::from(self.to.number() - self.from.number()) + 1
    }

    /// The part of the range whose attribute rows are kept by day, or by months that lie wholly in the range. A folded month that is
    /// only touched is left out: its rows would tell of days nobody asked for. `None` when nothing is left.
    pub fn attribute_days(&self) -> Option<(Day, Day)> {
        let first_fresh = first_unfolded(self.today.date(), self.fold_after_days);
        let (mut from, mut to) = (self.from.date(), self.to.date());
        if from < first_fresh && from.day() != 1 {
            from = from.last_of_month().tomorrow().ok()?;
        }
        if to < first_fresh && to != to.last_of_month() {
            to = to.first_of_month().yesterday().ok()?;
        }
        (from <= to).then(|| Some((Day::from_date(from)?, Day::from_date(to)?))).flatten()
    }
}

/// The first month whose attribute rows are still by day: the one that began at most `fold_after_days` ago.
fn first_unfolded(today: Date, fold_after_days: u32) -> Date {
    let edge = today.checked_sub(i64::from(fold_after_days).days()).unwrap_or(today);
    let month = edge.first_of_month();
    if month == edge { month } else { month.last_of_month().tomorrow().unwrap_or(month) }
}

impl Filter {
    fn parse(text: &str) -> Result<Filter, Problem> {
        let accepted = "must be page:, link:, event:, source:, country: or campaign: and a value";
        let (by, value) = text.split_once(':').ok_or_else(|| bad("filter", accepted.into()))?;
        let value = value.to_owned();
        match (Subject::from_name(by), Dimension::from_name(by)) {
            (Some(subject), _) if subject != Subject::Site => Ok(Filter::Item(subject, value)),
            (_, Some(dim @ (Dimension::Source | Dimension::Country | Dimension::Campaign))) => {
                Ok(Filter::Value(dim, value))
            }
            _ => Err(bad("filter", accepted.into())),
        }
    }

    pub fn by(&self) -> &'static str {
        match self {
            Filter::Item(subject, _) => subject.name(),
            Filter::Value(dim, _) => dim.name(),
        }
    }

    pub fn value(&self) -> &str {
        match self {
            Filter::Item(_, value) | Filter::Value(_, value) => value,
        }
    }
}

fn date(name: &'static str, text: Option<&str>) -> Result<Option<Date>, Problem> {
    let parse = |text: &str| text.parse().map_err(|_| bad(name, "must be a day like 2026-03-01".into()));
    text.map(parse).transpose()
}

fn bad(name: &'static str, rule: String) -> Problem {
    Problem::new(400, "bad_question", "The question cannot be answered").detail(format!("{name} {rule}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(from: &str, to: &str, today: &str) -> Question {
        let asked = Asked { from: Some(from.into()), to: Some(to.into()), ..Asked::default() };
        let now = format!("{today}T12:00:00Z").parse::<Timestamp>().unwrap().as_millisecond();
        Question::new("mia", (SiteId::of("mia"), &TimeZone::UTC), asked, now, (5, 35)).unwrap()
    }

    #[test]
    fn without_a_range_it_is_the_week_that_ends_today() {
        let now = "2026-03-10T12:00:00Z".parse::<Timestamp>().unwrap().as_millisecond();
        let question =
            Question::new("mia", (SiteId::of("mia"), &TimeZone::UTC), Asked::default(), now, (5, 35)).unwrap();
        assert_eq!((question.from.to_string(), question.to.to_string()), ("2026-03-04".into(), "2026-03-10".into()));
    }

    #[test]
    fn attributes_of_folded_months_are_answered_by_whole_months_only() {
        let days = |from, to| {
            let days = question(from, to, "2026-05-20").attribute_days();
            days.map(|(from, to)| (from.to_string(), to.to_string()))
        };
        let expected = |from: &str, to: &str| Some((from.to_string(), to.to_string()));
        // On 20 May what began 35 days ago or earlier is folded: April and before.
        assert_eq!(days("2026-05-03", "2026-05-19"), expected("2026-05-03", "2026-05-19"));
        assert_eq!(days("2026-03-10", "2026-05-19"), expected("2026-04-01", "2026-05-19"));
        assert_eq!(days("2026-03-01", "2026-04-29"), expected("2026-03-01", "2026-03-31"));
        assert_eq!(days("2026-03-02", "2026-03-30"), None);
    }

    #[test]
    fn a_bad_question_is_told_what_is_accepted() {
        let ask = |asked| {
            Question::new("mia", (SiteId::of("mia"), &TimeZone::UTC), asked, 1_800_000_000_000, (5, 35))
                .unwrap_err()
                .detail
        };
        assert!(ask(Asked { from: Some("1 May".into()), ..Asked::default() }).contains("2026-03-01"));
        assert!(ask(Asked { limit: Some(0), ..Asked::default() }).contains("1 to 1000"));
        assert!(ask(Asked { filter: Some("browser:Firefox".into()), ..Asked::default() }).contains("source:"));
        assert!(ask(Asked { filter: Some("site:".into()), ..Asked::default() }).contains("page:"));
        let backwards = Asked { from: Some("2026-02-02".into()), to: Some("2026-02-01".into()), ..Asked::default() };
        assert!(ask(backwards).contains("at or before"));
    }
}
