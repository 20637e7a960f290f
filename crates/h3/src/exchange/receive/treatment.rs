//! What to do with each frame on the stream of a message.
//!
//! Invariant: a frame is taken only where the message may have one.

use super::{Answer, Context, ReceiveState};
use crate::datagram::{CAPSULE_FRAME, Profile};
use crate::error::{Code, ConnectionError, Fault, StreamError};
use crate::frame::{FrameType, Treatment};
use crate::limits::Limits;
use crate::message::Expected;

/// What to do with a frame, by the place of the message.
// RFC 9114 §4.1: frames in an order that a message cannot have end the connection.
#[inline]
pub(super) fn of_frame(
    state: ReceiveState,
    answer: Answer,
    expected: Expected,
    ty: FrameType,
    len: u64,
    context: &Context<'_>,
) -> Result<Treatment, Fault> {
    match ty {
        FrameType::DATA => match state {
            ReceiveState::Body if expected.would_exceed(len) => {
                Err(StreamError::malformed("more content than content-length says").into())
            }
            ReceiveState::Body | ReceiveState::Tunnel => Ok(Treatment::Stream),
            _ => Err(unexpected("DATA before or after the content")),
        },
        FrameType::HEADERS => match state {
            ReceiveState::Head | ReceiveState::Body => section_treatment(len, context.limits),
            _ => Err(unexpected("HEADERS after the message or in a tunnel")),
        },
        FrameType::PUSH_PROMISE => match (answer, state) {
            // RFC 9114 §4.4: a tunnel has DATA only.
            (_, ReceiveState::Tunnel) => Err(unexpected("PUSH_PROMISE in a tunnel")),
            (
                Answer::Response {
                    is_pushed: false, ..
                },
                _,
            ) => section_treatment(len, context.limits),
            // RFC 9114 §7.2.5, §4.1: neither from a client nor on a push stream.
            _ => Err(unexpected("PUSH_PROMISE where none may be")),
        },
        FrameType::SETTINGS
        | FrameType::GOAWAY
        | FrameType::MAX_PUSH_ID
        | FrameType::CANCEL_PUSH
        | FrameType::PRIORITY_UPDATE_REQUEST
        | FrameType::PRIORITY_UPDATE_PUSH => Err(unexpected(
            "a frame of the control stream on another stream",
        )),
        // RFC 9114 §7.2.8: types of HTTP/2 are fatal, unlike unknown ones.
        _ if ty.is_http2_only() => Err(unexpected("a frame of HTTP/2")),
        // draft-01 §4: on request streams only; one that is too large to be of use is skipped.
        CAPSULE_FRAME if context.profile == Some(Profile::Draft01) => match answer {
            Answer::Response {
                is_pushed: true, ..
            } => Err(unexpected("CAPSULE on a push stream")),
            _ if len <= context.limits.datagrams.capsule_bytes as u64 => Ok(Treatment::Collect),
            _ => Ok(Treatment::Skip),
        },
        _ if context.extension_frames.contains(&ty) => {
            match len <= context.limits.control_frame_bytes as u64 {
                true => Ok(Treatment::Collect),
                false => {
                    let reason = "a frame of an extension above the size limit";
                    Err(StreamError::local(Code::H3_EXCESSIVE_LOAD, reason).into())
                }
            }
        }
        // Its bytes cannot be told from frames any more, so that nothing after it makes sense.
        _ if context.extension_streams.contains(&ty) => {
            let reason = "the first type of an extension's stream within a message";
            Err(ConnectionError::local(Code::H3_FRAME_ERROR, reason).into())
        }
        // RFC 9412 §2, RFC 8336 §2.1: an ORIGIN frame elsewhere than on the control stream is
        // ignored, like every unknown frame.
        _ => Ok(Treatment::Skip),
    }
}

/// A section is collected when it can be within the limit, so that an endless one is not.
fn section_treatment(len: u64, limits: &Limits) -> Result<Treatment, Fault> {
    // A promise has its identifier in front.
    if len > limits.field_section_bytes as u64 + 8 {
        return Err(StreamError::TOO_LARGE.into());
    }
    Ok(Treatment::Collect)
}

fn unexpected(reason: &'static str) -> Fault {
    ConnectionError::local(Code::H3_FRAME_UNEXPECTED, reason).into()
}
