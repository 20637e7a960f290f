//! Connections (RFC 9622 §8 to §11): the handle that an application holds.
//!
//! Invariant: a handle only refers; queue, layers, receipts and the writer token live in one
//! [`group::Group`] behind one lock.

mod at_once;
mod batch;
mod binary;
mod byte_stream;
mod close;
mod group;
mod inbound;
mod info;
mod link;
mod messages;
mod outbound;
mod partial_send;
mod properties;
mod receive;
mod send;
mod shared;
mod siblings;
mod upgrade;
mod waiters;
mod writer;

pub use batch::Batch;
pub use binary::{BinaryReader, BinaryWriter, LengthPrefix, ReadError, WriteError};
pub use byte_stream::ByteStream;
pub use info::ConnectionInfo;
pub use messages::{MessageSink, Messages};
pub use partial_send::PartialSend;
pub use send::SendPermit;
pub use upgrade::TlsRole;

pub(crate) use link::LinkStart;
pub(crate) use shared::Establishing;
pub(crate) use siblings::{Siblings, Transport};

use crate::event::Events;
use crate::preconnection::Preconnection;
use portway_core::property::{Action, ConnectionState};
use portway_transport::context::Context;
use shared::Shared;
use std::fmt;
use std::sync::Arc;

/// A connection, or rather a handle to one: a clone is another handle to the same connection.
///
/// When the last handle is dropped, what was accepted for sending is still sent and the
/// connection then closed in an orderly way; nobody learns whether that worked. Use
/// [`Connection::close`] to know.
#[derive(Clone)]
pub struct Connection {
    handle: Arc<Handle>,
}

/// Counts the application's handles; tasks hold [`Shared`] and not this.
pub(crate) struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.orphan();
    }
}

impl Connection {
    /// A connection that is to be established.
    pub(crate) fn of(context: &Context, preconnection: &Preconnection, action: Action) -> Self {
        let handle = Arc::new_cyclic(|handle| Handle {
            shared: Shared::new(context, preconnection, action, handle.clone()),
        });
        Connection { handle }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    pub(crate) fn establishing(&self) -> Establishing {
        Establishing::of(&self.handle.shared)
    }

    /// Where the connection is in its life (`connState`).
    pub fn state(&self) -> ConnectionState {
        self.shared().lock().state()
    }

    /// The events from now on. A connection that has ended tells its end.
    pub fn events(&self) -> Events {
        self.shared().lock().subscribe()
    }

    /// Waits until the connection is established, for one that was opened in the background.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// Why it was not established, or why it ended meanwhile.
    pub async fn ready(&self) -> Result<(), portway_core::Failure> {
        self.shared().ready().await
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
