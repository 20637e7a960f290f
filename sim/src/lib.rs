//! The simulated environment: hosts, links, TCP, UDP and DNS in virtual time, from one seed.
//!
//! Invariant: the same seed and the same program give the same wire log, byte for byte. Product
//! code runs unchanged on a [`SimEnvironment`]; start with [`Simulation`].
//!
//! ```
//! use portway_sim::Simulation;
//! use portway_transport::environment::{Environment, ListenAddress, TcpConnect};
//! use std::{net::SocketAddr, time::Duration};
//!
//! let sim = Simulation::new(7);
//! let (client, server) = (sim.host("client"), sim.host("server"));
//! sim.link("client", "server").set_delay(Duration::from_millis(40));
//! let remote = SocketAddr::new(server.addresses()[0], 443);
//! let listener = server.tcp_listen(ListenAddress::on(remote))?;
//! let stream = sim.block_on(client.tcp_connect(TcpConnect::to(remote)))?;
//! assert_eq!(sim.now().since_origin(), Duration::from_millis(80));
//! assert_eq!(stream.peer_address(), remote);
//! # Ok::<(), std::io::Error>(())
//! ```

mod altered;
mod dns;
mod environment;
mod events;
mod executor;
mod host;
mod link;
mod nat;
mod packet;
mod random;
mod route;
mod seeds;
mod simulation;
mod state;
mod tcp;
mod timer;
mod udp;
mod wire_log;
mod world;

pub use altered::{Alteration, Altered};
pub use dns::{Dns, Records};
pub use environment::SimEnvironment;
pub use link::{Direction, Link, LinkOptions, Selector};
pub use nat::{NatHandle, NatKind};
pub use route::Unreachable;
pub use seeds::seeds;
pub use simulation::Simulation;
pub use wire_log::{Flow, WireEvent, WireKind};
pub use world::World;
