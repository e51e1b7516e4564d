//! A request is forgotten when it is answered.
//!
//! actix keeps the requests and heads of the past to use their memory again, up to 128 of each and worker, with all their headers, and each
//! header keeps the buffer it was read into alive. On a quiet collector they are those of the last visitors, for as long as it stays quiet. So
//! a request is emptied before it goes back. What breaks off in the middle is brought to its end for the same reason. Heads that never became a request
//! (they could not be read), and those of answers, are emptied every second.
//!
//! Functions that are over leave on the stack what they worked with; it is written over as well.
//!
//! What this does not reach is the buffer of a connection that is still open: it holds the bytes of the last request until the next one,
//! or until the connection closes, `server.keep_alive_secs` later.

use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::Request;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, Url};
use actix_web::http::{StatusCode, Uri};
use actix_web::{Error, HttpResponse, rt};

/// What actix keeps of a kind, on each thread.
const KEPT: usize = 128;
const EMPTIED_EVERY: Duration = Duration::from_secs(1);
/// As deep as a request goes, with room: addresses lay 22 KiB deep where nothing is optimised, which takes several times the stack. To write
/// over 16 KiB takes some 0.3 microseconds.
const STACK: usize = if cfg!(debug_assertions) { 64 * 1024 } else { 16 * 1024 };

/// The outermost layer of an application.
pub struct Forget;

impl<S, B> Transform<S, ServiceRequest> for Forget
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Transform = Forgetting<S>;
    type InitError = ();
    type Future = Ready<Result<Forgetting<S>, ()>>;

    /// Once for each worker, on its thread.
    fn new_transform(&self, service: S) -> Self::Future {
        rt::spawn(async {
            let mut tick = rt::time::interval(EMPTIED_EVERY);
            loop {
                tick.tick().await;
                empty_pools();
            }
        });
        ready(Ok(Forgetting(service)))
    }
}

pub struct Forgetting<S>(S);

impl<S, B> Service<ServiceRequest> for Forgetting<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Future = Answering<S::Future, B>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        Answering(Some(Box::pin(self.0.call(request))))
    }
}

/// An answer on its way. `None` once it is there.
pub struct Answering<F, B>(Option<Pin<Box<F>>>)
where
    F: Future<Output = Result<ServiceResponse<B>, Error>> + 'static,
    B: 'static;

impl<F, B> Future for Answering<F, B>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>> + 'static,
    B: 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some(inner) = &mut self.0 else { return Poll::Pending };
        let polled = inner.as_mut().poll(context);
        wipe_stack();
        let answer = std::task::ready!(polled);
        self.0 = None;
        Poll::Ready(answer.map(emptied))
    }
}

impl<F, B> Drop for Answering<F, B>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>> + 'static,
    B: 'static,
{
    /// The connection broke before the answer. Whatever the request waits for comes, or its deadline does.
    fn drop(&mut self) {
        if let Some(inner) = self.0.take() {
            rt::spawn(async { drop(inner.await.map(emptied)) });
        }
    }
}

/// The answer, with nothing left in the request it belongs to. Nobody else may hold that request: a handler's copy ends with the handler.
fn emptied<B>(answer: ServiceResponse<B>) -> ServiceResponse<B> {
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

/// Writes over what lies below the caller's frame. It is nobody's: everything that was called from there has returned.
#[inline(never)]
fn wipe_stack() {
    black_box(&mut [0_u8; STACK]);
}

/// Takes all heads that are kept, which empties them, and gives them back.
fn empty_pools() {
    let mut requests: Vec<Request> = (0..KEPT).map(|_| Request::new()).collect();
    for request in &mut requests {
        *request.uri_mut() = Uri::default();
        request.head_mut().peer_addr = None;
    }
    let answers: Vec<HttpResponse> = (0..KEPT).map(|_| HttpResponse::new(StatusCode::OK)).collect();
    drop((requests, answers));
}
