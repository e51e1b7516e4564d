//! The dashboards for creators and operators: built from `dashboards/app` into `dashboards/dist`,
//! and embedded.
//!
//! File names contain a digest of the content, so browsers may cache files without limit; the page
//! that references them is revalidated each time.

use std::sync::LazyLock;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};

use super::compression::StaticContent;
use super::pages::{self, CSS, HTML, JS, SVG};
use crate::event::{Problem, ProblemCode};

/// A file as listed by the build.
struct BuiltFile {
    path: &'static str,
    kind: &'static str,
    plain: &'static [u8],
    brotli: &'static [u8],
}

struct DashboardAsset {
    path: &'static str,
    kind: &'static str,
    bytes: StaticContent,
}

static ASSETS: LazyLock<Vec<DashboardAsset>> = LazyLock::new(|| {
    let files: &[BuiltFile] = &include!("../../dashboards/dist/files.rs");
    let asset = |file: &BuiltFile| DashboardAsset {
        path: file.path,
        kind: file.kind,
        bytes: StaticContent::with_brotli(file.plain, file.brotli),
    };
    files.iter().map(asset).collect()
});

const INDEX_PATH: &str = "/index.html";
const CACHE_FOREVER: &str = "public, max-age=31536000, immutable";

pub(super) fn register_routes(config: &mut web::ServiceConfig) {
    for path in ["/", "/login", "/platform"] {
        config.route(path, web::get().to(get_page));
    }
    config.route("/assets/{file}", web::get().to(get_asset));
}

async fn get_page(request: HttpRequest) -> HttpResponse {
    let mut answer = pages::page_builder(HTML);
    answer.insert_header((CACHE_CONTROL, "no-cache"));
    find_asset(INDEX_PATH).bytes.to_response(answer, &request)
}

/// The page of a share link, which other sites may show in a frame.
pub(super) fn framed_page(request: &HttpRequest, ancestors: &str) -> HttpResponse {
    let mut answer = pages::framed_page_builder(HTML, ancestors);
    answer.insert_header((CACHE_CONTROL, "no-store"));
    find_asset(INDEX_PATH).bytes.to_response(answer, request)
}

async fn get_asset(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let asset = ASSETS
        .iter()
        .find(|asset| asset.path == request.path())
        .ok_or_else(|| Problem::new(ProblemCode::NotFound))?;

    let mut answer = pages::page_builder(asset.kind);
    answer.insert_header((CACHE_CONTROL, CACHE_FOREVER));
    Ok(asset.bytes.to_response(answer, &request))
}

fn find_asset(path: &str) -> &'static DashboardAsset {
    ASSETS
        .iter()
        .find(|asset| asset.path == path)
        .expect("the build lists it, and a test asks for it")
}
