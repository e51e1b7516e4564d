//! From a platform's size to what it needs.

use crate::rows::SiteDayRows;

/// A platform, and how it is run.
pub struct Platform {
    pub hits_per_day: f64,
    pub sites: f64,
    /// Exponent of Zipf's law over the sites.
    pub skew: f64,
    pub hits_per_visitor: f64,
    /// The busiest second, as a multiple of the mean.
    pub peak: f64,
    pub days: f64,
    pub hourly_days: f64,
    pub activity_days: f64,
    pub cores: f64,
    pub load: f64,
    pub replicas: f64,
    pub server_bytes: f64,
}

/// What was measured; docs/operate/SCALING.md has the source of each.
pub struct Measured {
    /// The collector, its inserts and merges.
    pub cpu_seconds_per_million: f64,
    /// CPU seconds per million hits in the one thread that counts.
    pub writer_seconds_per_million: f64,
    pub journal_bytes_per_hit: f64,
    /// Bytes of memory of a site with traffic that day, and of a visitor.
    pub bytes_per_site: f64,
    pub bytes_per_visitor: f64,
    /// Bytes of memory of a registered site.
    pub bytes_per_registered: f64,
    /// Bytes at rest of a row.
    pub daily_row: f64,
    pub hourly_row: f64,
    pub activity_row: f64,
    pub published_row: f64,
    /// Rows sent, as a multiple of the rows after merges: each segment has the keys of its seconds.
    pub sent_per_row: f64,
}

impl Default for Measured {
    fn default() -> Measured {
        Measured {
            cpu_seconds_per_million: 11.2,
            writer_seconds_per_million: 2.4,
            journal_bytes_per_hit: 24.0,
            bytes_per_site: 228.0,
            bytes_per_visitor: 80.0,
            bytes_per_registered: 985.0,
            daily_row: 4.7,
            hourly_row: 4.4,
            activity_row: 18.8,
            published_row: 8.2,
            sent_per_row: 3.0,
        }
    }
}

/// Visitors of a lot: at least `report.k`, 5, and some 4 more, because a random remainder of up to
/// 2k - 2 stays pending.
const LOT: f64 = 9.0;
/// Groups of sites of about the same size.
const GROUPS: usize = 400;
const SECONDS_PER_DAY: f64 = 86_400.0;
const DAYS_PER_MONTH: f64 = 365.25 / 12.0;
/// The store keeps room for merges and copies.
const FULL_SHARE: f64 = 0.6;

/// What a platform needs.
pub struct Needs {
    mean_hits_per_second: f64,
    peak_hits_per_second: f64,
    collector_cores: f64,
    collectors: f64,
    /// Share of its second that the counting thread of one collector is busy at the peak.
    writer_busy: f64,
    journal_bytes_per_second: f64,
    memory_per_collector: f64,
    sites_per_day: f64,
    visitors_per_day: f64,
    rows_per_day: SiteDayRows,
    rows_sent_per_second: f64,
    disk: SiteDayRows,
    disk_bytes: f64,
    shards: f64,
    /// Visitors counted a second time if one collector dies at noon.
    failover_visitors: f64,
}

impl Needs {
    pub fn compute(platform: &Platform, measured: &Measured) -> Needs {
        let mean = platform.hits_per_day / SECONDS_PER_DAY;
        let peak = mean * platform.peak;
        let busy_cores = peak * measured.cpu_seconds_per_million / 1e6;
        let writers = peak * measured.writer_seconds_per_million / 1e6;
        let by_cores = (busy_cores / (platform.cores * platform.load)).ceil();
        // One thread counts all hits of a collector.
        let by_writer = (writers / platform.load).ceil();
        // Two at least: one machine may be away.
        let collectors = by_cores.max(by_writer).max(2.0);

        let visitors = platform.hits_per_day / platform.hits_per_visitor;
        let rows = platform_rows(platform);
        let disk = disk_bytes(platform, measured, &rows);
        let disk_bytes = disk.daily + disk.hourly + disk.activity + disk.published;
        let all = rows.daily + rows.hourly + rows.activity + rows.published;
        Needs {
            mean_hits_per_second: mean,
            peak_hits_per_second: peak,
            collector_cores: busy_cores,
            collectors,
            writer_busy: writers / collectors,
            journal_bytes_per_second: peak * measured.journal_bytes_per_hit / collectors,
            // Each collector has sites and visitors of its networks, and of today and yesterday for
            // as long as both days last somewhere.
            memory_per_collector: (rows.activity * measured.bytes_per_site
                + visitors / collectors * measured.bytes_per_visitor)
                + platform.sites * measured.bytes_per_registered,
            sites_per_day: rows.activity,
            visitors_per_day: visitors,
            rows_sent_per_second: all * measured.sent_per_row / SECONDS_PER_DAY * platform.peak,
            rows_per_day: rows,
            disk,
            disk_bytes,
            shards: (disk_bytes / (platform.server_bytes * FULL_SHARE)).ceil(),
            failover_visitors: visitors / collectors / 2.0,
        }
    }

    /// Names and values, for machines.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let whole = |value: f64| format!("{value:.0}");
        let giga = |bytes: f64| format!("{:.1}", bytes / 1e9);
        let rows = &self.rows_per_day;
        vec![
            ("hits_per_second_mean", whole(self.mean_hits_per_second)),
            ("hits_per_second_peak", whole(self.peak_hits_per_second)),
            ("busy_cores_peak", format!("{:.1}", self.collector_cores)),
            ("collectors", whole(self.collectors)),
            (
                "counting_thread_busy_percent",
                whole(self.writer_busy * 100.0),
            ),
            (
                "journal_megabytes_per_second",
                format!("{:.1}", self.journal_bytes_per_second / 1e6),
            ),
            (
                "memory_gigabytes_per_collector",
                giga(self.memory_per_collector),
            ),
            ("sites_with_traffic_per_day", whole(self.sites_per_day)),
            ("visitors_per_day", whole(self.visitors_per_day)),
            ("rows_per_day_daily", whole(rows.daily)),
            ("rows_per_day_hourly", whole(rows.hourly)),
            ("rows_per_day_activity", whole(rows.activity)),
            ("rows_per_day_published", whole(rows.published)),
            (
                "rows_sent_per_second_peak",
                whole(self.rows_sent_per_second),
            ),
            ("disk_gigabytes_daily", giga(self.disk.daily)),
            ("disk_gigabytes_hourly", giga(self.disk.hourly)),
            ("disk_gigabytes_activity", giga(self.disk.activity)),
            ("disk_gigabytes_published", giga(self.disk.published)),
            ("disk_gigabytes", giga(self.disk_bytes)),
            ("shards", whole(self.shards)),
            (
                "failover_visitors_counted_again",
                whole(self.failover_visitors),
            ),
        ]
    }
}

/// Rows of all sites on one day. Sites are grouped by rank, because many of them are alike.
fn platform_rows(platform: &Platform) -> SiteDayRows {
    let bounds: Vec<f64> = (0..=GROUPS)
        .map(|group| (platform.sites + 1.0).powf(group as f64 / GROUPS as f64))
        .collect();
    // The sum of rank^-skew over a group, by its integral.
    let weight = |from: f64, to: f64| match (platform.skew - 1.0).abs() < 1e-9 {
        true => (to / from).ln(),
        false => {
            let power = 1.0 - platform.skew;
            (to.powf(power) - from.powf(power)) / power
        }
    };
    let all = weight(1.0, platform.sites + 1.0);

    let mut sum = SiteDayRows::default();
    for group in bounds.windows(2) {
        let sites = group[1] - group[0];
        let hits = platform.hits_per_day * weight(group[0], group[1]) / all / sites;
        let rows = SiteDayRows::of_site(hits, platform.hits_per_visitor, LOT);
        sum.daily += rows.daily * sites;
        sum.hourly += rows.hourly * sites;
        sum.activity += rows.activity * sites;
        sum.published += rows.published * sites;
    }
    sum
}

/// Bytes of each table after `days`, all replicas.
fn disk_bytes(platform: &Platform, measured: &Measured, rows: &SiteDayRows) -> SiteDayRows {
    let copies = platform.replicas;
    let aged = |kept: f64| (platform.days - kept).max(0.0);
    let fresh = |kept: f64| platform.days.min(kept);
    // Of hours that became days, each site and day has one row; of days that became months, each
    // site has one a month.
    let hourly =
        rows.hourly * fresh(platform.hourly_days) + rows.activity * aged(platform.hourly_days);
    let activity = rows.activity * fresh(platform.activity_days)
        + platform.sites * aged(platform.activity_days) / DAYS_PER_MONTH;
    SiteDayRows {
        daily: rows.daily * platform.days * measured.daily_row * copies,
        hourly: hourly * measured.hourly_row * copies,
        activity: activity * measured.activity_row * copies,
        published: rows.published * platform.days * measured.published_row * copies,
    }
}
