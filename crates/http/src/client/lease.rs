//! A request's hold on a connection.
//!
//! Invariant: every assignment of the pool is given back exactly once, however it ends: the drop
//! of a lease says that nothing is left of its HTTP/1.1 connection, unless told otherwise before.

use super::Body;
use super::classify::{Processing, classify};
use super::content::Content;
use super::dial::Sender;
use super::error::{Error, ErrorClass, Phase};
use super::event::ConnectionInfo;
use super::expect::Gate;
use super::http3::Http3;
use super::interim::Interim;
use super::proxy::Fate;
use super::settings::Settings;
use super::shared::Shared;
use super::telemetry::{Gauge, InUse};
use super::timeouts::Deadline;
use crate::pool::{After, ConnectionId, RequestId, Version};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use portway_core::FailureKind;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

/// What a request is sent with.
pub(super) enum Wire {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
    Http3(Http3),
}

pub(super) struct Lease {
    shared: Arc<Shared>,
    request: RequestId,
    connection: ConnectionId,
    wire: Option<Wire>,
    info: Arc<ConnectionInfo>,
    is_reused: bool,
    is_over: bool,
    gauge: Option<Arc<Gauge>>,
    /// Counts the connection as in use, from the sending on.
    in_use: Option<InUse>,
    /// What holds the request's content back over HTTP/2.
    gate: Option<Gate>,
}

/// A request on its way, up to the head of its response.
pub(super) type Sending<'a> =
    Pin<Box<dyn Future<Output = Result<Response<Content>, Unanswered>> + Send + 'a>>;

/// A request that was not answered.
pub(super) struct Unanswered {
    pub(super) error: Error,
    pub(super) processing: Processing,
    /// The request as it was, when not a byte of it was sent.
    pub(super) unsent: Option<Request<Body>>,
}

impl Unanswered {
    /// One that came to the wrong server, which says so.
    pub(super) fn misdirected(version: Version) -> Self {
        let detail = "the server is not the one for this origin";
        let error = Error::local(ErrorClass::Connect, FailureKind::Refused, detail);
        Unanswered {
            error: error.with_version(version),
            processing: Processing::Excluded,
            unsent: None,
        }
    }
}

impl Lease {
    pub(super) fn new(
        shared: Arc<Shared>,
        request: RequestId,
        connection: ConnectionId,
        wire: Wire,
        info: Arc<ConnectionInfo>,
        is_reused: bool,
    ) -> Self {
        Lease {
            shared,
            request,
            connection,
            wire: Some(wire),
            info,
            is_reused,
            is_over: false,
            gauge: None,
            in_use: None,
            gate: None,
        }
    }

    /// The same, which counts its connection there.
    pub(super) fn counted(mut self, gauge: Option<Arc<Gauge>>) -> Self {
        self.gauge = gauge;
        self
    }

    /// Ends the request with the exchange if its content is still held back then. hyper would keep
    /// the stream of HTTP/2 open for ever; the other versions end theirs by themselves.
    pub(super) fn ends(&mut self, gate: Option<&Gate>) {
        self.gate = gate
            .filter(|_| self.info.version == Version::Http2)
            .cloned();
    }

    pub(super) fn info(&self) -> &Arc<ConnectionInfo> {
        &self.info
    }

    pub(super) fn is_reused(&self) -> bool {
        self.is_reused
    }

    pub(super) fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// Sends the request and waits for the head of its response. In a box: whoever sends over
    /// another version would carry its room along.
    pub(super) fn send<'a>(
        &'a mut self,
        mut request: Request<Body>,
        interim: &'a Interim,
    ) -> Sending<'a> {
        self.in_use = self.gauge.as_ref().map(Gauge::enter);
        let info = &self.info;
        match &mut self.wire {
            Some(Wire::Http1(sender)) => {
                interim.attach(&mut request);
                Box::pin(answered(info, sender.try_send_request(request)))
            }
            Some(Wire::Http2(sender)) => Box::pin(answered(info, sender.try_send_request(request))),
            Some(Wire::Http3(sender)) => sender.send(request, interim),
            None => unreachable!("a lease is used before it is over"),
        }
    }

    /// Leaves the request to the pool to be queued again.
    pub(super) fn into_request(mut self) -> RequestId {
        self.is_over = true;
        if matches!(self.wire, Some(Wire::Http1(_))) {
            // The pool closes it and forgets it with the retry.
            self.shared
                .act(|state, _| state.connections.remove(&self.connection));
        }
        self.request
    }

    /// The response has been read to its end.
    pub(super) fn complete(mut self) {
        let Some(Wire::Http1(sender)) = self.wire.take() else {
            return self.end(After::Reuse);
        };
        if sender.is_ready() {
            return self.give_back(sender);
        }
        // hyper has still to look after the connection, such as to send the rest of the request.
        let environment = self.shared.environment().clone();
        let drain = self.shared.settings.timeouts.drain;
        let mut limit = Deadline::after(&*environment, drain, Phase::Drain);
        environment.spawn(Box::pin(async move {
            let mut sender = sender;
            let ready = poll_fn(|context| match sender.poll_ready(context) {
                Poll::Ready(ready) => Poll::Ready(ready.is_ok()),
                Poll::Pending => match &mut limit {
                    Some(limit) => limit.poll(context).map(|_| false),
                    None => Poll::Pending,
                },
            });
            match ready.await {
                true => self.give_back(sender),
                false => {
                    // A peer that takes no more of the request would hold the socket for ever.
                    self.shared.cut(self.connection);
                    self.end(After::Discard);
                }
            }
        }));
    }

    fn give_back(&mut self, sender: http1::SendRequest<Body>) {
        self.is_over = true;
        let unused = self.shared.act_recently(|state, now| {
            let handle = state.connections.get_mut(&self.connection);
            let unused = match handle {
                Some(handle) => handle.sender.replace(Sender::Http1(sender)),
                None => Some(Sender::Http1(sender)),
            };
            state.pool.on_finished(now, self.request, After::Reuse);
            unused
        });
        drop(unused);
    }

    fn end(&mut self, after: After) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.shared
                .act_recently(|state, now| state.pool.on_finished(now, self.request, after));
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.shared.settings
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(gate) = &self.gate {
            gate.on_over();
        }
        // One that was never used leaves its connection as it was.
        match self.wire.take() {
            Some(Wire::Http1(sender)) if !self.is_over && sender.is_ready() => {
                self.give_back(sender);
            }
            wire => {
                self.end(After::Discard);
                drop(wire);
            }
        }
    }
}

/// What hyper sends.
async fn answered(
    info: &ConnectionInfo,
    sent: impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Body>>>>,
) -> Result<Response<Content>, Unanswered> {
    let sent = sent.await;
    let (version, fate) = (info.version, info.fate.as_ref());
    let response = sent.map_err(|error| unanswered(error, version, fate))?;
    Ok(response.map(|incoming| Content::Hyper(incoming, version, fate.cloned())))
}

fn unanswered(
    mut error: TrySendError<Request<Body>>,
    version: Version,
    fate: Option<&Fate>,
) -> Unanswered {
    let unsent = error.take_message();
    let (error, processing) = classify(error.into_error(), version);
    Unanswered {
        error: Fate::explain(fate, error),
        processing: match unsent {
            Some(_) => Processing::Excluded,
            None => processing,
        },
        unsent,
    }
}
