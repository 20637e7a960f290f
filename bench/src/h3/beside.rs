//! portway's HTTP/3 beside that of tokio-quiche.
//!
//! Invariant: whose turn comes first alternates, also between processes.

use super::Http3;
use super::rounds::{Place, Side};
use super::web::Load;
use crate::clock::pin;
use crate::pairs::{self, Comparison, alternate};
use crate::quic::{Identity, runtime};
use crate::quiche::Quiche;

/// Puts both under a load without fields, so often: processor time of a request, and requests a
/// second.
///
/// # Errors
/// What keeps it from being measured.
pub fn run_beside_quiche(load: Load, pairs: usize) -> Result<[Comparison; 2], String> {
    pin(0);
    runtime().block_on(async {
        let times = (load.in_flight * 32).max(400);
        let portway = Side::start::<Http3>(&Identity::new(), &Place::Pinned, load).await;
        let mut quiche = Quiche::start(&load.name()).await?;
        let (mut rates, mut failure) = ([Vec::new(), Vec::new()], None);
        let processor = alternate(pairs, async |side| {
            let (processor, rate) = match side {
                pairs::Side::Portway => portway.act(times).await,
                pairs::Side::Other => match quiche.act(times).await {
                    Ok(batch) => (batch.processor, batch.rate),
                    Err(why) => {
                        failure = Some(why);
                        (f64::NAN, f64::NAN)
                    }
                },
            };
            rates[side as usize].push(rate);
            processor
        })
        .await;
        if let Some(why) = failure {
            return Err(why);
        }
        // The first ones have warmed up.
        let [ours, theirs] = rates.map(|rates| rates.into_iter().skip(1));
        let rates: Vec<(f64, f64)> = ours.zip(theirs).collect();
        Ok([
            Comparison::of(load.name(), "CPU µs a request", &processor),
            Comparison::of(load.name(), "requests a second", &rates),
        ])
    })
}
