//! `portway quic-perf`: how fast a path and a machine carry QUIC.
//!
//! Invariant: what is sent is never held whole, whatever a peer asks for.

use crate::arguments::{PerfClient, PerfRole, PerfServer, QuicPerfArguments};
use crate::error::CommandError;
use crate::output;
use bytes::Bytes;
use portway::quic::{
    Connection, Connector, Endpoint, EndpointOptions, Listener, ReceiveStream, SendStream,
    StreamError, TransportOptions, VarInt,
};
use portway::security::Trust;
use portway::{RealConfig, RealEnvironment, Security};
use portway_transport::environment::UdpBind;
use portway_transport::tls::load_certificates;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

pub(crate) async fn run(arguments: QuicPerfArguments) -> Result<(), CommandError> {
    match arguments.role {
        PerfRole::Server(arguments) => serve(arguments).await,
        PerfRole::Client(arguments) => measure(arguments).await,
    }
}

async fn serve(arguments: PerfServer) -> Result<(), CommandError> {
    let names = || vec!["localhost".to_owned(), arguments.local.ip().to_string()];
    let identity = arguments.identity.load(names)?;
    let identity = identity
        .ok_or_else(|| CommandError::usage("QUIC needs --cert and --key, or --self-signed"))?;
    let security = Security::tls().with_identity(identity).with_alpn([ALPN]);
    let listener = Listener::bind(arguments.local, security)?;
    output::tell(&format!("listening quic {}", listener.local_address()));
    let mut connections = JoinSet::new();
    let mut left = arguments.count;
    while left != Some(0) {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Some(Ok(connection)) => drop(connections.spawn(answer_all(connection))),
                Some(Err(error)) => output::tell(&format!("portway: {error}")),
                None => return Err(CommandError::failed("the socket has failed")),
            },
            Some(_) = connections.join_next() => left = left.map(|left| left - 1),
        }
    }
    Ok(())
}

/// Answers each stream of a connection until the client ends it.
async fn answer_all(connection: Connection) {
    let mut streams = JoinSet::new();
    while let Ok((send, receive)) = connection.accept_bi().await {
        // A stream that the client gave up is its own affair.
        streams.spawn(answer(send, receive));
        while streams.try_join_next().is_some() {}
    }
}

async fn answer(mut send: SendStream, mut receive: ReceiveStream) -> Result<(), StreamError> {
    let mut head = Vec::new();
    while let Some(chunk) = receive.read_chunk(CHUNK_BYTES).await? {
        let missing = HEAD_BYTES - head.len();
        head.extend_from_slice(&chunk[..chunk.len().min(missing)]);
    }
    let wanted = head.try_into().map_or(0, u64::from_be_bytes);
    send_zeros(&mut send, wanted).await?;
    send.finish()
}

async fn send_zeros(send: &mut SendStream, mut left: u64) -> Result<(), StreamError> {
    let zeros = Bytes::from_static(&[0; CHUNK_BYTES]);
    while left > 0 {
        let now = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        send.write_chunk(zeros.slice(..now)).await?;
        left -= now as u64;
    }
    Ok(())
}

async fn measure(arguments: PerfClient) -> Result<(), CommandError> {
    let mut security = Security::tls().with_alpn([ALPN]);
    if let Some(file) = &arguments.ca {
        security = security.with_roots(load_certificates(file)?);
    }
    if arguments.insecure {
        security = security.with_trust(Trust::DangerousAnyone);
    }
    let mut connector = Connector::new(security).transport(TransportOptions::default());
    if let Some(name) = &arguments.server_name {
        connector = connector.server_name(name);
    }
    let any: IpAddr = match arguments.remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let endpoint = Endpoint::bind(
        Arc::new(RealEnvironment::new(RealConfig::default())),
        UdpBind::on(SocketAddr::new(any, 0)),
        &EndpointOptions::default(),
        None,
    )?;
    let connector = connector.endpoint(&endpoint);
    let started = Instant::now();
    let connection = connector.connect(arguments.remote).await?;
    let handshake = started.elapsed();
    let started = Instant::now();
    let mut running = JoinSet::new();
    let mut left = arguments.requests;
    let mut received = 0;
    while left > 0 || !running.is_empty() {
        while left > 0 && (running.len() as u64) < arguments.parallel {
            left -= 1;
            let (upload, download) = (arguments.upload, arguments.download);
            running.spawn(request(connection.clone(), upload, download));
        }
        let Some(ended) = running.join_next().await else {
            break;
        };
        let ended = ended.map_err(|error| CommandError::failed(error.to_string()))?;
        received += ended.map_err(|error| CommandError::failed(error.to_string()))?;
    }
    let took = started.elapsed();
    let sent = arguments.upload.saturating_mul(arguments.requests);
    let reported = report(&arguments, &connection, handshake, (took, sent, received));
    // The server is told, so that it need not wait for a client that is gone.
    connection.close(VarInt::ZERO, b"");
    let _ = timeout(CLOSING_MAX, endpoint.wait_idle()).await;
    reported
}

/// One request; says how many bytes came back.
async fn request(connection: Connection, upload: u64, download: u64) -> Result<u64, StreamError> {
    let (mut send, mut receive) = connection.open_bi().await?;
    let head = Bytes::copy_from_slice(&download.to_be_bytes());
    match upload {
        0 => send.write_and_finish(head).await?,
        _ => {
            send.write_chunk(head).await?;
            send_zeros(&mut send, upload).await?;
            send.finish()?;
        }
    }
    let mut received = 0;
    while let Some(chunk) = receive.read_chunk(CHUNK_BYTES).await? {
        received += chunk.len() as u64;
    }
    Ok(received)
}

fn report(
    arguments: &PerfClient,
    connection: &Connection,
    handshake: Duration,
    (took, sent, received): (Duration, u64, u64),
) -> Result<(), CommandError> {
    let wanted = arguments.download.saturating_mul(arguments.requests);
    if received != wanted {
        return Err(CommandError::failed(format!(
            "the server sent {received} bytes and not the {wanted} that were asked for"
        )));
    }
    let seconds = took.as_secs_f64().max(f64::MIN_POSITIVE);
    let rate = |bytes: u64| bytes as f64 * 8.0 / seconds / 1e6;
    let statistics = connection.statistics();
    let lines = [
        format!("handshake {:.3} ms", handshake.as_secs_f64() * 1e3),
        format!(
            "{} requests in {:.3} s, {:.0} a second",
            arguments.requests,
            seconds,
            arguments.requests as f64 / seconds
        ),
        format!("sent {sent} bytes, {:.1} Mbit/s", rate(sent)),
        format!("received {received} bytes, {:.1} Mbit/s", rate(received)),
        format!(
            "rtt {:.3} ms, {} packets lost",
            statistics.rtt.as_secs_f64() * 1e3,
            statistics.packets_lost
        ),
    ];
    output::print(&(lines.join("\n") + "\n"))
}

/// The protocol of the QUIC working group.
const ALPN: &str = "perf";
/// How much a request asks for, at its beginning.
const HEAD_BYTES: usize = 8;
/// How long the close may take to leave.
const CLOSING_MAX: Duration = Duration::from_secs(1);
const CHUNK_BYTES: usize = 64 * 1024;
