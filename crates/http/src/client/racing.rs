//! A race for endpoints of HTTP: what the engine is asked for, whoever asks.
//!
//! Invariant: a service record counts only for what is protected anyway; what a race has learned
//! of addresses is kept, however it ended; rules are used only over the paths that they were made
//! for.

use super::error::Error;
use super::policy::Wish;
use crate::pool::Version;
use portway_core::path::Path;
use portway_core::plan::{Action, Plan, PlanRequest};
use portway_core::race::{self, Leaf, RaceConfig, Walkover};
use portway_core::stack::{StackDescriptor, WireProtocol};
use portway_core::{Failure, RemoteEndpoint, SecurityParameters, StackId};
use portway_transport::context::Context;
use portway_transport::driver::{
    Observer, ProgressSink, RacePaths, RaceRequest, Record, Terms, run_race,
};
use portway_transport::environment::{BoxFuture, TcpOptions};
use portway_transport::establish::establish;
use portway_transport::established::Established;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// What races have in common, whichever endpoints they lead to.
pub(super) struct Rules {
    security: SecurityParameters,
    plan: Plan,
    /// All paths that there were, and their revision where the environment counts.
    paths: Vec<Path>,
    revision: Option<u64>,
    /// Without what is of the moment.
    config: RaceConfig,
    /// How one leaf over TCP is raced for in short, to an address of IPv4 and to one of IPv6.
    short: [Option<race::Course>; 2],
}

impl Rules {
    /// Those of races to `remotes`, for a request that takes these versions.
    pub(super) fn new(
        context: &Context,
        security: SecurityParameters,
        wish: Wish,
        remotes: Vec<RemoteEndpoint>,
    ) -> Result<Self, Error> {
        let environment = context.environment();
        // A change in between makes the revision too old, never too new.
        let revision = environment.paths_revision();
        let paths = environment.paths();
        let mut request = PlanRequest::new(Action::Initiate, security.clone());
        request.remotes = remotes;
        request.paths = paths.clone();
        let stacks = context.stacks().iter();
        request.stacks = stacks.filter(|it| takes(wish, it)).cloned().collect();
        let plan = Plan::new(request).map_err(|error| Error::invalid(error.to_string()))?;
        let mut config = context.race_config(&plan);
        // RFC 9460 §9.5: with http, a record would demand https, which nobody asked for.
        config.uses_https_records = security.tls_parameters().is_some();
        // HTTP/3 goes before the others where it is offered or asked for.
        for candidate in &mut config.candidates {
            let is_quic = candidate.stack == StackId::QUIC;
            candidate.rank = u32::from(!is_quic);
            candidate.needs_offer = is_quic && !wish.tries_http3;
        }
        Ok(Rules {
            security,
            plan,
            paths,
            revision,
            config,
            short: [None, None],
        })
    }

    /// Those of races to any one endpoint that says nothing of stacks and interfaces.
    pub(super) fn of_any(
        context: &Context,
        security: SecurityParameters,
        wish: Wish,
    ) -> Result<Self, Error> {
        let remote = |address: IpAddr| RemoteEndpoint::address(address).port(443);
        let own = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].map(remote);
        let mut rules = Rules::new(context, security, wish, vec![own[0].clone()])?;
        rules.short = own.map(|remote| {
            rules.config.remotes = vec![remote];
            let course = race::Course::of(&rules.config)?;
            // What becomes of QUIC is watched event by event.
            (*course.stack() != StackId::QUIC).then_some(course)
        });
        Ok(rules)
    }

    /// Whether nothing has changed that they were made from.
    fn hold_in(&self, context: &Context) -> bool {
        let environment = context.environment();
        match environment.paths_revision() {
            None => self.paths == environment.paths(),
            revision => self.revision == revision,
        }
    }
}

impl RacePaths for Rules {
    fn known(&self) -> &[Path] {
        &self.paths
    }

    fn choose(&self, paths: Vec<Path>) -> Vec<Path> {
        self.plan.choose_paths(paths)
    }
}

/// Whether a request may be sent over a stack.
fn takes(wish: Wish, stack: &StackDescriptor) -> bool {
    let takes = |version| wish.versions.contains(version);
    match stack.wire {
        WireProtocol::Tcp => takes(Version::Http1) || takes(Version::Http2),
        _ => stack.id == StackId::QUIC && takes(Version::Http3),
    }
}

/// The rules of races to any endpoint that were used last, with what they were made for.
#[derive(Default)]
pub(super) struct LatestRules(Mutex<Option<(bool, Wish, Arc<Rules>)>>);

impl LatestRules {
    /// The rules for a request, with TLS or without; made where they are not those that were used
    /// last.
    pub(super) fn get(
        &self,
        context: &Context,
        is_protected: bool,
        wish: Wish,
        security: impl FnOnce() -> Result<SecurityParameters, Error>,
    ) -> Result<Arc<Rules>, Error> {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known_protected, known_wish, rules)) = &*latest
            && (*known_protected, *known_wish) == (is_protected, wish)
            && rules.hold_in(context)
        {
            return Ok(rules.clone());
        }
        let rules = Arc::new(Rules::of_any(context, security()?, wish)?);
        *latest = Some((is_protected, wish, rules.clone()));
        Ok(rules)
    }
}

/// What is raced for: endpoints, by rules.
pub(super) struct Course {
    context: Context,
    rules: Arc<Rules>,
    /// Where the rules are those of any endpoint; otherwise they have their own.
    remote: Option<RemoteEndpoint>,
}

impl Course {
    /// The course to the endpoints that the rules were made for.
    pub(super) fn of(context: &Context, rules: Rules) -> Self {
        Course {
            context: context.clone(),
            rules: Arc::new(rules),
            remote: None,
        }
    }

    /// The course to an endpoint by the rules of any.
    pub(super) fn to(
        context: &Context,
        rules: Arc<Rules>,
        remote: RemoteEndpoint,
    ) -> Result<Self, Error> {
        remote
            .validate()
            .map_err(|error| Error::invalid(format!("{remote}: {error}")))?;
        Ok(Course {
            context: context.clone(),
            rules,
            remote: Some(remote),
        })
    }

    /// The remote endpoints, by the indices that leaves have.
    pub(super) fn remotes(&self) -> &[RemoteEndpoint] {
        match &self.remote {
            Some(remote) => std::slice::from_ref(remote),
            None => &self.rules.config.remotes,
        }
    }

    /// Runs the race, in short where nobody wants to see how it goes and nothing is to be decided.
    pub(super) async fn run<T>(
        &self,
        attempt: impl Fn(Leaf, ProgressSink) -> BoxFuture<Result<T, Failure>>,
        observer: impl Observer,
    ) -> Result<T, Error> {
        let context = &self.context;
        let walkover = match observer.is_attentive() {
            true => None,
            false => self.walkover(),
        };
        let request = RaceRequest {
            terms: walkover.map_or_else(|| self.terms_in_full(), Terms::Walkover),
            paths: self.rules.clone(),
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

    /// The race in short, where one address without a question is all that there is.
    fn walkover(&self) -> Option<Walkover> {
        let remote = self.remote.as_ref()?;
        let known;
        let remote = match (remote.ip_address(), remote.host()) {
            (None, Some(host)) => {
                let addresses = self.context.environment().fixed_addresses(host)?;
                let [address] = addresses[..] else {
                    return None;
                };
                known = RemoteEndpoint::address(address).port(remote.resolved_port()?);
                known.with_host_name(host)
            }
            _ => remote.clone(),
        };
        let [ipv4, ipv6] = &self.rules.short;
        let short = match remote.ip_address()?.is_ipv4() {
            true => ipv4,
            false => ipv6,
        };
        let course = short.as_ref()?.toward(remote)?;
        let history = self.context.history();
        let deadline = self.rules.config.timing.deadline;
        Some(Walkover::new(Arc::new(course), deadline, &history))
    }

    fn terms_in_full(&self) -> Terms {
        let mut config = self.rules.config.clone();
        if let Some(remote) = &self.remote {
            config.remotes = vec![remote.clone()];
        }
        self.context.bring_up_to_date(&mut config);
        Terms::Race(Box::new(config), Record::No)
    }

    /// An attempt as HTTP wants it.
    pub(super) fn establish(
        &self,
        leaf: Leaf,
        progress: ProgressSink,
    ) -> impl Future<Output = Result<Established, Failure>> + Send + use<> {
        let (context, rules) = (self.context.clone(), self.rules.clone());
        let mut options = TcpOptions::default();
        options.no_delay = Some(true);
        async move {
            let security = &rules.security;
            establish(&context, leaf, security, &options, Some(&progress)).await
        }
    }
}
