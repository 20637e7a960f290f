//! Values in place of bytes: a codec turns each value into one message and back.
//!
//! Invariant: one value is one message, so a codec needs a framer, or a carrier that keeps
//! boundaries, below it.

use super::{Chunks, Message, ReceivedMessage};
use crate::{Failure, FailureKind, Origin};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::marker::PhantomData;

/// Turns values into messages and back.
pub trait Codec<T> {
    /// The bytes of one message.
    ///
    /// # Errors
    /// The value has no representation.
    fn encode(&self, value: &T) -> Result<Chunks, Failure>;

    /// The value of a whole message.
    ///
    /// # Errors
    /// The bytes do not represent a value.
    fn decode(&self, data: &[u8]) -> Result<T, Failure>;
}

/// JSON, for every type that serde knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    fn encode(&self, value: &T) -> Result<Chunks, Failure> {
        let bytes = serde_json::to_vec(value).map_err(|error| {
            let detail = format!("value cannot be written as json: {error}");
            Failure::new(Origin::Local, FailureKind::InvalidRequest, detail)
        })?;
        Ok(bytes.into())
    }

    fn decode(&self, data: &[u8]) -> Result<T, Failure> {
        serde_json::from_slice(data).map_err(|error| undecodable(format!("json: {error}")))
    }
}

/// A codec of two functions, for other formats.
///
/// ```
/// use portway_core::message::{FnCodec, Typed};
///
/// let numbers = Typed::new(FnCodec::new(
///     |number: &u32| Ok(number.to_be_bytes().to_vec().into()),
///     |data: &[u8]| match data.try_into() {
///         Ok(bytes) => Ok(u32::from_be_bytes(bytes)),
///         Err(_) => Err(portway_core::message::undecodable("not four bytes")),
///     },
/// ));
/// assert_eq!(numbers.encode(&7)?.data.into_bytes(), &[0, 0, 0, 7][..]);
/// # Ok::<(), portway_core::Failure>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FnCodec<E, D> {
    encode: E,
    decode: D,
}

impl<E, D> FnCodec<E, D> {
    /// A codec of an encoding and a decoding function.
    pub fn new<T>(encode: E, decode: D) -> Self
    where
        E: Fn(&T) -> Result<Chunks, Failure>,
        D: Fn(&[u8]) -> Result<T, Failure>,
    {
        FnCodec { encode, decode }
    }
}

impl<T, E, D> Codec<T> for FnCodec<E, D>
where
    E: Fn(&T) -> Result<Chunks, Failure>,
    D: Fn(&[u8]) -> Result<T, Failure>,
{
    fn encode(&self, value: &T) -> Result<Chunks, Failure> {
        (self.encode)(value)
    }

    fn decode(&self, data: &[u8]) -> Result<T, Failure> {
        (self.decode)(data)
    }
}

/// Messages as values of one type.
///
/// ```
/// use portway_core::message::Typed;
///
/// let typed = Typed::<Vec<u32>>::json();
/// assert_eq!(typed.encode(&vec![1, 2])?.data.into_bytes(), "[1,2]");
/// # Ok::<(), portway_core::Failure>(())
/// ```
pub struct Typed<T, C = Json> {
    codec: C,
    value: PhantomData<fn(T) -> T>,
}

impl<T: Serialize + DeserializeOwned> Typed<T> {
    /// Values as JSON.
    pub fn json() -> Self {
        Typed::new(Json)
    }
}

impl<T, C: Codec<T>> Typed<T, C> {
    /// Values in the format of `codec`.
    pub fn new(codec: C) -> Self {
        Typed {
            codec,
            value: PhantomData,
        }
    }

    /// The message for a value.
    ///
    /// # Errors
    /// The value has no representation.
    pub fn encode(&self, value: &T) -> Result<Message, Failure> {
        self.codec.encode(value).map(Message::from)
    }

    /// The value of a received message.
    ///
    /// # Errors
    /// The message is only a part of one, or does not represent a value.
    pub fn decode(&self, received: &ReceivedMessage) -> Result<T, Failure> {
        if !received.is_complete() {
            return Err(undecodable("only a part of the message was received"));
        }
        self.codec.decode(received)
    }
}

impl<T, C: Clone> Clone for Typed<T, C> {
    fn clone(&self) -> Self {
        Typed {
            codec: self.codec.clone(),
            value: PhantomData,
        }
    }
}

impl<T, C: fmt::Debug> fmt::Debug for Typed<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Typed").field(&self.codec).finish()
    }
}

/// The failure of a message whose bytes are not a value.
pub fn undecodable(detail: impl fmt::Display) -> Failure {
    Failure::new(
        Origin::Framing,
        FailureKind::ProtocolViolation,
        format!("message cannot be decoded: {detail}"),
    )
}
