//! A server on threads of its own.
//!
//! Invariant: a connection stays on the thread that accepted it, with everything that it needs.

use super::serving::{Common, Control, Serving};
use super::{Server, ServerService};
use portway_core::{Failure, FailureKind, Origin};
use portway_transport::RealEnvironment;
use portway_transport::environment::Environment;
use portway_transport::quic::{Endpoint, Shard};
use portway_transport::real::{Config, start_pinned, thread_count};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Starts the threads one after the other.
pub(super) fn start<S: ServerService>(
    server: Server,
    shards: u16,
    service: S,
) -> Result<Serving, Failure> {
    if server.environment.is_some() {
        let words = "threads of a server's own have environments of their own";
        return Err(Failure::new(
            Origin::Local,
            FailureKind::InvalidRequest,
            words,
        ));
    }
    let count = thread_count(shards);
    let common = Common::new(&server)?;
    let control = Arc::new(Control::new(&common.options).for_shards(count.into(), true));
    // Each address has a group of endpoints, of which each thread has one.
    let groups: Vec<Vec<Shard>> = server
        .addresses
        .iter()
        .map(|_| Shard::group(count))
        .collect();
    let mut addresses = server.addresses.clone();
    let (mut endpoints, mut threads) = (Vec::new(), Vec::new());
    for index in 0..count {
        let part = Part {
            common: common.clone(),
            config: server.config(),
            control: Arc::clone(&control),
            index,
            count,
            addresses: addresses.clone(),
            shards: groups
                .iter()
                .map(|group| group[usize::from(index)].clone())
                .collect(),
        };
        let (thread, started) = part.start(service.clone())?;
        addresses = started.addresses;
        endpoints.extend(started.endpoints);
        threads.push(thread);
    }
    let environment: Arc<dyn Environment> = Arc::new(RealEnvironment::new(Config::default()));
    Ok(Serving::sharded(
        control,
        addresses,
        endpoints,
        environment,
        threads,
    ))
}

/// What one thread is made from.
struct Part {
    common: Common,
    config: Config,
    control: Arc<Control>,
    index: u16,
    count: u16,
    addresses: Vec<SocketAddr>,
    shards: Vec<Shard>,
}

/// What a thread tells when it serves.
struct Started {
    addresses: Vec<SocketAddr>,
    endpoints: Vec<Endpoint>,
}

impl Part {
    fn start<S: ServerService>(self, service: S) -> Result<(JoinHandle<()>, Started), Failure> {
        let (index, count) = (self.index, self.count);
        let turns = self.common.options.turns;
        start_pinned("portway-serve", index, count, turns, async move || {
            let environment: Arc<dyn Environment> = Arc::new(RealEnvironment::new(self.config));
            let sockets = self
                .common
                .open(&environment, &self.addresses, Some(&self.shards))?;
            let endpoints = sockets.endpoints.clone();
            let started = Started {
                addresses: sockets.addresses(),
                endpoints: endpoints.clone(),
            };
            let stopped = self.control.stopped();
            self.common
                .start(&self.control, index.into(), &environment, sockets, &service)?;
            let rest = async move {
                stopped.await;
                for endpoint in endpoints {
                    endpoint.wait_closed().await;
                }
            };
            Ok((started, rest))
        })
    }
}
