//! Upgrading a live byte stream to TLS, for protocols that begin in cleartext.
//!
//! Invariant: no byte that arrived before the upgrade is ever taken for protected data.

use super::Connection;
use super::group::{Ending, Group, Sending};
use super::link::Link;
use super::waiters::Waiter;
use super::writer;
use crate::error::UpgradeError;
use bytes::BytesMut;
use portway_core::property::ConnectionState;
use portway_core::security::{Protection, TlsParameters};
use portway_core::{Failure, FailureKind, Origin};
use portway_transport::environment::TcpStream;
use portway_transport::establish::handshake;
use portway_transport::layer::ByteLayer;
use portway_transport::listen::sleep;
use portway_transport::tls::TlsLayer;
use std::sync::Arc;
use std::time::Duration;

/// Which side of the TLS handshake this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsRole {
    /// Sends the client hello.
    Client,
    /// Waits for it.
    Server,
}

impl Connection {
    /// Protects the connection with TLS from now on, after both sides have agreed to in the
    /// protocol above. Everything sent before must have left; what is sent meanwhile waits.
    ///
    /// `server_name` is what a client sends and checks; `None` takes the one of `parameters`, or
    /// else checks the peer's address.
    ///
    /// Cancel safety: not cancel-safe; the connection fails when the future is dropped in the
    /// middle of the handshake. [`ConnectionLimits::handshake_timeout`] bounds it.
    ///
    /// [`ConnectionLimits::handshake_timeout`]: crate::ConnectionLimits::handshake_timeout
    ///
    /// # Errors
    /// [`UpgradeError::BufferedPlaintext`] when the peer, or somebody on the way, sent more
    /// before the handshake; the connection is reset.
    pub async fn upgrade_tls(
        &self,
        parameters: &TlsParameters,
        role: TlsRole,
        server_name: Option<&str>,
    ) -> Result<Protection, UpgradeError> {
        let shared = self.shared();
        let mut turn = Waiter::of(shared);
        let socket = {
            let mut group = shared.lock();
            if !group.waiters.take_turn(&mut turn.place, None) {
                drop(group);
                let why = "a receive is waiting; the upgrade must come after it";
                return Err(not_possible(why));
            }
            let result = begin(&mut group);
            writer::start_if_needed(shared, &mut group);
            result?
        };
        let mut guard = Unfinished {
            connection: self,
            is_finished: false,
        };
        let mut unread = BytesMut::new();
        let layer = match self.layer(parameters, role, server_name, &*socket) {
            Ok(mut layer) => {
                let limit = shared.lock().details.limits.handshake_timeout;
                let shaken = tokio::select! {
                    biased;
                    shaken = handshake(&*socket, &mut layer, &mut unread) => shaken,
                    () = sleep(&shared.context, limit) => Err(timed_out(limit)),
                };
                shaken.map(|()| layer)
            }
            Err(failure) => Err(failure),
        };
        guard.is_finished = true;
        let mut group = shared.lock();
        group.sending = Sending::Open;
        match (layer, &mut group.link) {
            (Ok(layer), Some(Link::Bytes(link))) => {
                let protection = layer.protection();
                link.layer = Some(Box::new(layer));
                group.inbound.put_wire(unread);
                group.details.protection.clone_from(&protection);
                group.pump(shared.now());
                writer::start_if_needed(shared, &mut group);
                protection.ok_or_else(|| not_possible("the handshake ended without protection"))
            }
            (Err(failure), _) => {
                group.end(Ending::Failed(failure.clone()));
                Err(UpgradeError::Failed(failure))
            }
            (Ok(_), _) => Err(UpgradeError::Failed(group.ending_failure())),
        }
    }

    fn layer(
        &self,
        parameters: &TlsParameters,
        role: TlsRole,
        server_name: Option<&str>,
        socket: &dyn TcpStream,
    ) -> Result<TlsLayer, Failure> {
        let tls = self.shared().context.tls();
        match role {
            TlsRole::Client => tls.client(
                parameters,
                server_name,
                socket.peer_address().ip(),
                &parameters.alpn,
            ),
            TlsRole::Server => tls.server(parameters, &parameters.alpn),
        }
    }
}

/// Checks that the switch is clean and holds writes back.
fn begin(group: &mut Group) -> Result<Arc<dyn TcpStream>, UpgradeError> {
    if group.state() != ConnectionState::Established || group.sending != Sending::Open {
        return Err(not_possible("the connection is not established"));
    }
    let mut unread = group.inbound.unread_bytes();
    let is_flushed = group.is_flushed();
    let socket = match &group.link {
        Some(Link::Bytes(link)) if link.layer.is_none() => link.socket.clone(),
        Some(Link::Bytes(_)) => return Err(not_possible("the connection is protected already")),
        _ => return Err(not_possible("only a byte stream can be upgraded")),
    };
    if unread == 0 && !group.pipeline.is_between_messages() {
        // The framers have taken it in already: a header at least.
        unread = 1;
    }
    if unread > 0 {
        let error = UpgradeError::BufferedPlaintext { bytes: unread };
        // Nothing that came this way may be taken for an answer of the protected peer.
        group.forget_received();
        group.reset();
        group.end(Ending::Failed(error.failure()));
        return Err(error);
    }
    if !is_flushed {
        return Err(not_possible("messages are waiting to be sent in cleartext"));
    }
    group.sending = Sending::Held;
    Ok(socket)
}

fn timed_out(limit: Duration) -> Failure {
    Failure::new(
        Origin::Tls,
        FailureKind::TimedOut,
        format!("the peer did not complete the handshake within {limit:?}"),
    )
}

fn not_possible(why: &str) -> UpgradeError {
    UpgradeError::NotPossible(why.to_owned())
}

/// Fails a connection whose upgrade was dropped in the middle.
struct Unfinished<'a> {
    connection: &'a Connection,
    is_finished: bool,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        let mut group = self.connection.shared().lock();
        group.reset();
        group.end(Ending::Failed(Failure::new(
            Origin::Local,
            FailureKind::Cancelled,
            "the upgrade to TLS was dropped in the middle",
        )));
    }
}
