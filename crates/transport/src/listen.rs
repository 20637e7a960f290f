//! Listening: sockets, handshakes and the hand-over of ready carriers.
//!
//! Invariant: what peers can make a listener hold is bounded by [`ListenLimits`], and no peer's
//! silence delays another one.

use crate::context::Context;
pub use crate::demux::DemuxLimits;
use crate::demux::demultiplex;
use crate::environment::{ListenAddress, TcpListener, TcpOptions, TcpStream, UdpBind};
use crate::establish::handshake;
use crate::established::{ByteCarrier, Carrier, DatagramCarrier};
use crate::failure_map::failure_from_io;
use crate::quic::Endpoint;
use crate::quic_stack::{self, QuicCarrier};
use crate::tls::EarlyData;
use portway_core::path::PathId;
use portway_core::security::{Protection, TlsParameters};
use portway_core::stack::{CarrierKind, StackDescriptor, WireProtocol};
use portway_core::{Failure, FailureKind, Origin, StackId};
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

/// Bounds of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenLimits {
    /// Connections that are in their handshake or wait to be accepted, for each local address;
    /// at least one. 1024.
    pub pending_max: usize,
    /// A handshake that takes longer is ended. 10 s.
    pub handshake_timeout: Duration,
    /// The system's queue of connections that are not accepted yet. 1024.
    pub backlog: u32,
    /// Bounds of UDP peers.
    pub datagrams: DemuxLimits,
}

impl Default for ListenLimits {
    fn default() -> Self {
        ListenLimits {
            pending_max: 1024,
            handshake_timeout: Duration::from_secs(10),
            backlog: 1024,
            datagrams: DemuxLimits::default(),
        }
    }
}

/// What to listen for.
#[derive(Clone)]
#[non_exhaustive]
pub struct ListenRequest {
    /// The stacks, all on the same address and port.
    pub stacks: Vec<StackId>,
    /// The local address; port zero lets the system choose one for all stacks.
    pub local: SocketAddr,
    /// The path whose interface alone is listened on.
    pub path: Option<PathId>,
    /// TLS parameters for the protected stacks.
    pub tls: Option<TlsParameters>,
    /// Options of accepted TCP connections.
    pub options: TcpOptions,
    /// Peers that may connect; empty admits everybody.
    pub admitted: Vec<IpAddr>,
    /// Whether data is taken before a handshake is complete. It can be a replay.
    pub early_data: EarlyData,
    /// Bounds.
    pub limits: ListenLimits,
}

impl ListenRequest {
    /// Listens for `stacks` on `local`.
    pub fn new(stacks: Vec<StackId>, local: SocketAddr) -> Self {
        ListenRequest {
            stacks,
            local,
            path: None,
            tls: None,
            options: TcpOptions::default(),
            admitted: Vec::new(),
            early_data: EarlyData::Refused,
            limits: ListenLimits::default(),
        }
    }
}

/// A peer's connection with its stack ready.
#[derive(Debug)]
#[non_exhaustive]
pub struct Accepted {
    /// The stack.
    pub stack: StackId,
    /// The carrier.
    pub carrier: Carrier,
    /// What was negotiated.
    pub protection: Option<Protection>,
    /// The peer.
    pub peer: SocketAddr,
    /// Held while the connection counts as pending.
    pub pending: Pending,
}

/// Counts a connection as pending until it is dropped.
#[derive(Debug)]
pub struct Pending {
    _permit: Option<OwnedSemaphorePermit>,
}

/// Something that a listening socket tells.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// A connection is ready.
    Accepted(Box<Accepted>),
    /// One connection, or the accepting of one, failed; listening goes on.
    Failed {
        /// The peer, when it is known.
        peer: Option<SocketAddr>,
        /// What happened.
        failure: Failure,
    },
}

/// Open listening sockets. Dropping it closes them; what was accepted lives on.
pub struct Listening {
    incoming: mpsc::Receiver<Incoming>,
    addresses: Vec<(StackId, SocketAddr)>,
    paused: watch::Sender<bool>,
}

impl Listening {
    /// Opens every socket of `request`.
    ///
    /// # Errors
    /// The first socket that cannot be opened; none stays open then.
    pub fn open(context: &Context, request: &ListenRequest) -> Result<Listening, Failure> {
        let pending_max = request.limits.pending_max.max(1);
        // Whatever is ready fits, so that none of it waits in a task that a stop would end.
        let (sender, incoming) = mpsc::channel(pending_max + FAILURES_QUEUE);
        let (paused, is_paused) = watch::channel(false);
        let pending = Arc::new(Semaphore::new(pending_max));
        let mut addresses: Vec<(StackId, SocketAddr)> = Vec::new();
        let mut starts: Vec<Box<dyn FnOnce()>> = Vec::new();
        for stack in &request.stacks {
            let descriptor = context.stack(stack).ok_or_else(|| unsupported(stack))?;
            let mut local = request.local;
            if let (0, Some((_, first))) = (local.port(), addresses.first()) {
                // RFC 9622 §7.2: all stacks of a listener share one port.
                local.set_port(first.port());
            }
            let acceptor = Acceptor {
                context: context.clone(),
                stack: stack.clone(),
                tls: tls_of(request, descriptor),
                request: request.clone(),
                sender: sender.clone(),
                pending: pending.clone(),
                is_paused: is_paused.clone(),
            };
            if descriptor.is_protected() && acceptor.tls.is_none() {
                return Err(missing_identity());
            }
            if let Some(tls) = &acceptor.tls {
                // A wrong identity is told now and not to each peer.
                let early_data = request.early_data;
                context.tls().server_taking(tls, &tls.alpn, early_data)?;
            }
            match descriptor.wire {
                WireProtocol::Tcp => {
                    let mut address = ListenAddress::on(local);
                    address.path = request.path;
                    address.backlog = request.limits.backlog;
                    let listener = context
                        .environment()
                        .tcp_listen(address)
                        .map_err(|error| cannot_listen(&error, stack, local))?;
                    addresses.push((stack.clone(), listener.local_address()));
                    starts.push(Box::new(move || {
                        let environment = acceptor.context.environment().clone();
                        environment.spawn(Box::pin(acceptor.accept_all(listener)));
                    }));
                }
                WireProtocol::Udp if !descriptor.is_protected() => {
                    let mut bind = UdpBind::on(local);
                    bind.path = request.path;
                    let socket = context
                        .environment()
                        .udp_bind(bind)
                        .map_err(|error| cannot_listen(&error, stack, local))?;
                    addresses.push((stack.clone(), socket.local_address()));
                    starts.push(Box::new(move || acceptor.receive_peers(socket)));
                }
                // One port has one endpoint: the datagrams come with the connections of QUIC.
                WireProtocol::Udp
                    if *stack == StackId::QUIC_DATAGRAM
                        && request.stacks.contains(&StackId::QUIC) => {}
                WireProtocol::Udp if let Some(tls) = &acceptor.tls => {
                    let is_datagrams = descriptor.carrier == CarrierKind::Datagrams;
                    let early_data = match is_datagrams {
                        true => EarlyData::Refused,
                        false => request.early_data,
                    };
                    let limits = &request.limits;
                    let endpoint =
                        quic_stack::bind(context, descriptor, local, tls, limits, early_data)?;
                    addresses.push((stack.clone(), endpoint.local_address()));
                    starts.push(Box::new(move || {
                        let environment = acceptor.context.environment().clone();
                        environment.spawn(Box::pin(acceptor.accept_quic(endpoint, is_datagrams)));
                    }));
                }
                _ => return Err(unsupported(stack)),
            }
        }
        starts.into_iter().for_each(|start| start());
        Ok(Listening {
            incoming,
            addresses,
            paused,
        })
    }

    /// The next connection or failure; `None` when every socket has ended.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
    }

    /// Closes the sockets and ends unfinished handshakes; what is ready can still be taken.
    pub fn stop(&mut self) {
        self.incoming.close();
    }

    /// The address of each stack, with the port that the system chose.
    pub fn addresses(&self) -> &[(StackId, SocketAddr)] {
        &self.addresses
    }

    /// Stops or resumes the taking of connections; the system's queue fills meanwhile.
    pub fn pause(&self, is_paused: bool) {
        self.paused
            .send_if_modified(|current| std::mem::replace(current, is_paused) != is_paused);
    }
}

struct Acceptor {
    context: Context,
    stack: StackId,
    tls: Option<TlsParameters>,
    request: ListenRequest,
    sender: mpsc::Sender<Incoming>,
    pending: Arc<Semaphore>,
    is_paused: watch::Receiver<bool>,
}

impl Acceptor {
    async fn accept_all(mut self, listener: Box<dyn TcpListener>) {
        let stopped = self.sender.clone();
        let mut backoff = Backoff::new();
        loop {
            let accepted = tokio::select! {
                () = stopped.closed() => return,
                accepted = self.accept_one(&*listener) => accepted,
            };
            match accepted {
                Ok((socket, permit)) => {
                    backoff.reset();
                    self.shake_hands(socket, permit);
                }
                Err(error) => {
                    let failure = failure_from_io(&error, "cannot accept a connection");
                    // A full queue means that nobody looks; the next failure is told instead.
                    let _ = self.sender.try_send(Incoming::Failed {
                        peer: None,
                        failure,
                    });
                    tokio::select! {
                        () = stopped.closed() => return,
                        () = backoff.wait(&self.context) => {}
                    }
                }
            }
        }
    }

    async fn accept_one(
        &mut self,
        listener: &dyn TcpListener,
    ) -> std::io::Result<(Box<dyn TcpStream>, OwnedSemaphorePermit)> {
        // The sender lives in `Listening`; when it is gone, `stopped` ends the loop.
        let _ = self.is_paused.wait_for(|is_paused| !is_paused).await;
        let permit = self.pending.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let socket = poll_fn(|context| listener.poll_accept(context)).await?;
        Ok((socket, permit))
    }

    fn shake_hands(&self, socket: Box<dyn TcpStream>, permit: OwnedSemaphorePermit) {
        let peer = socket.peer_address();
        if !admits(&self.request.admitted, peer.ip()) {
            socket.abort();
            return;
        }
        let (context, sender) = (self.context.clone(), self.sender.clone());
        let (stack, tls) = (self.stack.clone(), self.tls.clone());
        let (options, limits) = (self.request.options.clone(), self.request.limits.clone());
        let early_data = self.request.early_data;
        self.context.environment().spawn(Box::pin(async move {
            let tls = tls.as_ref().map(|tls| (tls, early_data));
            let handshaken = tokio::select! {
                () = sender.closed() => return,
                () = sleep(&context, limits.handshake_timeout) => Err(Failure::new(
                    Origin::Local,
                    FailureKind::TimedOut,
                    format!("{peer} did not complete its handshake in time"),
                )),
                shaken = server_handshake(&context, socket, tls, &options) => shaken,
            };
            let incoming = match handshaken {
                Ok((carrier, protection)) => Incoming::Accepted(Box::new(Accepted {
                    stack,
                    carrier: Carrier::Bytes(carrier),
                    protection,
                    peer,
                    pending: Pending {
                        _permit: Some(permit),
                    },
                })),
                Err(failure) => Incoming::Failed {
                    peer: Some(peer),
                    failure,
                },
            };
            // An error means that the listener was stopped meanwhile.
            let _ = sender.send(incoming).await;
        }));
    }

    /// Hands QUIC connections over whose handshakes are complete.
    async fn accept_quic(mut self, endpoint: Endpoint, is_datagrams: bool) {
        let stopped = self.sender.clone();
        loop {
            let accepting = async {
                // The sender lives in `Listening`; when it is gone, `stopped` ends the loop.
                let _ = self.is_paused.wait_for(|is_paused| !is_paused).await;
                let permit = self.pending.clone().acquire_owned().await;
                let permit = permit.expect("the semaphore is never closed");
                Some((endpoint.accept().await?, permit))
            };
            let accepted = tokio::select! {
                () = stopped.closed() => return,
                accepted = accepting => accepted,
            };
            let incoming = match accepted {
                None => return,
                Some((Err(error), _)) => Incoming::Failed {
                    peer: Some(error.remote),
                    failure: error.cause.failure(),
                },
                Some((Ok(connection), permit)) => {
                    let peer = connection.remote_address();
                    if !admits(&self.request.admitted, peer.ip()) {
                        continue;
                    }
                    let protection = quic_stack::protection(&connection);
                    let environment = self.context.environment();
                    let mut quic = QuicCarrier::new(environment, &endpoint, connection);
                    quic.takes_datagrams =
                        !is_datagrams && self.request.stacks.contains(&StackId::QUIC_DATAGRAM);
                    let pending = Pending {
                        _permit: Some(permit),
                    };
                    Incoming::Accepted(Box::new(Accepted {
                        stack: self.stack.clone(),
                        carrier: match is_datagrams {
                            true => Carrier::Datagrams(quic.datagrams(None)),
                            false => Carrier::Quic(quic),
                        },
                        protection: Some(protection),
                        peer,
                        pending,
                    }))
                }
            };
            // An error means that the listener was stopped meanwhile.
            let _ = self.sender.send(incoming).await;
        }
    }

    fn receive_peers(self, socket: Arc<dyn crate::environment::UdpSocket>) {
        let (arrivals, mut arrived) = mpsc::channel(self.request.limits.pending_max.max(1));
        let admitted = self.request.admitted.clone();
        let environment = self.context.environment().clone();
        demultiplex(
            &environment,
            socket,
            self.request.limits.datagrams.clone(),
            move |peer| admits(&admitted, peer.ip()),
            arrivals,
        );
        environment.spawn(Box::pin(async move {
            let stopped = self.sender.clone();
            loop {
                let socket = tokio::select! {
                    () = stopped.closed() => return,
                    socket = arrived.recv() => match socket {
                        Some(socket) => socket,
                        None => return,
                    },
                };
                let peer = socket.peer();
                let carrier = Carrier::Datagrams(DatagramCarrier {
                    socket: Arc::new(socket),
                    peer,
                });
                let accepted = Accepted {
                    stack: self.stack.clone(),
                    carrier,
                    protection: None,
                    peer,
                    pending: Pending { _permit: None },
                };
                let _ = self
                    .sender
                    .send(Incoming::Accepted(Box::new(accepted)))
                    .await;
            }
        }));
    }
}

async fn server_handshake(
    context: &Context,
    socket: Box<dyn TcpStream>,
    tls: Option<(&TlsParameters, EarlyData)>,
    options: &TcpOptions,
) -> Result<(ByteCarrier, Option<Protection>), Failure> {
    socket
        .set_options(options)
        .map_err(|error| failure_from_io(&error, "cannot set options of a connection"))?;
    let mut carrier = ByteCarrier::new(socket);
    let Some((tls, early_data)) = tls else {
        return Ok((carrier, None));
    };
    let engine = context.tls();
    let mut layer = engine.server_taking(tls, &tls.alpn, early_data)?;
    handshake(&*carrier.socket, &mut layer, &mut carrier.unread).await?;
    let protection = crate::layer::ByteLayer::protection(&layer);
    carrier.layer = Some(Box::new(layer));
    Ok((carrier, protection))
}

/// Waits on the environment's clock.
pub fn sleep(context: &Context, duration: Duration) -> impl Future<Output = ()> + Send + use<> {
    let mut timer = context.environment().timer();
    timer.reset(Some(context.environment().now() + duration));
    poll_fn(move |context| timer.poll_expired(context))
}

/// Doubles the wait after each failure to accept, so that a lack of descriptors does not spin.
struct Backoff {
    next: Duration,
}

impl Backoff {
    fn new() -> Self {
        Backoff { next: BACKOFF_MIN }
    }

    fn reset(&mut self) {
        self.next = BACKOFF_MIN;
    }

    async fn wait(&mut self, context: &Context) {
        let wait = self.next;
        self.next = (self.next * 2).min(BACKOFF_MAX);
        sleep(context, wait).await;
    }
}

/// TLS parameters with the application protocols that the stack carries.
fn tls_of(request: &ListenRequest, stack: &StackDescriptor) -> Option<TlsParameters> {
    let mut tls = request.tls.clone().filter(|_| stack.is_protected())?;
    tls.alpn = stack.carried(&tls.alpn);
    Some(tls)
}

fn admits(admitted: &[IpAddr], peer: IpAddr) -> bool {
    admitted.is_empty() || admitted.contains(&peer.to_canonical())
}

fn unsupported(stack: &StackId) -> Failure {
    Failure::new(
        Origin::Local,
        FailureKind::Unsupported,
        format!("this version cannot listen with the stack {stack}"),
    )
}

fn missing_identity() -> Failure {
    Failure::new(
        Origin::Local,
        FailureKind::InvalidRequest,
        "a protected listener needs a certificate and its key",
    )
}

fn cannot_listen(error: &std::io::Error, stack: &StackId, local: SocketAddr) -> Failure {
    failure_from_io(error, &format!("cannot listen for {stack} on {local}"))
}

const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Failures that may wait beside the connections that are ready.
const FAILURES_QUEUE: usize = 16;
