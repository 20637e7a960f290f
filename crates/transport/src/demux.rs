//! One UDP socket, many peers: each peer gets a socket of its own to look at.
//!
//! Invariant: what a peer can make us hold is bounded by [`DemuxLimits`]; beyond it datagrams are
//! dropped, newest first, as a full socket buffer would.

mod peer;

pub(crate) use peer::PeerSocket;

use crate::environment::{DatagramBatch, Environment, ReceivedDatagram, UdpSocket};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Wake, Waker};
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
    let hub = Hub::new(socket, limits);
    let running = Running(hub.clone());
    environment.spawn(Box::pin(async move {
        let _running = running;
        let mut batch = DatagramBatch::new(MESSAGES_MAX);
        while !(arrivals.is_closed() && hub.lock().is_empty()) {
            tokio::select! {
                _ = poll_fn(|context| hub.socket.poll_readable(context)) => {
                    hub.read_all(&mut batch, &may_arrive, &arrivals);
                }
                () = arrivals.closed(), if !arrivals.is_closed() => {}
                () = hub.peer_left.notified() => {}
            }
        }
    }));
}

/// Who sends, and to which address of ours where the socket has several: an answer from another
/// one would be a stranger's.
type Pair = (SocketAddr, Option<IpAddr>);

struct Hub {
    socket: Arc<dyn UdpSocket>,
    /// Whether the socket has all addresses of this host.
    is_wildcard: bool,
    /// Nobody reads the socket any more.
    is_abandoned: AtomicBool,
    limits: DemuxLimits,
    peers: Mutex<BTreeMap<Pair, Weak<Inbox>>>,
    writers: Arc<Writers>,
    peer_left: Notify,
    /// What waits in all inboxes.
    waiting_bytes: AtomicUsize,
}

/// Tells the peers' sockets when the task that reads for them is gone, with its runtime.
struct Running(Arc<Hub>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.is_abandoned.store(true, Ordering::Release);
        let inboxes: Vec<_> = self.0.lock().values().filter_map(Weak::upgrade).collect();
        inboxes.iter().for_each(|inbox| inbox.wake());
    }
}

impl Hub {
    fn new(socket: Arc<dyn UdpSocket>, limits: DemuxLimits) -> Arc<Self> {
        Arc::new(Hub {
            is_wildcard: socket.local_address().ip().is_unspecified(),
            socket,
            is_abandoned: AtomicBool::new(false),
            limits,
            peers: Mutex::default(),
            writers: Arc::default(),
            peer_left: Notify::new(),
            waiting_bytes: AtomicUsize::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Pair, Weak<Inbox>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_all(
        self: &Arc<Self>,
        batch: &mut DatagramBatch,
        may_arrive: &impl Fn(SocketAddr) -> bool,
        arrivals: &mpsc::Sender<PeerSocket>,
    ) {
        for _ in 0..READS_PER_WAKE {
            match self.socket.try_receive_batch(batch) {
                Ok(_) => {
                    for (message, data) in batch.drain() {
                        let received = ReceivedDatagram {
                            len: data.len(),
                            remote: message.remote,
                            local: message.local,
                            ecn: message.ecn,
                        };
                        self.deliver(received, data.freeze(), may_arrive, arrivals);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Errors of single peers, such as ICMP messages, do not concern the others.
                Err(_) => _ = self.hand_on_errors(),
            }
        }
    }

    /// Hands what the network told about single peers on to them; whether there was anything.
    fn hand_on_errors(&self) -> bool {
        let mut any = false;
        for _ in 0..ERRORS_PER_LOOK {
            let Some((peer, error)) = self.socket.take_error() else {
                break;
            };
            any = true;
            let peers = self.lock();
            let of_peer = peers
                .range((peer, None)..)
                .take_while(|((other, _), _)| *other == peer);
            let inboxes: Vec<_> = of_peer.filter_map(|(_, inbox)| inbox.upgrade()).collect();
            drop(peers);
            for inbox in inboxes {
                inbox.fail(io::Error::from_raw_os_error(
                    error.raw_os_error().unwrap_or_default(),
                ));
            }
        }
        any
    }

    fn deliver(
        self: &Arc<Self>,
        received: ReceivedDatagram,
        data: Bytes,
        may_arrive: &impl Fn(SocketAddr) -> bool,
        arrivals: &mpsc::Sender<PeerSocket>,
    ) {
        let mut peers = self.lock();
        let local = received.local.filter(|_| self.is_wildcard);
        let pair = (received.remote, local);
        if let Some(inbox) = peers.get(&pair).and_then(Weak::upgrade) {
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
            pair,
            state: Mutex::default(),
        });
        peers.insert(pair, Arc::downgrade(&inbox));
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
    pair: Pair,
    state: Mutex<InboxState>,
}

#[derive(Default)]
struct InboxState {
    datagrams: VecDeque<(ReceivedDatagram, Bytes)>,
    waiting_bytes: usize,
    /// The latest error about something that was sent to the peer.
    error: Option<io::Error>,
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
        drop(state);
        self.wake();
    }

    fn fail(&self, error: io::Error) {
        self.lock().error = Some(error);
        self.wake();
    }

    fn take_error(&self) -> Option<io::Error> {
        self.lock().error.take()
    }

    fn wake(&self) {
        let reader = self.lock().reader.take();
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
            .get(&self.pair)
            .is_some_and(|inbox| inbox.strong_count() == 0)
        {
            peers.remove(&self.pair);
        }
        drop(peers);
        self.hub.peer_left.notify_one();
    }
}

/// What a waiting datagram costs beside its payload.
const DATAGRAM_OVERHEAD_BYTES: usize = 64;
/// Datagrams read by one call.
const MESSAGES_MAX: usize = 32;
/// Calls before others get their turn.
const READS_PER_WAKE: usize = 4;
/// Errors of the network that are handed on at a time.
const ERRORS_PER_LOOK: usize = 16;

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
        let hub = Hub::new(bound.expect("a socket"), DemuxLimits::default());
        let pair = (SocketAddr::from((Ipv4Addr::LOCALHOST, 9)), None);
        let inbox = || {
            Arc::new(Inbox {
                hub: hub.clone(),
                pair,
                state: Mutex::default(),
            })
        };
        let (old, new) = (inbox(), inbox());
        let old_entry = Arc::downgrade(&old);
        let mut peers = hub.lock();
        peers.insert(pair, old_entry.clone());
        // The old inbox ends while the hub holds the lock and hears from the peer again.
        let ending = std::thread::spawn(move || drop(old));
        while old_entry.strong_count() > 0 {
            std::thread::yield_now();
        }
        peers.insert(pair, Arc::downgrade(&new));
        drop(peers);
        ending.join().expect("no panic");
        let known = hub.lock().get(&pair).and_then(Weak::upgrade);
        assert!(known.is_some_and(|known| Arc::ptr_eq(&known, &new)));
    }
}
