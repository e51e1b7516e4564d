//! Parses and validates the parameters of a report: from a query string to a [`Question`], or an
//! error that says what the parameter accepts.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::range::{Against, HOURLY_DAYS, Interval, Named, WeekStart};
use crate::event::{Day, Dimension, Millis, Problem, SiteId, Subject};

const MOST_ROWS: u32 = 1000;
const ROWS: u32 = 10;
const MOST_DAYS: i64 = 3 * 366;
/// Without a range: the week that ends today.
const USUAL: Named = Named::Days(7);

/// The parameters of a report request, as they are in the query string: read, not validated.
#[derive(Default, Debug)]
pub struct Asked {
    /// Name of a range, see [`Named::ACCEPTED`]. Excludes `from` and `to`.
    pub range: Option<String>,
    /// First day, inclusive, as `YYYY-MM-DD`.
    pub from: Option<String>,
    /// Last day, inclusive, as `YYYY-MM-DD`; today where absent.
    pub to: Option<String>,
    /// `none`, `previous` or `year`. Excludes `compare_from`.
    pub compare: Option<String>,
    /// First day of a comparison of the same length, as `YYYY-MM-DD`.
    pub compare_from: Option<String>,
    /// Length of a step of the series, see [`Interval::ACCEPTED`].
    pub interval: Option<String>,
    /// Rows per list, 1 to 1000; 10 where absent.
    pub limit: Option<u32>,
    /// Subject or dimension, a colon, and the item or value: `page:/about`, `country:FR`.
    pub filter: Option<String>,
    /// The day weeks begin on, see [`WeekStart::ACCEPTED`].
    pub week: Option<String>,
    /// Extra parts of the answer, separated by commas: `clicks`, `countries`.
    pub with: Option<String>,
}

impl Asked {
    /// From the pairs of a query string. `None` where a key is unknown or repeated, or `limit` is
    /// no number.
    pub fn of(pairs: Vec<(String, String)>) -> Option<Asked> {
        let mut asked = Asked::default();
        for (key, value) in pairs {
            let place = match key.as_str() {
                "range" => &mut asked.range,
                "from" => &mut asked.from,
                "to" => &mut asked.to,
                "compare" => &mut asked.compare,
                "compare_from" => &mut asked.compare_from,
                "interval" => &mut asked.interval,
                "filter" => &mut asked.filter,
                "week" => &mut asked.week,
                "with" => &mut asked.with,
                "limit" if asked.limit.is_none() => {
                    asked.limit = Some(value.parse().ok()?);
                    continue;
                }
                _ => return None,
            };
            if place.replace(value).is_some() {
                return None;
            }
        }
        Some(asked)
    }
}

/// Parts of an answer that have to be asked for.
const EXTRAS: [&str; 2] = ["clicks", "countries"];

impl Asked {
    fn with(&self, extra: &str) -> Result<bool, Problem> {
        let mut extras = self.with.iter().flat_map(|extras| extras.split(','));
        match extras.clone().all(|extra| EXTRAS.contains(&extra)) {
            true => Ok(extras.any(|one| one == extra)),
            false => Err(bad("with", format!("must be {}, or both with a comma", EXTRAS.join(" or ")))),
        }
    }
}

/// Limits that the configuration sets for every report.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Least number of visitors of a value that is named (`report.k`).
    pub k: u32,
    /// Days that totals are kept (`retention.keep_days`); the range `all` starts no earlier.
    pub keep_days: u32,
}

/// The filter of a question; there is at most one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Filter {
    /// A page, link or event: its totals and the attributes of its visitors.
    Item(Subject, String),
    /// A source, country or campaign: what its visitors did.
    Value(Dimension, String),
}

/// A validated report question. All days are calendar days in `zone`.
#[derive(Debug)]
pub struct Question {
    /// Name of the site, as it was asked for.
    pub name: String,
    /// Id of the site; site 0 is the platform.
    pub site: SiteId,
    /// Time zone of the site.
    pub zone: TimeZone,
    /// First day, inclusive.
    pub from: Day,
    /// Last day, inclusive.
    pub to: Day,
    /// The range starts on the first counted day; `from` is only a lower bound of it.
    pub all: bool,
    /// First and last day of the comparison, both inclusive.
    pub compared: Option<(Day, Day)>,
    /// The interval that was asked for; otherwise it follows from the length of the range.
    pub interval: Option<Interval>,
    /// Rows per list, 1 to 1000.
    pub limit: usize,
    /// At most one item or attribute value.
    pub filter: Option<Filter>,
    /// Least number of visitors of a value that is named.
    pub k: u64,
    /// The answer is for the holder of a share link: published values of fewer than `k` visitors
    /// are suppressed too.
    pub for_strangers: bool,
    /// Add the clicks on all links to the site's counters.
    pub with_clicks: bool,
    /// List all countries, whatever the limit; the map needs them.
    pub all_countries: bool,
    /// The day weeks begin on.
    pub week: WeekStart,
    /// Today in `zone`, at `now`.
    pub today: Day,
    /// When the question was asked.
    pub now: Timestamp,
}

impl Question {
    /// Validates `asked` for a site with its time zone, at `now`.
    ///
    /// # Errors
    ///
    /// A `Problem` with status 400 that names the parameter and what it accepts: an unknown word, a
    /// malformed day, a range longer than three years or with its ends reversed, a limit out of
    /// bounds, parameters that exclude each other.
    pub fn new(
        name: &str,
        (site, zone): (SiteId, &TimeZone),
        asked: Asked,
        now: Millis,
        rules: Rules,
    ) -> Result<Question, Problem> {
        let now = Timestamp::from_millisecond(now).unwrap_or(Timestamp::UNIX_EPOCH);
        let today = now.to_zoned(zone.clone()).date();

        let (named, (from, to)) = range(&asked, today, i64::from(rules.keep_days))?;
        let against = against(&asked)?;
        let days = days_of((from, to));
        let interval = interval(asked.interval.as_deref(), days)?;
        let limit = asked.limit.unwrap_or(ROWS);
        if !(1..=MOST_ROWS).contains(&limit) {
            return Err(bad("limit", format!("must be 1 to {MOST_ROWS}")));
        }

        let compared = against.map(|against| against.days(named, (from, to)));
        Ok(Question {
            name: name.to_owned(),
            site,
            zone: zone.clone(),
            from: day("from", from)?,
            to: day("to", to)?,
            all: named == Some(Named::All),
            compared: compared
                .map(|(from, to)| Ok((day("compare_from", from)?, day("compare_from", to)?)))
                .transpose()?,
            interval,
            limit: limit as usize,
            filter: asked.filter.as_deref().map(Filter::parse).transpose()?,
            k: u64::from(rules.k),
            for_strangers: false,
            with_clicks: asked.with("clicks")?,
            all_countries: asked.with("countries")?,
            week: week(asked.week.as_deref())?,
            today: day("to", today)?,
            now,
        })
    }

    /// The same question about the days of the comparison, by the same interval; `None` without a
    /// comparison.
    pub fn before(&self) -> Option<Question> {
        let (from, to) = self.compared?;
        let (name, zone, filter) = (self.name.clone(), self.zone.clone(), self.filter.clone());
        Some(Question {
            name,
            zone,
            filter,
            from,
            to,
            all: false,
            compared: None,
            interval: Some(self.step()),
            ..*self
        })
    }

    /// Interval of the series: the one asked for, or the usual one for the length of the range.
    pub fn step(&self) -> Interval {
        self.interval.unwrap_or_else(|| Interval::usual(days_of((self.from.date(), self.to.date()))))
    }

    /// IANA name of the time zone; `UTC` for a zone without one.
    pub fn zone_name(&self) -> String {
        self.zone.iana_name().unwrap_or("UTC").to_owned()
    }

    /// Whether all days of the range and of the comparison are over. Hits on their way to the store
    /// may still be added.
    pub fn is_closed(&self) -> bool {
        self.to < self.today && self.compared.is_none_or(|(_, to)| to < self.today)
    }

    /// Whether the range and the comparison end on `through` or earlier.
    pub fn is_over_by(&self, through: Day) -> bool {
        self.to <= through && self.compared.is_none_or(|(_, to)| to <= through)
    }
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

    /// Name of the subject or dimension.
    pub fn by(&self) -> &'static str {
        match self {
            Filter::Item(subject, _) => subject.name(),
            Filter::Value(dim, _) => dim.name(),
        }
    }

    /// The item, or the dimension's value.
    pub fn value(&self) -> &str {
        match self {
            Filter::Item(_, value) | Filter::Value(_, value) => value,
        }
    }
}

fn range(asked: &Asked, today: Date, kept: i64) -> Result<(Option<Named>, (Date, Date)), Problem> {
    let (from, to) = (date("from", asked.from.as_deref())?, date("to", asked.to.as_deref())?);
    if let Some(word) = &asked.range {
        let named = Named::parse(word).ok_or_else(|| bad("range", format!("must be {}", Named::ACCEPTED)))?;
        if from.is_some() || to.is_some() {
            return Err(bad("range", "stands instead of from and to".into()));
        }
        return Ok((Some(named), named.days(today, kept)));
    }

    let to = to.unwrap_or(today);
    let from = from.unwrap_or_else(|| USUAL.days(to, kept).0);
    if from > to || days_of((from, to)) > MOST_DAYS {
        return Err(bad("from", format!("must be at or before to, and at most {MOST_DAYS} days before it")));
    }
    Ok((None, (from, to)))
}

fn against(asked: &Asked) -> Result<Option<Against>, Problem> {
    match (asked.compare.as_deref(), date("compare_from", asked.compare_from.as_deref())?) {
        (None, Some(first)) => Ok(Some(Against::From(first))),
        (None | Some("none"), None) => Ok(None),
        (Some("previous"), None) => Ok(Some(Against::Previous)),
        (Some("year"), None) => Ok(Some(Against::LastYear)),
        _ => Err(bad("compare", "must be none, previous or year; or compare_from stands instead of it".into())),
    }
}

fn interval(word: Option<&str>, days: i64) -> Result<Option<Interval>, Problem> {
    let accepted = || bad("interval", format!("must be {}", Interval::ACCEPTED));
    let interval = word.map(|word| Interval::parse(word).ok_or_else(accepted)).transpose()?;
    if interval == Some(Interval::Hour) && days > HOURLY_DAYS { Err(accepted()) } else { Ok(interval) }
}

fn week(word: Option<&str>) -> Result<WeekStart, Problem> {
    let accepted = || bad("week", format!("must be {}", WeekStart::ACCEPTED));
    word.map_or(Ok(WeekStart::default()), |word| WeekStart::parse(word).ok_or_else(accepted))
}

fn days_of((from, to): (Date, Date)) -> i64 {
    i64::from((to - from).get_days()) + 1
}

fn day(name: &'static str, date: Date) -> Result<Day, Problem> {
    Day::from_date(date).ok_or_else(|| bad(name, "must be a day from 1970-01-01 to 2149-06-06".into()))
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

    const RULES: Rules = Rules { k: 5, keep_days: 761 };

    fn question(from: &str, to: &str, today: &str) -> Question {
        let asked = Asked { from: Some(from.into()), to: Some(to.into()), ..Asked::default() };
        let now = format!("{today}T12:00:00Z").parse::<Timestamp>().unwrap().as_millisecond();
        Question::new("mia", (SiteId::of("mia"), &TimeZone::UTC), asked, now, RULES).unwrap()
    }

    #[test]
    fn without_a_range_it_is_the_week_that_ends_today() {
        let now = "2026-03-10T12:00:00Z".parse::<Timestamp>().unwrap().as_millisecond();
        let question = Question::new("mia", (SiteId::of("mia"), &TimeZone::UTC), Asked::default(), now, RULES).unwrap();
        assert_eq!((question.from.to_string(), question.to.to_string()), ("2026-03-04".into(), "2026-03-10".into()));
    }

    #[test]
    fn an_answer_is_final_when_the_last_day_of_all_its_ranges_is_published() {
        let is_over_by = |compared, day: &str| {
            let mut question = question("2026-05-03", "2026-05-19", "2026-05-20");
            question.compared = compared;
            question.is_over_by(Day::from_date(day.parse().unwrap()).unwrap())
        };
        assert!(!is_over_by(None, "2026-05-18") && is_over_by(None, "2026-05-19"));
        let later = Day::from_date(jiff::civil::date(2026, 5, 22)).unwrap();
        assert!(!is_over_by(Some((later, later)), "2026-05-21") && is_over_by(Some((later, later)), "2026-05-22"));
    }

    #[test]
    fn a_bad_question_is_told_what_is_accepted() {
        let ask = |asked| {
            Question::new("mia", (SiteId::of("mia"), &TimeZone::UTC), asked, 1_800_000_000_000, RULES)
                .unwrap_err()
                .detail
        };
        assert!(ask(Asked { from: Some("1 May".into()), ..Asked::default() }).contains("2026-03-01"));
        assert!(ask(Asked { limit: Some(0), ..Asked::default() }).contains("1 to 1000"));
        assert!(ask(Asked { filter: Some("browser:Firefox".into()), ..Asked::default() }).contains("source:"));
        assert!(ask(Asked { filter: Some("site:".into()), ..Asked::default() }).contains("page:"));
        let asked = |text: &str| Some(text.to_owned());
        assert!(ask(Asked { range: asked("8d"), ..Asked::default() }).contains("7d, 28d"));
        assert!(ask(Asked { range: asked("7d"), to: asked("2026-01-01"), ..Asked::default() }).contains("instead of"));
        assert!(ask(Asked { compare: asked("next"), ..Asked::default() }).contains("previous or year"));
        assert!(ask(Asked { range: asked("28d"), interval: asked("hour"), ..Asked::default() }).contains("14 days"));
        let backwards = Asked { from: Some("2026-02-02".into()), to: Some("2026-02-01".into()), ..Asked::default() };
        assert!(ask(backwards).contains("at or before"));
        assert!(ask(Asked { week: asked("friday"), ..Asked::default() }).contains("monday, saturday or sunday"));
        assert!(ask(Asked { with: asked("money"), ..Asked::default() }).contains("clicks or countries"));
    }
}
