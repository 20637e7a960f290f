//! Clients that are held back until their hello is whole.
//!
//! Invariant: a client is held at most until its deadline, and there are never more than the
//! server's backlog allows. quinn-proto buffers the packets meanwhile.

use crate::quic::choice::{Chooser, IncomingClient};
use crate::quic::hello::{ClientHello, HelloError, HelloReader};
use crate::quic::identifiers::later;
use crate::quic::options::ServerConfig;
use quinn_proto::Incoming;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// All that are held, by their first choice of identifier.
#[derive(Default)]
pub(super) struct Held {
    clients: HashMap<Vec<u8>, Client>,
    /// Since each is held equally long, in the order of their deadlines. One that is gone has left
    /// its entry, which counts no more.
    deadlines: VecDeque<(Instant, Vec<u8>)>,
}

struct Client {
    incoming: Incoming,
    reader: HelloReader,
    config: Arc<ServerConfig>,
    since: Instant,
    until: Instant,
}

/// A client whose hello is whole or wrong.
pub(super) struct Answerable {
    pub(super) incoming: Incoming,
    /// When its first packet came.
    pub(super) since: Instant,
    pub(super) hello: Result<ClientHello, HelloError>,
    /// The configuration that applied when it came.
    pub(super) config: Arc<ServerConfig>,
}

impl Answerable {
    /// The client and whom to ask about it.
    pub(super) fn question(&self) -> Option<(IncomingClient, &Chooser)> {
        let client = IncomingClient {
            hello: self.hello.as_ref().ok()?.clone(),
            remote: self.incoming.remote_address(),
            local: self.incoming.local_ip(),
            is_address_validated: self.incoming.remote_address_validated(),
        };
        Some((client, self.config.chooser.as_ref()?))
    }
}

impl Held {
    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Holds a client back from its first datagram on, for as long as its handshake may take.
    pub(super) fn hold(
        &mut self,
        incoming: Incoming,
        config: Arc<ServerConfig>,
        datagram: &[u8],
        since: Instant,
    ) -> Option<Answerable> {
        let until = later(since, config.transport.times.handshake);
        let identifier = HelloReader::identifier(datagram).unwrap_or_default();
        let client = Client {
            incoming,
            reader: HelloReader::new(config.incoming.hello),
            config,
            since,
            until,
        };
        self.clients.insert(identifier.to_vec(), client);
        self.deadlines.push_back((until, identifier.to_vec()));
        self.on_datagram(datagram)
    }

    /// Takes a further datagram; gives the client when its hello is whole or wrong.
    pub(super) fn on_datagram(&mut self, datagram: &[u8]) -> Option<Answerable> {
        let identifier = HelloReader::identifier(datagram)?;
        let client = self.clients.get_mut(identifier)?;
        let hello = client.reader.on_datagram(datagram).transpose()?;
        let client = self.clients.remove(identifier)?;
        self.forget_stale();
        Some(Answerable {
            incoming: client.incoming,
            since: client.since,
            hello,
            config: client.config,
        })
    }

    /// Gives all of them up.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Incoming> {
        self.deadlines.clear();
        self.clients.drain().map(|(_, client)| client.incoming)
    }

    /// The next client whose time is over.
    pub(super) fn expired(&mut self, now: Instant) -> Option<Incoming> {
        while let Some((until, _)) = self.deadlines.front()
            && *until <= now
        {
            let (until, identifier) = self.deadlines.pop_front()?;
            // The same identifier may have come again since.
            let is_due = |client: &Client| client.until == until;
            if self.clients.get(&identifier).is_some_and(is_due) {
                return self.clients.remove(&identifier).map(|it| it.incoming);
            }
        }
        None
    }

    /// Removes entries that count no more, when they are many.
    fn forget_stale(&mut self) {
        let clients = &self.clients;
        if self.deadlines.len() > 2 * clients.len() + STALE_MAX {
            self.deadlines.retain(|(until, identifier)| {
                clients.get(identifier).is_some_and(|it| it.until == *until)
            });
        }
    }

    /// When the next one's time is over; not later than that.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(until, _)| *until)
    }
}

/// Entries that may count no more.
const STALE_MAX: usize = 16;
