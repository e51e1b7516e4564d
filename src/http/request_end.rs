//! Tells a connection when a request and its response are over. Only then is its socket nothing but
//! a socket, which another process may take over (see [`OpenConnections`](super::OpenConnections)).

use std::cell::Cell;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::error::PayloadError;
use actix_web::http::{ConnectionType, header};
use actix_web::web::Bytes;
use actix_web::{Error, HttpMessage};
use futures_util::Stream;
use pin_project_lite::pin_project;

use super::open_connections::{ConnectionRequests, OpenRequest};

/// Middleware that tells the connection of each request when its response is complete.
///
/// It closes the connection after a response that was sent before a chunked body had been read. The
/// HTTP library does so for a body of known length; the rest of a chunked one it would read after
/// the response.
pub struct TrackRequests;

impl<S, B> Transform<S, ServiceRequest> for TrackRequests
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    type Response = ServiceResponse<TrackedBody<B>>;
    type Error = Error;
    type Transform = TrackedService<S>;
    type InitError = ();
    type Future = Ready<Result<TrackedService<S>, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(TrackedService(service)))
    }
}

/// The service that [`TrackRequests`] wraps around another one.
pub struct TrackedService<S>(S);

impl<S, B> Service<ServiceRequest> for TrackedService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    type Response = ServiceResponse<TrackedBody<B>>;
    type Error = Error;
    type Future = TrackedFuture<S::Future>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(context)
    }

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let connection = request.conn_data::<ConnectionRequests>();
        let open = connection.map(ConnectionRequests::begin);
        let is_chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
        let is_body_read = is_chunked.then(|| watch_body(&mut request));
        TrackedFuture {
            answer: self.0.call(request),
            open,
            is_body_read,
        }
    }
}

pin_project! {
    /// A response in progress.
    pub struct TrackedFuture<F> {
        #[pin]
        answer: F,
        open: Option<OpenRequest>,
        // Of a chunked body.
        is_body_read: Option<Rc<Cell<bool>>>,
    }
}

impl<F, B> Future for TrackedFuture<F>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
{
    type Output = Result<ServiceResponse<TrackedBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = std::task::ready!(this.answer.poll(context));
        let open = this.open.take();
        let is_unread = this.is_body_read.as_ref().is_some_and(|read| !read.get());
        if is_unread && let Some(open) = &open {
            open.end_connection();
        }
        Poll::Ready(answer.map(|mut answer| {
            if is_unread {
                let head = answer.response_mut().head_mut();
                head.set_connection_type(ConnectionType::Close);
            }
            answer.map_body(|_, body| TrackedBody { body, open })
        }))
    }
}

pin_project! {
    /// The body of a response. The request is over when it is dropped.
    pub struct TrackedBody<B> {
        #[pin]
        body: B,
        open: Option<OpenRequest>,
    }
}

impl<B: MessageBody> MessageBody for TrackedBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, B::Error>>> {
        self.project().body.poll_next(context)
    }
}

/// Returns what becomes `true` once the body of the request was read to its end.
fn watch_body(request: &mut ServiceRequest) -> Rc<Cell<bool>> {
    let is_read = Rc::new(Cell::new(false));
    let watched = WatchedBody {
        body: request.take_payload(),
        is_read: Rc::clone(&is_read),
    };
    request.set_payload(Payload::Stream {
        payload: Box::pin(watched),
    });
    is_read
}

struct WatchedBody {
    body: Payload,
    is_read: Rc<Cell<bool>>,
}

impl Stream for WatchedBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.body).poll_next(context);
        if matches!(next, Poll::Ready(None)) {
            self.is_read.set(true);
        }
        next
    }
}
