//! Parses and validates the parameters of a report: from a query string to a [`ReportQuery`], or an
//! error that names what the parameter accepts.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::range::{ComparisonMode, MAX_HOURLY_DAYS, RangePreset, SeriesInterval, WeekStart};
use crate::calendar::{DateRange, Day, DayRange, Millis};
use crate::event::{Dimension, Problem, ProblemCode, SiteId, Subject};

const MAX_ROWS: u32 = 1000;
const DEFAULT_ROWS: u32 = 10;
const MAX_RANGE_DAYS: i64 = 3 * 366;
/// Without a range: the week that ends today.
const DEFAULT_RANGE: RangePreset = RangePreset::LastDays(7);

/// The parameters of a report request, as they are in the query string: read, not validated.
#[derive(Default, Debug)]
pub struct ReportParams {
    /// Name of a range, see [`RangePreset::ACCEPTED`]. Excludes `from` and `to`.
    pub range: Option<String>,
    /// First day, inclusive, as `YYYY-MM-DD`.
    pub from: Option<String>,
    /// Last day, inclusive, as `YYYY-MM-DD`; today where absent.
    pub to: Option<String>,
    /// `none`, `previous` or `year`. Excludes `compare_from`.
    pub compare: Option<String>,
    /// First day of a comparison of the same length, as `YYYY-MM-DD`.
    pub compare_from: Option<String>,
    /// Length of a step of the series, see [`SeriesInterval::ACCEPTED`].
    pub interval: Option<String>,
    /// Rows per list, 1 to 1000; 10 where absent.
    pub limit: Option<u32>,
    /// Subject or dimension, a colon, and the item or value: `page:/about`, `country:FR`.
    pub filter: Option<String>,
    /// The day weeks begin on, see [`WeekStart::ACCEPTED`].
    pub week: Option<String>,
    /// Optional parts of the response, separated by commas: `clicks`, `countries`.
    pub with: Option<String>,
}

impl ReportParams {
    /// From the pairs of a query string. `None` where a key is unknown or repeated, or `limit` is
    /// not a number.
    pub fn from_pairs(pairs: Vec<(String, String)>) -> Option<ReportParams> {
        let mut asked = ReportParams::default();
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

/// Optional parts of a response.
const EXTRAS: [&str; 2] = ["clicks", "countries"];

impl ReportParams {
    fn has_extra(&self, extra: &str) -> Result<bool, Problem> {
        let mut extras = self.with.iter().flat_map(|extras| extras.split(','));
        match extras.clone().all(|extra| EXTRAS.contains(&extra)) {
            true => Ok(extras.any(|one| one == extra)),
            false => Err(parameter_problem(
                "with",
                format!("must be {}, or both with a comma", EXTRAS.join(" or ")),
            )),
        }
    }
}

/// Limits that the configuration sets for every report.
#[derive(Clone, Copy, Debug)]
pub struct ReportLimits {
    /// Minimum number of visitors of a value that is named (`report.k`).
    pub k: u32,
    /// Days that the site's counts are kept. Earlier days are not read, whether they are still in
    /// the store or not.
    pub keep_days: u32,
    /// Days for which sites are counted by hour (`retention.hourly_days`).
    pub hourly_days: u32,
    /// The latest day that today can be for retention, whatever the clock says: what is not deleted
    /// for a clock that is ahead is shown as well.
    pub plausible_today: Day,
}

impl ReportLimits {
    /// The first day whose counts are kept on `today`.
    pub fn oldest_kept_date(&self, today: Date) -> Date {
        self.days_before(today, self.keep_days)
    }

    /// The first day with counts by hour on `today`.
    fn oldest_hourly_date(&self, today: Date) -> Date {
        self.days_before(today, self.hourly_days)
    }

    fn days_before(&self, today: Date, days: u32) -> Date {
        // A limit beyond the calendar means no limit.
        let today = today.min(self.plausible_today.to_date());
        let back = Span::new().try_days(days);
        back.and_then(|back| today.checked_sub(back))
            .unwrap_or(Date::MIN)
    }
}

/// The filter of a query; at most one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReportFilter {
    /// A page, link or event: its totals and the attributes of its visitors.
    Item(Subject, String),
    /// A source, country or campaign: what its visitors did.
    Value(Dimension, String),
}

/// A validated report query. All days are calendar days in `zone`.
#[derive(Clone, Debug)]
pub struct ReportQuery {
    /// Name of the site, as requested.
    pub site_name: String,
    /// Id of the site; site 0 is the platform.
    pub site: SiteId,
    /// Time zone of the site.
    pub zone: TimeZone,
    /// The days of the range.
    pub days: DayRange,
    /// The range starts on the first counted day; the first of `days` is only a lower bound of it.
    pub from_first_day: bool,
    /// The days of the comparison.
    pub comparison: Option<DayRange>,
    /// The requested interval; `None` if it follows from the length of the range.
    pub interval: Option<SeriesInterval>,
    /// The first day with counts by hour.
    pub hours_since: Date,
    /// Rows per list, 1 to 1000.
    pub limit: usize,
    /// At most one item or attribute value.
    pub filter: Option<ReportFilter>,
    /// Minimum number of visitors of a value that is named.
    pub k: u64,
    /// The response is for a share link: published values of fewer than `k` visitors are suppressed
    /// too.
    pub for_share_link: bool,
    /// Add the clicks on all links to the site's counters.
    pub with_clicks: bool,
    /// List all countries, also beyond the limit; the map needs them.
    pub all_countries: bool,
    /// The day weeks begin on.
    pub week_start: WeekStart,
    /// Today in `zone`, at `now`.
    pub today: Day,
    /// Time of the query.
    pub now: Timestamp,
}

impl ReportQuery {
    /// Validates `params` for a site with its time zone, at `now`.
    ///
    /// # Errors
    ///
    /// A `Problem` with status 400 that names the parameter and what it accepts: an unknown word, a
    /// malformed day, a range longer than three years or with its ends reversed, a limit out of
    /// bounds, parameters that exclude each other.
    pub fn new(
        name: &str,
        (site, zone): (SiteId, &TimeZone),
        asked: ReportParams,
        now: Millis,
        rules: ReportLimits,
    ) -> Result<ReportQuery, Problem> {
        let now = Timestamp::from_millisecond(now).unwrap_or(Timestamp::UNIX_EPOCH);
        let today = now.to_zoned(zone.clone()).date();

        let (named, mut range) = parse_range(&asked, today, i64::from(rules.keep_days))?;
        let oldest = rules.oldest_kept_date(today);
        if range.last < oldest {
            return Err(days_not_kept(oldest, rules.keep_days));
        }
        range.first = range.first.max(oldest);
        let against = parse_comparison(&asked)?;
        let interval = parse_interval(asked.interval.as_deref(), range.count_days())?;
        let limit = asked.limit.unwrap_or(DEFAULT_ROWS);
        if !(1..=MAX_ROWS).contains(&limit) {
            return Err(parameter_problem(
                "limit",
                format!("must be 1 to {MAX_ROWS}"),
            ));
        }

        // A comparison with days of which some are gone would mislead.
        let compared = against
            .map(|against| against.resolve_days(named, range))
            .filter(|compared| compared.first >= oldest);
        let hours_since = rules.oldest_hourly_date(today);
        let first = compared.map_or(range.first, |compared| compared.first.min(range.first));
        if interval == Some(SeriesInterval::Hour) && first < hours_since {
            return Err(hours_not_kept(hours_since, rules.hourly_days));
        }
        Ok(ReportQuery {
            site_name: name.to_owned(),
            site,
            zone: zone.clone(),
            days: checked_days(["from", "to"], range)?,
            from_first_day: named == Some(RangePreset::AllTime),
            comparison: compared
                .map(|compared| checked_days(["compare_from"; 2], compared))
                .transpose()?,
            interval,
            hours_since,
            limit: limit as usize,
            filter: asked
                .filter
                .as_deref()
                .map(ReportFilter::parse)
                .transpose()?,
            k: u64::from(rules.k),
            for_share_link: false,
            with_clicks: asked.has_extra("clicks")?,
            all_countries: asked.has_extra("countries")?,
            week_start: parse_week_start(asked.week.as_deref())?,
            today: checked_day("to", today)?,
            now,
        })
    }

    /// The same query over the days of the comparison, with the same interval; `None` without a
    /// comparison.
    pub fn comparison_query(&self) -> Option<ReportQuery> {
        let days = self.comparison?;
        let (name, zone, filter) = (
            self.site_name.clone(),
            self.zone.clone(),
            self.filter.clone(),
        );
        Some(ReportQuery {
            site_name: name,
            zone,
            filter,
            days,
            from_first_day: false,
            comparison: None,
            interval: Some(self.series_interval()),
            ..*self
        })
    }

    /// Interval of the series: the requested one, or the default for the length of the range. A
    /// day where hours are not kept any more.
    pub fn series_interval(&self) -> SeriesInterval {
        self.interval.unwrap_or_else(|| {
            match SeriesInterval::default_for_days(i64::from(self.days.count_days())) {
                SeriesInterval::Hour if !self.has_hours() => SeriesInterval::Day,
                interval => interval,
            }
        })
    }

    /// Whether the range and the comparison have counts by hour.
    fn has_hours(&self) -> bool {
        let first = self.days.first();
        let first = self
            .comparison
            .map_or(first, |compared| compared.first().min(first));
        first.to_date() >= self.hours_since
    }

    /// IANA name of the time zone; `UTC` for a zone without one.
    pub fn zone_name(&self) -> String {
        self.zone.iana_name().unwrap_or("UTC").to_owned()
    }

    /// Whether all days of the range and of the comparison are over. Hits that are still in the
    /// journal may be added.
    pub fn is_closed(&self) -> bool {
        self.last_day() < self.today
    }

    /// The last day that is read: of the range or of the comparison.
    fn last_day(&self) -> Day {
        let last = self.days.last();
        self.comparison
            .map_or(last, |compared| compared.last().max(last))
    }

    /// Whether the range and the comparison end on `through` or earlier.
    pub fn is_over_by(&self, through: Day) -> bool {
        self.last_day() <= through
    }
}

impl ReportFilter {
    fn parse(text: &str) -> Result<ReportFilter, Problem> {
        let accepted = "must be page:, link:, event:, source:, country: or campaign: and a value";
        let (by, value) = text
            .split_once(':')
            .ok_or_else(|| parameter_problem("filter", accepted.into()))?;
        let value = value.to_owned();
        match (Subject::from_name(by), Dimension::from_name(by)) {
            (Some(subject), _) if subject != Subject::Site => {
                Ok(ReportFilter::Item(subject, value))
            }
            (_, Some(dim @ (Dimension::Source | Dimension::Country | Dimension::Campaign))) => {
                Ok(ReportFilter::Value(dim, value))
            }
            _ => Err(parameter_problem("filter", accepted.into())),
        }
    }

    /// Name of the subject or dimension.
    pub fn field_name(&self) -> &'static str {
        match self {
            ReportFilter::Item(subject, _) => subject.name(),
            ReportFilter::Value(dim, _) => dim.name(),
        }
    }

    /// The item, or the dimension's value.
    pub fn value(&self) -> &str {
        match self {
            ReportFilter::Item(_, value) | ReportFilter::Value(_, value) => value,
        }
    }
}

/// The answer to a question about days that are no longer kept.
fn days_not_kept(oldest: Date, keep_days: u32) -> Problem {
    parameter_problem(
        "to",
        format!("must be {oldest} or later: counts are kept for {keep_days} days"),
    )
}

/// The answer to a question about hours that are no longer kept.
fn hours_not_kept(oldest: Date, hourly_days: u32) -> Problem {
    parameter_problem(
        "interval",
        format!(
            "must be day, week or month for days before {oldest}: hours are kept for {hourly_days} \
             days"
        ),
    )
}

fn parse_range(
    asked: &ReportParams,
    today: Date,
    kept: i64,
) -> Result<(Option<RangePreset>, DateRange), Problem> {
    let (from, to) = (
        parse_date("from", asked.from.as_deref())?,
        parse_date("to", asked.to.as_deref())?,
    );
    if let Some(word) = &asked.range {
        let named = RangePreset::parse(word).ok_or_else(|| {
            parameter_problem("range", format!("must be {}", RangePreset::ACCEPTED))
        })?;
        if from.is_some() || to.is_some() {
            return Err(parameter_problem(
                "range",
                "is used instead of from and to".into(),
            ));
        }
        return Ok((Some(named), named.resolve_days(today, kept)));
    }

    let last = to.unwrap_or(today);
    let first = from.unwrap_or_else(|| DEFAULT_RANGE.resolve_days(last, kept).first);
    let range = DateRange { first, last };
    if first > last || range.count_days() > MAX_RANGE_DAYS {
        return Err(parameter_problem(
            "from",
            format!("must be at or before to, and at most {MAX_RANGE_DAYS} days before it"),
        ));
    }
    Ok((None, range))
}

fn parse_comparison(asked: &ReportParams) -> Result<Option<ComparisonMode>, Problem> {
    match (
        asked.compare.as_deref(),
        parse_date("compare_from", asked.compare_from.as_deref())?,
    ) {
        (None, Some(first)) => Ok(Some(ComparisonMode::From(first))),
        (None | Some("none"), None) => Ok(None),
        (Some("previous"), None) => Ok(Some(ComparisonMode::Previous)),
        (Some("year"), None) => Ok(Some(ComparisonMode::LastYear)),
        _ => Err(parameter_problem(
            "compare",
            "must be none, previous or year; or compare_from is used instead of it".into(),
        )),
    }
}

fn parse_interval(word: Option<&str>, days: i64) -> Result<Option<SeriesInterval>, Problem> {
    let accepted =
        || parameter_problem("interval", format!("must be {}", SeriesInterval::ACCEPTED));
    let interval = word
        .map(|word| SeriesInterval::from_name(word).ok_or_else(accepted))
        .transpose()?;
    if interval == Some(SeriesInterval::Hour) && days > MAX_HOURLY_DAYS {
        Err(accepted())
    } else {
        Ok(interval)
    }
}

fn parse_week_start(word: Option<&str>) -> Result<WeekStart, Problem> {
    let accepted = || parameter_problem("week", format!("must be {}", WeekStart::ACCEPTED));
    word.map_or(Ok(WeekStart::default()), |word| {
        WeekStart::from_name(word).ok_or_else(accepted)
    })
}

/// The days of a range. `names` are the parameters that errors about its two ends name.
fn checked_days(names: [&'static str; 2], range: DateRange) -> Result<DayRange, Problem> {
    let (first, last) = (
        checked_day(names[0], range.first)?,
        checked_day(names[1], range.last)?,
    );
    DayRange::new(first, last)
        .ok_or_else(|| parameter_problem(names[1], "must not be before the first day".into()))
}

fn checked_day(name: &'static str, date: Date) -> Result<Day, Problem> {
    Day::from_date(date).ok_or_else(|| {
        parameter_problem(name, "must be a day from 1970-01-01 to 2149-06-06".into())
    })
}

fn parse_date(name: &'static str, text: Option<&str>) -> Result<Option<Date>, Problem> {
    let parse = |text: &str| {
        text.parse()
            .map_err(|_| parameter_problem(name, "must be a day like 2026-03-01".into()))
    };
    text.map(parse).transpose()
}

fn parameter_problem(name: &'static str, rule: String) -> Problem {
    Problem::new(ProblemCode::InvalidQuery).with_detail(format!("{name} {rule}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: ReportLimits = ReportLimits {
        k: 5,
        keep_days: 761,
        hourly_days: 400,
        plausible_today: Day::from_number(u16::MAX),
    };

    fn question(from: &str, to: &str, today: &str) -> ReportQuery {
        let asked = ReportParams {
            from: Some(from.into()),
            to: Some(to.into()),
            ..ReportParams::default()
        };
        let now = format!("{today}T12:00:00Z")
            .parse::<Timestamp>()
            .unwrap()
            .as_millisecond();
        ReportQuery::new(
            "mia",
            (SiteId::from_key("mia"), &TimeZone::UTC),
            asked,
            now,
            RULES,
        )
        .unwrap()
    }

    #[test]
    fn without_a_range_it_is_the_week_that_ends_today() {
        let now = "2026-03-10T12:00:00Z"
            .parse::<Timestamp>()
            .unwrap()
            .as_millisecond();
        let question = ReportQuery::new(
            "mia",
            (SiteId::from_key("mia"), &TimeZone::UTC),
            ReportParams::default(),
            now,
            RULES,
        )
        .unwrap();
        assert_eq!(
            (
                question.days.first().to_string(),
                question.days.last().to_string()
            ),
            ("2026-03-04".into(), "2026-03-10".into())
        );
    }

    #[test]
    fn an_answer_is_final_when_the_last_day_of_all_its_ranges_is_published() {
        let is_over_by = |compared, day: &str| {
            let mut question = question("2026-05-03", "2026-05-19", "2026-05-20");
            question.comparison = compared;
            question.is_over_by(Day::from_date(day.parse().unwrap()).unwrap())
        };
        assert!(!is_over_by(None, "2026-05-18") && is_over_by(None, "2026-05-19"));
        let later =
            DayRange::with_length(Day::from_date(jiff::civil::date(2026, 5, 22)).unwrap(), 1);
        assert!(!is_over_by(Some(later), "2026-05-21") && is_over_by(Some(later), "2026-05-22"));
    }

    #[test]
    fn a_bad_question_is_told_what_is_accepted() {
        let ask = |asked| {
            ReportQuery::new(
                "mia",
                (SiteId::from_key("mia"), &TimeZone::UTC),
                asked,
                1_800_000_000_000,
                RULES,
            )
            .unwrap_err()
            .detail
        };
        assert!(
            ask(ReportParams {
                from: Some("1 May".into()),
                ..ReportParams::default()
            })
            .contains("2026-03-01")
        );
        assert!(
            ask(ReportParams {
                limit: Some(0),
                ..ReportParams::default()
            })
            .contains("1 to 1000")
        );
        assert!(
            ask(ReportParams {
                filter: Some("browser:Firefox".into()),
                ..ReportParams::default()
            })
            .contains("source:")
        );
        assert!(
            ask(ReportParams {
                filter: Some("site:".into()),
                ..ReportParams::default()
            })
            .contains("page:")
        );
        let asked = |text: &str| Some(text.to_owned());
        assert!(
            ask(ReportParams {
                range: asked("8d"),
                ..ReportParams::default()
            })
            .contains("7d, 28d")
        );
        assert!(
            ask(ReportParams {
                range: asked("7d"),
                to: asked("2026-01-01"),
                ..ReportParams::default()
            })
            .contains("instead of")
        );
        assert!(
            ask(ReportParams {
                compare: asked("next"),
                ..ReportParams::default()
            })
            .contains("previous or year")
        );
        assert!(
            ask(ReportParams {
                range: asked("28d"),
                interval: asked("hour"),
                ..ReportParams::default()
            })
            .contains("14 days")
        );
        let backwards = ReportParams {
            from: Some("2026-02-02".into()),
            to: Some("2026-02-01".into()),
            ..ReportParams::default()
        };
        assert!(ask(backwards).contains("at or before"));
        assert!(
            ask(ReportParams {
                week: asked("friday"),
                ..ReportParams::default()
            })
            .contains("monday, saturday or sunday")
        );
        assert!(
            ask(ReportParams {
                with: asked("money"),
                ..ReportParams::default()
            })
            .contains("clicks or countries")
        );
    }
}
