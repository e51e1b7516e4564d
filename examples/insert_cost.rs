//! What a row of `unpublished` costs to store: CPU seconds (encoder, client and engine together,
//! both processes) for each million rows, in blocks of 100 000. `insert_cost DIR LIBRARY FOOTFALL
//! [BLOCKS]`.

use std::path::PathBuf;
use std::time::Instant;

use footfall::aggregate::{AttributeCounts, AttributeKey, AttributeSums, SegmentSums, StringId};
use footfall::calendar::Day;
use footfall::event::{SiteId, Subject};
use footfall::store::schema::CountsTable;
use footfall::store::{Store, StoreOptions, native};

const ROWS: u32 = 100_000;
const ITEMS: u32 = 20_000;
const VALUES: u32 = 400;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |name: &'static str| {
        arguments
            .next()
            .ok_or_else(|| anyhow::anyhow!("missing {name}"))
    };
    let (data_dir, library) = (PathBuf::from(next("DIR")?), PathBuf::from(next("LIBRARY")?));
    let program = PathBuf::from(next("FOOTFALL")?);
    let blocks: u32 = next("BLOCKS").ok().map_or(Ok(10), |text| text.parse())?;
    let options = StoreOptions::embedded(data_dir, program, library);
    let store = Store::connect(&options).await?;
    store.insert_segment("warm", &segment(blocks)).await?;

    let segments: Vec<SegmentSums> = (0..blocks).map(segment).collect();
    let encoding = Cost::start();
    let table = CountsTable::Unpublished;
    let of_segment = |sums: &SegmentSums| {
        let pieces = native::rows_by_partition(sums, table).into_iter();
        pieces
            .map(|piece| {
                native::encode_block(sums, table, piece.partition, &piece.rows, ("c-1-1", 1)).len()
            })
            .sum::<usize>()
    };
    let bytes: usize = segments.iter().map(of_segment).sum();
    encoding.print("encoding alone", blocks, bytes);
    // The engine would merge meanwhile, and its cost would fall into either figure by chance.
    store
        .raw_client()
        .query("SYSTEM STOP MERGES unpublished")
        .execute()
        .await?;
    let whole = Cost::start();
    for (n, sums) in segments.iter().enumerate() {
        store.insert_segment(&format!("c-1-{n}"), sums).await?;
    }
    whole.print("insert, acknowledged", blocks, bytes);
    store
        .raw_client()
        .query("SYSTEM START MERGES unpublished")
        .execute()
        .await?;
    let merging = Cost::start();
    store
        .raw_client()
        .query("OPTIMIZE TABLE unpublished FINAL")
        .execute()
        .await?;
    merging.print("merging it all", blocks, bytes);
    let size: String = store
        .raw_client()
        .query("SELECT toString((sum(rows), sum(data_compressed_bytes))) FROM system.parts WHERE table = 'unpublished' AND active")
        .fetch_one()
        .await?;
    println!("(rows, bytes) at rest: {size}");
    Ok(())
}

/// Keys that repeat from segment to segment, as those of a site's day do.
fn segment(seed: u32) -> SegmentSums {
    let mut strings: Vec<Box<str>> = vec!["".into(), "UTC".into()];
    strings.extend((0..ITEMS).map(|n| format!("/stories/{}/chapter-{n}", n % 97).into()));
    strings.extend((0..VALUES).map(|n| format!("value{n}.example").into()));
    let mut state = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = |below: u32| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as u32 % below
    };
    let mut rows: Vec<(AttributeKey, AttributeCounts)> = (0..ROWS)
        .map(|_| {
            let subject = Subject::ALL[random(4) as usize];
            let dims = subject.dimensions();
            let dim = dims[random(dims.len() as u32) as usize];
            let item = if subject == Subject::Site {
                StringId(0)
            } else {
                StringId(2 + random(ITEMS))
            };
            // Few values are most of them.
            let value =
                StringId(2 + ITEMS + random(VALUES).min(random(VALUES)).min(random(VALUES)));
            let site = SiteId::from_u128(
                u128::from(random(5_000)).wrapping_mul(0xd6e8_feb8_6659_fd93_8bd5_1b6a_9c3f_2e71),
            );
            let (zone, day) = (StringId(1), Day::from_number(20_514));
            let key = AttributeKey {
                site,
                zone,
                day,
                subject,
                dim,
                item,
                value,
            };
            let visitors = 1 + random(2);
            (
                key,
                AttributeCounts {
                    visitors,
                    visits: 1 + random(3),
                    networks: visitors,
                    platform_networks: 0,
                },
            )
        })
        .collect();
    rows.sort_by_key(|(key, _)| *key);
    rows.dedup_by_key(|(key, _)| *key);
    SegmentSums {
        attributes: AttributeSums { strings, rows },
        ..SegmentSums::default()
    }
}

struct Cost {
    wall: Instant,
    cpu: f64,
}

impl Cost {
    fn start() -> Cost {
        Cost {
            wall: Instant::now(),
            cpu: cpu_seconds(),
        }
    }

    fn print(&self, what: &str, blocks: u32, bytes: usize) {
        let millions = f64::from(blocks) * f64::from(ROWS) / 1e6;
        let (cpu, wall) = (
            (cpu_seconds() - self.cpu) / millions,
            self.wall.elapsed().as_secs_f64() / millions,
        );
        println!(
            "{what}: {cpu:.2} CPU s, {wall:.2} s, {:.1} MB for each million rows",
            bytes as f64 / millions / 1e6
        );
    }
}

/// User and system time of all threads of this process and of the engine's, from the kernel's ticks
/// of 10 ms.
fn cpu_seconds() -> f64 {
    let own = std::process::id().to_string();
    let mut ticks = 0.0;
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        let fields: Vec<&str> = stat
            .rsplit(") ")
            .next()
            .unwrap_or_default()
            .split(' ')
            .collect();
        if process.file_name().to_str() == Some(&own) || fields.get(1) == Some(&&*own) {
            ticks += [11, 12]
                .iter()
                .filter_map(|at| fields.get(*at)?.parse::<f64>().ok())
                .sum::<f64>();
        }
    }
    ticks / 100.0
}
