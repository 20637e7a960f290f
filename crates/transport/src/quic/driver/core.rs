//! The protocol's endpoint and the table of connections.
//!
//! Invariant: a slot lives from the first packet of its connection until the protocol has drained
//! it; a handle of the protocol is the slot's index.

use super::Next;
use super::outgoing::Outgoing;
use super::patience::{Brought, Patience};
use super::serving::Server;
use super::slot::{Role, Slot, Stage};
use super::timers::{Deadline, Timers};
use crate::environment::{DatagramBatch, ReceivedMessage, UdpSocket};
use crate::failure_map::failure_from_io;
use crate::quic::connection::{Confirmed, ConnectionShared, ConnectionState, Dirty, Phase};
use crate::quic::endpoint::Shared;
use crate::quic::identifiers::{Clock, later};
use crate::quic::options::{ClientConfig, TransportOptions};
use crate::quic::sharding::Shard;
use crate::quic::{ConnectError, ConnectionError, VarInt};
use bytes::{Bytes, BytesMut};
use portway_core::FailureKind;
use quinn_proto::crypto::HandshakeTokenKey;
use quinn_proto::{
    ConnectionEvent, ConnectionHandle, DatagramEvent, EcnCodepoint, EndpointConfig, EndpointEvent,
    NoneTokenStore,
};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Everything that the driver owns, behind the endpoint's lock.
pub(in crate::quic) struct Core {
    pub(super) proto: quinn_proto::Endpoint,
    pub(super) socket: Arc<dyn UdpSocket>,
    pub(super) slots: Vec<Option<Slot>>,
    alive: usize,
    generation: u32,
    touched: Vec<usize>,
    /// Whether a connection lets others run before it sends.
    pub(super) holds_back: bool,
    /// Memory for packets that were received, which only busy connections have.
    spare_events: Vec<Vec<(ConnectionEvent, Option<IpAddr>)>>,
    timers: Timers,
    pub(super) outgoing: Outgoing,
    incoming: DatagramBatch,
    pub(super) server: Server,
    pub(super) life: Life,
    shard: Option<Shard>,
}

/// What a round of work carries along.
pub(super) struct Round<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) now: Instant,
    /// Whom to wake when no lock is held any more.
    pub(super) wakers: &'a mut Vec<Waker>,
}

/// Whether the endpoint is in use.
#[derive(Default)]
pub(super) struct Life {
    /// No handle of the endpoint is left.
    is_abandoned: bool,
    /// Closed by the application.
    pub(super) is_closed: bool,
    idle: Vec<Waker>,
}

impl Core {
    pub(in crate::quic) fn new(
        config: EndpointConfig,
        socket: Arc<dyn UdpSocket>,
        token_key: Arc<dyn HandshakeTokenKey>,
        clock: Clock,
        shard: Option<Shard>,
    ) -> Self {
        Core {
            proto: quinn_proto::Endpoint::new(Arc::new(config), None, !socket.may_fragment(), None),
            socket,
            slots: Vec::new(),
            alive: 0,
            generation: 0,
            touched: Vec::new(),
            holds_back: false,
            spare_events: Vec::new(),
            timers: Timers::default(),
            outgoing: Outgoing::default(),
            incoming: DatagramBatch::new(MESSAGES_MIN),
            server: Server::new(token_key, clock),
            life: Life::default(),
            shard,
        }
    }

    /// Whether other endpoints share its port.
    pub(in crate::quic) fn is_shard(&self) -> bool {
        self.shard.is_some()
    }

    pub(in crate::quic) fn socket(&self) -> &Arc<dyn UdpSocket> {
        &self.socket
    }

    pub(in crate::quic) fn connections(&self) -> usize {
        self.alive
    }

    /// Starts a connection.
    pub(in crate::quic) fn connect(
        &mut self,
        shared: &Arc<Shared>,
        config: &ClientConfig,
        remote: SocketAddr,
        server_name: &str,
    ) -> Result<Arc<ConnectionShared>, ConnectError> {
        if self.life.is_closed {
            return Err(ConnectError::EndpointClosed);
        }
        if remote.is_ipv4() != self.socket.local_address().is_ipv4() {
            return Err(ConnectError::InvalidRemote(remote));
        }
        let mut proto = quinn_proto::ClientConfig::new(config.crypto.proto());
        let mut random = [0; 16];
        shared.environment.fill_random(&mut random);
        let early = config.crypto.allows_early_data().then(Confirmed::default);
        let transport = match &early {
            Some(confirmed) => config.transport.proto_early(confirmed.clone())?,
            None => config.transport.proto()?,
        };
        proto
            .transport_config(transport)
            .token_store(match &config.tokens {
                Some(tokens) => Arc::new(tokens.clone()),
                None => Arc::new(NoneTokenStore),
            })
            .initial_dst_cid_provider(Arc::new(move || quinn_proto::ConnectionId::new(&random)));
        let now = shared.clock.now();
        let (handle, proto) = self.proto.connect(now, proto, remote, server_name)?;
        let until = later(now, config.transport.times.handshake);
        let role = Role::Connecting;
        let stage = Stage::Handshaking { until, role };
        let connection = self.insert(shared, handle, proto, &config.transport, stage);
        connection.lock().held_back.unconfirmed = early;
        Ok(connection)
    }

    pub(super) fn insert(
        &mut self,
        shared: &Arc<Shared>,
        handle: ConnectionHandle,
        proto: quinn_proto::Connection,
        options: &TransportOptions,
        stage: Stage,
    ) -> Arc<ConnectionShared> {
        let connection = shared.share(ConnectionState::new(proto, handle, options));
        if self.slots.len() <= handle.0 {
            self.slots.resize_with(handle.0 + 1, || None);
        }
        self.generation = self.generation.wrapping_add(1);
        self.slots[handle.0] = Some(Slot {
            connection: Arc::clone(&connection),
            generation: self.generation,
            events: Vec::new(),
            packets: 0,
            is_touched: false,
            patience: Patience::default(),
            is_due: false,
            has_moved: false,
            deadline: Deadline::default(),
            stage,
            is_over: false,
        });
        self.alive += 1;
        self.touch(handle.0);
        connection
    }

    fn touch(&mut self, index: usize) {
        if let Some(Some(slot)) = self.slots.get_mut(index)
            && !slot.is_touched
        {
            slot.is_touched = true;
            self.touched.push(index);
        }
    }

    /// One round of work.
    pub(super) fn round(
        &mut self,
        round: &mut Round<'_>,
        listed: &mut Vec<Arc<ConnectionShared>>,
    ) -> Next {
        self.flush();
        let is_full = self.receive(round);
        self.expire(round.now);
        self.expire_held(round);
        for connection in listed.drain(..) {
            self.touch_listed(&connection);
        }
        // What is touched meanwhile comes behind those, for the next round.
        let count = self.touched.len();
        for at in 0..count {
            self.drive(round, self.touched[at]);
            if self.outgoing.is_blocked() {
                self.flush();
            }
        }
        self.touched.drain(..count);
        if self.timers.is_bloated(self.alive) {
            let slots = self.slots.iter_mut().enumerate();
            self.timers.rebuild(slots.filter_map(|(index, slot)| {
                let slot = slot.as_mut()?;
                Some((index, slot.generation, &mut slot.deadline))
            }));
        }
        self.look_ahead(round.now);
        if std::mem::take(&mut self.holds_back) {
            return Next::Yield;
        }
        let has_work = !self.touched.is_empty() && !self.outgoing.is_blocked();
        match is_full || has_work {
            true => Next::Again,
            false => Next::Wait,
        }
    }

    pub(super) fn flush(&mut self) {
        self.outgoing.flush(&*self.socket);
    }

    fn touch_listed(&mut self, connection: &Arc<ConnectionShared>) {
        let handle = connection.lock().handle;
        let slot = self.slots.get(handle.0).and_then(Option::as_ref);
        // The index of a connection that was drained may belong to another one by now.
        if slot.is_some_and(|slot| Arc::ptr_eq(&slot.connection, connection)) {
            self.touch(handle.0);
        }
    }

    /// Receives up to a bound; true when there may be more.
    fn receive(&mut self, round: &mut Round<'_>) -> bool {
        self.receive_handed(round);
        if let Err(error) = self.socket.try_receive_batch(&mut self.incoming) {
            // An error was caused by another datagram, or says that there is none.
            if error.kind() != ErrorKind::WouldBlock {
                self.on_unreachable(round, &error);
            }
            return false;
        }
        let empty = DatagramBatch::empty();
        let mut incoming = std::mem::replace(&mut self.incoming, empty);
        let (received, is_full) = (incoming.len(), incoming.is_full());
        // The segments share one allocation: they come from one sender at one time.
        for (message, mut rest) in incoming.drain() {
            while rest.len() > message.stride {
                let data = rest.split_to(message.stride);
                self.keep(round, &message, data);
            }
            self.keep(round, &message, rest);
        }
        incoming.adapt(received, MESSAGES_MIN, MESSAGES_MAX);
        self.incoming = incoming;
        is_full
    }

    /// Handles a datagram unless it is another shard's.
    fn keep(&mut self, round: &mut Round<'_>, received: &ReceivedMessage<'_>, data: BytesMut) {
        let kept = match &self.shard {
            Some(shard) => shard.keep(received, data),
            None => Some(data),
        };
        if let Some(data) = kept {
            self.route(round, received, data);
        }
    }

    /// Handles what other shards have handed over.
    fn receive_handed(&mut self, round: &mut Round<'_>) {
        let handed = self.shard.as_ref().map(Shard::take);
        for handed in handed.into_iter().flatten() {
            let received = ReceivedMessage {
                contents: &[],
                stride: 0,
                remote: handed.remote,
                local: handed.local,
                ecn: handed.ecn,
            };
            self.route(round, &received, handed.packet);
        }
    }

    /// The system tells, on a connected socket only, that the peer is not there. Anybody on the
    /// way could say so, so that a connection which has a peer takes no notice.
    fn on_unreachable(&mut self, round: &mut Round<'_>, error: &std::io::Error) {
        let failure = failure_from_io(error, "the peer is not there");
        if !matches!(
            failure.kind,
            FailureKind::Refused | FailureKind::Unreachable
        ) {
            return;
        }
        let slots = self.slots.iter().enumerate();
        let alone: Vec<usize> = slots
            .filter_map(|(index, slot)| {
                let mut state = slot.as_ref()?.connection.lock();
                let is_alone = state.phase == Phase::Handshaking
                    && state.proto.side().is_client()
                    && !state.is_answered;
                is_alone.then(|| {
                    state
                        .proto
                        .close(round.now, VarInt::ZERO.proto(), Bytes::new());
                    state.end(ConnectionError::System(failure.clone()), round.wakers);
                    index
                })
            })
            .collect();
        alone.into_iter().for_each(|index| self.touch(index));
    }

    /// Hands a datagram to its connection.
    fn route(&mut self, round: &mut Round<'_>, received: &ReceivedMessage<'_>, data: BytesMut) {
        let ecn = received.ecn.and_then(EcnCodepoint::from_bits);
        let first = self.server.wants(&data).map(<[u8]>::to_vec);
        let mut response = self.outgoing.buffer();
        let event = self.proto.handle(
            round.now,
            received.remote,
            received.local,
            ecn,
            data,
            &mut response,
        );
        match event {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(Some(slot)) = self.slots.get_mut(handle.0) {
                    if slot.events.capacity() == 0 {
                        slot.events = self.spare_events.pop().unwrap_or_default();
                    }
                    slot.events.push((event, received.local));
                    if slot.events.len() == EVENTS_MAX {
                        let connection = Arc::clone(&slot.connection);
                        slot.deliver(&mut connection.lock(), &mut self.spare_events);
                    }
                }
                self.touch(handle.0);
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.on_incoming(round, incoming, first.as_deref());
            }
            Some(DatagramEvent::Response(transmit)) if !self.outgoing.is_blocked() => {
                self.outgoing.push(transmit, response);
                self.flush();
                return;
            }
            Some(DatagramEvent::Response(_)) => {}
            None => {
                if let Some(datagram) = first {
                    self.on_held_datagram(&datagram);
                }
            }
        }
        self.outgoing.give_back(response);
    }

    /// Touches the connections whose deadline has passed.
    fn expire(&mut self, now: Instant) {
        while let Some(entry) = self.timers.pop(now) {
            let Some(Some(slot)) = self.slots.get_mut(entry.1) else {
                continue;
            };
            if slot.generation == entry.2 && self.timers.is_due(&mut slot.deadline, entry, now) {
                slot.is_due = true;
                self.touch(entry.1);
            }
        }
    }

    /// Looks at deadlines before the thread is woken for them.
    fn look_ahead(&mut self, now: Instant) {
        while let Some(near) = self.timers.near(now) {
            let slot = self.slots.get_mut(near.1).and_then(Option::as_mut);
            let slot = slot.filter(|slot| slot.generation == near.2);
            let deadline = slot.map(|slot| &mut slot.deadline);
            if !self.timers.move_near(deadline, near, now) {
                return;
            }
        }
    }

    /// Moves one connection on.
    fn drive(&mut self, round: &mut Round<'_>, index: usize) {
        let Some(Some(slot)) = self.slots.get_mut(index) else {
            return;
        };
        slot.is_touched = false;
        let connection = Arc::clone(&slot.connection);
        let mut state = connection.lock();
        let has_acted = std::mem::replace(&mut state.dirty, Dirty::Clean) != Dirty::Clean;
        slot.deliver(&mut state, &mut self.spare_events);
        let packets = std::mem::take(&mut slot.packets);
        slot.handle_timeout(&mut state, round);
        while let Some(event) = state.proto.poll_endpoint_events() {
            if let Some(event) = self.proto.handle_event(ConnectionHandle(index), event) {
                state.proto.handle_event(event);
            }
        }
        let woken_before = round.wakers.len();
        state.poll_events(round.wakers);
        state.end_linger(round.now, round.wakers);
        let now = Some(round.now);
        let resident_deadline = state.run_resident(&round.shared.clock, now, round.wakers);
        // What the resident did is sent with this round.
        state.dirty = Dirty::Clean;
        let brought = Brought {
            now: round.now,
            packets,
            has_woken: round.wakers.len() > woken_before,
            has_acted,
        };
        let has_workers = round.shared.has_workers;
        let wait = slot.waits(&mut state, &brought, has_workers);
        let was_blocked = self.outgoing.is_blocked();
        let (has_more, held_until) = self.send(&mut state, round.now, wait);
        state.look_at_path(round.wakers);
        let is_drained = state.proto.is_drained();
        let others = [state.streams.linger.until, held_until];
        let others = others.into_iter().flatten();
        let proto_deadline = state.proto.poll_timeout().into_iter().chain(others).min();
        let phase = state.phase.clone();
        let is_early = state.proto.has_0rtt();
        let remote = state.proto.remote_address();
        let rtt = state.proto.rtt();
        drop(state);
        let Some(Some(slot)) = self.slots.get_mut(index) else {
            return;
        };
        slot.has_moved &= was_blocked;
        slot.deadline.set_rtt(rtt);
        let has_more = has_more || slot.is_due;
        let deadline = slot.next_deadline(&phase, proto_deadline);
        let deadline = match (deadline, resident_deadline) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.timers
            .set(&mut slot.deadline, deadline, index, slot.generation);
        if matches!(phase, Phase::Closed(_)) && !has_more && !slot.is_over {
            slot.is_over = true;
            round.wakers.append(&mut self.life.idle);
        }
        let progress = slot.stage.progress(&phase, is_early);
        if let Some(role) = progress {
            slot.stage = match (slot.stage, &phase) {
                // It was handed over for its early data; its handshake still has to end in time.
                (Stage::Handshaking { until, .. }, Phase::Handshaking) => Stage::Handshaking {
                    until,
                    role: Role::Connecting,
                },
                _ => Stage::Running,
            };
            self.on_handshake_over(round, &connection, role, &phase, remote);
        }
        if progress.is_some_and(|role| role.is_given_up(&phase)) {
            // The protocol would keep what came in one packet for the whole idle time.
            let drained = EndpointEvent::drained();
            self.proto.handle_event(ConnectionHandle(index), drained);
            self.remove(index, round.wakers);
        } else if is_drained {
            self.remove(index, round.wakers);
        } else if has_more {
            self.touch(index);
        }
    }

    fn remove(&mut self, index: usize, wakers: &mut Vec<Waker>) {
        if let Some(slot) = self.slots.get_mut(index)
            && slot.take().is_some()
        {
            self.alive -= 1;
        }
        if self.alive == 0 {
            wakers.append(&mut self.life.idle);
        }
    }

    /// Closes all connections and accepts none any more.
    pub(in crate::quic) fn close(
        &mut self,
        now: Instant,
        code: VarInt,
        reason: &Bytes,
        wakers: &mut Vec<Waker>,
    ) {
        self.life.is_closed = true;
        for index in 0..self.slots.len() {
            if let Some(slot) = &self.slots[index] {
                let mut state = slot.connection.lock();
                state.close(now, code, reason.clone(), wakers);
                drop(state);
                self.touch(index);
            }
        }
    }

    /// No handle of the endpoint is left: nothing more is accepted.
    pub(in crate::quic) fn abandon(&mut self) {
        self.life.is_abandoned = true;
        self.life.is_closed = true;
    }

    pub(in crate::quic) fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let is_idle = self.alive == 0;
        self.poll_life(is_idle, context)
    }

    /// Ready when every connection has ended and its peer was told.
    pub(in crate::quic) fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let is_over = self.slots.iter().flatten().all(|slot| slot.is_over);
        self.poll_life(is_over, context)
    }

    fn poll_life(&mut self, is_ready: bool, context: &mut Context<'_>) -> Poll<()> {
        if is_ready {
            return Poll::Ready(());
        }
        let idle = &mut self.life.idle;
        if !idle.iter().any(|waker| waker.will_wake(context.waker())) {
            idle.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Moves all connections to `socket`.
    pub(in crate::quic) fn rebind(&mut self, socket: Arc<dyn UdpSocket>) {
        self.socket = socket;
        for index in 0..self.slots.len() {
            if let Some(slot) = &self.slots[index] {
                // RFC 9000 §9.5: another local address uses another connection identifier.
                slot.connection.lock().proto.local_address_changed();
                self.touch(index);
            }
        }
    }

    /// Takes all connections, since the driver ends.
    pub(in crate::quic) fn take_all(
        &mut self,
        wakers: &mut Vec<Waker>,
    ) -> Vec<Arc<ConnectionShared>> {
        self.life.is_closed = true;
        self.alive = 0;
        wakers.append(&mut self.life.idle);
        let slots = self.slots.drain(..).flatten();
        slots.map(|slot| slot.connection).collect()
    }

    /// Whether the driver can end.
    pub(super) fn is_over(&self) -> bool {
        self.life.is_abandoned && self.alive == 0
    }

    /// When the next deadline comes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let (timer, held) = (self.timers.next(), self.server.deadline());
        timer.into_iter().chain(held).min()
    }

    /// Ready when the socket has something, or room for what waits.
    pub(super) fn poll_socket(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let is_readable = self.socket.poll_readable(context).is_ready();
        let is_writable =
            self.outgoing.is_blocked() && self.socket.poll_writable(context).is_ready();
        match is_readable || is_writable {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Slot {
    /// Hands the packets that have come to the connection. Memory for them is kept in `spare`.
    fn deliver(
        &mut self,
        state: &mut ConnectionState,
        spare: &mut Vec<Vec<(ConnectionEvent, Option<IpAddr>)>>,
    ) {
        if self.events.is_empty() {
            return;
        }
        self.packets += self.events.len();
        let mut remote = state.proto.remote_address();
        let mut events = std::mem::take(&mut self.events);
        for (event, local) in events.drain(..) {
            state.receive(event, local);
            // One that moves and comes back is on a new path, too.
            let now = state.proto.remote_address();
            if std::mem::replace(&mut remote, now) != now {
                self.has_moved = true;
                state.on_moved();
            }
        }
        state.datagrams.follows_packets = true;
        if spare.len() < SPARE_EVENTS_MAX {
            spare.push(events);
        }
    }

    /// Tells the protocol that a deadline has passed.
    ///
    /// quinn-proto asserts that something is under way on the path when a retransmission is due,
    /// also when that was sent on another path: it counts by path, and keeps the timeout when the
    /// path changes. So the first packet of a path goes before any timeout.
    fn handle_timeout(&mut self, state: &mut ConnectionState, round: &mut Round<'_>) {
        if !self.is_due || (self.has_moved && state.error().is_none()) {
            return;
        }
        self.is_due = false;
        let remote = state.proto.remote_address();
        let was_in_question = state.is_in_question();
        state.proto.handle_timeout(round.now);
        let is_back = state.proto.remote_address() != remote;
        // The peer may have come back by itself before, which was another path to the same address:
        // quinn-proto does not tell when it gives that up. A ping that was not needed goes with
        // the challenge, which has to be acknowledged anyway.
        if is_back || (was_in_question && state.error().is_none()) {
            // RFC 9000 §9.3.2: the peer is where it was before. What was sent on the other path
            // is not there, which it tells when it acknowledges something later.
            state.proto.ping();
            self.has_moved = true;
        }
        if is_back {
            state.on_moved_back();
        }
        self.give_up_handshake(state, round);
    }

    /// When the protocol, or its handshake's limit, wants to be looked at again. A timeout that had
    /// to be left waits for the next round.
    fn next_deadline(&self, phase: &Phase, proto: Option<Instant>) -> Option<Instant> {
        let proto = proto.filter(|_| !self.is_due);
        match self.stage {
            Stage::Handshaking { until, .. } if *phase == Phase::Handshaking => {
                Some(proto.map_or(until, |at| at.min(until)))
            }
            _ => proto,
        }
    }

    /// Ends a handshake that takes too long.
    fn give_up_handshake(&mut self, state: &mut ConnectionState, round: &mut Round<'_>) {
        if let Stage::Handshaking { until, .. } = self.stage
            && until <= round.now
            && state.phase == Phase::Handshaking
        {
            state
                .proto
                .close(round.now, VarInt::ZERO.proto(), Bytes::new());
            state.end(ConnectionError::HandshakeTimedOut, round.wakers);
        }
    }
}

impl Stage {
    /// The role of a connection whose handshake is over now for the endpoint.
    fn progress(self, phase: &Phase, is_early: bool) -> Option<Role> {
        let Stage::Handshaking { role, .. } = self else {
            return None;
        };
        let is_over = match (phase, role) {
            (
                Phase::Handshaking,
                Role::Accepting {
                    hands_over_early: true,
                },
            ) => is_early,
            (Phase::Handshaking, _) => false,
            _ => true,
        };
        is_over.then_some(role)
    }
}

impl Role {
    /// Whether the client gave up its own handshake, so that nothing is left to be said.
    fn is_given_up(self, phase: &Phase) -> bool {
        let is_accepting = matches!(self, Role::Accepting { .. });
        let is_closed_by_peer = matches!(
            phase,
            Phase::Closed(
                ConnectionError::ClosedByPeer { .. }
                    | ConnectionError::TransportClosedByPeer { .. }
            )
        );
        is_accepting && is_closed_by_peer
    }
}

/// Messages that are received in a round, each of one or more datagrams, until a batch is full.
const MESSAGES_MIN: usize = 4;
/// Messages that are received in a round of a busy endpoint.
const MESSAGES_MAX: usize = 32;
/// Lists of received packets that are kept for the next round.
const SPARE_EVENTS_MAX: usize = 16;
/// The longest such list: a connection gets what one long message holds before there is more, while
/// it is in the processor's cache.
const EVENTS_MAX: usize = 64;
