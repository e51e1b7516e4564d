//! Tells a connection when a request and its response are over. Only then is its socket nothing but
//! a socket, which another process may take over (see [`OpenConnections`](super::OpenConnections)).

use std::cell::{Cell, RefCell};
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::error::{InternalError, PayloadError};
use actix_web::http::{ConnectionType, Version, header};
use actix_web::web::Bytes;
use actix_web::{Error, HttpMessage, HttpResponse};
use futures_util::Stream;
use pin_project_lite::pin_project;

use super::open_connections::{ConnectionRequests, OpenRequest};

/// Middleware that tells the connection of each request when its response is complete, and whether
/// the connection can be used after it.
///
/// The HTTP library closes a connection after a response that was sent before the body had been
/// read. Only where a chunked body was dropped, it waits for the rest, without a limit of time.
/// Therefore such a body is kept until the response is complete.
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
        let body = needs_watch(&request).then(|| WatchedBody::of_request(&mut request));
        TrackedFuture {
            answer: self.0.call(request),
            open,
            body,
        }
    }
}

pin_project! {
    /// A response in progress.
    pub struct TrackedFuture<F> {
        #[pin]
        answer: F,
        open: Option<OpenRequest>,
        body: Option<WatchedBody>,
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
        let (open, mut request_body) = (this.open.take(), this.body.take());
        let is_last = request_body
            .as_mut()
            .is_some_and(|body| !body.has_arrived(context));
        if is_last && let Some(open) = &open {
            open.end_connection();
        }

        Poll::Ready(match answer {
            Ok(mut answer) => {
                end_connection_if(is_last, answer.response_mut());
                Ok(answer.map_body(|_, body| TrackedBody {
                    body,
                    open,
                    request_body,
                }))
            }
            Err(error) => {
                let mut answer = error.error_response();
                end_connection_if(is_last, &mut answer);
                let answer = answer.map_body(|_, body| {
                    BoxBody::new(TrackedBody {
                        body,
                        open,
                        request_body,
                    })
                });
                Err(InternalError::from_response(error, answer).into())
            }
        })
    }
}

/// Makes the library end the connection after its last response, also where it has the whole body.
fn end_connection_if<B>(is_last: bool, answer: &mut HttpResponse<B>) {
    if is_last {
        answer.head_mut().set_connection_type(ConnectionType::Close);
    }
}

pin_project! {
    /// The body of a response. The request is over when it is dropped.
    pub struct TrackedBody<B> {
        #[pin]
        body: B,
        open: Option<OpenRequest>,
        request_body: Option<WatchedBody>,
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

/// Whether the response does not say that the connection ends, if the body is not read: to a chunked
/// body, and to a client of HTTP/1.0.
fn needs_watch(request: &ServiceRequest) -> bool {
    request.headers().contains_key(header::TRANSFER_ENCODING)
        || request.version() == Version::HTTP_10
            && request.headers().contains_key(header::CONTENT_LENGTH)
}

/// The body of a request, with what tells whether it was read to its end.
#[derive(Clone)]
struct WatchedBody {
    body: Rc<RefCell<Payload>>,
    is_read: Rc<Cell<bool>>,
}

impl WatchedBody {
    /// Replaces the body of the request.
    fn of_request(request: &mut ServiceRequest) -> WatchedBody {
        let watched = WatchedBody {
            body: Rc::new(RefCell::new(request.take_payload())),
            is_read: Rc::default(),
        };
        request.set_payload(Payload::Stream {
            payload: Box::pin(watched.clone()),
        });
        watched
    }

    /// Whether all of it has arrived, read or not.
    fn has_arrived(&mut self, context: &mut Context<'_>) -> bool {
        if !self.is_read.get() {
            while let Poll::Ready(Some(Ok(_))) = Pin::new(&mut *self).poll_next(context) {}
        }
        self.is_read.get()
    }
}

impl Stream for WatchedBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut *self.body.borrow_mut()).poll_next(context);
        if matches!(next, Poll::Ready(None)) {
            self.is_read.set(true);
        }
        next
    }
}
