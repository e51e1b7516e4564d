//! The table people read and the lines machines read.

use std::fmt::Write;

/// What one window of one target measured.
#[derive(Clone, Copy, Default)]
pub struct Sample {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub cpu_per_million: f64,
    /// Share of its core the target got while it was loaded, and of its own core the generator
    /// used.
    pub core: f64,
    pub generator: f64,
    pub journal_per_hit: Option<f64>,
    pub rows_per_hit: Option<f64>,
}

/// One target, or one load of the collector, over all rounds.
#[derive(Default)]
pub struct Row {
    pub label: String,
    /// Why there are no samples.
    pub absent: Option<String>,
    pub samples: Vec<Sample>,
    pub half_load_p99_ms: Vec<f64>,
    /// CPU seconds per million hits at half load.
    pub half_load_cpu: Vec<f64>,
    pub peak_mib: Option<f64>,
    /// Before the first hit, and at rest after the last one.
    pub idle_mib: Option<f64>,
    pub end_mib: Option<f64>,
    pub bytes_per_hit: Option<f64>,
}

impl Row {
    pub fn median(&self, of: impl Fn(&Sample) -> f64) -> Option<f64> {
        median(self.samples.iter().map(of))
    }

    fn median_known(&self, of: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(self.samples.iter().filter_map(of))
    }

    pub fn rows_per_hit(&self) -> Option<f64> {
        self.median_known(|sample| sample.rows_per_hit)
    }

    pub fn half_load_p99(&self) -> Option<f64> {
        median(self.half_load_p99_ms.iter().copied())
    }

    /// `low / median / high`, each divided by `unit`.
    fn spread(&self, of: impl Fn(&Sample) -> f64, unit: f64) -> String {
        let values: Vec<f64> = self
            .samples
            .iter()
            .map(|sample| of(sample) / unit)
            .collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(0.0, f64::max);
        format!(
            "{low:.1} / {:.1} / {high:.1}",
            median(values).unwrap_or(f64::NAN)
        )
    }

    fn cells(&self) -> Vec<String> {
        let number = |value: Option<f64>, digits: usize| {
            value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let percent = |value: Option<f64>| {
            value.map_or("-".to_owned(), |value| format!("{:.0} %", value * 100.0))
        };
        let million = |value: Option<f64>| number(value.map(|value| value * 1e6), 0);
        vec![
            self.label.clone(),
            self.spread(|sample| sample.per_second, 1e3),
            number(self.median(|sample| sample.p50_ms), 2),
            number(self.median(|sample| sample.p99_ms), 2),
            number(self.half_load_p99(), 2),
            self.spread(|sample| sample.cpu_per_million, 1.0),
            percent(self.median(|sample| sample.core)),
            percent(self.median(|sample| sample.generator)),
            number(self.peak_mib, 0),
            number(self.median_known(|sample| sample.journal_per_hit), 1),
            million(self.rows_per_hit()),
            million(self.bytes_per_hit),
        ]
    }
}

pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// The median of the ratios of windows of the same round: what slowed a whole round down falls out.
pub fn ratio(row: &Row, base: &Row) -> Option<f64> {
    let pairs = row.samples.iter().zip(&base.samples);
    median(pairs.map(|(above, below)| above.cpu_per_million / below.cpu_per_million))
}

const HEAD: [&str; 12] = [
    "target",
    "1000 hits/s (min / median / max)",
    "p50 ms",
    "p99 ms",
    "p99 ms at half load",
    "CPU s per million hits",
    "core",
    "generator",
    "peak MiB",
    "journal bytes/hit",
    "rows per million hits",
    "bytes at rest per million hits",
];

/// A Markdown table, padded so that it also reads in a terminal.
pub fn table(rows: &[Row]) -> String {
    let mut lines = vec![HEAD.map(str::to_owned).to_vec()];
    lines.extend(
        rows.iter()
            .filter(|row| !row.samples.is_empty())
            .map(Row::cells),
    );
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].len())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
        if index == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            let _ = writeln!(text, "| {} |", rule.join(" | "));
        }
    }
    for row in rows {
        if let Some(reason) = &row.absent {
            let _ = writeln!(text, "{}: {reason}", row.label);
        }
    }
    text
}

/// `name=value`; what was not measured is `na`, never a guess.
pub fn line(name: &str, value: Option<f64>, digits: usize) -> String {
    value.map_or(format!("{name}=na"), |value| {
        format!("{name}={value:.digits$}")
    })
}
