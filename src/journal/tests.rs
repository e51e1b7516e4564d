//! The process dies at every point of a segment's life: each row counts once, and none is written
//! in clear too early.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::frame;
use super::open_segment::OpenSegment;
use super::payload::{self, FrameKind};
use super::recovery::{RecoverySummary, SegmentRecovery};
use super::sealed_segment::{close_segment, read_sealed_segment};
use super::segment_file::{HEADER_BYTES, JournalFolder, SegmentId};
use super::segment_keys::SegmentKeys;
use crate::aggregate::{
    AttributeCounts, AttributeKey, AttributeSums, DailyKey, ReleasePolicy, ReleaseScope,
    SegmentBuilder, SegmentDelta, SegmentSums, StringId,
};
use crate::calendar::{Day, Millis};
use crate::event::CounterKind::Hits;
use crate::event::{CounterValues, Dimension, SiteId, Subject};

const RULE: ReleasePolicy = ReleasePolicy {
    min_visits: 5,
    max_rows: 20_000,
    max_bytes: 1 << 24,
};
const TODAY: u16 = 20_000;
const NOON: Millis = TODAY as Millis * 86_400_000 + 43_200_000;
const MIDNIGHT: Millis = NOON + 43_200_000 + 5_000;

/// Hits by site and day, and visits and networks by site, day and text. The platform's rows are
/// left out.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
struct Counted {
    hits: BTreeMap<(u128, u16), u32>,
    visits: BTreeMap<(u128, u16, String), (u32, u32)>,
}

impl Counted {
    fn add(&mut self, sums: &SegmentSums) {
        for (key, counts) in sums
            .daily
            .iter()
            .filter(|(key, _)| key.site != SiteId::PLATFORM)
        {
            *self
                .hits
                .entry((key.site.as_u128(), key.day.as_number()))
                .or_default() += counts.get(Hits);
        }
        self.add_attributes(&sums.attributes);
    }

    fn add_attributes(&mut self, sums: &AttributeSums) {
        for (key, counts) in sums
            .rows
            .iter()
            .filter(|(key, _)| key.site != SiteId::PLATFORM)
        {
            assert_eq!(sums.resolve_string(key.zone), "UTC");
            let cell = (
                key.site.as_u128(),
                key.day.as_number(),
                sums.resolve_string(key.value).to_owned(),
            );
            let sum = self.visits.entry(cell).or_default();
            *sum = (sum.0 + counts.visits, sum.1 + counts.networks);
        }
    }
}

/// Visits of a site from a source, as in one batch.
#[derive(Clone, Copy, Debug)]
struct Visits {
    site: u128,
    day: u16,
    source: u8,
    visits: u32,
}

impl Visits {
    fn of(site: u128, visits: u32) -> Visits {
        Visits {
            site,
            day: TODAY,
            source: 0,
            visits,
        }
    }

    fn delta(self, segment: &SegmentBuilder) -> SegmentDelta {
        let (site, day) = (SiteId::from_u128(self.site), Day::from_number(self.day));
        let (base, attribute_base) = (segment.next_string_id(), segment.next_attribute_string_id());
        let counts = AttributeCounts {
            visitors: 1,
            visits: self.visits,
            networks: 1,
            platform_networks: 0,
        };
        let row = |dim, text: u32| {
            let (subject, item) = (Subject::Site, StringId::EMPTY);
            let (zone, value) = (StringId(attribute_base), StringId(attribute_base + text));
            (
                AttributeKey {
                    site,
                    zone,
                    day,
                    subject,
                    dim,
                    item,
                    value,
                },
                counts,
            )
        };
        let attributes = AttributeSums {
            strings: vec![
                "UTC".into(),
                format!("source {}", self.source).into(),
                "FR".into(),
            ],
            rows: vec![row(Dimension::Source, 1), row(Dimension::Country, 2)],
        };
        let daily = DailyKey {
            site,
            day,
            subject: Subject::Page,
            item: StringId(base),
        };
        let daily = vec![(daily, CounterValues::zeros().with_value(Hits, self.visits))];
        SegmentDelta {
            first_string_id: base,
            first_attribute_string_id: attribute_base,
            sums: SegmentSums {
                strings: vec!["/".into()],
                daily,
                attributes,
                ..SegmentSums::default()
            },
        }
    }

    fn counted(self, into: &mut Counted) {
        *into.hits.entry((self.site, self.day)).or_default() += self.visits;
        for text in [format!("source {}", self.source), "FR".to_owned()] {
            let sum = into.visits.entry((self.site, self.day, text)).or_default();
            *sum = (sum.0 + self.visits, sum.1 + 1);
        }
    }
}

/// A collector's journal without its threads: the steps of the writer and the closer, one at a
/// time.
struct Collector {
    folder: JournalFolder,
    keys: SegmentKeys,
    open: OpenSegment,
    /// Segments that the closer has not closed yet.
    behind: Vec<(SegmentId, SegmentBuilder, AttributeSums)>,
}

impl Collector {
    fn start(dir: &Path, key_dir: &Path, epoch: u64, now: Millis) -> (Collector, RecoverySummary) {
        let folder = JournalFolder::open(dir).unwrap();
        let mut keys = SegmentKeys::open(key_dir, folder.collector_id(), epoch);
        let mut recovery =
            SegmentRecovery::replay_open_segments(&folder, &keys, RULE, now).unwrap();
        let id = SegmentId {
            collector: folder.collector_id(),
            epoch,
            number: recovery.next_number().max(1),
        };
        let carried = std::mem::take(&mut recovery.carried);
        let (open, carried) = OpenSegment::create_segment(&folder, id, &mut keys, carried).unwrap();
        let recovered = recovery.close_last_segment(&folder, &carried).unwrap();
        keys.forget_former_keys();
        (
            Collector {
                folder,
                keys,
                open,
                behind: Vec::new(),
            },
            recovered,
        )
    }

    fn batch(&mut self, visits: Visits) {
        let delta = visits.delta(&self.open.segment);
        self.open.append_batch(&delta, &mut self.keys).unwrap();
    }

    fn rotate(&mut self, wanted: ReleaseScope, now: Millis) {
        let carried = self.open.segment.collect_carried(RULE, wanted, now);
        let id = SegmentId {
            number: self.open.file.id.number + 1,
            ..self.open.file.id
        };
        let (next, carried) = self
            .open
            .create_next(&self.folder, id, &mut self.keys, carried)
            .unwrap();
        let OpenSegment { file, segment, .. } = std::mem::replace(&mut self.open, next);
        self.behind.push((file.id, segment, carried));
    }

    fn seal_one(&mut self) {
        if !self.behind.is_empty() {
            let (id, segment, carried) = self.behind.remove(0);
            close_segment(&self.folder, id, &segment.finish_segment(&carried)).unwrap();
        }
    }

    /// The sealed segments.
    fn sealed(&self) -> Vec<SegmentSums> {
        let numbers = self.folder.segment_numbers("sealed").unwrap();
        numbers
            .into_iter()
            .map(|number| {
                read_sealed_segment(&self.folder.segment_path(number, "sealed"))
                    .unwrap()
                    .1
            })
            .collect()
    }
}

/// What counts after a start in the folder: sealed segments, and carried rows.
fn counted_after_a_start(
    dir: &Path,
    key_dir: &Path,
    epoch: u64,
    now: Millis,
) -> (Counted, RecoverySummary) {
    let (mut collector, recovered) = Collector::start(dir, key_dir, epoch, now);
    let mut counted = Counted::default();
    collector.sealed().iter().for_each(|sums| {
        counted.add(sums);
        assert_eq!(
            of_fewer_than_k(sums, now),
            [],
            "a sealed segment tells of few"
        );
    });
    let rest = std::mem::take(&mut collector.open.segment);
    counted.add_attributes(&rest.finish_segment(&AttributeSums::default()).attributes);
    (counted, recovered)
}

/// Sites and days of a sealed segment with too few visits to be released before the day is over.
fn of_fewer_than_k(sums: &SegmentSums, now: Millis) -> Vec<(u128, u16)> {
    let mut visits: BTreeMap<(u128, u16), u32> = BTreeMap::new();
    for (key, counts) in &sums.attributes.rows {
        let of_sites = key.site != SiteId::PLATFORM && key.dim == Dimension::Source;
        *visits
            .entry((key.site.as_u128(), key.day.as_number()))
            .or_default() += if of_sites { counts.visits } else { 0 };
    }
    let over = |day: u16| now >= (Millis::from(day) + 1) * 86_400_000 + 5_000;
    let few = visits
        .into_iter()
        .filter(|((site, day), visits)| *site != 0 && *visits < RULE.min_visits && !over(*day));
    few.map(|(cell, _)| cell).collect()
}

/// The files of a folder by name.
type Image = BTreeMap<String, Vec<u8>>;

fn image(dir: &Path) -> Image {
    let files = fs::read_dir(dir)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_file());
    let bytes = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        if path.extension().is_some_and(|state| state == "open") {
            // The reserved zeros have no meaning.
            bytes.truncate(
                bytes
                    .iter()
                    .rposition(|byte| *byte != 0)
                    .map_or(0, |last| last + 1),
            );
        }
        bytes
    };
    files
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                bytes(&entry.path()),
            )
        })
        .collect()
}

/// A folder as a crash left it: after a start, exactly the acknowledged hits count.
fn assert_counted(image: &Image, key_dir: &Path, expected: &Counted, what: &str) {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in image {
        // As a file with reserved space: zeros up to the end.
        let reserved = if name.ends_with(".open") { 64 } else { 0 };
        fs::write(
            dir.path().join(name),
            [bytes.as_slice(), &vec![0; reserved]].concat(),
        )
        .unwrap();
    }
    let keys = tempfile::tempdir_in("/dev/shm").unwrap();
    for file in fs::read_dir(key_dir).unwrap().flatten() {
        fs::copy(file.path(), keys.path().join(file.file_name())).unwrap();
    }
    let (counted, recovered) = counted_after_a_start(dir.path(), keys.path(), 99, NOON);
    assert_eq!((&counted, recovered.lost_rows), (expected, 0), "{what}");
    // The same after another crash, right after that start.
    let (again, recovered) = counted_after_a_start(dir.path(), keys.path(), 100, NOON);
    assert_eq!(
        (&again, recovered.lost_rows),
        (expected, 0),
        "{what}, started once more"
    );
}

fn folders() -> (TempDir, TempDir) {
    (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir_in("/dev/shm").unwrap(),
    )
}

fn name(number: u64, state: &str) -> String {
    format!("{number:016}.{state}")
}

#[test]
fn a_death_at_any_byte_of_a_rotation_counts_each_row_once() {
    let (dir, keys) = folders();
    let (mut collector, _) = Collector::start(dir.path(), keys.path(), 1, NOON);
    let mut expected = Counted::default();
    // One site has enough visits; the other has not, and has some on both sides of the rotation.
    for visits in [Visits::of(1, 3), Visits::of(2, 2), Visits::of(1, 4)] {
        collector.batch(visits);
        visits.counted(&mut expected);
    }
    let before = image(dir.path());
    let key_dir = keys.path();
    assert_counted(&before, key_dir, &expected, "before the rotation");

    // While the next segment is created.
    collector.rotate(ReleaseScope::EnoughVisits, NOON);
    let rotated = image(dir.path());
    let next = &rotated[&name(2, "open")];
    for length in 0..=next.len() {
        // A partial header is reported as damage. On a real disk it is in one sector with its
        // checksum.
        if length == 0 || length >= HEADER_BYTES {
            let cut = BTreeMap::from([(name(2, "open"), next[..length].to_vec())]);
            let cut = before.clone().into_iter().chain(cut).collect();
            assert_counted(
                &cut,
                key_dir,
                &expected,
                &format!("{length} bytes of the next segment"),
            );
        }
    }

    // While the former one is closed.
    collector.seal_one();
    let after = image(dir.path());
    let sealed = &after[&name(1, "sealed")];
    for length in (0..=sealed.len()).step_by(16).chain([sealed.len()]) {
        let mut cut = rotated.clone();
        cut.insert(name(1, "sealing"), sealed[..length].to_vec());
        assert_counted(
            &cut,
            key_dir,
            &expected,
            &format!("{length} bytes of the sealed segment"),
        );
    }
    let mut both = rotated.clone();
    both.insert(name(1, "sealed"), sealed.clone());
    assert_counted(
        &both,
        key_dir,
        &expected,
        "sealed, and the open file not yet removed",
    );
    assert_counted(&after, key_dir, &expected, "rotated");
}

#[test]
fn a_death_while_the_sealer_is_behind_counts_each_row_once() {
    let (dir, keys) = folders();
    let (mut collector, _) = Collector::start(dir.path(), keys.path(), 1, NOON);
    let mut expected = Counted::default();
    let mut images = Vec::new();
    for round in 0..4 {
        for visits in [
            Visits::of(1, 2),
            Visits {
                source: round,
                ..Visits::of(2, 1)
            },
            Visits::of(3, 7),
        ] {
            collector.batch(visits);
            visits.counted(&mut expected);
        }
        collector.rotate(
            if round == 1 {
                ReleaseScope::ClosedDays
            } else {
                ReleaseScope::EnoughVisits
            },
            NOON,
        );
        images.push((image(dir.path()), expected.clone()));
    }
    for _ in 0..4 {
        collector.seal_one();
        images.push((image(dir.path()), expected.clone()));
    }
    for (place, (image, expected)) in images.iter().enumerate() {
        assert_counted(image, keys.path(), expected, &format!("image {place}"));
    }
}

#[test]
fn a_death_at_any_point_of_a_start_counts_each_row_once() {
    let (dir, keys) = folders();
    let mut expected = Counted::default();
    let (mut collector, _) = Collector::start(dir.path(), keys.path(), 1, NOON);
    for visits in [Visits::of(1, 6), Visits::of(2, 1)] {
        collector.batch(visits);
        visits.counted(&mut expected);
    }
    collector.rotate(ReleaseScope::EnoughVisits, NOON);
    collector.batch(Visits::of(2, 1));
    Visits::of(2, 1).counted(&mut expected);
    drop(collector);

    // The steps of `Collector::start`, with an image after each.
    let mut images = vec![image(dir.path())];
    let folder = JournalFolder::open(dir.path()).unwrap();
    let mut second = SegmentKeys::open(keys.path(), folder.collector_id(), 2);
    let mut recovery = SegmentRecovery::replay_open_segments(&folder, &second, RULE, NOON).unwrap();
    images.push(image(dir.path()));
    let id = SegmentId {
        collector: folder.collector_id(),
        epoch: 2,
        number: recovery.next_number(),
    };
    let carried = std::mem::take(&mut recovery.carried);
    assert_eq!(
        carried.rows.len(),
        2,
        "the two visits of the second site, of one source"
    );
    let (_, carried) = OpenSegment::create_segment(&folder, id, &mut second, carried).unwrap();
    images.push(image(dir.path()));
    recovery.close_last_segment(&folder, &carried).unwrap();
    images.push(image(dir.path()));
    for (place, image) in images.iter().enumerate() {
        assert_counted(image, keys.path(), &expected, &format!("image {place}"));
    }
}

#[test]
fn a_batch_that_was_not_written_whole_is_not_counted_and_costs_nothing_before_it() {
    let (dir, keys) = folders();
    let (mut collector, _) = Collector::start(dir.path(), keys.path(), 1, NOON);
    let mut expected = Counted::default();
    collector.batch(Visits::of(1, 3));
    Visits::of(1, 3).counted(&mut expected);
    let answered = image(dir.path());
    collector.batch(Visits::of(1, 1));
    let mut all = expected.clone();
    Visits::of(1, 1).counted(&mut all);
    let whole = image(dir.path());
    let (open, from) = (&whole[&name(1, "open")], answered[&name(1, "open")].len());
    for length in from..=open.len() {
        let mut cut = whole.clone();
        cut.insert(name(1, "open"), open[..length].to_vec());
        let expected = if length == open.len() {
            &all
        } else {
            &expected
        };
        assert_counted(&cut, keys.path(), expected, &format!("{length} bytes"));
    }
}

#[test]
fn without_the_key_the_totals_are_counted_and_the_lost_rows_are_told() {
    let (dir, keys) = folders();
    let (mut collector, _) = Collector::start(dir.path(), keys.path(), 1, NOON);
    let mut expected = Counted::default();
    for visits in [Visits::of(1, 6), Visits::of(2, 1)] {
        collector.batch(visits);
        visits.counted(&mut expected);
    }
    drop(collector);
    let lost = tempfile::tempdir_in("/dev/shm").unwrap();
    let (counted, recovered) = counted_after_a_start(dir.path(), lost.path(), 2, NOON);
    assert_eq!(
        (counted.hits, counted.visits),
        (expected.hits, BTreeMap::new())
    );
    assert_eq!(recovered.lost_rows, 4);
}

#[test]
fn a_day_that_ended_while_the_collector_was_down_is_released_by_the_next_start() {
    let (dir, keys) = folders();
    let (mut collector, _) = Collector::start(dir.path(), keys.path(), 1, NOON);
    collector.batch(Visits::of(1, 1));
    drop(collector);
    let (collector, _) = Collector::start(dir.path(), keys.path(), 2, MIDNIGHT - 1);
    assert_eq!(collector.sealed()[0].attributes.rows, []);
    drop(collector);
    let (collector, _) = Collector::start(dir.path(), keys.path(), 3, MIDNIGHT);
    let released: usize = collector
        .sealed()
        .iter()
        .map(|sums| sums.attributes.rows.len())
        .sum();
    assert_eq!(released, 4, "the site's and the platform's");
}

/// Longer than anything that ingest accepts; see src/enrich for the limits of texts.
#[test]
fn the_largest_hit_fits_in_what_is_reserved_for_one() {
    let text = |bytes: usize, n: usize| format!("{n}{}", "x".repeat(bytes - 1)).into_boxed_str();
    let mut segment = SegmentBuilder::default();
    // A segment with many strings, whose numbers take the maximum number of bytes.
    segment.add_delta(&SegmentDelta {
        first_string_id: u32::MAX >> 8,
        ..Visits::of(1, 1).delta(&SegmentBuilder::default())
    });
    let (site, day) = (SiteId::from_u128(u128::MAX), Day::from_number(TODAY));
    let large = StringId(u32::MAX);
    let counts = AttributeCounts {
        visitors: 1,
        visits: 1,
        networks: 1,
        platform_networks: 1,
    };
    let attribute = |subject: Subject, dim| {
        (
            AttributeKey {
                site,
                zone: large,
                day,
                subject,
                dim,
                item: large,
                value: large,
            },
            counts,
        )
    };
    let of = |subject: Subject| {
        subject
            .dimensions()
            .iter()
            .map(move |dim| attribute(subject, *dim))
    };
    let daily = |subject| {
        (
            DailyKey {
                site,
                day,
                subject,
                item: large,
            },
            CounterValues([u32::MAX; 7]),
        )
    };
    let hourly = |hour| {
        (
            crate::aggregate::HourlyKey { site, hour },
            CounterValues([u32::MAX; 7]),
        )
    };
    let money = crate::aggregate::MoneyKey {
        site,
        day,
        event: large,
        currency: *b"EUR",
    };
    // Item, zone, and a value of each dimension: source, campaign (100 characters), country,
    // device, browser, system, language, channel.
    let bytes: [usize; 2 + Subject::Site.dimensions().len()] =
        [512, 40, 256, 400, 12, 20, 40, 40, 20, 20];
    let sums = SegmentSums {
        // The item, and the page of a visit that ended.
        strings: vec![text(512, 1), text(512, 2)],
        daily: vec![
            daily(Subject::Site),
            daily(Subject::Event),
            daily(Subject::Page),
        ],
        hourly: vec![hourly(u32::MAX), hourly(u32::MAX - 1)],
        money: vec![(money, (1, u64::MAX))],
        attributes: AttributeSums {
            strings: bytes
                .into_iter()
                .enumerate()
                .map(|(n, bytes)| text(bytes, n))
                .collect(),
            rows: of(Subject::Site).chain(of(Subject::Event)).collect(),
        },
        ..SegmentSums::default()
    };
    let delta = SegmentDelta {
        first_string_id: segment.next_string_id(),
        first_attribute_string_id: segment.next_attribute_string_id(),
        sums,
    };
    let id = SegmentId {
        collector: 1,
        epoch: 1,
        number: 1,
    };
    let mut bytes = Vec::new();
    let cipher = SegmentKeys::in_memory(1).segment_cipher(id).unwrap();
    frame::write_frame(&mut bytes, |out| {
        payload::write_open_payload(out, FrameKind::Batch, &delta, &cipher, u64::MAX)
    });
    assert!(
        (bytes.len() as u64) < super::writer::MAX_BYTES_PER_HIT,
        "{} bytes",
        bytes.len()
    );
}

#[derive(Clone, Debug)]
enum Step {
    Visits(Visits),
    Rotate(bool),
    Seal,
    /// The process dies and starts again; `true`: a day later.
    Die(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let visits = (1_u128..5, 0_u8..3, 1_u32..4).prop_map(|(site, source, visits)| {
        Step::Visits(Visits {
            site,
            day: TODAY,
            source,
            visits,
        })
    });
    prop_oneof![
        6 => visits,
        2 => any::<bool>().prop_map(Step::Rotate),
        2 => Just(Step::Seal),
        1 => prop::bool::weighted(0.2).prop_map(Step::Die),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 48 } else { 256 }))]

    #[test]
    fn whatever_happens_each_row_counts_once_and_none_is_told_too_early(steps in prop::collection::vec(step(), 1..40)) {
        let (dir, keys) = folders();
        let (mut now, mut epoch, mut day) = (NOON, 1, TODAY);
        let mut expected = Counted::default();
        let (mut collector, _) = Collector::start(dir.path(), keys.path(), epoch, now);
        for step in steps {
            match step {
                Step::Visits(visits) => {
                    let visits = Visits { day, ..visits };
                    collector.batch(visits);
                    visits.counted(&mut expected);
                }
                Step::Rotate(enough) => collector.rotate(if enough { ReleaseScope::EnoughVisits } else { ReleaseScope::ClosedDays }, now),
                Step::Seal => collector.seal_one(),
                Step::Die(a_day_later) => {
                    if a_day_later {
                        (now, day) = (now + 86_400_000, day + 1);
                    }
                    epoch += 1;
                    drop(collector);
                    let (next, recovered) = Collector::start(dir.path(), keys.path(), epoch, now);
                    collector = next;
                    prop_assert_eq!((recovered.lost_rows, recovered.damaged), (0, 0));
                }
            }
            for sums in collector.sealed() {
                prop_assert_eq!(of_fewer_than_k(&sums, now), []);
            }
        }
        drop(collector);
        let (counted, recovered) = counted_after_a_start(dir.path(), keys.path(), epoch + 1, now);
        prop_assert_eq!((counted, recovered.lost_rows), (expected, 0));
    }
}

/// A file that cannot grow: the kernel rejects writes beyond its end.
fn sealed_against_growth(bytes: u64) -> fs::File {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    let file = fs::File::from(memfd_create("segment", MemfdFlags::ALLOW_SEALING).unwrap());
    file.set_len(bytes).unwrap();
    fcntl_add_seals(&file, SealFlags::GROW).unwrap();
    file
}

#[test]
fn a_batch_that_cannot_be_written_is_taken_back_or_said_to_be_uncertain() {
    let dir = tempfile::tempdir().unwrap();
    let folder = JournalFolder::open(dir.path()).unwrap();
    let mut keys = SegmentKeys::open(&dir.path().join("keys"), folder.collector_id(), 1);
    let id = SegmentId {
        collector: folder.collector_id(),
        epoch: 1,
        number: 1,
    };
    let (mut open, _) =
        OpenSegment::create_segment(&folder, id, &mut keys, AttributeSums::default()).unwrap();
    let delta = Visits::of(7, 1).delta(&open.segment);

    // Cannot grow, but can be truncated: the last write is certainly undone.
    open.file.replace_file(sealed_against_growth);
    let error = open.append_batch(&delta, &mut keys).unwrap_err();
    assert!(
        error.is_undone() && error.to_string().contains("was taken back"),
        "{error}"
    );

    // Can be neither written nor truncated.
    open.file
        .replace_file(|_| fs::File::open(folder.segment_path(1, "open")).unwrap());
    let error = open.append_batch(&delta, &mut keys).unwrap_err();
    assert!(
        !error.is_undone() && error.to_string().contains("may be there or not"),
        "{error}"
    );
}

#[test]
fn an_empty_file_of_the_collectors_id_is_made_again_as_the_segments_know_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("collector");
    fs::create_dir_all(dir.path()).unwrap();
    fs::write(&path, "").unwrap();
    let first = JournalFolder::open(dir.path()).unwrap();
    let made = first.collector_id();
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{made:016x}\n"));
    let mut keys = SegmentKeys::open(&dir.path().join("keys"), made, 1);
    let id = SegmentId {
        collector: made,
        epoch: 1,
        number: 1,
    };
    OpenSegment::create_segment(&first, id, &mut keys, AttributeSums::default()).unwrap();
    drop(first);

    fs::write(&path, "").unwrap();
    assert_eq!(
        JournalFolder::open(dir.path()).unwrap().collector_id(),
        made
    );
    assert!(dir.path().join("quarantine/collector.empty").exists());
}

#[test]
fn a_file_with_the_header_of_another_segment_is_not_counted_under_its_token() {
    let dir = tempfile::tempdir().unwrap();
    let keys = tempfile::tempdir().unwrap();
    let (mut collector, _) = Collector::start(dir.path(), keys.path(), 1, NOON);
    collector.batch(Visits::of(7, 3));
    drop(collector);
    let name = |number: u64| dir.path().join(format!("{number:016}.open"));
    fs::rename(name(1), name(5)).unwrap();

    let (counted, recovered) = counted_after_a_start(dir.path(), keys.path(), 2, NOON);
    assert_eq!((counted, recovered.damaged), (Counted::default(), 1));
    assert!(
        dir.path()
            .join(format!("quarantine/{:016}.open", 5))
            .exists()
    );
    assert!(!name(5).exists());
}
