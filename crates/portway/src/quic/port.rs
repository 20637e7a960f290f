//! A UDP port that several listeners share, each with application protocols of its own.
//!
//! Invariant: a protocol belongs to one listener of a port at most, and the port is closed when its
//! last listener is.

use super::{AcceptError, Choice, Chooser, Connection, IncomingClient, ServerConfig, SharedConfig};
use crate::quic::VarInt;
use portway_core::{Failure, FailureKind, Origin};
use portway_transport::context::{Context, ContextId};
use portway_transport::environment::UdpBind;
use portway_transport::quic::{Endpoint, EndpointOptions};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::{mpsc, watch};

/// What a listener is handed.
pub(super) type Delivery = Result<Connection, AcceptError>;

/// An open port.
pub(super) struct Port {
    endpoint: Endpoint,
    routes: Arc<Routes>,
    /// Ends the accepting task when it is dropped.
    _open: watch::Sender<()>,
}

/// The way to one listener.
pub(super) struct Route {
    pub(super) id: u64,
    pub(super) protocols: Vec<Vec<u8>>,
    pub(super) config: SharedConfig,
    pub(super) chooser: Option<Choosing>,
    pub(super) sender: mpsc::Sender<Delivery>,
}

/// An application's choice for a client, `None` for the listener's own configuration.
pub(super) type Choosing = Arc<dyn Fn(&IncomingClient) -> Option<Choice> + Send + Sync>;

#[derive(Default)]
pub(super) struct Routes(Mutex<Vec<Route>>);

impl Routes {
    fn lock(&self) -> MutexGuard<'_, Vec<Route>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, route: Route) -> Result<(), Failure> {
        let mut routes = self.lock();
        let mut taken = routes.iter().flat_map(|it| &it.protocols);
        if let Some(protocol) = taken.find(|protocol| route.protocols.contains(protocol)) {
            return Err(Failure::new(
                Origin::Local,
                FailureKind::AddressInUse,
                format!(
                    "another listener of this port speaks {}",
                    String::from_utf8_lossy(protocol)
                ),
            ));
        }
        drop(taken);
        routes.push(route);
        Ok(())
    }

    /// Which configuration a client gets: that of the first listener that it can talk to.
    fn choose(&self, client: &IncomingClient) -> Option<Choice> {
        let (config, chooser) = {
            let routes = self.lock();
            let offers = |route: &&Route| {
                let mut protocols = route.protocols.iter();
                protocols.any(|protocol| client.hello.offers(protocol))
            };
            // A client that nobody can talk to is told so by TLS, with any configuration.
            let route = routes.iter().find(offers).or(routes.first())?;
            (route.config.clone(), route.chooser.clone())
        };
        // The application is asked without the lock.
        let chosen = chooser.and_then(|choose| choose(client));
        Some(chosen.unwrap_or(Choice::Accept(config)))
    }

    fn deliver(&self, delivery: Delivery) {
        let routes = self.lock();
        match delivery {
            Ok(connection) => {
                let agreed = connection.alpn().unwrap_or_default();
                let route = routes.iter().find(|it| it.protocols.contains(&agreed));
                let refused = match route {
                    Some(route) => route.sender.try_send(Ok(connection.clone())).is_err(),
                    None => true,
                };
                if refused {
                    // Its backlog is full, or what was chosen is not what the listener speaks.
                    connection.close(VarInt::ZERO, b"not accepted");
                }
            }
            Err(error) => {
                // Which listener was meant is not known; a full backlog needs no more of them.
                for route in routes.iter() {
                    let _ = route.sender.try_send(Err(error.clone()));
                }
            }
        }
    }
}

impl Port {
    /// The port of `local` in this context, opened if it is not, with one more listener.
    pub(super) fn join(
        context: &Context,
        local: SocketAddr,
        base: &ServerConfig,
        route: Route,
    ) -> Result<Arc<Port>, Failure> {
        let mut ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
        ports.retain(|(_, port)| port.strong_count() > 0);
        let mut known = ports.iter().filter(|(id, _)| *id == context.id());
        let shared = known.find_map(|(_, port)| {
            let port = port.upgrade()?;
            (local.port() != 0 && port.local_address() == local).then_some(port)
        });
        if let Some(port) = shared {
            port.routes.add(route)?;
            return Ok(port);
        }
        let port = Arc::new(Port::open(context, local, base, route)?);
        ports.push((context.id(), Arc::downgrade(&port)));
        Ok(port)
    }

    fn open(
        context: &Context,
        local: SocketAddr,
        base: &ServerConfig,
        route: Route,
    ) -> Result<Port, Failure> {
        let routes = Arc::new(Routes::default());
        routes.add(route)?;
        let choosing = Arc::downgrade(&routes);
        let chooser = Chooser::new(move |client| {
            let chosen = choosing.upgrade().and_then(|routes| routes.choose(client));
            chosen.unwrap_or(Choice::Refuse)
        });
        let endpoint = Endpoint::bind(
            context.environment().clone(),
            UdpBind::on(local),
            &EndpointOptions::default(),
            Some(base.clone().with_chooser(chooser)),
        )?;
        let (open, closed) = watch::channel(());
        let accepting = accept_all(endpoint.clone(), routes.clone(), closed);
        context.environment().spawn(Box::pin(accepting));
        Ok(Port {
            endpoint,
            routes,
            _open: open,
        })
    }

    pub(super) fn local_address(&self) -> SocketAddr {
        self.endpoint.local_address()
    }

    /// A listener is gone.
    pub(super) fn leave(&self, id: u64) {
        self.routes.lock().retain(|route| route.id != id);
    }
}

async fn accept_all(endpoint: Endpoint, routes: Arc<Routes>, mut closed: watch::Receiver<()>) {
    loop {
        let accepted = tokio::select! {
            // Nothing is ever sent: this resolves when the port is gone.
            _ = closed.changed() => return,
            accepted = endpoint.accept() => accepted,
        };
        match accepted {
            Some(delivery) => routes.deliver(delivery),
            None => return,
        }
    }
}

/// The open ports of this process by context.
static PORTS: Mutex<Vec<(ContextId, Weak<Port>)>> = Mutex::new(Vec::new());
