//! Erases the data of a request after its response.
//!
//! actix keeps old requests and their heads to reuse the memory, up to 128 of each per worker, with
//! all headers, and each header keeps the buffer it was read into alive. On a quiet collector these
//! are the data of the last visitors, for as long as it stays quiet. Therefore a request is cleared
//! before it is returned to the pool. For the same reason, requests whose connection breaks are
//! processed to their end. Heads that never became a request because they could not be parsed, and
//! those of responses, are cleared every second.
//!
//! Functions that have returned leave their data on the stack of the worker's thread. It is overwritten
//! every second, too: doing so after each request evicted the request's working set from the CPU's
//! first cache.
//!
//! The buffer of an open connection is not erased: it contains the bytes of the last request until
//! the next one, or until the connection closes after `server.keep_alive_secs`.

use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::Request;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, Url};
use actix_web::http::{StatusCode, Uri};
use actix_web::{Error, HttpResponse, rt};

/// The number of objects of each kind that actix keeps per thread.
const POOLED_OBJECTS: usize = 128;
const ERASE_INTERVAL: Duration = Duration::from_secs(1);
/// The stack depth of a request below the loop of a worker, with a margin: addresses were found
/// 22 KiB below this middleware in unoptimised builds, which need several times the stack.
const WIPED_STACK_BYTES: usize = if cfg!(debug_assertions) {
    256 * 1024
} else {
    64 * 1024
};

/// Middleware that erases requests; it must be the outermost one.
pub struct RequestEraser;

impl<S, B> Transform<S, ServiceRequest> for RequestEraser
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Transform = EraserService<S>;
    type InitError = ();
    type Future = Ready<Result<EraserService<S>, ()>>;

    /// Called once per worker, on its thread.
    fn new_transform(&self, service: S) -> Self::Future {
        rt::spawn(async {
            let mut tick = rt::time::interval(ERASE_INTERVAL);
            loop {
                tick.tick().await;
                erase_pooled_heads();
                wipe_stack();
            }
        });
        ready(Ok(EraserService(service)))
    }
}

/// The service that [`RequestEraser`] wraps around another one.
pub struct EraserService<S>(S);

impl<S, B> Service<ServiceRequest> for EraserService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Future = EraserFuture<S::Future, B>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        EraserFuture(Some(Box::pin(self.0.call(request))))
    }
}

/// A response in progress; `None` once it is complete.
pub struct EraserFuture<F, B>(Option<Pin<Box<F>>>)
where
    F: Future<Output = Result<ServiceResponse<B>, Error>> + 'static,
    B: 'static;

impl<F, B> Future for EraserFuture<F, B>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>> + 'static,
    B: 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some(inner) = &mut self.0 else {
            return Poll::Pending;
        };
        let answer = std::task::ready!(inner.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(answer.map(erase_request))
    }
}

impl<F, B> Drop for EraserFuture<F, B>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>> + 'static,
    B: 'static,
{
    /// The connection broke before the response. The request still runs to its end, at the latest
    /// until its own deadline.
    fn drop(&mut self) {
        if let Some(inner) = self.0.take() {
            rt::spawn(async { drop(inner.await.map(erase_request)) });
        }
    }
}

/// The response, after erasing its request. No other references to the request may exist: a
/// handler's copy ends with the handler.
fn erase_request<B>(answer: ServiceResponse<B>) -> ServiceResponse<B> {
    let (request, answer) = answer.into_parts();
    let mut request = ServiceRequest::from_request(request);
    let head = request.head_mut();
    head.headers.clear();
    head.uri = Uri::default();
    head.peer_addr = None;
    request.match_info_mut().set(Url::default());
    let (request, _) = request.into_parts();
    ServiceResponse::new(request, answer)
}

/// Overwrites the stack below the caller's frame. It is unused: all functions called from there
/// have returned.
#[inline(never)]
fn wipe_stack() {
    black_box(&mut [0_u8; WIPED_STACK_BYTES]);
}

/// Takes all pooled heads, which clears them, and returns them to the pool.
fn erase_pooled_heads() {
    let mut requests: Vec<Request> = (0..POOLED_OBJECTS).map(|_| Request::new()).collect();
    for request in &mut requests {
        *request.uri_mut() = Uri::default();
        request.head_mut().peer_addr = None;
    }
    let answers: Vec<HttpResponse> = (0..POOLED_OBJECTS)
        .map(|_| HttpResponse::new(StatusCode::OK))
        .collect();
    drop((requests, answers));
}
