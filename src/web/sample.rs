//! The sample profile of `make run`: two pages and the plainest form that makes a choice.

use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, HOST, HeaderName, LOCATION, ORIGIN, REFERER, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::Site;
use super::pages::{SAMPLE, serve};
use crate::event::Problem;
use crate::http::{read, refuse, text, without_port};

pub(super) fn routes(prefix: &str, config: &mut web::ServiceConfig) {
    serve(&SAMPLE, config);
    config.route(&format!("{prefix}/consent"), web::post().to(choose));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    choice: Choice,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Choice {
    Accept,
    Reject,
}

const FORM_BYTES: usize = 256;

async fn choose(request: HttpRequest, mut payload: web::Payload, site: web::Data<Site>) -> HttpResponse {
    if !same_origin(&request) {
        let problem = Problem::new(403, "foreign_page", "A choice is made on the page itself");
        return refuse(&problem, Some((&mut payload, site.deadline))).await;
    }
    match read_form(&mut payload, site.deadline).await {
        Ok(form) => HttpResponse::SeeOther()
            .insert_header((LOCATION, back(&request)))
            .insert_header((SET_COOKIE, cookie(&site, form.choice)))
            .insert_header((CACHE_CONTROL, "no-store"))
            .finish(),
        Err(problem) => refuse(&problem, None).await,
    }
}

async fn read_form(payload: &mut web::Payload, deadline: Duration) -> Result<Form, Problem> {
    let bad = || Problem::new(400, "bad_choice", "The choice cannot be read").detail("choice must be accept or reject");
    let body = read(payload, FORM_BYTES, deadline).await.map_err(|_| bad())?;
    let body = std::str::from_utf8(&body).map_err(|_| bad())?;
    web::Query::<Form>::from_query(body).map(web::Query::into_inner).map_err(|_| bad())
}

/// Only the page's own form: any other site could otherwise grant in a visitor's name.
fn same_origin(request: &HttpRequest) -> bool {
    let header = |name: HeaderName| request.headers().get(name).and_then(text);
    let fetched = header(HeaderName::from_static("sec-fetch-site")).is_none_or(|site| site == "same-origin");
    let host = header(HOST).unwrap_or("");
    let origin = header(ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    fetched && origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host))
}

/// The path of the page the form stood on; only a path, so that no answer leads elsewhere.
fn back(request: &HttpRequest) -> String {
    let referer = request.headers().get(REFERER).and_then(text).and_then(|referer| url::Url::parse(referer).ok());
    let host = request.headers().get(HOST).and_then(text).map(without_port).unwrap_or("");
    match referer {
        Some(page) if page.host_str() == Some(host) => page.path().to_owned(),
        _ => "/".to_owned(),
    }
}

fn cookie(site: &Site, choice: Choice) -> String {
    let consent = &site.consent;
    let value = match choice {
        Choice::Accept => {
            let mut id = [0; 16];
            getrandom::fill(&mut id).expect("the system's random generator works");
            format!("{}.{}.{:032x}", consent.version, consent.tiers[1..].join("+"), u128::from_be_bytes(id))
        }
        Choice::Reject => format!("{}.none", consent.version),
    };
    let name = &consent.cookie.name;
    format!("{name}={value}; Max-Age={}; Path=/; Secure; SameSite=Lax", consent.cookie.max_age_secs)
}
