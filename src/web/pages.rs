//! Static pages, embedded. No inline scripts or styles and no other hosts: see the policy below.

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpResponse, HttpResponseBuilder, web};

/// The content security policy; `frame-ancestors` is appended.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src \
    'self'; connect-src 'self'; form-action 'self'; base-uri 'none'";

pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const CSS: &str = "text/css; charset=utf-8";
const CSV: &str = "text/csv; charset=utf-8";
pub(super) const JS: &str = "text/javascript; charset=utf-8";
pub(super) const SVG: &str = "image/svg+xml";

macro_rules! file {
    ($path:literal, $kind:expr, $file:literal) => {
        (
            $path,
            $kind,
            include_str!(concat!("../../dashboards/", $file)),
        )
    };
}

type StaticPage = (&'static str, &'static str, &'static str);

pub(super) const SAMPLE_PAGES: [StaticPage; 5] = [
    file!("/u/demo", HTML, "sample/demo.html"),
    file!("/u/demo/shop", HTML, "sample/shop.html"),
    file!("/assets/sample/page.css", CSS, "sample/page.css"),
    file!("/assets/sample/glazes.csv", CSV, "sample/glazes.csv"),
    file!("/assets/sample/icon.svg", SVG, "sample/icon.svg"),
];

pub(super) fn register_pages(files: &'static [StaticPage], config: &mut web::ServiceConfig) {
    for &(path, kind, text) in files {
        config.route(
            path,
            web::get().to(move || std::future::ready(page_response(kind, text))),
        );
    }
}

fn page_response(kind: &'static str, text: &'static str) -> HttpResponse {
    page_builder(kind)
        .insert_header((CACHE_CONTROL, "no-cache"))
        .body(text)
}

/// The response header of the collector's own pages.
pub(super) fn page_builder(kind: &'static str) -> HttpResponseBuilder {
    framed_page_builder(kind, "'none'")
}

/// The response header of a page that these origins may show in a frame.
pub(super) fn framed_page_builder(kind: &'static str, ancestors: &str) -> HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer
        .content_type(kind)
        .insert_header((
            CONTENT_SECURITY_POLICY,
            format!("{CONTENT_POLICY}; frame-ancestors {ancestors}"),
        ))
        // `no-referrer` would make a form's `Origin` `null`, and the consent form's origin is
        // checked.
        .insert_header((REFERRER_POLICY, "same-origin"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ));
    answer
}
