//! The pages that creators and operators open: built from `dashboards/app` into `dashboards/dist`, compiled in as they are there.
//!
//! A file's name holds the digest of what is in it, so a browser keeps it for ever; the page that names them is asked for each time. Each stands
//! there compressed as well, so that no request pays for that.

use actix_web::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, ETAG, HeaderMap, VARY};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};

use super::pages::{self, CSS, HTML, JS, SVG};
use super::tag::tag;
use crate::event::Problem;
use crate::http::{refuse, text};

struct File {
    path: &'static str,
    kind: &'static str,
    plain: &'static [u8],
    brotli: &'static [u8],
}

static FILES: &[File] = &include!("../../dashboards/dist/files.rs");

const PAGE: &str = "/index.html";
const FOR_EVER: &str = "public, max-age=31536000, immutable";

pub(super) fn routes(config: &mut web::ServiceConfig) {
    for path in ["/", "/login", "/platform"] {
        config.route(path, web::get().to(page));
    }
    config.route("/assets/{file}", web::get().to(asset));
}

async fn page(request: HttpRequest) -> HttpResponse {
    let page = file(PAGE);
    let (tag, known) = tag(&request, page.plain);
    let mut answer = pages::answer(HTML);
    answer.insert_header((CACHE_CONTROL, "no-cache")).insert_header((ETAG, tag));
    if known { answer.status(actix_web::http::StatusCode::NOT_MODIFIED).finish() } else { page.sent(answer, &request) }
}

/// The page of a share link: others may show it in a frame.
pub(super) fn framed_page(request: &HttpRequest, ancestors: &str) -> HttpResponse {
    let mut answer = pages::framed(HTML, ancestors);
    answer.insert_header((CACHE_CONTROL, "no-store"));
    file(PAGE).sent(answer, request)
}

async fn asset(request: HttpRequest) -> HttpResponse {
    match FILES.iter().find(|file| file.path == request.path()) {
        Some(file) => {
            let mut answer = pages::answer(file.kind);
            answer.insert_header((CACHE_CONTROL, FOR_EVER));
            file.sent(answer, &request)
        }
        None => refuse(&Problem::new(404, "not_found", "There is nothing here"), None).await,
    }
}

fn file(path: &str) -> &'static File {
    FILES.iter().find(|file| file.path == path).expect("the build lists it, and a test asks for it")
}

impl File {
    fn sent(&self, mut answer: HttpResponseBuilder, request: &HttpRequest) -> HttpResponse {
        answer.insert_header((VARY, "accept-encoding"));
        if takes_brotli(request.headers()) {
            return answer.insert_header((CONTENT_ENCODING, "br")).body(self.brotli);
        }
        answer.body(self.plain)
    }
}

fn takes_brotli(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(ACCEPT_ENCODING).filter_map(text).flat_map(|field| field.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let weight = |part: &str| part.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok());
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("br")) && parts.find_map(weight) != Some(0.0)
    })
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn brotli_goes_to_those_who_take_it() {
        let takes = |field: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(field));
            takes_brotli(&headers)
        };
        let answers = ["gzip, deflate, br, zstd", "br;q=0.5", "br; q=0", "gzip", "brotli"].map(takes);
        assert_eq!(answers, [true, true, false, false, false]);
        assert!(!takes_brotli(&HeaderMap::new()));
    }
}
