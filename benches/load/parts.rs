//! The parts of the benchmark that can be wrong without anybody noticing, tested: `cargo test
//! --test load_parts`.
//!
//! A bench with a `main` of its own runs no tests, so its modules are compiled once more here, and
//! their tests live here.
#![allow(
    dead_code,
    reason = "only the tests run here, not all that the modules offer"
)]

mod answer;
mod ask;
mod histogram;
mod interrupt;
#[path = "../../tests/it/support/port.rs"]
mod port;
mod requests;
mod table;
mod target;
mod threads;

mod answer_tests {
    use crate::answer::*;

    #[test]
    fn an_answer_is_complete_at_its_last_byte_and_not_before() {
        let bytes = b"HTTP/1.1 202 Accepted\r\ncontent-length: 3\r\nx: y\r\n\r\nabc";
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]), Answer::Incomplete, "{end}");
        }
        assert_eq!(
            read(bytes),
            Answer::Complete {
                status: 202,
                length: bytes.len(),
                close: false
            }
        );
    }

    #[test]
    fn a_204_has_no_body_and_connection_close_is_seen() {
        let bytes = b"HTTP/1.1 204 No Content\r\nConnection: Close\r\n\r\n";
        assert_eq!(
            read(bytes),
            Answer::Complete {
                status: 204,
                length: bytes.len(),
                close: true
            }
        );
    }

    #[test]
    fn what_is_not_http_or_chunked_is_unreadable() {
        assert_eq!(read(b"SSH-2.0\r\n\r\n"), Answer::Unreadable);
        assert_eq!(
            read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Answer::Unreadable
        );
        assert_eq!(
            read(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
            Answer::Unreadable
        );
    }
}

mod ask_tests {
    use crate::ask::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_not_mistaken_for_a_longer_name() {
        let text = "# TYPE rows counter\nrows{table=\"daily\"} 40\nrows{table=\"hourly\"} 2\nrows_total 7\n";
        assert_eq!(sum(text, "rows"), Some(42.0));
        assert_eq!(sum(text, "rows_total"), Some(7.0));
        assert_eq!(sum(text, "row"), None);
    }

    #[test]
    fn chunks_are_joined() {
        assert_eq!(joined("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), "abcde");
    }
}

mod histogram_tests {
    use std::time::Duration;

    use crate::histogram::*;

    #[test]
    fn a_quantile_is_never_below_the_truth_and_at_most_one_64th_above_it() {
        for exact in [
            1_u64,
            63,
            64,
            127,
            128,
            129,
            999,
            65_537,
            1_234_567,
            987_654_321,
            u64::MAX,
        ] {
            let edge = upper_edge(bucket(exact));
            assert!(edge >= exact, "{edge} < {exact}");
            assert!(
                edge - exact <= exact / 64,
                "{edge} is too far above {exact}"
            );
        }
    }

    #[test]
    fn the_99th_of_a_hundred_is_not_the_slowest() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile_ms(0.99), None);
        (0..99).for_each(|_| histogram.record(Duration::from_millis(1)));
        histogram.record(Duration::from_millis(100));
        assert!((histogram.quantile_ms(0.5).unwrap() - 1.0).abs() < 0.016);
        assert!((histogram.quantile_ms(0.99).unwrap() - 1.0).abs() < 0.016);
        assert!((histogram.quantile_ms(1.0).unwrap() - 100.0).abs() < 1.6);
    }
}

mod requests_tests {
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    use crate::requests::*;

    fn text(request: &Request) -> &str {
        std::str::from_utf8(&request.bytes).expect("requests are ASCII")
    }

    fn field<'a>(request: &'a Request, name: &str) -> &'a str {
        let line = text(request)
            .lines()
            .find(|line| line.starts_with(name))
            .expect("the field is sent");
        &line[name.len() + 2..]
    }

    #[test]
    fn the_load_is_the_same_each_time_and_has_the_described_mixture() {
        let (one, two) = (build(Wish::Counted), build(Wish::Counted));
        assert_eq!(one.len(), 4_096);
        assert!(one.iter().zip(&two).all(|(a, b)| a.bytes == b.bytes));
        let distinct = |name: &str| {
            one.iter()
                .map(|request| field(request, name).to_owned())
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(distinct("User-Agent").len(), 300);
        assert_eq!(distinct("X-Forwarded-For").len(), 4_096);
        assert_eq!(distinct("Accept-Language").len(), 6);
        assert!(
            (560..=600).contains(&distinct("Referer").len()),
            "{}",
            distinct("Referer").len()
        );
        let share = |part: &str| {
            one.iter()
                .filter(|request| text(request).contains(part))
                .count()
                * 100
                / REQUESTS
        };
        assert!((18..=22).contains(&share("utm_campaign")));
        assert!((38..=42).contains(&share("\"referrer\":\"\"")));
        assert!((78..=82).contains(
            &(one.iter().map(|request| request.views).sum::<u64>() * 100 / REQUESTS as u64)
        ));
    }

    #[test]
    fn a_body_is_json_of_the_announced_length() {
        for request in build(Wish::Dropped) {
            let (head, body) = text(&request).split_once("\r\n\r\n").unwrap();
            assert!(head.contains("\r\nDNT: 1\r\n"));
            assert_eq!(field(&request, "Content-Length"), body.len().to_string());
            let json: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(u64::from(json["kind"] == "view"), request.views);
        }
    }

    #[test]
    fn a_body_of_several_hits_has_an_id_of_its_own_for_each() {
        let mut chance = Chance::new(1);
        for mut request in build(Wish::CountedTogether).into_iter().take(50) {
            request.renew(&mut chance, 0);
            let (_, body) = text(&request).split_once("\r\n\r\n").unwrap();
            assert_eq!(field(&request, "Content-Length"), body.len().to_string());

            let hits: Vec<serde_json::Value> = serde_json::from_str(body).unwrap();
            let ids: BTreeSet<&str> = hits.iter().map(|hit| hit["id"].as_str().unwrap()).collect();
            let views = hits.iter().filter(|hit| hit["kind"] == "view").count();
            assert_eq!([hits.len(), ids.len()], [HITS_PER_BODY; 2]);
            assert_eq!(
                (hits.len() as u64, views as u64),
                (request.hits, request.views)
            );
        }
    }

    #[test]
    fn everybody_loads_the_one_pixel_of_a_mail() {
        let openings = openings("/ff/o/token.gif");
        assert!(
            openings
                .iter()
                .all(|request| text(request).starts_with("GET /ff/o/token.gif HTTP/1.1\r\n"))
        );
        let mut request = openings.into_iter().next().unwrap();
        let (before, address) = (
            request.bytes.len(),
            field(&request, "X-Forwarded-For").to_owned(),
        );
        request.renew(&mut Chance::new(1), 100);
        assert_eq!(
            (request.bytes.len(), field(&request, "X-Request-Id").len()),
            (before, 32)
        );
        assert_ne!(field(&request, "X-Forwarded-For"), address);
    }

    #[test]
    fn renewing_changes_the_id_always_and_the_address_only_for_a_new_visitor() {
        let mut chance = Chance::new(1);
        let mut request = build(Wish::Counted).swap_remove(7);
        let (before, address) = (
            request.bytes.clone(),
            field(&request, "X-Forwarded-For").to_owned(),
        );
        request.renew(&mut chance, 0);
        assert_eq!(field(&request, "X-Forwarded-For"), address);
        let id_at = request.ids_at[0];
        let changed: Vec<usize> = (0..before.len())
            .filter(|at| request.bytes[*at] != before[*at])
            .collect();
        assert!(changed.len() > 20 && changed.iter().all(|at| (id_at..id_at + 32).contains(at)));
        request.renew(&mut chance, 100);
        assert_ne!(field(&request, "X-Forwarded-For"), address);
        assert_eq!(request.bytes.len(), before.len());
        let id = &request.bytes[id_at..id_at + 32];
        assert!(id.iter().all(u8::is_ascii_hexdigit) && id.iter().any(|byte| *byte != b'0'));
    }

    #[test]
    fn a_request_for_an_owner_comes_from_networks_of_that_owner() {
        let mut chance = Chance::new(1);
        let owner = Owner {
            place: 1,
            collectors: 2,
        };
        let mut request = build(Wish::Counted).swap_remove(7);
        request.send_to_owner(owner, &mut chance);
        for _ in 0..200 {
            let address: Ipv4Addr = field(&request, "X-Forwarded-For").parse().unwrap();
            let [a, b, c, _] = address.octets();
            let hash = crc32fast::hash(format!("{a}.{b}.{c}.0").as_bytes());
            assert_eq!((hash >> 16 & 0x7fff) % 2, 1, "{address}");
            request.renew(&mut chance, 100);
        }
    }

    #[test]
    fn every_address_is_public() {
        let mut chance = Chance::new(2);
        let mut text = [0; 15];
        for _ in 0..10_000 {
            write_address(&mut text, &mut chance);
            let address: Ipv4Addr = std::str::from_utf8(&text).unwrap().parse().unwrap();
            let [a, b, ..] = address.octets();
            assert!(
                !address.is_private() && !address.is_loopback() && !address.is_link_local(),
                "{address}"
            );
            assert!(!(a == 100 && (64..128).contains(&b)) && a < 224);
        }
    }
}

mod table_tests {
    use crate::table::*;

    fn row(cpu: &[f64]) -> Row {
        let samples = cpu
            .iter()
            .map(|cpu| Sample {
                cpu_per_million: *cpu,
                ..Sample::default()
            })
            .collect();
        Row {
            samples,
            ..Row::default()
        }
    }

    #[test]
    fn the_ratio_is_taken_round_by_round_and_its_median_kept() {
        assert_eq!(
            ratio(&row(&[30.0, 15.0, 40.0]), &row(&[20.0, 10.0, 10.0])),
            Some(1.5)
        );
        assert_eq!(ratio(&row(&[30.0]), &row(&[])), None);
    }

    #[test]
    fn the_median_of_an_even_number_is_the_mean_of_the_middle_two() {
        assert_eq!(median([4.0, 1.0, 2.0, 9.0]), Some(3.0));
        assert_eq!(median([]), None);
    }

    #[test]
    fn what_was_not_measured_is_na() {
        assert_eq!(line("rss_mib", None, 0), "rss_mib=na");
        assert_eq!(
            line("cpu_ratio_bare", Some(1.2345), 2),
            "cpu_ratio_bare=1.23"
        );
    }
}

mod target_tests {
    use crate::target::*;

    #[test]
    fn a_thread_has_the_name_between_the_outer_brackets() {
        let name = crate::threads::thread_name("7 (actix-rt (1) x) S 1 7");
        assert_eq!(name, Some("actix-rt (1) x"));
    }

    #[test]
    fn cpu_ticks_are_read_behind_a_command_with_brackets_and_spaces() {
        let stat = "77 (a) b (c) S 1 77 77 0 -1 4194560 9 0 0 0 250 50 3 4 20 0 1 0 2 3 4";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("77 (a) S 1"), None);
    }
}
