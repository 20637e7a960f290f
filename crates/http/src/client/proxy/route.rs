//! The way to a target: a connection to its proxy, the tunnel through that, and TLS inside.
//!
//! Invariant: a way that is given up leaves nothing behind; what is protected is so from us to the
//! target, whatever the proxy is.

use super::connect::{Ask, Asking, Opened};
use super::fate::Fate;
use super::fault::{ProxyFault, ProxyLie};
use super::socks::{self, Goal, NotOpened};
use super::trunks::{Found, Trunks};
use super::{Kind, Proxy};
use crate::client::dial::{Ground, to_proxy};
use crate::client::error::Error;
use crate::client::key::Key;
use crate::client::policy::Wish;
use crate::client::settings::Settings;
use crate::client::socket::protect;
use crate::client::watch::Watch;
use crate::pool::Version;
use portway_core::dns::{AnswerData, Question, RecordKind};
use portway_core::security::Trust;
use portway_core::{Failure, FailureKind, Origin, SecurityParameters};
use portway_transport::established::{ByteCarrier, Carrier};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The way to a target through a proxy.
pub(in crate::client) struct Route<'a> {
    pub(in crate::client) settings: &'a Arc<Settings>,
    pub(in crate::client) trunks: &'a Arc<Trunks>,
    pub(in crate::client) proxy: &'a Proxy,
    /// The target.
    pub(in crate::client) key: &'a Key,
    /// The protection of the target.
    pub(in crate::client) security: SecurityParameters,
    pub(in crate::client) wish: Wish,
}

impl Proxy {
    /// What is dialled to get to it, and how.
    pub(in crate::client) fn leg(
        &self,
        settings: &Settings,
        is_forwarded: bool,
    ) -> (Key, Wish, SecurityParameters) {
        let key = Key::to_proxy(self);
        let versions = match is_forwarded {
            // Requests that are forwarded are HTTP/1.1's.
            true => Version::Http1.into(),
            false => self.tunnel_versions(),
        };
        let own = self.own_security().cloned();
        let security = own.unwrap_or_else(|| for_proxies(&settings.security));
        (key, Wish::exactly(versions), security)
    }

    /// The name of its protection space, which no origin has.
    pub(in crate::client) fn whom(&self) -> String {
        format!("proxy {self}")
    }
}

impl Route<'_> {
    /// What HTTP with the target is spoken upon; `watch` sees the way to the proxy.
    pub(in crate::client) async fn open(&self, watch: &Watch) -> Result<Ground, Error> {
        let is_shared = !self.key.is_forwarded() && self.proxy.carries_several();
        let found = match is_shared {
            true => {
                let place = self.trunks.find(self.proxy, watch);
                Some(watch.waiting(place).await?)
            }
            false => None,
        };
        if let Some(Found::Shared(_)) = &found {
            watch.on_reached(self.settings.context.environment().now());
        }
        watch.bounded(self.open_upon(found, watch)).await
    }

    async fn open_upon(&self, found: Option<Found>, watch: &Watch) -> Result<Ground, Error> {
        if self.key.is_forwarded() {
            let ground = self.reach(watch).await?;
            // What was agreed on with the proxy says nothing of the target.
            return Ok(Ground {
                protection: None,
                ..ground
            });
        }
        let opened = match self.proxy.0.kind {
            Kind::Http | Kind::Https => self.by_connect(found, watch).await?,
            Kind::Socks => self.by_address(watch).await?,
            Kind::SocksNames => {
                let name = Goal::Name(self.key.host(), self.key.port());
                let goal = self.key.address().map(|ip| self.goal(ip));
                self.by_socks(watch, goal.unwrap_or(name)).await?
            }
        };
        self.protect(opened).await
    }

    /// A connection to the proxy that is nobody else's.
    async fn reach(&self, watch: &Watch) -> Result<Ground, Error> {
        let (settings, proxy) = (self.settings.clone(), self.proxy.clone());
        Box::pin(to_proxy(
            settings,
            proxy,
            self.key.is_forwarded(),
            watch.clone(),
        ))
        .await
    }

    async fn by_connect(&self, found: Option<Found>, watch: &Watch) -> Result<Opened, Error> {
        let is_shared = found.is_some();
        let mut ask = Ask::new(self.settings, self.proxy, self.key.authority());
        let mut next = found;
        let mut losses = 0;
        loop {
            let found = match next.take() {
                Some(found) => found,
                None if is_shared => self.trunks.find(self.proxy, watch).await?,
                None => Found::Own(Box::new(self.reach(watch).await?)),
            };
            let asking = match found {
                Found::Shared(berth) => ask.beside(berth).await?,
                Found::Own(ground) => match ground.carrier {
                    Carrier::Bytes(carrier) => ask.over_http1(carrier).await?,
                    _ => return Err(no_stream()),
                },
            };
            match asking {
                Asking::Opened(opened) => return Ok(opened),
                Asking::Again | Asking::Full => {}
                Asking::Lost(error) if losses == self.settings.pool.retries_max => {
                    return Err(error);
                }
                Asking::Lost(_) => losses += 1,
            }
        }
    }

    /// Resolves the target's name and tries its addresses in their order.
    async fn by_address(&self, watch: &Watch) -> Result<Opened, Error> {
        let mut last = None;
        for address in self.addresses().await?.into_iter().take(ADDRESSES_MAX) {
            match self.by_socks(watch, self.goal(address)).await {
                Err(error) if error.is_by_target() => last = Some(error),
                done => return done,
            }
        }
        Err(last.unwrap_or_else(|| {
            let detail = format!("{} has no address", self.key.host());
            Error::of_dial(
                Failure::new(Origin::Dns, FailureKind::NameNotFound, detail),
                None,
            )
        }))
    }

    fn goal(&self, address: IpAddr) -> Goal<'static> {
        Goal::Address(SocketAddr::new(address, self.key.port()))
    }

    async fn addresses(&self) -> Result<Vec<IpAddr>, Error> {
        if let Some(address) = self.key.address() {
            return Ok(vec![address]);
        }
        let environment = self.settings.context.environment();
        let ask = |kind| {
            environment.resolve(Question {
                name: self.key.host().to_owned(),
                kind,
            })
        };
        let (six, four) = tokio::join!(ask(RecordKind::Aaaa), ask(RecordKind::A));
        let both = [six, four];
        let failure = both
            .iter()
            .find_map(|answer| answer.as_ref().err().cloned());
        let found = both.into_iter().flatten().map(|answer| answer.data);
        let found: Vec<IpAddr> = found
            .filter_map(|data| match data {
                AnswerData::Addresses(addresses) => Some(addresses),
                _ => None,
            })
            .flatten()
            .collect();
        match failure {
            Some(failure) if found.is_empty() => Err(Error::of_dial(failure, None)),
            _ => Ok(found),
        }
    }

    async fn by_socks(&self, watch: &Watch, goal: Goal<'_>) -> Result<Opened, Error> {
        let ground = self.reach(watch).await?;
        let Carrier::Bytes(mut carrier) = ground.carrier else {
            return Err(no_stream());
        };
        let own = self.proxy.own_credentials();
        let login = own.and_then(|own| own.user_and_password());
        let opening = socks::open(&*carrier.socket, &mut carrier.unread, goal, login);
        opening.await.map_err(|not| match not {
            NotOpened::Fault(failure) => ProxyFault::Socks(failure).error(self.proxy),
            NotOpened::Unaskable(why) => Error::invalid(why),
        })?;
        Ok(Opened {
            stream: carrier.socket,
            unread: carrier.unread,
            fate: None,
        })
    }

    /// TLS with the target, as without a proxy.
    async fn protect(&self, opened: Opened) -> Result<Ground, Error> {
        let mut carrier = ByteCarrier::new(opened.stream);
        carrier.unread = opened.unread;
        let mut protection = None;
        if self.key.is_protected {
            // The client speaks first: whatever is there is not the target's.
            if !carrier.unread.is_empty() {
                return Err(ProxyFault::Lied(ProxyLie::EarlyBytes).error(self.proxy));
            }
            let (key, security) = (self.key, &self.security);
            let shaken = protect(self.settings, key, security, self.wish, &mut carrier).await;
            protection = shaken.map_err(|error| Fate::explain(opened.fate.as_ref(), error))?;
        }
        Ok(Ground {
            carrier: Carrier::Bytes(carrier),
            protection,
            leaf: None,
            fate: opened.fate,
        })
    }
}

/// What of the protection of servers holds for proxies too: whom to believe in general, and the
/// means; but neither who we are, nor how a server is called, nor that any server would do.
fn for_proxies(security: &SecurityParameters) -> SecurityParameters {
    let mut security = security.clone();
    if let Some(tls) = security.tls_parameters_mut() {
        if matches!(tls.trust, Trust::DangerousAnyone) {
            tls.trust = Trust::Platform;
        }
        tls.trust_callback = None;
        tls.identity = None;
        tls.further_identities.clear();
        tls.challenge_callback = None;
        tls.pre_shared_key = None;
        tls.server_name = None;
    }
    security
}

fn no_stream() -> Error {
    let detail = "datagrams without QUIC lead through no proxy";
    let failure = Failure::new(Origin::Local, FailureKind::Unsupported, detail);
    Error::of_dial(failure, None)
}

/// Addresses of a target that are tried.
const ADDRESSES_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use portway_core::security::{ChallengeCallback, TrustCallback, TrustDecision};

    #[test]
    fn a_proxy_is_shown_and_believed_nothing_that_is_for_servers() {
        let security = SecurityParameters::tls()
            .with_trust(Trust::DangerousAnyone)
            .with_server_name("server.test")
            .with_trust_callback(TrustCallback::new(|_| TrustDecision::Accept))
            .with_challenge_callback(ChallengeCallback::new(|_| None));
        let proxied = for_proxies(&security);
        let tls = proxied.tls_parameters().unwrap();
        assert!(matches!(tls.trust, Trust::Platform));
        assert!(tls.server_name.is_none());
        assert!(tls.trust_callback.is_none());
        assert!(tls.challenge_callback.is_none());
        let roots = SecurityParameters::tls().with_roots([]);
        let proxied = for_proxies(&roots);
        let tls = proxied.tls_parameters().unwrap();
        assert!(matches!(tls.trust, Trust::Roots(_)), "anchors are for all");
    }
}
