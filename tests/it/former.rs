//! Journals of a former version: segments with site ids of 64 bits are counted under the sites'
//! present ids.

use std::fs;

use footfall::calendar::Day;

use crate::support::{DAY, SITES, Server};

/// The configuration names the site, so its former id is known.
const MIA: &str = "[[sites]]\nid = \"mia\"\nhosts = []\nzone = \"UTC\"\n";

const TOTAL: u8 = 0;
const SOURCE: u8 = 1 << 4;
const OF_PAGE: u8 = 1 << 2;

/// A segment file of version 1, byte by byte, so that it does not follow changes of the present
/// format.
struct Former(Vec<u8>);

impl Former {
    fn new(number: u64) -> Former {
        let mut header = b"FFSEGM1\n".to_vec();
        for part in [7, 8, number] {
            header.extend(u64::to_le_bytes(part));
        }
        let checksum = crc32c::crc32c(&header);
        header.extend(checksum.to_le_bytes());
        Former(header)
    }

    fn frame(mut self, payload: &[u8]) -> Former {
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&length), payload);
        self.0.extend(b"FFR1");
        self.0.extend(length);
        self.0.extend(checksum.to_le_bytes());
        self.0.extend(payload);
        self
    }
}

/// Strings from `base` on, and `hits` of one visitor: the site's total, a page's, and the site's by
/// source.
fn payload(base: u8, strings: &[&str], page: u8, source: u8, hits: u8) -> Vec<u8> {
    let mut payload = vec![base, u8::try_from(strings.len()).unwrap()];
    for text in strings {
        payload.push(u8::try_from(text.len()).unwrap());
        payload.extend(text.as_bytes());
    }
    let site = xxhash_rust::xxh3::xxh3_64(b"mia");
    let day = Day::from_date("2026-03-10".parse().unwrap()).unwrap();
    payload.push(3);
    payload.push(1 | 2 | TOTAL);
    payload.extend(site.to_le_bytes());
    payload.extend(day.as_number().to_le_bytes());
    payload.extend([0b111, hits, 1, 1]);
    payload.extend([SOURCE, source, 0b110, 1, 1]);
    payload.extend([OF_PAGE, page, 0b111, hits, 1, 1]);
    // No hours, money, drops, vitals, faults or mails.
    payload.extend([0; 6]);
    payload
}

#[test]
fn a_former_versions_journal_opens_and_counts_under_the_sites_new_id() {
    let mut server = Server::start(&format!("{SITES}{MIA}"));
    server.flush();
    assert_eq!(server.stop(), Some(0));
    let journal = server.dir().join("data/journal");
    let sealed = Former::new(900).frame(&payload(0, &["", "/u/mia", "Google"], 1, 2, 5));
    fs::write(journal.join("0000000000000900.sealed"), sealed.0).unwrap();
    let open = Former::new(901)
        .frame(&payload(1, &["/u/mia/new", "Bing"], 1, 2, 3))
        .frame(&payload(3, &[], 1, 2, 4));
    fs::write(journal.join("0000000000000901.open"), open.0).unwrap();
    server.restart();
    server.flush();

    assert_eq!(server.metric("footfall_journal_damaged_frames_total"), 0);
    assert_eq!(server.metric("footfall_segments_quarantined_total"), 0);
    let report = server.report("mia", DAY);
    assert_eq!(
        [&report["totals"]["hits"], &report["totals"]["visitors"]],
        [12, 3]
    );
    let pages = report["subjects"]["page"]["rows"].as_array().unwrap();
    let pages: Vec<(&str, u64)> = pages
        .iter()
        .map(|row| (row["item"].as_str().unwrap(), row["hits"].as_u64().unwrap()))
        .collect();
    assert_eq!(pages, [("/u/mia/new", 7), ("/u/mia", 5)]);
}
