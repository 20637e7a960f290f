//! Connections of one group (RFC 9622 §7.4): streams of one transport connection where the stack
//! has them, connections of their own otherwise.
//!
//! Invariant: an ended connection is in no group, and a transport that several share lives until
//! the last of them has ended.

use super::{Connection, Handle, LinkStart};
use crate::error::{CloseError, EstablishmentError};
use crate::open::{Framing, Opened, bring_up_framers, stream_kind};
use crate::preconnection::{Needs, Preconnection};
use bytes::{Bytes, BytesMut};
use portway_core::framer::Pipeline;
use portway_core::property::{Action, Direction};
use portway_core::security::Protection;
use portway_core::{Failure, FailureKind, Origin, StackId};
use portway_transport::context::Context;
use portway_transport::established::{ByteCarrier, Carrier, DatagramCarrier};
use portway_transport::quic::{ConnectionError, StreamKind};
use portway_transport::quic_stack::QuicCarrier;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The members of a group, and the transport that they share.
pub(crate) struct Siblings {
    members: Mutex<Vec<Weak<Handle>>>,
    transport: Option<Transport>,
}

/// A transport connection with streams.
pub(crate) struct Transport {
    pub(crate) carrier: QuicCarrier,
    pub(crate) stack: StackId,
    pub(crate) protection: Option<Protection>,
}

impl Siblings {
    /// A group of streams.
    pub(crate) fn over(transport: Transport) -> Arc<Self> {
        Arc::new(Siblings {
            members: Mutex::default(),
            transport: Some(transport),
        })
    }

    /// A group of connections with transports of their own.
    fn apart() -> Arc<Self> {
        Arc::new(Siblings {
            members: Mutex::default(),
            transport: None,
        })
    }

    pub(crate) fn join(&self, member: &Weak<Handle>) {
        let mut members = self.members();
        members.retain(|member| member.strong_count() > 0);
        members.push(member.clone());
    }

    /// Opens a stream of the kind that `direction` asks for, with the framers on it.
    pub(crate) async fn open(
        self: &Arc<Self>,
        preconnection: &Preconnection,
    ) -> Result<Opened, Failure> {
        let Some(transport) = &self.transport else {
            return Err(not_shared());
        };
        let direction = preconnection.needs.properties.direction();
        let carrier = transport.carrier.open(stream_kind(direction)).await?;
        self.opened(transport, preconnection, carrier, direction)
            .await
    }

    /// The stream that carried the first message as early data, with what there was no room for.
    pub(crate) fn opened_early(
        self: &Arc<Self>,
        (carrier, rest): (ByteCarrier, Bytes),
        pipeline: Pipeline,
        needs: &Needs,
    ) -> Result<Opened, Failure> {
        let transport = self.transport.as_ref().ok_or_else(not_shared)?;
        Ok(Opened {
            stack: transport.stack.clone(),
            carrier: Carrier::Bytes(carrier),
            protection: transport.protection.clone(),
            framing: Framing {
                pipeline,
                unread: BytesMut::new(),
            },
            siblings: Some(Arc::clone(self)),
            direction: needs.properties.direction(),
            early_rest: Some(rest),
        })
    }

    /// Whether the server has taken early data, once that is known.
    pub(super) fn is_early_data_accepted(&self) -> Option<bool> {
        let transport = self.transport.as_ref()?;
        transport.carrier.connection().is_early_data_accepted()
    }

    /// The next stream of the peer. Its framers are not up yet.
    ///
    /// Cancel safety: no stream is lost when the future is dropped.
    pub(crate) async fn accept(&self) -> Result<(ByteCarrier, StreamKind), ConnectionError> {
        match &self.transport {
            Some(transport) => transport.carrier.accept().await,
            None => std::future::pending().await,
        }
    }

    /// The datagrams of the transport as a connection of the same group, once the first one has
    /// come and the listener takes them.
    ///
    /// Cancel safety: no datagram is lost when the future is dropped.
    pub(crate) async fn accept_datagrams(&self) -> Result<DatagramCarrier, ConnectionError> {
        match &self.transport {
            Some(transport) => {
                let first = transport.carrier.first_datagram().await?;
                Ok(transport.carrier.datagrams(Some(first)))
            }
            None => std::future::pending().await,
        }
    }

    /// Brings the framers up of the datagrams of the transport.
    pub(crate) async fn receive_datagrams(
        self: &Arc<Self>,
        context: &Context,
        preconnection: &Preconnection,
        carrier: DatagramCarrier,
    ) -> Result<Connection, Failure> {
        let transport = self.transport.as_ref().ok_or_else(not_shared)?;
        let mut carrier = Carrier::Datagrams(carrier);
        let framing = bring_up_framers(&mut carrier, preconnection).await?;
        let opened = Opened {
            stack: StackId::QUIC_DATAGRAM,
            carrier,
            protection: transport.protection.clone(),
            framing,
            siblings: Some(Arc::clone(self)),
            direction: preconnection.needs.properties.direction(),
            early_rest: None,
        };
        let (action, opened) = (Action::Listen, opened);
        Ok(Connection::ready_made(
            context,
            preconnection,
            action,
            opened,
        ))
    }

    /// Brings the framers of a stream up that the peer has opened.
    pub(crate) async fn receive(
        self: &Arc<Self>,
        context: &Context,
        preconnection: &Preconnection,
        (carrier, kind): (ByteCarrier, StreamKind),
        action: Action,
    ) -> Result<Connection, Failure> {
        let Some(transport) = &self.transport else {
            return Err(not_shared());
        };
        // RFC 9622 §6.2.16: a stream of the peer that has one way only is for receiving.
        let direction = match kind {
            StreamKind::Unidirectional => Direction::UnidirectionalReceive,
            StreamKind::Bidirectional => preconnection.needs.properties.direction(),
        };
        let opened = self
            .opened(transport, preconnection, carrier, direction)
            .await?;
        Ok(Connection::ready_made(
            context,
            preconnection,
            action,
            opened,
        ))
    }

    async fn opened(
        self: &Arc<Self>,
        transport: &Transport,
        preconnection: &Preconnection,
        carrier: ByteCarrier,
        direction: Direction,
    ) -> Result<Opened, Failure> {
        let mut carrier = Carrier::Bytes(carrier);
        let framing = bring_up_framers(&mut carrier, preconnection).await?;
        Ok(Opened {
            stack: transport.stack.clone(),
            carrier,
            protection: transport.protection.clone(),
            framing,
            siblings: Some(Arc::clone(self)),
            direction,
            early_rest: None,
        })
    }

    fn connections(&self) -> Vec<Connection> {
        let handles: Vec<Arc<Handle>> = self.members().iter().filter_map(Weak::upgrade).collect();
        let connections = handles.into_iter().map(|handle| Connection { handle });
        connections
            .filter(|connection| connection.shared().lock().details.siblings.is_some())
            .collect()
    }

    fn members(&self) -> MutexGuard<'_, Vec<Weak<Handle>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Opens another connection to the same peer in the same group (`Clone` of RFC 9622 §7.4): a
    /// stream of the same transport connection where the stack has streams, otherwise a
    /// connection of its own. It has the properties that this one has now.
    ///
    /// Over QUIC the peer learns of it by the first message, and this waits while the peer allows
    /// no more streams.
    ///
    /// Cancel safety: dropping the future gives the stream, or the race, up.
    ///
    /// # Errors
    /// The connection has ended or was opened by its peer over a stack without streams, or the
    /// new one could not be established.
    pub async fn open_sibling(&self) -> Result<Connection, EstablishmentError> {
        self.ready().await?;
        let shared = self.shared();
        let (siblings, preconnection, action) = {
            let group = shared.lock();
            let details = &group.details;
            let siblings = details.siblings.clone();
            (siblings, details.preconnection.clone(), details.action)
        };
        let preconnection = preconnection.ok_or_else(|| {
            EstablishmentError::from(Failure::new(
                Origin::Local,
                FailureKind::Closed,
                "the connection has ended, and with it its place in the group",
            ))
        })?;
        let connection = match &siblings {
            Some(siblings) if siblings.transport.is_some() => {
                let opened = siblings.open(&preconnection).await?;
                Connection::ready_made(&shared.context, &preconnection, action, opened)
            }
            _ if action == Action::Listen => {
                return Err(Failure::new(
                    Origin::Local,
                    FailureKind::Unsupported,
                    "its stack has no streams, and a listener does not know where its peer listens",
                )
                .into());
            }
            _ => self.open_apart(siblings, &preconnection).await?,
        };
        // RFC 9622 §7.4: properties are those of the parent, connPriority included.
        let properties = shared.lock().details.properties.clone();
        connection.adopt(properties);
        Ok(connection)
    }

    /// Opens a sibling with a transport connection of its own.
    async fn open_apart(
        &self,
        siblings: Option<Arc<Siblings>>,
        preconnection: &Preconnection,
    ) -> Result<Connection, EstablishmentError> {
        let connection = preconnection.initiate().await?;
        let siblings = siblings.unwrap_or_else(|| {
            let siblings = Siblings::apart();
            self.shared().join(&siblings);
            siblings
        });
        connection.shared().join(&siblings);
        Ok(connection)
    }

    /// The next connection that the peer opens in this group, such as a stream of the same QUIC
    /// connection. Those of a peer that came by a [`Listener`](crate::Listener) are delivered
    /// there while it listens.
    ///
    /// Cancel safety: before the stream's framers are up none is lost when the future is dropped;
    /// a stream in its framers' handshake is given up.
    ///
    /// # Errors
    /// The connection has ended or has no streams.
    pub async fn accept_sibling(&self) -> Result<Connection, EstablishmentError> {
        self.ready().await?;
        let shared = self.shared();
        let (siblings, preconnection, action) = {
            let group = shared.lock();
            let details = &group.details;
            let siblings = details.siblings.clone();
            (siblings, details.preconnection.clone(), details.action)
        };
        let (Some(siblings), Some(preconnection)) = (siblings, preconnection) else {
            return Err(not_shared().into());
        };
        if siblings.transport.is_none() {
            return Err(not_shared().into());
        }
        let accepted = siblings.accept().await;
        let stream = accepted.map_err(|error| EstablishmentError::from(error.failure()))?;
        let received = siblings.receive(&shared.context, &preconnection, stream, action);
        Ok(received.await?)
    }

    /// All connections of this one's group, this one among them, that have not ended and are held
    /// by somebody. One that has ended is in no group.
    pub fn grouped_connections(&self) -> Vec<Connection> {
        let (siblings, is_alive) = {
            let group = self.shared().lock();
            (group.details.siblings.clone(), group.ending().is_none())
        };
        match siblings {
            Some(siblings) => siblings.connections(),
            None if is_alive => vec![self.clone()],
            None => Vec::new(),
        }
    }

    /// Closes every connection of the group as [`Connection::close`] does, and with the last one
    /// the transport connection that they share.
    ///
    /// Cancel safety: closing goes on when the future is dropped.
    ///
    /// # Errors
    /// The first connection of which not everything was acknowledged; the others are closed all
    /// the same.
    pub async fn close_group(&self) -> Result<(), CloseError> {
        let mut members = self.grouped_connections();
        if members.is_empty() {
            members.push(self.clone());
        }
        for member in &members {
            super::close::start_closing(member.shared());
        }
        let mut result = Ok(());
        for member in &members {
            let closed = member.close().await;
            result = result.and(closed);
        }
        result
    }

    /// Aborts every connection of the group as [`Connection::abort`] does.
    pub fn abort_group(&self) {
        for member in self.grouped_connections() {
            member.abort();
        }
        self.abort();
    }

    /// A connection over a stack that is ready.
    pub(crate) fn ready_made(
        context: &Context,
        preconnection: &Preconnection,
        action: Action,
        opened: Opened,
    ) -> Connection {
        let connection = Connection::of(context, preconnection, action);
        let start = LinkStart::from(opened);
        connection.shared().install(start, None, None);
        connection
    }
}

fn not_shared() -> Failure {
    Failure::new(
        Origin::Local,
        FailureKind::Unsupported,
        "the connection has no stream of a transport that its group could share",
    )
}
