//! `portway serve`: a directory over HTTP/1.1, 2 and 3.
//!
//! Invariant: what is under way when a signal comes is answered, or it is told what was not.

mod body;
mod conditions;
mod encoding;
mod listing;
mod range;
mod site;
mod tree;
mod types;

use crate::arguments::{ServeArguments, ServedVersion};
use crate::error::CommandError;
use crate::output;
use portway::security::{ClientAuthentication, Trust};
use portway_http::server::{End, Event, Server, Serving, Versions};
use portway_transport::real::Inherited;
use portway_transport::tls::load_certificates;
use site::Site;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::signal::unix::{SignalKind, signal};
use tree::Tree;

pub(crate) async fn run(arguments: ServeArguments) -> Result<(), CommandError> {
    let tree = Tree::new(&arguments.directory).map_err(|error| {
        CommandError::failed(format!("{}: {error}", arguments.directory.display()))
    })?;
    let server = server(&arguments)?;
    let site = Site::new(tree, arguments.echo, arguments.log);
    // Signals are caught before anybody can be told that they may come.
    let mut signals = Signals::new()?;
    let serving = match arguments.threads {
        1 => server.serve(site)?,
        threads => server.serve_sharded(threads, site)?,
    };
    tell_addresses(&arguments, &serving);
    signals.next().await;
    let left = tokio::select! {
        left = serving.drain(arguments.drain) => left,
        () = signals.next() => serving.drain(std::time::Duration::ZERO).await,
    };
    match left.requests {
        0 => Ok(()),
        count => Err(CommandError::failed(format!(
            "{count} requests were cut off"
        ))),
    }
}

fn server(arguments: &ServeArguments) -> Result<Server, CommandError> {
    let inherited = Inherited::take()?;
    let mut addresses = inherited.as_ref().map_or(Vec::new(), |it| it.addresses());
    addresses.extend(&arguments.listen);
    if addresses.is_empty() {
        addresses.push(DEFAULT_ADDRESS);
    }
    let names = || {
        let addresses = addresses.iter().map(|it| it.ip().to_string());
        std::iter::once("localhost".to_owned())
            .chain(addresses)
            .collect()
    };
    let identity = arguments.identity.load(names)?;
    let spoken = |version| arguments.http.is_empty() || arguments.http.contains(&version);
    if identity.is_none() && arguments.http.contains(&ServedVersion::Three) {
        let words = "HTTP/3 needs --cert and --key, or --self-signed";
        return Err(CommandError::usage(words));
    }
    let versions = Versions::new(
        spoken(ServedVersion::One),
        spoken(ServedVersion::Two),
        spoken(ServedVersion::Three) && identity.is_some(),
    );
    let (mut server, more) = match inherited {
        Some(sockets) => (Server::inherited(sockets), &arguments.listen[..]),
        None => (Server::new(addresses[0]), &addresses[1..]),
    };
    server = server.versions(versions);
    for address in more {
        server = server.and_at(*address);
    }
    if !arguments.name.is_empty() {
        server = server.names(&arguments.name);
    }
    match (identity, &arguments.client_ca) {
        (Some(identity), ca) => {
            server = server.identities(identity);
            if let Some(ca) = ca {
                let roots = Trust::Roots(load_certificates(ca)?.into());
                server = server.client_authentication(ClientAuthentication::Required(roots));
            }
        }
        (None, Some(_)) => {
            let words = "--client-ca needs --cert and --key, or --self-signed";
            return Err(CommandError::usage(words));
        }
        (None, None) => {}
    }
    if arguments.log {
        server = server.on_event(|event| tell_event(&event));
    }
    Ok(server)
}

fn tell_addresses(arguments: &ServeArguments, serving: &Serving) {
    let is_protected = arguments.identity.self_signed || arguments.identity.cert.is_some();
    let scheme = if is_protected { "https" } else { "http" };
    let is_on = |version| arguments.http.is_empty() || arguments.http.contains(&version);
    let versions = [
        ("1.1", is_on(ServedVersion::One)),
        ("2", is_on(ServedVersion::Two)),
        ("3", is_on(ServedVersion::Three) && is_protected),
    ];
    let versions: Vec<&str> = versions
        .iter()
        .filter_map(|(name, is_on)| is_on.then_some(*name))
        .collect();
    for address in serving.addresses() {
        let url = format!("{scheme}://{}/", with_loopback(*address));
        output::tell(&format!("listening {} {url}", versions.join(",")));
    }
}

/// What a browser on this machine can be given.
fn with_loopback(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn tell_event(event: &Event) {
    match event {
        Event::AcceptFailed { failure } => output::tell(&format!("- {failure}")),
        Event::HandshakeFailed { peer, failure } => {
            let peer = peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string());
            output::tell(&format!("{peer} {failure}"));
        }
        Event::Ended { connection, end } => match end {
            End::Closed | End::Idle | End::Stopped => {}
            end => output::tell(&format!("{} {end}", connection.peer())),
        },
        _ => {}
    }
}

/// The signals that end it.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, CommandError> {
        let caught = |kind| {
            signal(kind).map_err(|error| CommandError::failed(format!("no signals: {error}")))
        };
        Ok(Signals {
            terminate: caught(SignalKind::terminate())?,
            interrupt: caught(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
