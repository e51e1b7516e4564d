//! The age of partitions: of months such as 202603, and of days such as 20260331.

use jiff::Span;
use jiff::civil::Date;

use crate::calendar::Day;

/// The last day of a partition: of a month such as 202603, or a day such as 20260331. `None` if the
/// number is no date.
fn last_day_of_partition(partition: u32) -> Option<Date> {
    let (year, month, day) = match partition {
        0..=999_999 => (partition / 100, partition % 100, 1),
        _ => (partition / 10_000, partition / 100 % 100, partition % 100),
    };
    let date = Date::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
    )
    .ok()?;
    Some(if partition <= 999_999 {
        date.last_of_month()
    } else {
        date
    })
}

/// The first day of a month such as 202603; 1970-01-01 if the number is no month.
pub(super) fn first_day_of_month(month: u32) -> Day {
    last_day_of_partition(month)
        .and_then(|last| Day::from_date(last.first_of_month()))
        .unwrap_or(Day::from_number(0))
}

/// Whether a partition ended more than `days` before `today`.
pub(super) fn is_partition_expired(partition: u32, today: Day, days: u32) -> bool {
    last_day_of_partition(partition).is_some_and(|last| is_older_than(last, today, days))
}

/// Whether `date` is more than `days` before `today`.
pub(super) fn is_older_than(date: Date, today: Day, days: u32) -> bool {
    // A limit beyond the calendar means no limit.
    let back = Span::new().try_days(days);
    back.and_then(|back| today.to_date().checked_sub(back))
        .is_ok_and(|limit| date < limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::from_date(text.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_month_goes_when_its_last_day_is_too_old() {
        let last = last_day_of_partition(202_402).unwrap();
        assert_eq!(last.to_string(), "2024-02-29");
        assert!(
            !is_older_than(last, day("2024-03-30"), 30)
                && is_older_than(last, day("2024-03-31"), 30)
        );
        assert!(!is_older_than(last, day("2024-03-30"), u32::MAX));
    }

    #[test]
    fn a_day_by_itself_goes_as_a_day() {
        assert_eq!(
            last_day_of_partition(20_240_229).unwrap().to_string(),
            "2024-02-29"
        );
        assert_eq!(
            (
                last_day_of_partition(20_230_229),
                last_day_of_partition(202_313)
            ),
            (None, None)
        );
    }
}
