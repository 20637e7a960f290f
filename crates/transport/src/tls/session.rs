//! Sessions that may be resumed: a client's store and a server's tickets, both with an age limit.
//!
//! Invariant: once its lifetime has passed, a session is neither offered nor accepted, whatever the
//! peer says.

use portway_core::security::Resumption;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::server::{ProducesTickets, StoresServerSessions};
use rustls::time_provider::TimeProvider;
use rustls_pki_types::ServerName;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long sessions last, by which clock.
#[derive(Clone)]
struct Age {
    /// In whole seconds, as TLS counts.
    lifetime_s: u64,
    time: Arc<dyn TimeProvider>,
}

impl Age {
    fn of(lifetime: Duration, time: &Arc<dyn TimeProvider>) -> Age {
        Age {
            lifetime_s: lifetime.as_secs(),
            time: Arc::clone(time),
        }
    }

    fn now_s(&self) -> Option<u64> {
        Some(self.time.current_time()?.as_secs())
    }

    /// Whether what was made then may still be used; not if it was made in the future.
    fn is_young(&self, made_s: u64) -> bool {
        let age_s = self.now_s().and_then(|now_s| now_s.checked_sub(made_s));
        // Both times are cut to seconds, so an equal age may already be a little more.
        age_s.is_some_and(|age_s| age_s < self.lifetime_s)
    }
}

/// The sessions of a client by server, the server that came first to be forgotten first.
pub(super) struct ClientSessions {
    servers_max: usize,
    age: Option<Age>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_name: HashMap<ServerName<'static>, OfServer>,
    names: VecDeque<ServerName<'static>>,
}

#[derive(Default)]
struct OfServer {
    group: Option<NamedGroup>,
    tls12: Option<Dated<Tls12ClientSessionValue>>,
    /// The oldest first.
    tls13: VecDeque<Dated<Tls13ClientSessionValue>>,
}

struct Dated<T> {
    session: T,
    made_s: u64,
}

impl ClientSessions {
    pub(super) fn new(resumption: &Resumption, time: &Arc<dyn TimeProvider>) -> Self {
        ClientSessions {
            servers_max: resumption.sessions_max.div_ceil(TICKETS_PER_SERVER_MAX),
            age: resumption.lifetime.map(|it| Age::of(it, time)),
            kept: Mutex::default(),
        }
    }

    fn is_young(&self, made_s: u64) -> bool {
        self.age.as_ref().is_none_or(|age| age.is_young(made_s))
    }

    /// Without a clock there is no session.
    fn dated<T>(&self, session: T) -> Option<Dated<T>> {
        let made_s = match &self.age {
            None => 0,
            Some(age) => age.now_s()?,
        };
        Some(Dated { session, made_s })
    }

    fn edit(&self, name: ServerName<'static>, change: impl FnOnce(&mut OfServer)) {
        let mut kept = self.locked();
        if let Some(server) = kept.by_name.get_mut(&name) {
            return change(server);
        }
        if kept.names.len() >= self.servers_max
            && let Some(first) = kept.names.pop_front()
        {
            kept.by_name.remove(&first);
        }
        kept.names.push_back(name.clone());
        change(kept.by_name.entry(name).or_default());
    }

    fn locked(&self) -> MutexGuard<'_, Kept> {
        // A panic while holding the lock leaves a store that is merely incomplete.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ClientSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientSessions({})", self.servers_max)
    }
}

impl ClientSessionStore for ClientSessions {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.edit(name, |server| server.group = Some(group));
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.locked().by_name.get(name)?.group
    }

    fn set_tls12_session(&self, name: ServerName<'static>, session: Tls12ClientSessionValue) {
        let session = self.dated(session);
        self.edit(name, |server| server.tls12 = session);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        let kept = self.locked();
        let dated = kept.by_name.get(name)?.tls12.as_ref()?;
        self.is_young(dated.made_s).then(|| dated.session.clone())
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        if let Some(server) = self.locked().by_name.get_mut(name) {
            server.tls12 = None;
        }
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, session: Tls13ClientSessionValue) {
        let Some(dated) = self.dated(session) else {
            return;
        };
        self.edit(name, |server| {
            if server.tls13.len() >= TICKETS_PER_SERVER_MAX {
                server.tls13.pop_front();
            }
            server.tls13.push_back(dated);
        });
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        // RFC 8446 §C.4: a ticket is used once, lest connections be told to be of one client.
        let mut kept = self.locked();
        let tickets = &mut kept.by_name.get_mut(name)?.tls13;
        let newest = tickets.pop_back()?;
        if self.is_young(newest.made_s) {
            return Some(newest.session);
        }
        tickets.clear();
        None
    }
}

/// A server's tickets, which carry the time at which they were made.
pub(super) struct AgedTickets {
    tickets: Arc<dyn ProducesTickets>,
    age: Age,
}

impl AgedTickets {
    pub(super) fn new(
        tickets: Arc<dyn ProducesTickets>,
        lifetime: Duration,
        time: &Arc<dyn TimeProvider>,
    ) -> Self {
        AgedTickets {
            tickets,
            age: Age::of(lifetime, time),
        }
    }
}

impl fmt::Debug for AgedTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgedTickets({} s)", self.age.lifetime_s)
    }
}

impl ProducesTickets for AgedTickets {
    fn enabled(&self) -> bool {
        self.tickets.enabled()
    }

    fn lifetime(&self) -> u32 {
        let lifetime_s = u32::try_from(self.age.lifetime_s).unwrap_or(u32::MAX);
        lifetime_s.min(self.tickets.lifetime())
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        let made_s = self.age.now_s()?;
        self.tickets
            .encrypt(&[&made_s.to_be_bytes(), session].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let mut session = self.tickets.decrypt(ticket)?;
        let (made_s, _) = session.split_first_chunk()?;
        if !self.age.is_young(u64::from_be_bytes(*made_s)) {
            return None;
        }
        session.drain(..size_of::<u64>());
        Some(session)
    }
}

/// A server's word that its sessions are not in tickets.
#[derive(Debug)]
pub(super) struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// The sessions of a server that takes early data. Each is resumed once at most, so that nobody
/// can replay it (RFC 8446 §8.1).
pub(super) struct ServerSessions {
    sessions_max: usize,
    age: Age,
    kept: Mutex<KeptByServer>,
}

#[derive(Default)]
struct KeptByServer {
    by_id: HashMap<Vec<u8>, (u64, ServerSession)>,
    by_order: BTreeMap<u64, Vec<u8>>,
    next: u64,
}

struct ServerSession {
    value: Vec<u8>,
    made_s: u64,
    /// What a client that resumes may count on.
    promise: EarlyPromise,
}

impl ServerSessions {
    pub(super) fn new(resumption: &Resumption, time: &Arc<dyn TimeProvider>) -> Self {
        ServerSessions {
            sessions_max: resumption.sessions_max,
            age: Age::of(resumption.lifetime.unwrap_or(KEPT_BY_SERVER), time),
            kept: Mutex::default(),
        }
    }

    /// The sessions as one kind of connection sees them.
    pub(super) fn promising(
        self: &Arc<Self>,
        promise: EarlyPromise,
    ) -> Arc<dyn StoresServerSessions> {
        Arc::new(PromisedSessions {
            sessions: Arc::clone(self),
            promise,
        })
    }

    fn locked(&self) -> MutexGuard<'_, KeptByServer> {
        // A panic while holding the lock leaves a store that is merely incomplete.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ServerSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerSessions({})", self.sessions_max)
    }
}

/// Sessions for connections that keep the same promise.
#[derive(Debug)]
struct PromisedSessions {
    sessions: Arc<ServerSessions>,
    promise: EarlyPromise,
}

impl StoresServerSessions for PromisedSessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let Some(made_s) = self.sessions.age.now_s() else {
            return false;
        };
        if value.len() > SESSION_BYTES_MAX {
            return false;
        }
        let session = ServerSession {
            value,
            made_s,
            promise: self.promise.clone(),
        };
        let mut kept = self.sessions.locked();
        if kept.by_id.len() >= self.sessions.sessions_max
            && let Some((_, oldest)) = kept.by_order.pop_first()
        {
            kept.by_id.remove(&oldest);
        }
        let order = kept.next;
        kept.next += 1;
        kept.by_order.insert(order, key.clone());
        if let Some((replaced, _)) = kept.by_id.insert(key, (order, session)) {
            kept.by_order.remove(&replaced);
        }
        true
    }

    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        // Only TLS 1.2 resumes a session more than once, and QUIC has none of that.
        None
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut kept = self.sessions.locked();
        let (order, session) = kept.by_id.remove(key)?;
        kept.by_order.remove(&order);
        drop(kept);
        // RFC 9001 §4.6.1: a server that gives less than a client may count on takes no early
        // data; without the session there is none.
        let is_usable =
            self.sessions.age.is_young(session.made_s) && self.promise.covers(&session.promise);
        is_usable.then_some(session.value)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// The limits that QUIC lets a client remember for early data, by their identifiers (RFC 9000
/// §7.4.1, RFC 9221 §3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EarlyPromise(pub(super) BTreeMap<u64, u64>);

impl EarlyPromise {
    /// Whether whoever counts on `other` is not disappointed.
    fn covers(&self, other: &EarlyPromise) -> bool {
        let given = |id: &u64| self.0.get(id).copied().unwrap_or(0);
        other.0.iter().all(|(id, value)| given(id) >= *value)
    }
}

/// A session with more than this, a client's certificates included, is not kept.
const SESSION_BYTES_MAX: usize = 16 * 1024;
/// How long a server keeps a session unless told otherwise, as long as its ticket keys would last.
const KEPT_BY_SERVER: Duration = Duration::from_secs(12 * 3600);
/// Sessions of TLS 1.3 that are kept of one server.
const TICKETS_PER_SERVER_MAX: usize = 8;
