//! Linux: socket options that socket2 does not cover.

use super::{Precision, TcpInfo};
use socket2::{SockRef, Socket};
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// The time of the system's monotonic clock, in this precision.
pub(crate) fn monotonic_time(precision: Precision) -> Option<Duration> {
    let clock = match precision {
        Precision::Full => libc::CLOCK_MONOTONIC,
        Precision::Coarse => libc::CLOCK_MONOTONIC_COARSE,
    };
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` lives through the call.
    check(unsafe { libc::clock_gettime(clock, &raw mut time) }).ok()?;
    let seconds = u64::try_from(time.tv_sec).ok()?;
    Some(Duration::new(seconds, u32::try_from(time.tv_nsec).ok()?))
}

/// A timer that becomes readable when it expires.
pub(crate) struct TimerDescriptor(OwnedFd);

impl TimerDescriptor {
    /// One that is not set.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: it has no pointers.
        let descriptor = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
        check(descriptor)?;
        // SAFETY: the descriptor is open and nobody else's.
        Ok(TimerDescriptor(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// Sets it for this time of the monotonic clock, and for no other.
    pub(crate) fn set(&self, at: Duration) -> io::Result<()> {
        // All zeroes would unset it.
        let at = at.max(Duration::from_nanos(1));
        let expiration = libc::itimerspec {
            it_interval: libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: libc::timespec {
                tv_sec: libc::time_t::try_from(at.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: libc::c_long::from(at.subsec_nanos().cast_signed()),
            },
        };
        let descriptor = self.0.as_raw_fd();
        let (flags, before) = (libc::TFD_TIMER_ABSTIME, std::ptr::null_mut());
        // SAFETY: the descriptor is open, and the time lives through the call.
        check(unsafe { libc::timerfd_settime(descriptor, flags, &raw const expiration, before) })
    }
}

impl AsRawFd for TimerDescriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Makes every packet leave and enter by the interface with this index.
pub(crate) fn bind_to_interface(socket: &Socket, index: u32) -> io::Result<()> {
    let index =
        libc::c_int::try_from(index).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    set_option(
        socket.as_raw_fd(),
        libc::SOL_SOCKET,
        libc::SO_BINDTOIFINDEX,
        index,
    )
}

/// Lets a bind to port zero wait for connect, so that a port can serve several peers at once.
pub(crate) fn bind_without_port(socket: &Socket) -> io::Result<()> {
    set_option(
        socket.as_raw_fd(),
        libc::IPPROTO_IP,
        libc::IP_BIND_ADDRESS_NO_PORT,
        1,
    )
}

/// Ends a TCP connection with a reset while its descriptor stays open.
pub(crate) fn disconnect(socket: &SockRef<'_>) -> io::Result<()> {
    // SAFETY: sockaddr is plain data for which all zeroes is valid.
    let mut nowhere: libc::sockaddr = unsafe { mem::zeroed() };
    nowhere.sa_family = libc::AF_UNSPEC as libc::sa_family_t;
    let len = mem::size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: `nowhere` lives through the call and `len` is its size.
    check(unsafe { libc::connect(socket.as_raw_fd(), &raw const nowhere, len) })
}

/// Keeps the calling thread on one of the processors that it may use, when it is one of as many
/// threads as there are such processors; whether it does. With fewer threads the system knows
/// better where there is room.
pub(crate) fn pin_thread(index: usize, threads: usize) -> io::Result<bool> {
    let usable = usable_processors()?;
    let Some(processor) = usable.get(index).filter(|_| usable.len() == threads) else {
        return Ok(false);
    };
    let len = mem::size_of::<libc::cpu_set_t>();
    // SAFETY: an all-zero set is a valid empty set, the processor is one of the set's, and `len` is
    // the set's size; zero is the calling thread.
    unsafe {
        let mut own: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(*processor, &mut own);
        check(libc::sched_setaffinity(0, len, &raw const own))?;
    }
    Ok(true)
}

/// The processors that the calling thread may use.
fn usable_processors() -> io::Result<Vec<usize>> {
    // SAFETY: an all-zero set is a valid empty set.
    let mut usable: libc::cpu_set_t = unsafe { mem::zeroed() };
    let len = mem::size_of::<libc::cpu_set_t>();
    // SAFETY: the set lives through the call and `len` is its size; zero is the calling thread.
    check(unsafe { libc::sched_getaffinity(0, len, &raw mut usable) })?;
    // SAFETY: the index is one of the set's.
    let is_usable = |processor: &usize| unsafe { libc::CPU_ISSET(*processor, &usable) };
    Ok((0..libc::CPU_SETSIZE as usize).filter(is_usable).collect())
}

/// Has a listener that shares its port preferred for connections whose packets arrive on the
/// processor that the calling thread is kept on, or on none.
pub(crate) fn prefer_own_processor(fd: RawFd, prefer: bool) -> io::Result<()> {
    let processor = match usable_processors()?[..] {
        _ if !prefer => -1,
        [own] => own as libc::c_int,
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    set_option(fd, libc::SOL_SOCKET, libc::SO_INCOMING_CPU, processor)
}

/// Lets the calling thread wait for its turn when it is woken while others run.
pub(crate) fn make_thread_patient() -> io::Result<()> {
    let none = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameter lives through the call, which concerns the calling thread alone.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const none) })
}

/// Takes the descriptor with this number, which the caller says nobody else owns, and keeps it from
/// programs that are started later.
pub(crate) fn take_descriptor(number: RawFd) -> io::Result<Socket> {
    // SAFETY: the call takes numbers only, and fails when there is no such descriptor.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: the descriptor is open, as the call above has shown. It is nobody else's: whoever
    // has started this process has handed it over, and `Inherited::take` does so once.
    Ok(unsafe { Socket::from_raw_fd(number) })
}

/// Bytes in the send queue, a FIN included, that the peer has not acknowledged.
pub(crate) fn unsent_and_unacknowledged(socket: &SockRef<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (of the same value as TIOCOUTQ) writes one int to the pointer.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) })?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// The connection's statistics.
pub(crate) fn tcp_info(socket: &SockRef<'_>) -> io::Result<TcpInfo> {
    // SAFETY: tcp_info is plain data for which all zeroes is valid; an older kernel fills less.
    let info: libc::tcp_info = unsafe {
        get_option(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            mem::zeroed(),
        )
    }?;
    Ok(TcpInfo {
        is_closed: info.tcpi_state == TCP_CLOSE,
        rtt: Duration::from_micros(u64::from(info.tcpi_rtt)),
        send_mss: info.tcpi_snd_mss,
    })
}

/// The largest packet towards the peer of a connected socket, headers included.
pub(crate) fn path_mtu(socket: &SockRef<'_>, remote: SocketAddr) -> io::Result<usize> {
    let (level, name) = match remote {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU),
    };
    let mtu: libc::c_int = get_option(socket.as_raw_fd(), level, name, 0)?;
    usize::try_from(mtu).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

pub(crate) fn set_option(fd: RawFd, level: i32, name: i32, value: libc::c_int) -> io::Result<()> {
    let len = mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` lives through the call and `len` is its size.
    check(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), len) })
}

/// Reads an option over `value`; the system may fill less than all of it.
fn get_option<T: Copy>(fd: RawFd, level: i32, name: i32, mut value: T) -> io::Result<T> {
    let mut len = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` and `len` live through the call and `len` is the size of `value`. The
    // callers pass types of integers only, for which any bytes are valid.
    check(unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut len) })?;
    Ok(value)
}

fn check(result: libc::c_int) -> io::Result<()> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

const TCP_CLOSE: u8 = 7;
