//! Connections over QUIC: HTTP/3.
//!
//! Invariant: a request whose client gave up is dropped with what the service does for it.

use super::body::{RequestBody, ResponseBody};
use super::event::{End, Event};
use super::exchange::{Answering, Connection, declare_length};
use super::info::ConnectionInfo;
use super::meter::{Due, Meter, shortest};
use super::shard::{BEGUN_IN_A_ROW_MAX, Shard};
use super::{BoxError, Phase, ServerService};
use crate::h3::{Code, Incoming, Responder, SendBody, ServerConnection};
use bytes::{Buf, Bytes};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use portway_core::{Failure, FailureKind, Origin};
use portway_h3::message::is_connection_specific;
use portway_transport::quic;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// Serves one connection to its end.
pub(super) async fn serve<S: ServerService>(
    shard: Arc<Shard>,
    service: S,
    quic: quic::Connection,
    local: SocketAddr,
    meter: Arc<Meter>,
) {
    let server = match ServerConnection::new(&quic, &shard.options.http3()) {
        Ok(server) => Arc::new(server),
        Err(error) => {
            return shard.events.tell(|| Event::HandshakeFailed {
                peer: Some(quic.remote_address()),
                failure: Failure::new(Origin::Local, FailureKind::Other, error.to_string()),
            });
        }
    };
    let info = ConnectionInfo::quic(quic, local);
    let connection = Connection {
        service,
        info: info.clone(),
        options: Arc::clone(&shard.options),
        meter,
        alt_svc: None,
    };
    let end = accept_all(&shard, server, connection).await;
    shard.events.tell(|| Event::Ended {
        connection: info,
        end,
    });
}

async fn accept_all<S: ServerService>(
    shard: &Arc<Shard>,
    server: Arc<ServerConnection>,
    connection: Connection<S>,
) -> End {
    let (times, meter) = (&shard.options.times, Arc::clone(&connection.meter));
    let environment = &shard.environment;
    let mut phase = shard.phase.clone();
    let mut timer = environment.timer();
    timer.reset(Some(environment.now() + shortest(times)));
    let (mut is_ending, mut is_proven) = (false, false);
    let mut begun = 0_u32;
    let shut_down = || {
        let server = Arc::clone(&server);
        environment.spawn(Box::pin(async move { server.shutdown().await }));
    };
    loop {
        let phase_now = *phase.borrow_and_update();
        match phase_now {
            Phase::Stopped => {
                server.close(Code::H3_NO_ERROR, "the server was stopped");
                return End::Stopped;
            }
            Phase::Draining if !is_ending => {
                is_ending = true;
                shut_down();
            }
            _ => {}
        }
        tokio::select! {
            biased;
            accepted = server.accept() => match accepted {
                Ok(Some(incoming)) => {
                    // What was accepted before the handshake's end may be a replay; later, the
                    // client has proven itself (RFC 8470 §3).
                    is_proven = is_proven || server.quic().protection().is_some();
                    let Incoming { request, responder } = incoming;
                    let wanted = expects_continue(&request).then(|| Arc::new(Notify::new()));
                    let request = request.map(|body| RequestBody::http3(body, wanted.clone()));
                    let answering = connection.answer(request, !is_proven);
                    shard.begin(Box::pin(answer(answering, responder, wanted)));
                    begun = (begun + 1) % BEGUN_IN_A_ROW_MAX;
                    // Who yields waits for no request: what comes meanwhile would be acknowledged
                    // without the answers.
                    if begun == 0 && server.has_waiting() {
                        tokio::task::yield_now().await;
                    }
                }
                Ok(None) => return meter.end().unwrap_or(End::Closed),
                Err(error) => return end_of(&server, &error),
            },
            _ = phase.changed() => {}
            () = poll_fn(|context| timer.poll_expired(context)) => match meter.due(times) {
                Due::At(at) => timer.reset(Some(at)),
                Due::End(End::Idle) if !is_ending => {
                    is_ending = true;
                    meter.set_end(End::Idle);
                    shut_down();
                    timer.reset(Some(environment.now() + times.keep_alive));
                }
                Due::End(end) => {
                    let (code, words) = match end {
                        End::Unread => (Code::H3_EXCESSIVE_LOAD, "nothing is taken"),
                        _ => (Code::H3_NO_ERROR, "idle for too long"),
                    };
                    server.close(code, words);
                    return meter.end().unwrap_or(end);
                }
            },
        }
    }
}

fn end_of(server: &ServerConnection, error: &crate::h3::ConnectionError) -> End {
    match server.quic().error() {
        Some(quic::ConnectionError::IdleTimedOut) => End::Idle,
        _ if error.code == Code::H3_EXCESSIVE_LOAD => End::Flood(super::event::Flood::Others),
        _ => End::Failed(error.to_string()),
    }
}

/// Answers one request.
async fn answer<S: ServerService>(
    answering: Answering<S, S::Future>,
    mut responder: Responder,
    wanted: Option<Arc<Notify>>,
) {
    let mut answering = pin!(answering);
    let response = loop {
        tokio::select! {
            biased;
            Ok(response) = answering.as_mut() => break response,
            // Nobody waits for the answer any more.
            _ = responder.stopped() => return,
            () = notified(wanted.as_deref()) => {
                let mut interim = Response::new(());
                *interim.status_mut() = StatusCode::CONTINUE;
                // One that cannot be sent shows when the answer is.
                let _ = responder.send_interim(interim);
            }
        }
    };
    respond(responder, response).await;
}

fn expects_continue<B>(request: &Request<B>) -> bool {
    let expected = request.headers().get(header::EXPECT);
    expected.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

async fn notified(wanted: Option<&Notify>) {
    match wanted {
        Some(wanted) => wanted.notified().await,
        None => std::future::pending().await,
    }
}

/// Sends a response; a small one with its content in one write.
async fn respond<B: Body<Error: Into<BoxError>>>(
    responder: Responder,
    response: Response<ResponseBody<B>>,
) {
    let (mut head, body) = response.into_parts();
    remove_connection_fields(&mut head.headers);
    if head.status.is_success() || !head.status.is_informational() {
        date(&mut head.headers);
    }
    let mut body = pin!(body);
    if body.is_end_stream() {
        if !head.headers.contains_key(header::CONTENT_LENGTH) && may_have_content(head.status) {
            declare_length(&mut head.headers, &*body);
        }
        // A client that is gone needs no answer.
        let _ = responder.send(Response::from_parts(head, Bytes::new()));
        return;
    }
    declare_length(&mut head.headers, &*body);
    let first = poll_fn(|context| Poll::Ready(body.as_mut().poll_frame(context))).await;
    if let Poll::Ready(Some(Ok(frame))) = first {
        match frame.into_data() {
            Ok(data) if body.is_end_stream() => {
                let _ = responder.send(Response::from_parts(head, whole(data)));
            }
            Ok(data) => {
                if let Ok(mut send) = responder.send_response(Response::from_parts(head, ()))
                    && send.send_data(whole(data)).await.is_ok()
                {
                    send_rest(send, body).await;
                }
            }
            Err(frame) => {
                if let Ok(send) = responder.send_response(Response::from_parts(head, ())) {
                    send_trailers(send, frame);
                }
            }
        }
        return;
    }
    let Ok(send) = responder.send_response(Response::from_parts(head, ())) else {
        return;
    };
    match first {
        Poll::Ready(None) => drop(send.finish()),
        Poll::Ready(_) => send.reset(Code::H3_INTERNAL_ERROR),
        Poll::Pending => send_rest(send, body).await,
    }
}

/// Sends what is left of the content.
async fn send_rest<B: Body<Error: Into<BoxError>>>(
    mut send: SendBody,
    mut body: Pin<&mut ResponseBody<B>>,
) {
    loop {
        let frame = tokio::select! {
            biased;
            frame = poll_fn(|context| body.as_mut().poll_frame(context)) => frame,
            _ = send.stopped() => return,
        };
        match frame {
            None => return drop(send.finish()),
            // What was sent must not look whole.
            Some(Err(_)) => return send.reset(Code::H3_INTERNAL_ERROR),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if body.is_end_stream() => return drop(send.send_last(whole(data)).await),
                Ok(data) => {
                    if send.send_data(whole(data)).await.is_err() {
                        return;
                    }
                }
                Err(frame) => return send_trailers(send, frame),
            },
        }
    }
}

fn send_trailers<D>(send: SendBody, frame: Frame<D>) {
    if let Ok(trailers) = frame.into_trailers() {
        let _ = send.send_trailers(&trailers);
    }
}

/// The bytes of a piece, without a copy where it is one.
fn whole(mut data: impl Buf) -> Bytes {
    data.copy_to_bytes(data.remaining())
}

fn may_have_content(status: StatusCode) -> bool {
    !status.is_informational()
        && status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED
}

/// RFC 9114 §4.2: fields of a connection have no place in HTTP/3; services say them for HTTP/1.1.
fn remove_connection_fields(fields: &mut HeaderMap) {
    // There are few fields, and hardly ever one of these.
    if !fields.keys().any(is_connection_specific) {
        return;
    }
    if let Some(named) = fields.remove(header::CONNECTION) {
        let names = named.to_str().unwrap_or_default().split(',');
        let names: Vec<HeaderName> = names.filter_map(|name| name.trim().parse().ok()).collect();
        for name in names {
            fields.remove(name);
        }
    }
    let names = fields.keys().filter(|name| is_connection_specific(name));
    let names: Vec<HeaderName> = names.cloned().collect();
    for name in names {
        fields.remove(name);
    }
}

/// RFC 9110 §6.6.1: a server with a clock says when it answers. hyper does so for the others.
fn date(fields: &mut HeaderMap) {
    thread_local! {
        static LAST: std::cell::RefCell<(u64, HeaderValue)> =
            const { std::cell::RefCell::new((0, HeaderValue::from_static(""))) };
    }
    if fields.contains_key(header::DATE) {
        return;
    }
    let now = SystemTime::now();
    let second = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let value = LAST.with_borrow_mut(|(said, value)| {
        if *said != second {
            let text = httpdate::fmt_http_date(now);
            *value = HeaderValue::try_from(text).expect("a date has no control characters");
            *said = second;
        }
        value.clone()
    });
    fields.insert(header::DATE, value);
}
