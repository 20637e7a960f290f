//! From a leaf, or an accepted carrier, to a stack that is ready for messages.
//!
//! Invariant: a race is won only by a whole stack (RFC 9622 §7.1, RFC 9623 §4): the framers'
//! handshakes have ended before anything is handed over.

use crate::connection::{Connection, Siblings, Transport};
use crate::preconnection::Preconnection;
use bytes::BytesMut;
use portway_core::framer::ReceiveLimits;
use portway_core::framer::{Pipeline, Progress};
use portway_core::property::{Action, Direction};
use portway_core::race::Leaf;
use portway_core::security::Protection;
use portway_core::send_queue::WireBuffer;
use portway_core::{Failure, FailureKind, Origin, StackId};
use portway_transport::context::Context;
use portway_transport::driver::ProgressSink;
use portway_transport::establish::{establish, read_some, write_all};
use portway_transport::established::{ByteCarrier, Carrier};
use std::sync::Arc;

/// A stack that is ready for messages.
pub(crate) struct Opened {
    pub(crate) stack: StackId,
    pub(crate) carrier: Carrier,
    pub(crate) protection: Option<Protection>,
    pub(crate) framing: Framing,
    /// The group that the connection is in from its beginning.
    pub(crate) siblings: Option<Arc<Siblings>>,
    /// Which ways it carries messages.
    pub(crate) direction: Direction,
}

/// The framers of a connection, with what they have read and not used.
#[derive(Default)]
pub(crate) struct Framing {
    pub(crate) pipeline: Pipeline,
    pub(crate) unread: BytesMut,
}

/// Establishes a leaf and brings its framers up.
pub(crate) async fn open(
    context: &Context,
    preconnection: &Preconnection,
    leaf: Leaf,
    progress: &ProgressSink,
) -> Result<Opened, Failure> {
    let needs = &*preconnection.needs;
    let options = &needs.defaults(Action::Initiate).options;
    let established = establish(context, leaf, &needs.security, options, Some(progress)).await?;
    let (stack, protection) = (established.leaf.stack, established.protection);
    let mut carrier = match established.carrier {
        Carrier::Quic(carrier) => {
            let siblings = Siblings::over(Transport {
                carrier,
                stack,
                protection,
            });
            return siblings.open(preconnection).await;
        }
        carrier => carrier,
    };
    let framing = bring_up_framers(&mut carrier, preconnection).await?;
    Ok(Opened {
        stack,
        carrier,
        protection,
        framing,
        siblings: None,
        direction: preconnection.needs.properties.direction(),
    })
}

/// Brings up the framers of a connection that a peer opened.
pub(crate) async fn open_accepted(
    context: &Context,
    preconnection: &Preconnection,
    stack: StackId,
    mut carrier: Carrier,
    protection: Option<Protection>,
) -> Result<Connection, Failure> {
    let framing = bring_up_framers(&mut carrier, preconnection).await?;
    let opened = Opened {
        stack,
        carrier,
        protection,
        framing,
        siblings: None,
        direction: preconnection.needs.properties.direction(),
    };
    Ok(Connection::ready_made(
        context,
        preconnection,
        Action::Listen,
        opened,
    ))
}

/// Brings up the framers of a carrier.
pub(crate) async fn bring_up_framers(
    carrier: &mut Carrier,
    preconnection: &Preconnection,
) -> Result<Framing, Failure> {
    let mut pipeline: Pipeline = preconnection.needs.framers.instantiate();
    let mut out = WireBuffer::new();
    let mut unread = BytesMut::new();
    let mut progress = pipeline.start(&mut out)?;
    // What a peer can make us hold before its framers agree.
    let unread_max = ReceiveLimits::default().read_ahead_max;
    match carrier {
        Carrier::Bytes(carrier) => {
            loop {
                write_plaintext(carrier, &mut out).await?;
                if progress == Progress::Ready {
                    break;
                }
                read_plaintext(carrier, &mut unread).await?;
                progress = pipeline.on_handshake(&mut unread, &mut out)?;
                if progress != Progress::Ready && unread.len() > unread_max {
                    return Err(too_much(unread_max));
                }
            }
            Ok(Framing { pipeline, unread })
        }
        _ if progress == Progress::Ready && out.is_empty() => Ok(Framing { pipeline, unread }),
        _ => Err(Failure::new(
            Origin::Framing,
            FailureKind::Unsupported,
            "a framer with a handshake needs a byte stream below it",
        )),
    }
}

fn too_much(limit: usize) -> Failure {
    Failure::new(
        Origin::Framing,
        FailureKind::LimitReached,
        format!("the peer sent more than {limit} bytes before the framers were ready"),
    )
}

async fn write_plaintext(carrier: &mut ByteCarrier, out: &mut WireBuffer) -> Result<(), Failure> {
    if out.is_empty() {
        return Ok(());
    }
    let plaintext: Vec<&[u8]> = out.iter().collect();
    let mut wire = BytesMut::new();
    match &mut carrier.layer {
        Some(layer) => layer.write(&plaintext, &mut wire)?,
        None => plaintext
            .iter()
            .for_each(|slice| wire.extend_from_slice(slice)),
    }
    out.clear();
    write_all(&*carrier.socket, &mut wire).await
}

/// Reads until there is more plaintext than before.
async fn read_plaintext(carrier: &mut ByteCarrier, unread: &mut BytesMut) -> Result<(), Failure> {
    let ended = || {
        Failure::new(
            Origin::Framing,
            FailureKind::Reset,
            "the peer closed the connection during the framers' handshake",
        )
    };
    let Some(layer) = &mut carrier.layer else {
        return match read_some(&*carrier.socket, unread).await? {
            true => Ok(()),
            false => Err(ended()),
        };
    };
    let mut answers = BytesMut::new();
    loop {
        let outcome = layer.on_wire(&mut carrier.unread, &mut answers);
        write_all(&*carrier.socket, &mut answers).await?;
        outcome?;
        let before = unread.len();
        while let Some(plaintext) = layer.read(usize::MAX) {
            unread.extend_from_slice(&plaintext);
        }
        if unread.len() > before {
            return Ok(());
        }
        if !read_some(&*carrier.socket, &mut carrier.unread).await? {
            return Err(ended());
        }
    }
}
