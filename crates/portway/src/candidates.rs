//! The candidate tree of a request without a connection: names are resolved, nothing is attempted.
//!
//! Invariant: the tree comes from the machine that would race it, so it cannot say anything else.

use crate::error::EstablishmentError;
use crate::opening::Opening;
use crate::preconnection::Preconnection;
use portway_core::Failure;
use portway_core::dns::Answer;
use portway_core::race::{Input, Output, QueryId, Race, Report};
use portway_transport::context::Context;
use portway_transport::environment::BoxFuture;
use std::future::poll_fn;
use std::task::Poll;

type Query = (QueryId, BoxFuture<Result<Answer, Failure>>);

pub(crate) async fn candidate_tree(
    context: &Context,
    preconnection: &Preconnection,
) -> Result<Report, EstablishmentError> {
    let opening = preconnection
        .opening(context)
        .map_err(EstablishmentError::Plan)?;
    Ok(tree_of(context, &opening).await)
}

/// The tree of an opening when every question has its answer.
pub(crate) async fn tree_of(context: &Context, opening: &Opening) -> Report {
    let environment = context.environment();
    let mut race = Race::new(environment.now(), opening.race_config(context, None));
    let mut queries: Vec<Query> = Vec::new();
    loop {
        while let Some(output) = race.poll_output() {
            if let Output::Resolve(id, question) = output {
                queries.push((id, environment.resolve(question)));
            }
        }
        if queries.is_empty() {
            return without_attempts(race.report());
        }
        let input = next_answer(&mut queries).await;
        race.handle(environment.now(), input);
    }
}

async fn next_answer(queries: &mut Vec<Query>) -> Input {
    poll_fn(|context| {
        for index in 0..queries.len() {
            if let Poll::Ready(result) = queries[index].1.as_mut().poll(context) {
                let (id, _) = queries.remove(index);
                return Poll::Ready(match result {
                    Ok(answer) => Input::Answered(id, answer),
                    Err(failure) => Input::QueryFailed(id, failure),
                });
            }
        }
        Poll::Pending
    })
    .await
}

/// Attempts that nobody carried out are none.
fn without_attempts(mut report: Report) -> Report {
    report.attempts.clear();
    let protocols = report.tree.iter_mut().flat_map(|path| &mut path.protocols);
    for endpoint in protocols.flat_map(|protocol| &mut protocol.endpoints) {
        endpoint.attempt = None;
    }
    report
}
