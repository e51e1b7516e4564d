//! Simulated web vitals, by class of device.

use super::agents::AgentProfile;
use super::random::SeededRandom;

/// Metric, median for phones, median for desktops, spread, and whether only Chromium measures it.
const METRICS: [(&str, f64, f64, f64, bool); 5] = [
    ("LCP", 1900.0, 1250.0, 0.5, false),
    ("FCP", 1250.0, 800.0, 0.45, false),
    ("TTFB", 420.0, 260.0, 0.6, false),
    ("INP", 130.0, 70.0, 0.7, true),
    ("CLS", 0.035, 0.025, 1.2, true),
];

/// The metrics that a browser measures in one view. Without an interaction (`touched`) there is no
/// INP.
pub(super) fn measure_vitals(
    agent: &AgentProfile,
    weight: f64,
    touched: bool,
    random: &mut SeededRandom,
) -> Vec<(&'static str, f64)> {
    let of = |(metric, phone, desktop, spread, chromium): (&'static str, f64, f64, f64, bool)| {
        let median = weight * if agent.phone { phone } else { desktop };
        let value = random.log_normal(median, spread);
        let there = (agent.chromium || !chromium) && (touched || metric != "INP");
        // Browsers report whole milliseconds, or layout shifts with four digits. Extreme values are
        // cut off.
        let value = if metric == "CLS" {
            (value.min(2.0) * 1e4).round() / 1e4
        } else {
            value.min(60_000.0).round()
        };
        there.then_some((metric, value))
    };
    METRICS.into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::super::agents::AGENTS;
    use super::*;

    #[test]
    fn only_what_a_browser_can_measure_is_measured_and_phones_are_slower() {
        let of = |text: &str| {
            &AGENTS
                .iter()
                .find(|(agent, _)| agent.text.contains(text))
                .unwrap()
                .0
        };
        let (chrome, firefox, android) = (of("Windows NT"), of("rv:145.0"), of("Android 10; K"));
        let mut random = SeededRandom::from_parts(&[1]);
        let names = |agent, touched, random: &mut SeededRandom| -> Vec<&str> {
            measure_vitals(agent, 1.0, touched, random)
                .into_iter()
                .map(|(metric, _)| metric)
                .collect()
        };
        assert_eq!(
            names(chrome, true, &mut random),
            ["LCP", "FCP", "TTFB", "INP", "CLS"]
        );
        assert_eq!(
            names(chrome, false, &mut random),
            ["LCP", "FCP", "TTFB", "CLS"]
        );
        assert_eq!(names(firefox, true, &mut random), ["LCP", "FCP", "TTFB"]);
        let mut mean = |agent| {
            (0..500)
                .map(|_| measure_vitals(agent, 1.0, true, &mut random)[0].1)
                .sum::<f64>()
                / 500.0
        };
        assert!(mean(android) > 1.3 * mean(chrome));
    }
}
