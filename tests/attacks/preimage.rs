//! P8: another name with the id of `mia`. Ids of sites were xxh3 of the name, 64 bits; a second
//! preimage of letters alone takes half a minute.
//!
//! xxh3 of 64 bytes is a sum of four products, one for each 16 bytes, mixed at the end by steps
//! that can be undone. Four lists of products of random letters; pairs whose sums agree in their
//! low bits; a pair of pairs that hits the sum of `mia` (Wagner's generalised birthday).

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::people::Dice;
use crate::stage::{FIRST, Sent, Stage, range, visitors};
use crate::support::AGENT;
use crate::{Figure, found};

const VICTIM: &str = "mia";
/// Found by [`search`]; each run checks that it collides.
const FORGED: &str = "VqBZlbuGpAUGLtLrLQpYNMOFyfiXJQOVwiezxTaWIgwVcOhuTUKCmzuHhsJlaVKj";

const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const BLOCK: usize = 16;
const BLOCKS: usize = 4;
/// A list has two to the power of this: four of them leave about four solutions.
const LOW_BITS: u32 = 22;

const PRIME64_1: u64 = 0x9E37_79B1_85EB_CA87;
const PRIME_MX1: u64 = 0x1656_6791_9E37_79F9;
/// The default secret's words that a block of the name meets, in the order of the blocks.
const SECRET: [(u64, u64); BLOCKS] = [
    (0xbe4b_a423_396c_feb8, 0x1cad_21f7_2c81_017c),
    (0x78e5_c0cc_4ee6_79cb, 0x2172_ffcc_7dd0_5a82),
    (0x8e24_43f7_7446_08b8, 0x4c26_3a81_e690_35e0),
    (0xdb97_9083_e96d_d4de, 0x1f67_b3b7_a4a4_4072),
];

type Letters = [u8; BLOCK];

fn product(place: usize, letters: &Letters) -> u64 {
    let word = |at: usize| u64::from_le_bytes(letters[at..at + 8].try_into().expect("eight bytes"));
    let whole = u128::from(word(0) ^ SECRET[place].0) * u128::from(word(8) ^ SECRET[place].1);
    (whole as u64) ^ (whole >> 64) as u64
}

/// The sum that the last steps of xxh3 make this hash of.
fn before_mixing(hash: u64) -> u64 {
    // Newton's steps for the inverse of an odd number.
    let mut inverse = PRIME_MX1;
    for _ in 0..6 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(PRIME_MX1.wrapping_mul(inverse)));
    }
    let value = (hash ^ (hash >> 32)).wrapping_mul(inverse);
    value ^ (value >> 37)
}

/// Sums of a pair of lists whose low bits are `low`, with the two numbers that make each.
fn pairs(first: &[u64], second: &[u64], low: u64) -> Vec<(u64, u32, u32)> {
    let mask = (1_u64 << LOW_BITS) - 1;
    let mut by_low: HashMap<u64, Vec<u32>> = HashMap::new();
    for (place, value) in second.iter().enumerate() {
        by_low.entry(value & mask).or_default().push(place as u32);
    }
    let mut sums = Vec::new();
    for (place, value) in first.iter().enumerate() {
        for other in by_low
            .get(&(low.wrapping_sub(*value) & mask))
            .into_iter()
            .flatten()
        {
            sums.push((
                value.wrapping_add(second[*other as usize]),
                place as u32,
                *other,
            ));
        }
    }
    sums
}

/// A name of 64 letters whose xxh3 is that of the victim's.
pub fn search(seed: u64) -> Option<String> {
    let mut dice = Dice::new(seed);
    let length = (BLOCKS * BLOCK) as u64;
    let goal =
        before_mixing(xxh3_64(VICTIM.as_bytes())).wrapping_sub(length.wrapping_mul(PRIME64_1));
    let mut letters: Vec<Vec<Letters>> = Vec::new();
    let mut lists: Vec<Vec<u64>> = Vec::new();
    for place in 0..BLOCKS {
        let block = |_| -> Letters { std::array::from_fn(|_| *dice.pick(LETTERS)) };
        letters.push((0..1 << LOW_BITS).map(block).collect());
        lists.push(
            letters[place]
                .iter()
                .map(|block| product(place, block))
                .collect(),
        );
    }

    let front: HashMap<u64, (u32, u32)> = pairs(&lists[0], &lists[1], 0)
        .into_iter()
        .map(|(sum, a, b)| (sum, (a, b)))
        .collect();
    for (sum, c, d) in pairs(&lists[2], &lists[3], goal) {
        if let Some((a, b)) = front.get(&goal.wrapping_sub(sum)) {
            let chosen = [*a, *b, c, d].into_iter().enumerate();
            let name: Vec<u8> = chosen
                .flat_map(|(place, at)| letters[place][at as usize])
                .collect();
            return String::from_utf8(name).ok();
        }
    }
    None
}

/// Reads of the victim's counts, and counts written to her, under the forged name. In full the name
/// is searched for again.
pub fn attack(full: bool) -> Vec<Figure> {
    let searched = if full {
        (1..).find_map(search).expect("another seed finds one")
    } else {
        FORGED.to_owned()
    };
    let mut stage = Stage::start(&[]);
    let mut reads = 0;
    for (day, forged) in [FORGED, &searched].into_iter().enumerate() {
        assert_eq!(
            xxh3_64(forged.as_bytes()),
            xxh3_64(VICTIM.as_bytes()),
            "{forged}"
        );
        let now = FIRST + crate::stage::DAY * day as i64;
        let mut view = |site: &str, address: &str| {
            let body = format!(r#"{{"kind":"view","url":"https://pages.example/u/{site}"}}"#);
            stage.send(
                now,
                &[Sent {
                    body: &body,
                    address,
                    agent: AGENT,
                    language: "en",
                }],
            );
        };
        (1..=3).for_each(|n| view(VICTIM, &format!("198.51.100.{n}")));
        view(forged, "198.51.100.9");
        stage.server.flush();
        let mut seen = |site: &str| visitors(&stage.report(site, &range(day, day))["totals"]);
        reads += u64::from(seen(forged) != 1) + u64::from(seen(VICTIM) != 3);
    }
    vec![found("sites_read_by_second_preimage", reads as f64, 0.0)]
}
