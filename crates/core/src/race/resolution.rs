//! From names to services with addresses, one question at a time.
//!
//! Invariant: a question is asked once while its answer is outstanding, and everything else is
//! derived from the answers, so a late answer changes the result as if it had come first.

use super::config::RaceConfig;
use super::event::EventKind;
use super::io::{Output, QueryId};
use super::log::Log;
use super::random::Random;
use super::service::{self, Binding, without_final_dot};
use crate::dns::{Answer, AnswerData, Question, RecordKind, ServerRecord};
use crate::endpoint::RemoteEndpoint;
use crate::failure::{Failure, FailureKind, Origin};
use crate::stack::WireProtocol;
use crate::time::Time;
use std::net::IpAddr;

/// Which address families are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Families {
    pub(super) ipv4: bool,
    pub(super) ipv6: bool,
    /// Whether a path has a default route for any of them.
    pub(super) has_connectivity: bool,
    pub(super) prefers_ipv4: bool,
}

impl Families {
    fn preferred(&self) -> RecordKind {
        if self.prefers_ipv4 {
            RecordKind::A
        } else {
            RecordKind::Aaaa
        }
    }
}

/// A question with what became of it.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) question: Question,
    pub(super) asked: Time,
    pub(super) ended: Option<Time>,
    pub(super) result: Option<Result<usize, Failure>>,
    /// Asked without any route; a change of paths asks again.
    had_no_route: bool,
}

/// Where a remote endpoint's addresses come from, best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// The name or address that the addresses belong to.
    pub(super) target: String,
    pub(super) port: Option<u16>,
    pub(super) priority: Option<u16>,
    pub(super) ech: Option<Vec<u8>>,
    pub(super) addresses: Vec<IpAddr>,
    /// Indexes of the candidates that may be used here; `None` allows all.
    pub(super) candidates: Option<Vec<usize>>,
}

/// How far the resolution of one remote endpoint has come (Happy Eyeballs v3 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Readiness {
    pub(super) is_literal: bool,
    pub(super) has_addresses: bool,
    pub(super) has_preferred_answer: bool,
    pub(super) has_service_information: bool,
}

impl Readiness {
    pub(super) fn is_complete(&self) -> bool {
        self.has_preferred_answer && self.has_service_information
    }
}

/// The resolution of every remote endpoint of a race.
#[derive(Clone, Debug, Default)]
pub(super) struct Resolution {
    /// One for each name and kind. They are few, and looked for often: a search allocates nothing,
    /// which a key would.
    slots: Vec<Slot>,
    pub(super) queries: Vec<Query>,
    remotes: Vec<Remote>,
}

#[derive(Clone, Debug)]
struct Slot {
    name: String,
    kind: RecordKind,
    query: QueryId,
    state: SlotState,
}

impl Slot {
    fn is_of(&self, name: &str, kind: RecordKind) -> bool {
        self.kind == kind && is_same(&self.name, name)
    }
}

#[derive(Clone, Debug)]
enum SlotState {
    Outstanding,
    /// Records, or none: a negative answer.
    Answered(AnswerData),
    Failed,
}

#[derive(Clone, Debug)]
struct Remote {
    source: Source,
    port: Option<u16>,
    /// The names of the service records that were asked for, each an alias of the one before.
    chain: Vec<String>,
    bindings: Vec<Binding>,
    is_service_known: bool,
    /// Why nothing can come of it, if nothing can.
    pub(super) refused: Option<String>,
}

#[derive(Clone, Debug)]
enum Source {
    Literal(IpAddr),
    Name {
        host: String,
        service: Option<RecordKind>,
    },
    Unusable,
}

impl Resolution {
    pub(super) fn new(config: &RaceConfig, log: &mut Log) -> Self {
        let used = config.remotes.len().min(config.limits.remotes);
        log.limit("remotes", config.remotes.len() - used);
        let mut remotes = Vec::new();
        for (index, endpoint) in config.remotes.iter().take(used).enumerate() {
            let remote = Remote::new(endpoint, config);
            if let Some(reason) = &remote.refused {
                log.event(EventKind::RemoteExcluded {
                    remote: index,
                    reason: reason.clone(),
                });
            }
            remotes.push(remote);
        }
        Resolution {
            remotes,
            ..Default::default()
        }
    }

    pub(super) fn len(&self) -> usize {
        self.remotes.len()
    }

    pub(super) fn refusal(&self, remote: usize) -> Option<&str> {
        self.remotes[remote].refused.as_deref()
    }

    /// Asks everything that is known to be needed and was not asked yet.
    pub(super) fn advance(
        &mut self,
        config: &RaceConfig,
        families: Families,
        random: &mut Random,
        log: &mut Log,
    ) {
        for index in 0..self.remotes.len() {
            let Source::Name { host, service } = self.remotes[index].source.clone() else {
                continue;
            };
            let mut asker = Asker {
                config,
                families,
                log,
            };
            // Happy Eyeballs v3 §4.1: service records, AAAA, A, back to back. An SRV name has no
            // addresses of its own, so its host is asked for only when there is no SRV record.
            if let Some(kind) = service {
                let name = self.remotes[index].chain[0].clone();
                self.ask(&name, kind, &mut asker);
            }
            if service != Some(RecordKind::Srv) {
                self.ask_addresses(&host, &mut asker);
            }
            while let Some(kind) = service
                && self.follow(index, kind, random, &mut asker)
            {}
            if self.falls_back_to_host(index) {
                self.ask_addresses(&host, &mut asker);
            }
            for target in self.targets(index) {
                self.ask_addresses(&target, &mut asker);
            }
        }
    }

    pub(super) fn on_answer(
        &mut self,
        query: QueryId,
        answer: Answer,
        config: &RaceConfig,
        log: &mut Log,
    ) {
        let records = answer.data.len();
        let Some(kind) = self.end_query(query, Ok(records), log.now) else {
            return;
        };
        let data = match answer.data {
            AnswerData::Addresses(mut addresses) => {
                addresses.retain(|address| address.is_ipv4() == (kind == RecordKind::A));
                let kept = addresses.len().min(config.limits.addresses_per_answer);
                log.limit("addresses_per_answer", addresses.len() - kept);
                addresses.truncate(kept);
                AnswerData::Addresses(addresses)
            }
            data => data,
        };
        if let Some(slot) = self.slot_of(query) {
            slot.state = SlotState::Answered(data);
        }
    }

    pub(super) fn on_failure(&mut self, query: QueryId, failure: &Failure, now: Time) {
        self.end_query(query, Err(failure.clone()), now);
        let Some(slot) = self.slot_of(query) else {
            return;
        };
        // A question that was asked again waits for its newer answer.
        if slot.query != query || matches!(slot.state, SlotState::Answered(_)) {
            return;
        }
        // Happy Eyeballs v3 §4.2: "no such name" is a negative answer, not a failure.
        slot.state = match failure.kind {
            FailureKind::NameNotFound => SlotState::Answered(AnswerData::Addresses(Vec::new())),
            _ => SlotState::Failed,
        };
    }

    /// Forgets what was asked without any route and brought nothing, so that it is asked again.
    pub(super) fn forget_routeless(&mut self) {
        let queries = &self.queries;
        self.slots.retain(|slot| {
            let has_records = matches!(&slot.state, SlotState::Answered(data) if !data.is_empty());
            let query = queries.get(slot.query.0 as usize);
            has_records || !query.is_some_and(|query| query.had_no_route)
        });
        for remote in &mut self.remotes {
            remote.chain.truncate(1);
            remote.bindings.clear();
            remote.is_service_known = remote.chain.is_empty();
        }
    }

    /// Whether the question exists and has no answer yet.
    pub(super) fn is_outstanding(&self, query: QueryId) -> bool {
        self.queries
            .get(query.0 as usize)
            .is_some_and(|query| query.ended.is_none())
    }

    /// Whether an answer is still awaited that the race depends on.
    pub(super) fn has_outstanding(&self) -> bool {
        self.queries.iter().any(|query| query.ended.is_none())
    }

    /// Whether all remote endpoints that can be used are addresses, so that nothing is ever asked.
    pub(super) fn is_literal(&self) -> bool {
        self.remotes
            .iter()
            .all(|remote| !matches!(remote.source, Source::Name { .. }))
    }

    /// The first question that has no answer yet.
    pub(super) fn outstanding(&self) -> Option<&Question> {
        let query = self.queries.iter().find(|query| query.ended.is_none());
        query.map(|query| &query.question)
    }

    pub(super) fn readiness(&self, remote: usize, families: Families) -> Readiness {
        let state = &self.remotes[remote];
        let services = self.services(remote);
        let kind = families.preferred();
        // The names that attempts would go to first: the best service records', if there are any.
        // Ours: hints of a worse service do not stand for the answers of a better one.
        let first = state.usable().next();
        let equals = state.usable().skip(1).filter(|binding| {
            // SRV targets have an order, service bindings of one priority have none.
            binding.priority.is_some() && binding.priority == first.and_then(|b| b.priority)
        });
        let best = first.into_iter().chain(equals);
        let mut names: Vec<&str> = best.map(|b| b.target.as_str()).collect();
        if let Source::Name { host, .. } = &state.source
            && names.is_empty()
        {
            names.push(state.alias_tail().unwrap_or(host));
        }
        let mut first = services
            .iter()
            .filter(|service| names.contains(&service.target.as_str()))
            .flat_map(|service| &service.addresses)
            .peekable();
        let has_first = first.peek().is_some();
        let has_preferred = first.any(|address| address.is_ipv4() == families.prefers_ipv4);
        let awaits = |kind| names.iter().any(|name| self.awaits(name, kind));
        // Addresses of the authority alone do not start it before the services' own are known.
        let awaits_first = !has_first && (awaits(RecordKind::Aaaa) || awaits(RecordKind::A));
        Readiness {
            is_literal: matches!(state.source, Source::Literal(_)),
            has_addresses: services.iter().any(|service| !service.addresses.is_empty()),
            has_preferred_answer: has_preferred || !(awaits(kind) || awaits_first),
            has_service_information: state.is_service_known,
        }
    }

    /// The services of a remote endpoint in the order in which they shall be tried.
    pub(super) fn services(&self, remote: usize) -> Vec<Service> {
        let state = &self.remotes[remote];
        let host = match &state.source {
            Source::Unusable => return Vec::new(),
            Source::Literal(address) => {
                return vec![Service {
                    addresses: vec![*address],
                    ..Service::plain(&address.to_string(), state.port)
                }];
            }
            Source::Name { host, .. } => host,
        };
        let mut services: Vec<Service> = Vec::new();
        for binding in &state.bindings {
            services.push(Service {
                target: binding.target.clone(),
                port: binding.port.or(state.port),
                priority: binding.priority,
                ech: binding.ech.clone(),
                addresses: self.addresses(&binding.target, &binding.hints),
                candidates: Some(binding.candidates.clone()),
            });
        }
        // RFC 9460 §3: then the last alias, then the authority itself, each without parameters.
        let own = state.may_use_host().then_some(host.as_str());
        for name in state.alias_tail().into_iter().chain(own) {
            let is_associated = services
                .iter()
                .any(|service| is_same(&service.target, name) && service.port == state.port);
            if !is_associated {
                services.push(Service {
                    addresses: self.addresses(name, &[]),
                    ..Service::plain(name, state.port)
                });
            }
        }
        services
    }

    /// Whether any service record was found for any remote endpoint.
    pub(super) fn has_service_records(&self) -> bool {
        self.slots.iter().any(|slot| {
            matches!(slot.kind, RecordKind::Https | RecordKind::Svcb)
                && matches!(&slot.state, SlotState::Answered(data) if !data.is_empty())
        })
    }

    /// Whether a question failed in a way that a working network could have avoided, or waits.
    pub(super) fn lacks_answers(&self) -> bool {
        self.queries.iter().any(|query| match &query.result {
            None => true,
            Some(Ok(_)) => false,
            Some(Err(failure)) => failure.kind != FailureKind::NameNotFound,
        })
    }

    /// The failure that resolution alone explains: the first that is no plain absence.
    pub(super) fn failure(&self) -> Option<&Failure> {
        let failures = || {
            self.queries
                .iter()
                .filter_map(|query| query.result.as_ref()?.as_ref().err())
        };
        failures()
            .find(|failure| failure.kind != FailureKind::NameNotFound)
            .or_else(|| failures().next())
    }

    fn end_query(
        &mut self,
        query: QueryId,
        result: Result<usize, Failure>,
        now: Time,
    ) -> Option<RecordKind> {
        let state = self.queries.get_mut(query.0 as usize)?;
        state.ended = Some(now);
        state.result = Some(result);
        Some(state.question.kind)
    }

    /// What became of the question that this query asked, maybe again.
    fn slot_of(&mut self, query: QueryId) -> Option<&mut Slot> {
        let question = &self.queries.get(query.0 as usize)?.question;
        let mut slots = self.slots.iter_mut();
        slots.find(|slot| slot.is_of(&question.name, question.kind))
    }

    fn state(&self, name: &str, kind: RecordKind) -> Option<&SlotState> {
        let slot = self.slots.iter().find(|slot| slot.is_of(name, kind));
        slot.map(|slot| &slot.state)
    }

    fn ask_addresses(&mut self, name: &str, asker: &mut Asker<'_>) {
        if asker.families.ipv6 {
            self.ask(name, RecordKind::Aaaa, asker);
        }
        if asker.families.ipv4 {
            self.ask(name, RecordKind::A, asker);
        }
    }

    fn ask(&mut self, name: &str, kind: RecordKind, asker: &mut Asker<'_>) {
        if self.state(name, kind).is_some() {
            return;
        }
        let slot = |query, state| Slot {
            name: name.to_owned(),
            kind,
            query,
            state,
        };
        let query = QueryId(self.queries.len() as u32);
        if self.queries.len() >= asker.config.limits.queries {
            asker.log.limit("queries", 1);
            self.slots.push(slot(QueryId(0), SlotState::Failed));
            return;
        }
        let question = Question {
            name: name.to_owned(),
            kind,
        };
        self.queries.push(Query {
            question: question.clone(),
            asked: asker.log.now,
            ended: None,
            result: None,
            had_no_route: !asker.families.has_connectivity,
        });
        self.slots.push(slot(query, SlotState::Outstanding));
        asker.log.event(EventKind::Asked {
            query,
            question: question.clone(),
        });
        asker.log.output(Output::Resolve(query, question));
    }

    /// Takes one step along a remote's service records; whether there may be another.
    fn follow(
        &mut self,
        index: usize,
        kind: RecordKind,
        random: &mut Random,
        asker: &mut Asker<'_>,
    ) -> bool {
        let remote = &self.remotes[index];
        if remote.is_service_known {
            return false;
        }
        let owner = remote.owner().to_owned();
        let data = match self.state(&owner, kind) {
            Some(SlotState::Answered(data)) => data.clone(),
            Some(SlotState::Failed) => AnswerData::Services(Vec::new()),
            _ => return false,
        };
        let remote = &mut self.remotes[index];
        match data {
            AnswerData::Services(records) => {
                let aliases: Vec<_> = records.iter().filter(|r| r.priority == 0).collect();
                if aliases.is_empty() {
                    remote.bindings =
                        service::bindings(&owner, kind, &records, asker.config, random, asker.log);
                } else {
                    // RFC 9460 §2.4.2: one alias at random; ServiceMode records beside it are
                    // ignored.
                    let chosen = random.up_to(aliases.len() as u64 - 1) as usize;
                    let target = without_final_dot(&aliases[chosen].target);
                    if remote.take_alias(target, asker) {
                        self.ask(target, kind, asker);
                        self.ask_addresses(target, asker);
                        return true;
                    }
                }
            }
            AnswerData::Servers(records) => {
                let wire = asker.config.remotes[index].srv_wire();
                remote.take_servers(&records, wire, random, asker);
                if let Some(reason) = remote.refused.clone() {
                    let remote = index;
                    asker
                        .log
                        .event(EventKind::RemoteExcluded { remote, reason });
                }
            }
            AnswerData::Addresses(_) => {}
        }
        self.remotes[index].is_service_known = true;
        false
    }

    /// Whether a remote that has SRV records elsewhere must use its host's addresses after all.
    fn falls_back_to_host(&self, index: usize) -> bool {
        let remote = &self.remotes[index];
        remote.is_service_known && remote.bindings.is_empty() && remote.may_use_host()
    }

    fn targets(&self, index: usize) -> Vec<String> {
        let usable = self.remotes[index].usable();
        usable.map(|binding| binding.target.clone()).collect()
    }

    fn awaits(&self, name: &str, kind: RecordKind) -> bool {
        matches!(self.state(name, kind), Some(SlotState::Outstanding))
    }

    /// The addresses of a name: answers, and hints for the families that have none yet.
    fn addresses(&self, name: &str, hints: &[IpAddr]) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for kind in [RecordKind::Aaaa, RecordKind::A] {
            match self.state(name, kind) {
                Some(SlotState::Answered(AnswerData::Addresses(found))) => {
                    addresses.extend(found.iter().copied());
                }
                // RFC 9460 §7.3: hints hold until the real answer, empty or not, replaces them.
                _ => addresses.extend(
                    hints
                        .iter()
                        .filter(|hint| hint.is_ipv4() == (kind == RecordKind::A)),
                ),
            }
        }
        addresses
    }
}

impl Service {
    fn plain(target: &str, port: Option<u16>) -> Self {
        Service {
            target: target.to_owned(),
            port,
            priority: None,
            ech: None,
            addresses: Vec::new(),
            candidates: None,
        }
    }
}

impl Remote {
    fn new(endpoint: &RemoteEndpoint, config: &RaceConfig) -> Self {
        let mut remote = Remote {
            source: Source::Unusable,
            port: endpoint.resolved_port(),
            chain: Vec::new(),
            bindings: Vec::new(),
            is_service_known: false,
            refused: None,
        };
        let srv = endpoint.srv_name();
        let has_srv = srv.is_some();
        // RFC 9622 §6.1: an address, once set, is the only one connected to.
        if let Some(address) = endpoint.ip_address() {
            remote.source = Source::Literal(address);
        } else if let Some(host) = endpoint.host() {
            let service = if let Some(name) = srv {
                remote.chain.push(name);
                Some(RecordKind::Srv)
            } else if config.uses_https_records {
                remote.chain.push(https_name(host, remote.port));
                Some(RecordKind::Https)
            } else {
                None
            };
            let host = host.to_owned();
            remote.source = Source::Name { host, service };
        } else {
            remote.refused = Some("it has neither a name nor an address".to_owned());
            return remote;
        }
        remote.is_service_known = remote.chain.is_empty();
        if remote.port.is_none() && (!has_srv || endpoint.ip_address().is_some()) {
            remote.source = Source::Unusable;
            remote.refused = Some("it has no port".to_owned());
        }
        remote
    }

    /// The name whose service records are asked for now.
    fn owner(&self) -> &str {
        self.chain.last().map_or("", String::as_str)
    }

    /// The service records that at least one candidate may use.
    fn usable(&self) -> impl Iterator<Item = &Binding> {
        let bindings = self.bindings.iter();
        bindings.filter(|binding| !binding.candidates.is_empty())
    }

    /// The end of a chain of aliases, if there was any.
    fn alias_tail(&self) -> Option<&str> {
        (self.chain.len() > 1).then(|| self.owner())
    }

    /// Whether the host's own addresses may be used with the application's port.
    fn may_use_host(&self) -> bool {
        let is_srv = matches!(
            self.source,
            Source::Name {
                service: Some(RecordKind::Srv),
                ..
            }
        );
        // RFC 2782: the host itself is a fallback only where no SRV record exists.
        self.refused.is_none()
            && self.port.is_some()
            && (!is_srv || (self.is_service_known && self.bindings.is_empty()))
    }

    /// Follows an alias, or says why not; whether it was followed.
    fn take_alias(&mut self, target: &str, asker: &mut Asker<'_>) -> bool {
        let owner = self.owner().to_owned();
        let is_known = self.chain.iter().any(|name| is_same(name, target));
        let refusal = if target == "." || target.is_empty() {
            // RFC 9460 §2.5.1: advisory; the name itself may still work.
            Some("it says that the service is not available")
        } else if is_known {
            Some("it leads back to a name that was asked for")
        } else if self.chain.len() > asker.config.limits.alias_depth.max(1) {
            Some("the chain is too long")
        } else {
            None
        };
        let Some(reason) = refusal else {
            self.chain.push(target.to_owned());
            asker.log.event(EventKind::AliasFollowed {
                owner,
                target: target.to_owned(),
            });
            return true;
        };
        asker.log.event(EventKind::AliasRefused {
            owner,
            target: target.to_owned(),
            reason: reason.to_owned(),
        });
        // RFC 9460 §3.1: a chain that cannot be followed counts as if there were no record.
        self.chain.truncate(1);
        false
    }

    fn take_servers(
        &mut self,
        records: &[ServerRecord],
        wire: Option<WireProtocol>,
        random: &mut Random,
        asker: &mut Asker<'_>,
    ) {
        // RFC 2782: a single record with the target `.` says that there is no such service.
        if let [only] = records
            && only.target == "."
        {
            self.refused = Some("its SRV record says that the service is not available".to_owned());
            return;
        }
        let candidates = asker.config.candidates.iter().enumerate();
        let candidates = candidates
            .filter(|(_, candidate)| Some(candidate.wire) == wire)
            .map(|(index, _)| index)
            .collect();
        self.bindings =
            service::servers(records, candidates, &asker.config.limits, random, asker.log);
    }
}

struct Asker<'a> {
    config: &'a RaceConfig,
    families: Families,
    log: &'a mut Log,
}

/// The failure of a race whose remote endpoints led to no address at all.
pub(super) fn no_address(resolution: &Resolution) -> Failure {
    if let Some(failure) = resolution.failure() {
        return failure.clone();
    }
    let refusal = (0..resolution.len()).find_map(|remote| resolution.refusal(remote));
    match refusal {
        Some(reason) => Failure::new(
            Origin::Local,
            FailureKind::InvalidRequest,
            format!("no remote endpoint can be used: {reason}"),
        ),
        None if resolution.len() == 0 => Failure::new(
            Origin::Local,
            FailureKind::InvalidRequest,
            "there is no remote endpoint",
        ),
        None => Failure::new(
            Origin::Dns,
            FailureKind::NameNotFound,
            "the name has no address",
        ),
    }
}

fn is_same(one: &str, other: &str) -> bool {
    without_final_dot(one).eq_ignore_ascii_case(without_final_dot(other))
}

/// RFC 9460 §9.1: the host itself for port 443, otherwise a name with the port as prefix.
fn https_name(host: &str, port: Option<u16>) -> String {
    match port {
        Some(443) | None => host.to_owned(),
        Some(port) => format!("_{port}._https.{host}"),
    }
}
