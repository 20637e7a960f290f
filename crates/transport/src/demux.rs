//! One UDP socket, many peers: each peer gets a socket of its own to look at.
//!
//! Invariant: what a peer can make us hold is bounded by [`DemuxLimits`]; beyond it datagrams are
//! dropped, newest first, as a full socket buffer would.

use crate::environment::{
    DatagramBatch, Environment, ReceivedDatagram, ReceivedMessage, Transmit, UdpSocket,
};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use tokio::sync::{Notify, mpsc};

/// Bounds of what peers can make a listening UDP socket hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DemuxLimits {
    /// Peers known at a time; datagrams of further ones are dropped. 4096.
    pub peers_max: usize,
    /// Bytes that wait for one peer's receiver. 256 KiB.
    pub waiting_bytes_max: usize,
    /// Bytes that wait for all receivers together. 16 MiB.
    pub waiting_bytes_total_max: usize,
}

impl Default for DemuxLimits {
    fn default() -> Self {
        DemuxLimits {
            peers_max: 4096,
            waiting_bytes_max: 256 * 1024,
            waiting_bytes_total_max: 16 * 1024 * 1024,
        }
    }
}

/// Reads `socket` until every [`PeerSocket`] and the receiver of `arrivals` are gone. A peer
/// that is not known yet is sent to `arrivals`, with its first datagram waiting in it.
pub(crate) fn demultiplex(
    environment: &Arc<dyn Environment>,
    socket: Arc<dyn UdpSocket>,
    limits: DemuxLimits,
    may_arrive: impl Fn(SocketAddr) -> bool + Send + 'static,
    arrivals: mpsc::Sender<PeerSocket>,
) {
    let hub = Arc::new(Hub {
        socket,
        limits,
        peers: Mutex::default(),
        writers: Arc::default(),
        peer_left: Notify::new(),
        waiting_bytes: AtomicUsize::new(0),
    });
    environment.spawn(Box::pin(async move {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        while !(arrivals.is_closed() && hub.lock().is_empty()) {
            tokio::select! {
                _ = poll_fn(|context| hub.socket.poll_readable(context)) => {
                    hub.read_all(&mut buffer, &may_arrive, &arrivals);
                }
                () = arrivals.closed(), if !arrivals.is_closed() => {}
                () = hub.peer_left.notified() => {}
            }
        }
    }));
}

struct Hub {
    socket: Arc<dyn UdpSocket>,
    limits: DemuxLimits,
    peers: Mutex<BTreeMap<SocketAddr, Weak<Inbox>>>,
    writers: Arc<Writers>,
    peer_left: Notify,
    /// What waits in all inboxes.
    waiting_bytes: AtomicUsize,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Weak<Inbox>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_all(
        self: &Arc<Self>,
        buffer: &mut [u8],
        may_arrive: &impl Fn(SocketAddr) -> bool,
        arrivals: &mpsc::Sender<PeerSocket>,
    ) {
        for _ in 0..READS_PER_WAKE {
            match self.socket.try_receive(buffer) {
                Ok(received) => {
                    let data = Bytes::copy_from_slice(&buffer[..received.len]);
                    self.deliver(received, data, may_arrive, arrivals);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Errors of single peers, such as ICMP messages, do not concern the others.
                Err(_) => {}
            }
        }
    }

    fn deliver(
        self: &Arc<Self>,
        received: ReceivedDatagram,
        data: Bytes,
        may_arrive: &impl Fn(SocketAddr) -> bool,
        arrivals: &mpsc::Sender<PeerSocket>,
    ) {
        let mut peers = self.lock();
        if let Some(inbox) = peers.get(&received.remote).and_then(Weak::upgrade) {
            drop(peers);
            inbox.push(received, data);
            return;
        }
        if peers.len() >= self.limits.peers_max || !may_arrive(received.remote) {
            return;
        }
        let Ok(permit) = arrivals.try_reserve() else {
            return;
        };
        let inbox = Arc::new(Inbox {
            hub: self.clone(),
            peer: received.remote,
            state: Mutex::default(),
        });
        peers.insert(received.remote, Arc::downgrade(&inbox));
        drop(peers);
        inbox.push(received, data);
        permit.send(PeerSocket { inbox });
    }
}

/// Wakes every sender that waits for the shared socket.
#[derive(Default)]
struct Writers {
    wakers: Mutex<Vec<Waker>>,
}

impl Wake for Writers {
    fn wake(self: Arc<Self>) {
        let wakers =
            std::mem::take(&mut *self.wakers.lock().unwrap_or_else(PoisonError::into_inner));
        wakers.into_iter().for_each(Waker::wake);
    }
}

struct Inbox {
    hub: Arc<Hub>,
    peer: SocketAddr,
    state: Mutex<InboxState>,
}

#[derive(Default)]
struct InboxState {
    datagrams: VecDeque<(ReceivedDatagram, Bytes)>,
    waiting_bytes: usize,
    reader: Option<Waker>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, InboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, received: ReceivedDatagram, data: Bytes) {
        let mut state = self.lock();
        // An empty datagram is charged as well, so that a flood of them is bounded too.
        let charge = data.len() + DATAGRAM_OVERHEAD_BYTES;
        let limits = &self.hub.limits;
        // Only the hub's task adds, so what it reads here cannot grow behind its back.
        let total = self.hub.waiting_bytes.load(Ordering::Relaxed);
        if state.waiting_bytes + charge > limits.waiting_bytes_max
            || total + charge > limits.waiting_bytes_total_max
        {
            return;
        }
        self.hub.waiting_bytes.fetch_add(charge, Ordering::Relaxed);
        state.waiting_bytes += charge;
        state.datagrams.push_back((received, data));
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn pop(&self) -> Option<(ReceivedDatagram, Bytes)> {
        let mut state = self.lock();
        let (received, data) = state.datagrams.pop_front()?;
        let charge = data.len() + DATAGRAM_OVERHEAD_BYTES;
        state.waiting_bytes -= charge;
        self.hub.waiting_bytes.fetch_sub(charge, Ordering::Relaxed);
        Some((received, data))
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let left = self.lock().waiting_bytes;
        self.hub.waiting_bytes.fetch_sub(left, Ordering::Relaxed);
        let mut peers = self.hub.lock();
        // Between the last handle's end and this, the peer may have come back with a new inbox.
        if peers
            .get(&self.peer)
            .is_some_and(|inbox| inbox.strong_count() == 0)
        {
            peers.remove(&self.peer);
        }
        drop(peers);
        self.hub.peer_left.notify_one();
    }
}

/// The view of one peer on a socket that many peers share.
pub(crate) struct PeerSocket {
    inbox: Arc<Inbox>,
}

impl PeerSocket {
    /// The peer.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.inbox.peer
    }
}

impl UdpSocket for PeerSocket {
    fn try_send(&self, datagram: &[u8], _: Option<SocketAddr>) -> io::Result<()> {
        self.inbox
            .hub
            .socket
            .try_send(datagram, Some(self.inbox.peer))
    }

    fn try_send_batch(&self, datagrams: &[&[u8]], _: Option<SocketAddr>) -> io::Result<usize> {
        self.inbox
            .hub
            .socket
            .try_send_batch(datagrams, Some(self.inbox.peer))
    }

    fn try_transmit(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inbox.hub.socket.try_transmit(&Transmit {
            remote: self.inbox.peer,
            ..*transmit
        })
    }

    fn try_receive(&self, out: &mut [u8]) -> io::Result<ReceivedDatagram> {
        let Some((received, data)) = self.inbox.pop() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        match out.get_mut(..data.len()) {
            Some(out) => out.copy_from_slice(&data),
            None => return Err(io::ErrorKind::InvalidData.into()),
        }
        Ok(received)
    }

    fn try_receive_batch(&self, batch: &mut DatagramBatch) -> io::Result<usize> {
        batch.clear();
        while !batch.is_full()
            && let Some((received, data)) = self.inbox.pop()
        {
            batch.push(ReceivedMessage {
                contents: &data,
                stride: data.len(),
                remote: received.remote,
                local: received.local,
                ecn: received.ecn,
            });
        }
        match batch.len() {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.inbox.lock();
        if !state.datagrams.is_empty() {
            return Poll::Ready(Ok(()));
        }
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let writers = &self.inbox.hub.writers;
        {
            // Registered before the poll: a wake between the two must not be lost.
            let mut wakers = writers
                .wakers
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            wakers.retain(|waiting| !waiting.will_wake(context.waker()));
            wakers.push(context.waker().clone());
        }
        let waker = Waker::from(writers.clone());
        self.inbox
            .hub
            .socket
            .poll_writable(&mut Context::from_waker(&waker))
    }

    fn payload_max(&self, remote: SocketAddr, may_fragment: bool) -> usize {
        self.inbox.hub.socket.payload_max(remote, may_fragment)
    }

    fn local_address(&self) -> SocketAddr {
        self.inbox.hub.socket.local_address()
    }
}

/// The longest UDP payload over IPv6 without jumbograms.
const DATAGRAM_BYTES_MAX: usize = 65_527;
/// What a waiting datagram costs beside its payload.
const DATAGRAM_OVERHEAD_BYTES: usize = 64;
/// Datagrams read before others get their turn.
const READS_PER_WAKE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::UdpBind;
    use crate::real::{Config, RealEnvironment};
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn a_peer_that_comes_back_while_its_old_inbox_ends_stays_known() {
        let environment = RealEnvironment::new(Config::default());
        let bound = environment.udp_bind(UdpBind::on((Ipv4Addr::LOCALHOST, 0).into()));
        let hub = Arc::new(Hub {
            socket: bound.expect("a socket"),
            limits: DemuxLimits::default(),
            peers: Mutex::default(),
            writers: Arc::default(),
            peer_left: Notify::new(),
            waiting_bytes: AtomicUsize::new(0),
        });
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let inbox = || {
            Arc::new(Inbox {
                hub: hub.clone(),
                peer,
                state: Mutex::default(),
            })
        };
        let (old, new) = (inbox(), inbox());
        let old_entry = Arc::downgrade(&old);
        let mut peers = hub.lock();
        peers.insert(peer, old_entry.clone());
        // The old inbox ends while the hub holds the lock and hears from the peer again.
        let ending = std::thread::spawn(move || drop(old));
        while old_entry.strong_count() > 0 {
            std::thread::yield_now();
        }
        peers.insert(peer, Arc::downgrade(&new));
        drop(peers);
        ending.join().expect("no panic");
        let known = hub.lock().get(&peer).and_then(Weak::upgrade);
        assert!(known.is_some_and(|known| Arc::ptr_eq(&known, &new)));
    }
}
