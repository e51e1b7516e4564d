//! Compression and caching: scripts and answers are sent in an encoding that the browser accepts,
//! with identical contents.

use std::io::Read;

use crate::support::{Answer, Body, SITES, Server, hit, view};

fn asked(server: &Server, path: &str, more: &[(&str, &str)]) -> Answer {
    let host = server.address().to_string();
    let headers: Vec<(&str, &str)> = [("Host", host.as_str())]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    server
        .client()
        .ask("GET", path, &headers, Body::None)
        .unwrap()
}

fn decoded(answer: &Answer) -> Vec<u8> {
    let mut bytes = Vec::new();
    match answer.header("content-encoding") {
        Some("br") => {
            brotli::BrotliDecompress(&mut answer.body.as_slice(), &mut bytes).unwrap();
        }
        Some("gzip") => {
            flate2::read::GzDecoder::new(answer.body.as_slice())
                .read_to_end(&mut bytes)
                .unwrap();
        }
        _ => bytes.clone_from(&answer.body),
    }
    bytes
}

#[test]
fn scripts_pages_and_answers_travel_compressed_and_are_the_same_bytes() {
    let server = Server::start(SITES);
    for page in 0..30 {
        assert_eq!(
            hit(
                &mut server.client(),
                &view(&format!("/u/mia/page-{page}")),
                &[]
            )
            .status,
            202
        );
    }
    server.flush();
    let scripts = [
        "/ff/f.js",
        "/ff/consent.js",
        "/ff/vitals.js",
        "/u/mia/ff/f.js",
        "/u/mia/ff/consent.js",
    ];
    let answers = [
        "/",
        "/ff/consent",
        "/api/v1/sites/mia/report?from=2026-03-10&to=2026-03-10&limit=30",
    ];
    for path in scripts.into_iter().chain(answers) {
        let plain = asked(&server, path, &[]);
        assert_eq!(
            (plain.status, plain.header("content-encoding")),
            (200, None),
            "{path}"
        );
        for (accepted, coding) in [
            ("gzip, deflate, br", "br"),
            ("gzip", "gzip"),
            ("br;q=0, gzip;q=0.5", "gzip"),
        ] {
            let answer = asked(&server, path, &[("Accept-Encoding", accepted)]);
            assert_eq!(
                answer.header("content-encoding"),
                Some(coding),
                "{path} {accepted}"
            );
            assert!(
                answer
                    .header("vary")
                    .is_some_and(|vary| vary.eq_ignore_ascii_case("accept-encoding")),
                "{path}"
            );
            assert!(decoded(&answer) == plain.body, "{path} {accepted}");
            let (sent, whole) = (answer.body.len(), plain.body.len());
            assert!(
                sent * 10 < whole * 7,
                "{path}: {sent} of {whole} bytes as {coding}"
            );
        }
    }
}

/// The banner's script was once sent with `no-store`, so that every page view loaded 7 KB that
/// never change.
#[test]
fn a_cache_keeps_scripts_and_is_told_that_they_did_not_change() {
    let server = Server::start(SITES);
    for path in [
        "/ff/f.js",
        "/ff/consent.js",
        "/ff/vitals.js",
        "/ff/faults.js",
        "/u/mia/ff/consent.js",
    ] {
        let first = asked(&server, path, &[("Accept-Encoding", "br")]);
        assert_eq!(
            first.header("cache-control"),
            Some("public, max-age=3600"),
            "{path}"
        );
        let tag = first.header("etag").expect("a tag").to_owned();
        let again = asked(
            &server,
            path,
            &[("Accept-Encoding", "br"), ("If-None-Match", &tag)],
        );
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        assert_eq!(
            asked(&server, path, &[("If-None-Match", "\"another\"")]).status,
            200,
            "{path}"
        );
    }
    // A visitor's choice must not be cached for others.
    assert_eq!(
        asked(&server, "/ff/consent", &[]).header("cache-control"),
        Some("no-store")
    );
}
