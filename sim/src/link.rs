//! Links: delay, loss, rate and faults between two ends, each way on its own.
//!
//! Invariant: a packet meets exactly one link, the last one defined whose ends match.

use crate::host::{HostId, prefix_contains};
use crate::route::Unreachable;
use crate::state::{Shared, State};
use portway_core::{Time, WireProtocol};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// One end of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selector {
    /// Everything.
    Any,
    /// A host by its name.
    Host(String),
    /// The addresses that share this prefix, of so many bits.
    Prefix(IpAddr, u8),
}

impl From<&str> for Selector {
    /// `"*"`, an address, a prefix such as `"2001:db8:2::/48"`, or else a host's name.
    fn from(text: &str) -> Self {
        if text == "*" {
            return Selector::Any;
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Selector::from(address);
        }
        let prefix = text.split_once('/').and_then(|(address, len)| {
            Some(Selector::Prefix(address.parse().ok()?, len.parse().ok()?))
        });
        prefix.unwrap_or_else(|| Selector::Host(text.to_owned()))
    }
}

impl From<IpAddr> for Selector {
    fn from(address: IpAddr) -> Self {
        Selector::Prefix(address, if address.is_ipv4() { 32 } else { 128 })
    }
}

/// Which way over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the first end to the second.
    Forward,
    /// From the second end to the first.
    Backward,
    /// Both.
    Both,
}

/// How a link treats packets in one direction.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LinkOptions {
    /// The one-way delay.
    pub delay: Duration,
    /// The probability that a packet is lost.
    pub loss: f64,
    /// Bytes a second; `None` is without limit.
    pub rate: Option<u64>,
    /// How many bytes wait at a limited rate: datagrams beyond are lost, TCP holds back.
    pub queue_bytes: usize,
    /// The largest packet in bytes, headers included.
    pub mtu: usize,
    /// Whether the sender of a packet above the MTU is told so, or it vanishes.
    pub signals_mtu: bool,
    /// The probability that a datagram is held back by `reorder_delay`.
    pub reorder: f64,
    /// The extra delay of a reordered datagram.
    pub reorder_delay: Duration,
    /// The probability that a datagram arrives twice.
    pub duplicate: f64,
    /// The probability that one bit of a datagram's payload is changed, as by a damaged checksum
    /// or by somebody on the way.
    pub corrupt: f64,
    /// Whether a full queue makes senders of datagrams wait, as the host's own interface does.
    pub holds_senders: bool,
    /// The ECN bits that datagrams have after the link; `None` leaves them.
    pub ecn: Option<u8>,
    /// What the link's first router says of everything, instead of passing it on.
    pub unreachable: Option<Unreachable>,
    /// Whether everything vanishes without an answer.
    pub is_black_hole: bool,
    /// Protocols whose packets vanish without an answer.
    pub blocked: BTreeSet<WireProtocol>,
}

impl Default for LinkOptions {
    fn default() -> Self {
        LinkOptions {
            delay: Duration::from_millis(10),
            loss: 0.0,
            rate: None,
            queue_bytes: 64 * 1024,
            mtu: 1500,
            signals_mtu: true,
            reorder: 0.0,
            reorder_delay: Duration::from_millis(5),
            duplicate: 0.0,
            corrupt: 0.0,
            holds_senders: false,
            ecn: None,
            unreachable: None,
            is_black_hole: false,
            blocked: BTreeSet::new(),
        }
    }
}

/// A handle to a link; changes hold for packets that are sent from then on.
#[derive(Clone)]
pub struct Link {
    shared: Arc<Shared>,
    index: usize,
}

impl Link {
    pub(crate) fn new(shared: Arc<Shared>, index: usize) -> Self {
        Link { shared, index }
    }

    /// Changes the options of the given direction.
    pub fn update(&self, direction: Direction, change: impl Fn(&mut LinkOptions)) -> &Self {
        self.shared.with(|state| {
            let [forward, backward] = &mut state.links.links[self.index].ways;
            if direction != Direction::Backward {
                change(&mut forward.options);
            }
            if direction != Direction::Forward {
                change(&mut backward.options);
            }
        });
        self
    }

    /// Sets the one-way delay, both ways.
    pub fn set_delay(&self, delay: Duration) -> &Self {
        self.update(Direction::Both, |options| options.delay = delay)
    }

    /// Sets the probability of loss, both ways.
    pub fn set_loss(&self, loss: f64) -> &Self {
        self.update(Direction::Both, |options| options.loss = loss)
    }

    /// Limits both ways to `rate` bytes a second with `queue_bytes` waiting.
    pub fn set_rate(&self, rate: u64, queue_bytes: usize) -> &Self {
        self.update(Direction::Both, |options| {
            options.rate = Some(rate.max(1));
            options.queue_bytes = queue_bytes;
        })
    }

    /// Sets the largest packet, both ways.
    pub fn set_mtu(&self, mtu: usize) -> &Self {
        self.update(Direction::Both, |options| options.mtu = mtu)
    }

    /// Lets everything in `direction` vanish.
    pub fn black_hole(&self, direction: Direction) -> &Self {
        self.update(direction, |options| options.is_black_hole = true)
    }

    /// Takes the link down: a router answers everything, both ways, with this ICMP error.
    pub fn set_down(&self, reason: Unreachable) -> &Self {
        self.update(Direction::Both, |options| {
            options.unreachable = Some(reason)
        })
    }

    /// Ends black holes, blocks and `set_down`, both ways.
    pub fn restore(&self) -> &Self {
        self.update(Direction::Both, |options| {
            options.is_black_hole = false;
            options.unreachable = None;
            options.blocked.clear();
        })
    }

    /// Lets the packets of one protocol vanish, both ways.
    pub fn block(&self, protocol: WireProtocol) -> &Self {
        self.update(Direction::Both, |options| {
            options.blocked.insert(protocol);
        })
    }
}

/// All links; the last one that matches counts.
#[derive(Default)]
pub(crate) struct Links {
    links: Vec<LinkState>,
    /// For packets that no defined link matches, and for those that stay on a host.
    fallback: Way,
}

struct LinkState {
    ends: [Selector; 2],
    ways: [Way; 2],
}

/// One direction of one link.
#[derive(Clone, Default)]
pub(crate) struct Way {
    pub(crate) options: LinkOptions,
    /// When what was sent so far has left at a limited rate.
    pub(crate) busy_until: Time,
}

impl Way {
    /// Bytes that wait to leave at `now`.
    pub(crate) fn queued_bytes(&self, now: Time) -> usize {
        let Some(rate) = self.options.rate else {
            return 0;
        };
        let waiting = self.busy_until.saturating_since(now);
        (waiting.as_nanos() * u128::from(rate) / 1_000_000_000) as usize
    }

    /// Puts `size` bytes on the wire and says when the last of them has left.
    pub(crate) fn occupy(&mut self, now: Time, size: usize) -> Time {
        let Some(rate) = self.options.rate else {
            return now;
        };
        let nanoseconds = size as u128 * 1_000_000_000 / u128::from(rate);
        let taken = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        self.busy_until = self.busy_until.max(now) + taken;
        self.busy_until
    }

    /// When `size` more bytes find room in the queue, if they do not at `now`.
    pub(crate) fn room_at(&self, now: Time, size: usize) -> Option<Time> {
        let rate = self.options.rate?;
        let room = self.options.queue_bytes.max(size);
        let excess = (self.queued_bytes(now) + size).saturating_sub(room);
        if excess == 0 {
            return None;
        }
        let wait = (excess as u128 * 1_000_000_000).div_ceil(u128::from(rate));
        let wait = u64::try_from(wait).unwrap_or(u64::MAX);
        Some(now + Duration::from_nanos(wait))
    }

    pub(crate) fn swallows(&self, protocol: WireProtocol) -> bool {
        self.options.is_black_hole || self.options.blocked.contains(&protocol)
    }
}

/// Which way a packet takes: a link's index and side, or the one without a link.
pub(crate) type WayId = Option<(usize, usize)>;

impl Links {
    pub(crate) fn define(&mut self, ends: [Selector; 2]) -> usize {
        let known = self.links.iter().position(|link| link.ends == ends);
        known.unwrap_or_else(|| {
            self.links.push(LinkState {
                ends,
                ways: [Way::default(), Way::default()],
            });
            self.links.len() - 1
        })
    }

    pub(crate) fn way_mut(&mut self, id: WayId) -> &mut Way {
        match id {
            Some((index, side)) => &mut self.links[index].ways[side],
            None => &mut self.fallback,
        }
    }

    pub(crate) fn way(&self, id: WayId) -> &Way {
        match id {
            Some((index, side)) => &self.links[index].ways[side],
            None => &self.fallback,
        }
    }
}

/// A place that packets come from or go to.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) host: Option<HostId>,
    pub(crate) address: IpAddr,
}

impl State {
    /// The way from `source` to `destination`.
    pub(crate) fn way_between(&self, source: Place, destination: Place) -> WayId {
        let matches = |selector: &Selector, place: Place| match selector {
            Selector::Any => true,
            Selector::Host(name) => place.host.is_some_and(|id| self.host(id).name == *name),
            Selector::Prefix(base, len) => prefix_contains(*base, *len, place.address),
        };
        let links = self.links.links.iter().enumerate().rev();
        for (index, LinkState { ends, .. }) in links {
            if matches(&ends[0], source) && matches(&ends[1], destination) {
                return Some((index, 0));
            }
            if matches(&ends[1], source) && matches(&ends[0], destination) {
                return Some((index, 1));
            }
        }
        None
    }
}
