//! The number of visits over time: by hour and weekday in the creator's time zone, with slow growth
//! and bursts.

use jiff::Zoned;

use super::creator_profile::{CreatorProfile, TrafficSurge};
use super::random::SeededRandom;

const GROWTH_DAYS: f64 = 90.0;
/// The number of half-lives after which a surge is over.
const MAX_SURGE_HALF_LIVES: f64 = 8.0;

/// The expected ordinary visits in the hour that starts at `local`. `before` is the number of days
/// until the last day.
pub(super) fn hourly_visits(creator: &CreatorProfile, local: &Zoned, before: i32) -> f64 {
    let all: f64 = creator.hours.iter().sum();
    let hour = creator.hours[usize::from(local.hour().unsigned_abs())] / all;
    let weekday = usize::from(local.weekday().to_monday_zero_offset().unsigned_abs());
    let grown = 1.0 - creator.growth * (f64::from(before.max(0)) / GROWTH_DAYS).min(1.0);
    creator.visits * hour * creator.week[weekday] * grown
}

/// A random factor per day.
pub(super) fn daily_factor(random: &mut SeededRandom) -> f64 {
    random.log_normal(1.0, 0.14)
}

/// The additional visits of a surge, as a multiple of the ordinary ones.
pub(super) fn surge_factor(surge: &TrafficSurge, local: &Zoned, before: i32) -> f64 {
    let mut age = (surge.days_before - before) * 24 + i32::from(local.hour()) - surge.hour;
    if surge.repeat_days > 0 {
        age = if age < 0 {
            age
        } else {
            age % (surge.repeat_days * 24)
        };
    }
    let halves = f64::from(age) / surge.half_life_hours;
    if age < 0 || halves > MAX_SURGE_HALF_LIVES {
        0.0
    } else {
        surge.peak_factor * 0.5_f64.powf(halves)
    }
}

#[cfg(test)]
mod tests {
    use super::super::creator_profile::TrafficSource;
    use super::super::creators::CREATORS;
    use super::*;

    fn at(text: &str) -> Zoned {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_has_its_visits_an_evening_more_than_a_night_and_the_past_fewer() {
        let mara = &CREATORS[0];
        let hour = |hour: u8, before| {
            hourly_visits(
                mara,
                &at(&format!("2026-03-12T{hour:02}:00:00[Europe/Berlin]")),
                before,
            )
        };
        let day: f64 = (0..24).map(|n| hour(n, 0)).sum();
        assert!(
            (day - mara.visits).abs() < 1e-9,
            "a Thursday is ordinary: {day}"
        );
        assert!(hour(20, 0) > 20.0 * hour(4, 0));
        assert!((hour(20, 90) / hour(20, 0) - 0.65).abs() < 1e-9);
        assert!((hour(20, 900) / hour(20, 0) - 0.65).abs() < 1e-9);
    }

    #[test]
    fn a_surge_begins_at_its_hour_halves_and_is_forgotten_and_may_come_back() {
        let mut surge = TrafficSurge {
            days_before: 10,
            repeat_days: 0,
            hour: 18,
            peak_factor: 4.0,
            half_life_hours: 12.0,
            source: TrafficSource::Direct,
            landing: 0,
        };
        let lifted = |surge: &TrafficSurge, before, hour: u8| {
            surge_factor(
                surge,
                &at(&format!("2026-03-12T{hour:02}:00:00[UTC]")),
                before,
            )
        };
        assert_eq!([lifted(&surge, 11, 18), lifted(&surge, 10, 17)], [0.0, 0.0]);
        assert_eq!(
            [
                lifted(&surge, 10, 18),
                lifted(&surge, 9, 6),
                lifted(&surge, 9, 18)
            ],
            [4.0, 2.0, 1.0]
        );
        assert_eq!(lifted(&surge, 3, 18), 0.0);
        surge.repeat_days = 7;
        assert_eq!(
            [
                lifted(&surge, 3, 18),
                lifted(&surge, 2, 6),
                lifted(&surge, 11, 18)
            ],
            [4.0, 2.0, 0.0]
        );
    }
}
