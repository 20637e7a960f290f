//! A race for endpoints of HTTP: what the engine is asked for, whoever asks.
//!
//! Invariant: a service record counts only for what is protected anyway; what a race has learned
//! of addresses is kept, however it ended.

use super::error::Error;
use super::key::Key;
use portway_core::path::Path;
use portway_core::plan::{Action, Plan, PlanRequest};
use portway_core::race::{Candidate, Leaf};
use portway_core::stack::StackDescriptor;
use portway_core::{Failure, RemoteEndpoint, SecurityParameters};
use portway_transport::context::Context;
use portway_transport::driver::{
    Observer, ProgressSink, RacePaths, RaceRequest, Record, Terms, run_race,
};
use portway_transport::environment::{BoxFuture, TcpOptions};
use portway_transport::establish::establish;
use portway_transport::established::Established;
use std::sync::Arc;

/// What is raced for: endpoints, and the stacks that may be spoken with them.
pub(super) struct Course {
    context: Context,
    security: SecurityParameters,
    known: Arc<Known>,
}

impl Course {
    /// The course to `remotes`, which are the key's, over the stacks that are taken.
    pub(super) fn new(
        context: &Context,
        key: &Key,
        security: SecurityParameters,
        remotes: Vec<RemoteEndpoint>,
        takes: impl Fn(&&StackDescriptor) -> bool,
    ) -> Result<Self, Error> {
        let paths = context.environment().paths();
        let mut request = PlanRequest::new(Action::Initiate, security.clone());
        request.remotes = remotes;
        request.paths = paths.clone();
        request.stacks = context.stacks().iter().filter(takes).cloned().collect();
        let plan = Plan::new(request).map_err(|error| Error::invalid(format!("{key}: {error}")))?;
        Ok(Course {
            context: context.clone(),
            security,
            known: Arc::new(Known { paths, plan }),
        })
    }

    /// The remote endpoints, by the indices that leaves have.
    pub(super) fn remotes(&self) -> &[RemoteEndpoint] {
        self.known.plan.remotes()
    }

    /// The stacks of the race, as the plan has them.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        self.known.plan.candidates()
    }

    /// Runs the race. RFC 9460 §9.5: with http, a record would demand https, which nobody asked
    /// for, so that none is asked for then.
    pub(super) async fn run<T>(
        &self,
        key: &Key,
        candidates: Vec<Candidate>,
        attempt: impl Fn(Leaf, ProgressSink) -> BoxFuture<Result<T, Failure>>,
        observer: impl Observer,
    ) -> Result<T, Error> {
        let context = &self.context;
        let mut config = context.race_config(&self.known.plan);
        config.uses_https_records = key.is_protected;
        config.candidates = candidates;
        context.bring_up_to_date(&mut config);
        let request = RaceRequest {
            terms: Terms::Race(Box::new(config), Record::No),
            paths: self.known.clone(),
        };
        match run_race(context.environment(), request, attempt, observer).await {
            Ok(winner) => {
                context.learn(|history| winner.account.teach(history));
                Ok(winner.established)
            }
            Err(lost) => {
                context.learn(|history| {
                    history.rtts.extend(&lost.learned.rtts);
                    history.used.extend(&lost.learned.used);
                });
                Err(Error::of_dial(lost.failure, Some(lost.report)))
            }
        }
    }

    /// An attempt as HTTP wants it.
    pub(super) fn establish(
        &self,
        leaf: Leaf,
        progress: ProgressSink,
    ) -> BoxFuture<Result<Established, Failure>> {
        let (context, security) = (self.context.clone(), self.security.clone());
        let mut options = TcpOptions::default();
        options.no_delay = Some(true);
        Box::pin(
            async move { establish(&context, leaf, &security, &options, Some(&progress)).await },
        )
    }
}

/// The paths of a race, chosen by its plan.
struct Known {
    paths: Vec<Path>,
    plan: Plan,
}

impl RacePaths for Known {
    fn known(&self) -> &[Path] {
        &self.paths
    }

    fn choose(&self, paths: Vec<Path>) -> Vec<Path> {
        self.plan.choose_paths(paths)
    }
}
