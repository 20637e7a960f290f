//! A server on several threads: one endpoint and one runtime each, all on one port.
//!
//! Invariant: a connection is accepted, driven and served on the thread whose number its
//! identifiers name, and on no other.

use super::endpoint::Endpoint;
use super::options::{EndpointOptions, ServerConfig};
use super::sharding::Shard;
use super::{ConnectError, VarInt};
use crate::RealEnvironment;
use crate::environment::UdpBind;
use crate::real::{Config, Turns, start_pinned, thread_count};
use portway_core::{Failure, FailureKind, Origin};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::task::LocalSet;

/// A server whose endpoints share a port, each on a thread of its own.
#[derive(Debug)]
pub struct ShardedServer {
    endpoints: Vec<Endpoint>,
    threads: Vec<JoinHandle<()>>,
}

/// What each thread of a [`ShardedServer`] is made from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShardedOptions {
    /// How many threads; zero stands for one a processor that is available.
    pub shards: u16,
    /// The endpoints' options; their shard is set for each.
    pub endpoint: EndpointOptions,
    /// Where to listen.
    pub bind: UdpBind,
    /// How to accept.
    pub server: ServerConfig,
    /// The environments' options.
    pub environment: Config,
}

impl ShardedOptions {
    /// One thread a processor that listens on `bind` and accepts with `server`.
    pub fn new(bind: UdpBind, server: ServerConfig) -> Self {
        ShardedOptions {
            shards: 0,
            endpoint: EndpointOptions::default(),
            bind,
            server,
            environment: Config::default(),
        }
    }
}

impl ShardedServer {
    /// Starts the threads, each kept on a processor of its own where there are as many of them as
    /// the calling thread may use; a thread that moved would leave its connections' state behind in
    /// the other one's caches. Each runs `serve` with its endpoint on a current-thread runtime,
    /// where tasks that are not `Send` may be spawned locally, until the future ends and the
    /// endpoint's connections are gone.
    ///
    /// # Errors
    /// The address cannot be bound, an option is beyond its limits, or a thread does not start;
    /// those that were started end then.
    pub fn start<S, F>(options: &ShardedOptions, serve: S) -> Result<Self, Failure>
    where
        S: Fn(Endpoint) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + 'static,
    {
        let serve = Arc::new(serve);
        let mut started = ShardedServer {
            endpoints: Vec::new(),
            threads: Vec::new(),
        };
        for shard in Shard::group(thread_count(options.shards)) {
            let (thread, endpoint) = start_one(options.clone(), shard, Arc::clone(&serve))?;
            started.threads.push(thread);
            started.endpoints.push(endpoint);
        }
        Ok(started)
    }

    /// The address that all endpoints listen on.
    pub fn local_address(&self) -> SocketAddr {
        self.endpoints[0].local_address()
    }

    /// The endpoints by their shard. Connections that are opened with one stay on its thread.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Accepts with `server` from now on.
    ///
    /// # Errors
    /// An option is beyond its limits; then nothing has changed.
    pub fn set_server_config(&self, server: &ServerConfig) -> Result<(), ConnectError> {
        // The same configuration fails at the first endpoint or at none.
        self.endpoints
            .iter()
            .try_for_each(|endpoint| endpoint.set_server_config(Some(server.clone())))
    }

    /// Closes all connections of all endpoints, which accept none any more; what serves them sees
    /// the end.
    pub fn close(&self, code: VarInt, reason: &[u8]) {
        for endpoint in &self.endpoints {
            endpoint.close(code, reason);
        }
    }

    /// Waits for the threads to end. Blocks the calling thread; call [`ShardedServer::close`]
    /// first unless `serve` ends by itself.
    ///
    /// # Errors
    /// A thread has panicked.
    pub fn join(mut self) -> Result<(), Failure> {
        self.endpoints.clear();
        let threads = std::mem::take(&mut self.threads);
        let results: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
        match results.into_iter().any(|result| result.is_err()) {
            false => Ok(()),
            true => Err(failed("a thread of the server has panicked")),
        }
    }
}

impl Drop for ShardedServer {
    /// Lets the threads end by themselves without waiting for them.
    fn drop(&mut self) {
        self.close(VarInt::ZERO, b"");
    }
}

fn start_one<S, F>(
    options: ShardedOptions,
    shard: Shard,
    serve: Arc<S>,
) -> Result<(JoinHandle<()>, Endpoint), Failure>
where
    S: Fn(Endpoint) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + 'static,
{
    let (index, count) = (shard.index(), shard.count());
    start_pinned(
        "portway-quic",
        index,
        count,
        Turns::Prompt,
        async move || {
            let endpoint = bind(options, shard)?;
            let handed = endpoint.clone();
            let rest = async move {
                let serving = async move {
                    serve(endpoint.clone()).await;
                    endpoint.wait_idle().await;
                };
                LocalSet::new().run_until(serving).await;
            };
            Ok((handed, rest))
        },
    )
}

fn bind(options: ShardedOptions, shard: Shard) -> Result<Endpoint, Failure> {
    let environment = Arc::new(RealEnvironment::new(options.environment));
    let mut endpoint = options.endpoint;
    endpoint.shard = Some(shard);
    Endpoint::bind(environment, options.bind, &endpoint, Some(options.server))
}

fn failed(detail: &str) -> Failure {
    Failure::new(Origin::System, FailureKind::Other, detail)
}
