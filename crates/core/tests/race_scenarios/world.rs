//! A world on virtual time for a race: resolver, hosts and paths, written as lines of text.
//!
//! Invariant: the world answers by its script alone, so a scenario is a function of its text.

use portway_core::dns::{Answer, AnswerData, RecordKind, ServerRecord, ServiceBinding};
use portway_core::path::{InterfaceKind, LocalAddress, Path, PathId};
use portway_core::race::{
    AttemptId, Candidate, Input, Leaf, Output, Progress, QueryId, RaceConfig, Recorder, Recording,
    Setback,
};
use portway_core::security::TlsVersion;
use portway_core::{
    Failure, FailureKind, LocalEndpoint, Origin, RemoteEndpoint, SecurityClass, StackId, Time,
    WireProtocol,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What a race is given and what it meets.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub config: RaceConfig,
    answers: BTreeMap<(String, RecordKind), (u64, Result<AnswerData, FailureKind>)>,
    hosts: BTreeMap<(String, SocketAddr), Behaviour>,
    inputs: Vec<(u64, Input)>,
}

/// What an endpoint does after an attempt starts, in milliseconds from that start.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Behaviour {
    pub answered: Option<u64>,
    pub connected: Option<u64>,
    pub end: Option<(u64, Option<FailureKind>)>,
}

/// A race that has run in a world.
pub(crate) struct Run {
    pub recorder: Recorder,
    pub outputs: Vec<(u64, Output)>,
    pub events: Vec<portway_core::race::Event>,
}

impl World {
    /// A world from its lines; see [`World::line`].
    pub(crate) fn parse(script: &str) -> World {
        let mut world = World::default();
        for line in script.lines().map(str::trim) {
            if !line.is_empty() {
                world.line(line);
            }
        }
        if world.config.paths.is_empty() && !script.contains("no paths") {
            world.config.paths = vec![path(
                "eth0#2 2001:db8:f::9/64 192.0.2.99/24 default4 default6",
            )];
        }
        if world.config.remotes.is_empty() {
            world.config.remotes = vec![remote("example.com:443")];
        }
        if world.config.candidates.is_empty() && !script.contains("no stacks") {
            world.config.candidates = vec![candidate("tls")];
        }
        world
    }

    /// One line: `remote`, `local`, `stack`, `path`, `set`, `rtt`, `setback`, `dns`, `host` or
    /// `at`.
    fn line(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap();
        match verb {
            "no" => assert!(rest == "paths" || rest == "stacks"),
            "show" => {}
            "remote" => self.config.remotes.push(remote(rest)),
            "local" => self.config.locals.push(local(rest)),
            "stack" => self.config.candidates.push(candidate(rest)),
            "path" => self.config.paths.push(path(rest)),
            "set" => rest.split(' ').for_each(|pair| self.set(pair)),
            "rtt" => {
                let (address, rtt) = rest.split_once(' ').unwrap();
                let rtts = &mut self.config.history.rtts;
                rtts.insert(address.parse().unwrap(), ms(rtt.parse().unwrap()));
            }
            "used" => {
                self.config.history.used.insert(rest.parse().unwrap());
            }
            "setback" => {
                let words: Vec<&str> = rest.split(' ').collect();
                self.config.history.setbacks.push(Setback {
                    stack: StackId::new(words[0].to_owned()),
                    address: words[1].parse().unwrap(),
                    until: Time::from_origin(ms(words[2].parse().unwrap())),
                });
            }
            "dns" => self.dns(rest),
            "host" => self.host(rest),
            "at" => self.at(rest),
            other => panic!("unknown verb {other}"),
        }
    }

    fn set(&mut self, pair: &str) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let config = &mut self.config;
        let count = || value.parse::<usize>().unwrap();
        let time = || ms(value.parse().unwrap());
        match key {
            "https" => config.uses_https_records = true,
            "ech" => config.uses_ech = true,
            "mix" => config.may_mix_security = true,
            "pin" => config.pin_paths = true,
            "seed" => config.seed = value.parse().unwrap(),
            "both-families" => config.families = portway_core::race::FamilyPolicy::Both,
            "first-family" => config.first_family_count.0 = count(),
            "deadline" => config.timing.deadline = Some(Time::ZERO + time()),
            "attempt-delay" => config.timing.attempt_delay = time(),
            "attempt-min" => config.timing.attempt_delay_min = time(),
            "attempt-max" => config.timing.attempt_delay_max = time(),
            "resolution-delay" => config.timing.resolution_delay = time(),
            "late" => config.timing.late_answers = time(),
            "remotes" => config.limits.remotes = count(),
            "addresses" => config.limits.addresses_per_answer = count(),
            "services" => config.limits.services_per_answer = count(),
            "aliases" => config.limits.alias_depth = count(),
            "queries" => config.limits.queries = count(),
            "leaves" => config.limits.leaves = count(),
            "concurrent" => config.limits.concurrent_attempts = count(),
            other => panic!("unknown setting {other}"),
        }
    }

    /// `MS|never KIND NAME fail=KIND | nothing | ADDRESS... | PRIORITY TARGET KEY=VALUE... ; ...`
    fn dns(&mut self, rest: &str) {
        let mut words = rest.splitn(4, ' ');
        let delay = words.next().unwrap();
        let kind = kind(words.next().unwrap());
        let name = words.next().unwrap().to_owned();
        let data = words.next().unwrap_or("nothing");
        let result = match data.strip_prefix("fail=") {
            Some(failure) => Err(failure_kind(failure)),
            None => Ok(records(kind, data)),
        };
        let delay = if delay == "never" {
            NEVER
        } else {
            delay.parse().unwrap()
        };
        self.answers.insert((name, kind), (delay, result));
    }

    /// `STACK ADDRESS [answered=MS] [connected=MS] [ready=MS | KIND=MS]`; nothing is silence.
    fn host(&mut self, rest: &str) {
        let mut words = rest.split(' ');
        let stack = words.next().unwrap().to_owned();
        let address = words.next().unwrap().parse().unwrap();
        let mut behaviour = Behaviour::default();
        for word in words {
            let (key, at) = word.split_once('=').unwrap();
            let at: u64 = at.parse().unwrap();
            match key {
                "answered" => behaviour.answered = Some(at),
                "connected" => behaviour.connected = Some(at),
                "ready" => behaviour.end = Some((at, None)),
                kind => behaviour.end = Some((at, Some(failure_kind(kind)))),
            }
        }
        self.hosts.insert((stack, address), behaviour);
    }

    /// `MS paths PATH ; PATH`, `MS cancel`, `MS succeed N`, `MS fail N KIND`, `MS answered N`,
    /// `MS answer QUERY ADDRESS...`, `MS no-answer QUERY KIND` or `MS tick`.
    fn at(&mut self, rest: &str) {
        let (at, rest) = rest.split_once(' ').unwrap();
        let (verb, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let input = match verb {
            "paths" if rest.is_empty() => Input::PathsChanged(Vec::new()),
            "paths" => Input::PathsChanged(rest.split(" ; ").map(path).collect()),
            "cancel" => Input::Cancelled,
            "tick" => Input::TimerExpired,
            "succeed" => Input::Succeeded(AttemptId(rest.parse().unwrap())),
            "fail" => {
                let (id, kind) = rest.split_once(' ').unwrap();
                Input::Failed(AttemptId(id.parse().unwrap()), failure(failure_kind(kind)))
            }
            "answer" => {
                let (query, addresses) = rest.split_once(' ').unwrap();
                let addresses = addresses.split(' ').map(|word| word.parse().unwrap());
                let data = AnswerData::Addresses(addresses.collect());
                let ttl = ms(60_000);
                Input::Answered(QueryId(query.parse().unwrap()), Answer { data, ttl })
            }
            "no-answer" => {
                let (query, kind) = rest.split_once(' ').unwrap();
                let failure = failure(failure_kind(kind));
                Input::QueryFailed(QueryId(query.parse().unwrap()), failure)
            }
            "answered" => {
                Input::Progressed(AttemptId(rest.parse().unwrap()), Progress::PeerAnswered)
            }
            other => panic!("unknown input {other}"),
        };
        self.inputs.push((at.parse().unwrap(), input));
    }

    pub(crate) fn set_answer(
        &mut self,
        name: &str,
        kind: RecordKind,
        delay: u64,
        result: Result<AnswerData, FailureKind>,
    ) {
        self.answers
            .insert((name.to_owned(), kind), (delay, result));
    }

    pub(crate) fn set_host(&mut self, stack: &str, address: SocketAddr, behaviour: Behaviour) {
        self.hosts.insert((stack.to_owned(), address), behaviour);
    }

    /// Runs the race until it is finished or nothing more can happen, at most to `END`.
    pub(crate) fn run(&self) -> Run {
        let mut run = Run {
            recorder: Recorder::new(Time::ZERO, self.config.clone()),
            outputs: Vec::new(),
            events: Vec::new(),
        };
        // What is to come, in order of time, then of scheduling.
        let mut pending: BTreeMap<(u64, usize), Input> = BTreeMap::new();
        let mut serial = 0;
        for (at, input) in &self.inputs {
            pending.insert((*at, serial), input.clone());
            serial += 1;
        }
        let mut now = 0;
        loop {
            while let Some(output) = run.recorder.poll_output() {
                for (at, input) in self.react(now, &output, &mut pending) {
                    pending.insert((at, serial), input);
                    serial += 1;
                }
                run.outputs.push((now, output));
                assert!(run.outputs.len() < MANY, "the race goes round in circles");
            }
            while let Some(event) = run.recorder.poll_event() {
                run.events.push(event);
            }
            let timer = run.recorder.poll_timeout();
            if let Some(timer) = timer {
                assert!(timer > Time::ZERO + ms(now), "a timer lies in the past");
            }
            if run.recorder.race().is_finished() {
                assert_eq!(timer, None, "a finished race has a timer");
                return run;
            }
            let timer = timer.map(|timer| timer.since_origin().as_millis() as u64);
            let next = pending.first_key_value().map(|(key, _)| key.0);
            let Some(at) = timer.into_iter().chain(next).min().filter(|at| *at < END) else {
                return run;
            };
            now = at;
            let input = if next == Some(at) {
                pending.pop_first().map(|(_, input)| input)
            } else {
                None
            };
            run.recorder
                .handle(Time::ZERO + ms(now), input.unwrap_or(Input::TimerExpired));
        }
    }

    fn react(
        &self,
        now: u64,
        output: &Output,
        pending: &mut BTreeMap<(u64, usize), Input>,
    ) -> Vec<(u64, Input)> {
        match output {
            Output::Resolve(id, question) => {
                let key = (question.name.clone(), question.kind);
                let unknown = (0, Err(FailureKind::NameNotFound));
                let (delay, result) = self.answers.get(&key).cloned().unwrap_or(unknown);
                let input = match result {
                    Ok(data) => Input::Answered(
                        *id,
                        Answer {
                            data,
                            ttl: ms(60_000),
                        },
                    ),
                    Err(kind) => Input::QueryFailed(*id, failure(kind)),
                };
                (delay != NEVER)
                    .then_some((now.saturating_add(delay), input))
                    .into_iter()
                    .collect()
            }
            Output::Attempt(id, leaf) => self.attempt(now, *id, leaf),
            Output::Cancel(id) => {
                pending.retain(|_, input| attempt_of(input) != Some(*id));
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn attempt(&self, now: u64, id: AttemptId, leaf: &Leaf) -> Vec<(u64, Input)> {
        let key = (leaf.stack.to_string(), leaf.remote);
        let Some(behaviour) = self.hosts.get(&key) else {
            return Vec::new();
        };
        let answered = behaviour
            .answered
            .map(|at| (now + at, Input::Progressed(id, Progress::PeerAnswered)));
        let connected = behaviour.connected.map(|at| {
            let rtt = Some(ms(at));
            let progress = Progress::TransportConnected { rtt };
            (now + at, Input::Progressed(id, progress))
        });
        let end = behaviour.end.map(|(at, kind)| match kind {
            None => (now + at, Input::Succeeded(id)),
            Some(kind) => (now + at, Input::Failed(id, failure(kind))),
        });
        answered.into_iter().chain(connected).chain(end).collect()
    }
}

impl Run {
    /// The recording, after it was read back from JSON and replayed to the same decisions.
    pub(crate) fn check_replay(self) -> Recording {
        let report = self.recorder.race().report();
        let recording = self.recorder.finish();
        let text = serde_json::to_string(&recording).unwrap();
        let read: Recording = serde_json::from_str(&text).unwrap();
        assert_eq!(read, recording, "a recording reads back as it was written");
        assert_eq!(read.replay(), Ok(report));
        recording
    }
}

pub(crate) fn attempt_of(input: &Input) -> Option<AttemptId> {
    match input {
        Input::Progressed(id, _) | Input::Succeeded(id) | Input::Failed(id, _) => Some(*id),
        _ => None,
    }
}

pub(crate) fn failure(kind: FailureKind) -> Failure {
    let origin = match kind {
        FailureKind::NameNotFound | FailureKind::ResolverFailed => Origin::Dns,
        FailureKind::CertificateRejected | FailureKind::AlpnMismatch => Origin::Tls,
        _ => Origin::System,
    };
    let name = serde_json::to_string(&kind).unwrap();
    Failure::new(origin, kind, name.trim_matches('"').replace('-', " "))
}

pub(crate) fn failure_kind(name: &str) -> FailureKind {
    serde_json::from_str(&format!("\"{name}\"")).unwrap()
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn protected() -> SecurityClass {
    SecurityClass::Protected {
        floor: TlsVersion::Tls12,
        trust: "platform".to_owned(),
        identity: None,
        peer_name: Some("example.com".to_owned()),
        ech_required: false,
        algorithms: None,
    }
}

/// `HOST[:PORT] [service=S] [interface=I] [stack=S] [name=N]`
fn remote(text: &str) -> RemoteEndpoint {
    let mut words = text.split(' ');
    let end = words.next().unwrap();
    let mut remote = match (end.parse::<SocketAddr>(), end.rsplit_once(':')) {
        (Ok(address), _) => RemoteEndpoint::from(address),
        (_, Some((host, port))) => RemoteEndpoint::host_name(host).port(port.parse().unwrap()),
        (_, None) => RemoteEndpoint::host_name(end),
    };
    for word in words {
        let (key, value) = word.split_once('=').unwrap();
        let value = value.to_owned();
        remote = match key {
            "service" => remote.service(value),
            "interface" => remote.interface(value),
            "stack" => remote.for_stack(StackId::new(value)),
            "name" => remote.with_host_name(value),
            other => panic!("unknown key {other}"),
        };
    }
    remote
}

fn local(text: &str) -> LocalEndpoint {
    let mut local = LocalEndpoint::any();
    for word in text.split(' ') {
        let (key, value) = word.split_once('=').unwrap();
        local = match key {
            "address" => {
                let port = local.resolved_port();
                let local = LocalEndpoint::address(value.parse::<IpAddr>().unwrap());
                port.map_or(local.clone(), |port| local.port(port))
            }
            "port" => local.port(value.parse().unwrap()),
            "interface" => local.interface(value),
            "stack" => local.for_stack(StackId::new(value.to_owned())),
            other => panic!("unknown key {other}"),
        };
    }
    local
}

/// `NAME [RANK] [alpn=A,B] [offered] [cleartext | tls13 | ech]`; quic and udp use UDP.
fn candidate(text: &str) -> Candidate {
    let mut words = text.split(' ');
    let name = words.next().unwrap();
    let mut candidate = Candidate {
        stack: StackId::new(name.to_owned()),
        wire: match name {
            "quic" | "udp" => WireProtocol::Udp,
            _ => WireProtocol::Tcp,
        },
        rank: 0,
        security: protected(),
        alpn: Vec::new(),
        needs_offer: false,
    };
    for word in words {
        let class = &mut candidate.security;
        match (word, class) {
            ("offered", _) => candidate.needs_offer = true,
            ("cleartext", class) => *class = SecurityClass::Cleartext,
            ("tls13", SecurityClass::Protected { floor, .. }) => *floor = TlsVersion::Tls13,
            ("ech", SecurityClass::Protected { ech_required, .. }) => *ech_required = true,
            _ => match word.strip_prefix("alpn=") {
                Some(list) => candidate.alpn = alpn(list),
                None => candidate.rank = word.parse().unwrap(),
            },
        }
    }
    candidate
}

/// `NAME#INDEX [ADDRESS/LEN[!deprecated]...] [default4] [default6] [virtual]`
pub(crate) fn path(text: &str) -> Path {
    let mut words = text.split(' ');
    let (interface, index) = words.next().unwrap().split_once('#').unwrap();
    let mut path = Path {
        id: PathId(index.parse().unwrap()),
        interface: interface.to_owned(),
        kind: InterfaceKind::Ethernet,
        addresses: Vec::new(),
        has_ipv4_default: false,
        has_ipv6_default: false,
        mtu: 1500,
        is_metered: None,
    };
    for word in words {
        match word {
            "default4" => path.has_ipv4_default = true,
            "default6" => path.has_ipv6_default = true,
            "virtual" => path.kind = InterfaceKind::Virtual,
            "loopback" => path.kind = InterfaceKind::Loopback,
            address => {
                let (address, len) = address.split_once('/').unwrap();
                path.addresses.push(LocalAddress {
                    address: address.parse().unwrap(),
                    prefix_len: len.trim_end_matches("!deprecated").parse().unwrap(),
                    is_temporary: false,
                    is_deprecated: len.ends_with("!deprecated"),
                });
            }
        }
    }
    path
}

fn kind(text: &str) -> RecordKind {
    serde_json::from_str(&format!("\"{text}\"")).unwrap()
}

fn records(kind: RecordKind, text: &str) -> AnswerData {
    let entries = text.split(" ; ").filter(|_| text != "nothing");
    match kind {
        RecordKind::Https | RecordKind::Svcb => {
            AnswerData::Services(entries.map(service).collect())
        }
        RecordKind::Srv => AnswerData::Servers(entries.map(server).collect()),
        _ => AnswerData::Addresses(
            text.split(' ')
                .filter(|_| text != "nothing")
                .map(|address| address.parse().unwrap())
                .collect(),
        ),
    }
}

fn service(text: &str) -> ServiceBinding {
    let mut words = text.split(' ');
    let mut binding = ServiceBinding {
        priority: words.next().unwrap().parse().unwrap(),
        target: words.next().unwrap().to_owned(),
        ..ServiceBinding::default()
    };
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let list = || value.split(',');
        match key {
            "alpn" => binding.alpn = alpn(value),
            "no-default-alpn" => binding.no_default_alpn = true,
            "port" => binding.port = Some(value.parse().unwrap()),
            "v4" => binding.ipv4_hints = list().map(|hint| hint.parse().unwrap()).collect(),
            "v6" => binding.ipv6_hints = list().map(|hint| hint.parse().unwrap()).collect(),
            "ech" => binding.ech = Some(value.into()),
            "mandatory" => binding.mandatory = list().map(|key| key.parse().unwrap()).collect(),
            other => panic!("unknown key {other}"),
        }
    }
    binding
}

fn server(text: &str) -> ServerRecord {
    let words: Vec<&str> = text.split(' ').collect();
    ServerRecord {
        priority: words[0].parse().unwrap(),
        weight: words[1].parse().unwrap(),
        port: words[2].parse().unwrap(),
        target: words[3].to_owned(),
    }
}

fn alpn(list: &str) -> Vec<Vec<u8>> {
    list.split(',')
        .map(|name| name.as_bytes().to_vec())
        .collect()
}

/// No race has as many outputs: names, leaves and their limits are fewer.
const MANY: usize = 2_000;
/// No scenario runs longer.
pub(crate) const END: u64 = 60_000;
const NEVER: u64 = u64::MAX;
