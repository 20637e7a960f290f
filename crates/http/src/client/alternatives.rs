//! The alternative services that origins have told of, as far as this client can use them.
//!
//! Invariant: what is given out is fresh, not blocked, and known of the present network or told to
//! persist; however much peers tell, the number of what is kept has a limit.

use super::alt_svc::{AltSvc, Service};
use portway_core::{RemoteEndpoint, StackId, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// An origin of https: host and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    pub(super) host: String,
    pub(super) port: u16,
}

/// Where else an origin is served by HTTP/3.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alternative {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Alternative {
    /// The endpoint of a race.
    pub(super) fn remote(&self) -> RemoteEndpoint {
        let endpoint = match self.host.parse::<IpAddr>() {
            Ok(address) => RemoteEndpoint::address(address),
            Err(_) => RemoteEndpoint::host_name(self.host.clone()),
        };
        endpoint.port(self.port).for_stack(StackId::QUIC)
    }

    /// The alternative that an endpoint of a race stands for.
    pub(super) fn of(remote: &RemoteEndpoint) -> Option<Self> {
        if remote.stack() != Some(&StackId::QUIC) {
            return None;
        }
        let address = || Some(remote.ip_address()?.to_string());
        Some(Alternative {
            host: remote.host().map(str::to_owned).or_else(address)?,
            port: remote.resolved_port()?,
        })
    }
}

impl fmt::Display for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[derive(Debug)]
struct Known {
    alternative: Alternative,
    until: Time,
    persists: bool,
}

/// What is known of all origins.
#[derive(Debug, Default)]
pub(super) struct Alternatives {
    origins: BTreeMap<Origin, Vec<Known>>,
    /// Until when what failed is not tried again.
    blocked: BTreeMap<(Origin, Alternative), Time>,
    /// Which network it was told on.
    network: Option<u64>,
}

impl Alternatives {
    /// Takes what an origin says, which replaces all that it said before. `age` is how old that is
    /// already.
    pub(super) fn learn(&mut self, now: Time, origin: &Origin, said: AltSvc, age: Duration) {
        // RFC 7838 §3.1: a new field replaces, `clear` removes.
        self.origins.remove(origin);
        let AltSvc::Services(services) = said else {
            return;
        };
        let known: Vec<Known> = services
            .into_iter()
            .filter_map(|service| known(now, origin, service, age))
            .take(PER_ORIGIN_MAX)
            .collect();
        if known.is_empty() {
            return;
        }
        if self.origins.len() >= ORIGINS_MAX {
            self.forget_one(now);
        }
        self.origins.insert(origin.clone(), known);
    }

    /// Forgets what is stale, else whose freshness ends first.
    fn forget_one(&mut self, now: Time) {
        self.origins.retain(|_, known| {
            known.retain(|known| known.until > now);
            !known.is_empty()
        });
        if self.origins.len() >= ORIGINS_MAX {
            let until = |known: &Vec<Known>| known.iter().map(|known| known.until).max();
            let first = self.origins.iter().min_by_key(|(_, known)| until(known));
            if let Some(origin) = first.map(|(origin, _)| origin.clone()) {
                self.origins.remove(&origin);
            }
        }
    }

    /// Whether no origin has told of any.
    pub(super) fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// What can be tried, the preferred one first.
    pub(super) fn usable(&self, now: Time, origin: &Origin) -> Vec<Alternative> {
        let known = self.origins.get(origin).into_iter().flatten();
        let fresh = known.filter(|known| known.until > now);
        let mut usable: Vec<_> = fresh.map(|known| known.alternative.clone()).collect();
        usable.retain(|alternative| {
            let blocked = self.blocked.get(&(origin.clone(), alternative.clone()));
            blocked.is_none_or(|until| *until <= now)
        });
        usable
    }

    /// Does not give an alternative out for a while.
    pub(super) fn block(&mut self, now: Time, origin: &Origin, alternative: &Alternative) {
        if self.blocked.len() >= BLOCKED_MAX {
            self.blocked.retain(|_, until| *until > now);
        }
        if self.blocked.len() >= BLOCKED_MAX {
            self.blocked.pop_first();
        }
        let key = (origin.clone(), alternative.clone());
        self.blocked.insert(key, now + BLOCKED_FOR);
    }

    /// Forgets what holds for another network only.
    pub(super) fn on_network(&mut self, network: u64) {
        if self
            .network
            .replace(network)
            .is_none_or(|known| known == network)
        {
            return;
        }
        // RFC 7838 §2.2: after a change of the network others may be the better ones.
        self.origins.retain(|_, known| {
            known.retain(|known| known.persists);
            !known.is_empty()
        });
        // What blocked it may have been the network that is left.
        self.blocked.clear();
    }

    fn export(&self, now: Time, clock: SystemTime) -> Vec<StoredAlternative> {
        let all = self.origins.iter();
        let all = all.flat_map(|(origin, known)| known.iter().map(move |known| (origin, known)));
        all.filter(|(_, known)| known.until > now)
            .filter_map(|(origin, known)| {
                Some(StoredAlternative {
                    origin_host: origin.host.clone(),
                    origin_port: origin.port,
                    protocol: HTTP3.to_owned(),
                    host: known.alternative.host.clone(),
                    port: known.alternative.port,
                    expires: clock.checked_add(known.until - now)?,
                    persists: known.persists,
                })
            })
            .collect()
    }

    fn import(&mut self, now: Time, clock: SystemTime, stored: Vec<StoredAlternative>) {
        let mut by_origin: BTreeMap<Origin, Vec<Service>> = BTreeMap::new();
        for stored in stored {
            let Ok(max_age) = stored.expires.duration_since(clock) else {
                continue;
            };
            let origin = Origin {
                host: stored.origin_host,
                port: stored.origin_port,
            };
            by_origin.entry(origin).or_default().push(Service {
                protocol: stored.protocol.into_bytes(),
                host: Some(stored.host),
                port: stored.port,
                max_age,
                persists: stored.persists,
            });
        }
        for (origin, services) in by_origin {
            self.learn(now, &origin, AltSvc::Services(services), Duration::ZERO);
        }
    }
}

fn known(now: Time, origin: &Origin, service: Service, age: Duration) -> Option<Known> {
    if service.protocol != HTTP3.as_bytes() {
        return None;
    }
    let left = service.max_age.checked_sub(age)?;
    Some(Known {
        alternative: Alternative {
            host: service.host.unwrap_or_else(|| origin.host.clone()),
            port: service.port,
        },
        until: now + left,
        persists: service.persists,
    })
}

/// An alternative service as it can be kept from one run of a program to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StoredAlternative {
    /// The host of the origin that told of it.
    pub origin_host: String,
    /// The port of that origin.
    pub origin_port: u16,
    /// The protocol by its ALPN name.
    pub protocol: String,
    /// The alternative's host.
    pub host: String,
    /// The alternative's port.
    pub port: u16,
    /// When it is stale.
    pub expires: SystemTime,
    /// Whether it holds on other networks too; what does not is for the network of its time.
    pub persists: bool,
}

/// The alternatives that the clones of a client share.
#[derive(Debug, Default)]
pub(super) struct Store(Mutex<Alternatives>);

impl Store {
    /// Whether nothing is known, on whatever network.
    pub(super) fn is_empty(&self) -> bool {
        let alternatives = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        alternatives.is_empty()
    }

    /// What is known on this network.
    pub(super) fn on(&self, network: u64) -> MutexGuard<'_, Alternatives> {
        let mut alternatives = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        alternatives.on_network(network);
        alternatives
    }

    pub(super) fn export(&self, network: u64, now: Time) -> Vec<StoredAlternative> {
        self.on(network).export(now, SystemTime::now())
    }

    pub(super) fn import(&self, now: Time, stored: Vec<StoredAlternative>) {
        let mut alternatives = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        alternatives.import(now, SystemTime::now(), stored);
    }
}

/// HTTP/3 by its ALPN name. Alternatives of other protocols are not used: with TCP the origin
/// itself is what they would be raced against, and nothing would be won.
const HTTP3: &str = "h3";

const ORIGINS_MAX: usize = 1024;
const PER_ORIGIN_MAX: usize = 4;
const BLOCKED_MAX: usize = 1024;
const BLOCKED_FOR: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests;
