//! portway's driver beside tokio-quiche.
//!
//! Invariant: whose turn comes first alternates, also between processes.

use super::work::{self, Doing, STREAMS_MAX, WORK, Work};
use super::{Portway, Server, Stack};
use crate::clock::{ThreadClock, pin};
use crate::pairs::{Comparison, Side, alternate};
use crate::quiche::Quiche;
use std::sync::Arc;

/// Whether its program can do it.
pub fn is_done_by_quiche(work: Work) -> bool {
    matches!(work, Work::Requests(_))
}

/// Measures so many pairs of one work with tokio-quiche in a process of its own.
///
/// # Errors
/// What keeps it from being measured.
pub fn run_beside_quiche(pairs: usize, name: &str) -> Result<Comparison, String> {
    let found = WORK.into_iter().find(|it| it.0 == name);
    let (name, work, _, times) = found.ok_or("no work has this name")?;
    pin(0);
    let identity = Arc::new(work.identity());
    let server = Server::start::<Portway>(&identity, work);
    work::runtime().block_on(async {
        let client = Portway::bind(&identity, STREAMS_MAX);
        let mut portway = Doing::start(client, server.address, work).await;
        portway.act(work::warm_up(work)).await;
        let mut quiche = Quiche::start(name).await?;
        let here = ThreadClock::of_this_thread();
        let mut failure = None;
        let found = alternate(pairs, async |side| match side {
            Side::Portway => {
                let before = here.read() + server.clock.read();
                portway.act(times).await;
                let used = here.read() + server.clock.read() - before;
                used.as_nanos() as f64 / times as f64 / 1e3
            }
            Side::Other => match quiche.act(times).await {
                Ok(batch) => batch.processor,
                Err(why) => {
                    failure = Some(why);
                    f64::NAN
                }
            },
        })
        .await;
        match failure {
            Some(why) => Err(why),
            None => Ok(Comparison::of(name, "µs", &found)),
        }
    })
}
