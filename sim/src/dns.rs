//! Scripted name resolution: each host has its own view, any answer at any time.
//!
//! Invariant: a question gets the answer that is scripted when it is asked; later changes hold
//! for later questions.

use crate::host::HostId;
use crate::state::{Shared, State};
use crate::timer::SimTimer;
use portway_core::dns::{Answer, AnswerData, Question, RecordKind, ServerRecord, ServiceBinding};
use portway_core::failure::Origin;
use portway_core::{Failure, FailureKind, Time};
use portway_transport::environment::{BoxFuture, Timer};
use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A handle to the name resolution of one host.
///
/// A name without any script does not exist. A name with a script for one record type has no data
/// of the others.
#[derive(Clone)]
pub struct Dns {
    shared: Arc<Shared>,
    host: HostId,
}

/// The records of a scripted answer; made from a list of addresses or records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records(AnswerData);

impl From<Vec<IpAddr>> for Records {
    fn from(addresses: Vec<IpAddr>) -> Self {
        Records(AnswerData::Addresses(addresses))
    }
}

impl From<&[&str]> for Records {
    /// Addresses.
    ///
    /// # Panics
    /// When one of them is none.
    fn from(addresses: &[&str]) -> Self {
        let parse = |text: &&str| text.parse().expect("a scripted answer lists addresses");
        Records(AnswerData::Addresses(addresses.iter().map(parse).collect()))
    }
}

impl<const N: usize> From<[&str; N]> for Records {
    fn from(addresses: [&str; N]) -> Self {
        Records::from(&addresses[..])
    }
}

impl From<Vec<ServiceBinding>> for Records {
    fn from(services: Vec<ServiceBinding>) -> Self {
        Records(AnswerData::Services(services))
    }
}

impl From<Vec<ServerRecord>> for Records {
    fn from(servers: Vec<ServerRecord>) -> Self {
        Records(AnswerData::Servers(servers))
    }
}

impl Dns {
    pub(crate) fn new(shared: Arc<Shared>, host: HostId) -> Self {
        Dns { shared, host }
    }

    /// Answers questions for `name` and `kind` with these records after a delay.
    pub fn answer(
        &self,
        name: &str,
        kind: RecordKind,
        after: Duration,
        records: impl Into<Records>,
    ) -> &Self {
        let answer = Answer {
            data: records.into().0,
            ttl: DEFAULT_TTL,
        };
        self.reply(name, kind, after, Ok(answer))
    }

    /// Answers with exactly this, be it an answer of another type or a failure.
    pub fn reply(
        &self,
        name: &str,
        kind: RecordKind,
        after: Duration,
        result: Result<Answer, Failure>,
    ) -> &Self {
        self.script(name, kind, Script::After(after, result))
    }

    /// Fails with this kind of failure after a delay.
    pub fn fail(&self, name: &str, kind: RecordKind, after: Duration, why: FailureKind) -> &Self {
        let failure = Failure::new(Origin::Dns, why, format!("resolving {name} failed"));
        self.reply(name, kind, after, Err(failure))
    }

    /// Says after a delay that the name has no data of this type.
    pub fn no_data(&self, name: &str, kind: RecordKind, after: Duration) -> &Self {
        self.reply(name, kind, after, Ok(no_data(kind)))
    }

    /// Never answers.
    pub fn never(&self, name: &str, kind: RecordKind) -> &Self {
        self.script(name, kind, Script::Never)
    }

    /// Gives `name` these addresses, as A and AAAA records, after the default delay.
    ///
    /// # Panics
    /// When one of them is no address.
    pub fn zone(&self, name: &str, addresses: &[&str]) -> &Self {
        let delay = self.shared.with(|state| self.script_of(state).delay);
        let parse = |text: &&str| text.parse().expect("a zone lists addresses");
        let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) =
            addresses.iter().map(parse).partition(IpAddr::is_ipv4);
        self.answer(name, RecordKind::A, delay, v4);
        self.answer(name, RecordKind::Aaaa, delay, v6)
    }

    /// Sets the delay of answers that have none of their own; 5 ms at first.
    pub fn set_delay(&self, delay: Duration) -> &Self {
        self.shared
            .with(|state| self.script_of(state).delay = delay);
        self
    }

    /// Forgets every script of `name`, so that it does not exist.
    pub fn forget(&self, name: &str) -> &Self {
        let name = canonical(name);
        self.shared
            .with(|state| self.script_of(state).scripts.remove(&name));
        self
    }

    /// Every question that was asked, and when.
    pub fn questions(&self) -> Vec<(Time, Question)> {
        self.shared
            .with(|state| self.script_of(state).asked.clone())
    }

    fn script(&self, name: &str, kind: RecordKind, script: Script) -> &Self {
        let name = canonical(name);
        self.shared.with(|state| {
            let scripts = &mut self.script_of(state).scripts;
            scripts.entry(name).or_default().insert(kind, script);
        });
        self
    }

    fn script_of<'a>(&self, state: &'a mut State) -> &'a mut Resolver {
        &mut state.host_mut(self.host).resolver
    }
}

/// What a host's resolver says.
pub(crate) struct Resolver {
    scripts: BTreeMap<String, BTreeMap<RecordKind, Script>>,
    delay: Duration,
    asked: Vec<(Time, Question)>,
    /// Questions without an answer yet.
    open: BTreeMap<u64, Question>,
}

impl Default for Resolver {
    fn default() -> Self {
        Resolver {
            scripts: BTreeMap::new(),
            delay: DEFAULT_DELAY,
            asked: Vec::new(),
            open: BTreeMap::new(),
        }
    }
}

#[derive(Clone)]
enum Script {
    After(Duration, Result<Answer, Failure>),
    Never,
}

impl Resolver {
    fn ask(&mut self, now: Time, question: &Question) -> (u64, Script) {
        self.asked.push((now, question.clone()));
        let id = self.asked.len() as u64;
        self.open.insert(id, question.clone());
        let script = match self.scripts.get(&canonical(&question.name)) {
            Some(kinds) => match kinds.get(&question.kind) {
                Some(script) => script.clone(),
                None => Script::After(self.delay, Ok(no_data(question.kind))),
            },
            None => {
                let detail = format!("no such name: {}", question.name);
                let failure = Failure::new(Origin::Dns, FailureKind::NameNotFound, detail);
                Script::After(self.delay, Err(failure.with_code(NXDOMAIN)))
            }
        };
        (id, script)
    }

    pub(crate) fn open_questions(&self) -> impl Iterator<Item = &Question> {
        self.open.values()
    }
}

/// Asks the resolver of `host`; the question leaves with the first poll.
pub(crate) fn resolve(
    shared: Arc<Shared>,
    host: HostId,
    question: Question,
) -> BoxFuture<Result<Answer, Failure>> {
    Box::pin(async move {
        let (id, now, script) = shared.with(|state| {
            let now = state.now;
            let (id, script) = state.host_mut(host).resolver.ask(now, &question);
            (id, now, script)
        });
        let _asking = Asking {
            shared: shared.clone(),
            host,
            id,
        };
        match script {
            Script::Never => pending().await,
            Script::After(delay, result) => {
                let mut timer = SimTimer::new(shared);
                timer.reset(Some(now + delay));
                poll_fn(|context| timer.poll_expired(context)).await;
                result
            }
        }
    })
}

/// A question on its way; dropping it is giving up.
struct Asking {
    shared: Arc<Shared>,
    host: HostId,
    id: u64,
}

impl Drop for Asking {
    fn drop(&mut self) {
        let open = |state: &mut State| state.host_mut(self.host).resolver.open.remove(&self.id);
        self.shared.with(open);
    }
}

/// Names differ neither by case nor by the final dot.
fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn no_data(kind: RecordKind) -> Answer {
    let data = match kind {
        RecordKind::Https | RecordKind::Svcb => AnswerData::Services(Vec::new()),
        RecordKind::Srv => AnswerData::Servers(Vec::new()),
        _ => AnswerData::Addresses(Vec::new()),
    };
    Answer {
        data,
        ttl: DEFAULT_TTL,
    }
}

const DEFAULT_DELAY: Duration = Duration::from_millis(5);
const DEFAULT_TTL: Duration = Duration::from_secs(300);
/// The DNS response code of a name that does not exist.
const NXDOMAIN: i64 = 3;
