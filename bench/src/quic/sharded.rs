//! Requests on fresh streams over the connections of a sharded server.
//!
//! Invariant: what is measured is what [`crate::sharded`] says.

use super::{Peer, work};
use crate::pairs::Comparison;
use crate::sharded::{self, Spoken};
use bytes::Bytes;
use portway_transport::quic::Connection;

/// Measures this many pairs: two shards, then one.
pub fn run(pairs: usize) -> Comparison {
    sharded::run::<Streams>(pairs)
}

struct Streams;

impl Spoken for Streams {
    type Client = Connection;

    async fn serve(connection: Connection) {
        Peer::serve(connection, Bytes::from_static(&[7; work::ANSWER])).await;
    }

    fn client(connection: Connection) -> Connection {
        connection
    }

    fn close(client: &Connection) {
        Peer::close(client);
    }

    async fn requests(client: Connection, in_flight: usize, times: usize) {
        work::requests(&client, in_flight, times).await;
    }
}
