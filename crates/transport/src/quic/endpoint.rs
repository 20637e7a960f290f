//! An endpoint: one UDP socket and all connections over it.
//!
//! Invariant: one task drives everything; it ends when the last handle of the endpoint is gone
//! and its connections have ended.

use super::accepting::{AcceptError, AcceptQueue};
use super::connection::{Connecting, Connection, ConnectionRef, ConnectionShared, ConnectionState};
use super::driver::{Core, Driver};
use super::identifiers::{Clock, Generator};
use super::options::{ClientConfig, EndpointOptions, ServerConfig};
use super::waiting::wake_all;
use super::{ConnectError, ConnectionError, VarInt};
use crate::environment::{Environment, UdpBind, UdpSocket};
use crate::failure_map::failure_from_io;
use aws_lc_rs::{hkdf, hmac};
use bytes::Bytes;
use portway_core::Failure;
use portway_core::failure::{FailureKind, Origin};
use quinn_proto::EndpointConfig;
use quinn_proto::crypto::HandshakeTokenKey;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::task::{Context, Poll, Waker};

/// One UDP socket and all connections over it. A clone is another handle of the same endpoint.
///
/// When the last handle is dropped no connection is accepted any more; those that exist live on.
#[derive(Clone)]
pub struct Endpoint {
    handle: Arc<EndpointHandle>,
}

/// An endpoint that may be gone.
#[derive(Clone)]
pub(crate) struct WeakEndpoint(Weak<Shared>);

impl WeakEndpoint {
    /// Whether its driver is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }

    /// As [`Endpoint::wait_closed`].
    pub(crate) async fn wait_closed(&self) {
        poll_fn(|context| match self.0.upgrade() {
            Some(shared) => shared.core().poll_over(context),
            None => Poll::Ready(()),
        })
        .await;
    }
}

/// Tells the driver when the last handle goes.
struct EndpointHandle(Arc<Shared>);

/// What the handles, the connections and the driver share.
pub(super) struct Shared {
    pub(super) environment: Arc<dyn Environment>,
    pub(super) clock: Clock,
    /// Whether several threads run the tasks.
    pub(super) has_workers: bool,
    pub(super) accepting: Mutex<AcceptQueue>,
    /// Locked before a connection's state, never after.
    core: Mutex<Core>,
    /// Locked after everything else.
    calls: Mutex<Calls>,
}

/// How the driver is called.
#[derive(Default)]
struct Calls {
    /// Connections on which the application has acted.
    listed: Vec<Arc<ConnectionShared>>,
    /// Set while the driver runs or was woken: it looks here before it sleeps.
    is_awake: bool,
    waker: Option<Waker>,
    is_called: bool,
    /// The driver is gone: nothing is listed any more.
    is_over: bool,
}

impl Endpoint {
    /// Binds a socket and starts the driver. Without a `server` configuration nothing is accepted.
    ///
    /// # Errors
    /// The system's error, or an option beyond its limits.
    pub fn bind(
        environment: Arc<dyn Environment>,
        bind: UdpBind,
        options: &EndpointOptions,
        server: Option<ServerConfig>,
    ) -> Result<Endpoint, Failure> {
        let shard = options.shard.as_ref();
        let bind = match shard {
            Some(shard) => shard.bind(bind)?,
            None => bind,
        };
        let socket = bind_socket(&environment, bind)?;
        if let Some(shard) = shard {
            shard.on_bound(socket.local_address());
        }
        let clock = Clock::new(Arc::clone(&environment));
        let (config, token_key) = configuration(&environment, options)?;
        let mut core = Core::new(config, socket, token_key, clock.clone(), shard.cloned());
        core.set_server(server).map_err(|error| error.failure())?;
        let shared = Arc::new(Shared {
            has_workers: environment.has_workers(),
            environment,
            clock,
            accepting: Mutex::new(AcceptQueue::default()),
            core: Mutex::new(core),
            calls: Mutex::new(Calls::default()),
        });
        if let Some(shard) = shard {
            shard.on_started(&shared);
        }
        let driver = Driver::new(Arc::clone(&shared));
        shared.environment.spawn(Box::pin(driver));
        Ok(Endpoint {
            handle: Arc::new(EndpointHandle(shared)),
        })
    }

    /// Starts a connection to `remote`, whose certificate must be for `server_name`. Dropping the
    /// future abandons it.
    ///
    /// # Errors
    /// Why it was not even started.
    pub fn connect(
        &self,
        config: &ClientConfig,
        remote: SocketAddr,
        server_name: &str,
    ) -> Result<Connecting, ConnectError> {
        let shared = &self.handle.0;
        let connection = shared.core().connect(shared, config, remote, server_name)?;
        shared.call();
        Ok(Connecting::new(Connection::new(ConnectionRef(connection))))
    }

    /// The next connection whose handshake has ended, `None` once the endpoint is closed. A
    /// handshake that failed is an error of its own; the next call goes on. Losing the future
    /// loses no connection.
    pub async fn accept(&self) -> Option<Result<Connection, AcceptError>> {
        poll_fn(|context| self.poll_accept(context)).await
    }

    /// As [`Endpoint::accept`]. Only the last few wakers are kept.
    pub fn poll_accept(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Connection, AcceptError>>> {
        let result = self.handle.0.accepting().poll(context);
        if let Poll::Ready(Some(Ok(_))) = result {
            self.handle.0.core().on_accepted();
        }
        result
    }

    /// Accepts with `server` from now on, or nothing when `None`.
    ///
    /// # Errors
    /// An option is beyond its limits.
    pub fn set_server_config(&self, server: Option<ServerConfig>) -> Result<(), ConnectError> {
        self.handle.0.core().set_server(server)
    }

    /// Closes all connections with `code` and accepts none any more.
    pub fn close(&self, code: VarInt, reason: &[u8]) {
        let shared = &self.handle.0;
        let mut wakers = Vec::new();
        let now = shared.clock.now();
        shared
            .core()
            .close(now, code, &Bytes::copy_from_slice(reason), &mut wakers);
        let unaccepted = shared.accepting().close(&mut wakers);
        shared.call();
        drop(unaccepted);
        wake_all(&mut wakers);
    }

    /// Resolves when no connection is left, not even one that waits for late packets after its
    /// close.
    pub async fn wait_idle(&self) {
        poll_fn(|context| self.handle.0.core().poll_idle(context)).await;
    }

    /// Resolves when every connection has ended and its peer was told, if it can be told. A process
    /// that ends earlier leaves peers to their idle time.
    pub async fn wait_closed(&self) {
        poll_fn(|context| self.handle.0.core().poll_over(context)).await;
    }

    /// The endpoint without a hold on it.
    pub(crate) fn downgrade(&self) -> WeakEndpoint {
        WeakEndpoint(Arc::downgrade(&self.handle.0))
    }

    /// The socket's address.
    pub fn local_address(&self) -> SocketAddr {
        self.handle.0.core().socket().local_address()
    }

    /// How many connections there are, the ones included that were closed lately.
    pub fn connections(&self) -> usize {
        self.handle.0.core().connections()
    }

    /// Moves to a new socket, such as after a change of the network. Connections go on from there
    /// with new connection identifiers.
    ///
    /// # Errors
    /// The system's error; the old socket is then still in use.
    pub fn rebind(&self, bind: UdpBind) -> Result<(), Failure> {
        let shared = &self.handle.0;
        if shared.core().is_shard() {
            // RFC 9000 §9: clients take no packets from another address of the server's.
            let words = "endpoints that share a port serve it, and servers do not move".to_owned();
            return Err(ConnectError::InvalidOptions(words).failure());
        }
        let socket = bind_socket(&shared.environment, bind)?;
        shared.core().rebind(socket);
        shared.call();
        Ok(())
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("local_address", &self.local_address())
            .finish_non_exhaustive()
    }
}

impl Drop for EndpointHandle {
    fn drop(&mut self) {
        let mut wakers = Vec::new();
        self.0.core().abandon();
        let unaccepted = self.0.accepting().close(&mut wakers);
        drop(unaccepted);
        self.0.call();
        wake_all(&mut wakers);
    }
}

impl Shared {
    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn accepting(&self) -> MutexGuard<'_, AcceptQueue> {
        self.accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what was written so far on a connection that the driver will look at, unless the
    /// driver is at work: then that is about to happen.
    pub(super) fn send_early(&self, connection: &Arc<ConnectionShared>) {
        let mut core = match self.core.try_lock() {
            Ok(core) => core,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if !core.send_early(connection, self.clock.now()) {
            drop(core);
            self.call();
        }
    }

    /// Puts a connection on the driver's list.
    pub(super) fn list(&self, connection: Arc<ConnectionShared>) {
        let mut calls = self.calls();
        if !calls.is_over {
            calls.listed.push(connection);
            Self::wake_driver(calls);
        }
    }

    /// Ends everything, since the driver ends: no connection may hold what holds it.
    pub(super) fn end(&self) {
        let mut calls = self.calls();
        calls.is_over = true;
        let listed = std::mem::take(&mut calls.listed);
        drop(calls);
        let mut wakers = Vec::new();
        let connections = self.core().take_all(&mut wakers);
        for connection in &connections {
            let failure = Failure::new(
                Origin::Local,
                FailureKind::Cancelled,
                "the runtime of the endpoint has ended",
            );
            let mut state = connection.lock();
            state.end(ConnectionError::System(failure), &mut wakers);
            state.run_resident(&self.clock, None, &mut wakers);
        }
        let unaccepted = self.accepting().close(&mut wakers);
        drop((unaccepted, connections, listed));
        wake_all(&mut wakers);
    }

    /// Lets the driver look at everything.
    pub(super) fn call(&self) {
        let mut calls = self.calls();
        calls.is_called = true;
        Self::wake_driver(calls);
    }

    fn wake_driver(mut calls: MutexGuard<'_, Calls>) {
        if calls.is_awake {
            return;
        }
        calls.is_awake = true;
        let waker = calls.waker.take();
        drop(calls);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes the list for the driver, which is awake now.
    pub(super) fn take_listed(&self, into: &mut Vec<Arc<ConnectionShared>>) {
        let mut calls = self.calls();
        calls.is_awake = true;
        calls.is_called = false;
        into.append(&mut calls.listed);
    }

    /// Lets the driver sleep unless it was called meanwhile.
    pub(super) fn try_sleep(&self, context: &Context<'_>) -> bool {
        let mut calls = self.calls();
        if calls.is_called || !calls.listed.is_empty() {
            return false;
        }
        calls.is_awake = false;
        match &mut calls.waker {
            Some(waker) => waker.clone_from(context.waker()),
            None => calls.waker = Some(context.waker().clone()),
        }
        true
    }

    /// Makes a connection of the protocol's one.
    pub(super) fn share(self: &Arc<Self>, state: ConnectionState) -> Arc<ConnectionShared> {
        ConnectionShared::new(state, Arc::clone(self))
    }
}

/// What the protocol's endpoint is made from, and the key of tokens.
fn configuration(
    environment: &Arc<dyn Environment>,
    options: &EndpointOptions,
) -> Result<(EndpointConfig, Arc<dyn HandshakeTokenKey>), Failure> {
    let mut keys = [0; 128];
    match &options.shard {
        Some(shard) => keys = shard.keys(&**environment),
        None => environment.fill_random(&mut keys),
    }
    let (reset_key, token_key) = keys.split_at(64);
    let reset_key = options.reset_key.as_ref().map_or(reset_key, |key| key);
    let token_key = options.token_key.as_ref().map_or(token_key, |key| key);
    let mut seed = [0; 32];
    environment.fill_random(&mut seed);
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, reset_key)));
    let (identifiers, shard) = (Arc::clone(environment), options.shard.clone());
    config
        .cid_generator(move || Box::new(Generator::new(Arc::clone(&identifiers), shard.clone())))
        .supported_versions(vec![VERSION_1])
        .rng_seed(Some(seed));
    if options.receive_payload_max != 0 {
        config
            .max_udp_payload_size(options.receive_payload_max)
            .map_err(|_| {
                let words = "a UDP payload is 1200 to 65527 bytes".to_owned();
                ConnectError::InvalidOptions(words).failure()
            })?;
    }
    let token_key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(token_key);
    Ok((config, Arc::new(token_key)))
}

fn bind_socket(
    environment: &Arc<dyn Environment>,
    bind: UdpBind,
) -> Result<Arc<dyn UdpSocket>, Failure> {
    let doing = format!("binding {}", bind.local);
    environment
        .udp_bind(bind.for_packets())
        .map_err(|error| failure_from_io(&error, &doing))
}

/// QUIC version 1, RFC 9000 §15.
const VERSION_1: u32 = 1;
