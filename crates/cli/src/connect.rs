//! `portway connect`: a connection joined to the standard streams.

use crate::arguments::{ConnectArguments, SecurityLevel};
use crate::client;
use crate::error::CommandError;
use crate::message_mode::{MessageMode, framed};
use crate::output::{self, Style};
use crate::session::Session;
use portway::{
    ConnectionInfo, MessageProperties, Preconnection, SelectionProperty, TransportProperties,
};

pub(crate) async fn run(arguments: ConnectArguments) -> Result<(), CommandError> {
    let target = arguments.remote.to_string();
    let is_datagram = arguments.udp || arguments.datagrams;
    let context = client::context(&arguments.network);
    let preconnection = preconnection(&arguments)?.context(&context);
    let style = Style::of_stderr();
    let mut initiate = preconnection.initiate().timeout(arguments.network.timeout);
    if arguments.verbose {
        initiate = initiate.on_event(move |event| output::tell(&style.dim(&event.to_string())));
    }
    let connection = initiate
        .await
        .map_err(|error| CommandError::establishment(&target, &error))?;
    if arguments.verbose {
        output::tell(&format!("connected {}", summary(&connection.info())));
    }
    let session = Session {
        mode: MessageMode::of(arguments.framer, is_datagram),
        is_datagram,
        linger: arguments.linger,
        idle: None,
        replies: arguments.replies,
    };
    if arguments.sibling == 0 {
        let outcome = session.run(&connection).await;
        drop(connection);
        client::say_goodbye(&context).await;
        return outcome;
    }
    let mut group = vec![connection.clone()];
    for _ in 0..arguments.sibling {
        let opened = connection.open_sibling().await;
        let sibling = opened.map_err(|error| CommandError::establishment(&target, &error))?;
        if arguments.verbose {
            output::tell(&format!("sibling {}", summary(&sibling.info())));
        }
        group.push(sibling);
    }
    drop(connection);
    let outcome = session.run_group(group).await;
    client::say_goodbye(&context).await;
    outcome
}

fn preconnection(arguments: &ConnectArguments) -> Result<Preconnection, CommandError> {
    if arguments.udp && arguments.security.security != SecurityLevel::None {
        return Err(CommandError::usage(
            "--udp needs --security none: protected datagrams are those of QUIC, --datagrams",
        ));
    }
    if arguments.datagrams && arguments.security.alpn.is_empty() {
        return Err(CommandError::usage(
            "--datagrams needs --alpn: the peers of a QUIC connection agree on a protocol",
        ));
    }
    let is_datagram = arguments.udp || arguments.datagrams;
    let mode = MessageMode::of(arguments.framer, is_datagram);
    if arguments.replies.is_some() && mode == MessageMode::Stream {
        return Err(CommandError::usage(
            "--replies counts messages, so it needs --framer, --udp or --datagrams",
        ));
    }
    let properties = match is_datagram {
        false => TransportProperties::new(),
        true => TransportProperties::unreliable_datagram().prohibit(SelectionProperty::Reliability),
    };
    let properties = client::set_properties(properties, &arguments.network.properties)?;
    let mut preconnection = Preconnection::new(client::security(&arguments.security)?)
        .remote(arguments.remote.clone())
        .properties(properties);
    if arguments.udp {
        let defaults = MessageProperties::new().with_safely_replayable(true);
        preconnection = preconnection.message_defaults(defaults);
    }
    Ok(framed(preconnection, arguments.framer))
}

/// A connection in one line: stack, addresses, what was negotiated.
pub(crate) fn summary(info: &ConnectionInfo) -> String {
    let stack = info.stack.as_ref().map_or("?", |stack| stack.as_str());
    let mut line = stack.to_owned();
    if let Some(remote) = info.remote {
        line.push_str(&format!(" {remote}"));
    }
    if let Some(local) = info.local {
        line.push_str(&format!(" from {local}"));
    }
    if let Some(protection) = &info.protection {
        line.push_str(&format!(
            ", {} {}",
            protection.version, protection.cipher_suite
        ));
        if let Some(alpn) = &protection.alpn {
            line.push_str(&format!(", alpn {}", String::from_utf8_lossy(alpn)));
        }
        if protection.is_resumed {
            line.push_str(", resumed");
        }
    }
    line
}
