//! TLS as a sans-IO byte layer over rustls, which portway drives itself.
//!
//! Invariant: this is the only place that builds rustls configurations; certificates are judged by
//! `portway-security`. Start at [`TlsEngine`]; docs/decisions/ has the reasons.

mod algorithm;
mod classify;
mod configuration;
mod early;
mod engine;
mod identity;
mod key;
mod key_share;
mod layer;
mod observed;
mod protection;
mod quic;
mod record;
mod resolver;
mod session;
mod step;
mod verifier;

pub use engine::{Clock, TlsEngine, TlsLimits};
pub use identity::{load_certificates, load_identity, self_signed};
pub(crate) use key_share::restock as restock_key_shares;
pub use layer::TlsLayer;
pub(crate) use quic::initial_keys as quic_initial_keys;
pub use quic::{EarlyData, QuicClientTls, QuicHandshake, QuicServerTls};
