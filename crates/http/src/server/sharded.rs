//! A server on threads of its own.
//!
//! Invariant: a connection stays on the thread that accepted it, with everything that it needs.

use super::serving::{Common, Control, Serving};
use super::{Server, ServerService};
use portway_core::{Failure, FailureKind, Origin};
use portway_transport::RealEnvironment;
use portway_transport::environment::Environment;
use portway_transport::quic::{Endpoint, Shard};
use portway_transport::real::{Config, pin_thread};
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::{Builder, JoinHandle};

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
    let count = match shards {
        0 => std::thread::available_parallelism()
            .map_or(1, |count| u16::try_from(count.get()).unwrap_or(u16::MAX)),
        count => count,
    };
    let common = Common::new(&server)?;
    let control = Arc::new(Control::new(&common.options).for_shards(count.into()));
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
        let (tell, told) = mpsc::channel();
        let thread = Builder::new()
            .name("portway-serve".to_owned())
            .spawn(move || self.run(&service, &tell))
            .map_err(|error| failed(&format!("no thread: {error}")))?;
        match told.recv() {
            Ok(started) => Ok((thread, started?)),
            Err(_) => Err(failed("a thread of the server has panicked")),
        }
    }

    fn run<S: ServerService>(self, service: &S, tell: &mpsc::Sender<Result<Started, Failure>>) {
        // A thread that cannot be kept in its place works as well.
        let _ = pin_thread(self.index.into(), self.count.into());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = tell.send(Err(failed(&format!("no runtime: {error}"))));
                return;
            }
        };
        runtime.block_on(async {
            let environment: Arc<dyn Environment> =
                Arc::new(RealEnvironment::new(Config::default()));
            let opened = self
                .common
                .open(&environment, &self.addresses, Some(&self.shards));
            let sockets = match opened {
                Ok(sockets) => sockets,
                Err(failure) => {
                    let _ = tell.send(Err(failure));
                    return;
                }
            };
            let endpoints = sockets.endpoints.clone();
            let started = Started {
                addresses: sockets.addresses(),
                endpoints: endpoints.clone(),
            };
            let (index, stopped) = (usize::from(self.index), self.control.stopped());
            let started_all =
                self.common
                    .start(&self.control, index, &environment, sockets, service);
            if let Err(failure) = started_all {
                let _ = tell.send(Err(failure));
                return;
            }
            // Whoever starts the server keeps the other end until it has heard.
            let _ = tell.send(Ok(started));
            drop(self);
            stopped.await;
            for endpoint in endpoints {
                endpoint.wait_closed().await;
            }
        });
    }
}

fn failed(detail: &str) -> Failure {
    Failure::new(Origin::System, FailureKind::Other, detail)
}
