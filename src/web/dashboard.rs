//! The dashboards for creators and operators: built from `dashboards/app` into `dashboards/dist`,
//! and embedded.
//!
//! File names contain a digest of the content, so browsers may cache files without limit; the page
//! that references them is revalidated each time.

use std::sync::LazyLock;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};

use super::coding::Fixed;
use super::pages::{self, CSS, HTML, JS, SVG};
use crate::event::Problem;
use crate::http::refuse;

/// A file as listed by the build.
struct File {
    path: &'static str,
    kind: &'static str,
    plain: &'static [u8],
    brotli: &'static [u8],
}

struct Asset {
    path: &'static str,
    kind: &'static str,
    bytes: Fixed,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let files: &[File] = &include!("../../dashboards/dist/files.rs");
    let asset =
        |file: &File| Asset { path: file.path, kind: file.kind, bytes: Fixed::with_brotli(file.plain, file.brotli) };
    files.iter().map(asset).collect()
});

const PAGE: &str = "/index.html";
const FOR_EVER: &str = "public, max-age=31536000, immutable";

pub(super) fn routes(config: &mut web::ServiceConfig) {
    for path in ["/", "/login", "/platform"] {
        config.route(path, web::get().to(page));
    }
    config.route("/assets/{file}", web::get().to(asset));
}

async fn page(request: HttpRequest) -> HttpResponse {
    let mut answer = pages::answer(HTML);
    answer.insert_header((CACHE_CONTROL, "no-cache"));
    file(PAGE).bytes.sent(answer, &request)
}

/// The page of a share link, which other sites may show in a frame.
pub(super) fn framed_page(request: &HttpRequest, ancestors: &str) -> HttpResponse {
    let mut answer = pages::framed(HTML, ancestors);
    answer.insert_header((CACHE_CONTROL, "no-store"));
    file(PAGE).bytes.sent(answer, request)
}

async fn asset(request: HttpRequest) -> HttpResponse {
    match ASSETS.iter().find(|asset| asset.path == request.path()) {
        Some(asset) => {
            let mut answer = pages::answer(asset.kind);
            answer.insert_header((CACHE_CONTROL, FOR_EVER));
            asset.bytes.sent(answer, &request)
        }
        None => refuse(&Problem::new(404, "not_found", "There is nothing here"), None).await,
    }
}

fn file(path: &str) -> &'static Asset {
    ASSETS.iter().find(|asset| asset.path == path).expect("the build lists it, and a test asks for it")
}
