//! The client for programs without a runtime: each call waits for its end.
//!
//! Invariant: the client's connections live on a thread of its own, so that they are looked after
//! while nobody calls; that thread ends with the last handle.
//!
//! ```no_run
//! # fn example() -> Result<(), portway_http::client::Error> {
//! use portway_http::blocking::Client;
//!
//! let client = Client::new()?;
//! let page = client.get("https://example.com/").header("accept", "text/html").send()?.text()?;
//! # Ok(()) }
//! ```

use crate::client::{
    self, Body, ClientBuilder, Error, ErrorClass, Form, ResponseHead, VersionPolicy,
};
use crate::pool::Version;
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use portway_core::FailureKind;
use std::future::Future;
use std::io::{self, Read};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::coop::consume_budget;

/// An HTTP client that waits. Clones share its connections.
///
/// Its calls fail inside of asynchronous code, which they would hold up; in
/// `tokio::task::spawn_blocking` and `block_in_place` they work. Under `tokio::task::unconstrained`
/// the two cannot be told apart, and tokio panics.
#[derive(Clone, Debug)]
pub struct Client {
    inner: client::Client,
    driver: Arc<Driver>,
}

/// The thread on which connections are looked after.
#[derive(Debug)]
struct Driver {
    handle: Handle,
    /// Dropping it ends the thread.
    _alive: oneshot::Sender<()>,
}

impl Driver {
    fn start() -> Result<Arc<Self>, Error> {
        let failed = |error: io::Error| {
            let detail = format!("the thread of the client cannot be started: {error}");
            Error::local(
                ErrorClass::LimitReached,
                FailureKind::ResourceExhausted,
                detail,
            )
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name("portway-http".to_owned())
            .spawn(move || {
                // Only the loss of the other end comes.
                let _ = runtime.block_on(ended);
            })
            .map_err(failed)?;
        Ok(Arc::new(Driver {
            handle,
            _alive: alive,
        }))
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        if is_inside_of_a_task() {
            return Err(Error::local(
                ErrorClass::InvalidRequest,
                FailureKind::InvalidRequest,
                "a call that waits would hold up the runtime that it is made in",
            ));
        }
        self.handle.block_on(work)
    }
}

/// Whether this thread is polling a task, which a call that waits would hold up.
///
/// A runtime is current where tokio lets blocking code run too, but there nothing is metered: what
/// is polled may do a limited number of things at a time.
fn is_inside_of_a_task() -> bool {
    if Handle::try_current().is_err() {
        return false;
    }
    let mut context = Context::from_waker(Waker::noop());
    (0..=OPERATIONS_MAX).any(|_| pin!(consume_budget()).poll(&mut context).is_pending())
}

/// More operations than a task may do in one poll; they are counted in a byte.
const OPERATIONS_MAX: usize = 255;

impl Client {
    /// A client with everything as it is unless said.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn new() -> Result<Self, Error> {
        Client::build(client::Client::builder())
    }

    /// A client with what is chosen in `builder`.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn build(builder: ClientBuilder) -> Result<Self, Error> {
        let driver = Driver::start()?;
        let _entered = driver.handle.enter();
        Ok(Client {
            inner: builder.build(),
            driver: driver.clone(),
        })
    }

    /// A request with this method.
    pub fn request(&self, method: Method, url: impl AsRef<str>) -> RequestBuilder {
        RequestBuilder {
            inner: self.inner.request(method, url),
            driver: self.driver.clone(),
        }
    }

    /// A GET request.
    pub fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// A HEAD request.
    pub fn head(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::HEAD, url)
    }

    /// A POST request.
    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// A PUT request.
    pub fn put(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PUT, url)
    }

    /// A PATCH request.
    pub fn patch(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PATCH, url)
    }

    /// A DELETE request.
    pub fn delete(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::DELETE, url)
    }
}

/// A request that is being put together. Nothing happens before [`RequestBuilder::send`].
#[must_use = "nothing is sent before `send`"]
pub struct RequestBuilder {
    inner: client::RequestBuilder,
    driver: Arc<Driver>,
}

impl RequestBuilder {
    fn change(
        mut self,
        change: impl FnOnce(client::RequestBuilder) -> client::RequestBuilder,
    ) -> Self {
        self.inner = change(self.inner);
        self
    }

    /// Sets a header field. What is invalid is told by [`RequestBuilder::send`].
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        self.change(|inner| inner.header(name, value))
    }

    /// Adds header fields to those that are there.
    pub fn headers(self, headers: &HeaderMap) -> Self {
        self.change(|inner| inner.headers(headers))
    }

    /// Adds these names and values to the query of the URL.
    pub fn query(self, pairs: &(impl serde::Serialize + ?Sized)) -> Self {
        self.change(|inner| inner.query(pairs))
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.change(|inner| inner.body(body))
    }

    /// Sets a body of JSON, and its type.
    pub fn json(self, value: &(impl serde::Serialize + ?Sized)) -> Self {
        self.change(|inner| inner.json(value))
    }

    /// Sets a body of names and values as an HTML form sends them, and its type.
    pub fn form(self, pairs: &(impl serde::Serialize + ?Sized)) -> Self {
        self.change(|inner| inner.form(pairs))
    }

    /// Sets a body of several parts, and its type.
    pub fn multipart(self, form: Form) -> Self {
        self.change(|inner| inner.multipart(form))
    }

    /// Takes this version of HTTP, or what the policy lets be used instead.
    pub fn version(self, version: Version, policy: VersionPolicy) -> Self {
        self.change(|inner| inner.version(version, policy))
    }

    /// Ends everything, the reading of the body included, after this time.
    pub fn timeout(self, total: Duration) -> Self {
        self.change(|inner| inner.timeout(total))
    }

    /// Sends the request and waits for the head of the response.
    ///
    /// # Errors
    /// As [`client::RequestBuilder::send`], or it is called inside of a runtime.
    pub fn send(self) -> Result<Response, Error> {
        let response = self.driver.wait(self.inner.send())?;
        let (head, body) = response.into_parts();
        Ok(Response {
            head,
            body: Some(body),
            unread: Bytes::new(),
            driver: self.driver,
        })
    }
}

/// A response, whose body is still to be read. It is a [`Read`] of its content.
#[derive(Debug)]
pub struct Response {
    head: ResponseHead,
    /// None while it is dropped.
    body: Option<client::ResponseBody>,
    unread: Bytes,
    driver: Arc<Driver>,
}

impl Response {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.head.status()
    }

    /// The same response, unless its status is one of a failure; its content is given up then.
    ///
    /// # Errors
    /// As [`ResponseHead::error_for_status`].
    pub fn error_for_status(self) -> Result<Self, Error> {
        self.head.error_for_status().map(|()| self)
    }

    /// The header fields.
    pub fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }

    /// Everything that came before the content, and the connection.
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// The whole content, up to the client's bound.
    ///
    /// # Errors
    /// The response ended before its end, took too long, or is longer than the bound.
    pub fn bytes(mut self) -> Result<Bytes, Error> {
        let driver = self.driver.clone();
        driver.wait(self.body().collect())
    }

    /// The whole content as text in UTF-8.
    ///
    /// # Errors
    /// As [`Response::bytes`], or it is no such text.
    pub fn text(self) -> Result<String, Error> {
        client::as_text(self.bytes()?)
    }

    /// The whole content as JSON.
    ///
    /// # Errors
    /// As [`Response::bytes`], or it is no JSON of that type.
    pub fn json<T: serde::de::DeserializeOwned>(self) -> Result<T, Error> {
        client::as_json(&self.bytes()?)
    }
}

impl Response {
    fn body(&mut self) -> &mut client::ResponseBody {
        self.body.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        // What is left of the content is read by the client's own thread.
        let _entered = self.driver.handle.enter();
        self.body = None;
    }
}

impl Read for Response {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.unread.is_empty() && !out.is_empty() {
            let driver = self.driver.clone();
            let chunk = driver.wait(self.body().chunk());
            match chunk.map_err(io::Error::other)? {
                Some(chunk) => self.unread = chunk,
                None => return Ok(0),
            }
        }
        let count = self.unread.len().min(out.len());
        self.unread.split_to(count).copy_to_slice(&mut out[..count]);
        Ok(count)
    }
}
