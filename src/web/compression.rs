//! Compresses responses with brotli or gzip, as the request accepts. Fixed content is compressed
//! once, on its first request; responses of the API are compressed each time.

use std::borrow::Cow;
use std::io::Write;
use std::sync::OnceLock;

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, HeaderMap, VARY};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;

use super::entity_tag::compute_tag;
use crate::http::header_text;

/// Smaller responses grow when compressed.
const MIN_COMPRESSED_BYTES: usize = 512;
/// For the response of one request: better compression is not worth a tenth of a second.
const QUICK_LEVELS: CompressionLevels = CompressionLevels { brotli: 4, gzip: 4 };
/// For content that is compressed once.
const BEST_LEVELS: CompressionLevels = CompressionLevels {
    brotli: 11,
    gzip: 9,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ContentCoding {
    Brotli,
    Gzip,
    Identity,
}

#[derive(Clone, Copy)]
struct CompressionLevels {
    brotli: i32,
    gzip: u32,
}

impl ContentCoding {
    /// The most compact coding that the request accepts.
    pub(super) fn from_accept_encoding(headers: &HeaderMap) -> ContentCoding {
        let takes = |name: &str| {
            let codings = headers
                .get_all(ACCEPT_ENCODING)
                .filter_map(header_text)
                .flat_map(|field| field.split(','));
            let mut weights = codings.filter_map(|coding| {
                let mut parts = coding.split(';').map(str::trim);
                let is_it = parts
                    .next()
                    .is_some_and(|coding| coding.eq_ignore_ascii_case(name));
                is_it.then(|| parts.find_map(parse_weight).unwrap_or(1.0))
            });
            weights.next().is_some_and(|weight| weight > 0.0)
        };
        match () {
            () if takes("br") => ContentCoding::Brotli,
            () if takes("gzip") => ContentCoding::Gzip,
            () => ContentCoding::Identity,
        }
    }

    fn name(self) -> Option<&'static str> {
        match self {
            ContentCoding::Brotli => Some("br"),
            ContentCoding::Gzip => Some("gzip"),
            ContentCoding::Identity => None,
        }
    }

    fn encode_bytes(self, bytes: &[u8], effort: CompressionLevels) -> Vec<u8> {
        let mut out = Vec::new();

        match self {
            ContentCoding::Identity => out.extend_from_slice(bytes),
            ContentCoding::Brotli => {
                let params = brotli::enc::BrotliEncoderParams {
                    quality: effort.brotli,
                    ..Default::default()
                };
                let mut rest = bytes;
                brotli::BrotliCompress(&mut rest, &mut out, &params).expect("memory takes it");
            }
            ContentCoding::Gzip => {
                let mut gzip =
                    flate2::write::GzEncoder::new(&mut out, flate2::Compression::new(effort.gzip));
                gzip.write_all(bytes)
                    .and_then(|()| gzip.finish().map(drop))
                    .expect("memory takes it");
            }
        }
        out
    }
}

fn parse_weight(parameter: &str) -> Option<f32> {
    let (name, value) = parameter.split_once('=')?;
    if name.trim().eq_ignore_ascii_case("q") {
        value.trim().parse().ok()
    } else {
        None
    }
}

/// Sends a response that was made for this request.
pub(super) fn compressed_response(
    mut answer: HttpResponseBuilder,
    request: &HttpRequest,
    body: Vec<u8>,
) -> HttpResponse {
    answer.insert_header((VARY, "accept-encoding"));
    let coding = if body.len() < MIN_COMPRESSED_BYTES {
        ContentCoding::Identity
    } else {
        ContentCoding::from_accept_encoding(request.headers())
    };
    match coding.name() {
        Some(name) => answer
            .insert_header((CONTENT_ENCODING, name))
            .body(coding.encode_bytes(&body, QUICK_LEVELS)),
        None => answer.body(body),
    }
}

/// Embedded content that is the same for all, with its entity tag and compressed forms.
pub(super) struct StaticContent {
    plain: &'static [u8],
    tag: OnceLock<String>,
    brotli: OnceLock<Cow<'static, [u8]>>,
    gzip: OnceLock<Vec<u8>>,
}

impl StaticContent {
    pub(super) const fn new(plain: &'static [u8]) -> StaticContent {
        StaticContent {
            plain,
            tag: OnceLock::new(),
            brotli: OnceLock::new(),
            gzip: OnceLock::new(),
        }
    }

    /// `brotli` was compressed at build time.
    pub(super) fn with_brotli(plain: &'static [u8], brotli: &'static [u8]) -> StaticContent {
        StaticContent {
            brotli: OnceLock::from(Cow::Borrowed(brotli)),
            ..StaticContent::new(plain)
        }
    }

    /// The content, or 304 if the browser has it.
    pub(super) fn to_response(
        &'static self,
        mut answer: HttpResponseBuilder,
        request: &HttpRequest,
    ) -> HttpResponse {
        let tag_of = || format!("W/{}", compute_tag(request, self.plain).0);
        let tag = self.tag.get_or_init(tag_of);
        answer
            .insert_header((VARY, "accept-encoding"))
            .insert_header((ETAG, tag.as_str()));
        if super::entity_tag::has_matching_tag(request, tag.trim_start_matches("W/")) {
            return answer.status(StatusCode::NOT_MODIFIED).finish();
        }
        let coding = ContentCoding::from_accept_encoding(request.headers());
        if let Some(name) = coding.name() {
            answer.insert_header((CONTENT_ENCODING, name));
        }
        answer.body(Bytes::from_static(self.encoded_bytes(coding)))
    }

    fn encoded_bytes(&'static self, coding: ContentCoding) -> &'static [u8] {
        match coding {
            ContentCoding::Identity => self.plain,
            ContentCoding::Brotli => self.brotli.get_or_init(|| {
                ContentCoding::Brotli
                    .encode_bytes(self.plain, BEST_LEVELS)
                    .into()
            }),
            ContentCoding::Gzip => self
                .gzip
                .get_or_init(|| ContentCoding::Gzip.encode_bytes(self.plain, BEST_LEVELS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use actix_web::http::header::HeaderValue;

    use super::*;

    fn of(field: &'static str) -> ContentCoding {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(field));
        ContentCoding::from_accept_encoding(&headers)
    }

    #[test]
    fn the_smallest_coding_that_the_browser_takes_is_chosen() {
        use ContentCoding::{Brotli, Gzip, Identity};
        let fields = [
            "gzip, deflate, br, zstd",
            "br;q=0.5",
            "br; q=0",
            "br;q=0, GZIP",
            "gzip",
            "gzip;q=0.0",
            "brotli",
        ];
        assert_eq!(
            fields.map(of),
            [Brotli, Brotli, Identity, Gzip, Gzip, Identity, Identity]
        );
        assert_eq!(
            ContentCoding::from_accept_encoding(&HeaderMap::new()),
            Identity
        );
    }

    #[test]
    fn what_was_encoded_is_what_is_decoded() {
        let text: Vec<u8> = (0..4000u32)
            .flat_map(|n| format!("{{\"visitors\":{}}}", n % 97).into_bytes())
            .collect();
        for effort in [QUICK_LEVELS, BEST_LEVELS] {
            let (brotli, gzip) = (
                ContentCoding::Brotli.encode_bytes(&text, effort),
                ContentCoding::Gzip.encode_bytes(&text, effort),
            );
            let mut decoded = Vec::new();
            brotli::BrotliDecompress(&mut brotli.as_slice(), &mut decoded).unwrap();
            assert!(
                decoded == text && brotli.len() < text.len() / 10,
                "{} of {}",
                brotli.len(),
                text.len()
            );
            decoded.clear();
            flate2::read::GzDecoder::new(gzip.as_slice())
                .read_to_end(&mut decoded)
                .unwrap();
            assert!(
                decoded == text && gzip.len() < text.len() / 10,
                "{} of {}",
                gzip.len(),
                text.len()
            );
        }
    }
}
