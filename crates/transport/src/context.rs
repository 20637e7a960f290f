//! The context: what connections share, such as resolver, caches, policy and registered stacks.
//!
//! Invariant: two contexts share nothing, so isolating a session is using another context.

use crate::environment::Environment;
use crate::histories::ADDRESSES_MAX;
pub use crate::histories::Histories;
use crate::quic::{Endpoint, WeakEndpoint};
use crate::tls::TlsEngine;
use portway_core::plan::Plan;
use portway_core::race::{Account, FamilyPolicy, History, Limits, RaceConfig, Report, Timing};
use portway_core::stack::{StackDescriptor, StackId};
use portway_core::{RemoteEndpoint, SecurityParameters};
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A handle to what connections share. Cloning gives another handle to the same context.
#[derive(Clone)]
pub struct Context {
    shared: Arc<Shared>,
}

struct Shared {
    id: ContextId,
    environment: Arc<dyn Environment>,
    tls: TlsEngine,
    stacks: Vec<StackDescriptor>,
    timing: Timing,
    limits: Limits,
    families: FamilyPolicy,
    histories: Mutex<Histories>,
    accounts: Mutex<Accounts>,
    /// The endpoints of QUIC that came of it.
    endpoints: Mutex<Vec<WeakEndpoint>>,
}

/// Tells contexts apart, also those that are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContextId(u64);

/// A race that a context remembers, or has forgotten since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaceId(u64);

/// The accounts of the latest races, oldest first.
struct Accounts {
    latest: VecDeque<Account>,
    /// The number of the first one in `latest`.
    first: u64,
    max: usize,
}

impl Context {
    /// A context over `environment` with the stacks that this crate brings.
    pub fn new(environment: Arc<dyn Environment>) -> Self {
        Context::builder(environment).build()
    }

    /// A context with settings of its own.
    pub fn builder(environment: Arc<dyn Environment>) -> ContextBuilder {
        ContextBuilder {
            environment,
            stacks: StackDescriptor::builtin(),
            timing: Timing::default(),
            limits: Limits::default(),
            families: FamilyPolicy::default(),
            reports_max: REPORTS_MAX,
        }
    }

    /// Which context this is; clones of a handle are the same one.
    pub fn id(&self) -> ContextId {
        self.shared.id
    }

    /// Does what the first connection of a client with this protection would wait for: its TLS
    /// configuration is made, and the paths are looked at. What is wrong is told by that one.
    pub fn prepare(&self, security: &SecurityParameters) {
        if let Some(tls) = security.tls_parameters() {
            let _ = self.tls().prepare_client(tls);
        }
        // From now on the environment counts changes, where it can, so that nobody looks again.
        drop(self.environment().paths());
        drop(self.history());
    }

    /// The world outside.
    pub fn environment(&self) -> &Arc<dyn Environment> {
        &self.shared.environment
    }

    /// TLS configurations and sessions.
    pub fn tls(&self) -> &TlsEngine {
        &self.shared.tls
    }

    /// The stacks that a plan may choose from.
    pub fn stacks(&self) -> &[StackDescriptor] {
        &self.shared.stacks
    }

    /// A registered stack by its name.
    pub fn stack(&self, id: &StackId) -> Option<&StackDescriptor> {
        self.shared
            .stacks
            .iter()
            .find(|descriptor| descriptor.id == *id)
    }

    /// The times that govern races.
    pub fn timing(&self) -> &Timing {
        &self.shared.timing
    }

    /// The bounds of candidate trees.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// For which address families names are resolved.
    pub fn families(&self) -> FamilyPolicy {
        self.shared.families
    }

    /// The race that a plan asks for, but for what is of the moment: [`Context::bring_up_to_date`]
    /// adds that. Whether HTTPS records are asked for is left to the caller.
    pub fn race_config(&self, plan: &Plan) -> RaceConfig {
        // A race knows ports, not the names of services.
        let with_port = |remote: &RemoteEndpoint| match remote.resolved_port() {
            Some(port) => remote.clone().port(port),
            None => remote.clone(),
        };
        RaceConfig {
            remotes: plan.remotes().iter().map(with_port).collect(),
            candidates: plan.candidates(),
            locals: plan.locals().to_vec(),
            paths: plan.paths().to_vec(),
            pin_paths: plan.pins_paths(),
            timing: self.timing().clone(),
            limits: self.limits().clone(),
            may_mix_security: plan.may_mix_security(),
            families: self.families(),
            ..RaceConfig::default()
        }
    }

    /// Gives a race a seed of its own and what was learned until now.
    pub fn bring_up_to_date(&self, config: &mut RaceConfig) {
        let mut seed = [0; 8];
        self.environment().fill_random(&mut seed);
        config.seed = u64::from_le_bytes(seed);
        config.history = self.history().clone();
    }

    /// What earlier races learned on the network that the host is connected to now.
    pub fn history(&self) -> MutexGuard<'_, Histories> {
        let mut histories = self
            .shared
            .histories
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        histories.follow(&*self.shared.environment);
        histories
    }

    /// Adds to what is known of addresses, for the races that follow.
    pub fn learn(&self, teach: impl FnOnce(&mut History)) {
        let mut history = self.history();
        teach(&mut history);
        history.shrink(ADDRESSES_MAX);
    }
}

impl Context {
    /// Resolves when every QUIC connection that was made or accepted by a race or a listener of
    /// this context has ended and its peer was told. A process that ends earlier leaves its peers
    /// to their idle time; connections that are still in use are waited for, so bound the wait.
    ///
    /// Cancel safety: nothing depends on the future.
    pub async fn quic_closed(&self) {
        let endpoints = self.endpoints().clone();
        for endpoint in endpoints {
            endpoint.wait_closed().await;
        }
    }

    pub(crate) fn watch_endpoint(&self, endpoint: &Endpoint) {
        let mut endpoints = self.endpoints();
        // Seldom enough that a connect does not pay for all that came before it.
        if endpoints.len().is_power_of_two() {
            endpoints.retain(|endpoint| !endpoint.is_gone());
        }
        endpoints.push(endpoint.downgrade());
    }

    fn endpoints(&self) -> MutexGuard<'_, Vec<WeakEndpoint>> {
        self.shared
            .endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers how a race went until enough others have followed.
    pub fn remember(&self, account: Account) -> RaceId {
        let account = account.condensed();
        let mut accounts = self.accounts();
        accounts.latest.push_back(account);
        let race = RaceId(accounts.first + accounts.latest.len() as u64 - 1);
        while accounts.latest.len() > accounts.max {
            accounts.latest.pop_front();
            accounts.first += 1;
        }
        race
    }

    /// The report of a race, unless it was forgotten.
    pub fn report(&self, race: RaceId) -> Option<Report> {
        let account = {
            let accounts = self.accounts();
            let index = usize::try_from(race.0.checked_sub(accounts.first)?).ok()?;
            accounts.latest.get(index)?.clone()
        };
        Some(account.report())
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.shared
            .accounts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of the next context.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// Reports that a context remembers.
const REPORTS_MAX: usize = 256;

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("stacks", &self.shared.stacks.len())
            .finish_non_exhaustive()
    }
}

/// Collects the settings of a [`Context`].
pub struct ContextBuilder {
    environment: Arc<dyn Environment>,
    stacks: Vec<StackDescriptor>,
    timing: Timing,
    limits: Limits,
    families: FamilyPolicy,
    reports_max: usize,
}

impl ContextBuilder {
    /// Registers a further stack.
    #[must_use]
    pub fn stack(mut self, descriptor: StackDescriptor) -> Self {
        self.stacks.push(descriptor);
        self
    }

    /// Sets the times that govern races.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Sets the bounds of candidate trees.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets for which address families names are resolved.
    #[must_use]
    pub fn families(mut self, families: FamilyPolicy) -> Self {
        self.families = families;
        self
    }

    /// Sets how many races' reports are remembered, 256 unless said otherwise.
    #[must_use]
    pub fn reports_max(mut self, reports_max: usize) -> Self {
        self.reports_max = reports_max;
        self
    }

    /// The context.
    pub fn build(self) -> Context {
        Context {
            shared: Arc::new(Shared {
                id: ContextId(NEXT_ID.fetch_add(1, Ordering::Relaxed)),
                environment: self.environment,
                tls: TlsEngine::new(),
                stacks: self.stacks,
                timing: self.timing,
                limits: self.limits,
                families: self.families,
                histories: Mutex::default(),
                accounts: Mutex::new(Accounts {
                    latest: VecDeque::new(),
                    first: 0,
                    max: self.reports_max,
                }),
                endpoints: Mutex::default(),
            }),
        }
    }
}
