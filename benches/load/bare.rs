//! The bare handler a hit's CPU is compared with: actix, one worker, the body read and parsed, 202.
//!
//! It reads the keys of a hit into the collector's own shape of a payload, borrowed text and all,
//! and refuses what the collector refuses to parse. It checks no consent, counts nothing and stores
//! nothing: what the collector costs beyond it is what counting costs.

use std::borrow::Cow;
use std::hint::black_box;
use std::net::SocketAddr;

use actix_web::{App, HttpResponse, HttpServer, web};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    View,
    Click,
    Event,
    Leave,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload<'a> {
    kind: Kind,
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow, default)]
    referrer: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    value: Option<f64>,
    #[serde(borrow, default)]
    currency: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(default)]
    engaged: u32,
    #[serde(default)]
    passive: bool,
    #[serde(default)]
    webdriver: bool,
}

async fn hit(body: web::Bytes) -> HttpResponse {
    match serde_json::from_slice::<Payload<'_>>(&body) {
        Ok(payload) => {
            used(&payload);
            HttpResponse::Accepted().finish()
        }
        Err(_) => HttpResponse::BadRequest().finish(),
    }
}

/// Keeps the optimiser from parsing less than a collector has to.
fn used(payload: &Payload<'_>) {
    let Payload {
        kind,
        url,
        referrer,
        name,
        value,
        currency,
        id,
        engaged,
        passive,
        webdriver,
    } = payload;
    black_box((kind, url, referrer, name, value));
    black_box((currency, id, engaged, passive, webdriver));
}

pub fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let app = || {
        App::new()
            .route("/ff/hit", web::post().to(hit))
            .route("/healthz", web::get().to(HttpResponse::Ok))
    };
    let server = HttpServer::new(app).workers(1).bind(address)?;
    for address in server.addrs() {
        println!("listening address={address}");
    }
    actix_web::rt::System::new().block_on(server.run())?;
    Ok(())
}
