//! QUIC: endpoints, connections, streams and datagrams over quinn-proto.
//!
//! Invariant: one task an endpoint moves all packets; what the application does acts on the
//! protocol's state at once. It reaches the world only through the environment, so it runs
//! simulated, too.

mod accepting;
mod choice;
mod connection;
mod driver;
mod endpoint;
mod error;
mod hello;
mod identifiers;
mod number;
mod options;
mod resident;
mod sharded;
mod sharding;
mod stream;
mod tokens;
mod waiting;

pub use self::accepting::AcceptError;
pub use self::choice::{Choice, Chooser, IncomingClient};
pub use self::connection::{
    Connecting, Connection, PathEvent, PathEvents, PathState, Statistics, Told,
};
pub use self::endpoint::Endpoint;
pub(crate) use self::endpoint::WeakEndpoint;
pub use self::error::{ConnectError, ConnectionError, DatagramError, StreamError};
pub use self::hello::{ClientHello, HelloError, HelloLimits, HelloReader};
pub use self::number::{Side, StreamId, StreamKind, VarInt};
pub use self::options::{
    AddressValidation, ClientConfig, ClientCrypto, Congestion, DatagramLimits, DefaultCodes,
    EndpointOptions, IncomingLimits, MtuOptions, ServerConfig, ServerCrypto, StreamLimits, Times,
    TransportOptions,
};
pub use self::resident::{Host, HostEvent, HostWritten, Hosted, NotRead, NotWritten, Resident};
pub use self::sharded::{ShardedOptions, ShardedServer};
pub use self::sharding::Shard;
pub use self::stream::{ReadsClosed, ReceiveStream, SendStream, WritesClosed};
pub use self::tokens::AddressTokens;
#[cfg(test)]
pub(crate) use self::tokens::{SERVERS_MAX, TOKEN_BYTES_MAX, TOKENS_PER_SERVER_MAX};
pub use self::waiting::{OpenQueue, Place, WaitList, keep_waker};
