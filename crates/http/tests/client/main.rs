//! The client against servers on loopback.

mod alternatives;
mod answers;
mod coalescing;
mod connectors;
mod credentials;
mod faults;
mod habits;
mod http3;
mod http3_server;
mod proxies;
mod relay;
mod requests;
mod server;
mod telemetry;
mod times;
mod trunks;
#[cfg(target_os = "linux")]
mod unix_sockets;
mod upgrades;
mod versions;
mod virtual_time;

use portway_http::Client;
use server::Server;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;

/// A client that trusts this server.
fn client(server: &Server) -> Client {
    Client::builder().security(server.security()).build()
}

/// Waits for what must come to pass; the test runner's patience is the only limit.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

/// Lets a future begin.
async fn begin<T>(future: &mut (impl Future<Output = T> + Unpin)) {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending(), "it waits");
        Poll::Ready(())
    })
    .await;
}
