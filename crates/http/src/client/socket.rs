//! The way to a server on this host through a socket of the file system (AF_UNIX).
//!
//! Invariant: what is protected proves who it is as over a network; a connection through a socket
//! serves requests that name the same socket and no others.

use super::dial::Ground;
use super::error::Error;
use super::key::Key;
use super::policy::Wish;
use super::proxy::Proxies;
use super::settings::Settings;
use super::watch::Watch;
use crate::pool::Version;
use portway_core::SecurityParameters;
use portway_core::security::Protection;
use portway_transport::establish::handshake;
use portway_transport::established::{ByteCarrier, Carrier};
use portway_transport::failure_map::failure_from_io;
use portway_transport::layer::ByteLayer;
use std::path::Path;
use std::sync::Arc;

/// What requests go through that say nothing of it themselves.
pub(super) struct Through {
    pub(super) proxies: Proxies,
    /// Goes before the proxies.
    pub(super) socket: Option<Arc<Path>>,
}

/// Connects to the socket, and speaks TLS through it where the key says so.
pub(super) async fn open(
    settings: &Settings,
    key: &Key,
    security: &SecurityParameters,
    wish: Wish,
    (path, watch): (&Path, &Watch),
) -> Result<Ground, Error> {
    let environment = settings.context.environment();
    watch.on_attempt(environment.now());
    let stream = environment.unix_connect(path.to_owned()).await;
    let stream = stream.map_err(|error| {
        let doing = format!("cannot connect to the socket {}", shown(path));
        Error::of_dial(failure_from_io(&error, &doing), None)
    })?;
    watch.on_transport(environment.now());
    let mut carrier = ByteCarrier::new(stream);
    let protection = match key.is_protected {
        true => protect(settings, key, security, wish, &mut carrier).await?,
        false => None,
    };
    Ok(Ground {
        carrier: Carrier::Bytes(carrier),
        protection,
        leaf: None,
        fate: None,
    })
}

/// TLS with the target of a key over a stream that leads to it.
pub(super) async fn protect(
    settings: &Settings,
    key: &Key,
    security: &SecurityParameters,
    wish: Wish,
    carrier: &mut ByteCarrier,
) -> Result<Option<Protection>, Error> {
    let tls = security.tls_parameters();
    let tls = tls.ok_or_else(|| Error::invalid("https needs a client with TLS"))?;
    let name = key.address().is_none().then(|| key.host());
    let remote = carrier.socket.peer_address().ip();
    let remote = key.address().unwrap_or(remote);
    let names = wish.versions.newest_first().map(Version::alpn);
    let alpn: Vec<Vec<u8>> = names.map(|name| name.into()).collect();
    let engine = settings.context.tls();
    let failed = |failure| Error::of_dial(failure, None);
    let mut layer = engine.client(tls, name, remote, &alpn).map_err(failed)?;
    let shaking = handshake(&*carrier.socket, &mut layer, &mut carrier.unread);
    shaking.await.map_err(failed)?;
    let protection = layer.protection();
    carrier.layer = Some(Box::new(layer));
    Ok(protection)
}

/// A path for people to read; an abstract name begins with `@` then.
pub(super) fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    match text.strip_prefix('\0') {
        Some(name) => format!("@{name}"),
        None => text.into_owned(),
    }
}
