//! The client as a tower service, for what is written for hyper's or tower's clients.

use super::Client;
use super::body::{Body, BoxError};
use super::error::Error;
use super::policy::VersionPolicy;
use super::request::RequestBuilder;
use super::response::ResponseBody;
use crate::pool::Version;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_service::Service;

/// Sends a request as [`RequestBuilder::send`] does, its redirects, cookies and limits included.
///
/// A request of HTTP/2 or HTTP/3 by its version takes no other one, in cleartext too; one of
/// HTTP/1.1, which is what requests are unless said, takes what the client does. The connection is
/// told by [`ConnectionInfo`](super::ConnectionInfo) in an `Arc` among the response's extensions.
/// It is always ready: how many requests wait is bounded by the pool.
///
/// Cancel safety: as for [`RequestBuilder::send`].
impl<B> Service<Request<B>> for Client
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let request = builder(self, request);
        Box::pin(async move {
            let response = request.send().await?;
            let (head, body) = response.into_parts();
            let mut answer = Response::new(body);
            *answer.status_mut() = head.status();
            *answer.version_mut() = head.version().into();
            answer.headers_mut().clone_from(head.headers());
            answer.extensions_mut().clone_from(head.extensions());
            answer.extensions_mut().insert(head.shared_connection());
            Ok(answer)
        })
    }
}

fn builder<B>(client: &Client, request: Request<B>) -> RequestBuilder
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (parts, body) = request.into_parts();
    let builder = client.request(parts.method, parts.uri.to_string());
    let builder = builder.replace_headers(&parts.headers);
    let builder = match body.is_end_stream() {
        true => builder,
        false => builder.body(Body::stream(body)),
    };
    match parts.version {
        http::Version::HTTP_2 => builder.version(Version::Http2, VersionPolicy::Exact),
        http::Version::HTTP_3 => builder.version(Version::Http3, VersionPolicy::Exact),
        _ => builder,
    }
}

impl From<Version> for http::Version {
    fn from(version: Version) -> Self {
        match version {
            Version::Http1 => http::Version::HTTP_11,
            Version::Http2 => http::Version::HTTP_2,
            Version::Http3 => http::Version::HTTP_3,
        }
    }
}
