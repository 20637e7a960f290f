//! One connection for several origins (RFC 9110 §7.4, RFC 9113 §9.1.1, RFC 9114 §3.3).
//!
//! Invariant: a connection is shared with an origin only if its certificate is valid for it, and
//! the server says that it speaks for it (ORIGIN, RFC 8336 and 9412) or its name leads to the very
//! address of the connection; never after the server has refused it by a 421.

use super::dial::Sender;
use super::event::{ConnectionInfo, Phases, Reason};
use super::key::Key;
use super::link::Link;
use super::shared::{Handle, Shared};
use crate::pool::{Version, Versions};
use portway_core::race::Leaf;
use portway_core::security::Trust;
use portway_core::{SecurityParameters, StackId};
use portway_security::chain::is_valid_for;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

/// A connection that another origin can use.
pub(super) struct Found {
    pub(super) sender: Sender,
    pub(super) info: ConnectionInfo,
    pub(super) root: Arc<Link>,
}

/// Looks for a connection that a key can share.
#[derive(Clone)]
pub(super) struct Finder {
    shared: Weak<Shared>,
    key: Key,
}

impl Finder {
    pub(super) fn new(shared: Weak<Shared>, key: Key) -> Self {
        Finder { shared, key }
    }

    /// One whose server speaks for the key, wherever its name leads: RFC 8336 §2.4 needs no DNS
    /// where the certificate is valid.
    pub(super) fn by_origin(&self, versions: Versions) -> Option<Found> {
        self.find(versions, None)
    }

    /// One to where an attempt would lead.
    pub(super) fn at(&self, leaf: &Leaf) -> Option<Found> {
        let version = match leaf.stack == StackId::QUIC {
            true => Version::Http3,
            false => Version::Http2,
        };
        let is_offered = leaf.alpn.iter().any(|name| &name[..] != b"http/1.1");
        let versions = Some(Versions::from(version)).filter(|_| is_offered);
        self.find(versions?, Some(leaf.remote))
    }

    fn find(&self, versions: Versions, at: Option<SocketAddr>) -> Option<Found> {
        let shared = self.shared.upgrade()?;
        let may_share =
            self.key.is_protected && self.key.server_name.is_none() && self.key.is_direct();
        if !may_share || !checks_names(&shared.settings.security) {
            return None;
        }
        shared.find_connection(|handles| {
            let handles = || handles.values();
            // A key that has come here because its own has no room gains nothing by the same.
            let own: Vec<_> = handles().filter(|handle| handle.key == self.key).collect();
            let is_own = |root: &Arc<Link>| own.iter().any(|own| Arc::ptr_eq(&own.root, root));
            let mut fitting = handles().filter(|handle| versions.contains(handle.info.version));
            let handle =
                fitting.find(|handle| !is_own(&handle.root) && self.may_use(handle, at))?;
            let mut info = ConnectionInfo::clone(&handle.info);
            info.reason = Reason::Shared(handle.key.to_string());
            info.phases = Phases::default();
            let sender = match handle.sender.as_ref()? {
                Sender::Http2(sender) => Sender::Http2(sender.clone()),
                Sender::Http3(sender) => Sender::Http3(sender.clone()),
                Sender::Http1(_) => return None,
            };
            Some(Found {
                sender,
                info,
                root: handle.root.clone(),
            })
        })
    }

    fn may_use(&self, handle: &Handle, at: Option<SocketAddr>) -> bool {
        let key = &handle.key;
        let is_alike = key.is_protected
            && key.server_name.is_none()
            && key.is_direct()
            && key.port() == self.key.port()
            && handle.info.alternative.is_none();
        if !is_alike || !handle.root.is_open() || handle.root.refuses(&self.key) {
            return false;
        }
        let told = match &handle.sender {
            Some(Sender::Http3(sender)) => sender.is_origin(&self.key.origin_text()),
            _ => handle.root.is_origin(&self.key.origin_text()),
        };
        // RFC 8336 §2.3: once a server has said for whom it speaks, it speaks for nobody else.
        let is_there = told.unwrap_or(at == Some(handle.info.remote));
        let protection = handle.info.protection.as_ref();
        let certificate = protection.and_then(|it| it.peer_certificates.first());
        is_there && certificate.is_some_and(|it| is_valid_for(it, self.key.host()))
    }
}

/// Whether certificates are trusted for the names in them: pinned ones are not, nor anybody's.
fn checks_names(security: &SecurityParameters) -> bool {
    security.tls_parameters().is_some_and(|tls| {
        let is_by_anchors = matches!(tls.trust, Trust::Platform | Trust::Roots(_));
        is_by_anchors && tls.trust_callback.is_none()
    })
}
