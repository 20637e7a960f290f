//! From a leaf, or an accepted carrier, to a stack that is ready for messages.
//!
//! Invariant: a race is won only by a whole stack (RFC 9622 §7.1, RFC 9623 §4): the framers'
//! handshakes have ended before anything is handed over.

use crate::connection::{Connection, Siblings, Transport};
use crate::preconnection::{Needs, Preconnection};
use bytes::{Bytes, BytesMut};
use portway_core::framer::ReceiveLimits;
use portway_core::framer::{Pipeline, Progress};
use portway_core::message::Message;
use portway_core::property::{Action, Direction, SelectionProperty};
use portway_core::race::Leaf;
use portway_core::security::Protection;
use portway_core::send_queue::WireBuffer;
use portway_core::{Failure, FailureKind, Origin, StackId};
use portway_transport::context::Context;
use portway_transport::driver::ProgressSink;
use portway_transport::establish::{establish_early, read_some, write_all};
use portway_transport::established::{ByteCarrier, Carrier};
use portway_transport::quic::StreamKind;
use portway_transport::quic_stack::EarlySend;
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
    /// What is left of the first message, when it has left as early data.
    pub(crate) early_rest: Option<Bytes>,
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
    first: Option<Box<Message>>,
) -> Result<Opened, Failure> {
    let needs = &*preconnection.needs;
    let options = &needs.defaults(Action::Initiate).options;
    let (early, pipeline) = first
        .and_then(|first| framed(needs, *first))
        .map_or((None, None), |(early, pipeline)| {
            (Some(early), Some(pipeline))
        });
    let security = &needs.security;
    let progress = Some(progress);
    let established =
        establish_early(context, leaf, security, options, progress, early.as_ref()).await?;
    let (stack, protection) = (established.leaf.stack, established.protection);
    let mut carrier = match established.carrier {
        Carrier::Quic(mut carrier) => {
            let taken = carrier.take_early().zip(pipeline);
            let siblings = Siblings::over(Transport {
                carrier,
                stack,
                protection,
            });
            return match taken {
                Some((stream, pipeline)) => siblings.opened_early(stream, pipeline, needs),
                // In a box of its own, as every other attempt would be as large otherwise.
                None => Box::pin(siblings.open(preconnection)).await,
            };
        }
        carrier => carrier,
    };
    let early_rest = match &mut carrier {
        Carrier::Bytes(carrier) => carrier.take_early_rest(),
        _ => None,
    };
    let framing = match (&early_rest, pipeline) {
        // The framers had nothing to say or to hear before the message.
        (Some(_), Some(pipeline)) => Framing {
            pipeline,
            unread: BytesMut::new(),
        },
        _ => bring_up_framers(&mut carrier, preconnection).await?,
    };
    Ok(Opened {
        stack,
        carrier,
        protection,
        framing,
        siblings: None,
        direction: preconnection.needs.properties.direction(),
        early_rest,
    })
}

/// The first message, when it may leave before a handshake is complete.
pub(crate) fn early_message(needs: &Needs, message: &Message) -> Option<Message> {
    let preference = needs
        .properties
        .preference(SelectionProperty::ZeroRttMsg, Action::Initiate);
    let mut message = message.clone();
    message
        .context
        .apply_defaults(&needs.defaults(Action::Initiate).message);
    let properties = message.context.properties()?;
    // RFC 9622 §9.1.3.4: early data can arrive more than once. A message that can still expire is
    // kept back, since nothing would call it back.
    let may_be_early = properties.is_safely_replayable()
        && properties.lifetime().is_none()
        && !preference.is_unwanted()
        && needs.properties.direction().can_send();
    may_be_early.then_some(message)
}

/// The bytes of a first message with the framers that made them. Framers that have something to
/// say or to hear before it are not known to be replayable, so that nothing leaves early then.
fn framed(needs: &Needs, message: Message) -> Option<(EarlySend, Pipeline)> {
    let mut pipeline: Pipeline = needs.framers.instantiate();
    let mut out = WireBuffer::new();
    let progress = pipeline.start(&mut out).ok()?;
    if progress != Progress::Ready || !out.is_empty() {
        return None;
    }
    pipeline.frame(message, &mut out).ok()?;
    let data = out.take_chunks().into_bytes();
    let kind = stream_kind(needs.properties.direction());
    (!data.is_empty()).then(|| (EarlySend::new(kind, data), pipeline))
}

/// RFC 9622 §6.2.16: what is only sent on needs no way back.
pub(crate) fn stream_kind(direction: Direction) -> StreamKind {
    match direction {
        Direction::UnidirectionalSend => StreamKind::Unidirectional,
        _ => StreamKind::Bidirectional,
    }
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
        early_rest: None,
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
        if layer.take_is_early_data() {
            return Err(Failure::new(
                Origin::Framing,
                FailureKind::InvalidRequest,
                "the peer sent early data before the framers had agreed",
            ));
        }
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
