//! A QUIC connection: its handles, its state and how both meet the driver.
//!
//! Invariant: everything the application does acts on the protocol's state at once; the driver
//! only moves packets.

mod awaited;
mod bursts;
mod connecting;
mod controller;
mod cubic;
mod early_window;
mod handle;
mod linger;
mod open;
mod path;
mod polling;
mod shared;
mod state;
mod unsent;
mod window;

pub(in crate::quic) use self::awaited::Awaited;
pub use self::awaited::Told;
pub use self::connecting::Connecting;
pub(in crate::quic) use self::controller::{Factory, PathFactory};
pub(in crate::quic) use self::cubic::CubicFactory;
pub(in crate::quic) use self::early_window::{Confirmed, Until};
pub use self::handle::{Connection, Statistics};
pub use self::path::{PathEvent, PathEvents, PathState};
pub(in crate::quic) use self::shared::{ConnectionRef, ConnectionShared};
pub(in crate::quic) use self::state::{ConnectionState, Dirty, EarlyData, Phase};
