//! HTTP/3 on the connections of a sharded server.
//!
//! Invariant: what is measured is what [`crate::sharded`] says.

use super::ours::{options, serve};
use super::web::Load;
use crate::pairs::Comparison;
use crate::sharded::{self, Spoken};
use portway::h3::{ClientConnection, Code};
use portway_transport::quic::Connection;

/// Measures this many pairs: two shards, then one.
pub fn run_sharded(pairs: usize) -> Comparison {
    sharded::run::<Http3>(pairs)
}

struct Http3;

impl Spoken for Http3 {
    type Client = ClientConnection;

    async fn serve(connection: Connection) {
        serve(connection).await;
    }

    fn client(connection: Connection) -> ClientConnection {
        ClientConnection::new(&connection, &options()).expect("a client")
    }

    fn close(client: &ClientConnection) {
        client.close(Code::H3_NO_ERROR, "one too many");
    }

    async fn requests(client: ClientConnection, in_flight: usize, times: usize) {
        Load::plain(in_flight).apply(client, times).await;
    }
}
