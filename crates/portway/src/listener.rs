//! Passive open (RFC 9622 §7.2): one listener for all eligible stacks on the same port.
//!
//! Invariant: a connection is delivered once, ready, and only while the limit allows it.

use crate::connection::{Connection, Siblings, Transport};
use crate::error::EstablishmentError;
use crate::open::open_accepted;
use crate::preconnection::Preconnection;
use futures_core::Stream;
use portway_core::path::PathId;
use portway_core::plan::{Action, Plan};
use portway_core::property::SelectionProperty;
use portway_core::{Failure, FailureKind, LocalEndpoint, Origin, RemoteEndpoint, StackId};
use portway_transport::context::Context;
use portway_transport::established::{ByteCarrier, Carrier, DatagramCarrier};
pub use portway_transport::listen::ListenLimits;
use portway_transport::listen::{Accepted, Incoming, ListenRequest, Listening, Pending};
use portway_transport::quic::StreamKind;
use portway_transport::tls::EarlyData;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll};
use tokio::sync::{Notify, mpsc};

/// Accepts connections of every eligible stack. Dropping it stops listening; connections that
/// were delivered live on.
pub struct Listener {
    ready: mpsc::Receiver<Delivery>,
    control: Arc<Control>,
    addresses: Vec<(StackId, SocketAddr)>,
}

/// A connection, or what happened instead of one.
type Delivery = Result<Connection, Failure>;

struct Control {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    /// Deliveries that are still allowed; `None` allows any number.
    limit: Option<u64>,
    is_stopped: bool,
    failures: VecDeque<Failure>,
}

impl Control {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    pub(crate) fn open(preconnection: &Preconnection) -> Result<Listener, EstablishmentError> {
        let context = preconnection.context_or_default();
        let plan = preconnection
            .plan_in(&context, Action::Listen)
            .map_err(EstablishmentError::Plan)?;
        let listenings = open_sockets(preconnection, &plan, &context)?;
        let addresses = listenings
            .iter()
            .flat_map(Listening::addresses)
            .cloned()
            .collect::<Vec<_>>();
        let control = Arc::new(Control {
            state: Mutex::new(State {
                limit: None,
                is_stopped: false,
                failures: VecDeque::new(),
            }),
            changed: Notify::new(),
        });
        let (sender, ready) = mpsc::channel(1);
        let preconnection = preconnection.clone();
        for listening in listenings {
            context.environment().spawn(Box::pin(deliver_all(
                context.clone(),
                preconnection.clone(),
                listening,
                sender.clone(),
                control.clone(),
            )));
        }
        Ok(Listener {
            ready,
            control,
            addresses,
        })
    }

    /// The addresses that are listened on, with their stacks and the ports that were chosen.
    pub fn local_addresses(&self) -> &[(StackId, SocketAddr)] {
        &self.addresses
    }

    /// The port that every stack shares.
    pub fn port(&self) -> u16 {
        self.addresses
            .first()
            .map_or(0, |(_, address)| address.port())
    }

    /// The next connection; `None` once the listener was stopped and all were delivered.
    ///
    /// Cancel safety: no connection is lost when the future is dropped.
    pub async fn accept(&mut self) -> Option<Connection> {
        std::future::poll_fn(|context| self.poll_accept(context)).await
    }

    fn poll_accept(&mut self, context: &mut TaskContext<'_>) -> Poll<Option<Connection>> {
        loop {
            match std::task::ready!(self.ready.poll_recv(context)) {
                None => return Poll::Ready(None),
                Some(Err(failure)) => {
                    let mut state = self.control.lock();
                    if state.failures.len() == FAILURES_KEPT {
                        state.failures.pop_front();
                    }
                    state.failures.push_back(failure);
                }
                Some(Ok(connection)) => return Poll::Ready(Some(connection)),
            }
        }
    }

    /// Takes the failures of connections that never became ready, the newest last; only the
    /// last few are kept.
    pub fn take_failures(&mut self) -> Vec<Failure> {
        self.control.lock().failures.drain(..).collect()
    }

    /// Allows this many further deliveries, or any number (RFC 9622 §7.2). At zero the listener
    /// pauses; it resumes when the limit is raised.
    pub fn set_connection_limit(&self, limit: Option<u64>) {
        self.control.lock().limit = limit;
        self.control.changed.notify_waiters();
    }

    /// Deliveries that are still allowed; `None` is any number.
    pub fn connection_limit(&self) -> Option<u64> {
        self.control.lock().limit
    }

    /// Stops listening. What was ready is still delivered, then [`Listener::accept`] gives `None`.
    pub fn stop(&self) {
        self.control.lock().is_stopped = true;
        self.control.changed.notify_waiters();
    }
}

impl Stream for Listener {
    type Item = Connection;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Connection>> {
        self.poll_accept(context)
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Carries one group of sockets: waits for the limit, takes what is ready, hands it over.
async fn deliver_all(
    context: Context,
    preconnection: Preconnection,
    mut listening: Listening,
    sender: mpsc::Sender<Delivery>,
    control: Arc<Control>,
) {
    let mut is_stopping = false;
    loop {
        if !is_stopping {
            tokio::select! {
                biased;
                () = sender.closed() => return,
                () = stopped(&control) => {}
                () = allowed(&control, &listening) => {}
            }
        }
        let incoming = tokio::select! {
            () = sender.closed() => return,
            () = stopped(&control), if !is_stopping => {
                // What is ready by now is still delivered.
                is_stopping = true;
                listening.stop();
                continue;
            }
            incoming = listening.next() => incoming,
        };
        match incoming {
            None => return,
            Some(Incoming::Failed { peer, mut failure }) => {
                if let Some(peer) = peer {
                    failure.detail = format!("{peer}: {}", failure.detail);
                }
                // Failures must not push connections out: a full queue drops them.
                let _ = sender.try_send(Err(failure));
            }
            Some(Incoming::Accepted(accepted)) => {
                let (context, preconnection) = (context.clone(), preconnection.clone());
                let (sender, control) = (sender.clone(), control.clone());
                let timeout = preconnection.needs.listen_limits.handshake_timeout;
                let timer = portway_transport::listen::sleep(&context, timeout);
                let environment = context.environment().clone();
                environment.spawn(Box::pin(async move {
                    let Accepted {
                        stack,
                        carrier,
                        protection,
                        peer,
                        pending,
                        ..
                    } = *accepted;
                    let carrier = match carrier {
                        Carrier::Quic(carrier) => {
                            let transport = Transport {
                                carrier,
                                stack,
                                protection,
                            };
                            let streams = Streams {
                                context,
                                preconnection,
                                siblings: Siblings::over(transport),
                                sender,
                                control,
                                peer,
                            };
                            return streams.deliver(pending).await;
                        }
                        carrier => carrier,
                    };
                    let opening =
                        open_accepted(&context, &preconnection, stack, carrier, protection);
                    let opened = tokio::select! {
                        () = sender.closed() => return,
                        opened = opening => opened,
                        () = timer => Err(late_framers(peer)),
                    };
                    deliver(opened, &sender, &control).await;
                    drop(pending);
                }));
            }
            Some(_) => {}
        }
    }
}

/// What a peer has opened over a transport connection.
enum Arrival {
    Stream((ByteCarrier, StreamKind)),
    Datagrams(DatagramCarrier),
}

/// The streams that one peer opens over one transport connection.
struct Streams {
    context: Context,
    preconnection: Preconnection,
    siblings: Arc<Siblings>,
    sender: mpsc::Sender<Delivery>,
    control: Arc<Control>,
    peer: SocketAddr,
}

impl Streams {
    /// Delivers each stream as a connection of the same group, until the peer or the listener
    /// ends. `pending` counts until the first stream has come.
    async fn deliver(self, pending: Pending) {
        let mut pending = Some(pending);
        let mut has_datagrams = false;
        loop {
            let accepted = tokio::select! {
                () = self.sender.closed() => return,
                () = stopped(&self.control) => return,
                accepted = self.siblings.accept() => accepted.map(Arrival::Stream),
                accepted = self.siblings.accept_datagrams(), if !has_datagrams => {
                    has_datagrams = true;
                    accepted.map(Arrival::Datagrams)
                }
            };
            let arrival = match accepted {
                Ok(arrival) => arrival,
                Err(error) => {
                    if pending.is_some() {
                        // It went without a stream, so that nothing else tells of it.
                        let mut failure = error.failure();
                        failure.detail = format!("{}: {}", self.peer, failure.detail);
                        let _ = self.sender.try_send(Err(failure));
                    }
                    return;
                }
            };
            self.deliver_one(arrival, pending.take());
        }
    }

    /// Delivers one of them when its framers are up, without keeping the others waiting.
    fn deliver_one(&self, arrival: Arrival, pending: Option<Pending>) {
        let (context, preconnection) = (self.context.clone(), self.preconnection.clone());
        let (sender, control) = (self.sender.clone(), self.control.clone());
        let (siblings, peer) = (self.siblings.clone(), self.peer);
        let timer = portway_transport::listen::sleep(
            &context,
            preconnection.needs.listen_limits.handshake_timeout,
        );
        self.context.environment().spawn(Box::pin(async move {
            let opening = async {
                match arrival {
                    Arrival::Stream(stream) => {
                        let action = Action::Listen;
                        let opening = siblings.receive(&context, &preconnection, stream, action);
                        opening.await
                    }
                    Arrival::Datagrams(carrier) => {
                        let opening = siblings.receive_datagrams(&context, &preconnection, carrier);
                        opening.await
                    }
                }
            };
            let opened = tokio::select! {
                () = sender.closed() => return,
                opened = opening => opened,
                () = timer => Err(late_framers(peer)),
            };
            deliver(opened, &sender, &control).await;
            drop(pending);
        }));
    }
}

fn late_framers(peer: SocketAddr) -> Failure {
    Failure::new(
        Origin::Local,
        FailureKind::TimedOut,
        format!("{peer} did not complete the framers' handshake in time"),
    )
}

async fn deliver(
    opened: Result<Connection, Failure>,
    sender: &mpsc::Sender<Delivery>,
    control: &Control,
) {
    if opened.is_ok() && !take_delivery(sender, control).await {
        return;
    }
    // An error means that the listener is gone, and with it the wish for this connection.
    let _ = sender.send(opened).await;
}

/// Counts one delivery down, waiting while the limit is zero; false when nobody listens.
async fn take_delivery(sender: &mpsc::Sender<Delivery>, control: &Control) -> bool {
    loop {
        let changed = control.changed.notified();
        {
            let state = &mut *control.lock();
            match &mut state.limit {
                None => return true,
                Some(0) if state.is_stopped => return false,
                Some(0) => {}
                Some(left) => {
                    *left -= 1;
                    return true;
                }
            }
        }
        tokio::select! {
            () = sender.closed() => return false,
            () = changed => {}
        }
    }
}

async fn stopped(control: &Control) {
    loop {
        let changed = control.changed.notified();
        if control.lock().is_stopped {
            return;
        }
        changed.await;
    }
}

async fn allowed(control: &Control, listening: &Listening) {
    loop {
        let changed = control.changed.notified();
        let is_paused = control.lock().limit == Some(0);
        listening.pause(is_paused);
        if !is_paused {
            return;
        }
        changed.await;
    }
}

/// Opens the sockets of every local endpoint; endpoints without a port share none.
fn open_sockets(
    preconnection: &Preconnection,
    plan: &Plan,
    context: &Context,
) -> Result<Vec<Listening>, Failure> {
    let mut listenings = Vec::new();
    for local in plan.locals() {
        let port = local.resolved_port().unwrap_or(0);
        let mut tries = 0;
        let opened = loop {
            tries += 1;
            match open_endpoint(preconnection, plan, context, (local, port)) {
                // The port that the system chose for one socket may be taken for the next.
                Err(failure)
                    if port == 0
                        && failure.kind == FailureKind::AddressInUse
                        && tries < PORT_TRIES => {}
                opened => break opened?,
            }
        };
        listenings.extend(opened);
    }
    Ok(listenings)
}

/// Opens the sockets of one local endpoint, all on one port (RFC 9622 §7.2).
fn open_endpoint(
    preconnection: &Preconnection,
    plan: &Plan,
    context: &Context,
    (local, mut port): (&LocalEndpoint, u16),
) -> Result<Vec<Listening>, Failure> {
    let stacks: Vec<StackId> = plan
        .candidates()
        .into_iter()
        .map(|candidate| candidate.stack)
        .filter(|stack| local.stack().is_none_or(|only| only == stack))
        .collect();
    let mut listenings = Vec::new();
    let mut missing = None;
    for (address, path) in listen_addresses(local, context)? {
        let local_address = with_zone(address, port, path);
        let mut request = ListenRequest::new(stacks.clone(), local_address);
        request.path = path;
        request.tls = preconnection.needs.security.tls_parameters().cloned();
        request.options = preconnection.needs.defaults(Action::Listen).options.clone();
        request.admitted = plan
            .remotes()
            .iter()
            .filter_map(RemoteEndpoint::ip_address)
            .collect();
        // RFC 9622 §6.2.5: what can be a replay is taken by those only who asked for it.
        let preference = SelectionProperty::ZeroRttMsg;
        let properties = &preconnection.needs.properties;
        if properties
            .preference(preference, Action::Listen)
            .is_wanted()
        {
            request.early_data = EarlyData::Allowed;
        }
        request.limits = preconnection.needs.listen_limits.clone();
        match Listening::open(context, &request) {
            Ok(listening) => {
                let bound = listening.addresses().first();
                port = bound.map_or(port, |(_, bound)| bound.port());
                listenings.push(listening);
            }
            // A host with one family still listens on that when no address was asked for.
            Err(failure) if local.ip_address().is_none() && is_family_missing(&failure) => {
                missing = Some(failure);
            }
            Err(failure) => return Err(failure),
        }
    }
    match (listenings.is_empty(), missing) {
        (true, Some(failure)) => Err(failure),
        _ => Ok(listenings),
    }
}

/// The address of a local endpoint, or else all of both families, with the path that is listened
/// on. Addresses that the host or an interface gets later are among all.
fn listen_addresses(
    local: &LocalEndpoint,
    context: &Context,
) -> Result<Vec<(IpAddr, Option<PathId>)>, Failure> {
    let path = match local.interface_name() {
        None => None,
        Some(interface) => Some(path_of(interface, context)?),
    };
    Ok(match local.ip_address() {
        Some(address) => vec![(address, path)],
        None => vec![
            (Ipv4Addr::UNSPECIFIED.into(), path),
            (Ipv6Addr::UNSPECIFIED.into(), path),
        ],
    })
}

fn path_of(interface: &str, context: &Context) -> Result<PathId, Failure> {
    let paths = context.environment().paths();
    let path = paths.iter().find(|path| path.interface == interface);
    path.map(|path| path.id).ok_or_else(|| {
        Failure::new(
            Origin::Local,
            FailureKind::Unreachable,
            format!("the interface {interface} does not exist or is down"),
        )
    })
}

/// RFC 9622 §6.1.2: the interface is the zone of a link-local address.
fn with_zone(address: IpAddr, port: u16, path: Option<PathId>) -> SocketAddr {
    match (address, path) {
        (IpAddr::V6(v6), Some(path)) if v6.is_unicast_link_local() => {
            SocketAddrV6::new(v6, port, 0, path.0).into()
        }
        _ => SocketAddr::new(address, port),
    }
}

fn is_family_missing(failure: &Failure) -> bool {
    let codes = [libc_codes::EAFNOSUPPORT, libc_codes::EADDRNOTAVAIL];
    failure.origin == Origin::System && failure.code.is_some_and(|code| codes.contains(&code))
}

/// The errno values that say that an address family is not there.
mod libc_codes {
    pub(super) const EAFNOSUPPORT: i64 = 97;
    pub(super) const EADDRNOTAVAIL: i64 = 99;
}

/// Ports that are tried for sockets that must share one.
const PORT_TRIES: usize = 16;
/// Failures that wait for [`Listener::take_failures`].
const FAILURES_KEPT: usize = 64;
