//! How clients become connections.
//!
//! Invariant: what a client costs before its handshake has ended is bounded by the server's
//! backlog, held clients included, and application code runs without the endpoint's lock.

use super::core::{Core, Round};
use super::held::{Answerable, Held};
use super::slot::{Role, Stage};
use crate::quic::accepting::AcceptError;
use crate::quic::choice::Choice;
use crate::quic::connection::{Connection, ConnectionRef, ConnectionShared, Phase};
use crate::quic::hello::{ClientHello, HelloReader};
use crate::quic::identifiers::{Clock, later};
use crate::quic::options::{AddressValidation, ServerConfig};
use crate::quic::tokens::UsedTokens;
use crate::quic::{ConnectError, ConnectionError, VarInt};
use crate::tls::QuicHandshake;
use bytes::Bytes;
use quinn_proto::crypto::HandshakeTokenKey;
use quinn_proto::{Incoming, Transmit, ValidationTokenConfig};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// The accepting side of an endpoint.
pub(super) struct Server {
    config: Option<Arc<ServerConfig>>,
    token_key: Arc<dyn HandshakeTokenKey>,
    used_tokens: Arc<UsedTokens>,
    clock: Clock,
    /// Connections that the application has not got yet.
    pending: usize,
    handshaking: usize,
    held: Held,
    /// Clients about whom the application is to be asked.
    answerable: Vec<Answerable>,
    /// What quinn-proto makes of chosen configurations, the one used last at the front.
    chosen: VecDeque<(Arc<ServerConfig>, Arc<quinn_proto::ServerConfig>)>,
}

/// What to do with a client that wants to connect.
enum Decision {
    Accept(Arc<ServerConfig>),
    Retry,
    Refuse,
}

impl Server {
    pub(super) fn new(token_key: Arc<dyn HandshakeTokenKey>, clock: Clock) -> Self {
        Server {
            config: None,
            token_key,
            used_tokens: Arc::default(),
            clock,
            pending: 0,
            handshaking: 0,
            held: Held::default(),
            answerable: Vec::new(),
            chosen: VecDeque::new(),
        }
    }

    /// The datagram, if it may have to be read before the protocol consumes it.
    pub(super) fn wants<'d>(&self, datagram: &'d [u8]) -> Option<&'d [u8]> {
        self.config.as_ref()?.chooser.as_ref()?;
        HelloReader::identifier(datagram).map(|_| datagram)
    }

    /// When the time of a client that is held is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.held.deadline()
    }

    fn decide(&self, incoming: &Incoming, is_closed: bool) -> Decision {
        let Some(config) = self.config.as_ref().filter(|_| !is_closed) else {
            return Decision::Refuse;
        };
        if self.pending + self.held.len() + self.answerable.len() >= config.incoming.backlog {
            return Decision::Refuse;
        }
        let must_validate = match config.address_validation {
            AddressValidation::Never => false,
            AddressValidation::UnderLoad => {
                self.handshaking + self.held.len() >= config.incoming.retry_above
            }
            AddressValidation::Always => true,
        };
        if must_validate && !incoming.remote_address_validated() && incoming.may_retry() {
            return Decision::Retry;
        }
        Decision::Accept(Arc::clone(config))
    }

    /// What quinn-proto makes of a configuration.
    fn proto(&self, config: &ServerConfig) -> Result<quinn_proto::ServerConfig, ConnectError> {
        let crypto = config.crypto.proto();
        let mut proto = quinn_proto::ServerConfig::new(crypto, Arc::clone(&self.token_key));
        proto
            .transport_config(config.transport.proto()?)
            .migration(config.may_migrate)
            .preferred_address_v4(config.preferred_v4)
            .preferred_address_v6(config.preferred_v6)
            // One more than are ever held: it would pass over what the backlog has no room for,
            // which is to be refused.
            .max_incoming(config.incoming.backlog.saturating_add(1))
            .incoming_buffer_size(config.incoming.bytes_each)
            .incoming_buffer_size_total(config.incoming.bytes_total)
            .time_source(Arc::new(self.clock.clone()));
        let log: Arc<UsedTokens> = Arc::clone(&self.used_tokens);
        let mut tokens = ValidationTokenConfig::default();
        tokens.log(log).sent(config.tokens_sent);
        proto.validation_token_config(tokens);
        Ok(proto)
    }

    /// As [`Server::proto`], but remembers.
    fn chosen(
        &mut self,
        config: &Arc<ServerConfig>,
    ) -> Result<Arc<quinn_proto::ServerConfig>, ConnectError> {
        let is_same = |(known, _): &(Arc<ServerConfig>, _)| Arc::ptr_eq(known, config);
        let entry = match self.chosen.iter().position(is_same) {
            Some(index) => self.chosen.remove(index),
            None => None,
        };
        let entry = match entry {
            Some(entry) => entry,
            None => (Arc::clone(config), Arc::new(self.proto(config)?)),
        };
        let proto = Arc::clone(&entry.1);
        self.chosen.truncate(CHOSEN_MAX - 1);
        self.chosen.push_front(entry);
        Ok(proto)
    }
}

impl Core {
    /// Accepts with `config` from now on.
    pub(in crate::quic) fn set_server(
        &mut self,
        config: Option<ServerConfig>,
    ) -> Result<(), ConnectError> {
        let proto = match &config {
            None => None,
            Some(config) => Some(Arc::new(self.server.proto(config)?)),
        };
        self.proto.set_server_config(proto);
        self.server.config = config.map(Arc::new);
        Ok(())
    }

    /// The application has taken a connection from the accept queue.
    pub(in crate::quic) fn on_accepted(&mut self) {
        self.server.pending = self.server.pending.saturating_sub(1);
    }

    /// Decides about a client that wants to connect. `datagram` is its first one, if it is wanted.
    pub(super) fn on_incoming(
        &mut self,
        round: &mut Round<'_>,
        incoming: Incoming,
        datagram: Option<&[u8]>,
    ) {
        let mut response = self.outgoing.buffer();
        let transmit = match self.server.decide(&incoming, self.life.is_closed) {
            Decision::Refuse => Some(self.proto.refuse(incoming, &mut response)),
            Decision::Retry => self.proto.retry(incoming, &mut response).ok(),
            Decision::Accept(config) => match datagram {
                Some(datagram) => {
                    // RFC 9002 §6.2.4: a client sends what was lost again after ever longer times,
                    // so that a shorter wait would end between the packets of a hello.
                    let ready = self.server.held.hold(incoming, config, datagram, round.now);
                    self.server.answerable.extend(ready);
                    None
                }
                None => self.accept(round, incoming, &config, None, &mut response),
            },
        };
        self.respond(transmit, response);
    }

    /// Shows a datagram to the client that it is of, if that one is held.
    pub(super) fn on_held_datagram(&mut self, datagram: &[u8]) {
        let ready = self.server.held.on_datagram(datagram);
        self.server.answerable.extend(ready);
    }

    /// Gives up on the clients whose hello did not come in time, and on all once closed.
    pub(super) fn expire_held(&mut self, round: &Round<'_>) {
        if self.life.is_closed {
            for incoming in self.server.held.drain() {
                self.proto.ignore(incoming);
            }
        }
        while let Some(incoming) = self.server.held.expired(round.now) {
            self.proto.ignore(incoming);
        }
    }

    /// The clients about whom the application is to be asked now.
    pub(super) fn take_answerable(&mut self) -> Vec<Answerable> {
        std::mem::take(&mut self.server.answerable)
    }

    /// Goes on with a client as was chosen.
    pub(super) fn answer(
        &mut self,
        round: &mut Round<'_>,
        client: Answerable,
        choice: Option<Choice>,
    ) {
        let Answerable {
            incoming,
            since,
            hello,
            ..
        } = client;
        let mut response = self.outgoing.buffer();
        let choice = match self.life.is_closed {
            true => Some(Choice::Refuse),
            false => choice,
        };
        let transmit = match (choice, hello) {
            (Some(Choice::Accept(config)), Ok(hello)) => self.accept(
                round,
                incoming,
                &config,
                Some((&hello, since)),
                &mut response,
            ),
            (Some(Choice::Ignore), _) => {
                self.proto.ignore(incoming);
                None
            }
            (_, hello) => {
                if let Err(error) = hello {
                    let cause = ConnectionError::TransportClosedLocally {
                        code: CONNECTION_REFUSED,
                        reason: error.to_string(),
                    };
                    self.on_failure(round, incoming.remote_address(), cause);
                }
                Some(self.proto.refuse(incoming, &mut response))
            }
        };
        self.respond(transmit, response);
    }

    /// Lets the handshake begin. `held` is what `config` was chosen by, and when the client came:
    /// what has passed since is a part of the handshake's time.
    #[allow(clippy::result_large_err, reason = "the error is quinn-proto's")]
    fn accept(
        &mut self,
        round: &mut Round<'_>,
        incoming: Incoming,
        config: &Arc<ServerConfig>,
        held: Option<(&ClientHello, Instant)>,
        response: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let remote = incoming.remote_address();
        let is_address_shown = incoming.remote_address_validated();
        let chosen = match held.map(|_| self.server.chosen(config)).transpose() {
            Ok(chosen) => chosen,
            Err(error) => {
                let cause = ConnectionError::System(error.failure());
                self.on_failure(round, remote, cause);
                return Some(self.proto.refuse(incoming, response));
            }
        };
        let (accepted, failure) = QuicHandshake::failure_during(|| {
            self.proto.accept(incoming, round.now, response, chosen)
        });
        let (handle, proto) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                let mut cause = error.cause.into();
                if let (ConnectionError::TransportClosedLocally { reason, .. }, Some(failure)) =
                    (&mut cause, failure)
                {
                    *reason = failure.detail;
                }
                // Without an answer, the packet was damaged, forged or too old: as good as none.
                if error.response.is_some() {
                    self.on_failure(round, remote, cause);
                }
                return error.response;
            }
        };
        let is_other = held.is_some_and(|(hello, _)| !is_begun_by(&proto, hello));
        let role = Role::Accepting {
            hands_over_early: config.hands_over_early,
        };
        let since = held.map_or(round.now, |(_, since)| since);
        let until = later(since, config.transport.times.handshake);
        let stage = Stage::Handshaking { until, role };
        self.server.pending += 1;
        self.server.handshaking += 1;
        let connection = self.insert(round.shared, handle, proto, &config.transport, stage);
        let mut state = connection.lock();
        state.is_address_shown = is_address_shown;
        if is_other {
            let code = VarInt::ZERO.proto();
            state.proto.close(round.now, code, Bytes::new());
            let cause = ConnectionError::TransportClosedLocally {
                code: PROTOCOL_VIOLATION,
                reason: "the hello that TLS saw is not the one that was answered".to_owned(),
            };
            state.end(cause, round.wakers);
        }
        None
    }

    fn respond(&mut self, transmit: Option<Transmit>, response: Vec<u8>) {
        match transmit {
            Some(transmit) => {
                self.outgoing.push(transmit, response);
                self.flush();
            }
            None => self.outgoing.give_back(response),
        }
    }

    fn on_failure(&self, round: &mut Round<'_>, remote: SocketAddr, cause: ConnectionError) {
        let error = AcceptError { remote, cause };
        round.shared.accepting().push_failure(error, round.wakers);
    }

    /// Hands a connection over whose handshake has ended, or tells that it has failed.
    pub(super) fn on_handshake_over(
        &mut self,
        round: &mut Round<'_>,
        connection: &Arc<ConnectionShared>,
        role: Role,
        phase: &Phase,
        remote: SocketAddr,
    ) {
        if role == Role::Connecting {
            return;
        }
        self.server.handshaking = self.server.handshaking.saturating_sub(1);
        if let Phase::Closed(cause) = phase {
            self.on_accepted();
            self.on_failure(round, remote, cause.clone());
            return;
        }
        let handle = Connection::new(ConnectionRef(Arc::clone(connection)));
        let refused = round.shared.accepting().push(handle, round.wakers);
        if let Some(handle) = refused {
            self.on_accepted();
            drop(handle);
        }
    }
}

/// Whether TLS has seen this hello. It sees all packets that were held back as soon as the client
/// is accepted, so a session without an answer saw something else.
fn is_begun_by(proto: &quinn_proto::Connection, hello: &ClientHello) -> bool {
    match QuicHandshake::of(proto.crypto_session()) {
        Some(handshake) if handshake.failure.is_some() => true,
        Some(handshake) => handshake.alpn.is_some() && hello.agrees_with(&handshake),
        // Another TLS than portway's tells nothing of this.
        None => true,
    }
}

/// Configurations that are kept ready.
const CHOSEN_MAX: usize = 32;
/// RFC 9000 §20.1.
const CONNECTION_REFUSED: u64 = 0x2;
const PROTOCOL_VIOLATION: u64 = 0xa;
