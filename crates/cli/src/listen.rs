//! `portway listen`: one connection for the standard streams, or any number to echo.
//!
//! Invariant: a peer that fails is told of and harms no other one.

use crate::arguments::{ListenArguments, ListenLevel, ListenSecurity, Protocol};
use crate::client;
use crate::connect::summary;
use crate::echo::Echo;
use crate::error::CommandError;
use crate::message_mode::{MessageMode, framed};
use crate::output;
use crate::session::Session;
use futures_core::Stream;
use portway::security::{ClientAuthentication, Trust};
use portway::{
    Connection, Context, Failure, Listener, LocalEndpoint, MessageProperties, Preconnection,
    RealConfig, RealEnvironment, Security, SelectionProperty, StackId, TransportProperties,
};
use portway_transport::tls::load_certificates;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::task::JoinSet;

pub(crate) async fn run(arguments: ListenArguments) -> Result<(), CommandError> {
    let protocols = protocols(&arguments)?;
    let context = Context::new(Arc::new(RealEnvironment::new(RealConfig::default())));
    let preconnection = preconnection(&arguments, &protocols)?.context(&context);
    let mut listener = preconnection
        .listen()
        .await
        .map_err(|error| CommandError::establishment(&arguments.local.to_string(), &error))?;
    let limit = match (arguments.echo, arguments.once, arguments.count) {
        (false, _, None) | (_, true, _) => Some(1),
        (_, _, count) => count,
    };
    listener.set_connection_limit(limit);
    let is_quic_meant = arguments.protocols.is_empty()
        && !arguments.datagrams
        && arguments.security.security == ListenLevel::Tls;
    if is_quic_meant && !protocols.contains(&Protocol::Quic) {
        output::tell("portway: quic is out: it needs an application protocol (--alpn)");
    }
    for (stack, address) in listener.local_addresses() {
        output::tell(&format!("listening {stack} {address}"));
    }
    let outcome = serve(&arguments, &mut listener, limit).await;
    drop(listener);
    client::say_goodbye(&context).await;
    outcome
}

/// Accepts up to `limit` connections and serves each of them to its end.
async fn serve(
    arguments: &ListenArguments,
    listener: &mut Listener,
    limit: Option<u64>,
) -> Result<(), CommandError> {
    let mut left = limit;
    let mut echoes = JoinSet::new();
    let mut outcome = Ok(());
    while left != Some(0) {
        let connection = tokio::select! {
            connection = accept(listener) => match connection {
                Some(connection) => connection,
                None => break,
            },
            Some(ended) = echoes.join_next() => {
                outcome = outcome.and(told(ended));
                continue;
            }
        };
        left = left.map(|left| left - 1);
        if arguments.verbose {
            output::tell(&format!("accepted {}", summary(&connection.info())));
        }
        if arguments.echo {
            let echo = echo(arguments, &connection);
            echoes.spawn(async move { echo.run(&connection).await });
        } else {
            outcome = outcome.and(session(arguments, &connection).run(&connection).await);
        }
    }
    listener.stop();
    while let Some(ended) = echoes.join_next().await {
        outcome = outcome.and(told(ended));
    }
    outcome
}

/// Tells of an echo that failed; the failure counts when the command ends by itself.
fn told(
    ended: Result<Result<(), CommandError>, tokio::task::JoinError>,
) -> Result<(), CommandError> {
    let outcome = match ended {
        Ok(outcome) => outcome,
        Err(error) => Err(CommandError::failed(error.to_string())),
    };
    outcome.map_err(|error| {
        error.print();
        CommandError::failed("a connection failed")
    })
}

fn is_datagram(connection: &Connection) -> bool {
    let stack = connection.info().stack;
    stack.is_some_and(|stack| stack == StackId::UDP || stack == StackId::QUIC_DATAGRAM)
}

fn echo(arguments: &ListenArguments, connection: &Connection) -> Echo {
    let is_datagram = is_datagram(connection);
    Echo {
        mode: MessageMode::of(arguments.framer, is_datagram),
        idle: is_datagram.then_some(arguments.idle),
    }
}

fn session(arguments: &ListenArguments, connection: &Connection) -> Session {
    let is_datagram = is_datagram(connection);
    Session {
        mode: MessageMode::of(arguments.framer, is_datagram),
        is_datagram,
        linger: match is_datagram {
            true => arguments.idle,
            false => arguments.linger,
        },
        idle: is_datagram.then_some(arguments.idle),
        replies: None,
    }
}

/// The next connection; those that never became ready are told of as they fail.
async fn accept(listener: &mut Listener) -> Option<Connection> {
    poll_fn(|context| {
        let polled = Pin::new(&mut *listener).poll_next(context);
        listener.take_failures().iter().for_each(tell_failure);
        match polled {
            Poll::Ready(connection) => Poll::Ready(connection),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn tell_failure(failure: &Failure) {
    output::tell(&format!(
        "portway: a connection was not accepted: {failure}"
    ));
}

/// The protocols that were asked for, or what the protection suggests.
fn protocols(arguments: &ListenArguments) -> Result<Vec<Protocol>, CommandError> {
    let level = arguments.security.security;
    if arguments.protocols.is_empty() {
        return Ok(match level {
            ListenLevel::None => vec![Protocol::Tcp],
            ListenLevel::Tls if arguments.security.alpn.is_empty() => vec![Protocol::Tls],
            ListenLevel::Tls => vec![Protocol::Tls, Protocol::Quic],
        });
    }
    let needs_alpn = arguments.protocols.contains(&Protocol::Quic);
    if needs_alpn && arguments.security.alpn.is_empty() {
        return Err(no_alpn("--protocols quic"));
    }
    let is_protected = |protocol: &Protocol| matches!(protocol, Protocol::Tls | Protocol::Quic);
    let does_fit = |protocol: &Protocol| is_protected(protocol) == (level == ListenLevel::Tls);
    match arguments.protocols.iter().all(does_fit) {
        true => Ok(arguments.protocols.clone()),
        false => Err(CommandError::usage(
            "--protocols takes tls and quic, or with --security none tcp and udp",
        )),
    }
}

fn no_alpn(argument: &str) -> CommandError {
    CommandError::usage(format!(
        "{argument} needs --alpn: the peers of a QUIC connection agree on a protocol"
    ))
}

/// The local endpoint, for one stack where the others were not asked for.
fn local(arguments: &ListenArguments, protocols: &[Protocol]) -> LocalEndpoint {
    let local = arguments.local.clone();
    match protocols {
        [Protocol::Tls] => local.for_stack(StackId::TLS),
        [Protocol::Quic] => local.for_stack(StackId::QUIC),
        _ => local,
    }
}

fn preconnection(
    arguments: &ListenArguments,
    protocols: &[Protocol],
) -> Result<Preconnection, CommandError> {
    let security = security(&arguments.security, &arguments.local)?;
    if arguments.datagrams {
        if arguments.security.alpn.is_empty() {
            return Err(no_alpn("--datagrams"));
        }
        let properties =
            TransportProperties::unreliable_datagram().prohibit(SelectionProperty::Reliability);
        let preconnection = Preconnection::new(security)
            .local(arguments.local.clone())
            .properties(properties);
        return Ok(framed(preconnection, arguments.framer));
    }
    let has = |protocol| protocols.contains(&protocol);
    let properties = match (has(Protocol::Udp), has(Protocol::Tcp)) {
        (false, _) => TransportProperties::new(),
        (true, false) => {
            TransportProperties::unreliable_datagram().prohibit(SelectionProperty::Reliability)
        }
        (true, true) => TransportProperties::new()
            .no_preference(SelectionProperty::Reliability)
            .no_preference(SelectionProperty::PreserveOrder)
            .no_preference(SelectionProperty::CongestionControl),
    };
    let mut preconnection = Preconnection::new(security)
        .local(local(arguments, protocols))
        .properties(properties);
    if has(Protocol::Udp) {
        let defaults = MessageProperties::new().with_safely_replayable(true);
        preconnection = preconnection.message_defaults(defaults);
    }
    Ok(framed(preconnection, arguments.framer))
}

fn security(arguments: &ListenSecurity, local: &LocalEndpoint) -> Result<Security, CommandError> {
    if arguments.security == ListenLevel::None {
        return match arguments.tls_only_argument() {
            None => Ok(Security::disabled()),
            Some(name) => Err(CommandError::usage(format!(
                "{name} has no meaning with --security none"
            ))),
        };
    }
    let identity = arguments.identity.load(|| own_names(local))?;
    let identity = identity.ok_or_else(|| {
        CommandError::usage(
            "TLS needs --cert and --key, or --self-signed; --security none does without",
        )
    })?;
    let mut security = Security::tls().with_identity(identity);
    if let Some(file) = &arguments.client_ca {
        let roots = Trust::Roots(load_certificates(file)?.into());
        security = security
            .with_tls(|tls| tls.with_client_authentication(ClientAuthentication::Required(roots)));
    }
    Ok(security.with_alpn(arguments.alpn.iter().map(String::as_str)))
}

/// What a certificate of our own is for.
fn own_names(local: &LocalEndpoint) -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    match local.ip_address() {
        Some(address) if !address.is_unspecified() => names.push(address.to_string()),
        _ => names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]),
    }
    names
}
