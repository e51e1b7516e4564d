//! Compresses answers with brotli or gzip, as the request accepts. Fixed content is compressed
//! once, on its first request; answers of the API are compressed as they are made.

use std::borrow::Cow;
use std::io::Write;
use std::sync::OnceLock;

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, HeaderMap, VARY};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;

use super::tag::tag;
use crate::http::text;

/// Smaller answers grow by being compressed.
const FEWEST_BYTES: usize = 512;
/// For answers of one request: better compression is not worth a tenth of a second.
const QUICK: Effort = Effort { brotli: 4, gzip: 4 };
/// For content that is compressed once.
const THOROUGH: Effort = Effort { brotli: 11, gzip: 9 };

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Coding {
    Brotli,
    Gzip,
    Identity,
}

#[derive(Clone, Copy)]
struct Effort {
    brotli: i32,
    gzip: u32,
}

impl Coding {
    /// The most compact coding that the request accepts.
    pub(super) fn of(headers: &HeaderMap) -> Coding {
        let takes = |name: &str| {
            let codings = headers.get_all(ACCEPT_ENCODING).filter_map(text).flat_map(|field| field.split(','));
            let mut weights = codings.filter_map(|coding| {
                let mut parts = coding.split(';').map(str::trim);
                let is_it = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case(name));
                is_it.then(|| parts.find_map(weight).unwrap_or(1.0))
            });
            weights.next().is_some_and(|weight| weight > 0.0)
        };
        match () {
            () if takes("br") => Coding::Brotli,
            () if takes("gzip") => Coding::Gzip,
            () => Coding::Identity,
        }
    }

    fn name(self) -> Option<&'static str> {
        match self {
            Coding::Brotli => Some("br"),
            Coding::Gzip => Some("gzip"),
            Coding::Identity => None,
        }
    }

    fn encode(self, bytes: &[u8], effort: Effort) -> Vec<u8> {
        let mut out = Vec::new();

        match self {
            Coding::Identity => out.extend_from_slice(bytes),
            Coding::Brotli => {
                let params = brotli::enc::BrotliEncoderParams { quality: effort.brotli, ..Default::default() };
                let mut rest = bytes;
                brotli::BrotliCompress(&mut rest, &mut out, &params).expect("memory takes it");
            }
            Coding::Gzip => {
                let mut gzip = flate2::write::GzEncoder::new(&mut out, flate2::Compression::new(effort.gzip));
                gzip.write_all(bytes).and_then(|()| gzip.finish().map(drop)).expect("memory takes it");
            }
        }
        out
    }
}

fn weight(parameter: &str) -> Option<f32> {
    let (name, value) = parameter.split_once('=')?;
    if name.trim().eq_ignore_ascii_case("q") { value.trim().parse().ok() } else { None }
}

/// Sends an answer that was made for this request.
pub(super) fn sent(mut answer: HttpResponseBuilder, request: &HttpRequest, body: Vec<u8>) -> HttpResponse {
    answer.insert_header((VARY, "accept-encoding"));
    let coding = if body.len() < FEWEST_BYTES { Coding::Identity } else { Coding::of(request.headers()) };
    match coding.name() {
        Some(name) => answer.insert_header((CONTENT_ENCODING, name)).body(coding.encode(&body, QUICK)),
        None => answer.body(body),
    }
}

/// Embedded content that is the same for all, with its entity tag and compressed forms.
pub(super) struct Fixed {
    plain: &'static [u8],
    tag: OnceLock<String>,
    brotli: OnceLock<Cow<'static, [u8]>>,
    gzip: OnceLock<Vec<u8>>,
}

impl Fixed {
    pub(super) const fn new(plain: &'static [u8]) -> Fixed {
        Fixed { plain, tag: OnceLock::new(), brotli: OnceLock::new(), gzip: OnceLock::new() }
    }

    /// `brotli` was compressed at build time.
    pub(super) fn with_brotli(plain: &'static [u8], brotli: &'static [u8]) -> Fixed {
        Fixed { brotli: OnceLock::from(Cow::Borrowed(brotli)), ..Fixed::new(plain) }
    }

    /// The content, or 304 if the browser has it.
    pub(super) fn sent(&'static self, mut answer: HttpResponseBuilder, request: &HttpRequest) -> HttpResponse {
        let tag_of = || format!("W/{}", tag(request, self.plain).0);
        let tag = self.tag.get_or_init(tag_of);
        answer.insert_header((VARY, "accept-encoding")).insert_header((ETAG, tag.as_str()));
        if super::tag::is_held(request, tag.trim_start_matches("W/")) {
            return answer.status(StatusCode::NOT_MODIFIED).finish();
        }
        let coding = Coding::of(request.headers());
        if let Some(name) = coding.name() {
            answer.insert_header((CONTENT_ENCODING, name));
        }
        answer.body(Bytes::from_static(self.bytes(coding)))
    }

    fn bytes(&'static self, coding: Coding) -> &'static [u8] {
        match coding {
            Coding::Identity => self.plain,
            Coding::Brotli => self.brotli.get_or_init(|| Coding::Brotli.encode(self.plain, THOROUGH).into()),
            Coding::Gzip => self.gzip.get_or_init(|| Coding::Gzip.encode(self.plain, THOROUGH)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use actix_web::http::header::HeaderValue;

    use super::*;

    fn of(field: &'static str) -> Coding {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(field));
        Coding::of(&headers)
    }

    #[test]
    fn the_smallest_coding_that_the_browser_takes_is_chosen() {
        use Coding::{Brotli, Gzip, Identity};
        let fields = ["gzip, deflate, br, zstd", "br;q=0.5", "br; q=0", "br;q=0, GZIP", "gzip", "gzip;q=0.0", "brotli"];
        assert_eq!(fields.map(of), [Brotli, Brotli, Identity, Gzip, Gzip, Identity, Identity]);
        assert_eq!(Coding::of(&HeaderMap::new()), Identity);
    }

    #[test]
    fn what_was_encoded_is_what_is_decoded() {
        let text: Vec<u8> = (0..4000u32).flat_map(|n| format!("{{\"visitors\":{}}}", n % 97).into_bytes()).collect();
        for effort in [QUICK, THOROUGH] {
            let (brotli, gzip) = (Coding::Brotli.encode(&text, effort), Coding::Gzip.encode(&text, effort));
            let mut decoded = Vec::new();
            brotli::BrotliDecompress(&mut brotli.as_slice(), &mut decoded).unwrap();
            assert!(decoded == text && brotli.len() < text.len() / 10, "{} of {}", brotli.len(), text.len());
            decoded.clear();
            flate2::read::GzDecoder::new(gzip.as_slice()).read_to_end(&mut decoded).unwrap();
            assert!(decoded == text && gzip.len() < text.len() / 10, "{} of {}", gzip.len(), text.len());
        }
    }
}
