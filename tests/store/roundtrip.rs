//! Arbitrary counts come back from the store exactly as they were sent.

use std::collections::BTreeMap;

use footfall::aggregate::{DropKey, HourlyKey, MoneyKey, SegmentSums};
use footfall::calendar::Day;
use footfall::event::{CounterValues, Dimension, DropReason, SiteId, Subject};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::support::{Builder, Tested, counts_of, daily, number};

const CASES: usize = 24;

type Daily = BTreeMap<(u64, u16, usize, usize, String, String), [u32; 7]>;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("\n\n".to_owned()),
        Just("a\r\n\r\nb\0c\n\n".to_owned()),
        Just("'\"\\`;--/*".to_owned()),
        "[a-z/]{1,12}",
        "\\PC{0,40}",
        vec(any::<char>(), 0..20).prop_map(|chars| chars.into_iter().collect()),
        "x{300,9000}",
    ]
}

/// Numbers whose bytes contain line ends, small numbers, and arbitrary ones.
fn count() -> impl Strategy<Value = u32> {
    prop_oneof![Just(2570), Just(0x0a0a_0a0a), 0..3_u32, any::<u32>()]
}

fn day() -> impl Strategy<Value = u16> {
    // About four months, so that one block covers several partitions; and days whose bytes are two
    // line ends.
    prop_oneof![Just(2570_u16), 20_500..20_620_u16]
}

fn rows() -> impl Strategy<Value = Daily> {
    let key = (
        prop_oneof![Just(2570), any::<u64>(), 0..3_u64],
        day(),
        0..4_usize,
        0..8_usize,
        text(),
        text(),
    );
    btree_map(
        key,
        [
            count(),
            count(),
            count(),
            count(),
            count(),
            count(),
            count(),
        ],
        0..120,
    )
}

type Small = (
    BTreeMap<(u64, u32), [u32; 5]>,
    BTreeMap<(u64, u16, String, u8), (u32, u64)>,
    BTreeMap<(u32, u8), u32>,
);

fn small() -> impl Strategy<Value = Small> {
    let hour = || prop_oneof![Just(0x0a0a_0a0a), 1_780_000_000..1_785_000_000_u32];
    (
        btree_map(
            (any::<u64>(), hour()),
            [count(), count(), count(), count(), count()],
            0..40,
        ),
        btree_map(
            (any::<u64>(), day(), text(), 0..5_u8),
            (count(), any::<u32>().prop_map(u64::from)),
            0..40,
        ),
        btree_map((hour(), 0..7_u8), count(), 0..20),
    )
}

fn sums(rows: &Daily, (hourly, money, drops): &Small) -> SegmentSums {
    let mut builder = Builder::default();
    for ((site, day, subject, dim, item, value), counts) in rows {
        let (subject, dim) = (Subject::ALL[*subject], Dimension::ALL[*dim]);
        builder.add_daily(
            *site,
            Day::from_number(*day),
            subject,
            item,
            dim,
            value,
            CounterValues(*counts),
        );
    }
    for ((site, day, event, currency), (hits, minor)) in money {
        builder = builder.money(
            *site,
            Day::from_number(*day),
            event,
            [b'A' + currency, 10, 10],
            *hits,
            *minor,
        );
    }
    let mut sums = builder.build();
    sums.hourly = hourly
        .iter()
        .map(|((site, hour), [a, b, c, d, e])| {
            (
                HourlyKey {
                    site: SiteId::from_u128(u128::from(*site)),
                    hour: *hour,
                },
                CounterValues([*a, *b, *c, *d, *e, 7, 8]),
            )
        })
        .collect();
    sums.drops = drops
        .iter()
        .map(|((hour, reason), hits)| {
            (
                DropKey {
                    hour: *hour,
                    reason: DropReason::from_u8(*reason).unwrap(),
                },
                *hits,
            )
        })
        .collect();
    sums
}

pub async fn any_counts_come_back_as_they_were_sent(store: &Tested) {
    let mut runner = TestRunner::default();
    for case in 0..CASES {
        let tree = (rows(), small()).new_tree(&mut runner).unwrap();
        let (rows, small) = tree.current();
        for table in ["daily", "unpublished", "hourly", "money", "drops"] {
            store
                .raw_client()
                .query(&format!("TRUNCATE TABLE {table}"))
                .execute()
                .await
                .unwrap();
        }
        let sums = sums(&rows, &small);
        store
            .insert_segment(&format!("case-{case}"), &sums)
            .await
            .unwrap();
        assert_daily(store, &rows).await;
        assert_small(store, &sums, &small).await;
    }
}

/// A row of zeroes is not stored. A total has no value, and an attribute has only visitors, visits
/// and networks.
async fn assert_daily(store: &Tested, rows: &Daily) {
    let mut kept: BTreeMap<_, [u64; 7]> = BTreeMap::new();
    for ((site, day, subject, dim, item, value), counts) in rows {
        let [_, visitors, visits, ..] = *counts;
        let (value, counts) = match Dimension::ALL[*dim] {
            Dimension::Total => ("", *counts),
            _ => (value.as_str(), [0, visitors, visits, 0, 0, 0, 0]),
        };
        let sum = kept
            .entry((*site, *day, *subject, *dim, item.clone(), value.to_owned()))
            .or_default();
        sum.iter_mut()
            .zip(counts)
            .for_each(|(sum, n)| *sum += u64::from(n));
    }
    let mut expected: Vec<_> = kept
        .iter()
        .filter(|(_, counts)| counts.iter().any(|n| *n > 0))
        .map(|((site, day, subject, dim, item, value), counts)| {
            let (subject, dim) = (Subject::ALL[*subject].name(), Dimension::ALL[*dim].name());
            (
                u128::from(*site),
                *day,
                subject.to_owned(),
                item.clone(),
                dim.to_owned(),
                value.clone(),
                counts.to_vec(),
            )
        })
        .collect();
    expected.sort();
    let mut found: Vec<_> = daily(store)
        .await
        .into_iter()
        .map(|row| {
            (
                row.site,
                row.day,
                row.subject,
                row.item,
                row.dim,
                row.value,
                row.counts,
            )
        })
        .collect();
    found.sort();
    assert!(
        found == expected,
        "daily came back with other rows: {} for {}",
        found.len(),
        expected.len()
    );
}

async fn assert_small(store: &Tested, sums: &SegmentSums, (hourly, money, drops): &Small) {
    type Hour = (u128, u32, u64, u64, u64, u64, u64);
    let found: Vec<Hour> = store
        .raw_client()
        .query(&format!(
            "SELECT site, toUInt32(hour), sum(hits), sum(visitors), sum(visits), sum(bounces), sum(seconds) \
             FROM {} GROUP BY site, hour ORDER BY site, hour",
            counts_of("hourly")
        ))
        .fetch_all()
        .await
        .unwrap();
    let expected: Vec<Hour> = hourly
        .iter()
        .filter(|(_, counts)| counts.iter().any(|n| *n > 0))
        .map(|((site, hour), c)| {
            (
                u128::from(*site),
                *hour,
                c[0].into(),
                c[1].into(),
                c[2].into(),
                c[3].into(),
                c[4].into(),
            )
        })
        .collect();
    assert!(found == expected, "hourly came back with other rows");

    type Amount = (u128, u16, String, String, u64, u64);
    let mut found: Vec<Amount> = store
        .raw_client()
        .query(&format!(
            "SELECT site, toUInt16(day), toString(event), toString(currency), sum(hits), toUInt64(sum(minor)) \
             FROM {} GROUP BY site, day, event, currency",
            counts_of("money")
        ))
        .fetch_all()
        .await
        .unwrap();
    found.sort();
    let mut expected: Vec<Amount> = sums
        .money
        .iter()
        .filter(|(_, (hits, minor))| *hits > 0 || *minor > 0)
        .map(
            |(
                MoneyKey {
                    site,
                    day,
                    event,
                    currency,
                },
                (hits, minor),
            )| {
                let currency = String::from_utf8(currency.to_vec()).unwrap();
                (
                    site.as_u128(),
                    day.as_number(),
                    sums.resolve_string(*event).to_owned(),
                    currency,
                    u64::from(*hits),
                    *minor,
                )
            },
        )
        .collect();
    expected.sort();
    assert!(
        found == expected,
        "money came back with other rows: {} for {}",
        found.len(),
        money.len()
    );

    let all: u64 = drops.values().map(|hits| u64::from(*hits)).sum();
    assert_eq!(
        number(
            store,
            &format!("SELECT sum(hits) FROM {}", counts_of("drops"))
        )
        .await,
        all
    );
}
