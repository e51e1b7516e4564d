//! Sends the requests of pages over loopback, and sets the collector's clock with each of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, COOKIE, ORIGIN, SET_COOKIE, USER_AGENT};
use hyper::{Method, StatusCode};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;

use super::creators::CREATORS;
use super::request::{RequestPurpose, SimulatedRequest};
use super::schedule::RequestChain;
use super::visitors::VisitorChoice;
use crate::calendar::Millis;
use crate::event::DropReason;

/// The number of browsers that send concurrently.
const MAX_CONCURRENT_BROWSERS: usize = 48;

const START_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(super) struct RequestSender {
    http: Client<HttpConnector, Full<Bytes>>,
    /// Scheme, host and port.
    origin: String,
    prefix: String,
    /// The name of the consent cookie and an equals sign.
    cookie: String,
}

impl RequestSender {
    pub(super) fn new(listen: SocketAddr, prefix: &str, cookie: &str) -> RequestSender {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(5))
            .build(connector);
        RequestSender {
            http,
            origin: format!("http://{listen}"),
            prefix: prefix.to_owned(),
            cookie: format!("{cookie}="),
        }
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Waits until the collector accepts requests.
    pub(super) async fn wait_until_ready(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self
            .fetch_text(Method::GET, "/healthz", None)
            .await
            .is_err()
        {
            ensure!(
                begun.elapsed() < START_TIMEOUT,
                "the collector did not accept requests"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// A response of the collector; `now` sets its clock.
    pub(super) async fn fetch_text(
        &self,
        method: Method,
        path: &str,
        now: Option<Millis>,
    ) -> anyhow::Result<String> {
        let mut request = hyper::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.origin));
        if let Some(now) = now {
            request = request.header("x-footfall-now", now);
        }
        let answer = self.http.request(request.body(Full::default())?).await?;
        ensure!(
            answer.status() == StatusCode::OK,
            "{path}: unexpected status {}",
            answer.status()
        );
        Ok(String::from_utf8(
            answer.into_body().collect().await?.to_bytes().into(),
        )?)
    }

    /// Sends all requests of one instant. Returns after all responses, so that the clock can
    /// advance.
    pub(super) async fn send_step(
        &self,
        at: Millis,
        chains: Vec<RequestChain>,
    ) -> anyhow::Result<()> {
        let mut lanes: Vec<Vec<RequestChain>> = Vec::new();
        lanes.resize_with(chains.len().min(MAX_CONCURRENT_BROWSERS), Vec::new);
        for (place, chain) in chains.into_iter().enumerate() {
            lanes[place % MAX_CONCURRENT_BROWSERS].push(chain);
        }

        let mut sending = JoinSet::new();
        for lane in lanes {
            let sender = self.clone();
            sending.spawn(async move {
                for request in lane.into_iter().flatten() {
                    sender.send_request(at, request).await?;
                }
                anyhow::Ok(())
            });
        }

        while let Some(sent) = sending.join_next().await {
            sent.context("a sender task failed")??;
        }
        Ok(())
    }

    async fn send_request(&self, at: Millis, request: SimulatedRequest) -> anyhow::Result<()> {
        let (person, act) = (Arc::clone(&request.visitor), request.purpose);
        let path = if act == RequestPurpose::Hit {
            "hit"
        } else {
            "consent"
        };
        let uri = format!(
            "{}/u/{}{}/{path}",
            self.origin, CREATORS[request.creator_index].id, self.prefix
        );
        let mut sent = hyper::Request::post(uri)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, person.agent.text)
            .header(ACCEPT_LANGUAGE, person.language)
            .header("x-forwarded-for", person.address.to_string())
            .header("x-footfall-now", at);

        sent = match person.choice {
            VisitorChoice::Dropped(DropReason::Gpc) => sent.header("sec-gpc", "1"),
            VisitorChoice::Dropped(DropReason::Dnt) => sent.header("dnt", "1"),
            // A copy of a page on another host, whose server forwards the hits.
            VisitorChoice::Dropped(DropReason::UnknownSite) => sent,
            _ => sent
                .header(ORIGIN, &self.origin)
                .header("sec-fetch-site", "same-origin"),
        };

        if let Some(stored) = person.cookie.get() {
            sent = sent.header(COOKIE, format!("{}{stored}", self.cookie));
        }

        let answer = self
            .http
            .request(sent.body(Full::from(request.into_body()))?)
            .await
            .context("the collector closed the connection")?;
        let expected = if act == RequestPurpose::Hit {
            StatusCode::ACCEPTED
        } else {
            StatusCode::OK
        };

        if answer.status() != expected {
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            bail!(
                "unexpected response to {path}: {status}: {}",
                String::from_utf8_lossy(&body)
            );
        }

        if act == RequestPurpose::Grant {
            let set = answer
                .headers()
                .get_all(SET_COOKIE)
                .iter()
                .filter_map(|field| field.to_str().ok());
            let stored = set
                .filter_map(|field| field.strip_prefix(&*self.cookie))
                .next();
            let stored = stored
                .context("the response to a grant has no cookie")?
                .split(';')
                .next()
                .unwrap_or_default();
            let _ = person.cookie.set(stored.to_owned());
        }
        // Read to its end, so that the connection can be reused.
        answer.into_body().collect().await?;
        Ok(())
    }
}
