//! A connection: all protocol state of HTTP/3 in one place, without I/O.
//!
//! Invariant: a fault of a stream ends that stream and nothing else; after a fault of the
//! connection nothing changes any more, and every stream has its failure to tell.

mod at_once;
mod config;
mod control;
mod critical;
mod datagrams;
mod exchanges;
mod extensions;
mod inbound;
mod origins;
mod push;
mod repeated;
mod requests;
mod resent;
mod sections;
mod shutdown;
mod stalls;
mod transmit;
mod unidirectional;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;

use crate::error::{Code, ConnectionError, Fault, Retry, StreamError};
use crate::event::{Action, Event};
use crate::exchange::{Context, Exchange};
use crate::glitch::Glitches;
use crate::grease::Grease;
use crate::priority::Scheduler;
use crate::qpack::TableUse;
use crate::settings::Settings;
use crate::stream::{Role, StreamId};

pub use config::Config;
use control::Control;
use critical::LocalStreams;
pub(crate) use datagrams::{Datagrams, RequestDatagrams};
use exchanges::Exchanges;
use push::Pushes;
pub(crate) use sections::Sections;
use shutdown::Shutdown;
use stalls::Stalls;
use unidirectional::PeerStreams;

/// One HTTP/3 connection, as a client or as a server.
///
/// What happens on the transport goes in through the `on_*` methods, what the application wants
/// through the others; [`poll_event`](Self::poll_event), [`poll_action`](Self::poll_action) and
/// [`poll_transmit`](Self::poll_transmit) say what follows. [`drive`](Self::drive) does all of it
/// over a [`Transport`](crate::Transport).
///
/// ```text
/// Open ──fault, close──▶ Closed, to be told to the transport ──▶ Closed
///   └────the transport is gone──────────────────────────────────────▲
/// ```
#[derive(Debug)]
pub struct Connection {
    role: Role,
    config: Config,
    closed: Option<Closed>,
    exchanges: Exchanges,
    handed_out: HandedOut,
    control: Control,
    local: LocalStreams,
    peer: PeerStreams,
    sections: Sections,
    shutdown: Shutdown,
    pushes: Pushes,
    datagrams: Datagrams,
    watch: Watch,
    grease: Grease,
    out: Outbox,
}

/// How many streams of the peer the application was given and is not done with.
#[derive(Debug, Default)]
struct HandedOut {
    /// Requests, on a server.
    requests: usize,
    /// Streams of extensions.
    extension_streams: usize,
}

/// What keeps an eye on the peer.
#[derive(Debug)]
struct Watch {
    glitches: Glitches,
    stalls: Stalls,
    /// When the last exchange ended.
    idle_since: Duration,
}

/// What waits to be fetched by the driver of the connection.
#[derive(Debug, Default)]
struct Outbox {
    events: VecDeque<Event>,
    actions: VecDeque<Action>,
    /// Streams that are to be read again, because the application made room.
    resumed: VecDeque<StreamId>,
    scheduler: Scheduler,
    sections: SectionMemory,
}

/// Where header sections are encoded.
#[derive(Debug, Default)]
struct SectionMemory {
    /// Many are split off from here while there are several exchanges.
    shared: BytesMut,
    /// How many bytes the last one took that had memory of its own.
    last_bytes: usize,
}

/// Why the connection is over, and whether the transport has to be told.
#[derive(Debug, Clone, Copy)]
struct Closed {
    error: ConnectionError,
    is_to_be_told: bool,
}

impl Connection {
    /// A connection over a transport on which nothing was sent yet.
    pub fn new(role: Role, config: Config) -> Self {
        let sections = Sections::new(&config.limits);
        let watch = Watch {
            glitches: Glitches::new(&config.limits),
            stalls: Stalls::default(),
            idle_since: Duration::ZERO,
        };
        let mut grease = Grease::new(config.grease_seed);
        let local = LocalStreams::new(&config, role, &mut grease);
        let control = Control::new(role, &config);
        let mut connection = Self {
            role,
            closed: None,
            exchanges: Exchanges::default(),
            handed_out: HandedOut::default(),
            control,
            local,
            peer: PeerStreams::default(),
            sections,
            shutdown: Shutdown::default(),
            pushes: Pushes::default(),
            datagrams: Datagrams::default(),
            watch,
            grease,
            out: Outbox::default(),
            config,
        };
        connection.begin();
        connection
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Tells the time: how long since any fixed moment. It never goes back.
    pub fn set_time(&mut self, now: Duration) {
        self.set_clock(now);
        self.expire();
    }

    /// Tells the time before what happened until then is told.
    #[inline]
    pub(crate) fn set_clock(&mut self, now: Duration) {
        self.watch.glitches.set_time(now);
    }

    /// Ends what has waited for too long.
    pub(crate) fn expire(&mut self) {
        if self.pushes.max().is_some() {
            self.expire_unclaimed();
        }
        self.end_stalled();
        let now = self.watch.glitches.now();
        if self.spare_due().is_some_and(|due| due <= now) {
            self.release_spare();
        }
    }

    /// When memory is to be given back that exchanges have left. A connection that is about to
    /// have the next ones keeps it.
    #[inline]
    fn spare_due(&self) -> Option<Duration> {
        let has_spare = self.exchanges.has_spare_places();
        has_spare.then(|| self.watch.idle_since.saturating_add(SPARE_KEPT))
    }

    fn release_spare(&mut self) {
        self.exchanges.release();
        self.sections.release();
        self.out.sections.shared = BytesMut::new();
        self.datagrams.release();
    }

    /// Whether nothing has been in flight for a while, so that no memory is kept for it.
    pub fn is_at_rest(&self) -> bool {
        self.exchanges.is_empty() && !self.exchanges.has_spare_places()
    }

    /// When [`set_time`](Self::set_time) is to be called next if nothing happens before; `None`
    /// while nothing of the peer is waited for and the connection is at rest.
    #[inline]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.closed.is_some() {
            return None;
        }
        // It is asked after every packet, and mostly only one of them is there.
        let earlier = |one: Option<Duration>, other: Option<Duration>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let stalled = earlier(self.watch.stalls.next_check(), self.spare_due());
        match self.pushes.max() {
            Some(_) => earlier(self.pushes.next_expiry(), stalled),
            None => stalled,
        }
    }

    /// Whether [`poll_event`](Self::poll_event) has something.
    #[inline]
    pub fn has_events(&self) -> bool {
        !self.out.events.is_empty()
    }

    /// The next thing that happened.
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    /// The next thing that the transport must do, besides writing.
    #[inline]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.out
            .actions
            .pop_front()
            .or_else(|| self.datagrams.poll_unsent())
    }

    /// Whether [`poll_action`](Self::poll_action) has something.
    #[inline]
    pub(crate) fn has_actions(&self) -> bool {
        !self.out.actions.is_empty() || self.datagrams.has_unsent()
    }

    /// The next stream that is to be read again although the transport had told before that it is
    /// readable.
    #[inline]
    pub fn poll_resumed(&mut self) -> Option<StreamId> {
        self.out.resumed.pop_front()
    }

    /// Whether [`poll_resumed`](Self::poll_resumed) has a stream.
    #[inline]
    pub fn has_resumed(&self) -> bool {
        !self.out.resumed.is_empty()
    }

    /// The settings of the peer, once they arrived.
    pub fn peer_settings(&self) -> Option<&Settings> {
        self.control.peer_settings()
    }

    /// Why the connection is over, if it is.
    #[inline]
    pub fn error(&self) -> Option<ConnectionError> {
        self.closed.map(|closed| closed.error)
    }

    /// What the transport has to be closed with, once.
    #[inline]
    pub fn poll_close(&mut self) -> Option<ConnectionError> {
        let closed = self.closed.as_mut()?;
        std::mem::take(&mut closed.is_to_be_told).then_some(closed.error)
    }

    /// How many requests and pushes are in flight.
    pub fn in_flight(&self) -> usize {
        self.exchanges.len()
    }

    /// How the dynamic tables of QPACK were used: the peer's, which we fill, and then ours.
    pub fn table_uses(&self) -> [TableUse; 2] {
        self.sections.table_uses()
    }

    /// Closes the connection. Whatever is in flight fails.
    pub fn close(&mut self, code: Code, reason: &'static str) {
        // RFC 9114 §8.1: sometimes a reserved code stands for no error.
        let code = match code {
            Code::H3_NO_ERROR => Code::no_error(self.grease.sometimes(4)),
            code => code,
        };
        self.fail(ConnectionError::local(code, reason), true);
    }

    /// The transport is gone: closed by the peer, or lost.
    pub fn on_closed(&mut self, error: ConnectionError) {
        self.fail(error, false);
    }

    /// Ends everything; the first reason counts.
    fn fail(&mut self, mut error: ConnectionError, is_to_be_told: bool) {
        if self.closed.is_some() {
            return;
        }
        error.code = match error.origin {
            crate::error::Origin::Local => self.config.version.wire_code(error.code),
            crate::error::Origin::Peer => error.code,
        };
        self.closed = Some(Closed {
            error,
            is_to_be_told,
        });
        let mut streams: Vec<StreamId> = self.exchanges.streams().collect();
        streams.sort_unstable();
        for stream in streams {
            let retry = self.retry_after_close(stream, error);
            let Some(exchange) = self.exchanges.get_mut(stream) else {
                continue;
            };
            let failure = StreamError {
                code: error.code,
                origin: error.origin,
                reason: error.reason,
                retry,
            };
            exchange.receive.fail(failure);
            exchange.send.abort(failure);
            Self::notify(&mut self.out, stream, exchange);
        }
        self.exchanges.retain(|exchange| exchange.is_known);
        self.release_spare();
        self.datagrams = Datagrams::default();
        self.out.actions.clear();
        self.out.resumed.clear();
        self.out.events.push_back(Event::Closed(error));
    }

    // RFC 9114 §5.4: without a GOAWAY, whatever was sent, in whole or in part, may be processed.
    fn retry_after_close(&self, stream: StreamId, error: ConnectionError) -> Retry {
        let Some(exchange) = self.exchanges.get(stream) else {
            return Retry::Unknown;
        };
        match error.code {
            _ if self.role == Role::Server => Retry::Unknown,
            _ if self.shutdown.early_data_was_rejected() => Retry::Safe,
            _ if !exchange.send.has_sent() => Retry::SafeOnNewConnection,
            _ if self.shutdown.is_refused_by_peer(stream) => Retry::SafeOnNewConnection,
            Code::H3_VERSION_FALLBACK => Retry::LowerVersion,
            _ => Retry::Unknown,
        }
    }

    /// Does what a fault of `stream` asks for.
    #[inline]
    fn settle(&mut self, stream: StreamId, result: Result<(), Fault>) {
        match result {
            Ok(()) => {}
            Err(Fault::Stream(error)) => self.abort(stream, error),
            Err(Fault::Connection(error)) => self.fail(error, true),
        }
    }

    /// The parts of the connection that a stream needs to make messages of what arrives.
    #[inline]
    fn split(&mut self, stream: StreamId) -> (Option<&mut Exchange>, Context<'_>) {
        let profile = self.control.datagram_profile();
        let context = Context {
            stream,
            limits: &self.config.limits,
            glitches: &mut self.watch.glitches,
            sections: &mut self.sections,
            extension_frames: &self.config.extension_frames,
            extension_streams: &self.config.extension_bidirectional,
            extended_connect: self.config.extended_connect,
            push_id_max: self.pushes.max(),
            profile,
            datagrams: &mut self.datagrams,
        };
        (self.exchanges.get_mut(stream), context)
    }

    /// Tells the application once that a stream has news.
    #[inline]
    fn notify(out: &mut Outbox, stream: StreamId, exchange: &mut Exchange) {
        if exchange.is_known && !exchange.is_told && exchange.receive.has_news() {
            exchange.is_told = true;
            out.events.push_back(Event::Readable(stream));
        }
    }

    /// Takes an exchange out of the books when nothing is left to do or to tell.
    fn forget_if_over(&mut self, stream: StreamId) {
        if self
            .exchanges
            .get(stream)
            .is_some_and(|exchange| exchange.is_over())
        {
            self.forget(stream);
        }
    }

    fn forget(&mut self, stream: StreamId) {
        let Some(exchange) = self.exchanges.get(stream) else {
            return;
        };
        let (is_known, is_extension) = (exchange.is_known, exchange.is_extension);
        if exchange.is_scheduled {
            self.out.scheduler.remove(stream, exchange.priority);
        }
        self.exchanges.remove(stream);
        if self.exchanges.is_empty() {
            self.watch.idle_since = self.watch.glitches.now();
            // Nobody asks a connection that is over for its timeout.
            if self.closed.is_some() {
                self.release_spare();
            }
        }
        self.datagrams.forget(stream);
        if is_extension {
            if stream.initiator() != self.role {
                self.handed_out.extension_streams -= 1;
            }
            return self.tell_if_drained();
        }
        if is_known && self.role == Role::Server && stream.is_request() {
            self.handed_out.requests -= 1;
        }
        if !stream.is_request() {
            match self.role {
                Role::Client => self.forget_push_stream(stream),
                Role::Server => self.forget_promise_stream(stream),
            }
        }
        self.tell_if_drained();
    }

    /// Counts suspicious acts.
    fn glitch(&mut self, reason: &'static str) -> Result<(), ConnectionError> {
        self.watch.glitches.take(1, reason)
    }

    /// Ends both directions of a stream with a failure.
    fn abort(&mut self, stream: StreamId, error: StreamError) {
        if self.answer_too_large(stream, error) {
            return;
        }
        let code = self.config.version.wire_code(error.code);
        let Some(exchange) = self.exchanges.get_mut(stream) else {
            return;
        };
        if !exchange.send.is_over() {
            self.out.actions.push_back(Action::Reset(stream, code));
        }
        let was_open = exchange.receive.is_open();
        // After a FIN there is nothing to stop.
        if was_open && !exchange.receive.has_fin() {
            self.out.actions.push_back(Action::Stop(stream, code));
        }
        let error = StreamError { code, ..error };
        exchange.receive.fail(error);
        exchange.send.abort(error);
        match exchange.is_known {
            true => Self::notify(&mut self.out, stream, exchange),
            false => self.forget(stream),
        }
        if was_open {
            self.cancel_sections(stream);
        }
        self.forget_if_over(stream);
    }

    fn cancel_sections(&mut self, stream: StreamId) {
        if let Err(error) = self.sections.cancel(stream) {
            self.fail(error, true);
        }
    }
}

/// How long memory is kept for the next exchange: longer than most peers wait for the answer
/// before they ask again, and no longer than a server wants it for idle connections.
const SPARE_KEPT: Duration = Duration::from_millis(200);
