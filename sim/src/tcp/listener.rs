//! Listening TCP sockets.
//!
//! Invariant: half-open and waiting connections together never exceed the backlog.

use super::connection::Tie;
use super::handshake::Endpoints;
use super::stream::SimTcpStream;
use super::table::{ConnectionId, ListenerId};
use crate::host::{HostId, errno};
use crate::state::{Shared, State, keep_waker};
use portway_core::WireProtocol;
use portway_transport::environment::{ListenAddress, TcpListener, TcpStream};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// The state of a listener.
pub(crate) struct Listener {
    pub(crate) host: HostId,
    pub(crate) local: SocketAddr,
    pub(crate) accepted: VecDeque<ConnectionId>,
    pub(crate) waker: Option<Waker>,
    backlog: usize,
    half_open: usize,
}

impl Listener {
    pub(crate) fn take_slot(&mut self) -> bool {
        let has_room = self.half_open < self.backlog;
        self.half_open += usize::from(has_room);
        has_room
    }

    pub(crate) fn free_slot(&mut self) {
        self.half_open = self.half_open.saturating_sub(1);
    }
}

/// Opens a listener.
pub(crate) fn listen(
    shared: &Arc<Shared>,
    host: HostId,
    request: &ListenAddress,
) -> io::Result<Box<dyn TcpListener>> {
    let (id, local) = shared.with(|state| state.start_listening(host, request))?;
    Ok(Box::new(SimTcpListener {
        shared: shared.clone(),
        id,
        local,
    }))
}

impl State {
    fn start_listening(
        &mut self,
        host: HostId,
        request: &ListenAddress,
    ) -> io::Result<(ListenerId, SocketAddr)> {
        let wanted = request.local;
        let here = self.host(host);
        if !wanted.ip().is_unspecified() && !here.has_address(wanted.ip()) {
            return Err(errno(libc::EADDRNOTAVAIL));
        }
        here.check_path(request.path)?;
        here.check_descriptors(self.sockets_open(host))?;
        let port = match wanted.port() {
            0 => self.free_port(host, WireProtocol::Tcp)?,
            port => port,
        };
        let local = SocketAddr::new(wanted.ip(), port);
        let mut listeners = self.tcp.listeners.values();
        let is_used = listeners.any(|other| {
            let overlaps = other.local.ip() == local.ip()
                || (other.local.is_ipv4() == local.is_ipv4()
                    && (other.local.ip().is_unspecified() || local.ip().is_unspecified()));
            other.host == host && other.local.port() == port && overlaps
        });
        if is_used {
            return Err(errno(libc::EADDRINUSE));
        }
        let id = self.tcp.insert_listener(Listener {
            host,
            local,
            accepted: VecDeque::new(),
            waker: None,
            backlog: request.backlog.max(1) as usize,
            half_open: 0,
        });
        Ok((id, local))
    }

    /// The next connection; as the system, fails without taking it when no descriptor is free.
    fn accept(&mut self, id: ListenerId) -> io::Result<Option<Endpoints>> {
        let Some(host) = self.waiting_host(id) else {
            return Ok(None);
        };
        self.host(host).check_descriptors(self.sockets_open(host))?;
        let Some(listener) = self.tcp.listeners.get_mut(&id) else {
            return Ok(None);
        };
        while let Some(connection_id) = listener.accepted.pop_front() {
            listener.free_slot();
            if let Some(connection) = self.tcp.connections.get_mut(&connection_id) {
                connection.tie = Tie::Held;
                return Ok(Some(Endpoints {
                    id: connection_id,
                    local: connection.local,
                    remote: connection.remote,
                }));
            }
        }
        Ok(None)
    }

    /// The listener's host, if a connection waits to be accepted.
    fn waiting_host(&self, id: ListenerId) -> Option<HostId> {
        let listener = self.tcp.listeners.get(&id)?;
        (!listener.accepted.is_empty()).then_some(listener.host)
    }

    fn stop_listening(&mut self, id: ListenerId) {
        self.tcp.listeners.remove(&id);
        let waiting: Vec<_> = self
            .tcp
            .connections
            .iter()
            .filter(|(_, connection)| connection.tie == Tie::Listener)
            .filter(|(_, connection)| connection.listener == Some(id))
            .map(|(id, _)| *id)
            .collect();
        for connection in waiting {
            self.abort_connection(connection, None);
        }
    }
}

struct SimTcpListener {
    shared: Arc<Shared>,
    id: ListenerId,
    local: SocketAddr,
}

impl TcpListener for SimTcpListener {
    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Box<dyn TcpStream>>> {
        let accepted = self.shared.with(|state| {
            let accepted = state.accept(self.id);
            if matches!(accepted, Ok(None))
                && let Some(listener) = state.tcp.listeners.get_mut(&self.id)
            {
                keep_waker(&mut listener.waker, context.waker());
            }
            accepted
        });
        match accepted {
            Err(error) => Poll::Ready(Err(error)),
            Ok(Some(endpoints)) => {
                let stream = SimTcpStream::new(self.shared.clone(), endpoints);
                Poll::Ready(Ok(Box::new(stream)))
            }
            Ok(None) => Poll::Pending,
        }
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for SimTcpListener {
    fn drop(&mut self) {
        self.shared.with(|state| state.stop_listening(self.id));
    }
}
