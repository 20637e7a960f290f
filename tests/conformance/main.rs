//! The whole stack on the simulated network: virtual time, scripted names, seeds that are printed.
//!
//! `PORTWAY_SEED=n` runs the randomised tests with this seed only, `PORTWAY_SEEDS=n` with so many
//! seeds, `PORTWAY_LONG=1` with fifty times as many.

mod at_once;
mod cancel;
mod close;
mod delivery;
mod early_data;
mod faults;
mod identities;
mod learned;
mod listening;
mod message_properties;
mod quic;
mod quic_closing;
mod quic_driver;
mod quic_dropped;
mod quic_hostile;
mod race;
mod receiving;
mod resolving;
mod security;
mod support;
mod waiting;
mod walkover;
