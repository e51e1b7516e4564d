//! Simulated days: memory stays as it is from day to day, and the store has as many parts and bytes
//! as the rows of those days need.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{Engine, SITES, Server, grant_of, hit};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// 2026-03-02T00:00:00Z, a Monday. The days are of one month, and of one partition.
const MONDAY: i64 = 1_772_409_600_000;
const HITS_PER_BODY: usize = 20;

struct Load {
    days: i64,
    /// Bodies of twenty hits.
    bodies_per_hour: usize,
    sites: usize,
}

/// What is held at the end of a day.
#[derive(Debug)]
struct DayEnd {
    /// Anonymous memory. Pages of files can be dropped, and depend on what else the machine does.
    collector_bytes: u64,
    engine_bytes: u64,
    visitors_in_memory: u64,
    parts: u64,
    table_bytes: u64,
    journal_bytes: u64,
}

struct Scene {
    engine: Engine,
    server: Server,
    _dir: tempfile::TempDir,
}

impl Scene {
    fn start() -> Scene {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let engine = Engine::start(dir.path());
        let url = format!("store.url={}", engine.url());
        let start = format!("test.start_millis={MONDAY}");
        let server = Server::start_with(SITES, &[&url, &start, "journal.attribute_secs=0"]);
        Scene {
            engine,
            server,
            _dir: dir,
        }
    }

    /// Sends the hits of a day, hour by hour. Returns what counts as its visitors: people of each
    /// site.
    fn live_a_day(&self, day: i64, load: &Load) -> usize {
        let mut client = self.server.client();
        let mut seen = BTreeSet::new();
        // Each person comes in two hours of the day.
        let people = load.bodies_per_hour * 12;
        for hour in 0..24 {
            let now = (MONDAY + day * DAY + hour as i64 * HOUR + 60_000).to_string();
            for body in 0..load.bodies_per_hour {
                let person = (hour * load.bodies_per_hour + body) % people;
                // Most of the hits are of few sites. Some sites are of this day alone.
                let site = match person % 16 {
                    0 => format!("day{day}-{}", person % 5),
                    _ => format!("site{}", (person * person) % load.sites),
                };
                let hits: Vec<_> = (0..HITS_PER_BODY)
                    .map(|page| {
                        json!({
                            "kind": "view",
                            "url": format!("https://pages.example/u/{site}/page{page}"),
                            "referrer": format!("https://blog{}.example/", person % 30),
                        })
                    })
                    .collect();
                let cookie = grant_of(((day as u128) << 32) | person as u128);
                let address = format!("10.{day}.{}.{}", person / 250, person % 250);
                let fields = [
                    ("X-Footfall-Now", &*now),
                    ("Cookie", &*cookie),
                    ("X-Forwarded-For", &*address),
                ];
                let answer = hit(&mut client, &json!(hits).to_string(), &fields);
                assert_eq!(answer.status, 202, "{}", answer.text());
                seen.insert((site, person));
            }
            self.server.flush();
        }
        seen.len()
    }

    fn measure(&self) -> DayEnd {
        let number = |sql: &str| self.engine.sql(sql).trim().parse::<u64>().unwrap();
        let parts = "FROM system.parts WHERE database = 'footfall' AND active";
        let journal = std::fs::read_dir(self.server.data().join("journal")).unwrap();
        DayEnd {
            collector_bytes: self.server.anonymous_memory(),
            engine_bytes: number(
                "SELECT toUInt64(value) FROM system.metrics WHERE metric = 'MemoryTracking'",
            ),
            visitors_in_memory: self.server.metric("footfall_visitors_in_memory"),
            parts: number(&format!("SELECT count() {parts}")),
            table_bytes: number(&format!("SELECT sum(bytes_on_disk) {parts}")),
            journal_bytes: journal
                .map(|entry| entry.unwrap().metadata().unwrap().len())
                .sum(),
        }
    }
}

fn live(load: &Load) {
    let scene = Scene::start();
    let (mut days, mut visitors) = (Vec::new(), 0);
    for day in 0..load.days {
        let of_day = scene.live_a_day(day, load);
        visitors += of_day;
        scene.server.publish(MONDAY + (day + 1) * DAY + HOUR / 2);
        let end = scene.measure();
        println!("day {}: visitors={of_day} {end:?}", day + 1);
        days.push(end);
    }

    // Everything is counted once.
    let sent = load.days as usize * 24 * load.bodies_per_hour * HITS_PER_BODY;
    let totals = scene.engine.sql(
        "SELECT sum(hits), sum(visitors) FROM daily \
         WHERE subject = 'site' AND item = '' AND site != 0 FORMAT TSV",
    );
    assert_eq!(totals.trim(), format!("{sent}\t{visitors}"));

    let (second, last) = (&days[1], &days[days.len() - 1]);
    println!(
        "memory_growth={:.3}\nparts={}\nbytes_per_day={}",
        last.collector_bytes as f64 / second.collector_bytes as f64,
        last.parts,
        last.table_bytes / load.days as u64
    );
    assert!(
        last.engine_bytes <= 1 << 30,
        "{} bytes of the engine",
        last.engine_bytes
    );
    assert!(
        last.collector_bytes <= second.collector_bytes * 5 / 4,
        "the collector's memory grew from day to day"
    );
    for day in &days {
        assert_eq!(day.visitors_in_memory, 0, "those of the day are forgotten");
        assert!(day.parts <= 150, "{} parts", day.parts);
        assert!(
            day.table_bytes <= 3 * days[0].table_bytes.max(1) * load.days as u64,
            "{} bytes of tables",
            day.table_bytes
        );
        assert!(
            day.journal_bytes <= 8 << 20,
            "{} bytes of journal",
            day.journal_bytes
        );
    }
}

#[test]
fn a_week_of_few_visitors_leaves_memory_parts_and_disk_as_small_as_two_days() {
    live(&Load {
        days: 7,
        bodies_per_hour: 12,
        sites: 40,
    });
}

#[test]
#[ignore = "minutes: a week of 1.3 million hits"]
fn a_week_of_a_million_hits_leaves_memory_parts_and_disk_bounded() {
    live(&Load {
        days: 7,
        bodies_per_hour: 400,
        sites: 3000,
    });
}

#[test]
#[ignore = "minutes: three weeks of 4 million hits"]
fn three_weeks_of_millions_of_hits_leave_memory_parts_and_disk_bounded() {
    live(&Load {
        days: 21,
        bodies_per_hour: 400,
        sites: 3000,
    });
}
