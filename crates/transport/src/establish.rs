//! Turns one leaf of a candidate tree into a ready stack.
//!
//! Invariant: what comes back has the leaf's security class or does not come back at all.

use crate::context::Context;
use crate::driver::ProgressSink;
use crate::environment::{TcpConnect, TcpOptions, TcpStream, UdpBind};
use crate::established::{ByteCarrier, Carrier, DatagramCarrier, Established};
use crate::failure_map::failure_from_io;
use crate::layer::{ByteLayer, LayerStatus};
use crate::quic_stack::{self, EarlySend};
use bytes::BytesMut;
use portway_core::race::{Leaf, Progress};
use portway_core::security::TlsParameters;
use portway_core::stack::WireProtocol;
use portway_core::{Failure, FailureKind, Origin, SecurityParameters};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::Poll;

/// Connects, protects and hands over one leaf.
///
/// Cancel safety: dropping the future closes whatever it had opened.
///
/// # Errors
/// What the system, the peer or TLS refused; the detail names the address.
pub async fn establish(
    context: &Context,
    leaf: Leaf,
    security: &SecurityParameters,
    options: &TcpOptions,
    progress: Option<&ProgressSink>,
) -> Result<Established, Failure> {
    establish_early(context, leaf, security, options, progress, None).await
}

/// As [`establish`]. `early` leaves before the handshake is complete where the stack and a ticket
/// allow that; the carrier has it when it did and was taken, see
/// [`QuicCarrier::take_early`](crate::quic_stack::QuicCarrier::take_early) and
/// [`ByteCarrier::take_early_rest`].
///
/// Cancel safety: as for [`establish`].
///
/// # Errors
/// As [`establish`].
pub async fn establish_early(
    context: &Context,
    leaf: Leaf,
    security: &SecurityParameters,
    options: &TcpOptions,
    progress: Option<&ProgressSink>,
    early: Option<&EarlySend>,
) -> Result<Established, Failure> {
    let tls = match (leaf.security.is_protected(), security.tls_parameters()) {
        (false, _) => None,
        (true, Some(tls)) => Some(tls),
        (true, None) => {
            return Err(Failure::new(
                Origin::Local,
                FailureKind::InvalidRequest,
                "a protected leaf needs TLS parameters",
            ));
        }
    };
    match context.stack(&leaf.stack).map(|descriptor| descriptor.wire) {
        Some(WireProtocol::Tcp) => {
            let tls = tls.map(|tls| (tls, early));
            tcp(context, leaf, tls, options, progress).await
        }
        Some(WireProtocol::Udp) => match tls {
            None => udp(context, leaf, options),
            Some(tls) => {
                let local = local_of(&leaf);
                let connect = quic_stack::Connect {
                    local,
                    tls,
                    options,
                    progress,
                    early,
                };
                // In a box of its own, as every other attempt would be as large otherwise.
                Box::pin(quic_stack::connect(context, leaf, connect)).await
            }
        },
        _ => Err(Failure::new(
            Origin::Local,
            FailureKind::Unsupported,
            format!(
                "the stack {} cannot be established by this version",
                leaf.stack
            ),
        )),
    }
}

async fn tcp(
    context: &Context,
    leaf: Leaf,
    tls: Option<(&TlsParameters, Option<&EarlySend>)>,
    options: &TcpOptions,
    progress: Option<&ProgressSink>,
) -> Result<Established, Failure> {
    let mut request = TcpConnect::to(leaf.remote);
    request.local = local_of(&leaf);
    request.path = leaf.path;
    request.options = options.clone();
    let socket = context
        .environment()
        .tcp_connect(request)
        .await
        .map_err(|error| failure_from_io(&error, &format!("cannot connect to {}", leaf.remote)))?;
    if let Some(progress) = progress {
        progress.report(Progress::TransportConnected { rtt: socket.rtt() });
    }
    let mut carrier = ByteCarrier::new(socket);
    let mut protection = None;
    if let Some((parameters, early)) = tls {
        let (engine, name) = (context.tls(), leaf.host_name.as_deref());
        let ip = leaf.remote.ip();
        let mut layer = match early {
            None => engine.client(parameters, name, ip, &leaf.alpn)?,
            Some(early) => {
                let data = early.data.clone();
                engine.client_early(parameters, name, ip, &leaf.alpn, data)?
            }
        };
        handshake(&*carrier.socket, &mut layer, &mut carrier.unread).await?;
        protection = layer.protection();
        carrier.early_rest = layer.early_rest();
        carrier.layer = Some(Box::new(layer));
    }
    Ok(Established {
        carrier: Carrier::Bytes(carrier),
        protection,
        leaf,
    })
}

fn udp(context: &Context, leaf: Leaf, options: &TcpOptions) -> Result<Established, Failure> {
    let mut request = UdpBind::to(leaf.remote);
    if let Some(local) = local_of(&leaf) {
        request.local = local;
    }
    request.path = leaf.path;
    request.dscp = options.dscp;
    let socket = context.environment().udp_bind(request).map_err(|error| {
        failure_from_io(&error, &format!("cannot open a socket to {}", leaf.remote))
    })?;
    let carrier = Carrier::Datagrams(DatagramCarrier {
        socket,
        peer: leaf.remote,
    });
    Ok(Established {
        carrier,
        protection: None,
        leaf,
    })
}

/// The address and port to bind, when either was fixed.
fn local_of(leaf: &Leaf) -> Option<SocketAddr> {
    if leaf.local.is_none() && leaf.local_port.is_none() {
        return None;
    }
    let any = match leaf.remote.ip() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    Some(SocketAddr::new(
        leaf.local.unwrap_or(any),
        leaf.local_port.unwrap_or(0),
    ))
}

/// Drives a layer's handshake over a socket until it is ready and its last flight is written.
///
/// Cancel safety: not cancel-safe; a dropped handshake leaves the layer in the middle of it.
///
/// # Errors
/// The layer's failure, after its alert was offered to the socket; or the carrier's.
pub async fn handshake(
    socket: &dyn TcpStream,
    layer: &mut dyn ByteLayer,
    unread: &mut BytesMut,
) -> Result<(), Failure> {
    let mut out = BytesMut::new();
    layer.start(&mut out)?;
    loop {
        write_all(socket, &mut out).await?;
        if layer.status() != LayerStatus::Handshaking {
            return Ok(());
        }
        if unread.is_empty() {
            layer.on_waiting();
            read_more(socket, layer, unread).await?;
        }
        let before = unread.len();
        if let Err(failure) = layer.on_wire(unread, &mut out) {
            // The alert tells the peer why; that it may not arrive changes nothing here.
            let _ = socket.try_write_vectored(&[IoSlice::new(&out)]);
            return Err(failure);
        }
        let is_stuck = unread.len() == before && out.is_empty();
        if is_stuck && layer.status() == LayerStatus::Handshaking {
            read_more(socket, layer, unread).await?;
        }
    }
}

/// Reads what a handshake still needs; the peer's end of stream is its failure.
async fn read_more(
    socket: &dyn TcpStream,
    layer: &mut dyn ByteLayer,
    unread: &mut BytesMut,
) -> Result<(), Failure> {
    if read_some(socket, unread).await? {
        return Ok(());
    }
    layer.on_end()?;
    Err(Failure::new(
        Origin::Tls,
        FailureKind::Reset,
        "the peer closed the connection during the handshake",
    ))
}

/// Writes all of `out`.
///
/// Cancel safety: what was written is no longer in `out`; nothing is lost.
///
/// # Errors
/// The carrier failed.
pub async fn write_all(socket: &dyn TcpStream, out: &mut BytesMut) -> Result<(), Failure> {
    while !out.is_empty() {
        match socket.try_write_vectored(&[IoSlice::new(out)]) {
            Ok(written) => drop(out.split_to(written)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                poll_fn(|context| socket.poll_writable(context))
                    .await
                    .map_err(|error| failure_from_io(&error, "cannot write"))?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failure_from_io(&error, "cannot write")),
        }
    }
    Ok(())
}

/// Reads once; false is the peer's end of stream.
///
/// Cancel safety: nothing is lost when the future is dropped.
///
/// # Errors
/// The carrier failed.
pub async fn read_some(socket: &dyn TcpStream, unread: &mut BytesMut) -> Result<bool, Failure> {
    let read = poll_fn(|context| {
        loop {
            // Lent by the thread, so that what waits for its peer holds no memory for it.
            let mut chunk = CHUNK.take();
            chunk.clear();
            chunk.reserve(READ_CHUNK_BYTES);
            let result = socket.try_read_buf(&mut chunk);
            unread.extend_from_slice(&chunk);
            CHUNK.set(chunk);
            match result {
                Ok(read) => return Poll::Ready(Ok(read)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::task::ready!(socket.poll_readable(context))?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    })
    .await
    .map_err(|error| failure_from_io(&error, "cannot read"))?;
    Ok(read > 0)
}

/// A handshake's flights are a few KiB; more is read in further rounds.
const READ_CHUNK_BYTES: usize = 4096;

thread_local! {
    /// What handshakes are read into.
    static CHUNK: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}
