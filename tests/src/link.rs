//! A link between two namespaces that delays, drops, corrupts, marks and rate-limits: two TUN
//! devices and a thread that carries packets between them (`near` and `far` at its ends).
//!
//! Invariant: what happens to a packet depends on the seed, on the packets before it and on the
//! time that passes on the link, and every UDP packet that came is in the log.

mod packet;
mod pump;

use crate::namespace::Namespace;
use crate::random::Random;
use packet::Packet;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The address of `near`.
pub const NEAR_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The address of `far`.
pub const FAR_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// The end that a packet goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towards {
    /// `near`.
    Near,
    /// `far`.
    Far,
}

/// What the link does to packets of one direction; by default nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Impairments {
    /// How long a packet travels.
    pub delay: Duration,
    /// How much longer it may travel, at random: later packets overtake it.
    pub jitter: Duration,
    /// How fast packets leave; at once by default.
    pub bytes_per_second: Option<u64>,
    /// With a rate: packets that may wait to leave, before more are dropped.
    pub queue_packets: usize,
    /// Which part of the packets is dropped.
    pub loss: f64,
    /// Which part of the UDP packets has a byte changed, under a checksum that is right.
    pub corruption: f64,
    /// Which part of the packets comes twice.
    pub duplication: f64,
    /// Which part of the packets that may be marked is marked as congestion (RFC 3168).
    pub congestion: f64,
    /// The UDP packets that are dropped, counted from zero.
    pub lost: Range<u64>,
    /// After so many UDP packets nothing passes for this long.
    pub outage: Option<(u64, Duration)>,
}

/// How the link translates addresses of `near`, which otherwise it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebinding {
    /// Another port of the same address.
    Port,
    /// Another address, and another port.
    Address,
}

/// What became of a UDP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Where it went.
    pub towards: Towards,
    /// The bytes of its payload.
    pub bytes: usize,
    /// Whether it was delivered, or will be.
    pub is_passed: bool,
    /// Whether a byte was changed.
    pub is_corrupted: bool,
    /// Its mark (RFC 3168) as it came.
    pub ecn: u8,
    /// Whether the link marked it.
    pub is_marked: bool,
}

/// A running link; it ends when it is dropped.
pub struct Link {
    state: Arc<Mutex<State>>,
    end: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Link {
    /// Connects two namespaces, with addresses of both families at its ends.
    ///
    /// # Errors
    /// What the system does not give, such as `/dev/net/tun`.
    pub fn new(near: &Namespace, far: &Namespace, seed: u64) -> io::Result<Link> {
        let ends = [device(near)?, device(far)?];
        for (namespace, host) in [(near, 1), (far, 2)] {
            namespace.command("ip link set lo up");
            namespace.command(&format!("ip addr add 192.0.2.{host}/24 dev {DEVICE}"));
            namespace.command(&format!(
                "ip addr add 2001:db8::{host}/64 dev {DEVICE} nodad"
            ));
            namespace.command(&format!("ip link set {DEVICE} up"));
        }
        let state = Arc::new(Mutex::new(State::new(seed)));
        let (end, ended) = UnixStream::pair()?;
        let carried = state.clone();
        let thread = std::thread::Builder::new()
            .name(THREAD.to_owned())
            .spawn(move || pump::run(&ends, &ended, &carried))?;
        Ok(Link {
            state,
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// Does this from now on to packets of one direction.
    pub fn impair(&self, towards: Towards, impairments: Impairments) {
        self.state().side(towards).impairments = impairments;
    }

    /// Does this from now on to all packets.
    pub fn impair_both(&self, impairments: &Impairments) {
        for towards in [Towards::Near, Towards::Far] {
            self.impair(towards, impairments.clone());
        }
    }

    /// From now on which packets are lost depends on this seed and on how many came before in the
    /// same direction, on nothing else: another load after the same call meets the same losses.
    pub fn repeat_losses(&self, seed: u64) {
        let mut state = self.state();
        for (side, direction) in state.sides.iter_mut().zip(0..) {
            side.losses = Some(Random::new(seed * 2 + direction));
        }
    }

    /// Translates the IPv4 addresses of `near`, and forgets the translation again and again: what
    /// comes for an earlier one is lost. The first packets, a handshake's, keep theirs.
    pub fn rebind_every(&self, rebinding: Rebinding, interval: Duration) {
        self.state().translation = Some(Translation {
            rebinding,
            interval,
            since: Instant::now(),
            generation: 0,
            ports: Vec::new(),
        });
    }

    /// How often the translation was forgotten.
    pub fn rebindings(&self) -> u16 {
        let state = self.state();
        state.translation.as_ref().map_or(0, |t| t.generation)
    }

    /// What became of the UDP packets so far.
    pub fn log(&self) -> Vec<Passage> {
        self.state().log.clone()
    }

    /// How many packets of each length, with their IP header, have come for this end so far, of
    /// whatever protocol; what the link dropped counts.
    pub fn lengths(&self, towards: Towards) -> BTreeMap<usize, u64> {
        self.state().side(towards).lengths.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the link runs")
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What both ends share.
struct State {
    random: Random,
    sides: [Side; 2],
    translation: Option<Translation>,
    log: Vec<Passage>,
}

/// One direction.
#[derive(Default)]
struct Side {
    impairments: Impairments,
    /// UDP packets that came.
    count: u64,
    /// When the packets that wait leave.
    departures: VecDeque<Instant>,
    is_out_until: Option<Instant>,
    /// What decides on losses alone.
    losses: Option<Random>,
    /// How many packets came of each length.
    lengths: BTreeMap<usize, u64>,
}

/// A packet that arrives.
struct Arrival {
    due: Instant,
    bytes: Vec<u8>,
}

impl State {
    fn new(seed: u64) -> State {
        State {
            random: Random::new(seed),
            sides: [Side::default(), Side::default()],
            translation: None,
            log: Vec::new(),
        }
    }

    fn side(&mut self, towards: Towards) -> &mut Side {
        &mut self.sides[towards as usize]
    }

    /// What arrives when this packet has come to the link.
    fn carry(&mut self, towards: Towards, bytes: Vec<u8>, now: Instant) -> Vec<Arrival> {
        let mut packet = Packet::new(bytes);
        let length = packet.bytes().len();
        *self.side(towards).lengths.entry(length).or_default() += 1;
        let due = self.due(towards, &packet, now);
        let is_known = self.translate(towards, &mut packet, now);
        let due = due.filter(|_| is_known);
        let impairments = self.side(towards).impairments.clone();
        let ecn = packet.ecn();
        let is_marked = ecn & 0b11 != 0 && self.random.happens(impairments.congestion);
        if is_marked {
            packet.mark();
        }
        let is_corrupted = packet.is_udp() && self.random.happens(impairments.corruption);
        if is_corrupted {
            let (place, change) = (self.random.next_u64(), self.random.next_u64());
            packet.corrupt(place, change);
        }
        if packet.is_udp() {
            self.log.push(Passage {
                towards,
                bytes: packet.payload_bytes(),
                is_passed: due.is_some(),
                is_corrupted,
                ecn,
                is_marked,
            });
        }
        let Some(due) = due else {
            return Vec::new();
        };
        let mut arrivals = Vec::new();
        if self.random.happens(impairments.duplication) {
            let due = due + impairments.jitter.mul_f64(self.random.unit());
            let bytes = packet.bytes().to_vec();
            arrivals.push(Arrival { due, bytes });
        }
        let bytes = packet.into_bytes();
        arrivals.push(Arrival { due, bytes });
        arrivals
    }

    /// When it arrives, unless it is dropped.
    fn due(&mut self, towards: Towards, packet: &Packet, now: Instant) -> Option<Instant> {
        let State { random, sides, .. } = self;
        let side = &mut sides[towards as usize];
        let impairments = &mut side.impairments;
        let is_lost = packet.is_udp() && impairments.lost.contains(&side.count);
        side.count += u64::from(packet.is_udp());
        if let Some((_, lasts)) = impairments.outage.take_if(|(count, _)| side.count > *count) {
            side.is_out_until = Some(now + lasts);
        }
        let is_out = side.is_out_until.is_some_and(|until| now < until);
        let losses = side.losses.as_mut().unwrap_or(random);
        if losses.happens(impairments.loss) || is_lost || is_out {
            return None;
        }
        let leaves = match impairments.bytes_per_second {
            None => now,
            Some(rate) => {
                while side.departures.front().is_some_and(|leaves| *leaves <= now) {
                    side.departures.pop_front();
                }
                if side.departures.len() >= impairments.queue_packets {
                    return None;
                }
                let free = side.departures.back().copied().unwrap_or(now);
                let takes =
                    Duration::from_secs(1).mul_f64(packet.bytes().len() as f64 / rate as f64);
                side.departures.push_back(free + takes);
                free + takes
            }
        };
        Some(leaves + impairments.delay + impairments.jitter.mul_f64(random.unit()))
    }

    /// Changes `near`'s address; false for what nobody waits for any more.
    fn translate(&mut self, towards: Towards, packet: &mut Packet, now: Instant) -> bool {
        let Some(translation) = self.translation.as_mut() else {
            return true;
        };
        match towards {
            Towards::Far => {
                if self.log.len() >= REBINDING_FROM {
                    translation.age(now);
                }
                if let Some((NEAR_V4, port)) = packet.source() {
                    let outside = translation.outside(port);
                    packet.set_source(outside);
                }
                true
            }
            Towards::Near => match packet.destination() {
                None => true,
                Some(outside) => match translation.inside(outside) {
                    Some(port) => {
                        packet.set_destination((NEAR_V4, port));
                        true
                    }
                    None => false,
                },
            },
        }
    }
}

/// The addresses that `far` sees for `near`.
struct Translation {
    rebinding: Rebinding,
    interval: Duration,
    since: Instant,
    generation: u16,
    /// The ports of `near` that were used in this generation.
    ports: Vec<u16>,
}

impl Translation {
    fn age(&mut self, now: Instant) {
        if now.duration_since(self.since) >= self.interval {
            self.since = now;
            self.generation += 1;
            self.ports.clear();
        }
    }

    fn address(&self) -> Ipv4Addr {
        let [a, b, c, _] = NEAR_V4.octets();
        let host = match self.rebinding {
            Rebinding::Port => 0,
            Rebinding::Address => u8::try_from(self.generation % 200).expect("less than 200"),
        };
        Ipv4Addr::new(a, b, c, 20 + host)
    }

    fn outside(&mut self, port: u16) -> (Ipv4Addr, u16) {
        let known = self.ports.iter().position(|known| *known == port);
        let place = known.unwrap_or_else(|| {
            self.ports.push(port);
            self.ports.len() - 1
        });
        let place = u16::try_from(place).expect("few ports");
        (self.address(), self.first_port() + place)
    }

    fn inside(&self, (address, port): (Ipv4Addr, u16)) -> Option<u16> {
        let place = port.checked_sub(self.first_port())?;
        let port = self.ports.get(usize::from(place)).copied();
        port.filter(|_| address == self.address())
    }

    fn first_port(&self) -> u16 {
        1024 + self.generation % 600 * 100
    }
}

/// A TUN device of this namespace, for packets without a header of the device.
fn device(namespace: &Namespace) -> io::Result<File> {
    namespace.run(|| {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK);
        let file = options.open("/dev/net/tun")?;
        // SAFETY: ifreq is plain data, and all zeroes is valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(DEVICE.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
        // SAFETY: the descriptor is open, and the request outlives the call.
        let made = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
        match made {
            0 => Ok(file),
            _ => Err(io::Error::last_os_error()),
        }
    })
}

/// The packets that keep their translation: RFC 9000 §9 lets nobody move before a handshake has
/// ended.
const REBINDING_FROM: usize = 60;
const DEVICE: &str = "wire";
/// What the thread that carries packets is called.
const THREAD: &str = "link";
