//! An active open as far as it is the same each time: the plan and the race that follows from it.
//!
//! Invariant: an [`Opening`] is made from what was stated, the context's registry and the paths,
//! and is used only while all of them are as they were; history, seed and deadline are of the
//! moment and never kept.

use crate::preconnection::Needs;
use portway_core::path::Path;
use portway_core::plan::{Action, Plan, PlanError};
use portway_core::race::{Course, RaceConfig, Walkover};
use portway_core::{RemoteEndpoint, StackId};
use portway_transport::context::{Context, ContextId};
use portway_transport::driver::{RacePaths, Record, Terms};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The plan of an active open, with what its races have in common.
pub(crate) struct Opening {
    context: ContextId,
    /// The paths that it was planned over, and their revision where the environment counts.
    paths: Vec<Path>,
    revision: Option<u64>,
    plan: Plan,
    config: RaceConfig,
    course: Option<Arc<Course>>,
}

/// The opening that was made last.
#[derive(Default)]
pub(crate) struct LatestOpening(Mutex<Option<Arc<Opening>>>);

impl LatestOpening {
    /// The opening of these needs now.
    pub(crate) fn get(&self, needs: &Needs, context: &Context) -> Result<Arc<Opening>, PlanError> {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opening) = latest.as_ref().filter(|latest| latest.holds_in(context)) {
            return Ok(opening.clone());
        }
        let opening = Arc::new(Opening::new(needs, context)?);
        *latest = Some(opening.clone());
        Ok(opening)
    }
}

impl Opening {
    fn new(needs: &Needs, context: &Context) -> Result<Self, PlanError> {
        let environment = context.environment();
        // A change in between makes the revision too old, never too new.
        let revision = environment.paths_revision();
        let paths = environment.paths();
        let plan = needs.plan_over(context, Action::Initiate, paths.clone())?;
        let config = config(context, &plan);
        Ok(Opening {
            context: context.id(),
            paths,
            revision,
            course: Course::of(&config).map(Arc::new),
            config,
            plan,
        })
    }

    fn holds_in(&self, context: &Context) -> bool {
        let environment = context.environment();
        self.context == context.id()
            && match environment.paths_revision() {
                None => self.paths == environment.paths(),
                revision => self.revision == revision,
            }
    }

    /// The endpoints to race to, which the leaves of its tree count.
    pub(crate) fn remotes(&self) -> &[RemoteEndpoint] {
        &self.config.remotes
    }

    /// The stacks that may race.
    pub(crate) fn stacks(&self) -> BTreeSet<&StackId> {
        let candidates = self.config.candidates.iter();
        candidates.map(|candidate| &candidate.stack).collect()
    }

    /// What a race is given that nobody has asked to see.
    pub(crate) fn terms(&self, context: &Context, timeout: Option<Duration>) -> Terms {
        match &self.course {
            Some(course) => {
                let deadline = timeout.map(|timeout| context.environment().now() + timeout);
                let deadline = deadline.or(self.config.timing.deadline);
                let history = context.history();
                Terms::Walkover(Walkover::new(course.clone(), deadline, &history))
            }
            None => self.terms_in_full(context, timeout, Record::No),
        }
    }

    /// What a race is given that is run step by step.
    pub(crate) fn terms_in_full(
        &self,
        context: &Context,
        timeout: Option<Duration>,
        record: Record,
    ) -> Terms {
        Terms::Race(Box::new(self.race_config(context, timeout)), record)
    }

    /// The race that the plan asks for now.
    pub(crate) fn race_config(&self, context: &Context, timeout: Option<Duration>) -> RaceConfig {
        let mut config = self.config.clone();
        context.bring_up_to_date(&mut config);
        if let Some(timeout) = timeout {
            config.timing.deadline = Some(context.environment().now() + timeout);
        }
        config
    }
}

impl RacePaths for Opening {
    fn known(&self) -> &[Path] {
        &self.paths
    }

    fn choose(&self, paths: Vec<Path>) -> Vec<Path> {
        self.plan.choose_paths(paths)
    }
}

/// The race that a plan asks for, without what is of the moment.
fn config(context: &Context, plan: &Plan) -> RaceConfig {
    let config = context.race_config(plan);
    RaceConfig {
        uses_https_records: config.remotes.iter().any(is_https),
        ..config
    }
}

/// RFC 9460 §9: HTTPS records belong to the schemes of HTTP, other services have none yet.
fn is_https(remote: &RemoteEndpoint) -> bool {
    match remote.service_name() {
        Some(service) => matches!(service, "https" | "http"),
        None => remote.resolved_port() == Some(443),
    }
}
